"""A store with two weeks of a small company, in which every page of the console has something to show.

`python -m tests.web.console.company FOLDER` writes one to look at.
"""

from __future__ import annotations

import csv
import shutil
import sys
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

from deltamark.engine import Engine
from deltamark.infrastructure.sample_company.generator import generate
from deltamark.infrastructure.sample_company.workspace import write_workspace

PEOPLE = 40
DAYS = 5
FIRST_DAY = datetime(2026, 11, 16, 4, 30, tzinfo=UTC)
HOSTILE = '<img src=x onerror="alert(1)">\u202e<script>alert(2)</script>\x07{{7*7}}'
"""A name that must be shown as text, with all of its characters."""


class Day:
    """A clock that goes on by a tenth of a second at each look, and can be set to another day."""

    def __init__(self) -> None:
        self.now = FIRST_DAY

    def __call__(self) -> datetime:
        self.now += timedelta(milliseconds=100)
        return self.now

    def set(self, day: int) -> None:
        """Goes on to that day after the first."""
        self.now = FIRST_DAY + timedelta(days=day)


def company(folder: Path, *, people: int = PEOPLE, is_hostile: bool = True) -> None:
    """Writes a workspace and runs its incremental job once a day.

    The first run loads all. One run sets a row aside; the last one holds back that three in four people are deleted.
    """
    write_workspace(folder, people=people)
    exports, day = folder / "exports", Day()
    with open_company(folder, day) as engine:
        for number in range(DAYS):
            day.set(number if number < 2 else number + 1)
            if number:
                generate(exports, people=people, day=number)
            if number == 2:
                _change_rows(exports / "HR_Person.csv", _with_faults)
            if number == 4 and is_hostile:
                _change_rows(exports / "HR_Person.csv", _with_a_hostile_name)
            engine.run_job("Incremental", by="ann", reason="the nightly extracts" if number else None)
        day.set(DAYS + 2)
        _change_rows(exports / "HR_Person.csv", lambda rows: rows[: len(rows) // 4])
        engine.run_job("Incremental")


def open_company(folder: Path, clock: Callable[[], datetime] | None = None) -> Engine:
    """The engine of such a workspace."""
    return Engine.open(
        f"sqlite:///{folder / 'deltamark.db'}",
        configuration=folder / "configuration",
        export_output=folder / "exports",
        **({} if clock is None else {"clock": clock}),  # type: ignore[arg-type]
    )


def _change_rows(file: Path, change: Callable[[list[list[str]]], list[list[str]]]) -> None:
    with file.open(encoding="utf-8-sig", newline="") as opened:
        head, *rows = csv.reader(opened)
    with file.open("w", encoding="utf-8", newline="") as opened:
        csv.writer(opened).writerows([head, *change(rows)])


def _with_faults(rows: list[list[str]]) -> list[list[str]]:
    return [*rows, ["", *rows[0][1:]], [rows[5][0], *rows[6][1:]]]


def _with_a_hostile_name(rows: list[list[str]]) -> list[list[str]]:
    return [[rows[1][0], HOSTILE, *rows[1][2:]] if row is rows[1] else row for row in rows]


if __name__ == "__main__":
    target = Path(sys.argv[1])
    shutil.rmtree(target, ignore_errors=True)
    company(target)
