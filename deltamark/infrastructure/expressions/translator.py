"""Translates the tree of an expression to SQL for DuckDB.

Refuses what is not named here.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from math import isinf

from attrs import define, evolve, field
from sqlglot import exp

from deltamark.domain.derivation.dependency_paths import ExpressionRefused, WrongCall, refusal
from deltamark.domain.values import shown
from deltamark.infrastructure.duckdb.connection import literal
from deltamark.infrastructure.duckdb.dates import iso_instant
from deltamark.infrastructure.expressions.advice import instead_of_node
from deltamark.infrastructure.expressions.name_resolution import ExpressionNames
from deltamark.infrastructure.expressions.sql_function_calls import part, unit_of
from deltamark.infrastructure.expressions.sql_functions import call_function
from deltamark.infrastructure.expressions.sql_value import (
    DATES,
    NUMBERS,
    SHORT,
    Growth,
    Shape,
    Typed,
    as_text,
    computed_once,
    unify,
)

MOST_UNITS = 100_000
MOST_WILDCARDS = 2
"""With more `%`, and `_` as well, DuckDB backtracks without limit; such patterns become regular expressions."""

_CASTS = {
    "TEXT": ("VARCHAR", Shape.TEXT),
    "VARCHAR": ("VARCHAR", Shape.TEXT),
    "BIGINT": ("BIGINT", Shape.WHOLE),
    "INT": ("INTEGER", Shape.WHOLE),
    "DOUBLE": ("DOUBLE", Shape.NUMBER),
    "BOOLEAN": ("BOOLEAN", Shape.BOOLEAN),
    "DATE": ("DATE", Shape.DAY),
    "TIMESTAMP": ("TIMESTAMP", Shape.INSTANT),
    "TIMESTAMPNTZ": ("TIMESTAMP", Shape.INSTANT),
}
CAST_TYPES = ("BIGINT", "BOOLEAN", "DATE", "DOUBLE", "INT", "TEXT", "TIMESTAMP", "VARCHAR")
_COMPARISONS: Mapping[type[exp.Expr], str] = {
    exp.EQ: "=",
    exp.NEQ: "<>",
    exp.GT: ">",
    exp.GTE: ">=",
    exp.LT: "<",
    exp.LTE: "<=",
    exp.NullSafeEQ: "IS NOT DISTINCT FROM",
    exp.NullSafeNEQ: "IS DISTINCT FROM",
}
_ARITHMETIC: Mapping[type[exp.Expr], str] = {
    exp.Add: "+",
    exp.Sub: "-",
    exp.Mul: "*",
    exp.Div: "/",
    exp.IntDiv: "//",
    exp.Mod: "%",
}
_TRANSLATED = {
    *("this", "expression", "expressions", "ifs", "default", "true", "to", "low", "high", "unit", "substr", "position"),
    *("is_string", "table", "db", "catalog", "safe", "query", "unnest", "field"),
}
"""The parts of nodes that are translated. A node with any other part is refused, so that none is silently ignored."""


_REFUSED = Typed("NULL", Shape.NOTHING)
"""Takes the place of a part that was refused, so that the rest is judged too."""


@define
class Translation:
    """Translates the trees of one expression over one entity type."""

    names: ExpressionNames
    variable: str
    _problems: list[ExpressionRefused] = field(factory=list, init=False)
    _reads_refused: list[bool] = field(factory=lambda: [False], init=False)
    """For each node that is being translated, whether one of its parts was refused."""

    def whole(self, tree: exp.Expr) -> Typed:
        """The SQL of a whole expression.

        :raises ExpressionRefused: with everything that is not allowed in it, and all wrong types.
        """
        value = self.of(tree)
        refused = refusal(self._problems)
        if refused is not None:
            raise refused
        return value

    def of(self, node: exp.Expr) -> Typed:
        """The SQL of a node; of one that is refused, something that fits everywhere.

        What follows from a part that is refused is no problem of its own.
        """
        self._reads_refused.append(False)
        try:
            value = self._translated(node)
        except ExpressionRefused as problem:
            value = _REFUSED
            follows = self._reads_refused[-1]
            if not follows or isinstance(problem, WrongCall):
                self._problems.append(problem)
            if not follows:
                self._judge_parts(node)
        self._reads_refused.pop()
        if value is _REFUSED:
            self._reads_refused[-1] = True
        return value

    def _judge_parts(self, node: exp.Expr) -> None:
        """Judges the parts of a refused node: it may have been refused before they were translated."""
        if type(node) in _NODES and not isinstance(node, exp.Column | exp.Dot):
            for inner in _parts_of(node):
                if type(inner) in _NODES:
                    self.of(inner)

    def _translated(self, node: exp.Expr) -> Typed:
        translate = _NODES.get(type(node))
        if translate is None:
            raise ExpressionRefused(
                f"uses {shown(_name_of(node))}, which is not allowed in an expression{instead_of_node(node)}"
            )
        for name, value in node.args.items():
            if value and name not in _TRANSLATED and not (name == "negate" and isinstance(node, exp.Like | exp.ILike)):
                raise ExpressionRefused(f"uses {name} with {shown(_name_of(node))}, which is not allowed")
        return translate(self, node)

    def single(self, node: exp.Expr) -> Typed:
        """The SQL of a node that must not be a list."""
        value = self.of(node)
        if value.is_list:
            raise ExpressionRefused(
                "uses a list as a single value; make one of it, such as with array_to_string(…, ', ') or len(…), or "
                "ask list_contains(…, value)"
            )
        return value

    def boolean(self, node: exp.Expr, where: str) -> str:
        """The SQL of a condition."""
        value = self.single(node)
        if value.shape not in (Shape.BOOLEAN, Shape.NOTHING):
            raise ExpressionRefused(f"uses {value.described} as a condition in {where}; compare it with something")
        return value.sql if value.shape is Shape.BOOLEAN else f"CAST({value.sql} AS BOOLEAN)"


def _parts_of(node: exp.Expr) -> Iterator[exp.Expr]:
    """The direct parts of a node; those of the branches of a case, too."""
    for inner in node.iter_expressions():
        if isinstance(inner, exp.If):
            yield from inner.iter_expressions()
        else:
            yield inner


def _name_of(node: exp.Expr) -> str:
    if isinstance(node, exp.Anonymous):
        return str(node.this)
    return node.sql_name() if isinstance(node, exp.Func) else type(node).__name__


def _column(at: Translation, node: exp.Expr) -> Typed:
    parts = _parts(node)
    if parts[0] != at.variable or len(parts) < 2:
        raise ExpressionRefused(f"names {shown('.'.join(parts))}; write {at.variable}.Property")
    return at.names.read(parts[1:], "names")


def _parts(node: exp.Expr) -> list[str]:
    """The names of a path.

    sqlglot puts four of them in a column and nests the others around it.
    """
    names: list[str] = []
    while isinstance(node, exp.Dot):
        last = node.expression
        if not isinstance(last, exp.Identifier):
            raise ExpressionRefused(f"uses {shown(_name_of(last))} after a dot; write function(value)")
        names.append(last.name)
        node = node.this
    if isinstance(node, exp.Column):
        names += [part.name for part in reversed(node.parts)]
    elif isinstance(node, exp.Identifier):
        names.append(node.name)
    else:
        raise ExpressionRefused(f"uses {shown(_name_of(node))} before a dot, which is not allowed in an expression")
    return names[::-1]


def _literal(at: Translation, node: exp.Expr) -> Typed:
    text = str(node.this)
    if node.is_string:
        return Typed(literal(text), Shape.TEXT, growth=Growth(0, len(text)), literal=text)
    if re.fullmatch(r"\d+", text):
        if int(text) >= 2**63:
            raise ExpressionRefused(f"holds the number {shown(text)}, which is too large")
        return Typed(f"CAST({text} AS BIGINT)", Shape.WHOLE, literal=text)
    if not re.fullmatch(r"\d*\.?\d*([eE][+-]?\d{1,3})?", text):
        raise ExpressionRefused(f"holds {shown(text)}, which is no number")
    if isinf(float(text)):
        raise ExpressionRefused(f"holds the number {shown(text)}, which is too large")
    return Typed(f"CAST({text} AS DOUBLE)", Shape.NUMBER, literal=text)


def _boolean(at: Translation, node: exp.Expr) -> Typed:
    return Typed("true" if node.this else "false", Shape.BOOLEAN)


def _null(at: Translation, node: exp.Expr) -> Typed:
    return Typed("NULL", Shape.NOTHING)


def _paren(at: Translation, node: exp.Expr) -> Typed:
    value = at.of(node.this)
    return evolve(value, sql=f"({value.sql})")


def _concatenation(at: Translation, node: exp.Expr) -> Typed:
    left, right = as_text(at.single(node.this)), as_text(at.single(node.expression))
    return Typed(f"({left.sql} || {right.sql})", Shape.TEXT, growth=left.growth + right.growth)


def _arithmetic(at: Translation, node: exp.Expr) -> Typed:
    left, right, sign = at.single(node.this), at.single(node.expression), _ARITHMETIC[type(node)]
    shapes = {left.shape, right.shape} - {Shape.NOTHING}
    if sign in "+-" and (left.shape in DATES or right.shape in DATES or Shape.SPAN in shapes):
        return _moved_date(left, right, sign)
    if not shapes <= NUMBERS:
        refused = next(value for value in (left, right) if value.shape not in NUMBERS | {Shape.NOTHING})
        instead = "join texts with ||" if sign == "+" else "convert it with cast(… as double)"
        raise ExpressionRefused(f"calculates with {refused.described}; {instead}")
    shape = Shape.NUMBER if sign == "/" or Shape.NUMBER in shapes else Shape.WHOLE
    kind = "DOUBLE" if shape is Shape.NUMBER else "BIGINT"
    return Typed(f"(CAST({left.sql} AS {kind}) {sign} CAST({right.sql} AS {kind}))", shape)


def _bits(at: Translation, node: exp.Expr) -> Typed:
    """The bits of whole numbers in two's complement, so that those of negative numbers are right too."""
    left, right, sign = at.single(node.this), at.single(node.expression), _BITS[type(node)]
    for value in (left, right):
        if value.shape not in (Shape.WHOLE, Shape.NOTHING):
            instead = "" if value.shape is not Shape.BOOLEAN else f"; join conditions with {_CONDITIONS[sign]}"
            raise ExpressionRefused(f"takes the bits of {value.described}; they must be whole numbers{instead}")
    return Typed(f"(CAST({left.sql} AS BIGINT) {sign} CAST({right.sql} AS BIGINT))", Shape.WHOLE)


