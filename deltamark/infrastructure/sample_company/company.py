"""The company as its HR system knows it, and what a day changes in it."""

from __future__ import annotations

from datetime import date

from deltamark.infrastructure.sample_company.departments import NOBODY, Departments
from deltamark.infrastructure.sample_company.draws import Draws
from deltamark.infrastructure.sample_company.functions import GRADES
from deltamark.infrastructure.sample_company.names import Names
from deltamark.infrastructure.sample_company.staff import Staff

FIRST_DAY = date(2026, 1, 5).toordinal()
YEARS_BACK = 25
TEAM_SIZE = 12


class Company:
    """People and departments. Managers are a tree: whoever is above somebody is never below them.

    A company of a size and a seed is always the same, and so is each day of it.

    :param departments: how many it has; None for one for every 40 people.
    """

    def __init__(self, people: int, seed: int, departments: int | None = None) -> None:
        self.size = people
        self.day = 0
        self.departments = Departments(10 + people // 40 if departments is None else departments)
        self.staff = Staff(Names())
        self.seed = seed
        self.gone: list[int] = []
        self._people(Draws(seed, "people"))

    def _people(self, draws: Draws) -> None:
        """The first of everybody head the departments, so that managers are there before those who report to them."""
        departments, staff = self.departments, self.staff
        for number in range(len(departments)):
            boss = departments.boss_of(number, NOBODY)
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
