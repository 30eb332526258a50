"""Translates the tree of an expression to SQL for DuckDB.

Refuses what is not named here.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from decimal import Decimal
from functools import partial
from math import isinf
from typing import Protocol, TypeVar

from attrs import define, evolve, field, frozen
from sqlglot import exp

from deltamark.domain.derivation.dependency_paths import ExpressionRefused, SeveralProblems, WrongPart, refusal
from deltamark.domain.values import MOST_DIGITS, canonical_decimal, digit_count, shown
from deltamark.infrastructure.duckdb.connection import literal
from deltamark.infrastructure.duckdb.conversions import decimal_text
from deltamark.infrastructure.duckdb.dates import iso_instant
from deltamark.infrastructure.expressions.advice import instead_of_node
from deltamark.infrastructure.expressions.decimals import ARITHMETIC, negated, ordered
from deltamark.infrastructure.expressions.sql_function_calls import part, round_quotient, unit_of
from deltamark.infrastructure.expressions.sql_functions import call_function
from deltamark.infrastructure.expressions.sql_value import (
    DATES,
    NUMBERS,
    SHORT,
    Growth,
    Shape,
    Typed,
    as_decimal,
    as_text,
    computed_once,
    decimal_literal,
    exact_sql,
    failure,
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
    "DECIMAL": ("DECIMAL", Shape.DECIMAL),
    "BOOLEAN": ("BOOLEAN", Shape.BOOLEAN),
    "DATE": ("DATE", Shape.DAY),
    "TIMESTAMP": ("TIMESTAMP", Shape.INSTANT),
    "TIMESTAMPNTZ": ("TIMESTAMP", Shape.INSTANT),
}
CAST_TYPES = ("BIGINT", "BOOLEAN", "DATE", "DECIMAL", "DOUBLE", "INT", "TEXT", "TIMESTAMP", "VARCHAR")
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


_Value = TypeVar("_Value")

_REFUSED = Typed("NULL", Shape.NOTHING)
"""Takes the place of a part that was refused, so that the rest is judged too."""


@frozen
class Part:
    """A part of an expression that was translated, with the parts in it.

    :param is_constant: whether it reads nothing: it has one value, or none.
    """

    sql: str
    is_constant: bool
    parts: tuple[Part, ...] = ()


@define
class _Node:
    """A node that is being translated.

    :param is_refused: whether a part of it was refused.
    :param is_constant: whether no part of it reads anything.
    :param parts: the largest parts in it that were translated.
    """

    is_refused: bool = False
    is_constant: bool = True
    parts: list[Part] = field(factory=list)


class Names(Protocol):
    """The names that an expression may use."""

    def read(self, parts: Sequence[str], verb: str) -> Typed:
        """The value of a name after that of the variable.

        :param verb: what the expression does with the name, for messages.
        :raises ExpressionRefused: if there is no such name.
        """
        ...


@define
class Translation:
    """Translates the trees of one expression."""

    names: Names
    variable: str
    problems: list[ExpressionRefused] = field(factory=list, init=False)
    """Everything that is not allowed, and all wrong types."""
    _nodes: list[_Node] = field(factory=lambda: [_Node()], init=False)
    """The nodes that are being translated, the innermost last."""

    @property
    def parts(self) -> tuple[Part, ...]:
        """The largest parts that were translated: the whole expression, if nothing in it was refused."""
        return tuple(self._nodes[0].parts)

    def of(self, node: exp.Expr) -> Typed:
        """The SQL of a node; of one that is refused, something that fits everywhere.

        What follows from a part that is refused is no problem of its own.
        """
        self._nodes.append(_Node(is_constant=not isinstance(node, exp.Column | exp.Dot)))
        try:
            value = self._translated(node)
        except ExpressionRefused as refused:
            value, follows = _REFUSED, self._nodes[-1].is_refused
            self.problems += [p for p in refused.problems if not follows or isinstance(p, WrongPart)]
            if not follows:
                self._judge_parts(node)
        self._leave(self._nodes.pop(), value)
        return value

    def _leave(self, node: _Node, value: Typed) -> None:
        outer = self._nodes[-1]
        outer.is_refused |= value is _REFUSED
        outer.is_constant &= node.is_constant
        if value is _REFUSED or node.is_refused:
            outer.parts += node.parts
        else:
            outer.parts.append(Part(value.sql, node.is_constant, tuple(node.parts)))

    def constant(self, value: Typed) -> Typed:
        """Notes a value that was made of a literal, as a part of the node that is being translated."""
        self._nodes[-1].parts.append(Part(value.sql, is_constant=True))
        return value

    def each(self, *values: Callable[[], _Value]) -> list[_Value]:
        """The values of all these, of which each may be refused on its own.

        :raises ExpressionRefused: with the problems of all.
        """
        made, problems = [], []
        for value in values:
            try:
                made.append(value())
            except ExpressionRefused as problem:
                problems.append(problem)
        refused = refusal(problems)
        if refused is not None:
            raise refused
        return made

    def singles(self, *nodes: exp.Expr) -> list[Typed]:
        """The SQL of nodes that must not be lists."""
        return self.each(*(partial(self.single, node) for node in nodes))

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
            raise WrongPart(
                "uses a list as a single value; make one of it, such as with array_to_string(…, ', ') or len(…), or "
                "ask list_contains(…, value)"
            )
        return value

    def boolean(self, node: exp.Expr, where: str) -> str:
        """The SQL of a condition."""
        value = self.single(node)
        if value.shape not in (Shape.BOOLEAN, Shape.NOTHING):
            raise WrongPart(f"uses {value.described} as a condition in {where}; compare it with something")
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
    # A number that is too long for a Decimal is a double.
    exact = literal(decimal_literal(text)) if digit_count(canonical_decimal(Decimal(text))) <= MOST_DIGITS else None
    return Typed(f"CAST({text} AS DOUBLE)", Shape.NUMBER, literal=text, exact=exact)


def _boolean(at: Translation, node: exp.Expr) -> Typed:
    return Typed("true" if node.this else "false", Shape.BOOLEAN)


def _null(at: Translation, node: exp.Expr) -> Typed:
    return Typed("NULL", Shape.NOTHING)


def _paren(at: Translation, node: exp.Expr) -> Typed:
    value = at.of(node.this)
    return evolve(value, sql=f"({value.sql})")  # `exact` needs no brackets: it is a call or a literal


def _concatenation(at: Translation, node: exp.Expr) -> Typed:
    left, right = map(as_text, at.singles(node.this, node.expression))
    return Typed(f"({left.sql} || {right.sql})", Shape.TEXT, growth=left.growth + right.growth)


def _arithmetic(at: Translation, node: exp.Expr) -> Typed:
    left, right = at.singles(node.this, node.expression)
    return _calculated(left, right, _ARITHMETIC[type(node)])


def _calculated(left: Typed, right: Typed, sign: str) -> Typed:
    shapes = {left.shape, right.shape} - {Shape.NOTHING}
    if sign in "+-" and (left.shape in DATES or right.shape in DATES or Shape.SPAN in shapes):
        return _moved_date(left, right, sign)
    if not shapes <= NUMBERS:
        wrong = [value for value in (left, right) if value.shape not in NUMBERS | {Shape.NOTHING}]
        raise SeveralProblems(
            WrongPart(f"calculates with {value.described}; {_as_number(value, sign)}") for value in wrong
        )
    if sign in "//%":
        _refuse_zero(right)
    if Shape.DECIMAL in shapes:
        return _exact_arithmetic(left, right, sign)
    shape = Shape.NUMBER if sign == "/" or Shape.NUMBER in shapes else Shape.WHOLE
    kind = "DOUBLE" if shape is Shape.NUMBER else "BIGINT"
    exact = None
    if shape is Shape.NUMBER and sign != "/":
        exact = exact_sql([left, right], lambda *numbers: f"{ARITHMETIC[sign]}({', '.join(numbers)})")
    return Typed(f"(CAST({left.sql} AS {kind}) {sign} CAST({right.sql} AS {kind}))", shape, exact=exact)


def _refuse_zero(divisor: Typed) -> None:
    if divisor.literal is not None and float(divisor.literal) == 0:
        raise WrongPart("divides by 0, which gives no value")


def _exact_arithmetic(left: Typed, right: Typed, sign: str) -> Typed:
    if sign == "/":
        raise WrongPart(
            "divides with /, of which the digits may have no end; write round(… / …, 2) for an exact decimal, or "
            "cast(… as double)"
        )
    return Typed(f"{ARITHMETIC[sign]}({as_decimal(left).sql}, {as_decimal(right).sql})", Shape.DECIMAL)


def _as_number(value: Typed, sign: str) -> str:
    """What to write in place of a value that is no number."""
    if value.shape is Shape.BOOLEAN:
        return "write case when … then 1 else 0 end"
    return "join texts with ||" if sign == "+" else "convert it with cast(… as double)"


def _bits(at: Translation, node: exp.Expr) -> Typed:
    """The bits of whole numbers in two's complement, so that those of negative numbers are right too."""
    (left, right), sign = at.singles(node.this, node.expression), _BITS[type(node)]
    problems = []
    for value in (left, right):
        if value.shape not in (Shape.WHOLE, Shape.NOTHING):
            instead = "" if value.shape is not Shape.BOOLEAN else f"; join conditions with {_CONDITIONS[sign]}"
            problems.append(WrongPart(f"takes the bits of {value.described}; they must be whole numbers{instead}"))
    if problems:
        raise SeveralProblems(problems)
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
        raise WrongPart(f"negates {value.described}; it must be a number")
    text = f"-{value.literal}" if value.literal is not None else None
    if value.shape is Shape.DECIMAL:
        return Typed(negated(value.sql), Shape.DECIMAL)
    exact = None if value.exact is None else negated(value.exact)
    return Typed(f"(-{value.sql})", value.shape, literal=text, exact=exact)