_BITS: Mapping[type[exp.Expr], str] = {exp.BitwiseAnd: "&", exp.BitwiseOr: "|"}
_CONDITIONS = {"&": "AND", "|": "OR"}


def _moved_date(left: Typed, right: Typed, sign: str) -> Typed:
    if sign == "+" and left.shape is Shape.SPAN:
        left, right = right, left
    if left.shape not in DATES or right.shape is not Shape.SPAN:
        raise ExpressionRefused(
            f"{'adds' if sign == '+' else 'subtracts'} {left.described} and {right.described}; dates are moved by "
            "intervals (+ interval 3 day) and compared by date_diff('day', from, to)"
        )
    return Typed(f"(CAST({left.sql} AS TIMESTAMP) {sign} {right.sql})", Shape.INSTANT)


def _negation(at: Translation, node: exp.Expr) -> Typed:
    value = at.single(node.this)
    if value.shape not in NUMBERS | {Shape.NOTHING}:
        raise ExpressionRefused(f"negates {value.described}; it must be a number")
    text = f"-{value.literal}" if value.literal is not None else None
    return Typed(f"(-{value.sql})", value.shape, literal=text)


def _comparison(at: Translation, node: exp.Expr) -> Typed:
    left, right = comparable(at.single(node.this), at.single(node.expression))
    return Typed(f"({left.sql} {_COMPARISONS[type(node)]} {right.sql})", Shape.BOOLEAN)


