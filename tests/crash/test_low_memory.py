"""A run gets too little memory, at whatever point: it fails or dies, and with memory it is as if it had had enough."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from random import Random, randrange

import pytest

from deltamark import DeltamarkError, Engine, TaskState
from tests.crash import children
from tests.crash.company import ENDED_WELL, JOB, PATIENCE_S, Days, Seen, continued, harm_in, lives, opened, seen
from tests.store.children import CONTEXT
from tests.tiers import SOAK

SEED = int(os.environ.get("DELTAMARK_SOAK_SEED") or randrange(1_000_000))
DAYS = 15 if SOAK else 2
STEPS = 4
"""How often a day's run has too little memory before it has enough."""
LEAST, MOST, MOST_WARM = 1 << 20, 320 << 20, 24 << 20
"""What a process may take beyond what it has before the run; less where it has set up everything. With the most, most
runs end well.
"""
STUCK_S = 15
"""Python waits for ever for a thread that finds no memory to begin with; such a process is killed."""
TOLD = ("got no more memory", "Out of Memory", "needs more memory", "MemoryError", "bad allocation", "bad_alloc")

pytestmark = pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="this system does not tell what is used")


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> list[Seen]:
    """The days of the same company that always has memory."""
    return lives(SEED, DAYS, tmp_path_factory.mktemp("undisturbed"))


class Life:
    """A company whose every run has too little memory some times before one has enough."""

    def __init__(self, url: str, folder: Path) -> None:
        self._url = url
        self._folder = folder
        self._random = Random(SEED)
        self._extracts = Days(folder, SEED)
        self.ends: Counter[str] = Counter()

    def day(self) -> Engine:
        """A day with its steps; gives the engine over what the last run left."""
        self._extracts.next()
        for step in range(STEPS):
            warm = step % 2 == 1
            headroom = self._random.randint(LEAST, MOST_WARM if warm else MOST)
            self.ends[self._starved(headroom, warm=warm)] += 1
            with opened(self._url, self._folder) as engine:
                assert harm_in(engine) == [], f"seed {SEED}, {headroom} bytes"
        engine = opened(self._url, self._folder, lease_s=children.LEASE_S)
        run = continued(engine)
        assert run.state in ENDED_WELL, [task.messages for task in run.tasks]
        return engine

    def _starved(self, headroom: int, *, warm: bool) -> str:
        """How a run ends that gets so many bytes: well, told, dead or stuck."""
        receiving, sending = CONTEXT.Pipe(duplex=False)
        arguments = (self._url, self._folder, headroom, sending)
        process = CONTEXT.Process(target=children.run_starved, args=arguments, kwargs={"warm": warm})
        process.start()
        sending.close()
        how = None
        is_stuck = not receiving.poll(STUCK_S)
        if is_stuck:
            process.kill()
        with suppress(EOFError):  # it died
            how = receiving.recv()
        process.join(PATIENCE_S)
        if how is None:
            assert process.exitcode not in (0, 1)  # a process that ends by an exception has told it
            return "stuck" if is_stuck else "dead"
        state, words = how
        if state in {state.value for state in ENDED_WELL}:
            return "well"
        assert any(told in " ".join([state, *words]) for told in TOLD), how
        return "told"


@pytest.mark.soak
@pytest.mark.slow  # a process, and a look at all of the store, for each step
def test_a_life_of_too_little_memory_leaves_what_one_with_enough_leaves(
    store_url: str, tmp_path: Path, undisturbed: list[Seen], capsys: pytest.CaptureFixture[str]
) -> None:
    life = Life(store_url, tmp_path / "exports")

    for day, expected in enumerate(undisturbed):
        with life.day() as engine:
            assert seen(engine) == expected, f"seed {SEED}, day {day}"
            assert harm_in(engine) == [], f"seed {SEED}, day {day}"
            assert engine.verify_derived().differences == ()
    with capsys.disabled():
        print(f"\n{store_url.split(':')[0]}, seed {SEED}: {DAYS * STEPS} runs with little memory: {dict(life.ends)}")
    assert life.ends["told"] + life.ends["dead"] >= DAYS


@pytest.mark.soak
@pytest.mark.slow  # like what it controls
def test_control_a_store_that_keeps_half_a_task_when_memory_ends_is_caught(store_url: str, tmp_path: Path) -> None:
    folder = tmp_path / "exports"
    Days(folder, 3).next()
    process = CONTEXT.Process(target=children.run_starved_and_keep_half, args=(store_url, folder))

    process.start()
    process.join(PATIENCE_S)

    with opened(store_url, folder) as engine:
        assert any("changes counted, others are in the log" in harm for harm in harm_in(engine))


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (MemoryError(), "got no more memory."),
        (RuntimeError("can't start new thread"), "got no more memory for a thread"),
    ],
)
def test_a_task_that_gets_no_more_memory_fails_in_words_that_help(
    store_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: Exception, words: str
) -> None:
    Days(tmp_path / "exports", 3).next()
    with opened(store_url, tmp_path / "exports") as engine:
        monkeypatch.setattr("deltamark.application.execution.task_types.flag", raising(error))

        run = engine.run_job(JOB)

        (failed,) = [task for task in run.tasks if task.state is TaskState.FAILED]
        assert failed.identifier == "SetRecentlyModifiedFlag"
        assert words in failed.messages[0]
        assert "What was being written was undone. Raise its limits" in failed.messages[0]


def test_a_run_that_gets_no_thread_of_its_own_gives_its_tasks_back(
    store_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    Days(tmp_path / "exports", 3).next()
    with opened(store_url, tmp_path / "exports") as engine:
        with monkeypatch.context() as patch:
            patch.setattr(
                "deltamark.application.runs.leases.Thread.start", raising(RuntimeError("can't start new thread"))
            )
            with pytest.raises(DeltamarkError, match=r"got no more memory for a thread.* Nothing was run\."):
                engine.run_job(JOB)

        assert engine.run(1).state is TaskState.ABORTED
        assert engine.resume(1).state in ENDED_WELL


def raising(error: Exception) -> Callable[..., None]:
    def raised(*_: object, **__: object) -> None:
        raise error

    return raised
