"""A signal comes to the command while tasks of one level are at work: it stops in good order, and `resume` goes on."""

from __future__ import annotations

import json
import os
import signal
import subprocess
from collections import Counter
from pathlib import Path
from random import Random, randrange

import pytest
from attrs import evolve

from deltamark import Configuration, Engine, Job, Step, TaskState
from deltamark.config.xml.writer import configuration_xml
from tests.cli.processes import ended, pausing_at, started
from tests.crash.company import ENDED_WELL, TASKS, Days, harm_in, seen
from tests.crash.company import configuration as known
from tests.stores import NewStore
from tests.tiers import SOAK

SEED = int(os.environ.get("DELTAMARK_SOAK_SEED") or randrange(1_000_000))
DAYS = 20 if SOAK else 1
LEVELS = "Levels"
LONGEST_S = 0.6
"""About as long as the command still works when the level has begun."""
STOPS = {signal.SIGINT: 130, signal.SIGTERM: 143}

COMPARING = ("_compare_all", "deltamark.infrastructure.comparison.comparer")
UNTIL_INTERRUPTED = """\
import threading, deltamark.application.execution.parallel as l; h, e = l.Turns.interrupt, threading.Event(); \
l.Turns.interrupt = lambda turns: (h(turns), e.set()); os.write(1, b"reached\\n"); e.wait(60)"""
HEEDLESS = "import deltamark.application.execution.parallel as l; l.Turns.check = lambda turns: None; "


def configuration() -> Configuration:
    """The company, with both of its systems in one level."""
    hr, directory, *after = TASKS
    levels = [("PrepareSynchronizationDirectory", 0), (hr, 1), (directory, 1), *zip(after, (2, 3, 4), strict=True)]
    jobs = [Job(LEVELS, [Step(task, level=level) for task, level in levels])]
    return evolve(known(), jobs=jobs)


class Workspace:
    """The company in a folder, as a user of the command has it, and days that come one after another."""

    def __init__(self, url: str, folder: Path, seed: int) -> None:
        folder.mkdir()
        self._url = url
        self._folder = folder
        self._extracts = Days(folder / "exports", seed)
        (folder / "configuration.xml").write_text(configuration_xml(configuration()), "utf-8")
        settings = {"store": url, "configuration": "configuration.xml", "export_output": "exports"}
        lines = [f"{name} = {json.dumps(value)}" for name, value in settings.items()]
        (folder / "deltamark.toml").write_text("\n".join(["[deltamark]", *lines, ""]), "utf-8")

    def next_day(self) -> None:
        self._extracts.next()

    def engine(self) -> Engine:
        return Engine.open(self._url, configuration=configuration(), export_output=self._folder / "exports")

    def command(self, *arguments: str, then: str) -> subprocess.Popen[bytes]:
        """The command, when the first task of the level is about to compare."""
        program = pausing_at(*COMPARING, then=then, word="")
        process = started(self._folder, *arguments, program=program)
        assert process.stdout is not None
        assert process.stdout.readline() == b"reached\n"
        return process


@pytest.mark.slow  # starts processes
@pytest.mark.parametrize(("number", "status"), STOPS.items(), ids=[number.name for number in STOPS])
def test_a_signal_in_a_level_undoes_all_its_tasks_and_resume_does_them(
    new_store: NewStore, tmp_path: Path, number: signal.Signals, status: int
) -> None:
    stopped, undisturbed = (Workspace(new_store(), tmp_path / name, SEED) for name in ("stopped", "undisturbed"))
    for workspace in (stopped, undisturbed):
        workspace.next_day()
    process = stopped.command("run", LEVELS, then=UNTIL_INTERRUPTED)

    process.send_signal(number)
    found, _, words = ended(process)

    assert found == status, words
    assert "Interrupted. What was finished is kept; the task that was running was undone." in words
    assert "Traceback" not in words
    with stopped.engine() as engine, undisturbed.engine() as other:
        run = engine.run(1)
        assert run.state is TaskState.FAILED
        assert "interrupted" in " ".join(message for task in run.tasks[1:3] for message in task.messages)
        assert [task.state for task in run.tasks[3:]] == [TaskState.SKIPPED] * 3
        assert list(engine.changes()) == []
        assert harm_in(engine) == []

        assert engine.resume(1).state in ENDED_WELL

        assert other.run_job(LEVELS).state in ENDED_WELL
        assert seen(engine) == seen(other)
        assert harm_in(engine) == []


@pytest.mark.soak
@pytest.mark.slow  # like what it controls
def test_control_a_level_that_does_not_heed_the_signal_is_caught(store_url: str, tmp_path: Path) -> None:
    workspace = Workspace(store_url, tmp_path / "heedless", SEED)
    workspace.next_day()
    process = workspace.command("run", LEVELS, then=HEEDLESS + UNTIL_INTERRUPTED)

    process.terminate()
    ended(process)

    with workspace.engine() as engine:
        assert list(engine.changes()) != []


@pytest.mark.soak
@pytest.mark.slow  # processes, and a look at all of the store, for each day
def test_a_life_of_signals_leaves_what_an_undisturbed_one_leaves(
    new_store: NewStore, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    stopped, undisturbed = (Workspace(new_store(), tmp_path / name, SEED) for name in ("stopped", "undisturbed"))
    random, statuses = Random(SEED), Counter[int]()
    for day in range(DAYS):
        for workspace in (stopped, undisturbed):
            workspace.next_day()
        with undisturbed.engine() as engine:
            assert engine.run_job(LEVELS).state in ENDED_WELL
            expected = seen(engine)

        process = stopped.command("run", LEVELS, then='os.write(1, b"reached\\n")')
        number = random.choice(list(STOPS))
        try:
            process.wait(LONGEST_S * random.random())
        except subprocess.TimeoutExpired:
            process.send_signal(number)
        status, _, words = ended(process)

        statuses[status] += 1
        # Where it comes when the work is done and Python is leaving, the process ends by the signal itself.
        assert status in (0, STOPS[number], -number), f"seed {SEED}, day {day}: {words}"
        assert "Traceback" not in words
        with stopped.engine() as engine:
            assert harm_in(engine) == [], f"seed {SEED}, day {day}"
            newest = engine.runs(1)[0]
            if newest.state not in ENDED_WELL:
                assert newest.state is TaskState.FAILED, f"seed {SEED}, day {day}"
                assert engine.resume(newest.number).state in ENDED_WELL
            assert seen(engine) == expected, f"seed {SEED}, day {day}"
            assert harm_in(engine) == [], f"seed {SEED}, day {day}"
    with capsys.disabled():
        print(f"\nseed {SEED}: exit statuses of {DAYS} days with a signal each: {dict(statuses)}")
