"""The functions that SQL expressions may call, and the arguments that they take."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from attrs import frozen

from deltamark.domain.derivation.dependency_paths import ExpressionRefused, WrongCall, WrongPart, refusal
from deltamark.domain.values import shown
from deltamark.infrastructure.expressions import sql_function_calls as calls
from deltamark.infrastructure.expressions.advice import instead_of_function
from deltamark.infrastructure.expressions.predefined_functions import FUNCTIONS, apply_function
from deltamark.infrastructure.expressions.sql_function_calls import DATE_PARTS, DAY_NUMBERS, Writer
from deltamark.infrastructure.expressions.sql_value import DATES, NUMBERS, Shape, Typed


@frozen
class Function:
    """A function of SQL.

    :param usage: its arguments, as documentation and messages show them.
    :param write: gives the SQL of a call, from its name and checked arguments.
    :param takes: the types that each argument may have; an empty set for any. Further arguments have those of the last.
    :param least, most: the number of arguments.
    :param literals: the indexes of arguments that must be literals.
    :param lists: whether the first argument is a list; None if it may be one.
    """

    usage: str
    write: Writer
    takes: tuple[frozenset[Shape], ...]
    least: int
    most: int
    literals: frozenset[int] = frozenset()
    lists: bool | None = False


def call_function(name: str, arguments: list[Typed]) -> Typed:
    """The call of a function, by its name in any letter case.

    :raises ExpressionRefused: if there is no such function, or it does not take these arguments.
    """
    function = SQL_FUNCTIONS.get(name.lower())
    if function is None:
        for known in FUNCTIONS:
            if known.lower() == name.lower():
                return _predefined(known, arguments)
        suggestion = instead_of_function(name, [*SQL_FUNCTIONS, *FUNCTIONS])
        raise WrongCall(f"uses {shown(name)}, which is not allowed in an expression{suggestion}")
    if not function.least <= len(arguments) <= function.most:
        raise WrongCall(f"gives {name} {len(arguments)} arguments; write {name}({function.usage})")
    faults = (_fault(name, function, index, argument) for index, argument in enumerate(arguments))
    refused = refusal(fault for fault in faults if fault is not None)
    if refused is not None:
        raise refused
    return function.write(name.lower(), arguments)


def _predefined(name: str, arguments: list[Typed]) -> Typed:
    if not arguments:
        raise ExpressionRefused(f"calls {name} without the value that it is applied to")
    value, *parameters = arguments
    for parameter in parameters:
        if parameter.literal is None:
            raise ExpressionRefused(f"gives {name} a parameter that is no literal")
    return apply_function(name, value, [parameter.literal or "" for parameter in parameters])


def _fault(name: str, function: Function, index: int, argument: Typed) -> ExpressionRefused | None:
    """What is wrong with an argument, or None."""
    if argument.is_list and function.lists is not None and not (index == 0 and function.lists):
        return WrongPart(f"gives {name} a list; make one value of it first, such as with array_to_string(…, ', ')")
    if index == 0 and function.lists is True and not argument.is_list and argument.shape is not Shape.NOTHING:
        return WrongPart(f"gives {name} {argument.described}; it takes a path over a collection")
    if index in function.literals and argument.literal is None:
        return ExpressionRefused(f"calls {name} with something that is no literal; write {name}({function.usage})")
    shapes = function.takes[min(index, len(function.takes) - 1)]
    if shapes and not argument.is_list and argument.shape not in shapes | {Shape.NOTHING}:
        accepted = " or ".join(sorted(shape.value for shape in shapes))
        return WrongPart(f"gives {name} {argument.described} where it takes {accepted}; convert it with cast(… as …)")
    return None


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


_NUMBER = _one(NUMBER, "number", calls.number)
_DATE_PART = {
    unit: _one(DATE, "date", lambda name, arguments: calls.part(name, arguments[0]))
    for unit in (*DATE_PARTS, *DAY_NUMBERS)
}
_SUBSTRING = Function("text, start, length", calls.under_name("substring", calls.as_first), (TEXT, WHOLE, WHOLE), 2, 3)
_PADDED = Function("text, 10, ' '", calls.padded, (TEXT, WHOLE, TEXT), 3, 3, frozenset({1, 2}))
_LIST_TEXT = _list("list, ', '", calls.list_text, TEXT, literals=[1])
_LIST_CONTAINS = _list("list, value", calls.list_contains, ANY)
_LENGTH = Function("text or list", calls.length, (TEXT,), 1, 1, lists=None)
_LIST_LENGTH = _list("list", calls.length)

SQL_FUNCTIONS: Mapping[str, Function] = {
    "abs": _NUMBER,
    "array_contains": _LIST_CONTAINS,
    "array_length": _LIST_LENGTH,
    "array_to_string": _LIST_TEXT,
    "ceil": _NUMBER,
    "ceiling": _NUMBER,
    "coalesce": Function("value, value, …", calls.chosen, (ANY,), 1, 50, lists=None),
    "concat": Function("value, value, …", calls.concat, (ANY,), 1, 50),
    "concat_ws": Function("', ', value, value, …", calls.concat_ws, (TEXT, ANY), 2, 50, frozenset({0})),
    "contains": _two_texts("text, searched", calls.gives(Shape.BOOLEAN)),
    "date_diff": Function("'day', from, to", calls.date_diff, (TEXT, DATE, DATE), 3, 3, frozenset({0})),
    "date_part": Function(
        "'year', date",
        lambda name, arguments: calls.part(arguments[0].literal or "", arguments[1]),
        (TEXT, DATE),
        2,
        2,
        frozenset({0}),
    ),
    "date_trunc": Function("'month', date", calls.date_trunc, (TEXT, DATE), 2, 2, frozenset({0})),
    "ends_with": _two_texts("text, end", calls.gives(Shape.BOOLEAN)),
    "floor": _NUMBER,
    "greatest": Function("value, value, …", calls.chosen, (ANY,), 1, 50),
    "if": Function("condition, value, value", calls.if_then, (BOOLEAN, ANY, ANY), 3, 3),
    "ifnull": Function("value, value", calls.under_name("coalesce", calls.chosen), (ANY,), 2, 2),
    "instr": _two_texts("text, searched", calls.gives(Shape.WHOLE)),
    "least": Function("value, value, …", calls.chosen, (ANY,), 1, 50),
    "left": Function("text, count", calls.as_first, (TEXT, WHOLE), 2, 2),
    "len": _LENGTH,
    "length": _LENGTH,
    "list_avg": _list("list", calls.list_sum),
    "list_contains": _LIST_CONTAINS,
    "list_count": _LIST_LENGTH,
    "list_distinct": _list("list", calls.list_sorted("list_distinct({list})")),
    "list_first": _list("list", calls.element("list_extract({list}, 1)")),
    "list_last": _list("list", calls.element("list_extract({list}, -1)")),
    "list_max": _list("list", calls.list_extreme),
    "list_min": _list("list", calls.list_extreme),
    "list_sort": _list("list", calls.list_sorted("{list}")),
    "list_string_agg": _LIST_TEXT,
    "list_sum": _list("list", calls.list_sum),
    "lower": _one(TEXT, "text", calls.composed),
    "lpad": _PADDED,
    "ltrim": Function("text, characters", calls.trimmed("TrimStart"), (TEXT,), 1, 2),
    "mod": Function("number, number", calls.remainder, (NUMBER, NUMBER), 2, 2),
    "nullif": Function("value, value", calls.nullif, (ANY,), 2, 2),
    "regexp_extract": Function(
        "text, 'pattern', 1", calls.regexp_extract, (TEXT, TEXT, WHOLE), 2, 3, frozenset({1, 2})
    ),
    "regexp_full_match": Function("text, 'pattern', 'i'", calls.matches, (TEXT,), 2, 3, frozenset({1, 2})),
    "regexp_matches": Function("text, 'pattern', 'i'", calls.matches, (TEXT,), 2, 3, frozenset({1, 2})),
    "regexp_replace": Function(
        "text, 'pattern', 'instead', 'g'", calls.regexp_replace, (TEXT,), 3, 4, frozenset({1, 2, 3})
    ),
    "repeat": Function("text, 3", calls.repeated, (TEXT, WHOLE), 2, 2, frozenset({1})),
    "replace": Function("text, searched, instead", calls.replaced, (TEXT,), 3, 3),
    "reverse": _one(TEXT, "text", calls.as_first),
    "right": Function("text, count", calls.as_first, (TEXT, WHOLE), 2, 2),
    "round": Function("number, digits", calls.rounded, (NUMBER, WHOLE), 1, 2),
    "rpad": _PADDED,
    "rtrim": Function("text, characters", calls.trimmed("TrimEnd"), (TEXT,), 1, 2),
    "split_part": Function("text, between, number", calls.split_part, (TEXT, TEXT, WHOLE), 3, 3),
    "starts_with": _two_texts("text, start", calls.gives(Shape.BOOLEAN)),
    "strftime": Function("date, '%d/%m/%Y'", calls.strftime, (DATE, TEXT), 2, 2, frozenset({1})),
    "strpos": _two_texts("text, searched", calls.gives(Shape.WHOLE)),
    "substr": _SUBSTRING,
    "substring": _SUBSTRING,
    "trim": Function("text, characters", calls.trimmed("Trim"), (TEXT,), 1, 2),
    "trunc": _NUMBER,
    "upper": _one(TEXT, "text", calls.composed),
    **_DATE_PART,
}
"""Name in lower case -> function."""
