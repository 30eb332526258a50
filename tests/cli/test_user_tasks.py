"""User functions at the command line: found through deltamark.toml, executed, and explained if they fail."""

from __future__ import annotations

import sys

import pytest

from tests.cli.workspace import CONFIGURATION, LATER, Workspace

XML = (
    CONFIGURATION.replace(
        '<Property Identifier="Hired" Type="DateTime" />',
        '<Property Identifier="Hired" Type="DateTime" />\n'
        '    <Property Identifier="Risk" Type="Int32" /><Property Identifier="Note" />',
    )
    .replace(
        '<ComputeCorrelationKeysTask Identifier="Keys"',
        '<PythonTask Identifier="Risk" DisplayName_L1="Rates" Level="4" Dirty="true" '
        'Function="company_tasks:risk_score">\n'
        '      <TaskDependsOnTask ParentTask="Flag" /><TaskEntityType EntityType="HR_Person" />\n    </PythonTask>\n'
        '    <ComputeCorrelationKeysTask Identifier="Keys"',
        1,
    )
    .replace(
        '<ResourceType Identifier="Account"',
        '<EntityPropertyExpression Identifier="N" EntityType="HR_Person" Property="Note" '
        'Expression="Literal:x" />\n  <ResourceType Identifier="Account"',
    )
)
TASKS = """
import pyarrow as pa
from deltamark import task

print("imported")

@task(entity_types=["HR_Person"], reads=["Name", "Department.Title"], writes=["Risk"])
def risk_score(batch: pa.Table) -> pa.Table:
    print("called for", len(batch))
    risks = [rate(row) for row in batch.to_pylist()]
    return pa.table({"key": batch["key"], "Risk": pa.array(risks, pa.int32())})


def rate(row):
    return len(row["Name"]) + len(row["Department.Title"])
"""


@pytest.fixture
def rated(company: Workspace, monkeypatch):
    """The company, with a function in company_tasks.py, which deltamark.toml names."""
    monkeypatch.setattr(sys, "path", [*sys.path])
    company.configure(XML)
    (company.folder / "company_tasks.py").write_text(TASKS)
    toml = company.folder / "deltamark.toml"
    toml.write_text(toml.read_text() + 'tasks = ["company_tasks"]\n')
    yield company
    sys.modules.pop("company_tasks", None)


def risks(company: Workspace) -> dict:
    return {row["key"]: row["properties"].get("Risk") for row in company.jsonl("export", "HR_Person")}


def test_a_function_computes_what_changed_in_a_job_from_xml(rated):
    (run,) = rated.jsonl("run", "Incremental")
    assert risks(rated) == {"E1": 11, "E2": 11, "E3": 20}
    rated.extract(**LATER)

    run = rated.done("run", "Incremental", "--format", "jsonl")

    (found,) = [task for task in run.documents[-1]["tasks"] if task["task"] == "Risk"]
    assert (found["computed"], found["executed"], found["state"]) == (3, 2, "completed")  # E3 is gone
    assert risks(rated) == {"E1": 8, "E2": 11, "E4": 11}
    assert "called for 2" in run.err


def test_what_a_module_or_function_prints_is_kept_out_of_results(rated):
    answer = rated.done("run", "Incremental", "--format", "jsonl")

    assert b"imported" not in answer.out
    assert b"called for" not in answer.out
    assert "called for 3" in answer.err


def test_commands_that_show_and_validate_load_the_function(rated):
    rated.done("run", "Incremental")

    assert "can be run" in rated.done("validate", "--load-functions").err
    assert any(t["kind"] == "PythonTask" and t["works_on"] == "HR_Person" for t in rated.jsonl("tasks"))
    assert 'Function="company_tasks:risk_score"' in rated.done("config", "export").text
    assert rated.done("verify", "--derived").status == 0
    rated.extract(**LATER)
    rated.done("run", "OnlyFlag")
    assert {d["key"] for d in rated.jsonl("dirty", "--task", "Risk", "--load-functions")} == {"E1", "E3", "E4"}
    causes = rated.jsonl("why", "HR_Person", "E1", "--load-functions")
    assert any(cause["task"] == "Risk" and cause["path"] == "Department" for cause in causes)


def test_verification_reports_what_it_leaves_out(rated):
    text = TASKS.replace('writes=["Risk"]', 'writes=["Risk"], deterministic=False')
    (rated.folder / "company_tasks.py").write_text(text)
    rated.done("run", "Incremental")

    told = rated.done("verify", "--derived").err

    assert "HR_Person:Risk was not compared: function company_tasks:risk_score is not deterministic." in told


def test_an_exception_is_shown_with_the_users_traceback_and_recorded(rated):
    rated.extract(departments="code,title\nD1,Research\nD2,\n")

    answer = rated.deltamark("run", "Incremental")

    assert answer.status == 1
    said = answer.err.splitlines()
    first = next(n for n, line in enumerate(said) if line.startswith("x Rates: failed"))
    assert said[first + 1].startswith("  function company_tasks:risk_score raised TypeError. Nothing was changed.")
    assert said[first + 2] == "  Traceback (most recent call last):"
    assert any(line.strip() == 'return len(row["Name"]) + len(row["Department.Title"])' for line in said)
    assert any(line.strip() == "TypeError: object of type 'NoneType' has no len()" for line in said)
    assert "/deltamark/application" not in answer.err
    assert set(risks(rated).values()) == {None}
    record = rated.done("runs", "1").text
    assert "Rates: function company_tasks:risk_score raised TypeError." in record
    assert "\n  TypeError: object of type 'NoneType' has no len()\n" in record


def test_an_unregistered_function_prevents_the_run(rated):
    toml = rated.folder / "deltamark.toml"
    toml.write_text(toml.read_text().replace('tasks = ["company_tasks"]\n', ""))

    answer = rated.deltamark("run", "Incremental")

    assert answer.status == 2
    assert 'names the function "company_tasks:risk_score", which is not registered' in answer.err
    assert "company_tasks" not in sys.modules
    assert rated.deltamark("runs").out == b""


def test_an_unimportable_module_is_reported_with_the_line_of_the_settings(rated):
    (rated.folder / "company_tasks.py").write_text("import pyarrow\nx = 1 / 0\n")

    answer = rated.deltamark("validate", "--load-functions")

    assert answer.status == 2
    line = (rated.folder / "deltamark.toml").read_text().splitlines().index('tasks = ["company_tasks"]') + 1
    assert f'deltamark.toml:{line}: the module "company_tasks" cannot be imported: ZeroDivisionError' in answer.text
    assert "company_tasks.py:2)" in answer.text


def test_commands_that_need_no_function_import_no_module(rated):
    rated.configure(CONFIGURATION)

    rated.done("run", "Incremental")

    assert "company_tasks" not in sys.modules
