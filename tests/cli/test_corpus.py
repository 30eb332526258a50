"""Wrong calls of the command (tests/corpus/command_line): each has its documented answer."""

from __future__ import annotations

import os
import re
import time
import tomllib
from pathlib import Path

import pytest

from tests.cli.workspace import Workspace

CORPUS = Path(__file__).parent.parent / "corpus" / "command_line" / "expected.toml"
CASES = tomllib.loads(CORPUS.read_text("utf-8"))["case"]
LONG, BAD = "x" * 100_000, "E\udcff"
LONGEST_S = 5.0


def called(case: dict) -> str:
    return f"{case['numbers'][0]}-{' '.join(case['arguments'])[:40]}"


@pytest.fixture
def places(past: Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """The values of the names in braces."""
    unreadable = tmp_path / "unreadable.xml"
    unreadable.write_text("<ConfigurationFile/>")
    folder = tmp_path / "folder"
    folder.mkdir()
    original = os.open

    def refusing(path, *arguments, **options):
        if Path(os.fsdecode(path)) == unreadable:
            raise PermissionError(13, "Permission denied", path)
        return original(path, *arguments, **options)

    monkeypatch.setattr("deltamark.config.files.os.open", refusing)
    paths = {"folder": folder, "missing": tmp_path / "missing", "unreadable": unreadable}
    return {"long": LONG, "bad": BAD} | {name: str(path) for name, path in paths.items()}


@pytest.mark.parametrize("case", CASES, ids=map(called, CASES))
def test_a_wrong_call_has_the_documented_answer(past, places, case):
    arguments = [re.sub(r"\{(\w+)\}", lambda match: places[match[1]], text) for text in case["arguments"]]
    kept = past.jsonl("changes")
    started = time.process_time()

    answer = past.deltamark(*arguments)

    assert time.process_time() - started < LONGEST_S
    assert answer.status == case["status"], answer.err
    assert re.search(case.get("out", ""), answer.text), answer.text[:500]
    told = answer.text if case.get("on_stdout") else answer.err
    assert re.search(case.get("message", ""), told), told[:500]
    assert "Traceback" not in answer.err + answer.text
    assert "an error inside Deltamark" not in answer.err
    assert len(answer.err) < 10_000
    assert all(line.isprintable() for line in answer.err.splitlines())
    assert past.jsonl("changes") == kept


def test_every_number_of_the_group_has_a_case_or_a_reference():
    text = CORPUS.read_text("utf-8")
    elsewhere = {
        int(number) for line in text.splitlines() if line.startswith("#") for number in re.findall(r"\b1[34]\d\b", line)
    }

    assert {number for case in CASES for number in case["numbers"]} | elsewhere == set(range(133, 149))
