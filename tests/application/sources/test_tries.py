"""A source whose failure may pass is read again from the beginning, and a place has a greatest age."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from attrs import evolve

from deltamark import ConfigurationError, Engine, TaskState
from deltamark.application.ports.sources import ConnectionSettings, Question, Reached, SourceUnreachable, Tables
from deltamark.infrastructure.sql.source import SQLSource
from tests.scenarios.database_source import DatabaseSource, configuration, messages
from tests.stores import NewStore


@pytest.fixture
def source(new_store: NewStore, tmp_path: Path) -> Iterator[DatabaseSource]:
    """A database with two people, both in the store."""
    with DatabaseSource(new_store(), tmp_path, configuration()) as made:
        made.put(a="Ann", b="Bob")
        made.run()
        yield made


@pytest.fixture
def waits(source: DatabaseSource) -> list[float]:
    """The waits of the engine, which pass in no time."""
    waited: list[float] = []
    source.engine._services = evolve(source.engine._services, wait=waited.append)
    return waited


def failing(monkeypatch: pytest.MonkeyPatch, times: int, *, is_temporary: bool = True) -> list[int]:
    """Lets readings fail after their rows were written; returns a list with an entry for each reading."""
    read, readings = SQLSource.changes, list[int]()

    def changes(self: SQLSource, ask: Question, since: Any, into: Tables) -> Reached:
        readings.append(len(readings) + 1)
        reached = read(self, ask, since, into)
        if len(readings) <= times:
            raise SourceUnreachable("the connection was reset", is_temporary=is_temporary)
        return reached

    monkeypatch.setattr(SQLSource, "changes", changes)
    return readings


@pytest.mark.parametrize("times", [1, 3])
def test_a_failure_that_passes_is_followed_by_a_whole_reading(
    source: DatabaseSource, waits: list[float], monkeypatch: pytest.MonkeyPatch, times: int
) -> None:
    readings = failing(monkeypatch, times)
    source.put(c="Cid")

    run = source.run()

    assert run.state is TaskState.COMPLETED
    assert (len(readings), waits) == (times + 1, [1, 5, 25][:times])
    assert messages(run).count("read again from the beginning, for the connection was reset") == times
    assert source.stored() == source.people()
    assert run.counts.inserted == 1


def test_a_failure_that_stays_changes_nothing(
    source: DatabaseSource, waits: list[float], monkeypatch: pytest.MonkeyPatch
) -> None:
    readings, place = failing(monkeypatch, 9), source.place()
    source.put(c="Cid")

    run = source.run()

    assert run.state is TaskState.FAILED
    assert (len(readings), waits, source.place()) == (4, [1, 5, 25], place)


def test_a_user_who_is_refused_is_tried_once(
    source: DatabaseSource, waits: list[float], monkeypatch: pytest.MonkeyPatch
) -> None:
    readings = failing(monkeypatch, 9, is_temporary=False)

    assert source.run().state is TaskState.FAILED
    assert (len(readings), waits) == (1, [])


def aged(source: DatabaseSource, age: timedelta, **settings: Any) -> None:
    """Lets the clock of the engine go on, and changes settings of the connection."""
    services = source.engine._services
    present = services.clock
    kept = services.connections["HR_Source"]
    connections = {"HR_Source": ConnectionSettings(values={**kept.values, **settings}, secrets=kept.secrets)}
    source.engine._services = evolve(services, clock=lambda: present() + age, connections=connections)


@pytest.mark.parametrize(
    ("age", "settings", "is_old"),
    [
        (timedelta(days=29), {}, False),
        (timedelta(days=31), {}, True),
        (timedelta(days=31), {"max_age": "8w"}, False),
        (timedelta(hours=13), {"max_age": "12h"}, True),
        (timedelta(days=-2), {}, True),
        (timedelta(minutes=-5), {}, False),
    ],
)
def test_a_place_that_is_too_old_is_not_gone_on_from_on_record(
    source: DatabaseSource, age: timedelta, settings: dict[str, Any], is_old: bool
) -> None:
    aged(source, age, **settings)

    run = source.run()

    assert ("everything was read" in messages(run)) is is_old
    assert run.state is (TaskState.WARNING if is_old else TaskState.COMPLETED)
    assert ("because" in messages(run)) is is_old


def test_a_table_with_more_rows_than_are_allowed_is_refused(source: DatabaseSource) -> None:
    source.put(c="Cid")
    aged(source, timedelta(), max_entries=2)

    run = source.run("Everything")

    assert run.state is TaskState.FAILED
    assert "HR_Person has more than 2 rows" in messages(run)
    assert len(source.stored()) == 2


def test_an_age_that_is_none_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match='max_age "a month" is no time span; write a number of hours'):
        Engine.open("sqlite://", configuration=configuration(), connections={"HR_Source": {"max_age": "a month"}})
