"""The predefined functions, as SQL for DuckDB over one value.

Diacritics follow the table of the configuration language (ä becomes ae, ø becomes o, š becomes sh, …). DuckDB's
`strip_accents` strips all other accents (https://duckdb.org/docs/stable/sql/functions/text).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from attrs import evolve, frozen

from deltamark.domain.configuration.value_formats import ByteOrder
from deltamark.domain.derivation.dependency_paths import ExpressionRefused
from deltamark.domain.values import shown
from deltamark.infrastructure.duckdb.connection import literal
from deltamark.infrastructure.duckdb.conversions import guid_text, in_ascii, sid_text
from deltamark.infrastructure.duckdb.dates import iso_instant
from deltamark.infrastructure.expressions.date_formats import format_instant, minute_count, parse_instant, time_zone
from deltamark.infrastructure.expressions.sql_value import DATES, SHORT, Growth, Shape, Typed, as_text, computed_once

_SPECIAL = {
    "ä": "ae",
    "ö": "oe",
    "ü": "ue",
    "ß": "ss",
    "æ": "ae",
    "œ": "oe",
    "š": "sh",
    "č": "c",
    "ø": "o",
    "ł": "l",
    "đ": "d",
    "ð": "d",
    "þ": "th",
}


def _remove_diacritics(text: str) -> str:
    sql = "text"
    for letter, plain in _SPECIAL.items():
        sql = f"replace({sql}, {literal(letter)}, {literal(plain)})"
        capital = "ẞ" if letter == "ß" else letter.upper()
        sql = f"replace({sql}, {literal(capital)}, {literal(plain.upper())})"
    # Most texts are ASCII (as many bytes as characters) and need no replacement.
    return computed_once(text, f"CASE WHEN strlen(text) = length(text) THEN text ELSE strip_accents({sql}) END")


def _simplify(text: str) -> str:
    return f"regexp_replace(upper({_remove_diacritics(text)}), '[^\\p{{L}}\\p{{N}}]', '', 'g')"


_BLANKS = in_ascii(
    " \t\n\v\f\r\x85\u00a0\u1680" + "".join(map(chr, range(0x2000, 0x200B))) + "\u2028\u2029\u202f\u205f\u3000"
)
"""White space as Unicode defines it."""

_FIRST_NAME = (
    "array_to_string(list_transform(list_filter(regexp_split_to_array(text, '[\\s\\v\\x{85}\\p{Z}\\p{Pd}]+'), "
    "lambda word: word <> ''), lambda word: upper(left(word, 1)) || lower(substring(word, 2))), '-')"
)
"""The first name in `text`; words end at white space and dashes.

