"""`deltamark schedule`, `deltamark health`, and the times in `deltamark jobs`."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta

import pytest

from deltamark import Engine, Notice, NoticeKind
from deltamark.interfaces.cli.commands.schedule import line_of
from tests.cli.processes import COMMAND, LONGEST_S, ended, environment, pausing_at
from tests.cli.workspace import CONFIGURATION, Workspace
from tests.scenarios.timeline import Time, Timekeeper
from tests.signals import ending_with_us

EVERY_SECOND = CONFIGURATION.replace('"0 6 * * *"', '"* * * * * *"')
UNSCHEDULED = CONFIGURATION.replace('CronTabExpression="0 6 * * *"', "")
SHORT_LEASES = (
    sys.executable,
    "-c",
    """
import sys
from functools import partial
import deltamark.bootstrap as bootstrap
bootstrap.Services = partial(bootstrap.Services, lease_s=1.5)
from deltamark.interfaces.cli import main
main.main(sys.argv[1:])
""",
)


def test_jobs_shows_when_each_job_is_due_next(past):
    incremental, only_flag, _ = past.jsonl("jobs")

    due = datetime.fromisoformat(incremental["next_at"])
    assert (due.hour, due.minute, due.second, due.utcoffset()) == (6, 0, 0, timedelta(0))
    assert timedelta(0) < due - datetime.now(UTC) <= timedelta(days=1)
    assert only_flag["next_at"] is None


def test_schedule_reports_that_no_job_is_scheduled(company):
    company.configure(UNSCHEDULED)

    answer = company.deltamark("schedule")

    assert answer.status == 2
    assert "no job has a CronTabExpression: there is nothing to run on a schedule" in answer.err


@pytest.mark.parametrize("command", ["schedule", "jobs"])
def test_an_unknown_time_zone_is_reported(command, company, monkeypatch):
    company.configure(CONFIGURATION.replace('"0 6 * * *"', '"0 6 * * *" CronTimeZone="ServerTime"'))
    monkeypatch.setenv("TZ", "Mars/Olympus")
    monkeypatch.setattr("tzlocal.unix._cache_tz", None)

    answer = company.deltamark(command)

    assert answer.status == 2
    assert 'the time zone of this machine is unknown (TZ is "Mars/Olympus")' in answer.err


# Health


@pytest.fixture
def at_six(company: Workspace) -> Iterator[Timekeeper]:
    """A scheduler that has run the job of six o'clock."""
    time = Time(datetime.now(UTC))
    with Engine.open(company.store, configuration="configuration", clock=time) as engine:

        class Opened:
            """What the scheduler needs: an engine."""

        house = Opened()
        house.engine = engine  # type: ignore[attr-defined]
        keeper = Timekeeper(house, time)  # type: ignore[arg-type]
        keeper.looks()
        yield keeper


def test_health_is_good_while_the_schedule_is_kept(company, at_six):
    assert company.done("health", "--writable").text.startswith("All is well. The next job is Incremental, at 20")
    (document,) = company.jsonl("health")
    assert (document["well"], document["scheduler"], document["problems"]) == (True, True, [])
    assert [job["job"] for job in document["jobs"]] == ["Incremental"]


def test_health_reports_that_no_scheduler_is_running(company, at_six):
    at_six.scheduler.resign()

    answer = company.deltamark("health")

    assert (answer.status, answer.text) == (
        1, "no scheduler is at work\n  deltamark schedule  starts jobs at their times\n",
    )  # fmt: skip


def test_health_needs_no_scheduler_without_scheduled_jobs(company):
    company.configure(UNSCHEDULED)
    company.done("run", "OnlyFlag")

    assert company.done("health").text == "All is well; no job has a CronTabExpression.\n"


def test_health_reports_a_failed_job_until_it_succeeds(company, at_six):
    users = company.exports / "users.csv"
    kept = users.read_text("utf-8")
    users.unlink()
    assert company.deltamark("run", "Incremental").status == 1

    answer = company.deltamark("health")
    assert (answer.status, answer.text) == (
        1, "the last run of job Incremental, 1, is failed\n  deltamark runs 1  shows the run\n",
    )  # fmt: skip

    users.write_text(kept, "utf-8")
    company.done("run", "Incremental")
    company.done("health")