def comparable(*values: Typed) -> list[Typed]:
    """Converts values to a common type.

    A literal text takes the type of the value that it is compared with.
    """
    others = [value for value in values if value.literal is None and value.shape is not Shape.NOTHING]
    shape = others[0].shape if others else None
    if shape in (*DATES, *NUMBERS, Shape.BOOLEAN):
        values = tuple(_typed_literal(value, others[0]) for value in values)
    return unify(list(values), "a comparison")


_LITERAL_TYPES = {
    Shape.INSTANT: "TIMESTAMP",
    Shape.DAY: "DATE",
    Shape.WHOLE: "BIGINT",
    Shape.NUMBER: "DOUBLE",
    Shape.BOOLEAN: "BOOLEAN",
}


def _typed_literal(value: Typed, compared: Typed) -> Typed:
    if value.literal is None or value.shape is not Shape.TEXT:
        return value
    return _cast_to(value, _LITERAL_TYPES[compared.shape], compared.shape, safe=False)


def _and_or(at: Translation, node: exp.Expr) -> Typed:
    sign = "AND" if isinstance(node, exp.And) else "OR"
    return Typed(f"({at.boolean(node.this, sign)} {sign} {at.boolean(node.expression, sign)})", Shape.BOOLEAN)


def _not(at: Translation, node: exp.Expr) -> Typed:
    return Typed(f"(NOT {at.boolean(node.this, 'NOT')})", Shape.BOOLEAN)


