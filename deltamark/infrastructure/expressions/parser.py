"""Parses scalar SQL expressions with sqlglot into a tree, within limits.

The text of a configuration never reaches the database: `translator` writes new SQL from the tree, and refuses what it
does not know.
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
"""Nested brackets. The parser needs some 25 of Python's 1,000 stack frames for each."""
MOST_NODES = 600

_FORM = re.compile(r"^SQL:\s*([A-Za-z_][A-Za-z0-9_]{0,60})\s*:(.*)$", re.DOTALL)
_SPECIAL_SYNTAX = ("CAST", "TRY_CAST", "TRIM", "EXTRACT", "POSITION")


class _Parser(DuckDBParser):
    """Leaves every call as it is written.

    `sql_functions` decides what a function means, not sqlglot.
    """

    FUNCTIONS: ClassVar[dict[str, Any]] = {}
    FUNCTION_PARSERS: ClassVar[dict[str, Any]] = {name: DuckDBParser.FUNCTION_PARSERS[name] for name in _SPECIAL_SYNTAX}
    TYPE_CONVERTERS: ClassVar[dict[Any, Any]] = {}  # a plain DECIMAL has no precision
    NO_PAREN_FUNCTIONS: ClassVar[dict[Any, Any]] = {}
    NO_PAREN_FUNCTION_PARSERS: ClassVar[dict[str, Any]] = {"CASE": DuckDBParser.NO_PAREN_FUNCTION_PARSERS["CASE"]}


class _Dialect(DuckDB):
    Parser = _Parser


@frozen
class ScalarSql:
    """A parsed expression, and the variable by which it names the resource."""

    variable: str
    tree: exp.Expr


def is_sql(expression: str) -> bool:
    """Whether an expression is of the form `SQL:variable: …`."""
    return expression.lstrip().upper().startswith("SQL:")


def parse_sql(expression: str) -> ScalarSql:
    """Parses `SQL:variable: expression`. Needs a few hundred stack frames.

    :raises ExpressionRefused: with the fault.
    """
    form = _FORM.match(expression.strip())
    if form is None:
        raise ExpressionRefused("must look like SQL:person: person.Mail, with a name between the colons")
    variable, text = form.groups()
    return ScalarSql(variable, parse(text))


def parse(text: str) -> exp.Expr:
    """The tree of a text of SQL. Needs a few hundred stack frames.

    :raises ExpressionRefused: with the fault.
    """
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
    """The most brackets that are open at once.

    Brackets in literal texts count too.
    """
    deepest = depth = 0
    for char in text:
        if char in "([{":
            depth += 1
            deepest = max(deepest, depth)
        elif char in ")]}":
            depth = max(depth - 1, 0)
    return deepest