def test_health_reports_an_overdue_job(company, at_six):
    with at_six.services.store.transaction() as tx:
        (seen,) = tx.schedules()
        tx.put_schedule(type(seen)(job=seen.job, timing=seen.timing, handled_to=seen.handled_to - timedelta(days=2)))

    answer = company.deltamark("health")

    assert answer.status == 1
    assert "job Incremental was due at 20" in answer.text
    assert "and was not started" in answer.text


def test_health_reports_a_faulty_configuration_or_store(company):
    no_store = company.deltamark("health", "--format", "jsonl")
    company.configure(EVERY_SECOND.replace("* * * * * *", "61 * * * *"))
    no_configuration = company.deltamark("health", "--format", "csv")

    assert no_store.status == no_configuration.status == 1
    assert "there is no store yet" in no_store.documents[0]["problems"][0]
    assert no_configuration.lines[0] == "problem"
    assert "61" in no_configuration.text


# Notices

AT = datetime(2026, 1, 1, 13, 0, tzinfo=UTC)


@pytest.mark.parametrize(
    ("notice", "line"),
    [
        ({"kind": NoticeKind.NEXT, "job": "A", "due_at": AT}, "A: next at 2026-01-01T13:00:00Z"),
        ({"kind": NoticeKind.NEXT, "words": "no job"}, "Nothing to do: no job."),
        ({"kind": NoticeKind.STARTED, "job": "A", "due_at": AT, "run": 3}, "A: run 3 started"),
        (
            {"kind": NoticeKind.STARTED, "job": "A", "due_at": AT, "run": 3, "late": True},
            "A: run 3 started, late: it was due at 2026-01-01T13:00:00Z",
        ),
        ({"kind": NoticeKind.TROUBLE, "job": "A", "words": "oh"}, "A: oh"),
        ({"kind": NoticeKind.TROUBLE, "words": "oh"}, "oh"),
        (
            {"kind": NoticeKind.REFUSED, "job": "A", "due_at": AT, "words": "busy"},
            "A: due at 2026-01-01T13:00:00Z, tried again until it can start: busy",
        ),
    ],
)
def test_every_notice_is_one_line(notice, line):
    assert line_of(Notice(at=AT, **notice)) == line


# Processes


