"""The days of the directory, which follows HR imperfectly: some accounts late, some never."""

from __future__ import annotations

from deltamark.infrastructure.sample_company.company import FIRST_DAY
from deltamark.infrastructure.sample_company.day import TRIES, DayOfChanges
from deltamark.infrastructure.sample_company.directory import (
    CAPITALS,
    KEPT_DAYS,
    NO_ACCOUNT,
    NO_ADDRESS,
    OLD_DOMAIN,
    SERVICE,
    Directory,
)
from deltamark.infrastructure.sample_company.draws import Draws
from deltamark.infrastructure.sample_company.staff import NO_MAIL

ON_TIME = 0.9
DISABLED_AT_ALL = 0.9


class DirectoryDays:
    """Moves a directory on, day by day."""

    def __init__(self, directory: Directory) -> None:
        self._directory = directory
        self._late: list[int] = []

    def follow(self, changes: DayOfChanges) -> None:
        """Moves the directory to the day of the company, on which HR recorded these changes."""
        directory = self._directory
        day, size = directory.company.day, directory.company.size
        draws = Draws(directory.company.seed, f"accounts on day {day}")
        self._delete_old(day)
        late, self._late = self._late, []
        for person in late:
            self._update_account(draws, person)
        for person in (*changes.hired, *changes.renamed):
            if draws.chance(ON_TIME):
                self._update_account(draws, person)
            else:
                self._late.append(person)
        for person in changes.returned:
            self._update_account(draws, person)
        for person in changes.left:
            account = directory.of(person)
            if account != NO_ACCOUNT and draws.chance(DISABLED_AT_ALL):
                directory.disable(account, day)
        for _ in range(draws.about(size * 0.0002, at_least=1)):
            self._correct_mail(draws)
        for _ in range(draws.about(size * 0.00002, at_least=int(day % 4 == 2))):
            directory.open_service(draws, FIRST_DAY + day)
        for _ in range(draws.about(size * 0.00002, at_least=int(day % 4 == 0))):
            self._retire_service(draws)

    def _update_account(self, draws: Draws, person: int) -> None:
        """Creates the account of a person, or updates it."""
        directory = self._directory
        if not directory.company.staff.works[person]:
            return
        account = directory.of(person)
        if account == NO_ACCOUNT:
            directory.open(draws, person, FIRST_DAY + directory.company.day)
            return
        directory.copy_name(account)
        if not directory.enabled[account]:
            directory.enable(account)

    def _delete_old(self, day: int) -> None:
        """Deletes the accounts that were disabled long ago, and at least the oldest."""
        directory = self._directory
        count = sum(1 for disabled_on, _ in directory.disabled if disabled_on <= day - KEPT_DAYS) or 1
        for _, account in directory.disabled[:count]:
            directory.exists[account] = 0
        del directory.disabled[:count]

    def _retire_service(self, draws: Draws) -> None:
        directory = self._directory
        for _ in range(TRIES):
            account = draws.below(len(directory))
            if directory.person[account] == SERVICE and directory.enabled[account]:
                directory.disable(account, directory.company.day)
                return

    def _correct_mail(self, draws: Draws) -> None:
        """Corrects the mail address of an account."""
        directory = self._directory
        staff = directory.company.staff
        for _ in range(TRIES):
            account = draws.below(len(directory))
            person = directory.person[account]
            if (
                person >= 0
                and directory.enabled[account]
                and directory.mail_style[account] in (OLD_DOMAIN, NO_ADDRESS)
                and staff.mail[person] != NO_MAIL
            ):
                directory.copy_name(account)
                directory.mail_style[account] = CAPITALS
                return
