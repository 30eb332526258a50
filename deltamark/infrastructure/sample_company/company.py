"""The company, as its HR system has it."""

from __future__ import annotations

from datetime import date

from deltamark.infrastructure.sample_company.departments import NO_MANAGER, Departments
from deltamark.infrastructure.sample_company.draws import Draws
from deltamark.infrastructure.sample_company.functions import GRADES
from deltamark.infrastructure.sample_company.names import PersonNames
from deltamark.infrastructure.sample_company.staff import Staff

FIRST_DAY = date(2026, 1, 5).toordinal()
YEARS_BACK = 25
TEAM_SIZE = 12


class Company:
    """The people and departments. Managers form a tree.

    The same size and seed always give the same company, on each of its days.

    :param departments: their number; None for one for every 40 people.
    """

    def __init__(self, people: int, seed: int, departments: int | None = None) -> None:
        self.size = people
        self.day = 0
        self.departments = Departments(10 + people // 40 if departments is None else departments)
        self.staff = Staff(PersonNames())
        self.seed = seed
        self.gone: list[int] = []
        self._hire_everyone(Draws(seed, "people"))

    def _hire_everyone(self, draws: Draws) -> None:
        """Hires the heads of departments first.

        Managers then exist before those who report to them.
        """
        departments, staff = self.departments, self.staff
        for number in range(len(departments)):
            boss = departments.boss_of(number, NO_MANAGER)
            departments.head[number] = staff.hire(draws, number, boss, _some_past_day(draws))
            staff.grade[-1] = len(GRADES) - 1
        staff.phone[0] = staff.phone[0] or 100_000
        leads = list(departments.head)
        sizes = [0] * len(departments)
        for _ in range(len(departments), self.size):
            department = 1 + draws.below(len(departments) - 1)
            sizes[department] += 1
            leads_team = sizes[department] % TEAM_SIZE == 0
            manager = departments.head[department] if leads_team else leads[department]
            person = staff.hire(draws, department, manager, _some_past_day(draws))
            if leads_team:
                leads[department] = person


def _some_past_day(draws: Draws) -> int:
    return FIRST_DAY - 30 - draws.below(365 * YEARS_BACK)
