"""SQL that converts the text of a cell to the canonical text of a type, and that to JSON."""

from __future__ import annotations

from functools import lru_cache

from attrs import frozen

from deltamark.domain.configuration.date_formats import (
    FILE_TIME,
    GENERALIZED_TIME,
    InvalidDateFormat,
    parse_date_format,
)
from deltamark.domain.configuration.value_formats import SID, TEXTS, ByteOrder, ValueFormat
from deltamark.domain.errors import SourceError
from deltamark.domain.location import Location
from deltamark.domain.synchronization.keys import INVISIBLE
from deltamark.domain.values import DATES, INTEGER_RANGES, MOST_DIGITS, PropertyType
from deltamark.infrastructure.duckdb.connection import literal
from deltamark.infrastructure.duckdb.dates import (
    filetime,
    generalized_time,
    is_never,
    iso_day,
    iso_instant,
    patterned_date,
)

BLANKS = " \t\u00a0\u2007\u2009\u202f\u3000"
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


_ESCAPES = tuple(rf"\x{byte:02X}" for byte in range(256))


@lru_cache(maxsize=1024)  # long constants, such as all blanks, are in most queries of each run
def in_ascii(text: str) -> str:
    """A text as an SQL expression in ASCII.

    DuckDB's client scans a query with other characters slowly.
    """
    return f"decode('{''.join(map(_ESCAPES.__getitem__, text.encode()))}'::blob)"


def text_in_ascii(text: str) -> str:
    """A text as an SQL literal, or as an expression where it is not ASCII."""
    return literal(text) if text.isascii() else in_ascii(text)


def lower_escapes(json: str) -> str:
    """SQL for JSON text with its ``\\u00XX`` in lower case.

    orjson writes them so; DuckDB writes capitals.

    Doubled backslashes are replaced meanwhile, so that what follows them is not taken for an escape.
    """
    replaced = f"replace({json}, '\\\\', chr(0))"
    for code in (0x0B, 0x0E, 0x0F, *range(0x1A, 0x20)):
        replaced = f"replace({replaced}, '\\u{code:04X}', '\\u{code:04x}')"
    return f"case when contains({json}, '\\u00') then replace({replaced}, chr(0), '\\\\') else {json} end"


def prepared(cell: str, written: ValueFormat) -> str | None:
    """SQL for a cell without what means no value, and trimmed if it is; None if the cell stays as it is."""
    if not written.trim and not written.null_values:
        return None
    trimmed = f"trim({cell}, {in_ascii(INVISIBLE)})"
    nothing = ", ".join(text_in_ascii(text) for text in ("", *written.null_values))
    return f"case when {trimmed} not in ({nothing}) then {trimmed if written.trim else cell} end"


def without_surroundings(cell: str) -> str:
    """SQL for a key without the invisible characters around it, NULL if nothing is left.

    The first and the last character decide most cells, which is cheap.
    """
    is_plain = f"{cell} between '!' and '~' and right({cell}, 1) between '!' and '~'"
    return f"case when {is_plain} then {cell} else nullif(trim({cell}, {in_ascii(INVISIBLE)}), '') end"


def conversion(kind: PropertyType, cell: str, written: ValueFormat, where: Location) -> Conversion:
    """The conversion of a cell to a property type.

    :param cell: an SQL expression of type varchar, NULL or not empty.
    :param written: how the mapping says that values are written.
    :param where: the mapping, for errors.
    :raises SourceError: if the format of a date is invalid.
    """
    if kind in TEXTS and written.format != SID:
        return Conversion(text=cell, has_value=f"{cell} is not null", is_total=True, is_escaped=True)
    trimmed = f"trim({cell}, {in_ascii(BLANKS)})"
    has_value = f"coalesce({trimmed}, '') <> ''"
    if kind in DATES:
        if written.format == FILE_TIME:
            has_value = f"{has_value} and not ({is_never(trimmed)})"
        text = _date(trimmed, written.format, where, is_day=kind is PropertyType.DATE)
        return Conversion(text=f"case when {has_value} then {text} end", has_value=has_value, quote='"')
    if kind in INTEGER_RANGES:
        return Conversion(
            text=_whole_number(_number_text(trimmed, written), *INTEGER_RANGES[kind]), has_value=has_value
        )
    if kind is PropertyType.DECIMAL:
        return Conversion(text=decimal_text(_number_text(trimmed, written)), has_value=has_value, quote='"')
    if kind is PropertyType.DOUBLE:
        return Conversion(text=_number(_number_text(trimmed, written)), has_value=has_value)
    if kind is PropertyType.BOOL:
        return Conversion(text=_boolean(trimmed, written), has_value=has_value)
    if kind is PropertyType.GUID:
        return Conversion(text=guid_text(trimmed, written.byte_order), has_value=has_value, quote='"')
    text = sid_text(trimmed) if kind in TEXTS else _base64(cell)
    return Conversion(text=text, has_value=has_value, quote='"')