def _comparison(at: Translation, node: exp.Expr) -> Typed:
    left, right = (_in_order(value, node) for value in comparable(at, *at.singles(node.this, node.expression)))
    return Typed(f"({left.sql} {_COMPARISONS[type(node)]} {right.sql})", Shape.BOOLEAN)


def _in_order(value: Typed, node: exp.Expr) -> Typed:
    """A value as it is compared: texts of decimals have not their order."""
    is_by_order = not isinstance(node, exp.EQ | exp.NEQ | exp.NullSafeEQ | exp.NullSafeNEQ)
    return evolve(value, sql=ordered(value.sql)) if value.shape is Shape.DECIMAL and is_by_order else value


def comparable(at: Translation, *values: Typed) -> list[Typed]:
    """Converts values to a common type.

    A literal text takes the type of the value that it is compared with.
    """
    others = [value for value in values if value.literal is None and value.shape is not Shape.NOTHING]
    shape = others[0].shape if others else None
    if shape in (*DATES, *NUMBERS, Shape.BOOLEAN):
        values = tuple(_typed_literal(at, value, others[0]) for value in values)
    return unify(list(values), "a comparison")


_LITERAL_TYPES = {
    Shape.INSTANT: "TIMESTAMP",
    Shape.DAY: "DATE",
    Shape.WHOLE: "BIGINT",
    Shape.NUMBER: "DOUBLE",
    Shape.DECIMAL: "DECIMAL",
    Shape.BOOLEAN: "BOOLEAN",
}


