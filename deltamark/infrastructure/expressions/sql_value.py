"""What is known of a part of an expression before it is evaluated: its SQL, its type, and how long it may become."""

from __future__ import annotations

from enum import Enum

from attrs import evolve, frozen

from deltamark.domain.derivation.dependency_paths import ExpressionRefused
from deltamark.domain.values import PropertyType
from deltamark.infrastructure.duckdb.connection import quoted
from deltamark.infrastructure.duckdb.dates import canonical_instant

MOST_TIMES = 100
MOST_CHARACTERS = 100_000
LONGEST_SQL = 200_000
"""A pipe of functions that each write their input several times would else grow without end."""


class Shape(Enum):
    """The type of a value in an expression."""

    TEXT = "a text"
    WHOLE = "a whole number"
    NUMBER = "a number"
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
    PropertyType.BOOL: Shape.BOOLEAN,
    PropertyType.DATE_TIME: Shape.INSTANT,
}
NUMBERS = frozenset({Shape.WHOLE, Shape.NUMBER})
DATES = frozenset({Shape.INSTANT, Shape.DAY})


@frozen
class Growth:
    """A bound of the length of a text: `times` the longest text that a resource holds, and `characters` more.

    A few letters can make gigabytes (`replace` in `replace`), and a database that is out of memory may take its
    process along; so what could grow beyond measure is refused before it is evaluated.
    """

    times: float = 0
    characters: float = 0

    def __add__(self, other: Growth) -> Growth:
        return Growth(self.times + other.times, self.characters + other.characters)

    def __mul__(self, factor: float) -> Growth:
        return Growth(self.times * factor, self.characters * factor)

    def __or__(self, other: Growth) -> Growth:
        return Growth(max(self.times, other.times), max(self.characters, other.characters))


SHORT = Growth(0, 40)
"""Of whatever is no text: as text it has some 40 characters at most."""


@frozen
class Typed:
    """A part of an expression as SQL.

    :param shape: the type; of a list, that of its elements.
    :param literal: what it says, where it is a text or number that stands there as such.
    """

    sql: str
    shape: Shape
    is_list: bool = False
    growth: Growth = SHORT
    literal: str | None = None

    def __attrs_post_init__(self) -> None:
        if self.growth.times > MOST_TIMES or self.growth.characters > MOST_CHARACTERS:
            raise ExpressionRefused(
                f"may make a text of more than {MOST_TIMES} times the length of what it reads, or of more than "
                f"{MOST_CHARACTERS:,} characters; repeat or replace less"
            )
        if len(self.sql) > LONGEST_SQL:
            raise ExpressionRefused("does too much at once; split it into several computed properties")

    @property
    def described(self) -> str:
        """The type in a sentence."""
        return f"a list ({self.shape.value} each)" if self.is_list else self.shape.value


def column(name: str, kind: PropertyType, *, is_collection: bool) -> Typed:
    """A column that an expression reads."""
    shape = _SHAPES.get(kind, Shape.TEXT)
    growth = Growth(1, 0) if shape is Shape.TEXT or is_collection else SHORT
    return Typed(quoted(name), shape, is_collection, growth)


def named(sql: str, body: str) -> str:
    """SQL that computes `sql` once and calls it `text` in `body`, where it may stand more than once."""
    return f"list_extract(list_transform([{sql}], lambda text: {body}), 1)"


def text_of(value: Typed) -> Typed:
    """A single value as text, spelled as it is stored: dates in ISO 8601, Booleans as true and false."""
    if value.shape is Shape.TEXT:
        return value
    if value.shape is Shape.SPAN:
        raise ExpressionRefused("uses an interval as a text; add it to a date or subtract it from one")
    sql = canonical_instant(value.sql) if value.shape is Shape.INSTANT else f"CAST({value.sql} AS VARCHAR)"
    return Typed(sql, Shape.TEXT, growth=SHORT)


def unified(values: list[Typed], where: str) -> list[Typed]:
    """Values of which one is chosen, brought to one type.

    :param where: what chooses, for messages: `coalesce`, a case.
    :raises ExpressionRefused: if there is no such type.
    """
    kinds = {(value.shape, value.is_list) for value in values if value.shape is not Shape.NOTHING}
    if len(kinds) <= 1:
        shape, is_list = next(iter(kinds), (Shape.NOTHING, False))
        return [evolve(v, shape=shape, is_list=is_list) for v in values]
    shapes = {shape for shape, _ in kinds}
    if not any(is_list for _, is_list in kinds):
        if shapes <= NUMBERS:
            return [evolve(v, sql=f"CAST({v.sql} AS DOUBLE)", shape=Shape.NUMBER) for v in values]
        if shapes <= DATES:
            return [evolve(v, sql=f"CAST({v.sql} AS TIMESTAMP)", shape=Shape.INSTANT) for v in values]
    described = " and ".join(sorted({v.described for v in values if v.shape is not Shape.NOTHING}))
    raise ExpressionRefused(f"mixes {described} in {where}; convert one of them with cast(… as …)")
