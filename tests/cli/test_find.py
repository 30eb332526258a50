"""Types, finding by value, the pager, completion, and what is said while another process writes."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path
from threading import Thread, Timer

import pytest
from filelock import FileLock

from deltamark.domain.configuration.jobs import TaskState
from deltamark.domain.runs.run import TaskRun
from deltamark.infrastructure.store.sqlite import connection
from deltamark.infrastructure.store.sqlite.address import path_of
from deltamark.interfaces.cli.commands import SECTIONS, all_commands
from deltamark.interfaces.cli.progress import RunProgress
from deltamark.interfaces.cli.streams import be_quiet
from tests.cli.processes import COMMAND
from tests.cli.terminal import in_terminal
from tests.cli.workspace import Workspace


def test_types_and_resources_are_found(company: Workspace) -> None:
    company.done("run", "Incremental")
    types = {one["entity_type"]: one for one in company.jsonl("types")}
    person = types["HR_Person"]
    assert (person["resources"], person["connectors"], person["horizon"]) == (3, ["HR"], None)
    assert [one["name"] for one in person["properties"] if one["is_key"]] == ["Number"]
    everyone = company.jsonl("export", "HR_Person")
    for name in ("Name", "Salary", "Active"):
        value = everyone[0]["properties"][name]
        text = str(value).lower() if isinstance(value, bool) else str(value)
        same = [one["key"] for one in everyone if one["properties"].get(name) == value]
        assert [one["key"] for one in company.jsonl("find", "HR_Person", f"{name}={text}")] == same
        assert [one["key"] for one in company.jsonl("export", "HR_Person", "--where", f"{name}={text}")] == same
    without = [one["key"] for one in everyone if one["properties"].get("Mail") is None]
    assert [one["key"] for one in company.jsonl("find", "HR_Person", "Mail=")] == without
    first = company.deltamark("find", "HR_Person", "--limit", "1", "--format", "jsonl")
    assert len(first.documents) == 1
    assert f"--after '{everyone[0]['key']}'" in first.err
    assert "names no value" in company.deltamark("find", "HR_Person", "Name").err
    assert "did you mean" in company.deltamark("find", "HR_Person", "Nam=x").err
    assert "two conditions" in company.deltamark("find", "HR_Person", "Name=x", "Name=y").err


def test_that_nothing_is_found_is_said(company: Workspace) -> None:
    company.done("run", "Incremental")

    answer = company.done("find", "HR_Person", "Name=Nobody")

    assert (answer.out, answer.err) == (b"", "No HR_Person was found.\n")
    assert company.jsonl("find", "HR_Person", "Name=Nobody") == []


def test_every_command_is_in_one_section_of_the_help(company: Workspace) -> None:
    listed = [name for names in SECTIONS.values() for name in names]
    assert sorted(listed) == sorted(command.name for command in all_commands())
    shown = " ".join(company.done("--help").text.split())
    assert all(" ".join((command.help or "").split()) in shown for command in all_commands())
    assert "..." not in shown.replace("[ARGS]...", "")


@pytest.mark.parametrize(
    ("words", "offered"),
    [
        ("deltamark run In", ["Incremental"]),
        ("deltamark export HR_P", ["HR_Person"]),
        ("deltamark show HR_Person E", ["E1", "E2", "E3"]),
        ("deltamark retain --connector A", ["AD"]),
        ("deltamark show Nothing ", []),
        ("deltamark nothing x", []),
    ],
)
def test_names_and_keys_are_completed(company: Workspace, words: str, offered: list[str]) -> None:
    company.done("run", "Incremental")
    line = words.split(" ")
    done = subprocess.run(
        COMMAND, capture_output=True, text=True, check=False,
        env={
            **os.environ, "_DELTAMARK_COMPLETE": "bash_complete", "COMP_WORDS": words, "COMP_CWORD": str(len(line) - 1)
        },
    )  # fmt: skip
    assert list(filter(None, done.stdout.splitlines())) == [f"plain,{name}" for name in offered]
    assert done.stderr == ""


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_the_script_of_a_shell_names_the_program(company: Workspace, shell: str) -> None:
    assert "_DELTAMARK_COMPLETE" in company.done("completion", shell).text


def test_long_results_go_through_the_pager_and_short_ones_do_not(company: Workspace, tmp_path: Path) -> None:
    company.done("run", "Incremental")
    here = Path.cwd()
    taken = tmp_path / "taken"
    pager = tmp_path / "pager"
    pager.write_text(f'#!/bin/sh\necho "$LESS" > {taken}\ncat > {taken}.all\n')
    pager.chmod(0o755)

    short = in_terminal(here, "types", PAGER=str(pager))
    assert not taken.exists()
    assert "HR_Person" in short.raw
    company.extract(departments="code,title\n" + "".join(f"E{number:05},N\n" for number in range(80)))
    company.deltamark("run", "Incremental", "--force")
    assert "E00079" in in_terminal(here, "--no-pager", "export", "HR_Department", PAGER=str(pager)).raw
    assert not taken.exists()
    paged = in_terminal(here, "export", "HR_Department", PAGER=str(pager))
    assert paged.status == 0
    assert taken.read_text() == "FRX\n"
    assert "E00079" in taken.with_name("taken.all").read_text()
    assert in_terminal(here, "export", "HR_Department", PAGER="true").status == 0
    assert "E00079" in in_terminal(here, "export", "HR_Department", PAGER="no-such-pager").raw


def test_who_waits_for_another_writer_reads_for_whom(company: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    if not company.store.startswith("sqlite:"):
        pytest.skip("on a server, the database itself keeps writers apart")
    company.done("run", "Incremental")
    assert "Waiting" not in company.deltamark("run", "Incremental").err
    monkeypatch.setattr(connection, "TOLD_AFTER_S", 0.01)
    lock = FileLock(f"{path_of(company.store)}.lock", thread_local=False)
    lock.acquire()
    Timer(0.3, lock.release).start()
    assert "Waiting for" in company.deltamark("run", "Incremental").err


def test_a_quiet_run_says_nothing_but_its_result(company: Workspace) -> None:
    quiet = company.deltamark("--quiet", "run", "Incremental")
    assert quiet.status == 0
    assert [line for line in quiet.err.splitlines() if " s)" in line] == []
    assert "completed" in quiet.text


def test_a_quiet_run_names_no_task_that_completed_on_a_thread_of_its_own(capsys: pytest.CaptureFixture[str]) -> None:
    def said(is_asked: bool) -> str:
        be_quiet(is_asked)
        try:
            progress = RunProgress(str)
            task = TaskRun(ordinal=0, identifier="HR", kind="SynchronizeTask", state=TaskState.COMPLETED)
            thread = Thread(target=progress.task_ended, args=(1, task))
            thread.start()
            thread.join()
        finally:
            be_quiet(False)
        return capsys.readouterr().err

    assert "HR: completed" in said(False)
    assert said(True) == ""


def test_changes_come_after_a_moment(company: Workspace) -> None:
    company.done("run", "Incremental")
    everything = company.deltamark("changes", "--format", "jsonl").text

    assert everything
    assert company.deltamark("changes", "--after", "run:last", "--format", "jsonl").text == ""
    assert company.deltamark("changes", "--after", "2001-01-01", "--format", "jsonl").text == everything
    assert "is no moment" in company.deltamark("changes", "--after", "soon").err
    assert "there is no run 7" in company.deltamark("changes", "--after", "run:7").err
