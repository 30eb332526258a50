"""A process that runs the job is killed at random instants: nothing is lost, doubled or half done.

The configuration is edited every day, so that a kill meets its adoption too.
"""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path
from random import Random, randrange

import pytest

from deltamark import Engine, TaskState
from deltamark.application.runs.recorder import RunRecorder
from deltamark.domain.errors import CannotResume
from tests.crash import children
from tests.crash.company import ENDED_WELL, JOB, PATIENCE_S, Days, Seen, continued, harm_in, lives, opened, seen
from tests.store.children import CONTEXT
from tests.tiers import SOAK

SEED = int(os.environ.get("DELTAMARK_SOAK_SEED") or randrange(1_000_000))
KILLS = 160 if SOAK else 11
"""On each store."""
KILLS_A_DAY = 2
DAYS = -(-KILLS // KILLS_A_DAY)
KILLED = -9
STATEMENTS, SECONDS = 500, 0.5
"""About as many as a usual run has, and takes."""


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> list[Seen]:
    """The days of the same company to which nothing happened."""
    return lives(SEED, DAYS, tmp_path_factory.mktemp("undisturbed"), edits=True)


class Life:
    """A company whose every run is killed some times before one may end."""

    def __init__(self, url: str, folder: Path) -> None:
        self._url = url
        self._folder = folder
        self._random = Random(SEED)
        self._extracts = Days(folder, SEED, edits=True)
        self.kills = self.missed = 0

    def day(self) -> Engine:
        """A day with its kills; gives the engine over what the last run left."""
        self._extracts.next()
        for _ in range(KILLS_A_DAY):
            self._kill()
            with opened(self._url, self._folder) as engine:
                assert harm_in(engine) == [], f"seed {SEED}, kill {self.kills}"
        engine = opened(self._url, self._folder, lease_s=children.LEASE_S)
        run = continued(engine)
        assert run.state in ENDED_WELL, [task.messages for task in run.tasks]
        return engine

    def _kill(self) -> None:
        """Kills a process, sooner where the one before was quicker: it may have had little left to do."""
        share = 1.0
        while not self._is_killed(share * self._random.random()):
            self.missed += 1
            share /= 2
        self.kills += 1

    def _is_killed(self, share: float) -> bool:
        """Runs a process and kills it after a share of a usual run, at a statement or by the clock."""
        by_clock = self._random.random() < 0.5
        at_statement = 0 if by_clock else 1 + int(share * STATEMENTS)
        receiving, sending = CONTEXT.Pipe(duplex=False)
        process = CONTEXT.Process(target=children.run, args=(self._url, self._folder, at_statement, sending))
        process.start()
        sending.close()
        with suppress(EOFError):  # it died before it began
            assert receiving.poll(PATIENCE_S)
            receiving.recv()
            if by_clock and not receiving.poll(share * SECONDS):
                process.kill()
        process.join(PATIENCE_S)
        assert process.exitcode in (0, KILLED)
        return process.exitcode == KILLED


@pytest.mark.soak
@pytest.mark.slow  # a process, and a run after it, for each kill
def test_a_life_of_kills_leaves_what_an_undisturbed_one_leaves(
    store_url: str, tmp_path: Path, undisturbed: list[Seen], capsys: pytest.CaptureFixture[str]
) -> None:
    life = Life(store_url, tmp_path / "exports")

    for day, expected in enumerate(undisturbed):
        with life.day() as engine:
            found = seen(engine)
            assert found == expected, f"seed {SEED}, day {day}"
            assert harm_in(engine) == [], f"seed {SEED}, day {day}"
            assert engine.verify_derived().differences == ()
    with capsys.disabled():
        print(f"\n{store_url.split(':')[0]}, seed {SEED}: {life.kills} kills in {DAYS} days, {life.missed} too late")
    assert life.kills >= KILLS


@pytest.mark.soak
@pytest.mark.slow  # like what it controls
def test_control_a_store_that_commits_in_the_midst_of_a_task_is_caught(store_url: str, tmp_path: Path) -> None:
    folder = tmp_path / "exports"
    Days(folder, 3).next()
    process = CONTEXT.Process(target=children.run_and_commit_half, args=(store_url, folder))

    process.start()
    process.join(PATIENCE_S)

    assert process.exitcode == KILLED
    with opened(store_url, folder) as engine:
        assert any("changes counted, others are in the log" in harm for harm in harm_in(engine))


def test_a_run_that_died_when_only_its_end_was_missing_ends_as_its_tasks_did(
    store_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "exports"
    Days(folder, 3).next()
    with opened(store_url, folder) as engine:
        monkeypatch.setattr(RunRecorder, "run_ended", interrupted)
        with pytest.raises(KeyboardInterrupt):
            engine.run_job(JOB)
        monkeypatch.undo()
        assert engine.run(1).state is TaskState.ABORTED

        with pytest.raises(CannotResume, match="none of its tasks is left to run"):
            engine.resume(1)

        assert engine.run(1).state in ENDED_WELL
        assert harm_in(engine) == []


def interrupted(*_: object) -> None:
    raise KeyboardInterrupt
