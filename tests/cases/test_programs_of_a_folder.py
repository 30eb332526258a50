"""The code of a workspace runs when its jobs do, and not when somebody only looks at it."""

import sys
from pathlib import Path

import pytest

LOOKING = [
    ["validate"],
    ["jobs"],
    ["tasks"],
    ["config", "export"],
    ["runs"],
    ["changes"],
    ["export", "P"],
    ["dirty"],
    ["health"],
    ["verify"],
    ["verify", "--checkpoint", "none"],
    ["keys"],
    ["replay"],
    ["cancel", "1"],
]
RUNNING = [["run", "Load"], ["run", "Load", "--dry-run"], ["verify", "--derived"], ["validate", "--load-functions"]]


@pytest.fixture
def cloned(case, monkeypatch):
    """The folder of somebody else, as the working directory."""
    case = case("43-programs-of-a-folder")
    monkeypatch.setattr(sys, "path", [*sys.path])
    monkeypatch.chdir(case.folder / "workspace")
    (case.folder / "workspace" / "exports").mkdir()
    (case.folder / "workspace" / "exports" / "p.csv").write_text("id,name\n1,a\n")
    program = case.folder / "workspace" / "own_tasks.py"  # whose function computes nothing
    computing = 'batch.select(["key", "N"]).rename_columns(["key", "Score"])'
    program.write_text(program.read_text().replace('batch.select(["key"])', computing))
    case.configuration = lambda step: "configuration"
    case.exports = lambda step: Path("exports")
    case.ran = lambda: (case.folder / "workspace" / "ran").exists()
    sys.modules.pop("own_tasks", None)
    yield case
    sys.modules.pop("own_tasks", None)


@pytest.mark.parametrize("command", LOOKING, ids=" ".join)
def test_looking_at_a_workspace_runs_none_of_its_code(cloned, command):
    if command not in (["validate"], ["jobs"], ["tasks"], ["config", "export"]):
        assert cloned.run(1).status == 0
        cloned.command("runs")
        (cloned.folder / "workspace" / "ran").unlink()
        sys.modules.pop("own_tasks")

    answer = cloned.command(*command)

    assert not cloned.ran()
    assert "own_tasks" not in sys.modules
    assert "cannot be imported" not in answer.err
    assert "not registered" not in answer.err


@pytest.mark.parametrize("command", RUNNING, ids=" ".join)
def test_control_running_its_jobs_runs_its_code(cloned, command):
    if command == ["verify", "--derived"]:
        cloned.command("run", "Load")
        (cloned.folder / "workspace" / "ran").unlink()
        sys.modules.pop("own_tasks")

    assert cloned.command(*command).status == 0

    assert cloned.ran()


def test_validation_says_what_it_did_not_judge(cloned):
    answer = cloned.command("validate")

    assert answer.status == 0
    assert 'notice: the function "own_tasks:score" of PythonTask "Own" was not loaded' in answer.text
    assert "can be run" in answer.err


def test_faults_are_found_beside_a_function_that_is_not_loaded(cloned):
    file = cloned.folder / "workspace" / "configuration" / "1.xml"
    file.write_text(file.read_text().replace('Connector="S" DoNot', 'Connector="X" DoNot'))

    answer = cloned.command("validate")

    assert answer.status == 2
    assert '"X"' in answer.text
    assert not cloned.ran()


def test_without_a_module_an_unknown_function_is_a_fault_as_before(cloned):
    settings = cloned.folder / "workspace" / "deltamark.toml"
    settings.write_text(settings.read_text().replace('tasks = ["own_tasks"]\n', ""))

    answer = cloned.command("validate")

    assert answer.status == 2
    assert "is not registered" in answer.text


def test_what_a_task_with_a_function_would_compute_is_told_as_unknown(cloned):
    file = cloned.folder / "workspace" / "configuration" / "1.xml"
    file.write_text(
        file.read_text().replace(
            "<PythonTask",
            '<SetRecentlyModifiedFlagTask Identifier="Flag" DisplayName_L1="F" /><PythonTask Dirty="true"',
        )
    )
    assert cloned.run(1).status == 0
    sys.modules.pop("own_tasks")
    (cloned.folder / "workspace" / "exports" / "p.csv").write_text("id,name\n1,b\n")

    for command in (["dirty"], ["why", "P", "1"]):
        answer = cloned.command(*command)
        assert answer.status == 0, answer.err
        assert "own_tasks:score" in answer.err
        assert "was not loaded" in answer.err
        assert "--load-functions" in answer.err
        assert "never flagged" not in answer.err
    assert cloned.command("dirty", "--load-functions").status == 0
    assert "own_tasks" in sys.modules
