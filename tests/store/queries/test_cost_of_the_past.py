"""A query about the past reads only the changes of its answer, whatever else is in the log."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import pytest

from deltamark import Configuration
from deltamark.application.history import history
from deltamark.application.history.audit import Span, values_between
from deltamark.application.history.diff import deltas
from deltamark.application.ports.queries import Reading
from deltamark.application.ports.records import Narrowing
from deltamark.application.ports.store import Store
from deltamark.bootstrap import open_store
from deltamark.infrastructure.store.database import Database
from deltamark.infrastructure.store.events.mapper import ChangeMapper
from deltamark.infrastructure.store.sqlite.database import SQLiteDatabase
from tests.store.builders import GROUP, MEMBERS, PERSON, create, link, membership, person, start_run, unlink, update

MANY = 20_000


@pytest.fixture(scope="module")
def crowd(lasting_store_url: str) -> Iterator[Store]:
    """Many people; E00007 was renamed twice and left a group, then others were renamed."""
    store = open_store(lasting_store_url)
    with store.transaction() as tx:
        start_run(tx)
        create(tx, GROUP, {"G": {}})
        create(tx, PERSON, {f"E{number:05}": {"Name": "Ann"} for number in range(MANY)})
        link(tx, ("G", "E00007"))
        update(tx, PERSON, {"E00007": ({"Name": "Ann"}, {"Name": "Bob"})})
        unlink(tx, ("G", "E00007"))
    with store.transaction() as tx:
        others = (f"E{number:05}" for number in range(100, MANY // 2))
        update(tx, PERSON, {key: ({"Name": "Ann"}, {"Name": "Cem"}) for key in others})
        update(tx, PERSON, {"E00007": ({"Name": "Bob"}, {"Name": "Dee"})})
    yield store
    store.close()


class Counted(ChangeMapper):
    """Counts the events that are read."""

    def __init__(self) -> None:
        super().__init__()
        self.read = 0

    def event(self, stream: str, version: int, topic: str, state: bytes) -> Any:
        self.read += 1
        return super().event(stream, version, topic, state)

    def events(self, rows: Iterable[tuple[Any, ...]]) -> Iterator[tuple[int, Any]]:
        for event in super().events(rows):
            self.read += 1
            yield event


@contextmanager
def counting(store: Store) -> Iterator[tuple[Reading, Counted]]:
    """A view that counts the events that are read through it."""
    with store.reading() as reading:
        counted, kept = Counted(), reading._mapper  # type: ignore[attr-defined]
        reading._mapper = counted  # type: ignore[attr-defined]
        yield reading, counted
        reading._mapper = kept  # type: ignore[attr-defined]


BEFORE_THE_LAST = MANY + 5
"""The position at which E00007 has left the group, before other people were changed."""


def test_reading_a_past_resource_reads_only_its_changes(crowd):
    with counting(crowd) as (reading, counted):
        found = history.resource_at(reading, person("E00007"), BEFORE_THE_LAST)
        own = counted.read
        links = reading.links_of_at(person("E00007"), BEFORE_THE_LAST - 1)

    assert found.values == {"Name": "Bob"}
    assert links == [membership("G", "E00007")]
    assert (own, counted.read - own) == (2, 1)


def test_a_history_reads_only_the_changes_that_it_returns(crowd):
    with counting(crowd) as (reading, counted):
        found = list(history.history_of(reading, person("E00007")))

    assert [event.kind for _, event in found] == ["created", "linked", "updated", "unlinked", "updated"]
    assert counted.read == len(found)


def test_an_audit_of_a_key_reads_only_its_changes(crowd):
    with counting(crowd) as (reading, counted):
        found = list(values_between(reading, PERSON, "Name", Span(0, reading.head()), "E00007"))

    assert [held.value for held in found] == ["Ann", "Bob", "Dee"]
    assert counted.read == 3 + 1  # its changes, and the record of their run


@pytest.mark.parametrize("is_backwards", [False, True])
def test_a_diff_reads_only_changes_between_its_moments(crowd, is_backwards):
    with counting(crowd) as (reading, counted):
        span = [reading.head() - 1, reading.head()]
        found = list(deltas(reading, PERSON, *(reversed(span) if is_backwards else span)))

    assert [delta.ref for delta in found] == [person("E00007")]
    assert counted.read == 3


def test_a_diff_between_moments_without_a_change_reads_nothing(crowd):
    with counting(crowd) as (reading, counted):
        assert list(deltas(reading, PERSON, reading.head(), reading.head())) == []

    assert counted.read == 0


@pytest.mark.parametrize(
    ("admitted", "kinds"),
    [
        ({"entity_type": GROUP}, ["created", "linked", "unlinked"]),
        ({"association": MEMBERS.association}, ["linked", "unlinked"]),
        ({"property": "Nickname"}, []),
        ({"computed": frozenset({(PERSON, "Name")})}, []),
        ({"user": "somebody else"}, []),
        ({"task": "another"}, []),
        ({"user": "somebody else", "entity_type": PERSON}, []),
    ],
)
def test_a_filter_reads_only_the_changes_that_it_may_admit(crowd, admitted, kinds):
    with counting(crowd) as (reading, counted):
        asked = history.ChangeFilter(**admitted)
        found = list(history.kept_changes(reading, Configuration(), 0, None, asked, kept_only=True))

    assert [change.kind for change in found] == kinds
    assert counted.read <= len(kinds) + 1  # and the record of their run


@pytest.mark.parametrize(
    "ask",
    [
        lambda reading, ref: list(
            reading.changes(0, None, Narrowing(association=MEMBERS.association, spans=((0, reading.head()),)))
        ),
        lambda reading, ref: list(reading.changes(0, None, Narrowing(entity_type=GROUP))),
        lambda reading, ref: history.resource_at(reading, ref, BEFORE_THE_LAST),
        lambda reading, ref: history.links_of(reading, ref, BEFORE_THE_LAST),
        lambda reading, ref: list(history.history_of(reading, ref)),
        lambda reading, ref: list(deltas(reading, PERSON, reading.head() - 1, reading.head())),
    ],
)
def test_no_query_scans_the_log(crowd, ask):
    with crowd.reading() as reading:
        explaining = reading._db = Explaining(reading._db)
        ask(reading, person("E00007"))

    assert any("stored_events" in plan for plan in explaining.plans)
    for plan in explaining.plans:
        assert not re.search(r"SCAN (stored_events|e)\b|Seq Scan on stored_events", plan), plan


class Explaining:
    """A database that records the plan of every query."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._explain = "EXPLAIN QUERY PLAN" if isinstance(database, SQLiteDatabase) else "EXPLAIN"
        self.plans: list[str] = []

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._database, name)
        return self._explained(found) if name in ("row", "one", "all", "rows") else found

    def _explained(self, query: Callable[..., Any]) -> Callable[..., Any]:
        def explained(sql: str, parameters: Sequence[Any] = ()) -> Any:
            rows = self._database.all(f"{self._explain} {sql}", parameters)
            self.plans.append("\n".join([sql, *(str(row[-1]) for row in rows)]))
            return query(sql, parameters)

        return explained
