"""The extracts of a company, read by Python's own CSV reader."""

from __future__ import annotations

import csv
import hashlib
from pathlib import Path

from attrs import define

from deltamark.infrastructure.sample_company import generate

Row = dict[str, str]
EXTRACTS = ("HR_Person.csv", "HR_Department.csv", "AD_Account.csv", "AD_Group.csv", "AD_GroupMember.csv")


def rows(file: Path) -> list[Row]:
    """The rows of an extract."""
    with file.open(encoding="utf-8", newline="") as opened:
        return list(csv.DictReader(opened))


def digests(folder: Path) -> dict[str, str]:
    """File name -> SHA-256 of every extract in a folder."""
    return {file.name: hashlib.sha256(file.read_bytes()).hexdigest() for file in sorted(folder.glob("*.csv"))}


@define
class Day:
    """One day of a company from its extracts: key -> row, and the pairs of group and member."""

    people: dict[str, Row]
    departments: dict[str, Row]
    accounts: dict[str, Row]
    groups: dict[str, Row]
    members: list[tuple[str, str]]

    @classmethod
    def read(cls, folder: Path) -> Day:
        """Reads the extracts in a folder; no key may occur twice."""
        return cls(
            people=_by(folder, "HR_Person", "EmployeeId"),
            departments=_by(folder, "HR_Department", "Code"),
            accounts=_by(folder, "AD_Account", "SamAccountName"),
            groups=_by(folder, "AD_Group", "Name"),
            members=[(row["Group"], row["Member"]) for row in rows(folder / "AD_GroupMember.csv")],
        )

    @classmethod
    def of(cls, folder: Path, people: int, day: int = 0, seed: int = 1) -> Day:
        """Generates and reads a day."""
        generate(folder, people=people, day=day, seed=seed)
        return cls.read(folder)


def _by(folder: Path, extract: str, key: str) -> dict[str, Row]:
    found = rows(folder / f"{extract}.csv")
    keys = {row[key]: row for row in found}
    assert len(keys) == len(found), f"a key of {extract} occurs twice"
    assert "" not in keys
    return keys