def _date(cell: str, pattern: str | None, where: Location, *, is_day: bool) -> str:
    if not pattern:
        return iso_day(cell) if is_day else iso_instant(cell)
    try:
        date_format = parse_date_format(pattern)
    except InvalidDateFormat as error:
        raise SourceError(
            where,
            f"the mapping's Format cannot be understood: {error.reason}",
            value=pattern,
            advice="Say 1601date, or something like yyyy-MM-dd HH:mm:ss.",
        ) from error
    named = {FILE_TIME: filetime, GENERALIZED_TIME: generalized_time}.get(pattern)
    return named(cell, is_day=is_day) if named else patterned_date(cell, date_format, is_day=is_day)


def _number_text(cell: str, written: ValueFormat) -> str:
    """SQL for a number with a decimal point and without thousands separators.

    NULL if it is not written with the separators of the mapping.
    """
    point, group = written.decimal_separator, written.thousands_separator
    if point == "." and group is None:
        return cell
    grouped = ""
    if group is not None:
        sign = {" ": r"[\s\p{Z}]", "'": "[''\u2019]"}.get(group, rf"\{group}")
        grouped = f"[0-9]{{1,3}}({sign}[0-9]{{3}})+|"
        plain = f"regexp_replace({cell}, {_regular(sign)}, '', 'g')"
    else:
        plain = cell
    pattern = rf"[+-]?(({grouped}[0-9]+)(\{point}[0-9]*)?|\{point}[0-9]+)([eE][+-]?[0-9]+)?"
    return f"case when regexp_full_match({cell}, {_regular(pattern)}) then replace({plain}, '{point}', '.') end"


def _regular(expression: str) -> str:
    return f"'{expression}'" if expression.isascii() else in_ascii(expression.replace("''", "'"))


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


_NUMBER = r"[+-]?([0-9]+(\.[0-9]*)?|\.[0-9]+)([eE][+-]?[0-9]+)?"
_SHORTEST = rf"(-?[1-9][0-9]{{0,{MOST_DIGITS - 4}}}|-?0\.[0-9]{{0,{MOST_DIGITS - 4}}}[1-9]|0)"
_PARTS_OF_NUMBER = r"^([+-]?)0*([0-9]*)\.?([0-9]*?)0*(?:[eE]([+-]?[0-9]+))?$"
_FARTHEST_SHIFT = 1_000


def decimal_text(cell: str) -> str:
    """SQL for the shortest text of a decimal number, without an exponent.

    NULL if the text is no number, or has more digits than a Decimal may have.
    """
    # Most whole numbers are their shortest text, which is cheap to see.
    others = f"case when regexp_full_match(n, '{_NUMBER}') then {_SHIFTED} end"
    body = f"case when regexp_full_match(n, '{_SHORTEST}') then n else {others} end"
    return f"list_extract(list_transform([{cell}], lambda n: {body}), 1)"


def _shifted() -> str:
    """SQL for the shortest text of the number `n`: its point is moved by the exponent."""
    parts = f"regexp_extract(n, '{_PARTS_OF_NUMBER}', ['sign', 'whole', 'fraction', 'exponent'])"
    shift = "case when p.exponent = '' then 0 else try_cast(p.exponent as integer) end"
    point = f"case when p.whole = '' and p.fraction = '' then 0 else length(p.whole) + {shift} end"
    moved = (
        "struct_pack(sign := q.sign, "
        "whole := case when q.point > 0 then ltrim(rpad(left(q.digits, q.point), q.point, '0'), '0') else '' end, "
        "fraction := rtrim(case when q.point > 0 then substr(q.digits, q.point + 1) "
        "else repeat('0', -q.point) || q.digits end, '0'))"
    )
    sign = "case when r.sign = '-' then '-' else '' end"
    fraction = "case when r.fraction = '' then '' else '.' || r.fraction end"
    text = (
        "case when r.whole = '' and r.fraction = '' then '0' "
        f"when length(r.whole) + length(r.fraction) <= {MOST_DIGITS} "
        f"then {sign} || case when r.whole = '' then '0' else r.whole end || {fraction} end"
    )
    split = (
        f"list_transform([{parts}], lambda p: struct_pack("
        f"sign := p.sign, digits := p.whole || p.fraction, point := ({point})::integer))"
    )
    near = f"list_filter({split}, lambda q: abs(q.point) <= {_FARTHEST_SHIFT} + length(q.digits))"
    return f"list_extract(list_transform(list_transform({near}, lambda q: {moved}), lambda r: {text}), 1)"


_SHIFTED = _shifted()


def _number(cell: str) -> str:
    number = f"try_cast({cell} as double)"
    return (
        f"case when regexp_full_match({cell}, '{_NUMBER}') and isfinite({number}) then {canonical_double(number)} end"
    )


