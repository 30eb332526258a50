"""Settings of the command: file, environment and options, and relative paths."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from deltamark.interfaces.cli.main import deltamark as command
from tests.cli.workspace import Workspace


def jobs(workspace: Workspace, *options: str) -> list[str]:
    return [job["job"] for job in workspace.jsonl(*options, "jobs")]


def with_job(name: str) -> str:
    return f'<ConfigurationFile><Job Identifier="{name}" DisplayName_L1="j" /></ConfigurationFile>'


def test_options_take_precedence_over_the_environment_and_that_over_the_file(company, tmp_path, monkeypatch):
    for name in ("FromFile", "FromEnvironment", "FromOption"):
        (tmp_path / f"{name}.xml").write_text(with_job(name))
    settings = company.folder / "deltamark.toml"
    settings.write_text(settings.read_text() + f"configuration = {json.dumps(str(tmp_path / 'FromFile.xml'))}\n")

    assert jobs(company) == ["FromFile"]
    monkeypatch.setenv("DELTAMARK_CONFIGURATION", str(tmp_path / "FromEnvironment.xml"))
    assert jobs(company) == ["FromEnvironment"]
    assert jobs(company, "--configuration", str(tmp_path / "FromOption.xml")) == ["FromOption"]
    monkeypatch.setenv("DELTAMARK_CONFIGURATION", "")
    assert jobs(company) == ["FromFile"]


def test_the_store_is_chosen_by_the_same_precedence(company, new_store, monkeypatch):
    of_file, of_environment, of_option = company.store, new_store(), new_store()
    company.done("run", "OnlyFlag")

    monkeypatch.setenv("DELTAMARK_STORE", of_environment)
    assert company.deltamark("runs").status == 2
    company.done("run", "OnlyFlag")
    company.done("run", "OnlyFlag")
    company.done("--store", of_option, "run", "Forgetful")

    assert [run["job"] for run in company.jsonl("--store", of_option, "runs")] == ["Forgetful"]
    assert len(company.jsonl("runs")) == 2
    assert len(company.jsonl("--store", of_file, "runs")) == 1


def test_the_extracts_are_chosen_by_the_same_precedence(company, tmp_path, monkeypatch):
    (company.exports).rename(tmp_path / "elsewhere")

    assert company.deltamark("run", "OnlyFlag").status == 1
    assert company.deltamark("--export-output", str(tmp_path / "elsewhere"), "run", "OnlyFlag").status == 0
    monkeypatch.setenv("DELTAMARK_EXPORT_OUTPUT", str(tmp_path / "elsewhere"))
    assert company.deltamark("run", "OnlyFlag").status == 0
    assert company.deltamark("--export-output", "exports", "run", "OnlyFlag").status == 1


def test_without_a_file_the_workspace_has_the_default_names(company):
    (company.folder / "deltamark.toml").unlink()

    company.done("--store", company.store, "run", "Incremental")

    assert len(company.jsonl("--store", company.store, "changes")) == 16


def test_paths_in_the_file_are_relative_to_it_and_options_to_the_working_directory(company, monkeypatch):
    (company.folder / "below").mkdir()
    monkeypatch.chdir(company.folder / "below")

    answer = company.deltamark("jobs")
    there = company.done("--configuration", "../configuration", "jobs")

    assert answer.status == 2
    assert answer.err.startswith("configuration: there is no such file or folder")
    assert "Incremental" in there.text
    faulty = company.folder / "configuration" / "bad.xml"
    faulty.write_text("<ConfigurationFile>\n<Jb/>\n</ConfigurationFile>")
    faults = company.deltamark("--configuration", "../configuration", "validate").text
    assert faults.startswith("../configuration/bad.xml:2:")


def test_a_workspace_may_have_odd_characters_in_its_path(tmp_path, store_url, capsysbinary, monkeypatch):
    workspace = Workspace(tmp_path / "a 'b' [c] ü%20?#", store_url, capsysbinary).written()
    monkeypatch.chdir(workspace.folder)

    workspace.done("run", "Incremental")

    assert len(workspace.jsonl("changes")) == 16


FAULTS = {
    "no TOML": ("[deltamark\n", "deltamark.toml:1"),
    "an unknown key": (
        '[deltamark]\nstroe = "x"\n',
        'deltamark.toml:2: unknown key "stroe" in [deltamark]; did you mean "store"?',
    ),
    "a key outside": ('store = "x"\n', "deltamark.toml:1: store is outside [deltamark]"),
    "a number": ("[deltamark]\nstore = 3\n", 'deltamark.toml:2: store is "3"'),
    "an empty text": ('[deltamark]\nconfiguration = ""\n', "deltamark.toml:2: configuration is"),
}


@pytest.mark.parametrize("name", FAULTS)
@pytest.mark.parametrize("arguments", [["jobs"], ["run", "Incremental"], ["validate"]])
def test_a_fault_of_the_settings_has_its_line(company, name, arguments):
    text, message = FAULTS[name]
    (company.folder / "deltamark.toml").write_text(text)

    answer = company.deltamark(*arguments)

    assert answer.status == 2
    assert message in answer.err + answer.text
    assert "Traceback" not in answer.err


def test_a_pipe_in_place_of_settings_is_refused_without_waiting(company):
    (company.folder / "deltamark.toml").unlink()
    os.mkfifo(company.folder / "deltamark.toml")

    answer = company.deltamark("jobs")

    assert answer.status == 2
    assert answer.err.startswith("deltamark.toml: this is not a regular file")


def test_init_writes_a_workspace_whose_job_runs(tmp_path, capsysbinary, monkeypatch):
    monkeypatch.chdir(tmp_path)
    workspace = Workspace(tmp_path / "new", "", capsysbinary)

    answer = workspace.done("init", "new", "--people", "100")

    assert answer.err == "Now run: cd new && deltamark run Incremental\n"
    assert {Path(line).parts[0] for line in answer.lines} == {"new"}
    assert all((tmp_path / line).exists() for line in answer.lines)
    monkeypatch.chdir(tmp_path / "new")
    assert workspace.deltamark("validate").out == b""
    (run,) = workspace.jsonl("run", "Incremental")
    assert run["state"] == "completed"
    assert sum(task["inserted"] for task in run["tasks"]) > 100
    (again,) = workspace.jsonl("run", "Incremental")
    assert (
        sum(task[name] for task in again["tasks"] for name in ("inserted", "updated", "deleted", "linked", "unlinked"))
        == 0
    )


def test_init_does_not_overwrite_files(tmp_path, capsysbinary, monkeypatch):
    monkeypatch.chdir(tmp_path)
    workspace = Workspace(tmp_path / "new", "", capsysbinary)
    workspace.done("init", "new")
    before = {path: path.read_bytes() for path in (tmp_path / "new").rglob("*") if path.is_file()}

    answer = workspace.deltamark("init", "new", "--seed", "2")

    assert answer.status == 2
    assert "new" in answer.err
    assert {path: path.read_bytes() for path in (tmp_path / "new").rglob("*") if path.is_file()} == before


def test_the_help_names_exactly_the_existing_settings():
    text = command.get_help(command.make_context("deltamark", [], resilient_parsing=True))

    assert all(
        name in " ".join(text.split())
        for name in ("DELTAMARK_STORE", "DELTAMARK_CONFIGURATION", "DELTAMARK_EXPORT_OUTPUT")
    )
