"""The functions that SQL expressions may call: what they take, what they give, and how long a text may become."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from attrs import evolve, frozen

from deltamark.domain.nearest import hint
from deltamark.domain.paths import ExpressionRefused
from deltamark.domain.values import shown
from deltamark.infrastructure.columnar.duck import literal
from deltamark.infrastructure.columnar.functions import FUNCTIONS, applied
from deltamark.infrastructure.columnar.patterns import checked_options, checked_pattern, insertions
from deltamark.infrastructure.columnar.typed import (
    DATES,
    NUMBERS,
    Growth,
    Shape,
    Typed,
    text_of,
    unified,
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


@frozen
class Function:
    """A function of SQL.

    :param usage: its arguments, as documentation and messages show them.
    :param write: makes SQL of its name and checked arguments.
    :param takes: the shapes that each argument may have; a set of none stands for any. More arguments than that have
        the shapes of the last.
    :param least, most: how many arguments there may be.
    :param literals: the places of arguments that must be literals.
    :param lists: whether the first argument is a list: True, False, or None for either.
    """

    usage: str
    write: Writer
    takes: tuple[frozenset[Shape], ...]
    least: int
    most: int
    literals: frozenset[int] = frozenset()
    lists: bool | None = False


def called(name: str, arguments: list[Typed]) -> Typed:
    """A call of a function by the name that somebody wrote.

    :raises ExpressionRefused: if there is no such function, or it does not take these arguments.
    """
    function = SQL_FUNCTIONS.get(name.lower())
    if function is None:
        for known in FUNCTIONS:
            if known.lower() == name.lower():
                return _predefined(known, arguments)
        meant = hint(name, [*SQL_FUNCTIONS, *FUNCTIONS])
        raise ExpressionRefused(f"uses {shown(name)}, which is not allowed in an expression{meant}")
    if not function.least <= len(arguments) <= function.most:
        raise ExpressionRefused(f"gives {name} {len(arguments)} arguments; write {name}({function.usage})")
    for place, argument in enumerate(arguments):
        _check(name, function, place, argument)
    return function.write(name.lower(), arguments)


def _predefined(name: str, arguments: list[Typed]) -> Typed:
    if not arguments:
        raise ExpressionRefused(f"calls {name} without the value that it is applied to")
    value, *parameters = arguments
    for parameter in parameters:
        if parameter.literal is None:
            raise ExpressionRefused(f"gives {name} a parameter that is no literal")
    return applied(name, value, [parameter.literal or "" for parameter in parameters])


def _check(name: str, function: Function, place: int, argument: Typed) -> None:
    if argument.is_list and function.lists is not None and not (place == 0 and function.lists):
        raise ExpressionRefused(
            f"gives {name} a list; make one value of it first, such as with array_to_string(…, ', ')"
        )
    if place == 0 and function.lists is True and not argument.is_list and argument.shape is not Shape.NOTHING:
        raise ExpressionRefused(f"gives {name} {argument.described}; it takes a path over a collection")
    if place in function.literals and argument.literal is None:
        raise ExpressionRefused(f"calls {name} with something that is no literal; write {name}({function.usage})")
    shapes = function.takes[min(place, len(function.takes) - 1)]
    if shapes and not argument.is_list and argument.shape not in shapes | {Shape.NOTHING}:
        wanted = " or ".join(sorted(shape.value for shape in shapes))
        raise ExpressionRefused(
            f"gives {name} {argument.described} where it takes {wanted}; convert it with cast(… as …)"
        )


TEXT = frozenset({Shape.TEXT})
WHOLE = frozenset({Shape.WHOLE})
NUMBER = NUMBERS
DATE = DATES
BOOLEAN = frozenset({Shape.BOOLEAN})
ANY: frozenset[Shape] = frozenset()


def _sql(name: str, arguments: Arguments) -> str:
    return f"{name}({', '.join(argument.sql for argument in arguments)})"


def _gives(shape: Shape) -> Writer:
    return lambda name, arguments: Typed(_sql(name, arguments), shape)


def _same(name: str, arguments: Arguments) -> Typed:
    """A text that is no longer than the first argument, or a number of its type."""
    return Typed(_sql(name, arguments), arguments[0].shape, growth=arguments[0].growth)


def _as(other: str, write: Writer) -> Writer:
    return lambda _, arguments: write(other, arguments)


def _trimmed(predefined: str) -> Writer:
    """White space of every kind, unless the characters are said."""
    return lambda name, arguments: _same(name, arguments) if arguments[1:] else applied(predefined, arguments[0], [])


def _concat(name: str, arguments: Arguments) -> Typed:
    texts = [text_of(argument) for argument in arguments]
    return Typed(_sql(name, texts), Shape.TEXT, growth=sum((text.growth for text in texts), Growth()))


def _concat_ws(name: str, arguments: Arguments) -> Typed:
    texts = [text_of(argument) for argument in arguments]
    growth = sum((text.growth for text in texts[1:]), Growth()) + texts[0].growth * len(texts)
    return Typed(_sql(name, texts), Shape.TEXT, growth=growth)


def _replace(name: str, arguments: Arguments) -> Typed:
    text, searched, instead = arguments
    least = max(len(searched.literal or ""), 1)
    if text.growth.times and instead.growth.times:
        raise ExpressionRefused("replaces by something that is no literal in something that is none; one must be")
    inserted = instead.growth.characters / least
    growth = text.growth * max(1, 1 + inserted) + Growth(text.growth.characters / least * instead.growth.times, 0)
    if searched.literal is not None and instead.literal is not None:
        growth = text.growth * max(1, len(instead.literal) / least)
    return Typed(_sql(name, arguments), Shape.TEXT, growth=growth)


def _padded(name: str, arguments: Arguments) -> Typed:
    length = _number(name, arguments[1], LONGEST_PADDED)
    return Typed(
        f"{name}({arguments[0].sql}, {length}, {arguments[2].sql})",
        Shape.TEXT,
        growth=Growth(0, length),
    )


def _repeat(name: str, arguments: Arguments) -> Typed:
    times = _number(name, arguments[1], MOST_REPEATED)
    return Typed(f"{name}({arguments[0].sql}, {times})", Shape.TEXT, growth=arguments[0].growth * times)


def _number(name: str, argument: Typed, most: int) -> int:
    text = argument.literal or ""
    if not text.isascii() or not text.isdigit() or int(text) > most:
        raise ExpressionRefused(f"calls {name} with {shown(text)}; write a whole number up to {most}")
    return int(text)


def _length(name: str, arguments: Arguments) -> Typed:
    return Typed(_sql("length" if name != "array_length" else "len", arguments), Shape.WHOLE)


def _round(name: str, arguments: Arguments) -> Typed:
    digits = "" if len(arguments) == 1 else f", CAST({arguments[1].sql} AS INTEGER)"
    return Typed(f"{name}({arguments[0].sql}{digits})", arguments[0].shape)


def _chosen(name: str, arguments: Arguments) -> Typed:
    """One of the arguments."""
    same = unified(list(arguments), name)
    growth = same[0].growth
    for other in same[1:]:
        growth = growth | other.growth
    return Typed(_sql(name, same), same[0].shape, same[0].is_list, growth)


def _nullif(name: str, arguments: Arguments) -> Typed:
    same = unified(list(arguments), name)
    return evolve(same[0], sql=_sql(name, same), literal=None)


def _if(name: str, arguments: Arguments) -> Typed:
    chosen = _chosen(name, arguments[1:])
    same = unified(list(arguments[1:]), name)
    return evolve(chosen, sql=f"CASE WHEN {arguments[0].sql} THEN {same[0].sql} ELSE {same[1].sql} END")


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


def _date_trunc(name: str, arguments: Arguments) -> Typed:
    unit = unit_of(arguments[0].literal or "", name)
    return Typed(f"date_trunc({literal(unit)}, {_timestamp(arguments[1])})", Shape.INSTANT)


def _date_diff(name: str, arguments: Arguments) -> Typed:
    unit = unit_of(arguments[0].literal or "", name)
    between = f"{_timestamp(arguments[1])}, {_timestamp(arguments[2])}"
    return Typed(f"date_diff({literal(unit)}, {between})", Shape.WHOLE)


def _strftime(name: str, arguments: Arguments) -> Typed:
    pattern = arguments[1].literal or ""
    if len(pattern) > LONGEST_FORMAT:
        raise ExpressionRefused(f"holds a format of more than {LONGEST_FORMAT} characters")
    growth = Growth(0, 30 * len(pattern))
    return Typed(f"strftime({_timestamp(arguments[0])}, {literal(pattern)})", Shape.TEXT, growth=growth)


def _list_text(name: str, arguments: Arguments) -> Typed:
    values, between = arguments
    if between.growth.characters > LONGEST_FORMAT:
        raise ExpressionRefused(f"puts more than {LONGEST_FORMAT} characters between the values of a list")
    sql = values.sql
    if values.shape is not Shape.TEXT:
        one = text_of(Typed("one", values.shape)).sql
        sql = f"list_transform({sql}, lambda one: {one})"
    growth = Growth(values.growth.times, values.growth.characters * (1 + len(between.literal or "")))
    return Typed(f"array_to_string({sql}, {between.sql})", Shape.TEXT, growth=growth)


def _list_contains(name: str, arguments: Arguments) -> Typed:
    values, wanted = arguments
    element = Typed(values.sql, values.shape)
    _, same = unified([element, wanted], name)
    return Typed(f"list_contains({values.sql}, {same.sql})", Shape.BOOLEAN)


def _element(sql: str) -> Writer:
    def write(_: str, arguments: Arguments) -> Typed:
        values = arguments[0]
        return Typed(sql.format(list=values.sql), values.shape, growth=values.growth)

    return write


def _list_sum(name: str, arguments: Arguments) -> Typed:
    values = arguments[0]
    if values.shape not in NUMBERS | {Shape.NOTHING}:
        raise ExpressionRefused(f"gives {name} {values.described}; it takes numbers")
    shape = Shape.NUMBER if name == "list_avg" else values.shape
    kind = "DOUBLE" if shape is Shape.NUMBER else "BIGINT"
    return Typed(f"CAST({_sql(name, arguments)} AS {kind})", shape)


def _list_of(sql: str) -> Writer:
    return lambda _, arguments: evolve(arguments[0], sql=sql.format(list=arguments[0].sql))


def _matches(name: str, arguments: Arguments) -> Typed:
    return Typed(f"{name}({arguments[0].sql}, {_pattern(arguments[1])}{_options(arguments[2:])})", Shape.BOOLEAN)


def _regexp_replace(name: str, arguments: Arguments) -> Typed:
    text, pattern, instead = arguments[:3]
    groups, characters = insertions(instead.literal or "")
    longer = text.growth * (1 + groups + characters) + Growth(0, characters)
    sql = f"{name}({text.sql}, {_pattern(pattern)}, {instead.sql}{_options(arguments[3:])})"
    return Typed(sql, Shape.TEXT, growth=longer if groups or characters else text.growth)


def _regexp_extract(name: str, arguments: Arguments) -> Typed:
    group = f", {_number(name, arguments[2], 9)}" if len(arguments) > 2 else ""
    sql = f"{name}({arguments[0].sql}, {_pattern(arguments[1])}{group})"
    return Typed(sql, Shape.TEXT, growth=arguments[0].growth)


def _pattern(argument: Typed) -> str:
    return literal(checked_pattern(argument.literal or ""))


def _options(arguments: Arguments) -> str:
    return f", {literal(checked_options(arguments[0].literal or ''))}" if arguments else ""


def _one(takes: frozenset[Shape], usage: str, write: Writer) -> Function:
    return Function(usage, write, (takes,), 1, 1)


def _list(usage: str, write: Writer, *others: frozenset[Shape], literals: Sequence[int] = ()) -> Function:
    return Function(usage, write, (ANY, *others), 1 + len(others), 1 + len(others), frozenset(literals), True)


def _two_texts(usage: str, write: Writer) -> Function:
    return Function(usage, write, (TEXT, TEXT), 2, 2)


_NUMBER = _one(NUMBER, "number", _same)
_DATE_PART = {
    unit: _one(DATE, "date", lambda name, arguments: part(name, arguments[0])) for unit in (*DATE_PARTS, *DAY_NUMBERS)
}
_SUBSTRING = Function("text, start, length", _as("substring", _same), (TEXT, WHOLE, WHOLE), 2, 3)
_PADDED = Function("text, 10, ' '", _padded, (TEXT, WHOLE, TEXT), 3, 3, frozenset({1, 2}))
_LIST_TEXT = _list("list, ', '", _list_text, TEXT, literals=[1])
_LIST_CONTAINS = _list("list, value", _list_contains, ANY)
_LENGTH = Function("text or list", _length, (TEXT,), 1, 1, lists=None)
_LIST_LENGTH = _list("list", _as("len", _gives(Shape.WHOLE)))

SQL_FUNCTIONS: Mapping[str, Function] = {
    "abs": _NUMBER,
    "array_contains": _LIST_CONTAINS,
    "array_length": _LIST_LENGTH,
    "array_to_string": _LIST_TEXT,
    "ceil": _NUMBER,
    "ceiling": _NUMBER,
    "coalesce": Function("value, value, …", _chosen, (ANY,), 1, 50, lists=None),
    "concat": Function("value, value, …", _concat, (ANY,), 1, 50),
    "concat_ws": Function("', ', value, value, …", _concat_ws, (TEXT, ANY), 2, 50, frozenset({0})),
    "contains": _two_texts("text, searched", _gives(Shape.BOOLEAN)),
    "date_diff": Function("'day', from, to", _date_diff, (TEXT, DATE, DATE), 3, 3, frozenset({0})),
    "date_part": Function(
        "'year', date",
        lambda name, arguments: part(arguments[0].literal or "", arguments[1]),
        (TEXT, DATE),
        2,
        2,
        frozenset({0}),
    ),
    "date_trunc": Function("'month', date", _date_trunc, (TEXT, DATE), 2, 2, frozenset({0})),
    "ends_with": _two_texts("text, end", _gives(Shape.BOOLEAN)),
    "floor": _NUMBER,
    "greatest": Function("value, value, …", _chosen, (ANY,), 1, 50),
    "if": Function("condition, value, value", _if, (BOOLEAN, ANY, ANY), 3, 3),
    "ifnull": Function("value, value", _as("coalesce", _chosen), (ANY,), 2, 2),
    "instr": _two_texts("text, searched", _gives(Shape.WHOLE)),
    "least": Function("value, value, …", _chosen, (ANY,), 1, 50),
    "left": Function("text, count", _same, (TEXT, WHOLE), 2, 2),
    "len": _LENGTH,
    "length": _LENGTH,
    "list_avg": _list("list", _list_sum),
    "list_contains": _LIST_CONTAINS,
    "list_count": _LIST_LENGTH,
    "list_distinct": _list("list", _list_of("list_sort(list_distinct({list}))")),
    "list_first": _list("list", _element("list_extract({list}, 1)")),
    "list_last": _list("list", _element("list_extract({list}, -1)")),
    "list_max": _list("list", _element("list_max({list})")),
    "list_min": _list("list", _element("list_min({list})")),
    "list_sort": _list("list", _list_of("list_sort({list})")),
    "list_string_agg": _LIST_TEXT,
    "list_sum": _list("list", _list_sum),
    "lower": _one(TEXT, "text", _same),
    "lpad": _PADDED,
    "ltrim": Function("text, characters", _trimmed("TrimStart"), (TEXT,), 1, 2),
    "mod": Function("number, number", _same, (NUMBER, NUMBER), 2, 2),
    "nullif": Function("value, value", _nullif, (ANY,), 2, 2),
    "regexp_extract": Function("text, 'pattern', 1", _regexp_extract, (TEXT, TEXT, WHOLE), 2, 3, frozenset({1, 2})),
    "regexp_full_match": Function("text, 'pattern', 'i'", _matches, (TEXT,), 2, 3, frozenset({1, 2})),
    "regexp_matches": Function("text, 'pattern', 'i'", _matches, (TEXT,), 2, 3, frozenset({1, 2})),
    "regexp_replace": Function("text, 'pattern', 'instead', 'g'", _regexp_replace, (TEXT,), 3, 4, frozenset({1, 2, 3})),
    "repeat": Function("text, 3", _repeat, (TEXT, WHOLE), 2, 2, frozenset({1})),
    "replace": Function("text, searched, instead", _replace, (TEXT,), 3, 3),
    "reverse": _one(TEXT, "text", _same),
    "right": Function("text, count", _same, (TEXT, WHOLE), 2, 2),
    "round": Function("number, digits", _round, (NUMBER, WHOLE), 1, 2),
    "rpad": _PADDED,
    "rtrim": Function("text, characters", _trimmed("TrimEnd"), (TEXT,), 1, 2),
    "split_part": Function("text, between, number", _same, (TEXT, TEXT, WHOLE), 3, 3),
    "starts_with": _two_texts("text, start", _gives(Shape.BOOLEAN)),
    "strftime": Function("date, '%d/%m/%Y'", _strftime, (DATE, TEXT), 2, 2, frozenset({1})),
    "strpos": _two_texts("text, searched", _gives(Shape.WHOLE)),
    "substr": _SUBSTRING,
    "substring": _SUBSTRING,
    "trim": Function("text, characters", _trimmed("Trim"), (TEXT,), 1, 2),
    "trunc": _NUMBER,
    "upper": _one(TEXT, "text", _same),
    **_DATE_PART,
}
"""Name in lower case -> function."""
