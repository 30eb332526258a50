"""The departments: a tree that grows in a fixed order of names."""

from __future__ import annotations

from array import array

from deltamark.infrastructure.sample_company.draws import Draws
from deltamark.infrastructure.sample_company.functions import BOARD, FUNCTIONS, TEAMS_EACH
from deltamark.infrastructure.sample_company.sites import CITIES

NO_MANAGER = -1
NOWHERE = -1


class Departments:
    """All departments, closed ones too, by number.

    The board is 0, and parents come before their children.

    The number of a department decides its kind: first the functions, then their teams, then the branches of the teams
    in the cities, then further branches in each city.
    """

    def __init__(self, count: int) -> None:
        self.functions = min(len(FUNCTIONS), count // 2)
        self.names: list[str] = []
        self.parent = array("i")
        self.function = array("b")
        self.head = array("i")
        self.exists = bytearray()
        for _ in range(count):
            self.open(NO_MANAGER)

    def __len__(self) -> int:
        return len(self.names)

    def open(self, head: int) -> int:
        """Opens the next department in the order of names, and returns its number."""
        number = len(self.names)
        name, parent, function = self._plan(number)
        while parent > 0 and not self.exists[parent]:
            parent = self.parent[parent]
        self.names.append(name)
        self.parent.append(parent)
        self.function.append(function)
        self.head.append(head)
        self.exists.append(1)
        return number

    def _plan(self, number: int) -> tuple[str, int, int]:
        """Name, parent and function of the n-th department."""
        functions, teams = self.functions, self.functions * TEAMS_EACH
        if number == 0:
            return BOARD, NOWHERE, NOWHERE
        if number <= functions:
            return FUNCTIONS[number - 1].name, 0, number - 1
        team = number - 1 - functions
        if team < teams:
            function = team % functions
            return FUNCTIONS[function].teams[team // functions], 1 + function, function
        branch = team - teams
        if branch < teams * len(CITIES):
            parent = 1 + functions + branch % teams
            return f"{self.names[parent]} {CITIES[branch // teams]}", parent, self.function[parent]
        more = branch - teams * len(CITIES)
        parent = 1 + functions + teams + more % (teams * len(CITIES))
        return f"{self.names[parent]} {2 + more // (teams * len(CITIES))}", parent, self.function[parent]

    def close(self, number: int) -> None:
        """Closes a department that has no departments below it."""
        self.exists[number] = 0

    def rename(self, number: int, draws: Draws) -> None:
        """Gives a department a new name."""
        name = self.names[number]
        short = name.removeprefix("Global ").removesuffix(" Services").removesuffix(" & Operations")
        options = [f"Global {short}", f"{short} Services", f"{short} & Operations", short]
        self.names[number] = draws.one_of([option for option in options if option != name])

    def boss_of(self, number: int, person: int) -> int:
        """The head to whom a person of a department reports.

        That is the nearest one above the person, or `NO_MANAGER` at the top.
        """
        while number >= 0:
            head = self.head[number]
            if self.exists[number] and head not in (NO_MANAGER, person):
                return head
            number = self.parent[number]
        return NO_MANAGER

    def is_leaf(self) -> bytearray:
        """For each department, whether it has no departments below it."""
        leaf = bytearray(b"\1" * len(self.names))
        for number, parent in enumerate(self.parent):
            if parent >= 0 and self.exists[number]:
                leaf[parent] = 0
        return leaf
