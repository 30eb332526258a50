"""A first load, the first flags and the first keys are what they are row by row: every table, byte for byte."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from itertools import count
from pathlib import Path
from typing import Any

import pyarrow.compute as pc
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from deltamark import StoreError
from deltamark.infrastructure.store.commands.derived import DerivedCommands
from deltamark.infrastructure.store.commands.flag_propagation import FlagPropagation
from deltamark.infrastructure.store.database import Database
from deltamark.infrastructure.store.events import seals
from deltamark.infrastructure.store.events.mapper import CHANGE_TOPICS
from deltamark.infrastructure.store.sqlite.address import path_of
from deltamark.infrastructure.store.sqlite.database import SQLiteDatabase
from tests.laws.machine import EDITS, begun, lived
from tests.scenarios.organisation.running import Known, Organisation
from tests.scenarios.organisation.setting import Setting, everything
from tests.stores import NewStore, stores
from tests.tiers import law

KNOWN = Known()
GONE_AND_OTHER = [
    [("set", "Department", "A", "Title", "A")],
    [("set", "Department", "A", "Title", ""), ("drop", "Person", "1")],
]
"""A day on which one resource is gone, and among its neighbours is one that nobody asks for."""

DAYS = st.lists(st.lists(EDITS, min_size=1, max_size=6), min_size=1, max_size=3)
_NO_ROWS = 10**9

_RANDOM = {"store": ("epoch", "log", "seal"), "moments": ("segments", "digest"), "applied_rows": ("content", "digest")}
"""The columns of tables that hold what is drawn by chance, or follows from it."""


@pytest.fixture
def new(memory) -> Iterator[NewStore]:
    with stores("sqlite", memory, str) as new:
        yield new


@pytest.fixture(autouse=True)
def same_salts(monkeypatch) -> None:
    monkeypatch.setattr(seals.os, "urandom", bytes)


@contextmanager
def many_from(rows: int) -> Iterator[None]:
    before, Database.many = Database.many, rows
    try:
        yield
    finally:
        Database.many = before


def tables(url: str) -> dict[str, Any]:
    """The definitions of a store, and the rows of its tables in the order of their keys.

    Without the records of runs, which say how long each task took.
    """
    with sqlite3.connect(path_of(url)) as connection:
        definitions = connection.execute("SELECT name, sql FROM sqlite_master ORDER BY name").fetchall()
        found: dict[str, Any] = {"definitions": definitions}
        for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type='table' ORDER BY name").fetchall():
            columns = [row[1] for row in connection.execute(f"PRAGMA table_info({name})")]
            chosen = [column for column in columns if column not in _RANDOM.get(name, ())]
            rows = connection.execute(f"SELECT {', '.join(chosen)} FROM {name} ORDER BY 1, 2").fetchall()
            found[name] = [row for row in rows if name != "stored_events" or row[3] in CHANGE_TOPICS]
    return found


def seconds() -> Callable[[], datetime]:
    """A clock that goes on one second with every look at it."""
    looks = count()
    return lambda: datetime(2026, 1, 1, tzinfo=UTC) + timedelta(seconds=next(looks))


def lives(new: NewStore, folder: Path, setting: Setting, days: list[Any]) -> list[dict[str, Any]]:
    """What two stores hold after the same life, the first by statements for many rows, the other without."""
    found = []
    for rows in (1, _NO_ROWS):
        url = new()
        with many_from(rows):
            organisation = Organisation(url, folder, seconds(), setting, plain=KNOWN)
            begun(organisation.world)
            for day in days:
                lived(organisation.world, day)
                organisation.run()
            assert organisation.engine.verify().is_sound
            organisation.engine.close()
        found.append(tables(url))
    return found


@law(12)
@given(days=DAYS, setting=st.sampled_from([everything(), Setting()]))
@example(days=GONE_AND_OTHER, setting=everything())
def test_statements_for_many_rows_leave_the_same_store(new, memory, days, setting):
    first, second = lives(new, memory, setting, days)

    assert first == second


def planted_only_created(self: FlagPropagation, after: int) -> bool:
    """Holds every change to be the creation of a resource."""
    return True


def planted_first_keys(self: DerivedCommands, table: str, rule: int) -> bool:
    """Writes no seal of keys into the sums of the store."""
    self._sums.add("correlation_keys", (1, 1), (0, 0))
    return False


def planted_index(self: SQLiteDatabase) -> None:
    """Forgets the indexes that it dropped."""


def planted_rows(self: SQLiteDatabase, streams: Any, schema: Any, entity_type: Any = None) -> Any:
    """Holds as many resources as were asked for to be those that were asked for."""
    if not len(streams):
        return None
    span = pc.min_max(streams)
    rows = self._live_rows("live", (), schema, span["min"].as_py(), span["max"].as_py())
    return rows if rows.num_rows == len(streams) else None


@pytest.mark.parametrize(
    ("owner", "name", "planted"),
    [
        (FlagPropagation, "_only_created_since", planted_only_created),
        (DerivedCommands, "_has_values", planted_first_keys),
        (SQLiteDatabase, "build_deferred_indexes", planted_index),
        (SQLiteDatabase, "rows_of_streams", planted_rows),
    ],
)
def test_a_planted_fault_is_found(new, memory, monkeypatch, owner, name, planted):
    def chosen(self: Any, *arguments: Any) -> Any:
        return (planted if Database.many == 1 else original)(self, *arguments)

    original = getattr(owner, name)
    monkeypatch.setattr(owner, name, chosen)
    try:
        first, second = lives(new, memory, everything(), GONE_AND_OTHER)
    except (AssertionError, StoreError, sqlite3.Error):
        return
    assert first != second
