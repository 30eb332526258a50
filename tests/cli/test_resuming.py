"""Resuming and cancelling runs, and how both are shown."""

from __future__ import annotations

import re
from concurrent.futures import ThreadPoolExecutor

import pytest

from deltamark import Engine, Observer
from deltamark.application.runs.recorder import RunRecorder
from deltamark.interfaces.cli.commands import runs as running
from tests.application.runs.test_leases import Running
from tests.cli.terminal import SPINNER, in_terminal
from tests.cli.test_exit_statuses import broken
from tests.cli.workspace import CONFIGURATION, EXTRACTS

TOGETHER = """
  <Job Identifier="Together" DisplayName_L1="Both sources at the same time">
    <Step Task="SynchronizeHR" Level="1" />
    <Step Task="SynchronizeAD" Level="1" />
  </Job>
</ConfigurationFile>"""


@pytest.fixture
def failed(company):
    """A company whose first run failed at its first task; its extract has been corrected since."""
    broken(company)
    assert company.deltamark("run", "Incremental").status == 1
    company.extract(people=EXTRACTS["people"])
    return company


def test_a_failed_run_is_resumed_under_its_number(failed):
    answer = failed.deltamark("resume", "1", "--format", "jsonl")

    (run,) = answer.documents
    assert (answer.status, run["run"], run["state"]) == (0, 1, "completed")
    assert [task["state"] for task in run["tasks"]] == ["completed"] * 4
    assert [resumption["again"] for resumption in run["resumed"]] == [[1, 2, 3, 4]]
    assert "+ Read HR: completed (" in answer.err
    assert len(failed.jsonl("runs")) == 1


def test_a_resumption_is_shown(failed):
    failed.done("resume", "1")

    assert re.search(
        r"^resumed 20\S+Z by \S+ on \S+ \(process \d+\): Read HR, Read AD, Flag, Keys$",
        failed.done("runs", "1").text,
        re.MULTILINE,
    )
    assert failed.done("runs").lines[0].split()[-1] == "resumed"


def test_the_list_of_runs_has_no_empty_columns(past):
    assert past.done("runs").lines[0].split() == [
        "run", "job", "state", "started_at", "ended_at", "changes", "user", "host",
    ]  # fmt: skip
    assert past.done("runs", "--format", "csv").lines[0] == (
        "run,job,state,started_at,ended_at,changes,user,host,trigger,due_at,late,resumed,by,reason"
    )


def test_2_a_run_that_cannot_be_resumed_is_refused_with_the_reason(company):
    company.done("run", "Incremental")

    answer = company.deltamark("resume", "1")

    assert (answer.status, answer.out) == (2, b"")
    assert answer.err == (
        "deltamark: run 1 cannot be resumed: it has ended (completed) and none of its tasks is left to run.\n"
        "  deltamark runs 1  shows the run\n"
    )


@pytest.mark.parametrize("command", ["resume", "cancel"])
def test_2_an_unknown_run_is_refused(failed, command):
    answer = failed.deltamark(command, "7")

    assert answer.status == 2
    assert "there is no run 7" in answer.err


def test_1_a_resumed_run_that_fails_again_has_failed(failed):
    broken(failed)

    assert failed.deltamark("resume", "1").status == 1


class House:
    """What `Running` needs."""

    def __init__(self, company):
        self.engine = Engine.open(company.store, configuration=company.folder / "configuration")


def test_a_running_run_is_asked_to_stop_and_ends_cancelled(company):
    house = House(company)
    with house.engine:
        going_on = Running(house, "OnlyFlag")

        answer = company.done("cancel", "1")
        going_on.goes_on()

    assert answer.err == "Run 1 was asked to stop: it finishes its running tasks. `deltamark runs 1` shows it.\n"
    (run,) = company.jsonl("runs")
    assert (run["state"], [task["state"] for task in run["tasks"]]) == ("cancelled", ["completed", "skipped"])
    shown = company.done("runs", "1").text
    assert "asked to stop by" in shown
    assert "Flag: skipped: the run was cancelled by" in shown


def test_1_a_run_cancelled_by_another_process_ends_with_status_1(company, monkeypatch):
    class Cancelling(running.RunProgress):
        def task_started(self, run, task):
            assert by_somebody_else(lambda: House(company).engine.cancel(run)).cancelled_by is not None

    monkeypatch.setattr(running, "RunProgress", Cancelling)

    answer = company.deltamark("run", "OnlyFlag", "--format", "jsonl")

    assert (answer.status, answer.documents[-1]["state"]) == (1, "cancelled")


def by_somebody_else(work):
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(work).result(60)


def test_2_an_ended_run_cannot_be_cancelled(failed):
    answer = failed.deltamark("cancel", "1")

    assert answer.status == 2
    assert "run 1 cannot be cancelled: it has ended (failed) and holds nothing back" in answer.err


def test_a_blocked_run_can_be_resumed_or_cancelled(company):
    limits = 'Identifier="HR"\n    MaximumInsertedLines='
    company.configure(CONFIGURATION.replace(f'{limits}"0"', f'{limits}"1"'))
    company.done("run", "Incremental")
    more = EXTRACTS["people"] + "E7,Gus,,,,,D1\nE8,Hal,,,,,D1\n"
    company.extract(people=more)
    for run in ("2", "3"):
        answer = company.deltamark("run", "OnlyFlag")
        assert answer.status == 3
        if run == "2":
            dropped = company.done("cancel", "2")
            assert "~ Read HR: dropped what was held back of HR" in dropped.err
            assert dropped.err.endswith("Run 2: cancelled.\n")

    assert company.deltamark("resume", "2").status == 2
    resumed = company.jsonl("resume", "3")

    assert [task["inserted"] for task in resumed[0]["tasks"]] == [2, 0]
    assert [run["state"] for run in company.jsonl("runs")] == ["completed", "cancelled", "completed"]


def test_a_user_cannot_start_a_job_reserved_for_the_schedule(company):
    job = '<Job Identifier="OnlyFlag"'
    company.configure(CONFIGURATION.replace(job, f'{job} UserStartDenied="true"'))

    answer = company.deltamark("run", "OnlyFlag")

    assert answer.status == 2
    assert answer.err.startswith("deltamark: job OnlyFlag can be started only by the schedule")
    assert "there is no store yet" in company.deltamark("runs").err
    assert company.done("run", "OnlyFlag", "--dry-run")


class Died(BaseException):
    """Does nothing: the process is dead."""


def die(*arguments):
    raise Died


def test_a_run_whose_process_died_is_shown_as_aborted(company, monkeypatch):
    class Dying(Observer):
        task_started = die

    with monkeypatch.context() as patch, House(company).engine as engine:
        patch.setattr(RunRecorder, "task_ended", die)
        with pytest.raises(Died):
            engine.run_job("OnlyFlag", observer=Dying())

    (run,) = company.jsonl("runs")

    assert (run["state"], run["ended_at"], run["tasks"][0]["state"]) == ("aborted", None, "aborted")
    assert company.jsonl("resume", "1")[0]["state"] == "completed"


def test_each_task_of_a_level_has_a_progress_line(company):
    company.configure(CONFIGURATION.replace("</ConfigurationFile>", TOGETHER))

    shown = in_terminal(company.folder, "run", "Together")

    assert shown.status == 0
    assert SPINNER.search(shown.raw)
    assert not any(SPINNER.search(line) for line in shown.screen)
    assert shown.cursor_is_visible
    told = [line.split(":")[0] for line in shown.screen if "completed (" in line]
    assert sorted(told) == ["+ Read AD", "+ Read HR"]
