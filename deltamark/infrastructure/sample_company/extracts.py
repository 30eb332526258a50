"""The rows of the company's extracts: one CSV file for each kind of resource."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Iterator
from datetime import date
from io import TextIOWrapper
from pathlib import Path

from deltamark.infrastructure.sample_company.ascii_names import without_marks
from deltamark.infrastructure.sample_company.company import Company
from deltamark.infrastructure.sample_company.departments import NO_MANAGER, NOWHERE
from deltamark.infrastructure.sample_company.directory import (
    ALL_CAPITALS,
    CAPITALS,
    MINUTES_A_DAY,
    NO_ADDRESS,
    OLD_DOMAIN,
    SERVICE,
    SERVICES,
    Directory,
)
from deltamark.infrastructure.sample_company.functions import FUNCTIONS, GRADES, TOP_TITLE
from deltamark.infrastructure.sample_company.groups import ALL_STAFF, Groups
from deltamark.infrastructure.sample_company.sites import SITES
from deltamark.infrastructure.sample_company.staff import NO_MAIL, NO_PHONE, NO_PLACE
from deltamark.infrastructure.system.atomic_file import whole_file

DOMAIN = "meridian.example"
FORMER_DOMAIN = "meridian-group.example"

Row = tuple[str, ...]


def write_extract(path: Path, columns: Row, rows: Iterable[Row]) -> Path:
    """Writes a CSV file in UTF-8 with a header.

    Lines end with a line feed on every machine.
    """
    with whole_file(path) as stream:
        file = TextIOWrapper(stream, encoding="utf-8", newline="")
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(columns)
        writer.writerows(rows)
        file.detach()
    return path


def employee_id(person: int) -> str:
    """The id of a person, such as ``E00042``."""
    return f"E{person + 1:05d}"


def department_code(department: int) -> str:
    """The code of a department, such as ``D0042``."""
    return f"D{department:04d}"


PERSON_COLUMNS = (
    "EmployeeId",
    "FirstName",
    "LastName",
    "Mail",
    "Phone",
    "Title",
    "Location",
    "HireDate",
    "Department",
    "Manager",
)


def person_rows(company: Company) -> Iterator[Row]:
    """The present people of the company, in the order of their numbers."""
    staff, departments = company.staff, company.departments
    given, surnames = staff.names.given, staff.names.surnames
    codes = [department_code(number) for number in range(len(departments))]
    titles = _titles(company)
    heads = {head: number for number, head in reversed(list(enumerate(departments.head))) if departments.exists[number]}
    dates: dict[int, str] = {}
    for person in range(len(staff)):
        if not staff.works[person]:
            continue
        first, last, department = staff.given[person], staff.surname[person], staff.department[person]
        mail, phone, place, manager = (
            staff.mail[person],
            staff.phone[person],
            staff.place[person],
            staff.manager[person],
        )
        hired = staff.hired[person]
        if hired not in dates:
            dates[hired] = date.fromordinal(hired).isoformat()
        title = titles[departments.function[department]][staff.work[person] * len(GRADES) + staff.grade[person]]
        if person in heads:
            title = _title_of_head(company, heads[person])
        prefix = SITES[0 if place == NO_PLACE else place].prefix
        yield (
            f"E{person + 1:05d}",
            given.texts[first],
            surnames.texts[last],
            "" if mail == NO_MAIL else f"{given.plain[first]}.{surnames.plain[last]}{_number_suffix(mail)}@{DOMAIN}",
            "" if phone == NO_PHONE else f"{prefix} {phone}",
            title,
            "" if place == NO_PLACE else SITES[place].city,
            dates[hired],
            codes[department],
            "" if manager == NO_MANAGER else f"E{manager + 1:05d}",
        )


def _number_suffix(mail: int) -> str:
    return "" if mail == 1 else str(mail)


def _titles(company: Company) -> list[list[str]]:
    """The titles of each function, by work and grade.

    The last are those of the board, which has no function.
    """
    works = [function.work for function in FUNCTIONS[: company.departments.functions]]
    return [[f"{grade}{work}" for work in titles for grade in GRADES] for titles in [*works, ("Assistant",) * 4]]


def _title_of_head(company: Company, department: int) -> str:
    if department == 0:
        return TOP_TITLE
    if department <= company.departments.functions:
        return FUNCTIONS[department - 1].chief
    return f"Head of {company.departments.names[department]}"


DEPARTMENT_COLUMNS = ("Code", "Name", "Parent", "Head")


def department_rows(company: Company) -> Iterator[Row]:
    """The present departments, parents first."""
    departments = company.departments
    for number, name in enumerate(departments.names):
        if departments.exists[number]:
            parent, head = departments.parent[number], departments.head[number]
            yield (
                department_code(number),
                name,
                "" if parent == NOWHERE else department_code(parent),
                "" if head == NO_MANAGER else employee_id(head),
            )


ACCOUNT_COLUMNS = ("SamAccountName", "DisplayName", "Mail", "Enabled", "WhenCreated", "Description")


def account_rows(directory: Directory) -> Iterator[Row]:
    """The accounts in the order of their creation, with times as a directory writes them."""
    names = directory.company.staff.names
    dates: dict[int, str] = {}
    for account in range(len(directory)):
        if not directory.exists[account]:
            continue
        given, surname = directory.given[account], directory.surname[account]
        day, minutes = divmod(directory.created[account], MINUTES_A_DAY)
        if day not in dates:
            dates[day] = date.fromordinal(day).strftime("%Y%m%d")
        login = directory.logins.text(account)
        if directory.person[account] == SERVICE:
            display, description = f"{SERVICES[given][1]} {directory.logins.number[account]}", "Service account"
        else:
            display, description = f"{names.surnames.texts[surname]} {names.given.texts[given]}", ""
            if directory.is_plain[account]:
                display = without_marks(display)
        yield (
            login,
            display,
            _account_mail(directory, account),
            "true" if directory.enabled[account] else "false",
            f"{dates[day]}{minutes // 60:02d}{minutes % 60:02d}00.0Z",
            description,
        )


def _account_mail(directory: Directory, account: int) -> str:
    style, mail = directory.mail_style[account], directory.mail[account]
    if style == NO_ADDRESS or mail == NO_MAIL:
        return ""
    names = directory.company.staff.names
    given, surname = names.given.plain[directory.given[account]], names.surnames.plain[directory.surname[account]]
    local = f"{given}.{surname}{_number_suffix(mail)}"
    if style == CAPITALS:
        return f"{local.title()}@{DOMAIN.capitalize()}"
    if style == ALL_CAPITALS:
        return f"{local}@{DOMAIN}".upper()
    return f"{local}@{FORMER_DOMAIN if style == OLD_DOMAIN else DOMAIN}"


GROUP_COLUMNS = ("Name", "Description", "Scope")


def group_rows(groups: Groups) -> Iterator[Row]:
    """The large groups, then the small ones."""
    yield ALL_STAFF, "Everybody with an account", "Global"
    for _, name, description in groups.functions():
        yield name, description, "Global"
    for number, name in enumerate(groups.names):
        if groups.exists[number]:
            yield name, groups.descriptions[number], "DomainLocal" if name.startswith("FS-") else "Global"


MEMBER_COLUMNS = ("Group", "Member")


def member_rows(groups: Groups, directory: Directory) -> Iterator[Row]:
    """The members, group by group."""
    text = directory.logins.text
    for account in _enabled_people(directory):
        yield ALL_STAFF, text(account)
    staff, function = directory.company.staff, directory.company.departments.function
    by_function = {number: name for number, name, _ in groups.functions()}
    people: dict[int, list[int]] = {number: [] for number in by_function}
    for account in _enabled_people(directory):
        of_person = function[staff.department[directory.person[account]]]
        if of_person in people:
            people[of_person].append(account)
    for number, accounts in people.items():
        for account in accounts:
            yield by_function[number], text(account)
    for number, name in enumerate(groups.names):
        if groups.exists[number]:
            for account in groups.members[number]:
                if directory.exists[account]:
                    yield name, text(account)


def _enabled_people(directory: Directory) -> Iterator[int]:
    for account, person in enumerate(directory.person):
        if person >= 0 and directory.enabled[account] and directory.exists[account]:
            yield account
