"""The groups of the directory and their members."""

from __future__ import annotations

from array import array
from collections.abc import Iterator
from datetime import date

from deltamark.infrastructure.sample_company.company import FIRST_DAY
from deltamark.infrastructure.sample_company.directory import Directory
from deltamark.infrastructure.sample_company.draws import Draws
from deltamark.infrastructure.sample_company.functions import FUNCTIONS

ALL_STAFF = "GG-All-Staff"
KINDS = (
    ("PRJ", "Members of project {}"),
    ("APP", "Users of the application {}"),
    ("FS", "Write access to the share {}"),
)
_GROUP_NAMES = (
    "Albatros Aurora Basalt Bora Cassini Ceres Delta Drina Ebro Elara Fjord Föhn Galileo Glacier Helios Horizon "
    "Iris Isar Jura Kelvin Kepler Krypton Lagoon Libra Maestral Meltemi Mistral Neva Nimbus Orion Ostro Pallas "
    "Petrel Quartz Rhea Rhône Scirocco Sirius Tagus Tempest Titan Umbra Vega Vesta Volga Weser Xenon Zephyr"
)
WORDS = tuple(_GROUP_NAMES.split())


class Groups:
    """Small groups with their members, and large groups whose members follow from the staff.

    Everyone with an enabled account is in a group of all, and in a group of their function.
    """

    def __init__(self, directory: Directory) -> None:
        self._directory = directory
        self.names: list[str] = []
        self.descriptions: list[str] = []
        self.exists = bytearray()
        self.members: list[array[int]] = []
        draws = Draws(directory.company.seed, "groups")
        for _ in range(max(8, len(directory.company.staff) // 8)):
            self._open(draws, 3 + int(18 * draws.small_fraction()))

    def _open(self, draws: Draws, members: int) -> None:
        number = len(self.names)
        kind, description = KINDS[number % len(KINDS)]
        word = WORDS[number // len(KINDS) % len(WORDS)]
        again = number // (len(KINDS) * len(WORDS))
        self.names.append(f"{kind}-{word}-{again + 1}" if again else f"{kind}-{word}")
        self.descriptions.append(description.format(word))
        self.exists.append(1)
        chosen = dict.fromkeys(draws.below(len(self._directory)) for _ in range(members))
        self.members.append(array("I", (account for account in chosen if self._directory.enabled[account])))

    def next_day(self) -> None:
        """Moves the groups on by a day.

        Members are added and removed, groups are created, reviewed and deleted.
        """
        company = self._directory.company
        draws = Draws(company.seed, f"groups on day {company.day}")
        for _ in range(draws.about(company.size * 0.0012, at_least=1)):
            self._remove_member(draws)
        for _ in range(draws.about(company.size * 0.0015, at_least=1)):
            self._add_member(draws)
        for _ in range(draws.about(len(self.names) * 0.001, at_least=1)):
            self._review(draws, FIRST_DAY + company.day)
        for _ in range(draws.about(len(self.names) * 0.0004, at_least=int(company.day % 3 == 0))):
            self.exists[self._any(draws)] = 0
        for _ in range(draws.about(len(self.names) * 0.0004, at_least=int(company.day % 3 == 2))):
            self._open(draws, 3)

    def _any(self, draws: Draws) -> int:
        while not self.exists[group := draws.below(len(self.names))]:
            pass
        return group

    def _remove_member(self, draws: Draws) -> None:
        members = self.members[self._any(draws)]
        if len(members) > 1:
            members.pop(draws.below(len(members)))

    def _add_member(self, draws: Draws) -> None:
        members, account = self.members[self._any(draws)], draws.below(len(self._directory))
        if self._directory.enabled[account] and self._directory.exists[account] and account not in members:
            members.append(account)

    def _review(self, draws: Draws, day: int) -> None:
        group = self._any(draws)
        description = self.descriptions[group].split(" (reviewed")[0]
        self.descriptions[group] = f"{description} (reviewed {date.fromordinal(day)})"

    def functions(self) -> Iterator[tuple[int, str, str]]:
        """The groups of the functions: number of the function, name, description."""
        for number in range(self._directory.company.departments.functions):
            name = FUNCTIONS[number].name
            yield number, f"GG-{name.replace(' & ', '-').replace(' ', '-')}", f"Everybody in {name}"
