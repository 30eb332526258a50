"""The SQL of function calls, the types of their results, and bounds for text lengths."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence

from attrs import evolve

from deltamark.domain.derivation.dependency_paths import ExpressionRefused
from deltamark.domain.suggestions import hint
from deltamark.domain.values import shown
from deltamark.infrastructure.duckdb.connection import literal
from deltamark.infrastructure.expressions.decimals import ARITHMETIC, greatest, greatest_of_list, sorted_list
from deltamark.infrastructure.expressions.predefined_functions import apply_function
from deltamark.infrastructure.expressions.regular_expressions import (
    checked_options,
    checked_pattern,
    checked_replacement,
    insertions,
)
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
    count_column,
    exact_sql,
    unify,
)

LONGEST_PADDED = 1_000
MOST_REPEATED = 100
LONGEST_FORMAT = 100

DATE_PARTS = (
    "year",
    "quarter",
    "month",
    "week",
    "day",
    "hour",
    "minute",
    "second",
)
DAY_NUMBERS = ("dayofweek", "isodow", "dayofyear")

Arguments = Sequence[Typed]
Writer = Callable[[str, Arguments], Typed]


def _sql(name: str, arguments: Arguments) -> str:
    return f"{name}({', '.join(argument.sql for argument in arguments)})"


def gives(shape: Shape) -> Writer:
    return lambda name, arguments: Typed(_sql(name, arguments), shape)


def as_first(name: str, arguments: Arguments) -> Typed:
    """A result like the first argument: a text that is no longer, or a number of its type."""
    return Typed(_sql(name, arguments), arguments[0].shape, growth=arguments[0].growth)


def composed(name: str, arguments: Arguments) -> Typed:
    """A result that is the same for both forms of a letter with an accent, composed or not."""
    return as_first(name, [evolve(argument, sql=f"nfc_normalize({argument.sql})") for argument in arguments])


def under_name(other: str, write: Writer) -> Writer:
    return lambda _, arguments: write(other, arguments)


def trimmed(predefined: str) -> Writer:
    """Trims the given characters, or else all kinds of white space."""
    return lambda name, arguments: (
        as_first(name, arguments) if arguments[1:] else apply_function(predefined, arguments[0], [])
    )


def concat(name: str, arguments: Arguments) -> Typed:
    texts = [as_text(argument) for argument in arguments]
    return Typed(_sql(name, texts), Shape.TEXT, growth=sum((text.growth for text in texts), Growth()))


def concat_ws(name: str, arguments: Arguments) -> Typed:
    texts = [as_text(argument) for argument in arguments]
    growth = sum((text.growth for text in texts[1:]), Growth()) + texts[0].growth * len(texts)
    return Typed(_sql(name, texts), Shape.TEXT, growth=growth)


def replaced(name: str, arguments: Arguments) -> Typed:
    text, searched, instead = arguments
    least = max(len(searched.literal or ""), 1)
    if text.growth.times and instead.growth.times:
        raise ExpressionRefused("replaces one text that is no literal in another; one of them must be a literal")
    inserted = instead.growth.characters / least
    growth = text.growth * max(1, 1 + inserted) + Growth(text.growth.characters / least * instead.growth.times, 0)
    if searched.literal is not None and instead.literal is not None:
        growth = text.growth * max(1, len(instead.literal) / least)
    return Typed(_sql(name, arguments), Shape.TEXT, growth=growth)


def padded(name: str, arguments: Arguments) -> Typed:
    length = _number(name, arguments[1], LONGEST_PADDED)
    return Typed(
        f"{name}({arguments[0].sql}, {length}, {arguments[2].sql})",
        Shape.TEXT,
        growth=Growth(0, length),
    )


def repeated(name: str, arguments: Arguments) -> Typed:
    times = _number(name, arguments[1], MOST_REPEATED)
    return Typed(f"{name}({arguments[0].sql}, {times})", Shape.TEXT, growth=arguments[0].growth * times)


def _number(name: str, argument: Typed, most: int) -> int:
    text = argument.literal or ""
    if not text.isascii() or not text.isdigit() or int(text) > most:
        raise ExpressionRefused(f"calls {name} with {shown(text)}; write a whole number up to {most}")
    return int(text)


def length(name: str, arguments: Arguments) -> Typed:
    (value,) = arguments
    column = re.fullmatch('"([^"]+)"', value.sql)
    if value.is_list and column is not None:
        return Typed(count_column(column.group(1)), Shape.WHOLE)  # counted once for all resources with the same list
    return Typed(_sql("length" if not value.is_list else "len", arguments), Shape.WHOLE)


def number(name: str, arguments: Arguments) -> Typed:
    """The call of a function that gives a number of the type of its argument."""
    if arguments[0].shape is not Shape.DECIMAL:
        return as_first(name, arguments)
    sql = arguments[0].sql
    if name == "abs":
        return Typed(f"ltrim({sql}, '-')", Shape.DECIMAL)
    return Typed(f"deltamark_decimal_{'ceil' if name == 'ceiling' else name}({sql})", Shape.DECIMAL)


def remainder(name: str, arguments: Arguments) -> Typed:
    if Shape.DECIMAL in {argument.shape for argument in arguments}:
        return Typed(_sql(ARITHMETIC["%"], [as_decimal(argument) for argument in arguments]), Shape.DECIMAL)
    return as_first(name, arguments)


def round_quotient(dividend: Typed, divisor: Typed, digits: Arguments) -> Typed:
    """The quotient of two decimals, rounded once.

    :param digits: how many, if the expression says so.
    """
    if digits and digits[0].shape not in (Shape.WHOLE, Shape.NOTHING):
        raise ExpressionRefused(f"rounds to {digits[0].described} digits; write a whole number, as in round(… / …, 2)")
    count = digits[0].sql if digits else "0"
    return Typed(f"deltamark_decimal_quotient({dividend.sql}, {divisor.sql}, CAST({count} AS BIGINT))", Shape.DECIMAL)


def rounded(name: str, arguments: Arguments) -> Typed:
    if arguments[0].shape is Shape.DECIMAL:
        count = arguments[1].sql if arguments[1:] else "0"
        return Typed(f"deltamark_decimal_rounded({arguments[0].sql}, CAST({count} AS BIGINT))", Shape.DECIMAL)
    digits = "" if len(arguments) == 1 else f", CAST({arguments[1].sql} AS INTEGER)"
    return Typed(f"{name}({arguments[0].sql}{digits})", arguments[0].shape)


def chosen(name: str, arguments: Arguments) -> Typed:
    """The call of a function that gives one of its arguments."""
    unified = unify(list(arguments), name)
    growth = unified[0].growth
    for argument in unified[1:]:
        growth = growth | argument.growth
    if name in ("greatest", "least") and unified[0].shape is Shape.DECIMAL:
        return Typed(greatest(name, [argument.sql for argument in unified]), Shape.DECIMAL)
    return Typed(_sql(name, unified), unified[0].shape, unified[0].is_list, growth)


def nullif(name: str, arguments: Arguments) -> Typed:
    unified = unify(list(arguments), name)
    both = f"[{', '.join(argument.sql for argument in unified)}]"
    sql = computed_once(both, "CASE WHEN text[1] = text[2] THEN NULL ELSE text[1] END")
    return evolve(unified[0], sql=sql, literal=None, exact=None)


def split_part(name: str, arguments: Arguments) -> Typed:
    text, between, number = (argument.sql for argument in arguments)
    body = "CASE WHEN text.a IS NOT NULL AND text.b IS NOT NULL AND text.n IS NOT NULL THEN "
    body += "coalesce(string_split(text.a, text.b)[text.n], '') END"
    sql = computed_once(f"struct_pack(a := {text}, b := {between}, n := {number})", body)
    return Typed(sql, Shape.TEXT, growth=arguments[0].growth)


def if_then(name: str, arguments: Arguments) -> Typed:
    result = chosen(name, arguments[1:])
    yes, no = unify(list(arguments[1:]), name)

    def written(yes: str, no: str) -> str:
        return f"CASE WHEN {arguments[0].sql} THEN {yes} ELSE {no} END"

    exact = exact_sql([yes, no], written) if yes.shape is Shape.NUMBER else None
    return evolve(result, sql=written(yes.sql, no.sql), exact=exact)


def part(unit: str, date: Typed) -> Typed:
    """A part of a date: its year, its month, …"""
    known = {"dow": "dayofweek", "doy": "dayofyear"}.get(unit.lower(), unit.lower())
    if known not in (*DATE_PARTS, *DAY_NUMBERS):
        raise ExpressionRefused(f"takes the part {shown(unit)} of a date{hint(unit, [*DATE_PARTS, *DAY_NUMBERS])}")
    if date.is_list or date.shape not in DATES | {Shape.NOTHING}:
        raise ExpressionRefused(f"takes a part of {date.described}; it must be a date")
    return Typed(f"date_part({literal(known)}, {_timestamp(date)})", Shape.WHOLE)


def unit_of(text: str, name: str) -> str:
    """A unit of time, in the singular."""
    known = text.lower()
    if known not in DATE_PARTS and known.removesuffix("s") in DATE_PARTS:
        known = known.removesuffix("s")
    if known not in DATE_PARTS:
        raise ExpressionRefused(f"uses {name} with the unit {shown(text)}{hint(text, DATE_PARTS)}")
    return known


def _timestamp(date: Typed) -> str:
    return f"CAST({date.sql} AS TIMESTAMP)"


def date_trunc(name: str, arguments: Arguments) -> Typed:
    unit = unit_of(arguments[0].literal or "", name)
    return Typed(f"date_trunc({literal(unit)}, {_timestamp(arguments[1])})", Shape.INSTANT)


def date_diff(name: str, arguments: Arguments) -> Typed:
    unit = unit_of(arguments[0].literal or "", name)
    between = f"{_timestamp(arguments[1])}, {_timestamp(arguments[2])}"
    return Typed(f"date_diff({literal(unit)}, {between})", Shape.WHOLE)


def strftime(name: str, arguments: Arguments) -> Typed:
    pattern = arguments[1].literal or ""
    if len(pattern) > LONGEST_FORMAT:
        raise ExpressionRefused(f"holds a format of more than {LONGEST_FORMAT} characters")
    growth = Growth(0, 30 * len(pattern))
    return Typed(f"strftime({_timestamp(arguments[0])}, {literal(pattern)})", Shape.TEXT, growth=growth)


def list_text(name: str, arguments: Arguments) -> Typed:
    values, between = arguments
    if between.growth.characters > LONGEST_FORMAT:
        raise ExpressionRefused(f"puts more than {LONGEST_FORMAT} characters between the values of a list")
    texts = "text"
    if values.shape is not Shape.TEXT:
        texts = f"list_transform(text, lambda value: {as_text(Typed('value', values.shape)).sql})"
    separator = len(between.literal or "")
    longest = values.growth.times if values.shape is Shape.TEXT else SHORT.characters
    growth = Growth(max(longest, separator), values.growth.characters * (1 + separator))
    return Typed(computed_once(values.sql, f"array_to_string({texts}, {between.sql})"), Shape.TEXT, growth=growth)


def list_contains(name: str, arguments: Arguments) -> Typed:
    values, searched = arguments
    element = Typed(values.sql, values.shape)
    converted_element, converted = unify([element, searched], name)
    if Shape.DECIMAL in (element.shape, converted.shape) and converted_element is not element:
        raise ExpressionRefused(f"looks for {searched.described} in {values.described}; convert it with cast(… as …)")
    return Typed(f"list_contains({values.sql}, {converted.sql})", Shape.BOOLEAN)


def element(sql: str) -> Writer:
    def write(_: str, arguments: Arguments) -> Typed:
        values = arguments[0]
        return Typed(sql.format(list=values.sql), values.shape, growth=values.growth)

    return write


def list_sum(name: str, arguments: Arguments) -> Typed:
    values = arguments[0]
    if values.shape not in NUMBERS | {Shape.NOTHING}:
        raise ExpressionRefused(f"gives {name} {values.described}; it takes numbers")
    if values.shape is Shape.DECIMAL:
        if name == "list_avg":
            raise ExpressionRefused(
                "calls list_avg with exact decimals; write round(list_sum(…) / len(…), 2), which rounds once"
            )
        return Typed(f"deltamark_decimal_sum({values.sql})", Shape.DECIMAL)
    shape = Shape.NUMBER if name == "list_avg" else values.shape
    kind = "DOUBLE" if shape is Shape.NUMBER else "BIGINT"
    return Typed(f"CAST({_sql(name, arguments)} AS {kind})", shape)


def list_extreme(name: str, arguments: Arguments) -> Typed:
    """The least or the greatest element of a list."""
    if arguments[0].shape is Shape.DECIMAL:
        return Typed(greatest_of_list(name, arguments[0].sql), Shape.DECIMAL)
    return element(f"{name}({{list}})")(name, arguments)


def list_sorted(sql: str) -> Writer:
    """The call of a function that gives a list of sorted elements.

    :param sql: of these elements.
    """

    def write(_: str, arguments: Arguments) -> Typed:
        values = arguments[0]
        elements = sql.format(list=values.sql)
        is_decimal = values.shape is Shape.DECIMAL
        return evolve(values, sql=sorted_list(elements) if is_decimal else f"list_sort({elements})")

    return write


def matches(name: str, arguments: Arguments) -> Typed:
    return Typed(f"{name}({arguments[0].sql}, {_pattern(arguments[1])}{_options(arguments[2:])})", Shape.BOOLEAN)


def regexp_replace(name: str, arguments: Arguments) -> Typed:
    text, pattern, instead = arguments[:3]
    groups, characters = insertions(checked_replacement(checked_pattern(pattern.literal or ""), instead.literal or ""))
    longer = text.growth * (1 + groups + characters) + Growth(0, characters)
    sql = f"{name}({text.sql}, {_pattern(pattern)}, {instead.sql}{_options(arguments[3:])})"
    return Typed(sql, Shape.TEXT, growth=longer if groups or characters else text.growth)


def regexp_extract(name: str, arguments: Arguments) -> Typed:
    group = f", {_number(name, arguments[2], 9)}" if len(arguments) > 2 else ""
    sql = f"{name}({arguments[0].sql}, {_pattern(arguments[1])}{group})"
    return Typed(sql, Shape.TEXT, growth=arguments[0].growth)


def _pattern(argument: Typed) -> str:
    return literal(checked_pattern(argument.literal or ""))


def _options(arguments: Arguments) -> str:
    return f", {literal(checked_options(arguments[0].literal or ''))}" if arguments else ""
