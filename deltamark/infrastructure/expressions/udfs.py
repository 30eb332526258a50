"""Functions that SQL cannot do, as Python functions of a DuckDB connection: what names sound like, directory names.

Soundex is American Soundex as the package jellyfish has it, Double Metaphone is that of Lawrence Philips in C++
(package doublemetaphone); directory names are written as RFC 4514 says.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping

import duckdb
import jellyfish
import pyarrow as pa
from doublemetaphone import doublemetaphone
from duckdb.func import FunctionNullHandling, PythonUDFType
from duckdb.sqltypes import VARCHAR

from deltamark.infrastructure.expressions.distinguished_names import formatted

_MOST_REMEMBERED = 100_000

TextFunction = Callable[[str], str | None]


def soundex(text: str) -> str | None:
    """American Soundex of the letters A to Z of a text; None where it has none."""
    letters = re.sub("[^A-Z]", "", text.upper())
    return jellyfish.soundex(letters) if letters else None


def double_metaphone(text: str) -> str | None:
    """The primary code of Double Metaphone; None where a text has no sound."""
    letters = re.sub("[^A-Z]+", " ", text.upper()).strip()
    code = doublemetaphone(letters)[0] if letters else ""
    return code or None


_FUNCTIONS: Mapping[str, TextFunction] = {
    "deltamark_soundex": soundex,
    "deltamark_double_metaphone": double_metaphone,
    "deltamark_formatted_dn": formatted,
}


def register(connection: duckdb.DuckDBPyConnection, sql: str) -> None:
    """Makes the functions that `sql` uses and DuckDB does not have known to a connection, locked down or not.

    May be called again; what is known already stays. The functions live as long as this very connection: register
    them with the one that cursors are made of, never with a cursor, which would leave them dangling when it closes.
    """
    wanted = [name for name in _FUNCTIONS if name in sql]
    if not wanted:
        return
    known = {
        name
        for (name,) in connection.execute(
            "SELECT DISTINCT function_name FROM duckdb_functions() WHERE function_name LIKE 'deltamark_%'"
        ).fetchall()
    }
    for name in wanted:
        if name not in known:
            connection.create_function(
                name,
                _vectorised(_FUNCTIONS[name]),
                [VARCHAR],
                VARCHAR,
                type=PythonUDFType.ARROW,
                null_handling=FunctionNullHandling.SPECIAL,  # a text may give null
            )


def _vectorised(function: TextFunction) -> Callable[[pa.Array], pa.Array]:
    """A function over many texts that computes each distinct one once; null gives null."""
    remembered: dict[str, str | None] = {}

    def apply(texts: pa.Array) -> pa.Array:
        if len(remembered) > _MOST_REMEMBERED:
            remembered.clear()
        encoded = (texts.combine_chunks() if isinstance(texts, pa.ChunkedArray) else texts).dictionary_encode()
        found = []
        for text in encoded.dictionary.to_pylist():
            if text not in remembered:
                remembered[text] = function(text)
            found.append(remembered[text])
        return pa.array(found, pa.string()).take(encoded.indices)

    return apply