def _typed_literal(at: Translation, value: Typed, compared: Typed) -> Typed:
    if value.literal is None or value.shape is not Shape.TEXT:
        return value
    return at.constant(_cast_to(value, _LITERAL_TYPES[compared.shape], compared.shape, safe=False))


def _and_or(at: Translation, node: exp.Expr) -> Typed:
    sign = "AND" if isinstance(node, exp.And) else "OR"
    left, right = at.each(*(partial(at.boolean, part, sign) for part in (node.this, node.expression)))
    return Typed(f"({left} {sign} {right})", Shape.BOOLEAN)


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
    value, *listed = comparable(at, *at.singles(node.this, *node.expressions))
    if not listed:
        raise ExpressionRefused("uses IN with nothing in its brackets")
    return Typed(f"({value.sql} IN ({', '.join(item.sql for item in listed)}))", Shape.BOOLEAN)


def _between(at: Translation, node: exp.Expr) -> Typed:
    values = comparable(at, *at.singles(node.this, node.args["low"], node.args["high"]))
    value, low, high = (_in_order(item, node) for item in values)
    return Typed(f"({value.sql} BETWEEN {low.sql} AND {high.sql})", Shape.BOOLEAN)


def _like(at: Translation, node: exp.Expr) -> Typed:
    value, pattern = at.singles(node.this, node.expression)
    if value.shape not in (Shape.TEXT, Shape.NOTHING):
        raise WrongPart(f"uses LIKE with {value.described}; it takes a text")
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
    results = [at.of(when.args["true"]) for when in whens]
    results.append(at.of(default) if default is not None else Typed("NULL", Shape.NOTHING))
    *conditions, _ = at.each(
        *(partial(_condition, at, node, when) for when in whens), lambda: unify(results, "a case")[0].sql
    )
    unified = unify(results, "a case")
    growth = Growth()
    for result in unified:
        growth = growth | result.growth

    def written(*values: str) -> str:
        branches = zip(conditions, values, strict=False)
        sql = "".join(f" WHEN {condition} THEN {value}" for condition, value in branches)
        return f"(CASE{sql} ELSE {values[-1]} END)"

    exact = exact_sql(unified, written) if unified[0].shape is Shape.NUMBER else None
    sql = written(*(result.sql for result in unified))
    return Typed(sql, unified[0].shape, unified[0].is_list, growth | SHORT, exact=exact)


