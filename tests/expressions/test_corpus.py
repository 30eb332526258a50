"""Expressions that try to access or to break something (tests/corpus/expressions): none succeeds or takes long."""

from __future__ import annotations

import ast
import time
import tomllib
from pathlib import Path
from typing import Any

import duckdb
import pytest

from deltamark.domain.derivation.dependency_paths import ExpressionRefused
from deltamark.domain.values import PropertyType
from deltamark.infrastructure.expressions.compiler import compile_derivation
from tests.expressions.language import COMPANY, derivation, refusal, value

CORPUS = tomllib.loads((Path(__file__).parent.parent / "corpus" / "expressions" / "expected.toml").read_text("utf-8"))
LONGEST_S = 1.0
PERSON = {"Name": "a" * 4_000, "Mail": "x", "Age": 0, "Reports.Name": ["a", "b", "c"]}


def written_out(recipe: str) -> str:
    """The text of a recipe: literals combined by `+`, `*` and `.join`."""
    assert {type(node).__name__ for node in ast.walk(ast.parse(recipe))} <= {
        "Module", "Expr", "BinOp", "Constant", "Add", "Mult", "Call", "Attribute", "List", "Load",
    }  # fmt: skip
    return str(eval(recipe, {"__builtins__": {}}))  # noqa: S307 (recipes of our own tests, of literals alone)


REFUSED = [(text, group["message"]) for group in CORPUS["refused"] for text in group.get("expressions", [])] + [
    (written_out(recipe), group["message"]) for group in CORPUS["refused"] for recipe in group.get("generated", [])
]


@pytest.mark.parametrize(("text", "message"), REFUSED, ids=[text[:50] for text, _ in REFUSED])
def test_harmful_expressions_are_refused_quickly_with_a_reason(text, message):
    started = time.process_time()

    with pytest.raises(ExpressionRefused, match=message) as refused:
        compile_derivation(derivation(f"SQL:p: {text}"), COMPANY)

    assert time.process_time() - started < LONGEST_S
    assert len(str(refused.value)) < 700
    assert str(refused.value).isprintable()


@pytest.mark.parametrize("text", [text for text, _ in REFUSED][::7])
@pytest.mark.parametrize("result", [PropertyType.INT16, PropertyType.BOOL, PropertyType.DATE_TIME])
def test_harmful_expressions_are_refused_for_every_type_of_result(text, result):
    assert refusal(f"SQL:p: {text}", result=result)


@pytest.mark.parametrize("case", CORPUS["evaluated"], ids=lambda case: case["expression"][:60])
def test_accepted_expressions_fail_or_end_within_bounds(case: dict[str, Any]) -> None:
    started = time.process_time()

    if "error" in case:
        with pytest.raises(duckdb.Error, match=case["error"]):
            value(f"SQL:p: {case['expression']}", **PERSON)
    else:
        found = value(f"SQL:p: {case['expression']}", **PERSON)
        assert case.get("value", found) == found
        assert case.get("characters", len(found)) == len(found)

    assert time.process_time() - started < 2 * LONGEST_S


def test_the_corpus_is_large():
    assert len(REFUSED) > 200
