"""Scalar SQL expressions: parsed by sqlglot into a tree, within limits.

The text of a configuration never reaches the database: what is evaluated is written anew from the tree, and only what
`translating` knows passes.
"""

from __future__ import annotations

import re
from typing import Any, ClassVar

import sqlglot
from attrs import frozen
from sqlglot import exp
from sqlglot.dialects.duckdb import DuckDB
from sqlglot.errors import SqlglotError
from sqlglot.parsers.duckdb import DuckDBParser

from deltamark.domain.derivation.dependency_paths import ExpressionRefused

LONGEST = 4_000
DEEPEST = 24
"""Brackets within brackets. The parser needs some 25 frames of Python's 1,000 for each."""
MOST_NODES = 600

_FORM = re.compile(r"^SQL:\s*([A-Za-z_][A-Za-z0-9_]{0,60})\s*:(.*)$", re.DOTALL)
_SPECIAL_SYNTAX = ("CAST", "TRY_CAST", "TRIM", "EXTRACT", "POSITION")


class _Parser(DuckDBParser):
    """Leaves every call as it is written: what a function means is for `sql_functions` to say, not for sqlglot."""

    FUNCTIONS: ClassVar[dict[str, Any]] = {}
    FUNCTION_PARSERS: ClassVar[dict[str, Any]] = {name: DuckDBParser.FUNCTION_PARSERS[name] for name in _SPECIAL_SYNTAX}
    NO_PAREN_FUNCTIONS: ClassVar[dict[Any, Any]] = {}
    NO_PAREN_FUNCTION_PARSERS: ClassVar[dict[str, Any]] = {"CASE": DuckDBParser.NO_PAREN_FUNCTION_PARSERS["CASE"]}


class _Dialect(DuckDB):
    Parser = _Parser


@frozen
class ScalarSql:
    """A parsed expression, and the variable that stands for the resource in it."""

    variable: str
    tree: exp.Expr


def is_sql(expression: str) -> bool:
    """Whether an expression is of the form `SQL:variable: …`."""
    return expression.lstrip().upper().startswith("SQL:")


def parsed_sql(expression: str) -> ScalarSql:
    """Parses `SQL:variable: expression`. Needs a few hundred frames of the stack.

    :raises ExpressionRefused: with what is wrong.
    """
    form = _FORM.match(expression.strip())
    if form is None:
        raise ExpressionRefused("must look like SQL:person: person.Mail, with a name between the colons")
    variable, text = form.groups()
    return ScalarSql(variable, _parsed(text))


def _parsed(text: str) -> exp.Expr:
    if _depth(text) > DEEPEST or text.count("[") > DEEPEST:
        raise ExpressionRefused(f"nests deeper than {DEEPEST} brackets")
    try:
        trees = sqlglot.parse(text, read=_Dialect)
    except RecursionError as e:
        raise ExpressionRefused("nests too deep") from e
    except SqlglotError as e:
        reason = re.sub(r"\x1b\[[0-9;]*m", "", str(e).splitlines()[0]) if str(e) else type(e).__name__
        raise ExpressionRefused(f"does not parse: {reason}") from e
    if len(trees) != 1 or trees[0] is None:
        raise ExpressionRefused("must be one expression")
    tree = trees[0]
    assert isinstance(tree, exp.Expr)
    for count, _ in enumerate(tree.walk()):
        if count > MOST_NODES:
            raise ExpressionRefused(f"has more than {MOST_NODES} parts")
    return tree


def _depth(text: str) -> int:
    """How many brackets are open at once, at most; those in texts count too, which only asks for shorter texts."""
    deepest = depth = 0
    for char in text:
        if char in "([{":
            depth += 1
            deepest = max(deepest, depth)
        elif char in ")]}":
            depth = max(depth - 1, 0)
    return deepest
