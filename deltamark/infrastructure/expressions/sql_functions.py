"""The functions that SQL expressions may call, and what they take."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from attrs import frozen

from deltamark.domain.derivation.dependency_paths import ExpressionRefused
from deltamark.domain.suggestions import hint
from deltamark.domain.values import shown
from deltamark.infrastructure.expressions import sql_function_calls as writing
from deltamark.infrastructure.expressions.predefined_functions import FUNCTIONS, applied
from deltamark.infrastructure.expressions.sql_function_calls import DATE_PARTS, DAY_NUMBERS, Writer
from deltamark.infrastructure.expressions.sql_value import DATES, NUMBERS, Shape, Typed


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


def _one(takes: frozenset[Shape], usage: str, write: Writer) -> Function:
    return Function(usage, write, (takes,), 1, 1)


def _list(usage: str, write: Writer, *others: frozenset[Shape], literals: Sequence[int] = ()) -> Function:
    return Function(usage, write, (ANY, *others), 1 + len(others), 1 + len(others), frozenset(literals), True)


def _two_texts(usage: str, write: Writer) -> Function:
    return Function(usage, write, (TEXT, TEXT), 2, 2)


_NUMBER = _one(NUMBER, "number", writing.as_first)
_DATE_PART = {
    unit: _one(DATE, "date", lambda name, arguments: writing.part(name, arguments[0]))
    for unit in (*DATE_PARTS, *DAY_NUMBERS)
}
_SUBSTRING = Function(
    "text, start, length", writing.under_name("substring", writing.as_first), (TEXT, WHOLE, WHOLE), 2, 3
)
_PADDED = Function("text, 10, ' '", writing.padded, (TEXT, WHOLE, TEXT), 3, 3, frozenset({1, 2}))
_LIST_TEXT = _list("list, ', '", writing.list_text, TEXT, literals=[1])
_LIST_CONTAINS = _list("list, value", writing.list_contains, ANY)
_LENGTH = Function("text or list", writing.length, (TEXT,), 1, 1, lists=None)
_LIST_LENGTH = _list("list", writing.under_name("len", writing.gives(Shape.WHOLE)))

SQL_FUNCTIONS: Mapping[str, Function] = {
    "abs": _NUMBER,
    "array_contains": _LIST_CONTAINS,
    "array_length": _LIST_LENGTH,
    "array_to_string": _LIST_TEXT,
    "ceil": _NUMBER,
    "ceiling": _NUMBER,
    "coalesce": Function("value, value, …", writing.chosen, (ANY,), 1, 50, lists=None),
    "concat": Function("value, value, …", writing.concat, (ANY,), 1, 50),
    "concat_ws": Function("', ', value, value, …", writing.concat_ws, (TEXT, ANY), 2, 50, frozenset({0})),
    "contains": _two_texts("text, searched", writing.gives(Shape.BOOLEAN)),
    "date_diff": Function("'day', from, to", writing.date_diff, (TEXT, DATE, DATE), 3, 3, frozenset({0})),
    "date_part": Function(
        "'year', date",
        lambda name, arguments: writing.part(arguments[0].literal or "", arguments[1]),
        (TEXT, DATE),
        2,
        2,
        frozenset({0}),
    ),
    "date_trunc": Function("'month', date", writing.date_trunc, (TEXT, DATE), 2, 2, frozenset({0})),
    "ends_with": _two_texts("text, end", writing.gives(Shape.BOOLEAN)),
    "floor": _NUMBER,
    "greatest": Function("value, value, …", writing.chosen, (ANY,), 1, 50),
    "if": Function("condition, value, value", writing.if_then, (BOOLEAN, ANY, ANY), 3, 3),
    "ifnull": Function("value, value", writing.under_name("coalesce", writing.chosen), (ANY,), 2, 2),
    "instr": _two_texts("text, searched", writing.gives(Shape.WHOLE)),
    "least": Function("value, value, …", writing.chosen, (ANY,), 1, 50),
    "left": Function("text, count", writing.as_first, (TEXT, WHOLE), 2, 2),
    "len": _LENGTH,
    "length": _LENGTH,
    "list_avg": _list("list", writing.list_sum),
    "list_contains": _LIST_CONTAINS,
    "list_count": _LIST_LENGTH,
    "list_distinct": _list("list", writing.list_of("list_sort(list_distinct({list}))")),
    "list_first": _list("list", writing.element("list_extract({list}, 1)")),
    "list_last": _list("list", writing.element("list_extract({list}, -1)")),
    "list_max": _list("list", writing.element("list_max({list})")),
    "list_min": _list("list", writing.element("list_min({list})")),
    "list_sort": _list("list", writing.list_of("list_sort({list})")),
    "list_string_agg": _LIST_TEXT,
    "list_sum": _list("list", writing.list_sum),
    "lower": _one(TEXT, "text", writing.as_first),
    "lpad": _PADDED,
    "ltrim": Function("text, characters", writing.trimmed("TrimStart"), (TEXT,), 1, 2),
    "mod": Function("number, number", writing.as_first, (NUMBER, NUMBER), 2, 2),
    "nullif": Function("value, value", writing.nullif, (ANY,), 2, 2),
    "regexp_extract": Function(
        "text, 'pattern', 1", writing.regexp_extract, (TEXT, TEXT, WHOLE), 2, 3, frozenset({1, 2})
    ),
    "regexp_full_match": Function("text, 'pattern', 'i'", writing.matches, (TEXT,), 2, 3, frozenset({1, 2})),
    "regexp_matches": Function("text, 'pattern', 'i'", writing.matches, (TEXT,), 2, 3, frozenset({1, 2})),
    "regexp_replace": Function(
        "text, 'pattern', 'instead', 'g'", writing.regexp_replace, (TEXT,), 3, 4, frozenset({1, 2, 3})
    ),
    "repeat": Function("text, 3", writing.repeated, (TEXT, WHOLE), 2, 2, frozenset({1})),
    "replace": Function("text, searched, instead", writing.replaced, (TEXT,), 3, 3),
    "reverse": _one(TEXT, "text", writing.as_first),
    "right": Function("text, count", writing.as_first, (TEXT, WHOLE), 2, 2),
    "round": Function("number, digits", writing.rounded, (NUMBER, WHOLE), 1, 2),
    "rpad": _PADDED,
    "rtrim": Function("text, characters", writing.trimmed("TrimEnd"), (TEXT,), 1, 2),
    "split_part": Function("text, between, number", writing.as_first, (TEXT, TEXT, WHOLE), 3, 3),
    "starts_with": _two_texts("text, start", writing.gives(Shape.BOOLEAN)),
    "strftime": Function("date, '%d/%m/%Y'", writing.strftime, (DATE, TEXT), 2, 2, frozenset({1})),
    "strpos": _two_texts("text, searched", writing.gives(Shape.WHOLE)),
    "substr": _SUBSTRING,
    "substring": _SUBSTRING,
    "trim": Function("text, characters", writing.trimmed("Trim"), (TEXT,), 1, 2),
    "trunc": _NUMBER,
    "upper": _one(TEXT, "text", writing.as_first),
    **_DATE_PART,
}
"""Name in lower case -> function."""