@pytest.fixture
def start(company: Workspace) -> Iterator[Callable[..., subprocess.Popen[bytes]]]:
    """Starts a scheduler with each call, for a job that is due every second; all end with the test."""
    company.configure(EVERY_SECOND)
    processes = []

    def begin(program: tuple[str, ...] = COMMAND, *arguments: str) -> subprocess.Popen[bytes]:
        process = subprocess.Popen(
            ending_with_us([*program, "schedule", *arguments]),
            cwd=company.folder,
            env=environment(),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        processes.append(process)
        return process

    yield begin
    for process in processes:
        process.kill()
        process.communicate()


def heard(process: subprocess.Popen[bytes], what: str) -> dict:
    """Returns the next notice of a kind that a process prints."""
    watchdog = threading.Timer(LONGEST_S, process.kill)
    watchdog.start()
    try:
        for line in process.stdout:
            notice = json.loads(line)
            if notice["what"] == what:
                return notice
    finally:
        watchdog.cancel()
    raise AssertionError(f"it ended before that: {process.communicate()[1].decode()}")


def until_it_has_nothing_to_do(process: subprocess.Popen[bytes]) -> None:
    """Reads the output of a process until the job is not due for a while."""
    while datetime.fromisoformat(heard(process, "next")["due_at"]) - datetime.now(UTC) < timedelta(seconds=2):
        pass


@pytest.mark.slow  # starts a scheduler
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_a_signal_ends_the_scheduler_after_the_running_task(number, start, company):
    process = start(pausing_at("synchronize", "deltamark.application.execution.task_types", "sys.stdin.readline()"))
    assert process.stdout.readline() == b"reached\n"

    process.send_signal(number)
    process.stdin.write(b"go on\n")
    status, _, err = ended(process)

    (run,) = company.jsonl("runs")
    assert (status, run["state"], run["trigger"]) == (0, "cancelled", "schedule")
    assert [task["state"] for task in run["tasks"]][:2] == ["completed", "skipped"]
    assert err.splitlines()[-1] == "Stopped."
    assert "no scheduler is at work" in company.deltamark("health").text


def test_a_second_signal_ends_the_scheduler_at_once(start, company):
    pauses_twice = "sys.stdin.readline(); os.write(1, b'again\\n'); sys.stdin.readline()"
    process = start(pausing_at("synchronize", "deltamark.application.execution.task_types", pauses_twice))
    assert process.stdout.readline() == b"reached\n"

    process.send_signal(signal.SIGTERM)
    process.stdin.write(b"go on\n")
    process.stdin.flush()
    assert process.stdout.readline() == b"again\n"
    process.send_signal(signal.SIGTERM)
    status, _, _ = ended(process)

    (run,) = company.jsonl("runs")
    assert (status, run["state"]) == (128 + signal.SIGTERM, "failed")
    assert run["tasks"][0]["messages"] == ["interrupted"]


def test_a_waiting_scheduler_ends_at_once(start, company):
    company.configure(CONFIGURATION)
    process = start(COMMAND, "--format", "jsonl")
    assert heard(process, "next")["job"] == "Incremental"

    process.send_signal(signal.SIGTERM)

    assert ended(process)[0] == 0


@pytest.mark.slow  # the jobs are due every second, and a lease must expire
def test_two_processes_start_each_run_once_and_one_takes_over_from_the_other(start, company):
    first = start(SHORT_LEASES, "--format", "jsonl")
    heard(first, "ended")
    second = start(SHORT_LEASES, "--format", "jsonl")
    heard(second, "waits")
    heard(first, "ended")

    first.kill()
    heard(second, "leads")
    heard(second, "ended")
    second.send_signal(signal.SIGTERM)
    status, _, _ = ended(second)

    runs = company.jsonl("runs")
    due = [run["due_at"] for run in runs]
    assert status == 0
    assert len(runs) >= 3
    assert Counter(due).most_common(1)[0][1] == 1
    assert due == sorted(due)


@pytest.mark.slow  # a lease must expire
def test_a_process_that_lost_the_lead_while_stopped_starts_nothing(start, company):
    company.configure(EVERY_SECOND.replace("* * * * * *", "*/4 * * * * *"))
    first = start(SHORT_LEASES, "--format", "jsonl")
    heard(first, "ended")
    second = start(SHORT_LEASES, "--format", "jsonl")
    heard(second, "waits")
    until_it_has_nothing_to_do(first)  # otherwise it might hold the lock of the store when it is stopped

    first.send_signal(signal.SIGSTOP)
    heard(second, "ended")
    first.send_signal(signal.SIGCONT)
    heard(first, "waits")
    heard(second, "ended")

    runs = company.jsonl("runs")
    assert Counter(run["due_at"] for run in runs).most_common(1)[0][1] == 1


@pytest.mark.slow  # a changed configuration is loaded once it is unchanged for a second
def test_a_changed_configuration_is_loaded_and_a_broken_one_is_not(start, company):
    company.configure(CONFIGURATION)
    process = start(COMMAND, "--format", "jsonl")
    heard(process, "next")

    company.configure(CONFIGURATION.replace("0 6 * * *", "61 6 * * *"))
    trouble = heard(process, "trouble")
    company.configure(EVERY_SECOND)
    heard(process, "reloaded")
    heard(process, "ended")

    assert "has faults; what was loaded before stays in force" in trouble["message"]
    assert "company.xml" in trouble["message"]
    process.send_signal(signal.SIGTERM)
    assert ended(process)[0] == 0
