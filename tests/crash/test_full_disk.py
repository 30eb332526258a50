"""The disk is full from some task of the job on: that task fails, and with space again it is as if it had not."""

from __future__ import annotations

from pathlib import Path

import pytest

from deltamark import Engine, Observer, StoreError, TaskRun, TaskState
from tests.crash.company import ENDED_WELL, JOB, TASKS, Days, harm_in, lives, opened, seen
from tests.store.sqlite.test_faults import limit_pages
from tests.tiers import SOAK

SEED = 7
DAYS = 30 if SOAK else 5


class FullFrom(Observer):
    """The disk is full when a task begins, and stays so."""

    def __init__(self, engine: Engine, task: str) -> None:
        self._engine = engine
        self._task = task

    def task_started(self, run: int, task: TaskRun) -> None:
        if task.identifier == self._task:
            limit_pages(self._engine, 0)


def failed_on_a_full_disk(engine: Engine, task: str) -> set[str]:
    """The task that failed, told as it should be; none where what was left of the last pages was enough."""
    try:
        run = engine.run_job(JOB, observer=FullFrom(engine, task))
    except StoreError as error:  # too full even for the record of the run
        told, failed = [str(error)], {task}
    else:
        of_run = [each for each in run.tasks if each.state is TaskState.FAILED]
        told, failed = [each.messages[0] for each in of_run], {each.identifier for each in of_run}
        assert (run.state is TaskState.FAILED) == bool(failed)
    assert all("the disk is full" in words for words in told)
    assert len(failed) <= 1
    return failed


@pytest.mark.soak
def test_a_disk_that_is_full_from_some_task_on_is_forgotten_when_there_is_space_again(tmp_path: Path) -> None:
    expected = lives(SEED, DAYS, tmp_path)
    extracts = Days(tmp_path / "disk", SEED)
    met = set()
    with opened(f"sqlite:///{tmp_path}/small.db", tmp_path / "disk") as engine:
        for number, day in enumerate(expected):
            extracts.next()
            task = TASKS[number % len(TASKS)]
            failed = failed_on_a_full_disk(engine, task)
            met |= failed
            assert harm_in(engine) == []

            limit_pages(engine, None)
            assert engine.run_job(JOB).state in ENDED_WELL

            assert seen(engine) == day
            assert harm_in(engine) == []
    assert len(met) >= 2, met
