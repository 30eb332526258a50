"""The accounts of the company's directory."""

from __future__ import annotations

from array import array

from deltamark.infrastructure.sample_company.company import FIRST_DAY, Company
from deltamark.infrastructure.sample_company.draws import Draws
from deltamark.infrastructure.sample_company.names import CULTURE_NAMES
from deltamark.infrastructure.sample_company.staff import NO_MAIL

NO_PERSON = -1
SERVICE = -2
NO_ACCOUNT = -1
MINUTES_A_DAY = 24 * 60
LONGEST_LOGIN = 16
KEPT_DAYS = 30
"""The days after which a disabled account is deleted."""

SAME, CAPITALS, ALL_CAPITALS, OLD_DOMAIN, NO_ADDRESS = range(5)
"""The mail address of an account: as in HR, capitalized, in capitals, with the former domain, or none."""
_STYLES = ((0.30, SAME), (0.88, CAPITALS), (0.93, ALL_CAPITALS), (0.96, OLD_DOMAIN), (1.0, NO_ADDRESS))

SERVICES = (
    ("svc-backup", "Backup agent"),
    ("svc-print", "Print server"),
    ("svc-scan", "Document scanner"),
    ("svc-sql", "Database service"),
    ("svc-web", "Web server"),
    ("svc-monitor", "Monitoring probe"),
    ("svc-build", "Build agent"),
    ("svc-sync", "Directory synchronization"),
    ("svc-mail", "Mail relay"),
    ("svc-erp", "ERP interface"),
)


class Logins:
    """Unique logins: a stem, plus a number from the second account with that stem on."""

    def __init__(self) -> None:
        self.stem = array("I")
        self.number = array("I")
        self._stems: list[str] = []
        self._index: dict[str, int] = {}
        self._count = array("I")

    def add(self, stem: str) -> None:
        """Adds the login of the next account."""
        index = self._index.setdefault(stem, len(self._stems))
        if index == len(self._stems):
            self._stems.append(stem)
            self._count.append(0)
        self._count[index] += 1
        self.stem.append(index)
        self.number.append(self._count[index])

    def text(self, account: int) -> str:
        """The login of an account."""
        number = self.number[account]
        stem = self._stems[self.stem[account]]
        return stem if number == 1 else f"{stem}{number}"


class Directory:
    """Accounts, numbered in the order in which they were created, in columns like the staff.

    An account has the name of its person at the time of its last update, and keeps its login. `person` is `SERVICE` for
    a service account (`given` is then its service) and `NO_PERSON` for one from before the HR system. `disabled` holds
    the disabled accounts, the longest disabled first.
    """

    def __init__(self, company: Company) -> None:
        self.company = company
        self.logins = Logins()
        self.person = array("i")
        self.given = array("H")
        self.surname = array("I")
        self.mail = array("I")
        self.mail_style = bytearray()
        self.is_plain = bytearray()
        self.enabled = bytearray()
        self.exists = bytearray()
        self.created = array("I")
        self.account_of = array("i")
        self.disabled: list[tuple[int, int]] = []
        self._populate(Draws(company.seed, "accounts"))

    def __len__(self) -> int:
        return len(self.person)

    def _populate(self, draws: Draws) -> None:
        staff = self.company.staff
        for person in range(len(staff)):
            if draws.chance(0.96):
                self.open(draws, person, min(staff.hired[person], FIRST_DAY - 2))
        for _ in range(max(2, len(staff) // 50)):
            self.open_service(draws, FIRST_DAY - 10 - draws.below(2000))
        days = sorted(-1 - draws.below(KEPT_DAYS) for _ in range(max(3, len(staff) // 200)))
        for day in days:
            self._add_leftover(draws, day)

    def _add_leftover(self, draws: Draws, disabled_on: int) -> None:
        """Adds a disabled account of a person who left before the first day."""
        names = self.company.staff.names
        culture, is_woman = draws.below(len(CULTURE_NAMES)), draws.below(2)
        given, surname = names.draw_given(draws, culture, is_woman), names.draw_surname(draws, culture, is_woman)
        self.logins.add(self._stem(given, surname))
        account = self._add(draws, NO_PERSON, given, surname, FIRST_DAY - 200 - draws.below(2000))
        self.mail_style[account] = NO_ADDRESS
        self.disable(account, disabled_on)

    def open(self, draws: Draws, person: int, day: int) -> None:
        """Creates an account for a person on a day, as in `date.toordinal`."""
        staff = self.company.staff
        self.logins.add(self._stem(staff.given[person], staff.surname[person]))
        account = self._add(draws, person, staff.given[person], staff.surname[person], day)
        self._extend_to(person)
        self.account_of[person] = account
        self.copy_name(account)

    def open_service(self, draws: Draws, day: int) -> None:
        """Creates an account that belongs to no person."""
        service = draws.below(len(SERVICES))
        self.logins.add(SERVICES[service][0])
        account = self._add(draws, SERVICE, service, 0, day)
        self.mail_style[account] = NO_ADDRESS

    def _stem(self, given: int, surname: int) -> str:
        names = self.company.staff.names
        return f"{names.given.plain[given][0]}{names.surnames.plain[surname].replace('-', '')}"[:LONGEST_LOGIN]

    def _add(self, draws: Draws, person: int, given: int, surname: int, day: int) -> int:
        fraction = draws.fraction()
        self.person.append(person)
        self.given.append(given)
        self.surname.append(surname)
        self.mail.append(NO_MAIL)
        self.mail_style.append(next(style for limit, style in _STYLES if fraction < limit))
        self.is_plain.append(draws.chance(0.06))
        self.enabled.append(1)
        self.exists.append(1)
        self.created.append(day * MINUTES_A_DAY + 7 * 60 + draws.below(10 * 60))
        return len(self.person) - 1

    def _extend_to(self, person: int) -> None:
        while len(self.account_of) <= person:
            self.account_of.append(NO_ACCOUNT)

    def of(self, person: int) -> int:
        """The account of a person, or `NO_ACCOUNT`."""
        self._extend_to(person)
        account = self.account_of[person]
        return account if account != NO_ACCOUNT and self.exists[account] else NO_ACCOUNT

    def copy_name(self, account: int) -> None:
        """Copies the present name and mail address from HR."""
        staff, person = self.company.staff, self.person[account]
        self.given[account] = staff.given[person]
        self.surname[account] = staff.surname[person]
        self.mail[account] = staff.mail[person]

    def disable(self, account: int, day: int) -> None:
        """Disables an account on the n-th day."""
        self.enabled[account] = 0
        self.disabled.append((day, account))

    def enable(self, account: int) -> None:
        """Enables an account again."""
        self.enabled[account] = 1
        self.disabled = [entry for entry in self.disabled if entry[1] != account]
