"""The members of stored payloads are named in one module."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterable
from pathlib import Path

import pytest

import deltamark
from deltamark.infrastructure.store.events import payload

ROOT = Path(deltamark.__file__).parent
NAMED_HERE = ROOT / "infrastructure/store/events/payload.py"

SHORT = {
    payload.AT, payload.RUN, payload.TASK, payload.LINE, *payload.LINK, payload.VALUES, payload.COMPUTED_VALUES,
}  # fmt: skip
LONG = {payload.LIVE, payload.FIRST, payload.UP_TO, payload.COUNT, payload.RANGES, payload.STREAMS}

_ANY = "|".join(sorted(SHORT | LONG))
_IN_TEXT = re.compile(rf"""[{{,]\s*"({_ANY})"\s*:|'\$\.({_ANY})\b|->>?\s*'({_ANY})'""")
"""In a JSON text, in a path of SQLite, after an arrow of PostgreSQL."""


def _texts(nodes: Iterable[ast.expr | None]) -> list[str]:
    return [node.value for node in nodes if isinstance(node, ast.Constant) and isinstance(node.value, str)]


def spelled(source: str) -> list[str]:
    """The members that a module names, each with its line."""
    tree = ast.parse(source)
    docstrings = {
        id(node.body[0].value)
        for node in ast.walk(tree)
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef)
        and node.body
        and isinstance(node.body[0], ast.Expr)
    }
    faults = []
    for node in ast.walk(tree):
        match node:
            case ast.Constant(value=str(text)) if id(node) not in docstrings and _IN_TEXT.search(text):
                faults.append(f"{node.lineno}: {text.strip()[:40]}")
            case ast.Subscript(slice=name) | ast.Call(func=ast.Attribute(attr="get"), args=[name, *_]):
                faults += [f"{node.lineno}: {text}" for text in _texts([name]) if text in SHORT | LONG]
            case ast.Dict(keys=names):
                faults += [f"{node.lineno}: {text}" for text in _texts(names) if text in SHORT]
            case ast.Tuple(elts=names) | ast.List(elts=names) if len(names) > 1 and SHORT.issuperset(_texts(names)):
                faults += [f"{node.lineno}: {text}" for text in _texts(names)]
    return faults


def test_no_other_module_of_the_store_names_a_member() -> None:
    modules = sorted((ROOT / "infrastructure/store").rglob("*.py"))
    assert NAMED_HERE in modules

    faults = {str(path.relative_to(ROOT)): spelled(path.read_text()) for path in modules if path != NAMED_HERE}

    assert {path: found for path, found in faults.items() if found} == {}


@pytest.mark.parametrize(
    "source",
    [
        """time = p["a"]""",
        """line = p.get("l")""",
        """members = {"v": values}""",
        """members = ("e", "k")""",
        """text = f'{{"a":{micros},"r":{run},'""",
        """sql = "SELECT json_extract(state, '$.r') FROM stored_events" """,
        """sql = f"SELECT state ->> 'up_to' FROM {table}" """,
        """sql = "SELECT json_array_elements(written -> 'ranges')" """,
        """is_live = payload["live"]""",
        """ranges = payload.get("ranges", ())""",
    ],
)
def test_a_module_that_names_a_member_is_found(source: str) -> None:
    assert spelled(source)
