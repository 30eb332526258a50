"""Decimal numbers in expressions: SQL over their canonical texts, and the Python functions that calculate with them.

No type of DuckDB holds every Decimal, so a Decimal is its canonical text: equal numbers are equal texts. A structure
gives their order. Python's `decimal` calculates, exactly or not at all.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from decimal import (
    ROUND_CEILING,
    ROUND_DOWN,
    ROUND_FLOOR,
    ROUND_HALF_UP,
    Context,
    Decimal,
    DivisionByZero,
    Inexact,
    InvalidOperation,
    Overflow,
)
from functools import reduce

from duckdb.sqltypes import BIGINT, VARCHAR, DuckDBPyType

from deltamark.domain.values import MOST_DIGITS, canonical_decimal, digit_count

_ROOM = 6 * MOST_DIGITS
"""Digits that no result of two Decimals exceeds."""
_EXACT = Context(prec=_ROOM, traps=[Inexact, InvalidOperation, DivisionByZero, Overflow])
_ROUNDING = Context(prec=_ROOM, rounding=ROUND_HALF_UP, traps=[InvalidOperation, Overflow])


class NotDecimal(ValueError):
    """A result that no Decimal holds."""


def canonical(number: Decimal) -> str:
    """The canonical text of a number.

    :raises NotDecimal: if it has too many digits.
    """
    text = canonical_decimal(number)
    digits = digit_count(text)
    if digits > MOST_DIGITS:
        raise NotDecimal(f"the result has {digits} digits, and a Decimal has at most {MOST_DIGITS}")
    return text


def _add(left: str, right: str) -> str:
    return canonical(_EXACT.add(Decimal(left), Decimal(right)))


def _subtract(left: str, right: str) -> str:
    return canonical(_EXACT.subtract(Decimal(left), Decimal(right)))


def _multiply(left: str, right: str) -> str:
    return canonical(_EXACT.multiply(Decimal(left), Decimal(right)))


def _whole_quotient(dividend: str, divisor: str) -> str:
    return canonical(_EXACT.divide_int(Decimal(dividend), _divisor(divisor)))


def _remainder(dividend: str, divisor: str) -> str:
    return canonical(_EXACT.remainder(Decimal(dividend), _divisor(divisor)))


def _quotient(dividend: str, divisor: str, digits: int) -> str:
    """The exact quotient, rounded once; halves away from zero."""
    by = _divisor(divisor)
    scaled = _EXACT.scaleb(Decimal(dividend), _checked_digits(digits))
    whole = _EXACT.divide_int(scaled, by)
    rest = _EXACT.remainder(scaled, by)
    if _EXACT.multiply(2, _EXACT.abs(rest)) >= _EXACT.abs(by):  # operators would round to 28 digits
        whole = _EXACT.add(whole, 1 if (scaled < 0) == (by < 0) else -1)
    return canonical(_EXACT.scaleb(whole, -digits))


def _rounded(number: str, digits: int) -> str:
    unit = Decimal(1).scaleb(-_checked_digits(digits))
    return canonical(_ROUNDING.quantize(Decimal(number), unit))


def _checked_digits(digits: int) -> int:
    if abs(digits) > MOST_DIGITS:
        raise NotDecimal(f"a Decimal is not rounded to {digits} digits; write -{MOST_DIGITS} to {MOST_DIGITS}")
    return digits


def _divisor(text: str) -> Decimal:
    if text == "0":
        raise NotDecimal("division by zero")
    return Decimal(text)


def _to_whole(rounding: str) -> Callable[[str], str]:
    return lambda number: canonical(Decimal(number).to_integral_value(rounding))


def _fitted(number: str, digits: int, scale: int) -> str | None:
    """The number with so many digits after the point; None if more digits are left than there may be in all."""
    rounded = _rounded(number, scale)
    return rounded if digit_count(rounded.partition(".")[0]) <= digits - scale else None


def _sum(numbers: Sequence[str | None]) -> str | None:
    summands = [Decimal(number) for number in numbers if number is not None]
    return canonical(reduce(_EXACT.add, summands)) if summands else None


_TWO = (VARCHAR, VARCHAR)

DECIMAL_FUNCTIONS: Mapping[str, tuple[Callable[..., str | None], Sequence[DuckDBPyType]]] = {
    "deltamark_decimal_add": (_add, _TWO),
    "deltamark_decimal_subtract": (_subtract, _TWO),
    "deltamark_decimal_multiply": (_multiply, _TWO),
    "deltamark_decimal_whole_quotient": (_whole_quotient, _TWO),
    "deltamark_decimal_remainder": (_remainder, _TWO),
    "deltamark_decimal_quotient": (_quotient, (*_TWO, BIGINT)),
    "deltamark_decimal_rounded": (_rounded, (VARCHAR, BIGINT)),
    "deltamark_decimal_floor": (_to_whole(ROUND_FLOOR), (VARCHAR,)),
    "deltamark_decimal_ceil": (_to_whole(ROUND_CEILING), (VARCHAR,)),
    "deltamark_decimal_trunc": (_to_whole(ROUND_DOWN), (VARCHAR,)),
    "deltamark_decimal_fitted": (_fitted, (VARCHAR, BIGINT, BIGINT)),
    "deltamark_decimal_sum": (_sum, (DuckDBPyType(list[str]),)),
}
"""The functions for DuckDB with the types of their parameters. A null in gives a null out."""

ARITHMETIC: Mapping[str, str] = {
    "+": "deltamark_decimal_add",
    "-": "deltamark_decimal_subtract",
    "*": "deltamark_decimal_multiply",
    "//": "deltamark_decimal_whole_quotient",
    "%": "deltamark_decimal_remainder",
}
"""Sign -> function."""


def negated(number: str) -> str:
    """SQL for a number with the other sign."""
    return _once(number, "CASE WHEN n = '0' THEN n WHEN starts_with(n, '-') THEN substr(n, 2) ELSE '-' || n END")


def ordered(number: str) -> str:
    """SQL for a structure that has the order of the number; NULL for NULL."""
    return _once(number, _ORDERED)


def greatest(name: str, numbers: Sequence[str]) -> str:
    """SQL for the greatest or the least of several numbers that are not NULL.

    :param name: ``greatest`` or ``least``.
    """
    return f"struct_extract({name}({', '.join(map(ordered, numbers))}), 'n')"


def greatest_of_list(name: str, numbers: str) -> str:
    """SQL for the greatest or the least number of a list.

    :param name: ``list_max`` or ``list_min``.
    """
    return f"struct_extract({name}(list_transform({numbers}, lambda n: {_ORDERED})), 'n')"


def sorted_list(numbers: str) -> str:
    """SQL for a list of numbers in their order."""
    return f"list_transform(list_sort(list_transform({numbers}, lambda n: {_ORDERED})), lambda o: o.n)"


_ORDERED = (
    r"CASE WHEN n IS NOT NULL THEN struct_pack(whole := CAST(regexp_replace(n, '\..*$', '') AS HUGEINT), "
    rf"fraction := CAST(regexp_replace(n, '^(-?)[0-9]+\.?', '\10.') AS DECIMAL({MOST_DIGITS}, {MOST_DIGITS})), "
    "n := n) END"
)
"""SQL for the structure of the number `n`: a negative one has both members negative."""


def _once(number: str, body: str) -> str:
    return f"list_extract(list_transform([{number}], lambda n: {body}), 1)"
