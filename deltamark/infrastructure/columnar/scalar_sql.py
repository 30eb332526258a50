"""Scalar SQL expressions: parsed by sqlglot, checked against an allow-list, written anew for DuckDB.

Only what is listed here passes. The text of a configuration never reaches the database: what is evaluated is
generated from the checked tree.
"""

from __future__ import annotations

import re
from concurrent.futures import ThreadPoolExecutor

import sqlglot
from attrs import frozen
from sqlglot import exp
from sqlglot.errors import SqlglotError

from deltamark.domain.model import EntityType
from deltamark.domain.nearest import hint
from deltamark.domain.values import shown

LONGEST = 4_000
DEEPEST = 24
"""Brackets within brackets. The parser needs some 25 frames of Python's 1,000 for each."""
MOST_NODES = 600

_FORM = re.compile(r"^SQL:\s*([A-Za-z_][A-Za-z0-9_]{0,60})\s*:(.*)$", re.DOTALL)

_ALLOWED: tuple[type[exp.Expr], ...] = (
    exp.Column,
    exp.Identifier,
    exp.Literal,
    exp.Boolean,
    exp.Null,
    exp.Paren,
    exp.DPipe,
    exp.Add,
    exp.Sub,
    exp.Mul,
    exp.Div,
    exp.Mod,
    exp.Neg,
    exp.EQ,
    exp.NEQ,
    exp.GT,
    exp.GTE,
    exp.LT,
    exp.LTE,
    exp.And,
    exp.Or,
    exp.Not,
    exp.Is,
    exp.In,
    exp.Between,
    exp.Like,
    exp.ILike,
    exp.Case,
    exp.If,
    exp.Coalesce,
    exp.Nullif,
    exp.Upper,
    exp.Lower,
    exp.Trim,
    exp.Length,
    exp.Substring,
    exp.Left,
    exp.Right,
    exp.Concat,
    exp.Abs,
    exp.Round,
    exp.Cast,
    exp.DataType,
    exp.StrPosition,
)

_CASTS = {"VARCHAR", "TEXT", "BIGINT", "INT", "DOUBLE", "BOOLEAN", "DATE", "TIMESTAMP"}


class Refused(ValueError):
    """An expression that does not parse or holds what is not allowed; the message is a clause."""


@frozen
class ScalarSql:
    """A checked expression: SQL for DuckDB over the properties of one resource, and which it reads."""

    sql: str
    reads: tuple[str, ...]


def is_sql(expression: str) -> bool:
    """Whether an expression is of the form `SQL:variable: …`."""
    return expression.lstrip().upper().startswith("SQL:")


def scalar_sql(expression: str, entity_type: EntityType) -> ScalarSql:
    """Checks `SQL:variable: expression` over the properties of an entity type.

    :raises Refused: with what is wrong.
    """
    if len(expression) > LONGEST:
        raise Refused(f"is longer than {LONGEST} characters")
    # On a stack of its own: how deep an expression may nest must not depend on how deep the caller is.
    with ThreadPoolExecutor(max_workers=1) as beside:
        return beside.submit(_scalar_sql, expression, entity_type).result()


def _scalar_sql(expression: str, entity_type: EntityType) -> ScalarSql:
    form = _FORM.match(expression.strip())
    if form is None:
        raise Refused("must look like SQL:person: person.Mail, with a name between the colons")
    variable, text = form.groups()
    tree = exp.Paren(this=_parsed(text))  # so that a column that is the whole expression can be replaced, too
    reads = _checked(tree, variable, entity_type)
    return ScalarSql(tree.sql(dialect="duckdb", comments=False), reads)


def _parsed(text: str) -> exp.Expr:
    if _depth(text) > DEEPEST or text.count("[") > DEEPEST:
        raise Refused(f"nests deeper than {DEEPEST} brackets")
    try:
        trees = sqlglot.parse(text, read="duckdb")
    except RecursionError as e:
        raise Refused("nests too deep") from e
    except SqlglotError as e:
        reason = re.sub(r"\x1b\[[0-9;]*m", "", str(e).splitlines()[0]) if str(e) else type(e).__name__
        raise Refused(f"does not parse: {reason}") from e
    if len(trees) != 1 or trees[0] is None:
        raise Refused("must be one expression")
    tree = trees[0]
    assert isinstance(tree, exp.Expr)
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


def _checked(tree: exp.Expr, variable: str, entity_type: EntityType) -> tuple[str, ...]:
    reads: dict[str, None] = {}
    for count, node in enumerate(tree.walk()):
        if count > MOST_NODES:
            raise Refused(f"has more than {MOST_NODES} parts")
        if not isinstance(node, _ALLOWED):
            raise Refused(f"uses {shown(_name_of(node))}, which is not allowed in an expression")
        if isinstance(node, exp.Column):
            reads[_resolved(node, variable, entity_type)] = None
        if isinstance(node, exp.DataType) and node.this.name not in _CASTS:
            raise Refused(f"converts to {shown(node.this.name)}; allowed are {', '.join(sorted(_CASTS))}")
        if isinstance(node, exp.In) and (node.args.get("query") or node.args.get("unnest")):
            raise Refused("holds a subquery, which is not allowed in an expression")
    return tuple(reads)


def _name_of(node: exp.Expr) -> str:
    if isinstance(node, exp.Anonymous):
        return str(node.this)
    return node.sql_name() if isinstance(node, exp.Func) else type(node).__name__


def _resolved(column: exp.Column, variable: str, entity_type: EntityType) -> str:
    """Points a column `variable.Property` at the property, and gives its name."""
    parts = [part.name for part in column.parts]
    if parts[0] != variable or len(parts) < 2:
        raise Refused(f"names {shown('.'.join(parts))}; write {variable}.Property")
    if len(parts) > 2:
        raise Refused(
            f"reads over the path {shown('.'.join(parts[1:]))}; "
            "this version evaluates properties of the resource itself"
        )
    found = entity_type.property(parts[1])
    if found is None:
        known = [p.identifier for p in entity_type.properties]
        raise Refused(
            f"names {shown(parts[1])}, which is no property of {entity_type.identifier}{hint(parts[1], known)}"
        )
    column.replace(exp.column(exp.to_identifier(found.identifier, quoted=True)))
    return found.identifier
