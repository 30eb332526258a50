"""Python functions for DuckDB: phonetic codes, distinguished names, and Decimals.

SQL does not suffice for them.

Soundex is American Soundex, from the package jellyfish. Double Metaphone is that of Lawrence Philips, in C++, from the
package doublemetaphone. Distinguished names follow RFC 4514.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from functools import wraps

import duckdb
import jellyfish
import pyarrow as pa
from doublemetaphone import doublemetaphone
from duckdb.func import FunctionNullHandling, PythonUDFType
from duckdb.sqltypes import VARCHAR, DuckDBPyType

from deltamark.domain.synchronization.distinguished_names import canonical_name
from deltamark.infrastructure.expressions.decimals import DECIMAL_FUNCTIONS

_MOST_CACHED = 100_000

TextFunction = Callable[[str], str | None]


def soundex(text: str) -> str | None:
    """American Soundex of the letters A to Z of a text, or None if it has none."""
    letters = re.sub("[^A-Z]", "", text.upper())
    return jellyfish.soundex(letters) if letters else None


def double_metaphone(text: str) -> str | None:
    """The primary code of Double Metaphone, or None if the text has no code."""
    letters = re.sub("[^A-Z]+", " ", text.upper()).strip()
    code = doublemetaphone(letters)[0] if letters else ""
    return code or None


_FUNCTIONS: Mapping[str, TextFunction] = {
    "deltamark_soundex": soundex,
    "deltamark_double_metaphone": double_metaphone,
    "deltamark_formatted_dn": canonical_name,
}


def register_functions(connection: duckdb.DuckDBPyConnection, sql: str) -> None:
    """Registers with a connection the functions that `sql` uses and DuckDB does not have.

    The connection may be locked down.

    Functions that are already registered stay. They live as long as this connection: register them with the connection
    that cursors are made from, never with a cursor, because they would be left dangling when it closes.
    """
    used = [name for name in (*_FUNCTIONS, *DECIMAL_FUNCTIONS) if name in sql]
    if not used:
        return
    registered = {
        name
        for (name,) in connection.execute(
            "SELECT DISTINCT function_name FROM duckdb_functions() WHERE function_name LIKE 'deltamark_%'"
        ).fetchall()
    }
    for name in used:
        if name not in registered:
            if name in _FUNCTIONS:
                kinds: Sequence[DuckDBPyType] = (VARCHAR,)
                function = _vectorised(_FUNCTIONS[name])
            else:
                calculate, kinds = DECIMAL_FUNCTIONS[name]
                function = _row_by_row(calculate)
            connection.create_function(
                name,
                function,
                [*kinds],
                VARCHAR,
                type=PythonUDFType.ARROW,
                null_handling=FunctionNullHandling.SPECIAL,  # a text may give null
            )


def _vectorised(function: TextFunction) -> Callable[[pa.Array], pa.Array]:
    """A function over many texts that computes each distinct text once.

    Null gives null.
    """
    cache: dict[str, str | None] = {}

    def apply(texts: pa.Array) -> pa.Array:
        if len(cache) > _MOST_CACHED:
            cache.clear()
        encoded = (texts.combine_chunks() if isinstance(texts, pa.ChunkedArray) else texts).dictionary_encode()
        results = []
        for text in encoded.dictionary.to_pylist():
            if text not in cache:
                cache[text] = function(text)
            results.append(cache[text])
        return pa.array(results, pa.string()).take(encoded.indices)

    return apply


def _row_by_row(function: Callable[..., str | None]) -> Callable[..., pa.Array]:
    """A function over many rows of arguments.

    Null gives null.
    """

    @wraps(function)  # DuckDB looks at the number of parameters
    def apply(*columns: pa.Array) -> pa.Array:
        rows = zip(*(column.to_pylist() for column in columns), strict=True)
        return pa.array([None if None in row else function(*row) for row in rows], pa.string())

    return apply
