"""Finding what an evaluation failed for, and saying why in a clause."""

from __future__ import annotations

import re
from collections.abc import Callable

import duckdb
import pyarrow as pa

from deltamark.domain.errors import store_damaged
from deltamark.domain.values import shown

FAILURES = (duckdb.DataError, duckdb.ProgrammingError, duckdb.NotSupportedError)
"""What DuckDB raises where an expression gives no value, or JSON cannot be read."""

_KIND = re.compile(r"^[A-Z][A-Za-z ]* Error: ")
_FUNCTION = re.compile(r"^Python exception occurred while executing the UDF: (\w+: )?")
_INSIDE = re.compile(r"( in expression \(.*\)| when casting from source column .*|\. (Use|You) .*)$")
"""What speaks of the SQL that was made of an expression, or of DuckDB's settings."""
_LONGEST = 300


def reason_of(error: duckdb.Error) -> str:
    """What DuckDB says, as a clause of one line without its name for the kind of error and without its advice."""
    first = (str(error).strip().splitlines() or [type(error).__name__])[0]
    said = _INSIDE.sub("", _INSIDE.sub("", _FUNCTION.sub("", _KIND.sub("", first)))).rstrip(".! ")
    if len(said) > 1 and said[0].isupper() and said[1].islower():
        said = said[0].lower() + said[1:]
    return shown(said, _LONGEST)[1:].replace('"…', "…").removesuffix('"')


def first_failing(fails: Callable[[pa.Table], bool], resources: pa.Table) -> pa.Table:
    """The first resource of a table that an evaluation fails for, as it does for the whole: by halving."""
    low, high = 0, resources.num_rows
    while high - low > 1:
        middle = (low + high) // 2
        if fails(resources.slice(low, middle - low)):
            high = middle
        else:
            low = middle
    return resources.slice(low, 1)


def refuse_damage(db: duckdb.DuckDBPyConnection, table: str, entity_type: str) -> None:
    """Looks for states that are no JSON in a table of resources of an entity type.

    :raises StoreError: at the first.
    """
    damaged = db.execute(
        f"""SELECT stream, left(CASE WHEN json_valid(state) THEN computed ELSE state END, 80) FROM {table}
        WHERE NOT json_valid(state) OR NOT json_valid(computed) ORDER BY stream LIMIT 1"""
    ).fetchone()
    if damaged:
        stream, state = damaged
        raise store_damaged(f"the state of a {entity_type} cannot be read (stream {stream}: {shown(state)})")
