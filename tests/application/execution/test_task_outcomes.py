"""What becomes of a run after each way in which a task of it can end, cell by cell."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from attrs import evolve, frozen

from deltamark import Job, JobRun, SetRecentlyModifiedFlagTask, Step, SynchronizeTask, TaskState, Thresholds
from tests.application.runs.test_leases import Running
from tests.scenarios.house import House

DONE, WARNED, FAILED, SKIPPED = TaskState.COMPLETED, TaskState.WARNING, TaskState.FAILED, TaskState.SKIPPED
BLOCKED, CANCELLED = TaskState.BLOCKED, TaskState.CANCELLED
FIRST = SynchronizeTask(identifier="First", connector="HR", do_not_delete_changes=True)
LENIENT = evolve(FIRST, identifier="Lenient", continue_on_error=True)


def job(first: SynchronizeTask) -> Job:
    """The first task, one that does not depend on it, its child, and a flag task that depends on both of them."""
    return Job(
        first.identifier,
        [
            first,
            Step("SynchronizeTeams"),
            SynchronizeTask(identifier=f"{first.identifier}Child", connector="HR", parents=[first.identifier]),
            SetRecentlyModifiedFlagTask(
                identifier=f"{first.identifier}Flag", parents=[first.identifier, "SynchronizeTeams"]
            ),
        ],
    )


def run(house: House, name: str) -> JobRun:
    return house.engine.run_job(name)


def cancelled(house: House, name: str) -> JobRun:
    """Asked to stop while its first task is running."""
    running = Running(house, name)
    house.engine.cancel(house.engine.runs()[-1].number)
    ended = running.goes_on()
    assert isinstance(ended, JobRun)
    return ended


def well(house: House) -> None:
    house.people({"1": "Ann", "2": "Bob"})


def nothing_new(house: House) -> None:
    house.people({"1": "Ann"})


def badly_in_a_row(house: House) -> None:
    house.people({"1": "Ann", "2": "Bob", "3": {"Name": "Cid", "Age": "old"}})


def broken(house: House) -> None:
    house.write("people", ["no", "such"], [])


def too_much(house: House) -> None:
    house.people({str(n): "x" for n in range(1, 9)})


@frozen
class Cell:
    extract: Callable[[House], None]
    job: str
    states: tuple[TaskState, ...]
    """Of the first task, of the one that does not depend on it, of its child, of the flag task."""
    ends: TaskState
    runs: Callable[[House, str], JobRun] = run


CELLS = {
    "completed": Cell(well, "First", (DONE, DONE, DONE, DONE), DONE),
    "completed, without an effect": Cell(nothing_new, "First", (DONE, DONE, SKIPPED, DONE), DONE),
    "warning": Cell(badly_in_a_row, "First", (WARNED, DONE, WARNED, DONE), WARNED),
    "failed": Cell(broken, "First", (FAILED, SKIPPED, SKIPPED, SKIPPED), FAILED),
    "failed, and it may": Cell(broken, "Lenient", (FAILED, DONE, SKIPPED, DONE), WARNED),
    "blocked": Cell(too_much, "First", (BLOCKED, DONE, SKIPPED, DONE), BLOCKED),
    "blocked, and it may fail": Cell(too_much, "Lenient", (BLOCKED, DONE, SKIPPED, DONE), BLOCKED),
    "asked to stop": Cell(well, "First", (DONE, SKIPPED, SKIPPED, SKIPPED), CANCELLED, cancelled),
    "asked to stop, failed": Cell(broken, "First", (FAILED, SKIPPED, SKIPPED, SKIPPED), FAILED, cancelled),
    "asked to stop, failed, and it may": Cell(
        broken, "Lenient", (FAILED, SKIPPED, SKIPPED, SKIPPED), CANCELLED, cancelled
    ),
    "asked to stop, blocked": Cell(too_much, "First", (BLOCKED, SKIPPED, SKIPPED, SKIPPED), CANCELLED, cancelled),
}


@pytest.mark.many
@pytest.mark.parametrize("cell", CELLS.values(), ids=CELLS)
def test_a_run_continues_and_ends_as_its_tasks_do(new_house, cell):
    limits = Thresholds(maximum_inserted_lines=3)
    house = new_house(more_jobs=[job(FIRST), job(LENIENT)], limits=limits).people({"1": "Ann"}).teams({"A": "Alpha"})
    house.run("People")
    cell.extract(house)

    ended = cell.runs(house, cell.job)

    assert tuple(task.state for task in ended.tasks) == cell.states
    assert ended.state is cell.ends
    assert house.engine.run(ended.number).state is cell.ends
    assert all(task.messages for task in ended.tasks if task.state is SKIPPED)
