"""The parts of an expression before evaluation: SQL, type, and a bound for the length."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from decimal import Decimal
from enum import Enum

from attrs import define, evolve, frozen

from deltamark.domain.derivation.dependency_paths import ExpressionRefused
from deltamark.domain.values import PropertyType, shown
from deltamark.infrastructure.duckdb.connection import quoted
from deltamark.infrastructure.duckdb.dates import canonical_instant
from deltamark.infrastructure.expressions.decimals import NotDecimal, canonical

MOST_TIMES = 100
MOST_CHARACTERS = 100_000
LONGEST_SQL = 200_000
"""Characters. Functions that repeat their input several times would otherwise multiply when they are piped."""


class Shape(Enum):
    """The type of a value in an expression."""

    TEXT = "a text"
    WHOLE = "a whole number"
    NUMBER = "a number"
    DECIMAL = "an exact decimal"
    BOOLEAN = "a Boolean"
    INSTANT = "a date with time"
    DAY = "a date"
    SPAN = "an interval"
    NOTHING = "null"


_SHAPES = {
    PropertyType.BYTE: Shape.WHOLE,
    PropertyType.INT16: Shape.WHOLE,
    PropertyType.INT32: Shape.WHOLE,
    PropertyType.INT64: Shape.WHOLE,
    PropertyType.DOUBLE: Shape.NUMBER,
    PropertyType.DECIMAL: Shape.DECIMAL,
    PropertyType.BOOL: Shape.BOOLEAN,
    PropertyType.DATE_TIME: Shape.INSTANT,
    PropertyType.DATE: Shape.DAY,
}
NUMBERS = frozenset({Shape.WHOLE, Shape.NUMBER, Shape.DECIMAL})
DATES = frozenset({Shape.INSTANT, Shape.DAY})


@frozen
class Growth:
    """A bound for the length of a text.

    It is `times` the length of what the expression reads, plus `characters`. The length of a list is that of its texts,
    plus the number of its elements.

    A short expression can produce gigabytes (`replace` in `replace`), and a database without memory may end the
    process. So expressions without a reasonable bound are refused before they are evaluated.
    """

    times: float = 0
    characters: float = 0

    def __add__(self, other: Growth) -> Growth:
        return Growth(self.times + other.times, self.characters + other.characters)

    def __mul__(self, factor: float) -> Growth:
        return Growth(self.times * factor, self.characters * factor)

    def __or__(self, other: Growth) -> Growth:
        return Growth(max(self.times, other.times), max(self.characters, other.characters))


@define
class Peak:
    """The bound of the longest text that an expression makes, also on the way to its result."""

    growth: Growth = Growth()


_PEAK: ContextVar[Peak | None] = ContextVar("peak", default=None)


@contextmanager
def watched_peak() -> Iterator[Peak]:
    """A block in which the bound of each part of an expression is noted."""
    peak = Peak()
    token = _PEAK.set(peak)
    try:
        yield peak
    finally:
        _PEAK.reset(token)


FAILURE = "the value fails: "
"""The beginning of the text that `failure` converts."""


def failure(message: str) -> str:
    """SQL of a value of any type that fails when it is evaluated.

    :param message: SQL of why.
    """
    # `try` takes no `error`: that may have another result each time.
    return f"(CASE WHEN CAST('{FAILURE}' || {message} AS BOOLEAN) THEN NULL END)"


SHORT = Growth(0, 41)
"""The bound of all other types, which have at most 41 characters as texts."""


@frozen
class Typed:
    """A part of an expression as SQL.

    :param shape: the type; for a list, that of its elements.
    :param growth: a bound for the length of its text.
    :param literal: its text, if it is a literal text or number.
    :param exact: SQL for a number as an exact decimal, if it is calculated from literals and whole numbers.
    """

    sql: str
    shape: Shape
    is_list: bool = False
    growth: Growth = SHORT
    literal: str | None = None
    exact: str | None = None

    def __attrs_post_init__(self) -> None:
        if self.growth.times > MOST_TIMES or self.growth.characters > MOST_CHARACTERS:
            raise ExpressionRefused(
                f"may make a text of more than {MOST_TIMES} times the length of what it reads, or of more than "
                f"{MOST_CHARACTERS:,} characters; repeat or replace less"
            )
        if len(self.sql) > LONGEST_SQL:
            raise ExpressionRefused("does too much at once; split it into several computed properties")
        peak = _PEAK.get()
        if peak is not None:
            peak.growth = peak.growth | self.growth

    @property
    def described(self) -> str:
        """The type, as messages name it."""
        return f"a list ({self.shape.value} each)" if self.is_list else self.shape.value


def property_column(name: str, kind: PropertyType, *, is_collection: bool) -> Typed:
    """A column that an expression reads."""
    shape = _SHAPES.get(kind, Shape.TEXT)
    return Typed(quoted(name), shape, is_collection, Growth(1, 0) if shape is Shape.TEXT else SHORT)


def count_column(name: str) -> str:
    """The column of the number of elements of a list that an expression reads."""
    return quoted(f"count {name}")


def size_column(name: str) -> str:
    """The column of the length of a list of texts that an expression reads: of its texts, plus their number."""
    return quoted(f"size {name}")


def computed_once(sql: str, body: str) -> str:
    """SQL for `body`, in which `text` is the value of `sql`.

    It is computed once however often it occurs. What DuckDB defines as a macro (`nullif`, `split_part`,
    `array_to_string`) repeats its arguments, so that each of them in another would double the work of planning; a
    value in brackets is planned once.
    """
    return f"list_extract(list_transform([{sql}], lambda text: {body}), 1)"


def as_text(value: Typed) -> Typed:
    """A single value as a text, written as it is stored.

    Dates are in ISO 8601, Booleans true and false.
    """
    if value.shape is Shape.TEXT:
        return value
    if value.shape is Shape.SPAN:
        raise ExpressionRefused("uses an interval as a text; add it to a date or subtract it from one")
    if value.shape is Shape.INSTANT:
        sql = computed_once(value.sql, canonical_instant("text"))
    elif value.shape is Shape.DECIMAL:
        sql = value.sql
    else:
        sql = f"CAST({value.sql} AS VARCHAR)"
    return Typed(sql, Shape.TEXT, growth=SHORT)


def as_decimal(value: Typed) -> Typed:
    """A number as an exact decimal: a whole number, or what is calculated from these and literals.

    :raises ExpressionRefused: for any other number, which is a double.
    """
    if value.shape is Shape.DECIMAL:
        return value
    if value.shape is Shape.NUMBER:
        if value.exact is None:
            if value.literal is not None:
                decimal_literal(value.literal)
            raise ExpressionRefused(
                f"mixes {Shape.NUMBER.value} (a Double) and {Shape.DECIMAL.value}; convert one of them with "
                "cast(… as decimal) or cast(… as double)"
            )
        return Typed(value.exact, Shape.DECIMAL, literal=value.literal)
    return Typed(f"CAST({value.sql} AS VARCHAR)", Shape.DECIMAL, literal=value.literal)


def _as_double(value: Typed) -> Typed:
    return evolve(value, sql=f"CAST({value.sql} AS DOUBLE)", shape=Shape.NUMBER, exact=exact_sql([value], str))


def exact_sql(values: Iterable[Typed], sql: Callable[..., str]) -> str | None:
    """SQL over these numbers as exact decimals; None if one of them is a double.

    :param sql: gives it from that of each number.
    """
    numbers = list(values)
    if any(value.shape is Shape.NUMBER and value.exact is None for value in numbers):
        return None
    return sql(*(as_decimal(value).sql for value in numbers))


def decimal_literal(text: str) -> str:
    """The canonical text of a literal number.

    :raises ExpressionRefused: if it has too many digits.
    """
    try:
        return canonical(Decimal(text))
    except NotDecimal as e:
        raise ExpressionRefused(f"holds {shown(text)}: {e}") from e


def unify(values: list[Typed], where: str) -> list[Typed]:
    """Converts values of which one is chosen to a common type.

    :param where: what chooses between them, for messages: `coalesce`, a case.
    :raises ExpressionRefused: if there is no common type.
    """
    kinds = {(value.shape, value.is_list) for value in values if value.shape is not Shape.NOTHING}
    if len(kinds) <= 1:
        shape, is_list = next(iter(kinds), (Shape.NOTHING, False))
        return [evolve(v, shape=shape, is_list=is_list) for v in values]
    shapes = {shape for shape, _ in kinds}
    if not any(is_list for _, is_list in kinds):
        if shapes <= NUMBERS and Shape.DECIMAL in shapes:
            return [as_decimal(v) for v in values]
        if shapes <= NUMBERS:
            return [_as_double(v) for v in values]
        if shapes <= DATES:
            return [evolve(v, sql=f"CAST({v.sql} AS TIMESTAMP)", shape=Shape.INSTANT) for v in values]
    described = " and ".join(sorted({v.described for v in values if v.shape is not Shape.NOTHING}))
    raise ExpressionRefused(f"mixes {described} in {where}; convert one of them with cast(… as …)")
