"""Generates the extracts of a company on one of its days."""

from __future__ import annotations

from pathlib import Path

from deltamark.domain.errors import UsageError
from deltamark.infrastructure.sample_company.company import Company
from deltamark.infrastructure.sample_company.day import next_day
from deltamark.infrastructure.sample_company.directory import Directory
from deltamark.infrastructure.sample_company.directory_day import DirectoryDays
from deltamark.infrastructure.sample_company.extracts import (
    ACCOUNT_COLUMNS,
    DEPARTMENT_COLUMNS,
    GROUP_COLUMNS,
    MEMBER_COLUMNS,
    PERSON_COLUMNS,
    account_rows,
    department_rows,
    group_rows,
    member_rows,
    person_rows,
    write_extract,
)
from deltamark.infrastructure.sample_company.groups import Groups

FEWEST_PEOPLE = 20
MOST_PEOPLE = 5_000_000
FEWEST_DEPARTMENTS = 10
LAST_DAY = 10_000
EXTRACTS = ("HR_Person.csv", "HR_Department.csv", "AD_Account.csv", "AD_Group.csv", "AD_GroupMember.csv")
"""The files of a company with accounts and groups."""


def generate(
    folder: Path,
    *,
    people: int,
    seed: int = 1,
    day: int = 0,
    departments: int | None = None,
    accounts: bool = True,
    groups: bool = True,
) -> list[Path]:
    """Writes the extracts of a company on one of its days, and returns the files.

    The files are `HR_Person.csv` and `HR_Department.csv`, then `AD_Account.csv`, then `AD_Group.csv` and
    `AD_GroupMember.csv`. The same arguments give the same bytes on every machine. A day is made from the day before, so
    the time grows with the day. Existing files of these names are replaced; others are left alone.

    :param folder: is created if it is missing.
    :param people: their number on the first day, from 20 to 5,000,000; each takes about 100 bytes of memory.
    :param day: 0 is the first; at most 10,000.
    :param departments: their number on the first day, from 10 to half that of people; by default one for every 40
        people.
    :param accounts: whether to write the accounts of the directory too.
    :param groups: whether to write its groups too.
    :raises UsageError: if an argument is out of range, or if the folder is a file.
    """
    _check(folder, people, day, departments, accounts=accounts, groups=groups)
    company = Company(people, seed, departments)
    directory = Directory(company) if accounts else None
    directory_days = DirectoryDays(directory) if directory else None
    directory_groups = Groups(directory) if directory and groups else None
    for _ in range(day):
        changes = next_day(company)
        if directory_days:
            directory_days.follow(changes)
        if directory_groups:
            directory_groups.next_day()
    folder.mkdir(parents=True, exist_ok=True)
    files = [
        write_extract(folder / "HR_Person.csv", PERSON_COLUMNS, person_rows(company)),
        write_extract(folder / "HR_Department.csv", DEPARTMENT_COLUMNS, department_rows(company)),
    ]
    if directory:
        files.append(write_extract(folder / "AD_Account.csv", ACCOUNT_COLUMNS, account_rows(directory)))
    if directory and directory_groups:
        files.append(write_extract(folder / "AD_Group.csv", GROUP_COLUMNS, group_rows(directory_groups)))
        files.append(
            write_extract(folder / "AD_GroupMember.csv", MEMBER_COLUMNS, member_rows(directory_groups, directory))
        )
    return files


def _check(folder: Path, people: int, day: int, departments: int | None, *, accounts: bool, groups: bool) -> None:
    if not FEWEST_PEOPLE <= people <= MOST_PEOPLE:
        raise UsageError(f"the number of people must be from {FEWEST_PEOPLE} to {MOST_PEOPLE}, not {people}.")
    if not 0 <= day <= LAST_DAY:
        raise UsageError(f"the day must be from 0 to {LAST_DAY}, not {day}.")
    if departments is not None and not FEWEST_DEPARTMENTS <= departments <= people // 2:
        raise UsageError(
            f"the number of departments must be from {FEWEST_DEPARTMENTS} to {people // 2} for {people} people, not "
            f"{departments}."
        )
    if groups and not accounts:
        raise UsageError("groups need accounts as their members. Write the accounts too, or leave out the groups.")
    if folder.exists() and not folder.is_dir():
        raise UsageError(f"{folder} is a file. Name a folder for the extracts.")