def _condition(at: Translation, case: exp.Expr, when: exp.Expr) -> str:
    if case.this is None:
        return at.boolean(when.this, "a case")
    value, candidate = comparable(at, *at.singles(case.this, when.this))
    return f"({value.sql} = {candidate.sql})"


def _cast(at: Translation, node: exp.Expr) -> Typed:
    to = node.args["to"]
    name = to.this.name if isinstance(to, exp.DataType) and not isinstance(to.this, str) else str(to)
    if name == "DECIMAL" and isinstance(to, exp.DataType) and to.expressions:
        return _fitted(at.single(node.this), to, safe=isinstance(node, exp.TryCast))
    if name not in _CASTS or any(to.args[part] for part in to.args if part != "this"):
        raise ExpressionRefused(f"converts to {shown(name)}; allowed are {', '.join(CAST_TYPES)}")
    return _cast_to(at.single(node.this), *_CASTS[name], safe=isinstance(node, exp.TryCast))


def _fitted(value: Typed, to: exp.DataType, *, safe: bool) -> Typed:
    """A decimal with a precision and a scale: rounded to it."""
    texts = [parameter.name for parameter in to.expressions]
    numbers = [int(text) for text in texts if re.fullmatch(r"\d{1,2}", text)]
    digits, scale = numbers[0] if numbers else 0, numbers[1] if len(numbers) > 1 else 0
    if len(numbers) != len(texts) or not 1 <= digits <= MOST_DIGITS or not 0 <= scale <= digits:
        raise ExpressionRefused(
            f"converts to DECIMAL({', '.join(texts)}); it has at most {MOST_DIGITS} digits, such as DECIMAL(18, 2)"
        )
    number = _cast_to(value, "DECIMAL", Shape.DECIMAL, safe=safe)
    fitted = f"deltamark_decimal_fitted(text, {digits}, {scale})"
    otherwise = "NULL" if safe else failure(f"text || ' does not fit into DECIMAL({digits}, {scale})'")
    return Typed(computed_once(number.sql, f"coalesce({fitted}, {otherwise})"), Shape.DECIMAL)


