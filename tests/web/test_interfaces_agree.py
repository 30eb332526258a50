"""The command line and the API answer each question with the same documents."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from deltamark import Engine, TaskState
from deltamark.interfaces.cli.main import status_of
from deltamark.interfaces.http.users import Role
from tests.web.conftest import NewSite

PEOPLE = {"type": "HR_Person"}
ONE = {**PEOPLE, "key": "E00002"}
QUESTIONS: dict[str, tuple[str, dict[str, Any]]] = {
    "changes": ("/changes", {}),
    "changes --type HR_Person": ("/changes", PEOPLE),
    "changes --run 2": ("/changes", {"run": 2}),
    "changes --after 20": ("/changes", {"after": 20}),
    "changes --pending 4": ("/runs/4/held", {}),
    "show HR_Person E00002": ("/resource", ONE),
    "show HR_Person E00002 --at run:2": ("/resource", {**ONE, "at": "run:2"}),
    "find HR_Person --limit 1000": ("/resources", PEOPLE),
    "export HR_Person": ("/exports", PEOPLE),
    "export HR_Person --at run:2": ("/exports", {**PEOPLE, "at": "run:2"}),
    "diff HR_Person --from run:1 --to run:2": ("/diff", {**PEOPLE, "from": "run:1", "to": "run:2"}),
    "dirty": ("/dirty", {}),
    "keys": ("/keys", {}),
    "keys --pairs": ("/pairs", {}),
    "classifications": ("/classifications", {}),
    "health": ("/health", {}),
    "jobs": ("/jobs", {}),
    "types": ("/entity-types", {}),
    "runs": ("/runs", {"limit": 100}),
    "runs 2": ("/runs/2", {}),
    "why HR_Person E00002": ("/resource/why", ONE),
    "audit --type HR_Person --property FirstName --key E00002 --between run:1 run:2": (
        "/resource/audit",
        {**ONE, "property": "FirstName", "from": "run:1", "to": "run:2"},
    ),
}
"""A command -> the route that asks the same, and its parameters."""

ONE_DOCUMENT = ("/resource", "/health", "/jobs", "/entity-types", "/runs", "/runs/2")
"""The routes whose answer is one document, which has no other form than JSON."""

ROWS_OF_ONE = ("set_aside",)
"""What the command line shows with a run, and the API by a route of its own."""


@pytest.fixture(scope="module")
def lived(_company: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The company after a name that troubles texts, an erasure, a run that was blocked, and flags that wait."""
    folder = shutil.copytree(_company, tmp_path_factory.mktemp("lived") / "company")
    people = folder / "exports" / "HR_Person.csv"
    header, first, second, *rest = people.read_text("utf-8").split("\n")
    named = second.replace(second.split(",")[1], "=1+1 \u2028<b>", 1)
    with Engine.open(
        f"sqlite:///{folder}/deltamark.db", configuration=folder / "configuration", export_output=folder / "exports"
    ) as engine:
        people.write_text("\n".join([header, first, named, *rest]), "utf-8")
        engine.run_job("Incremental", force=True)
        engine.erase("HR_Person", "E00004", reason="asked for")
        people.write_text("\n".join([header, first, second, *rest[:2], ""]), "utf-8")
        assert engine.run_job("Incremental").state is TaskState.BLOCKED
    return folder


@pytest.fixture(scope="module")
def client(lived: Path, new_site: NewSite) -> Iterator[Any]:
    with Engine.open(f"sqlite:///{lived}/deltamark.db", configuration=lived / "configuration") as engine:
        yield new_site(engine).signed_in(Role.ADMIN)


@pytest.mark.many
@pytest.mark.parametrize("command", QUESTIONS)
def test_both_answer_the_same(
    command: str, lived: Path, client: Any, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    path, parameters = QUESTIONS[command]
    monkeypatch.chdir(lived)
    capsys.readouterr()
    assert status_of([*command.split(), "--format", "jsonl"]) in (0, 1)
    printed = documents(capsys.readouterr().out)

    form = "json" if path in ONE_DOCUMENT else "jsonl"
    answer = client.get(f"/api/v1{path}", params={**parameters, "format": form})

    assert answer.status_code == 200, answer.text
    answered = [document for document in documents(answer.text) if document.get("end") is not True]
    assert [{n: v for n, v in document.items() if n not in ROWS_OF_ONE} for document in printed] == answered
    assert printed or command in ("dirty", "why HR_Person E00002")


def documents(text: str) -> list[dict[str, Any]]:
    """The documents of JSON lines, of an array, or of a page of runs."""
    found = [json.loads(line) for line in text.split("\n") if line]
    if len(found) == 1 and isinstance(found[0], dict) and "next" in found[0]:
        return found[0]["runs"][::-1]  # newest first
    return found[0] if len(found) == 1 and isinstance(found[0], list) else found
