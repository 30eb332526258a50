"""What changes in the company on one day, as its HR system records it."""

from __future__ import annotations

from collections.abc import Callable

from attrs import field, frozen

from deltamark.infrastructure.sample_company.company import FIRST_DAY, Company
from deltamark.infrastructure.sample_company.departments import NO_MANAGER
from deltamark.infrastructure.sample_company.draws import Draws
from deltamark.infrastructure.sample_company.functions import GRADES
from deltamark.infrastructure.sample_company.sites import SITES
from deltamark.infrastructure.sample_company.staff import NO_MAIL, NO_PHONE

TRIES = 200


@frozen
class DayOfChanges:
    """What other systems learn from the HR system: the numbers of the people who changed."""

    hired: list[int] = field(factory=list)
    returned: list[int] = field(factory=list)
    left: list[int] = field(factory=list)
    renamed: list[int] = field(factory=list)


def next_day(company: Company) -> DayOfChanges:
    """Moves the company on by a day.

    About one person in a hundred changes, in a small company some more.
    """
    company.day += 1
    return _Day(company, Draws(company.seed, f"people on day {company.day}")).run()


class _Day:
    """The changes of one day. No person is drawn twice, and managers only to leave."""

    def __init__(self, company: Company, draws: Draws) -> None:
        self._company = company
        self._staff = company.staff
        self._departments = company.departments
        self._draws = draws
        self._busy = company.staff.managers()
        for head in company.departments.head:
            self._busy[head] = 1
        self._changes = DayOfChanges()

    def run(self) -> DayOfChanges:
        """Makes all changes of the day."""
        day, size, departments = self._company.day, self._company.size, len(self._departments)
        self._leave(self._draws.about(size * 0.0015, at_least=1 + int(day % 3 == 0)))
        self._each(self._marry, size * 0.0006)
        self._each(self._move, size * 0.0015)
        self._each(self._promote, size * 0.0012)
        self._each(self._change_manager, size * 0.0008)
        self._each(self._change_phone, size * 0.0008)
        self._each(self._rename_department, departments * 0.001)
        self._each(self._open_department, departments * 0.0005, at_least=int(day % 3 == 2))
        self._close_departments(self._draws.about(departments * 0.0005, at_least=int(day % 3 == 0)))
        self._each(self._rehire, size * 0.0001, at_least=int(day % 3 == 0))
        self._each(self._hire, size * 0.0014)
        return self._changes

    def _each(self, change: Callable[[], None], expected: float, *, at_least: int = 1) -> None:
        for _ in range(self._draws.about(expected, at_least)):
            change()

    def _draw_person(self, function: int | None = None) -> int | None:
        """A present person (of that function) who has no reports and has not changed today.

        None if there is hardly anyone left.
        """
        staff, busy, function_of = self._staff, self._busy, self._departments.function
        for _ in range(TRIES):
            person = self._draws.below(len(staff))
            if staff.works[person] and not busy[person]:
                if function is not None and function_of[staff.department[person]] != function:
                    continue
                busy[person] = 1
                return person
        return None

    def _draw_department(self) -> int:
        """A present department other than the board."""
        while True:
            number = 1 + self._draws.below(len(self._departments) - 1)
            if self._departments.exists[number]:
                return number

    def _hire(self) -> None:
        department = self._draw_department()
        hired = FIRST_DAY + self._company.day
        person = self._staff.hire(self._draws, department, self._departments.boss_of(department, NO_MANAGER), hired)
        self._staff.grade[person] = min(self._staff.grade[person], 1)
        self._busy.append(1)
        self._changes.hired.append(person)

    def _rehire(self) -> None:
        """Hires a former person again, with the old number."""
        if not self._company.gone:
            return
        person = self._company.gone.pop(self._draws.below(len(self._company.gone)))
        staff, department = self._staff, self._draw_department()
        staff.works[person] = 1
        staff.department[person] = department
        staff.manager[person] = self._departments.boss_of(department, NO_MANAGER)
        staff.hired[person] = FIRST_DAY + self._company.day
        self._busy[person] = 1
        self._changes.returned.append(person)

    def _marry(self) -> None:
        person = self._draw_person()
        if person is None:
            return
        staff = self._staff
        names, culture = staff.names, staff.culture[person]
        staff.surname[person] = names.married(self._draws, staff.surname[person], culture, staff.is_woman[person])
        staff.give_mail(person)
        self._changes.renamed.append(person)

    def _move(self) -> None:
        """Moves a person to another department, sometimes in another city."""
        person = self._draw_person()
        if person is None:
            return
        staff = self._staff
        while (department := self._draw_department()) == staff.department[person]:
            pass
        staff.department[person] = department
        staff.manager[person] = self._departments.boss_of(department, person)
        if self._draws.chance(0.2):
            staff.place[person] = self._draws.below(len(SITES))

    def _promote(self) -> None:
        for _ in range(TRIES):
            person = self._draw_person()
            if person is None:
                return
            if self._staff.grade[person] < len(GRADES) - 1:
                self._staff.grade[person] += 1
                return

    def _change_manager(self) -> None:
        """Lets a person report to another manager.

        It is the manager's manager, the head of the department, or that of another one.
        """
        person = self._draw_person()
        if person is None:
            return
        staff, departments = self._staff, self._departments
        old = staff.manager[person]
        options = (
            staff.manager[old],
            departments.boss_of(staff.department[person], person),
            departments.boss_of(self._draw_department(), person),
        )
        others = [option for option in options if option not in (NO_MANAGER, old)]
        if others:
            staff.manager[person] = self._draws.one_of(others)

    def _change_phone(self) -> None:
        """Gives a person a new telephone number, and a mail address if there is none."""
        person = self._draw_person()
        if person is None:
            return
        self._staff.phone[person] = NO_PHONE if self._draws.chance(0.1) else 100_000 + self._draws.below(900_000)
        if self._staff.mail[person] == NO_MAIL:
            self._staff.give_mail(person)

    def _rename_department(self) -> None:
        self._departments.rename(self._draw_department(), self._draws)

    def _open_department(self) -> None:
        """Opens a department, headed by a person from elsewhere in the same function."""
        departments, staff = self._departments, self._staff
        department = departments.open(NO_MANAGER)
        head = self._draw_person(departments.function[department])
        if head is None:
            departments.head[department] = departments.boss_of(department, NO_MANAGER)
            return
        departments.head[department] = head
        staff.department[head] = department
        staff.grade[head] = len(GRADES) - 1
        staff.manager[head] = departments.boss_of(department, head)

    def _close_departments(self, count: int) -> None:
        """Closes departments below the functions.

        Their people keep their managers and move one level up.
        """
        departments, staff = self._departments, self._staff
        leaf = departments.is_leaf()
        closed = set()
        for _ in range(count):
            candidates = (self._draw_department() for _ in range(TRIES))
            number = next(
                (candidate for candidate in candidates if leaf[candidate] and departments.parent[candidate] > 0), None
            )
            if number is not None:
                departments.close(number)
                closed.add(number)
        if not closed:
            return
        for person, department in enumerate(staff.department):
            if department in closed:
                staff.department[person] = departments.parent[department]

    def _leave(self, count: int) -> None:
        """Lets people leave, managers too, but not the one at the top."""
        staff = self._staff
        leaving = set()
        for _ in range(count):
            for _ in range(TRIES):
                person = self._draws.below(len(staff))
                if staff.works[person] and person not in leaving and staff.manager[person] != NO_MANAGER:
                    leaving.add(person)
                    break
        successors = self._replace_managers(leaving)
        for person in sorted(leaving):
            staff.works[person] = 0
            self._busy[person] = 1
            self._company.gone.append(person)
            self._changes.left.append(person)
        departments = self._departments
        for number, head in enumerate(departments.head):
            if head in leaving:
                departments.head[number] = self._staying_manager(head, leaving, successors)

    def _replace_managers(self, leaving: set[int]) -> dict[int, int]:
        """Gives everyone a manager who stays.

        Returns the successors of those who leave: leaver -> successor.

        The successor is the first person who reports to the leaver and works in the same department, if there is one.
        """
        staff = self._staff
        reports = [
            person
            for person, manager in enumerate(staff.manager)
            if manager in leaving and staff.works[person] and person not in leaving
        ]
        successors: dict[int, int] = {}
        for person in reports:
            if staff.department[person] == staff.department[staff.manager[person]]:
                successors.setdefault(staff.manager[person], person)
        for person in reports:
            manager = staff.manager[person]
            if successors.get(manager) == person:
                manager = staff.manager[manager]
                staff.grade[person] = len(GRADES) - 1
            staff.manager[person] = self._staying_manager(manager, leaving, successors)
            self._busy[person] = 1
        return successors

    def _staying_manager(self, manager: int, leaving: set[int], successors: dict[int, int]) -> int:
        while manager in leaving:
            manager = successors.get(manager, self._staff.manager[manager])
        return manager
