"""Generating the extracts of a company on one of its days."""

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
    """Writes the extracts of a company as they stand on one of its days; gives back the files.

    `HR_Person.csv` and `HR_Department.csv`, then `AD_Account.csv`, then `AD_Group.csv` and `AD_GroupMember.csv`.
    The same arguments give the same bytes on every machine. Day n is day n - 1 with the changes of one day, so
    that each day costs a little time. Files of these names that are there are replaced; others are left alone.

    :param folder: made if it is not there.
    :param people: how many there are on the first day, from 20 to 5,000,000; about 100 bytes of memory each.
    :param day: 0 is the first; at most 10,000.
    :param departments: how many there are on the first day, from 10 to half as many as people; one for every 40
        people unless given.
    :param accounts: whether the directory is written too.
    :param groups: whether its groups are.
    :raises UsageError: if there is no such company, or if the folder is a file.
    """
    _check(folder, people, day, departments, accounts=accounts, groups=groups)
    company = Company(people, seed, departments)
    directory = Directory(company) if accounts else None
    following = DirectoryDays(directory) if directory else None
    grouped = Groups(directory) if directory and groups else None
    for _ in range(day):
        happened = next_day(company)
        if following:
            following.follow(happened)
        if grouped:
            grouped.next_day()
    folder.mkdir(parents=True, exist_ok=True)
    files = [
        write_extract(folder / "HR_Person.csv", PERSON_COLUMNS, person_rows(company)),
        write_extract(folder / "HR_Department.csv", DEPARTMENT_COLUMNS, department_rows(company)),
    ]
    if directory:
        files.append(write_extract(folder / "AD_Account.csv", ACCOUNT_COLUMNS, account_rows(directory)))
    if directory and grouped:
        files.append(write_extract(folder / "AD_Group.csv", GROUP_COLUMNS, group_rows(grouped)))
        files.append(write_extract(folder / "AD_GroupMember.csv", MEMBER_COLUMNS, member_rows(grouped, directory)))
    return files


def _check(folder: Path, people: int, day: int, departments: int | None, *, accounts: bool, groups: bool) -> None:
    if not FEWEST_PEOPLE <= people <= MOST_PEOPLE:
        raise UsageError(f"a company has from {FEWEST_PEOPLE} to {MOST_PEOPLE} people here, not {people}.")
    if not 0 <= day <= LAST_DAY:
        raise UsageError(f"a company's days are numbered from 0 to {LAST_DAY}; there is no day {day}.")
    if departments is not None and not FEWEST_DEPARTMENTS <= departments <= people // 2:
        raise UsageError(
            f"a company of {people} people has from {FEWEST_DEPARTMENTS} to {people // 2} departments here, not "
            f"{departments}."
        )
    if groups and not accounts:
        raise UsageError("groups have accounts as their members: write the accounts too, or leave out the groups.")
    if folder.exists() and not folder.is_dir():
        raise UsageError(f"{folder} is a file. Name a folder for the extracts.")
