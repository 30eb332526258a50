"""A run that fails, dies and goes on leaves what one leaves that nothing happened to."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from deltamark import TaskState
from deltamark.application.runs.recorder import RunRecorder
from deltamark.domain.errors import DeltamarkError
from tests.laws.machine import EDITS, begun, lived
from tests.scenarios.organisation.running import Known, Organisation
from tests.scenarios.organisation.setting import everything
from tests.stores import STORES, stores
from tests.tiers import law

KNOWN = Known()
DAYS = st.lists(st.lists(EDITS, min_size=1, max_size=6), min_size=1, max_size=3)


JOBS = ["Incremental", "Levels", "Commands"]


class Died(BaseException):
    """The process is gone: nothing more is put on record."""


class Odd(DeltamarkError):
    """A failure of a task."""


@contextmanager
def stopped(at: int, how: str) -> Iterator[None]:
    """A block in which the task at a place fails, or the process dies before, inside or after it."""
    started, ended_in = RunRecorder.task_started, RunRecorder.task_ended_in
    failures = iter([Odd("odd")])

    def task_started(self: RunRecorder, ordinal: int) -> None:
        if (how, ordinal) in (("dies before", at), ("dies after", at + 1)):
            raise Died
        started(self, ordinal)

    def task_ended_in(self: RunRecorder, tx: Any, ordinal: int, ended: Any) -> None:
        ended_in(self, tx, ordinal, ended)
        if ordinal == at and how == "dies inside":
            raise Died
        if ordinal == at and how == "fails" and ended.state is not TaskState.SKIPPED:
            for failure in failures:
                raise failure

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(RunRecorder, "task_started", task_started)
        patch.setattr(RunRecorder, "task_ended_in", task_ended_in)
        yield


STOPS = st.tuples(st.integers(1, 8), st.sampled_from(["fails", "dies before", "dies inside", "dies after"]))


@pytest.fixture(params=STORES)
def new(memory, clock, request):
    """Gives another organisation with every call; the last two are open."""
    opened: list[Organisation] = []
    with stores(request.param, memory, lambda: request.getfixturevalue("postgresql_database")) as url:

        def organisation() -> Organisation:
            while len(opened) > 1:
                opened.pop(0).engine.close()
            opened.append(Organisation(url(), memory, clock, everything(), plain=KNOWN))
            begun(opened[-1].world)
            return opened[-1]

        yield organisation
        for one in opened:
            one.engine.close()


def left_by(organisation: Organisation) -> dict[str, Any]:
    """What a run leaves: state, links, flags, values, keys, classes."""
    dirty = {(found.task, found.entity_type, found.key) for found in organisation.engine.dirty()}
    return {**organisation.derived(), "links": organisation.links(), "dirty": dirty}


@pytest.mark.slow  # runs jobs for each example
@law(6)
@given(days=DAYS, stops=st.lists(STOPS, min_size=1, max_size=3), job=st.sampled_from(JOBS))
@example(days=[[], []], stops=[(6, "dies inside"), (2, "fails")], job="Commands")
@example(days=[[]], stops=[(1, "dies before"), (4, "dies inside"), (5, "fails")], job="Levels")
def test_a_run_that_goes_on_leaves_what_one_leaves_that_nothing_happened_to(new, days, stops, job):
    lucky, unlucky = new(), new()
    for organisation in (lucky, unlucky):
        for day in days:
            if day is not days[-1]:
                lived(organisation.world, day)
                organisation.run()
        lived(organisation.world, days[-1])

    lucky.run(job)
    went_on = goes_on_after(unlucky, job, stops)

    assert left_by(unlucky) == left_by(lucky)
    assert lucky.derived() == lucky.by_hand()
    assert went_on is None or went_on.number == len(days)


def goes_on_after(organisation, job, stops):
    """Runs a job that is stopped like this, time and again; gives the record of the last resumption."""
    run = None
    for n, (at, how) in enumerate(stops):
        with stopped(at, how):
            try:
                run = organisation.engine.resume(run.number) if n else organisation.attempt(job)
            except Died:
                run = organisation.engine.runs()[-1]
        if run.state in (TaskState.COMPLETED, TaskState.WARNING):
            return run
    return organisation.engine.resume(run.number)
