"""`--format json`: one document on standard output, or one error in its parts on standard error."""

from __future__ import annotations

import json

import pytest

from tests.cli.workspace import Workspace

ARRAYS = (
    "types", "jobs", "tasks", "runs", "changes", "history HR_Person E1", "export HR_Person", "find HR_Person", "dirty",
    "keys", "classifications", "why HR_Person E1", "validate", "check", "verify", "consumers", "plan",
    "diff HR_Person --from run:1 --to run:last",
)  # fmt: skip
OBJECTS = ("runs 1", "show HR_Person E1", "health", "run Incremental")
REFUSED = {
    "show HR_Person Nobody": {"entity_type": "HR_Person", "key": "Nobody"},
    "find HR_Person Nme=1": {"entity_type": "HR_Person", "property": "Nme"},
    "export HR_Persn": {"entity_type": "HR_Persn"},
    "changes --follow": {},
    "run Incremental --dry-run": {},
    "find": {},
    "run Incremental --nonsense": {},
}


@pytest.fixture
def lived(company: Workspace) -> Workspace:
    company.done("run", "Incremental")
    return company


def test_every_answer_is_one_document(lived: Workspace) -> None:
    for command in ARRAYS:
        printed = lived.deltamark(*command.split(), "--format", "json")
        assert printed.out, (command, printed.err)
        assert isinstance(json.loads(printed.out), list), command
    for command in OBJECTS:
        printed = lived.deltamark(*command.split(), "--format", "json")
        assert isinstance(json.loads(printed.out), dict), command


def test_every_error_is_one_document_in_its_parts(lived: Workspace) -> None:
    for command, where in REFUSED.items():
        refused = lived.deltamark(*command.split(), "--format=json")
        assert (refused.status, refused.out) == (2, b""), command
        document = json.loads(refused.err)
        assert set(document) >= {"error", "message", "what", "where", "advice"}, command
        assert document["where"] == where, command
        assert document["what"] in document["message"], command


def test_what_a_task_says_and_a_fault_are_given_in_parts(lived: Workspace) -> None:
    lived.extract(people="number,name,mail,salary,hired,active,department\nE1,Ann,,x,,,\n")
    run = json.loads(lived.deltamark("run", "Incremental", "--force", "--format", "json").out)
    said = [message for task in run["tasks"] for message in task["message_parts"]]
    assert [len(task["message_parts"]) for task in run["tasks"]] == [len(task["messages"]) for task in run["tasks"]]
    assert all(set(message) == {"what", "where", "advice"} for message in said)
    (fault, *_) = json.loads(lived.deltamark("check", "--format", "json").out)
    assert set(fault) >= {"severity", "what", "where", "advice", "message", "file", "line", "column"}
    assert fault["where"]["file"].endswith(".csv")