def _is(at: Translation, node: exp.Expr) -> Typed:
    value, constant = at.of(node.this), node.expression
    if isinstance(constant, exp.Null):
        return Typed(f"({value.sql} IS NULL)", Shape.BOOLEAN)
    if isinstance(constant, exp.Boolean) and value.shape is Shape.BOOLEAN and not value.is_list:
        return Typed(f"({value.sql} IS {'TRUE' if constant.this else 'FALSE'})", Shape.BOOLEAN)
    raise ExpressionRefused("uses IS with something that is not null, true or false")


def _in(at: Translation, node: exp.Expr) -> Typed:
    if node.args.get("query") or node.args.get("unnest"):
        raise ExpressionRefused("holds a subquery, which is not allowed in an expression")
    if node.args.get("field"):
        raise ExpressionRefused("uses IN with something that is no list in brackets; write list_contains(list, value)")
    value, *listed = comparable(at.single(node.this), *(at.single(item) for item in node.expressions))
    if not listed:
        raise ExpressionRefused("uses IN with nothing in its brackets")
    return Typed(f"({value.sql} IN ({', '.join(item.sql for item in listed)}))", Shape.BOOLEAN)


def _between(at: Translation, node: exp.Expr) -> Typed:
    value, low, high = comparable(at.single(node.this), at.single(node.args["low"]), at.single(node.args["high"]))
    return Typed(f"({value.sql} BETWEEN {low.sql} AND {high.sql})", Shape.BOOLEAN)


def _like(at: Translation, node: exp.Expr) -> Typed:
    value, pattern = at.single(node.this), at.single(node.expression)
    if value.shape not in (Shape.TEXT, Shape.NOTHING):
        raise ExpressionRefused(f"uses LIKE with {value.described}; it takes a text")
    if pattern.literal is None or pattern.shape is not Shape.TEXT:
        raise ExpressionRefused("uses LIKE with a pattern that is no literal text; write contains(text, searched)")
    sign = "ILIKE" if isinstance(node, exp.ILike) else "LIKE"
    text = re.sub("%+", "%", pattern.literal)
    if text.count("%") <= MOST_WILDCARDS or (sign == "LIKE" and "_" not in text):
        sql = f"({value.sql} {sign} {literal(text)})"
    else:
        expression = "".join({"%": ".*", "_": "."}.get(char, re.escape(char)) for char in text)
        sql = f"regexp_full_match({value.sql}, {literal(expression)}, '{'si' if sign == 'ILIKE' else 's'}')"
    return Typed(f"(NOT {sql})" if node.args.get("negate") else sql, Shape.BOOLEAN)


def _case(at: Translation, node: exp.Expr) -> Typed:
    whens = node.args.get("ifs") or []
    default = node.args.get("default")
    conditions = [_condition(at, node, when) for when in whens]
    results = [at.of(when.args["true"]) for when in whens]
    results.append(at.of(default) if default is not None else Typed("NULL", Shape.NOTHING))
    unified = unify(results, "a case")
    growth = Growth()
    for result in unified:
        growth = growth | result.growth
    sql = "".join(
        f" WHEN {condition} THEN {result.sql}" for condition, result in zip(conditions, unified, strict=False)
    )
    return Typed(f"(CASE{sql} ELSE {unified[-1].sql} END)", unified[0].shape, unified[0].is_list, growth | SHORT)


def _condition(at: Translation, case: exp.Expr, when: exp.Expr) -> str:
    if case.this is None:
        return at.boolean(when.this, "a case")
    value, candidate = comparable(at.single(case.this), at.single(when.this))
    return f"({value.sql} = {candidate.sql})"


