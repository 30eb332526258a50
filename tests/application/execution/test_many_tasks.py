"""What a task costs does not depend on how many tasks its job has: operations are counted, no time is measured."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from datetime import UTC, datetime, timedelta
from itertools import count
from typing import Any

import pytest
from attrs import evolve

from deltamark import (
    ComputeCorrelationKeysTask,
    Job,
    SetRecentlyModifiedFlagTask,
    Step,
    StoreError,
    SynchronizeTask,
    TaskState,
)
from deltamark.application.runs.observer import Observer
from deltamark.application.runs.recorder import RunRecorder
from deltamark.bootstrap import checked_configuration
from deltamark.domain.configuration.jobs import Task
from deltamark.infrastructure.store.events.mapper import ChangeMapper
from deltamark.infrastructure.store.postgresql.database import PostgreSQLDatabase
from deltamark.infrastructure.store.sqlite.database import SQLiteDatabase
from tests.scenarios.house import House, configuration

FEW, FEW_SLOW = 12, 5
"""Tasks of the smallest job; the others have twice and four times as many."""

SYNCHRONIZE = SynchronizeTask(identifier="S", connector="HR", do_not_delete_changes=True)
FLAG = SetRecentlyModifiedFlagTask(identifier="F")
COMPUTE = ComputeCorrelationKeysTask(identifier="C", entity_types=["Person"], dirty=True)


class Watching(Observer):
    """An observer: what it is told has to be looked up."""


def counted(work: Callable[[], object]) -> Counter[str]:
    """The operations of some work: calls in Python, events read, statements, what these are given, rows written."""
    counts: Counter[str] = Counter()

    def called(frame: Any, what: str, argument: object) -> None:
        if what == "call":
            counts["calls"] += 1

    with pytest.MonkeyPatch.context() as patch:
        for database in (SQLiteDatabase, PostgreSQLDatabase):
            _count_statements(patch, database, counts)
        event, events = ChangeMapper.event, ChangeMapper.events

        def counted_event(mapper: ChangeMapper, *row: Any) -> Any:
            counts["events"] += 1
            return event(mapper, *row)

        def counted_events(mapper: ChangeMapper, rows: Iterable[tuple[Any, ...]]) -> Iterator[Any]:
            for found in events(mapper, rows):
                counts["events"] += 1
                yield found

        patch.setattr(ChangeMapper, "event", counted_event)
        patch.setattr(ChangeMapper, "events", counted_events)
        sys.setprofile(called)
        try:
            work()
        finally:
            sys.setprofile(None)
    return counts


def _count_statements(patch: pytest.MonkeyPatch, database: Any, counts: Counter[str]) -> None:
    cursor, execute = database._cursor, database.execute

    def counted_cursor(self: Any, sql: str, parameters: Any = (), **options: Any) -> Any:
        counts["statements"] += 1
        counts["parameters"] += sum(len(value) for value in parameters if isinstance(value, str | list))
        return cursor(self, sql, parameters, **options)

    def counted_execute(self: Any, *statement: Any) -> int:
        rows = execute(self, *statement)
        counts["rows"] += max(rows, 0)
        return int(rows)

    patch.setattr(database, "_cursor", counted_cursor)
    patch.setattr(database, "execute", counted_execute)


def faster_than_tasks(cost: Callable[[int], Counter[str]], smallest: int = FEW) -> dict[str, tuple[int, ...]]:
    """The operations whose number grows faster than the number of tasks, with their numbers."""
    cost(1)  # what is loaded or made once does not count
    few, more, most = cost(smallest), cost(2 * smallest), cost(4 * smallest)
    return {
        name: (few[name], more[name], most[name])
        for name in most
        if most[name] - more[name] > 2.05 * (more[name] - few[name]) + 2 * smallest
    }


def many(task: Task, count: int) -> list[Task]:
    return [evolve(task, identifier=f"{task.identifier}{number:03}") for number in range(count)]


JOBS: dict[str, Callable[[int], list[Any]]] = {
    "flags": lambda number: [SYNCHRONIZE, *many(FLAG, number)],
    "computed": lambda number: [SYNCHRONIZE, FLAG, *many(COMPUTE, number)],
    "flags and computed": lambda number: [
        SYNCHRONIZE,
        *(evolve(task, identifier=f"{task.identifier}{n:03}") for n in range(number) for task in (FLAG, COMPUTE)),
    ],
    "synchronized": lambda number: many(SYNCHRONIZE, number),
    "skipped, computed": lambda number: [SYNCHRONIZE, *many(evolve(COMPUTE, parents=["S"]), number)],
    "skipped, synchronized": lambda number: [
        SYNCHRONIZE,
        *many(SynchronizeTask(identifier="T", connector="HR", parents=["S"], do_not_delete_changes=True), number),
    ],
    "in a chain": lambda number: [
        SYNCHRONIZE,
        *(
            SetRecentlyModifiedFlagTask(identifier=f"F{n:03}", parents=[f"F{n - 1:03}" if n else "S"])
            for n in range(number)
        ),
    ],
}


@pytest.fixture
def clock() -> Callable[[], datetime]:
    """A clock on which no lease has to be renewed."""
    start, ticks = datetime(2026, 1, 1, tzinfo=UTC), count()
    return lambda: start + timedelta(microseconds=next(ticks))


@pytest.fixture
def new_one(new_house: Callable[..., House]) -> Callable[[str, int], House]:
    """Gives a house with a job of so many tasks."""

    def new(kind: str, tasks: int) -> House:
        house = new_house(more_jobs=[Job("Many", JOBS[kind](tasks))]).people({"1": "Ann", "2": "Bob"})
        house.engine._services = evolve(house.engine._services, lease_s=86_400.0)
        return house

    return new


@pytest.fixture
def house_with(new_one: Callable[[str, int], House]) -> Callable[[str, int], House]:
    """Gives a house with a job of so many tasks that ran once."""

    def new(kind: str, tasks: int) -> House:
        house = new_one(kind, tasks)
        house.engine.run_job("Many")
        return house

    return new


SLOW = ("computed", "flags and computed", "synchronized", "skipped, computed", "skipped, synchronized")
"""Each of their tasks takes some hundredths of a second."""


@pytest.mark.slow  # runs jobs of many tasks
@pytest.mark.parametrize("kind", [kind for kind in JOBS if kind not in SLOW])
def test_a_task_of_a_run_costs_the_same_in_a_job_of_many_tasks(house_with, kind):
    def cost(tasks: int) -> Counter[str]:
        house = house_with(kind, tasks)
        return counted(lambda: house.engine.run_job("Many", observer=Watching()))

    assert faster_than_tasks(cost) == {}


@pytest.mark.slow  # some seconds each
@pytest.mark.parametrize("new_store", ["sqlite"], indirect=True)
@pytest.mark.parametrize("kind", SLOW)
def test_a_task_that_computes_or_reads_costs_the_same_in_a_job_of_many_tasks(house_with, kind):
    def cost(tasks: int) -> Counter[str]:
        house = house_with(kind, tasks)
        # A task whose extract is the same reads the record of the run that applied it, with all of its tasks.
        return counted(lambda: house.engine.run_job("Many", observer=Watching(), force_read=True))

    assert faster_than_tasks(cost, FEW_SLOW) == {}


@pytest.mark.slow  # runs jobs of many tasks
@pytest.mark.parametrize("new_store", ["sqlite"], indirect=True)
def test_reading_the_whole_run_for_each_task_is_noticed(house_with, monkeypatch):
    read_on = RunRecorder._read_on

    def read_anew(self: RunRecorder) -> Any:
        self._fold = None
        return read_on(self)

    monkeypatch.setattr(RunRecorder, "_read_on", read_anew)

    def cost(tasks: int) -> Counter[str]:
        house = house_with("flags", tasks)
        return counted(lambda: house.engine.run_job("Many", observer=Watching()))

    assert {"calls", "events"} <= faster_than_tasks(cost).keys()


@pytest.mark.parametrize("new_store", ["sqlite"], indirect=True)
def test_renewing_all_leases_in_each_transaction_is_noticed(house_with, monkeypatch):
    monkeypatch.setattr("deltamark.infrastructure.store.commands.leases.LeaseCommands._is_renewal_due", lambda *_: True)

    def cost(tasks: int) -> Counter[str]:
        house = house_with("flags", tasks)
        return counted(lambda: house.engine.run_job("Many", observer=Watching()))

    assert "rows" in faster_than_tasks(cost)


def test_resuming_a_run_of_many_tasks_costs_the_same_for_each(new_one, monkeypatch):
    def cost(tasks: int) -> Counter[str]:
        house = new_one("flags", tasks)
        with monkeypatch.context() as patch:
            patch.setattr("deltamark.application.execution.task_types.flag", _failing)
            assert house.engine.run_job("Many").state is TaskState.FAILED
        return counted(lambda: house.engine.resume(1, observer=Watching()))

    assert faster_than_tasks(cost) == {}


def _failing(*arguments: object, **more: object) -> Any:
    raise StoreError("no")


def test_reading_and_verifying_runs_of_many_tasks_costs_the_same_for_each(house_with):
    def cost(tasks: int) -> Counter[str]:
        engine = house_with("flags", tasks).engine
        return counted(lambda: [engine.run(1), engine.runs(), engine.verify()])

    assert faster_than_tasks(cost) == {}


@pytest.mark.parametrize("kind", JOBS)
def test_judging_a_configuration_costs_the_same_for_each_task(kind):
    def cost(tasks: int) -> Counter[str]:
        called = JOBS[kind](tasks)
        steps = [Step(task.identifier) for task in called]
        judged = configuration(more_tasks=called, more_jobs=[Job("Many", steps)])
        return counted(lambda: checked_configuration(judged))

    assert faster_than_tasks(cost) == {}
