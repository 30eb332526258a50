"""Two processes start the same job, or jobs that share a task, at the same instant: never do both run."""

from __future__ import annotations

from multiprocessing.connection import Connection
from pathlib import Path

import pytest

from tests.crash import children
from tests.crash.company import ENDED_WELL, JOB, PATIENCE_S, PEOPLE, Days, harm_in, opened
from tests.store.children import CONTEXT
from tests.tiers import SOAK

RACES = 100 if SOAK else 10
SHARED = "SynchronizeHR"

Told = tuple[str, int, str, str, int]
"""What became of one process: ran or refused, the number of the run, words, the job, the process."""


def raced(
    url: str, folder: Path, jobs: tuple[list[str], list[str]], *, leases: bool, patience_s: float
) -> list[list[Told]]:
    """Two processes race as often as there are jobs; gives what became of both, each time."""
    at_once, refused = CONTEXT.Barrier(2), CONTEXT.Event()
    ends: list[Connection] = []
    processes = []
    for each in jobs:
        receiving, sending = CONTEXT.Pipe(duplex=False)
        arguments = (url, folder, each, at_once, refused, sending, patience_s)
        process = CONTEXT.Process(target=children.race, args=arguments, kwargs={"leases": leases})
        process.start()
        sending.close()
        ends.append(receiving)
        processes.append(process)
    found = []
    for _ in jobs[0]:
        assert all(end.poll(PATIENCE_S) for end in ends), "a process did not tell how it went"
        found.append([end.recv() for end in ends])
    for process in processes:
        process.join(PATIENCE_S)
        assert process.exitcode == 0
    return found


@pytest.fixture
def folder(store_url: str, tmp_path: Path) -> Path:
    """The extracts of a company whose store is there already."""
    folder = tmp_path / "exports"
    Days(folder, 5).next()
    with opened(store_url, folder) as engine:
        assert engine.run_job(JOB).state in ENDED_WELL
    return folder


def wrong_in(races: list[list[Told]]) -> list[list[Told]]:
    """The races in which not exactly one ran, and the other was refused by the name of the run that did."""
    return [race for race in races if not _is_right(sorted(race))]


def _is_right(race: list[Told]) -> bool:
    (how, run, state, job, process), (other, by, words, named, told) = race
    return (
        (how, other) == ("ran", "refused")
        and state in {state.value for state in ENDED_WELL}
        and (by, named, told) == (run, job, process)
        and f"task {SHARED} is already running: in run {run} of job {job}" in words
    )


@pytest.mark.soak
@pytest.mark.slow  # each race is a run
def test_of_two_processes_that_start_at_the_same_instant_one_runs_and_one_is_refused(
    store_url: str, folder: Path
) -> None:
    same, other = [JOB] * RACES, [JOB if n % 2 else PEOPLE for n in range(RACES)]

    races = raced(store_url, folder, (same, other), leases=True, patience_s=PATIENCE_S)

    assert wrong_in(races) == []
    assert len(races) == RACES
    with opened(store_url, folder) as engine:
        assert len(engine.runs()) == 1 + RACES
        assert {run.state for run in engine.runs()} <= set(ENDED_WELL)
        assert harm_in(engine) == []


@pytest.mark.soak
@pytest.mark.slow  # like what it controls
def test_control_without_leases_both_run(store_url: str, folder: Path) -> None:
    races = raced(store_url, folder, ([PEOPLE], [PEOPLE]), leases=False, patience_s=0.2)

    assert wrong_in(races) == races