def _cast(at: Translation, node: exp.Expr) -> Typed:
    to = node.args["to"]
    name = to.this.name if isinstance(to, exp.DataType) and not isinstance(to.this, str) else str(to)
    if name not in _CASTS or any(to.args[part] for part in to.args if part != "this"):
        raise ExpressionRefused(f"converts to {shown(name)}; allowed are {', '.join(CAST_TYPES)}")
    return _cast_to(at.single(node.this), *_CASTS[name], safe=isinstance(node, exp.TryCast))


def _cast_to(value: Typed, kind: str, shape: Shape, *, safe: bool) -> Typed:
    cast = "TRY_CAST" if safe else "CAST"
    if shape is Shape.TEXT:
        return as_text(value)
    if value.shape is Shape.SPAN or (value.shape is Shape.BOOLEAN and shape in DATES):
        raise ExpressionRefused(f"converts {value.described} to {kind}")
    sql = value.sql
    if value.shape is Shape.TEXT and shape in DATES:
        sql = _iso(value.sql, safe=safe)
    if (value.shape in NUMBERS and shape in DATES) or (value.shape in DATES and shape not in DATES):
        raise ExpressionRefused(f"converts {value.described} to {kind}; take its parts with date_part('year', …)")
    return Typed(f"{cast}({sql} AS {kind})", shape)


def _iso(text: str, *, safe: bool) -> str:
    """SQL for a date in ISO 8601, read as in an extract.

    DuckDB's own cast ignores offsets from UTC.
    """
    otherwise = "NULL" if safe else "error('\"' || left(text, 80) || '\" is not a date in ISO 8601')"
    body = f"CASE WHEN text IS NOT NULL THEN coalesce({iso_instant('trim(text)')}, {otherwise}) END"
    return f"CAST({computed_once(text, body)} AS TIMESTAMP)"


def _interval(at: Translation, node: exp.Expr) -> Typed:
    count, unit = node.this, node.args.get("unit")
    if not isinstance(count, exp.Literal) or not isinstance(unit, exp.Var):
        raise ExpressionRefused("uses an interval that is no literal; write interval 3 day")
    if not re.fullmatch(r"\d{1,6}", str(count.this)) or int(count.this) > MOST_UNITS:
        raise ExpressionRefused(
            f"uses an interval of {shown(str(count.this))}; write a whole number up to {MOST_UNITS}"
        )
    return Typed(f"INTERVAL {int(count.this)} {unit_of(unit.name, 'an interval')}", Shape.SPAN)


def _extract(at: Translation, node: exp.Expr) -> Typed:
    return part(node.this.name, at.of(node.expression))


def _trim(at: Translation, node: exp.Expr) -> Typed:
    name = {"LEADING": "ltrim", "TRAILING": "rtrim"}.get(str(node.args.get("position") or "").upper(), "trim")
    arguments = [node.this, *([node.expression] if node.expression is not None else [])]
    return call_function(name, [at.of(argument) for argument in arguments])


def _position(at: Translation, node: exp.Expr) -> Typed:
    return call_function("strpos", [at.of(node.this), at.of(node.args["substr"])])


def _call(at: Translation, node: exp.Expr) -> Typed:
    return call_function(str(node.this), [at.of(argument) for argument in node.expressions])


_NODES: Mapping[type[exp.Expr], Callable[[Translation, exp.Expr], Typed]] = {
    exp.Column: _column,
    exp.Dot: _column,
    exp.Literal: _literal,
    exp.Boolean: _boolean,
    exp.Null: _null,
    exp.Paren: _paren,
    exp.DPipe: _concatenation,
    **dict.fromkeys(_ARITHMETIC, _arithmetic),
    **dict.fromkeys(_BITS, _bits),
    **dict.fromkeys(_COMPARISONS, _comparison),
    exp.Neg: _negation,
    exp.And: _and_or,
    exp.Or: _and_or,
    exp.Not: _not,
    exp.Is: _is,
    exp.In: _in,
    exp.Between: _between,
    exp.Like: _like,
    exp.ILike: _like,
    exp.Case: _case,
    exp.Cast: _cast,
    exp.TryCast: _cast,
    exp.Interval: _interval,
    exp.Extract: _extract,
    exp.Trim: _trim,
    exp.StrPosition: _position,
    exp.Anonymous: _call,
}
