"""The generated company: reproducible, consistent, and realistic from day to day."""

from __future__ import annotations

import subprocess
import sys
from itertools import pairwise
from pathlib import Path

import pytest

from deltamark import UsageError
from deltamark.infrastructure.sample_company import generate
from tests.sample_company.extract_tables import EXTRACTS, Day, digests

DAY_0 = {
    "AD_Account.csv": "b7bc8faa568b022754de4fac86089428181e1eaa269e71b287b02152d988b1ca",
    "AD_Group.csv": "3ec4936beb3bce92f3574d7088bd2d1778ec0c6640eace05657024fcf7d079c0",
    "AD_GroupMember.csv": "77ef2994a224509c0e53c91d6d184519d622706393ffc7c5aac0c92d7d5128cd",
    "HR_Department.csv": "04ce45558f88a2682058e9343f54e2c02c157244f32723b5dd858cb2cb2e08be",
    "HR_Person.csv": "0a3c020c2b6487f3af1ed49d4f7a5a48c3550160a1a1c7d556d2cd04e24d9ffd",
}
DAY_2 = {
    "AD_Account.csv": "bd90b04b7473d6b526a7a13ff5385bf30d171e6053aacb66c0760bae5de1e85b",
    "AD_Group.csv": "ea273513e5f76cfe43e32612c6a13037979b48bc272c712d150c2c0b4f2d7736",
    "AD_GroupMember.csv": "50db67bb8af10a32cbdf31d56c6b0d8ba05c0eff54202ac75fc0f1a0f679da39",
    "HR_Department.csv": "3e595a985b3f141452f1ece288ef684e7e39675e9036b2528618d5ebb6b187fa",
    "HR_Person.csv": "cc05d28e7d8b0b241f33f4154987c12e4f1f98552a04d1435fe30fb12d053f25",
}


def test_a_seed_gives_the_same_bytes_on_every_machine(tmp_path: Path) -> None:
    generate(tmp_path / "first", people=100, seed=1, day=0)
    generate(tmp_path / "third", people=100, seed=1, day=2)

    assert digests(tmp_path / "first") == DAY_0
    assert digests(tmp_path / "third") == DAY_2


def test_the_hash_seed_of_the_interpreter_does_not_matter(tmp_path: Path) -> None:
    for seed in ("1", "2"):
        command = [sys.executable, "-m", "deltamark.infrastructure.sample_company", tmp_path / seed, "--people", "150"]
        subprocess.run([*command, "--day", "4"], check=True, capture_output=True, env={"PYTHONHASHSEED": seed})

    assert digests(tmp_path / "1") == digests(tmp_path / "2")


def test_another_seed_gives_another_company(tmp_path: Path) -> None:
    generate(tmp_path / "one", people=100, seed=1)
    generate(tmp_path / "two", people=100, seed=2)

    one, two = digests(tmp_path / "one"), digests(tmp_path / "two")
    assert all(one[name] != two[name] for name in ("HR_Person.csv", "AD_Account.csv", "AD_GroupMember.csv"))


def test_people_are_the_same_with_and_without_accounts(tmp_path: Path) -> None:
    generate(tmp_path / "all", people=200, day=3)
    generate(tmp_path / "people", people=200, day=3, accounts=False, groups=False)
    generate(tmp_path / "accounts", people=200, day=3, groups=False)

    everything = digests(tmp_path / "all")
    assert list(everything) == sorted(EXTRACTS)
    assert digests(tmp_path / "people") == {name: everything[name] for name in ("HR_Department.csv", "HR_Person.csv")}
    assert digests(tmp_path / "accounts") == {
        name: everything[name] for name in ("AD_Account.csv", "HR_Department.csv", "HR_Person.csv")
    }


@pytest.mark.parametrize("people", [20, 100, 10_000])
def test_a_company_has_the_requested_number_of_people(people: int, tmp_path: Path) -> None:
    company = Day.of(tmp_path, people)

    assert len(company.people) == people
    assert 0.85 * people < len(company.accounts) < 1.35 * people
    assert len(company.members) > people


def test_a_company_has_the_requested_number_of_departments(tmp_path: Path) -> None:
    generate(tmp_path, people=200, departments=33)

    day = Day.read(tmp_path)
    assert len(day.departments) == 33
    assert {person["Department"] for person in day.people.values()} == set(day.departments)


@pytest.mark.parametrize("departments", [9, 101])
def test_an_impossible_number_of_departments_is_refused(departments: int, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=f"from 10 to 100 for 200 people, not {departments}"):
        generate(tmp_path / "new", people=200, departments=departments)

    assert not (tmp_path / "new").exists()


@pytest.mark.parametrize(("people", "day"), [(20, 0), (20, 200), (100, 1), (100, 250), (10_000, 0), (10_000, 5)])
def test_everything_that_an_extract_names_exists(people: int, day: int, tmp_path: Path) -> None:
    company = Day.of(tmp_path, people, day)

    for person in company.people.values():
        assert person["Department"] in company.departments
        assert person["Manager"] in company.people or not person["Manager"]
    for department in company.departments.values():
        assert department["Parent"] in company.departments or not department["Parent"]
        assert department["Head"] in company.people
    for group, member in company.members:
        assert group in company.groups
        assert member in company.accounts
    assert len(set(company.members)) == len(company.members)


