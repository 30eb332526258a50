"""What only a process can show: closed streams, odd locales, signals, simultaneous runs."""

from __future__ import annotations

import json
import os
import pwd
import signal
import subprocess
from types import SimpleNamespace

import pytest

from deltamark.infrastructure.duckdb.connection import locked_down
from tests.cli.processes import COMMAND, ended, environment, pausing_at, run, started
from tests.cli.test_commands import rows_of_the_log
from tests.cli.workspace import LATER

pytestmark = pytest.mark.slow  # starts processes

ALL_PEOPLE = ["E1", "E2", "E3"]
SYNCHRONIZING = ("discard_changes_of", "deltamark.application.synchronization.synchronize")
COMPARING = ("_compare_all", "deltamark.infrastructure.comparison.comparer")


def shell(folder, script: str, **options) -> tuple[int, bytes, str]:
    """Runs a shell script in which `deltamark` is the command."""
    text = f'deltamark() {{ "{COMMAND[0]}" {COMMAND[1]} {COMMAND[2]} "$@"; }}\n{script}'
    return run(folder, text, program=("bash", "-c"), **options)


# Streams


@pytest.mark.parametrize("unbuffered", [None, "1"])
@pytest.mark.parametrize("form", ["table", "jsonl"])
def test_144_a_closed_reader_is_not_reported_as_an_error(past, form, unbuffered):
    reader, writer = os.pipe()
    os.close(reader)

    env = environment(PYTHONUNBUFFERED=unbuffered)
    status, _, err = run(past.folder, "changes", "--format", form, stdout=writer, env=env)
    os.close(writer)

    assert (status, err) == (141, "")


def test_144_head_gets_its_line(past):
    status, out, err = shell(past.folder, "deltamark changes --format jsonl | head -1; exit ${PIPESTATUS[0]}")

    assert json.loads(out)["position"] == 4
    assert (status in (0, 141), err) == (True, "")


def test_144_help_without_a_reader_is_not_reported_as_an_error(past):
    reader, writer = os.pipe()
    os.close(reader)

    for arguments in (["--help"], ["run", "--help"]):
        assert run(past.folder, *arguments, stdout=writer)[0::2] == (141, "")
    os.close(writer)


@pytest.mark.parametrize("closed", [">&-", "2>&-", ">&- 2>&- <&-"])
def test_144_145_and_140_a_run_works_with_closed_streams(company, closed):
    status, _, err = shell(company.folder, f"deltamark run OnlyFlag {closed}")

    assert status == 0, err
    assert "Traceback" not in err
    (recorded,) = company.jsonl("runs")
    assert recorded["state"] == "completed"
    assert [p["key"] for p in company.jsonl("export", "HR_Person")] == ALL_PEOPLE


def test_145_results_that_no_stream_takes_are_no_success(past):
    status, _, err = shell(past.folder, "deltamark changes >&-")

    assert status == 1
    assert err.startswith("deltamark: standard output cannot be written: Bad file descriptor.")


def test_145_a_run_continues_when_its_output_has_no_reader(company):
    reader, writer = os.pipe()
    os.close(reader)

    status, out, _ = run(company.folder, "run", "OnlyFlag", "--format", "jsonl", stderr=writer)
    os.close(writer)

    assert status == 0
    assert json.loads(out)["state"] == "completed"
    assert company.jsonl("runs")[0]["state"] == "completed"


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="this system has no /dev/full")
@pytest.mark.parametrize("unbuffered", [None, "1"])
@pytest.mark.parametrize("form", ["table", "jsonl"])
def test_145_output_that_cannot_be_written_is_reported(past, form, unbuffered):
    env = environment(PYTHONUNBUFFERED=unbuffered)
    status, _, err = shell(past.folder, f"deltamark changes --format {form} > /dev/full", env=env)

    assert status == 1
    assert err == (
        "deltamark: standard output cannot be written: No space left on device. What was finished before is kept.\n"
    )


# Locale and environment

ASCII = {"LANG": "C", "LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0", "PYTHONIOENCODING": None}


def test_146_a_limited_locale_changes_how_letters_are_shown_but_not_the_data(past):
    plain = environment(**ASCII)

    status, out, _ = run(past.folder, "export", "HR_Person", "--format", "jsonl", env=plain)
    table = run(past.folder, "export", "HR_Person", env=plain)

    assert (status, out) == (0, past.done("export", "HR_Person", "--format", "jsonl").out)
    assert table[0] == 0
    assert b"B\\xf6b" in table[1]
    assert run(past.folder, "history", "HR_Person", "E1", env=plain)[1].count(b"\\u2192") == 1


