"""Whoever watches a run is told how far a task got; what takes long puts that on record too."""

from __future__ import annotations

import pytest

from deltamark import Observer
from deltamark.application.execution import executor
from deltamark.domain.configuration.jobs import TaskState
from deltamark.domain.runs.run import TaskProgressed


class Watching(Observer):
    def __init__(self):
        self.told = []

    def task_progressed(self, run, task):
        self.told.append((task.state, task.progress, task.counts.read, task.counts.inserted))


def progress_on_record(house):
    store = house.engine._services.store
    with store.reading() as reading:
        summary = reading.run(1)
    events = [store.recorder.select_events(summary.run.originator_id)]
    return [e for stream in events for e in map(store._mapper.to_domain_event, stream) if isinstance(e, TaskProgressed)]


def test_an_observer_receives_the_phases_of_a_synchronization(house):
    watching = Watching()
    house.people({"1": "Ann", "2": "Bob"})

    house.run("People", observer=watching)

    running = TaskState.RUNNING
    assert watching.told == [
        (running, "comparing", 2, 0),
        (running, "waiting to write", 2, 0),
        (running, "writing resources", 0, 0),
        (running, "writing links", 0, 2),
    ]


@pytest.mark.parametrize("dry_run", [False, True])
def test_an_error_of_the_observer_is_raised_when_the_run_has_ended(house, dry_run):
    class Raising(Observer):
        def task_progressed(self, run, task):
            raise RuntimeError("odd")

    house.people({"1": "Ann"})

    with pytest.raises(RuntimeError, match="odd"):
        house.engine.run_job("People", observer=Raising(), dry_run=dry_run)

    assert house.names() == ({} if dry_run else {"1": "Ann"})


def test_the_progress_of_a_quick_task_is_not_recorded(house):
    house.people({"1": "Ann"}).run("People")

    assert progress_on_record(house) == []


def test_the_progress_of_a_slow_task_is_recorded_until_it_writes(house, monkeypatch):
    monkeypatch.setattr(executor, "PATIENCE_S", 0.0)

    house.people({"1": "Ann", "2": "Bob"}).run("People")

    assert [(e.task, e.words, e.counts.read) for e in progress_on_record(house)] == [
        (1, "comparing", 2),
        (1, "waiting to write", 2),
    ]
