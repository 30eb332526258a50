"""SQL that converts the text of a cell to the canonical text of a type, and that to JSON."""

from __future__ import annotations

from attrs import frozen

from deltamark.domain.location import Location
from deltamark.domain.values import INTEGER_RANGES, PropertyType
from deltamark.infrastructure.duckdb.dates import filetime, iso_instant, patterned_instant

BLANKS = " \t\u00a0"
"""The characters that are trimmed around values other than texts."""


@frozen(kw_only=True)
class Conversion:
    """The conversion of one cell, as SQL expressions over its text.

    :param text: the canonical text; NULL if there is no value, or if it is not of the type.
    :param has_value: whether the cell has a value.
    :param is_total: whether every value is of the type.
    :param is_escaped: whether the text must be escaped in JSON.
    :param quote: what encloses the text in JSON if it need not be escaped.
    """

    text: str
    has_value: str
    is_total: bool = False
    is_escaped: bool = False
    quote: str = ""

    def json(self, text: str) -> str:
        """The JSON of a value whose canonical text is the expression `text`."""
        if self.is_escaped:
            return f"to_json({text})::varchar"
        return f"'{self.quote}' || {text} || '{self.quote}'" if self.quote else text


def in_ascii(text: str) -> str:
    """A text as an SQL expression in ASCII.

    DuckDB's client scans a query with other characters slowly.
    """
    written = "".join(rf"\x{byte:02X}" for byte in text.encode())
    return f"decode('{written}'::blob)"


def lower_escapes(json: str) -> str:
    """SQL for JSON text with its ``\\u00XX`` in lower case.

    orjson writes them so; DuckDB writes capitals.

    Doubled backslashes are replaced meanwhile, so that what follows them is not taken for an escape.
    """
    replaced = f"replace({json}, '\\\\', chr(0))"
    for code in (0x0B, 0x0E, 0x0F, *range(0x1A, 0x20)):
        replaced = f"replace({replaced}, '\\u{code:04X}', '\\u{code:04x}')"
    return f"case when contains({json}, '\\u00') then replace({replaced}, chr(0), '\\\\') else {json} end"


def conversion(kind: PropertyType, cell: str, pattern: str | None, where: Location) -> Conversion:
    """The conversion of a cell to a property type.

    :param cell: an SQL expression of type varchar, NULL or not empty.
    :param pattern: the mapping's `Format` of dates; other types ignore it.
    :param where: the mapping, for errors.
    :raises SourceError: if the pattern is invalid.
    """
    if kind in (PropertyType.STRING, PropertyType.FOREIGN_KEY):
        return Conversion(text=cell, has_value=f"{cell} is not null", is_total=True, is_escaped=True)
    trimmed = f"trim({cell}, {in_ascii(BLANKS)})"
    has_value = f"coalesce({trimmed}, '') <> ''"
    if kind is PropertyType.DATE_TIME:
        if pattern == "1601date":
            has_value = f"{has_value} and {trimmed} not in ('0', '9223372036854775807')"
            text = filetime(trimmed)
        else:
            text = patterned_instant(trimmed, pattern, where) if pattern else iso_instant(trimmed)
        return Conversion(text=f"case when {has_value} then {text} end", has_value=has_value, quote='"')
    if kind in INTEGER_RANGES:
        return Conversion(text=_whole_number(trimmed, *INTEGER_RANGES[kind]), has_value=has_value)
    if kind is PropertyType.DOUBLE:
        return Conversion(text=_number(trimmed), has_value=has_value)
    if kind is PropertyType.BOOL:
        return Conversion(text=_boolean(trimmed), has_value=has_value)
    text = _guid(trimmed) if kind is PropertyType.GUID else _base64(cell)
    return Conversion(text=text, has_value=has_value, quote='"')


def _whole_number(cell: str, low: int, high: int) -> str:
    number = rf"try_cast(regexp_replace({cell}, '\.0*$', '') as hugeint)"
    bounds = f"between ({low})::hugeint and ({high})::hugeint"
    return (
        rf"case when regexp_full_match({cell}, '[+-]?[0-9]+(\.0*)?') and {number} {bounds} then ({number})::varchar end"
    )


def canonical_double(number: str) -> str:
    """SQL for the shortest text of a finite double, written as orjson writes it."""
    text = f"({number})::varchar"
    return (
        f"case when {number} = 0 then '0.0' "
        f"when {text} like '%e-05' then to_json({number})::varchar "  # orjson writes it without exponent
        f"else replace({text}, 'e-0', 'e-') end"
    )


def _number(cell: str) -> str:
    number = f"try_cast({cell} as double)"
    pattern = r"[+-]?([0-9]+(\.[0-9]*)?|\.[0-9]+)([eE][+-]?[0-9]+)?"
    return (
        f"case when regexp_full_match({cell}, '{pattern}') and isfinite({number}) then {canonical_double(number)} end"
    )


def _boolean(cell: str) -> str:
    cases = "when 'true' then 'true' when '1' then 'true' when 'false' then 'false' when '0' then 'false'"
    return f"case lower({cell}) {cases} end"


def _guid(cell: str) -> str:
    dashed = "[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}"
    pattern = rf"{dashed}|\{{{dashed}\}}|\({dashed}\)|[0-9a-f]{{32}}|\{{[0-9a-f]{{32}}\}}"
    digits = rf"regexp_replace(lower({cell}), '[-(){{}}]', '', 'g')"
    canonical = rf"regexp_replace({digits}, '(.{{8}})(.{{4}})(.{{4}})(.{{4}})(.{{12}})', '\1-\2-\3-\4-\5')"
    return f"case when regexp_full_match(lower({cell}), '{pattern}') then {canonical} end"


def _base64(cell: str) -> str:
    solid = rf"regexp_replace({cell}, '[ \t\r\n]', '', 'g')"
    pattern = "([A-Za-z0-9+/]{4})*([A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?"
    return f"case when regexp_full_match({solid}, '{pattern}') then to_base64(from_base64({solid})) end"