def _cast_to(value: Typed, kind: str, shape: Shape, *, safe: bool) -> Typed:
    cast = "TRY_CAST" if safe else "CAST"
    if shape is Shape.TEXT:
        return as_text(value)
    if value.shape is Shape.SPAN or (value.shape is Shape.BOOLEAN and shape in DATES):
        raise ExpressionRefused(f"converts {value.described} to {kind}")
    sql = value.sql
    if value.shape is Shape.TEXT and shape in DATES:
        sql = _iso(value.sql, safe=safe)
    if Shape.DECIMAL in (value.shape, shape):
        return _cast_decimal(value, cast, kind, shape, safe=safe)
    if (value.shape in NUMBERS and shape in DATES) or (value.shape in DATES and shape not in DATES):
        raise ExpressionRefused(f"converts {value.described} to {kind}; take its parts with date_part('year', …)")
    return Typed(f"{cast}({sql} AS {kind})", shape)


def _cast_decimal(value: Typed, cast: str, kind: str, shape: Shape, *, safe: bool) -> Typed:
    if value.shape is shape:
        return value
    if value.shape is Shape.DECIMAL:
        if shape is Shape.NUMBER:
            return Typed(f"{cast}({value.sql} AS {kind})", shape)
        if shape is Shape.WHOLE:
            return Typed(f"{cast}(deltamark_decimal_rounded({value.sql}, 0) AS {kind})", shape)
    elif value.shape is Shape.WHOLE or (value.shape is Shape.NUMBER and value.exact is not None):
        return as_decimal(value)
    elif value.shape in (Shape.TEXT, Shape.NUMBER, Shape.NOTHING):
        otherwise = "NULL" if safe else failure("'\"' || left(text, 80) || '\" is not a decimal number'")
        body = f"CASE WHEN text IS NOT NULL THEN coalesce({decimal_text('trim(text)')}, {otherwise}) END"
        return Typed(computed_once(f"CAST({value.sql} AS VARCHAR)", body), Shape.DECIMAL)
    raise ExpressionRefused(f"converts {value.described} to {kind}")


def _iso(text: str, *, safe: bool) -> str:
    """SQL for a date in ISO 8601, read as in an extract.

    DuckDB's own cast ignores offsets from UTC.
    """
    otherwise = "NULL" if safe else failure("'\"' || left(text, 80) || '\" is not a date in ISO 8601'")
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
    name, divided = str(node.this), _divided(node)
    if divided is None:
        return call_function(name, [at.of(argument) for argument in node.expressions])
    dividend, divisor = at.singles(divided.this, divided.expression)
    digits = [at.of(argument) for argument in node.expressions[1:]]
    if Shape.DECIMAL in (dividend.shape, divisor.shape) and {dividend.shape, divisor.shape} <= _NUMBERS_AND_NULL:
        _refuse_zero(divisor)
        return round_quotient(as_decimal(dividend), as_decimal(divisor), digits)
    return call_function(name, [_calculated(dividend, divisor, "/"), *digits])


_NUMBERS_AND_NULL = NUMBERS | {Shape.NOTHING}


def _divided(node: exp.Expr) -> exp.Div | None:
    """The division of which the quotient is rounded at once."""
    if str(node.this).lower() != "round" or not 1 <= len(node.expressions) <= 2:
        return None
    inner = node.expressions[0]
    while isinstance(inner, exp.Paren):
        inner = inner.this
    return inner if isinstance(inner, exp.Div) else None


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