def test_146_arguments_are_read_as_utf_8_whatever_the_locale(company):
    company.extract(users="login,mail\nzoë,z@x.example\n")
    company.done("run", "Forgetful")

    for env in (environment(**ASCII), environment(LANG="C.UTF-8", LC_ALL="C.UTF-8")):
        status, out, err = run(company.folder, "show", "AD_User", "zoë", "--format", "jsonl", env=env)

        assert status == 0, err
        assert json.loads(out)["key"] == "zoë"


def test_147_neither_home_nor_user_name_is_needed(company):
    bare = {"PYTHONPATH": environment()["PYTHONPATH"], "PATH": "/nowhere", "TMPDIR": "/nowhere"}

    status, _, err = run(company.folder, "run", "OnlyFlag", env=bare)

    assert status == 0, err
    assert company.jsonl("runs")[0]["user"]


@pytest.mark.parametrize(
    "variable", ["LOGNAME", *(pytest.param(name, marks=pytest.mark.slow) for name in ("USER", "LNAME", "USERNAME"))]
)
def test_the_user_on_record_is_the_account_of_the_process_whatever_variables_say(company, variable):
    env = {**os.environ, **environment(), variable: "somebody"}

    status, _, err = run(company.folder, "run", "OnlyFlag", env=env)

    assert status == 0, err
    assert company.jsonl("runs")[0]["user"] == pwd.getpwuid(os.geteuid()).pw_name


@pytest.mark.parametrize(("name", "recorded"), [("zo\udcff", "zo\\udcff"), (None, "4321")])
def test_147_an_account_with_an_undecodable_name_or_without_one_is_recorded(company, monkeypatch, name, recorded):
    def entry(number):
        if name is None:
            raise KeyError(number)
        return SimpleNamespace(pw_name=name)

    monkeypatch.setattr(os, "geteuid", lambda: 4321)
    monkeypatch.setattr(pwd, "getpwuid", entry)

    company.done("run", "OnlyFlag")

    assert company.jsonl("runs")[0]["user"] == recorded


def test_147_a_deleted_working_directory_is_reported(company, tmp_path, monkeypatch):
    gone = tmp_path / "gone"
    gone.mkdir()
    monkeypatch.chdir(gone)
    gone.rmdir()

    for arguments in (
        ["jobs"],
        ["run", "Incremental"],
        ["validate"],
        ["--configuration", "x", "--store", company.store, "runs"],
    ):
        answer = company.deltamark(*arguments)

        assert answer.status == 2, answer.err
        assert "Traceback" not in answer.err
        assert "an error inside" not in answer.err
        assert "no such file or folder" in answer.err + answer.text
    assert company.deltamark("--help").status == 0


def test_147_a_store_in_a_deleted_folder_is_reported(company, tmp_path, monkeypatch):
    gone = tmp_path / "gone"
    gone.mkdir()
    monkeypatch.chdir(gone)
    gone.rmdir()

    answer = company.deltamark(
        "--configuration", str(company.folder / "configuration"), "--store", "sqlite:///x.db", "runs"
    )

    assert answer.status == 2
    assert "the working directory does not exist any more" in answer.err
    assert "Traceback" not in answer.err


# Signals

STOPS = [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGHUP, 129)]


@pytest.mark.parametrize(("number", "status"), STOPS, ids=[number.name for number, _ in STOPS])
def test_148_a_stopped_run_undoes_its_task_and_records_that(company, number, status):
    company.done("run", "OnlyFlag")
    company.extract(**LATER)
    before = company.done("export", "HR_Person").out
    program = pausing_at(*COMPARING)
    process = started(company.folder, "run", "OnlyFlag", program=program)
    assert process.stdout.readline() == b"reached\n"

    process.send_signal(number)
    found, _, err = ended(process)

    assert found == status
    assert "Interrupted. What was finished is kept; the task that was running was undone." in err
    assert "Traceback" not in err
    assert company.done("export", "HR_Person").out == before
    stopped = company.jsonl("runs")[-1]
    assert (stopped["run"], stopped["state"]) == (2, "failed")
    assert [(task["state"], task["messages"][:1]) for task in stopped["tasks"][:2]] == [
        ("failed", ["interrupted"]),
        ("skipped", ["skipped: the run was interrupted"]),
    ]
    assert company.jsonl("run", "OnlyFlag")[0]["tasks"][0]["updated"] == 1