@pytest.mark.parametrize(("people", "day"), [(20, 200), (100, 250), (10_000, 5)])
def test_everyone_reports_directly_or_not_to_the_head_of_the_company(people: int, day: int, tmp_path: Path) -> None:
    company = Day.of(tmp_path, people, day)

    (top,) = [key for key, person in company.people.items() if not person["Manager"]]
    below = {top}
    while found := {k for k, p in company.people.items() if p["Manager"] in below and k not in below}:
        below |= found
    assert below == set(company.people)


def test_a_small_company_stays_small(tmp_path: Path) -> None:
    assert 60 < len(Day.of(tmp_path, 100, 400).people) < 160


def test_mail_addresses_and_logins_are_unique(tmp_path: Path) -> None:
    company = Day.of(tmp_path, 10_000, 3)

    mails = [person["Mail"] for person in company.people.values() if person["Mail"]]
    assert len(set(mails)) == len(mails)
    assert len({login.lower() for login in company.accounts}) == len(company.accounts)
    assert all(mail.isascii() and mail.count("@") == 1 for mail in mails)


def test_the_data_have_the_peculiarities_of_real_data(tmp_path: Path) -> None:
    company = Day.of(tmp_path, 1_000)

    people, accounts = company.people.values(), company.accounts.values()
    assert sum(not p["FirstName"].isascii() or not p["LastName"].isascii() for p in people) > 300
    assert 0 < sum(not p["Mail"] for p in people) < 80
    assert 0 < sum(not p["Phone"] for p in people) < 150
    known = {p["Mail"] for p in people if p["Mail"]}
    mails = [a["Mail"] for a in accounts if a["Mail"]]
    assert sum(mail not in known and mail.lower() in known for mail in mails) > 300
    assert 0 < sum(mail.lower() not in known for mail in mails) < 80
    assert any(a["Description"] == "Service account" and not a["Mail"] for a in accounts)
    assert any(a["Enabled"] == "false" for a in accounts)
    largest = sum(group == "GG-All-Staff" for group, _ in company.members)
    assert largest > 900
    assert len(company.groups) > 100


@pytest.mark.parametrize("day", range(1, 7))
@pytest.mark.parametrize("people", [100, 2_000])
def test_every_day_has_changes_of_each_kind(people: int, day: int, tmp_path: Path) -> None:
    before, after = Day.of(tmp_path, people, day - 1), Day.of(tmp_path, people, day)

    stayed = before.people.keys() & after.people.keys()
    changed = {key for key in stayed if before.people[key] != after.people[key]}
    came, left = after.people.keys() - before.people.keys(), before.people.keys() - after.people.keys()
    assert came
    assert left
    assert 0.005 < len(changed | came | left) / people < 0.25
    for column in ("LastName", "Title", "Manager", "Department", "Phone"):
        assert any(before.people[key][column] != after.people[key][column] for key in changed), column
    married = [key for key in changed if before.people[key]["LastName"] != after.people[key]["LastName"]]
    assert any(before.people[key]["Mail"] != after.people[key]["Mail"] for key in married)
    assert before.departments != after.departments
    assert before.accounts.keys() - after.accounts.keys()
    assert [
        key for key in before.accounts.keys() & after.accounts.keys() if before.accounts[key] != after.accounts[key]
    ]
    assert before.groups != after.groups
    assert set(after.members) - set(before.members)
    assert set(before.members) - set(after.members)


def test_rarer_changes_happen_within_a_week(tmp_path: Path) -> None:
    days = [Day.of(tmp_path, 100, day) for day in range(8)]

    nights = list(pairwise(days))
    assert any(after.departments.keys() - before.departments.keys() for before, after in nights), "one is opened"
    assert any(before.departments.keys() - after.departments.keys() for before, after in nights), "one is closed"
    assert any(after.groups.keys() - before.groups.keys() for before, after in nights), "a group is made"
    assert any(before.groups.keys() - after.groups.keys() for before, after in nights), "a group is deleted"
    left = {key for before, after in nights for key in before.people.keys() - after.people.keys()}
    came = {key for before, after in nights for key in after.people.keys() - before.people.keys()}
    assert left & came, "somebody who left is hired again"


def test_a_day_does_not_depend_on_existing_files(tmp_path: Path) -> None:
    generate(tmp_path / "a", people=100, day=1)
    generate(tmp_path / "b", people=300, seed=9)
    (tmp_path / "b" / "mine.txt").write_text("kept")

    generate(tmp_path / "b", people=100, day=1)

    assert digests(tmp_path / "a") == digests(tmp_path / "b")
    assert (tmp_path / "b" / "mine.txt").read_text() == "kept"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"people": 0}, "the number of people must be from 20 to 5000000, not 0."),
        ({"people": -5}, "not -5"),
        ({"people": 100, "day": -1}, "the day must be from 0 to 10000, not -1."),
        ({"people": 100, "accounts": False}, "groups need accounts as their members"),
    ],
)
def test_invalid_arguments_are_refused_and_nothing_is_written(
    arguments: dict[str, int], message: str, tmp_path: Path
) -> None:
    with pytest.raises(UsageError, match=message):
        generate(tmp_path / "new", **arguments)

    assert not (tmp_path / "new").exists()


def test_a_file_in_place_of_the_folder_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("mine")

    with pytest.raises(UsageError, match=r"is a file\. Name a folder for the extracts\."):
        generate(tmp_path / "file", people=100)

    assert (tmp_path / "file").read_text() == "mine"
