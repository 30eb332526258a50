"""The predefined functions as DuckDB SQL over one text.

Diacritics follow the table of the configuration language (ä becomes ae, ø becomes o, š becomes sh, …); every
other accent is stripped by DuckDB's `strip_accents` (https://duckdb.org/docs/stable/sql/functions/text).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from deltamark.infrastructure.columnar.duck import literal

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
    sql = f"nfc_normalize({text})"
    for letter, plain in _SPECIAL.items():
        sql = f"replace({sql}, {literal(letter)}, {literal(plain)})"
        capital = "ẞ" if letter == "ß" else letter.upper()
        sql = f"replace({sql}, {literal(capital)}, {literal(plain.upper())})"
    return f"strip_accents({sql})"


def _simplify(text: str) -> str:
    return f"regexp_replace(upper({_remove_diacritics(text)}), '[^\\p{{L}}\\p{{N}}]', '', 'g')"


_BLANKS = "' ' || chr(9) || chr(10) || chr(13) || chr(160)"

FUNCTIONS: Mapping[str, Callable[[str], str]] = {
    "ToUpper": lambda text: f"upper({text})",
    "ToLower": lambda text: f"lower({text})",
    "Trim": lambda text: f"trim({text}, {_BLANKS})",
    "TrimStart": lambda text: f"ltrim({text}, {_BLANKS})",
    "TrimEnd": lambda text: f"rtrim({text}, {_BLANKS})",
    "RemoveDiacritics": _remove_diacritics,
    "Simplify": _simplify,
}
"""Name -> SQL text of the function applied to SQL text. A null gives a null."""

NOT_BUILT_YET = (
    "ToDoubleMetaphone",
    "ToSoundex",
    "ToFirstName",
    "ToTitle",
    "ToFormatedDN",
    "ParseLocalDate",
    "ParseLocalDateThenAddMinutes",
    "ParseUniversalDate",
    "ParseUniversalDateThenAddMinutes",
    "FormatLocalDate",
)
"""Known functions of the language that this version refuses by name."""