def _boolean(cell: str, written: ValueFormat) -> str:
    meanings = {"false": "false", "0": "false", **dict.fromkeys(map(str.lower, written.false_values), "false")}
    meanings |= {"true": "true", "1": "true", **dict.fromkeys(map(str.lower, written.true_values), "true")}
    cases = " ".join(f"when {text_in_ascii(word)} then '{meaning}'" for word, meaning in meanings.items())
    return f"case lower({cell}) {cases} end"


_BASE64 = "([A-Za-z0-9+/]{4})*([A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?"
_PAIR = "[0-9A-Fa-f]{2}"
_HEXADECIMAL = rf"[xX]''({_PAIR})+''|0[xX]({_PAIR})+|(\\{_PAIR})+|{_PAIR}([ :-]{_PAIR})+"
"""Binary data as ``X'…'``, ``0x…``, with backslashes, or with signs between the bytes; quotes doubled for SQL."""
_BYTES_OF_GUID = (
    rf"[xX]''({_PAIR}){{16}}''|0[xX]({_PAIR}){{16}}|(\\{_PAIR}){{16}}|{_PAIR}([ :-]{_PAIR}){{15}}|[A-Za-z0-9+/]{{22}}=="
)


def guid_text(cell: str, order: ByteOrder = ByteOrder.LITTLE_ENDIAN) -> str:
    """SQL for the canonical text of a Guid, from its text or its 16 bytes.

    :param order: of the bytes.
    """
    dashed = "[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}"
    pattern = rf"{dashed}|\{{{dashed}\}}|\({dashed}\)|[0-9a-f]{{32}}|\{{[0-9a-f]{{32}}\}}"
    digits = rf"regexp_replace(lower({cell}), '[-(){{}}]', '', 'g')"
    hexadecimal = f"regexp_replace(lower({cell}), '^0x|[^0-9a-f]', '', 'g')"
    in_bytes = f"case when {cell} like '%==' then lower(hex(from_base64({cell}))) else {hexadecimal} end"
    if order is ByteOrder.LITTLE_ENDIAN:
        in_bytes = rf"regexp_replace({in_bytes}, '^(..)(..)(..)(..)(..)(..)(..)(..)', '\4\3\2\1\6\5\8\7')"
    return (
        f"case when regexp_full_match(lower({cell}), '{pattern}') then {_dashed(digits)} "
        f"when regexp_full_match({cell}, '{_BYTES_OF_GUID}') then {_dashed(in_bytes)} end"
    )


def _dashed(digits: str) -> str:
    return rf"regexp_replace({digits}, '(.{{8}})(.{{4}})(.{{4}})(.{{4}})(.{{12}})', '\1-\2-\3-\4-\5')"


def sid_text(cell: str) -> str:
    """SQL for the text of a security identifier (S-1-…), from its text or its bytes.

    NULL if it is none.
    """
    count = "('0x' || substr(x, 3, 2))::integer"
    part = " || ".join(("'0x'", *(f"substr(x, 17 + 8 * n::integer + {offset}, 2)" for offset in (6, 4, 2, 0))))
    parts = f"array_to_string(list_transform(range({count}), lambda n: (({part})::bigint)::varchar), '-')"
    text = f"'S-1-' || ('0x' || substr(x, 5, 12))::bigint || case when {count} = 0 then '' else '-' || {parts} end"
    checked = f"case when x like '01%' and length(x) = 16 + 8 * {count} then {text} end"
    decoded = f"list_extract(list_transform([{_hexadecimal(cell, or_bare=True)}], lambda x: {checked}), 1)"
    return (
        f"case when regexp_full_match({cell}, '[Ss]-1-[0-9]{{1,15}}(-[0-9]{{1,10}}){{0,15}}') then upper({cell}) "
        f"else {decoded} end"
    )


def _hexadecimal(cell: str, *, or_bare: bool = False) -> str:
    """SQL for the hexadecimal digits of binary data, in lower case, or NULL if a cell holds none.

    :param or_bare: whether digits alone are binary data too.
    """
    pattern = f"{_HEXADECIMAL}|({_PAIR})+" if or_bare else _HEXADECIMAL
    digits = f"regexp_replace(lower({cell}), '^0x|[^0-9a-f]', '', 'g')"
    return (
        f"case when regexp_full_match({cell}, '{pattern}') then {digits} "
        f"when {cell} <> '' and regexp_full_match({cell}, '{_BASE64}') then lower(hex(from_base64({cell}))) end"
    )


def _base64(cell: str) -> str:
    solid = rf"regexp_replace({cell}, '[ \t\r\n]', '', 'g')"
    pattern = rf"[xX]''({_PAIR})*''|(\\{_PAIR})+"  # 0x… may be base64
    digits = f"regexp_replace({solid}, '^[xX]|[^0-9a-fA-F]', '', 'g')"
    return (
        f"case when regexp_full_match({solid}, '{_BASE64}') then to_base64(from_base64({solid})) "
        f"when regexp_full_match({solid}, '{pattern}') then to_base64(unhex({digits})) end"
    )