DuckDB plans a function with a lambda several times for each such function in its argument, unless that is in brackets
as in `computed_once`: without them, 16 of these in a pipe would take hours to plan.
"""


@frozen
class Predefined:
    """A function that is applied to a binding.

    :param gives: the type of its result.
    :param sql: the SQL of its result, from the SQL of a value and the parameters.
    :param takes: the type of the value: a text or a date.
    :param parameters: the names of what follows the colon, in order, for messages.
    :param example: of the parameters.
    :param times: how many times as long as its input the result may be.
    """

    gives: Shape
    sql: Callable[..., str]
    takes: Shape = Shape.TEXT
    parameters: tuple[str, ...] = ()
    example: str = ""
    times: float = 1


def _python(name: str) -> Callable[[str], str]:
    return lambda text: f"{name}({text})"


def _universal(text: str, *parameters: str) -> str:
    """Accepts a time zone, which the language lists for this function too, as long as it is UTC."""
    if len(parameters) == 3 and time_zone(parameters[0]) not in _UTC:
        raise ExpressionRefused(
            f"reads universal dates in the time zone {shown(parameters[0])}; for local ones there is "
            f"ParseLocalDateThenAddMinutes:{'|'.join(parameters)}"
        )
    pattern, minutes = parameters[-2:]
    return parse_instant(text, pattern, None, minute_count(minutes))


def _guid(text: str, order: str = ByteOrder.LITTLE_ENDIAN.value) -> str:
    orders = {known.value: known for known in ByteOrder}
    if order not in orders:
        raise ExpressionRefused(f"reads the bytes of a Guid as {shown(order)}; write {' or '.join(orders)}")
    return computed_once(text, guid_text("trim(text)", orders[order]))


_UTC = {"UTC", "Etc/UTC", "Etc/GMT"}

FUNCTIONS: Mapping[str, Predefined] = {
    "ToUpper": Predefined(Shape.TEXT, lambda text: f"upper({text})"),
    "ToLower": Predefined(Shape.TEXT, lambda text: f"lower({text})"),
    "Trim": Predefined(Shape.TEXT, lambda text: f"trim({text}, {_BLANKS})"),
    "TrimStart": Predefined(Shape.TEXT, lambda text: f"ltrim({text}, {_BLANKS})"),
    "TrimEnd": Predefined(Shape.TEXT, lambda text: f"rtrim({text}, {_BLANKS})"),
    "RemoveDiacritics": Predefined(Shape.TEXT, _remove_diacritics, times=2),
    "Simplify": Predefined(Shape.TEXT, _simplify, times=2),
    "ToFirstName": Predefined(Shape.TEXT, lambda text: computed_once(text, _FIRST_NAME)),
    "ToTitle": Predefined(Shape.TEXT, lambda text: computed_once(text, "upper(left(text, 1)) || substring(text, 2)")),
    "ToSoundex": Predefined(Shape.TEXT, lambda text: f"deltamark_soundex({_remove_diacritics(text)})", times=0),
    "ToDoubleMetaphone": Predefined(
        Shape.TEXT, lambda text: f"deltamark_double_metaphone({_remove_diacritics(text)})", times=4
    ),
    "ToFormatedDN": Predefined(Shape.TEXT, _python("deltamark_formatted_dn"), times=3),
    "ToGuid": Predefined(Shape.TEXT, lambda text, *order: _guid(text, *order), times=0),
    "ToSid": Predefined(Shape.TEXT, lambda text: computed_once(text, sid_text("trim(text)")), times=4),
    "ParseLocalDate": Predefined(
        Shape.INSTANT,
        lambda text, zone, pattern: parse_instant(text, pattern, time_zone(zone)),
        parameters=("time zone", "format"),
        example="Romance Standard Time|dd/MM/yyyy",
    ),
    "ParseLocalDateThenAddMinutes": Predefined(
        Shape.INSTANT,
        lambda text, zone, pattern, minutes: parse_instant(text, pattern, time_zone(zone), minute_count(minutes)),
        parameters=("time zone", "format", "number of minutes"),
        example="Romance Standard Time|dd/MM/yyyy|1440",
    ),
    "ParseUniversalDate": Predefined(
        Shape.INSTANT,
        lambda text, pattern: parse_instant(text, pattern, None),
        parameters=("format",),
        example="dd/MM/yyyy",
    ),
    "ParseUniversalDateThenAddMinutes": Predefined(
        Shape.INSTANT, _universal, parameters=("format", "number of minutes"), example="dd/MM/yyyy|1440"
    ),
    "FormatLocalDate": Predefined(
        Shape.TEXT,
        lambda instant, zone, pattern: format_instant(instant, pattern, time_zone(zone)),
        takes=Shape.INSTANT,
        parameters=("time zone", "format"),
        example="Romance Standard Time|dd/MM/yyyy",
    ),
}
"""Name -> function. Null gives null."""

MOST_PARAMETERS = {"ParseUniversalDateThenAddMinutes": 3, "ToGuid": 1}
"""The functions that take more parameters than they need."""


def apply_function(name: str, value: Typed, parameters: Sequence[str]) -> Typed:
    """Applies a predefined function to a value.

    :raises ExpressionRefused: if it does not take the value or the parameters.
    """
    function = FUNCTIONS[name]
    needed = len(function.parameters)
    if not needed <= len(parameters) <= MOST_PARAMETERS.get(name, needed):
        raise ExpressionRefused(f"gives {name} {_parameter_count(len(parameters))}; {_usage(name, function)}")
    if value.is_list:
        raise ExpressionRefused(f"applies {name} to several values; make one of them first, as array_to_string does")
    if function.takes is Shape.INSTANT and value.shape is Shape.DAY:  # a day is the same in every zone
        time_zone(parameters[0].strip())
        parameters = ["UTC", *parameters[1:]]
    argument = _instant(name, value) if function.takes is Shape.INSTANT else _text(name, function, value)
    sql = function.sql(argument.sql, *(parameter.strip() for parameter in parameters))
    growth = argument.growth * function.times | SHORT
    if name == "FormatLocalDate":
        growth = Growth(0, 10 * len(parameters[-1]) + 40)
    return Typed(sql, function.gives, growth=growth)


def _instant(name: str, value: Typed) -> Typed:
    if value.shape in DATES:
        return Typed(f"CAST({value.sql} AS TIMESTAMP)", Shape.INSTANT)
    if value.shape in (Shape.TEXT, Shape.NOTHING):
        return parsed_instant(value)
    raise ExpressionRefused(f"applies {name} to {value.described}; it takes a date")


def parsed_instant(value: Typed) -> Typed:
    """The instant of a text in ISO 8601, or null if the text is none."""
    sql = f"CAST({computed_once(value.sql, iso_instant('text'))} AS TIMESTAMP)"
    return Typed(sql, Shape.INSTANT)


def _text(name: str, function: Predefined, value: Typed) -> Typed:
    if function.gives is Shape.INSTANT and value.shape in DATES:
        raise ExpressionRefused(f"applies {name} to a date, which need not be parsed; leave {name} out")
    text = as_text(value)
    # Texts that look the same give the same, whether their letters are composed or not.
    return evolve(text, sql=f"nfc_normalize({text.sql})") if function.gives is Shape.TEXT else text


def _parameter_count(count: int) -> str:
    return "no parameter" if not count else "1 parameter" if count == 1 else f"{count} parameters"


def _usage(name: str, function: Predefined) -> str:
    if not function.parameters:
        return "it takes none"
    listed = f"{', a '.join(function.parameters[:-1])} and a " if len(function.parameters) > 1 else ""
    return f"it takes a {listed}{function.parameters[-1]}, as in {name}:{function.example}"