def test_148_a_task_stopped_inside_its_transaction_leaves_no_changes(company):
    process = started(company.folder, "run", "Forgetful", program=pausing_at(*SYNCHRONIZING))
    assert process.stdout.readline() == b"reached\n"

    process.terminate()

    assert ended(process)[0] == 143
    assert company.jsonl("export", "AD_User") == []
    assert company.jsonl("changes") == []
    assert company.jsonl("runs")[0]["state"] == "failed"
    assert company.jsonl("run", "Forgetful")[0]["tasks"][0]["inserted"] == 5


def test_148_a_second_signal_stops_at_once_without_a_traceback(company):
    # The second signal arrives while the first is being recorded.
    then = "import deltamark.application.runs.recorder as r; o = r.RunRecorder.task_ended; "
    then += "r.RunRecorder.task_ended = lambda *a: signal.raise_signal(signal.SIGTERM) or o(*a); "
    then += "os.write(1, b'reached' + bytes([10])); signal.pause()"
    process = started(company.folder, "run", "OnlyFlag", program=pausing_at(*COMPARING, then=then, word=""))
    assert process.stdout.readline() == b"reached\n"

    process.terminate()
    status, _, err = ended(process)

    assert status == 143
    assert "Traceback" not in err
    assert company.jsonl("changes") == []
    assert company.jsonl("run", "OnlyFlag")[-1]["state"] == "completed"


def test_148_a_stopped_dry_run_does_not_change_the_log(company):
    company.done("run", "OnlyFlag")
    company.extract(**LATER)
    before = rows_of_the_log(company.store)
    process = started(company.folder, "run", "OnlyFlag", "--dry-run", program=pausing_at(*COMPARING))
    assert process.stdout.readline() == b"reached\n"

    process.terminate()

    assert ended(process)[0] == 143
    assert rows_of_the_log(company.store) == before


def test_148_an_ignored_hangup_does_not_stop_a_run(company):
    program = pausing_at(*COMPARING, then="signal.raise_signal(signal.SIGHUP)")

    status, _, err = run(
        company.folder, "run", "OnlyFlag", program=("bash", "-c", 'trap "" HUP; exec "$0" "$@"', *program)
    )

    assert status == 0, err


def test_148_an_interrupted_query_is_an_interruption():
    with pytest.raises(KeyboardInterrupt), locked_down():
        raise RuntimeError("Query interrupted")  # DuckDB replaces the exception of a signal handler with this


# Following

FORMS = ["jsonl", "csv", "table"]


@pytest.mark.parametrize("form", FORMS)
def test_changes_are_followed_until_interrupted(company, form):
    company.done("run", "OnlyFlag")
    seen = company.jsonl("changes")[-1]["position"]
    process = started(company.folder, "changes", "--follow", "--after", str(seen), "--format", form)
    company.extract(**LATER)

    company.done("run", "OnlyFlag")

    told = company.done("changes", "--after", str(seen), "--format", form).out.splitlines()
    assert len(told) > 3
    lines = [process.stdout.readline().rstrip(b"\n") for _ in told]
    process.send_signal(signal.SIGTERM)
    status, rest, err = ended(process)
    assert [line.split() for line in lines] == [line.split() for line in told]
    assert (status, rest, err) == (0, b"", "")


def test_following_the_past_is_refused(company):
    company.done("run", "OnlyFlag")

    answer = company.deltamark("changes", "--follow", "--run", "1")

    assert answer.status == 2
    assert "--until and --run are about the past" in answer.err


# Simultaneous runs


def test_148_of_two_simultaneous_runs_one_is_refused_and_names_the_other(company):
    first = started(
        company.folder,
        "run",
        "Incremental",
        program=pausing_at(*COMPARING, then="sys.stdin.readline()"),
        stdin=subprocess.PIPE,
    )
    assert first.stdout.readline() == b"reached\n"

    status, out, err = run(company.folder, "run", "OnlyFlag", "--format", "jsonl")
    seen = company.jsonl("runs")
    first.stdin.write(b"go on\n")
    first.stdin.flush()

    assert (status, out) == (2, b"")
    assert "deltamark: task SynchronizeHR is already running: in run 1 of job Incremental, since 20" in err
    assert f"(process {first.pid}). Nothing was started. Run again when it has ended. " in err
    assert err.endswith("  deltamark runs 1  shows the run\n")
    assert "Traceback" not in err
    assert [r["state"] for r in seen] == ["running"]
    assert ended(first)[0] == 0
    assert company.done("run", "Incremental").status == 0
    changes = company.jsonl("changes")
    assert len(changes) == 16
    assert len({(c["change"], c["entity_type"], c["key"], c.get("other_key")) for c in changes}) == 16
    assert [r["state"] for r in company.jsonl("runs")] == ["completed", "completed"]
    assert [p["key"] for p in company.jsonl("export", "HR_Person")] == ALL_PEOPLE
