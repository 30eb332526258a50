"""The map names every folder of the product, and only files, functions and classes that exist."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.docs.pages import ROOT

MAP = ROOT / "docs" / "explanation" / "where-things-are.md"
TEXT = MAP.read_text("utf-8")
NAMED = re.compile(r"\[`([\w./]+?\.py)(?::([\w.]+))?`\]\(([^)]+)\)")
MOST_FILES_OF_AN_ANSWER = 3


def defined_in(file: Path) -> set[str]:
    """The functions, classes, methods and constants of a module."""

    def names(statements: list[ast.stmt], prefix: str = "") -> Iterator[str]:
        for statement in statements:
            match statement:
                case ast.FunctionDef(name=name):
                    yield prefix + name
                case ast.ClassDef(name=name, body=body):
                    yield prefix + name
                    yield from names(body, f"{name}.")
                case ast.AnnAssign(target=ast.Name(id=name)) | ast.Assign(targets=[ast.Name(id=name)]):
                    yield prefix + name

    return set(names(ast.parse(file.read_text("utf-8")).body))


def missing(text: str) -> list[str]:
    """What a text links to as `file.py:name` and is not there."""
    return [
        f"{file}:{name}"
        for file, name, link in NAMED.findall(text)
        if Path(link).name != file
        or not (MAP.parent / link).is_file()
        or (name and name not in defined_in(MAP.parent / link))
    ]


def test_every_file_and_name_on_the_map_exists() -> None:
    assert len(NAMED.findall(TEXT)) > 30
    assert missing(TEXT) == []


def test_a_name_that_is_gone_is_found() -> None:
    link = "(../../deltamark/engine.py)"

    assert missing(f"[`engine.py:Engine.open`]{link} [`engine.py:Engine.shut`]{link}") == ["engine.py:Engine.shut"]


def test_the_map_has_every_folder_and_no_other() -> None:
    folders = {file.parent.relative_to(ROOT).as_posix() for file in (ROOT / "deltamark").rglob("__init__.py")}

    assert set(re.findall(r"^\| `(deltamark[\w/]*)` \|", TEXT, re.MULTILINE)) == folders


def questions() -> dict[str, str]:
    section = TEXT.partition("\n## Ten questions\n")[2].partition("\n## ")[0]
    return dict(re.findall(r"^\*\*([^*\n]+\?)\*\*\n(.+?)(?:\n\n|\Z)", section, re.MULTILINE | re.DOTALL))


def test_there_are_ten_questions() -> None:
    assert len(questions()) == 10


@pytest.mark.parametrize("question", questions())
def test_a_question_is_answered_in_three_files(question: str) -> None:
    files = NAMED.findall(questions()[question])

    assert 2 <= len(files) <= MOST_FILES_OF_AN_ANSWER
