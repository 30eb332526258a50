"""Finds the resource for which an evaluation failed, and words the reason."""

from __future__ import annotations

import re
from collections.abc import Callable

import duckdb
import pyarrow as pa

from deltamark.domain.errors import store_damaged
from deltamark.domain.values import shown

FAILURES = (duckdb.DataError, duckdb.ProgrammingError, duckdb.NotSupportedError)
"""What DuckDB raises if an expression gives no value, or JSON cannot be parsed."""

_KIND = re.compile(r"^[A-Z][A-Za-z ]* Error: ")
_FUNCTION = re.compile(r"^Python exception occurred while executing the UDF: (\w+: )?")
_INSIDE = re.compile(r"( in expression \(.*\)| when casting from source column .*|\. (Use|You) .*)$")
"""The parts of a message that are about the compiled SQL, or about DuckDB's settings."""
_LONGEST = 300


def reason_of(error: duckdb.Error) -> str:
    """The message of DuckDB as a clause of one line, without the error's name and advice."""
    first = (str(error).strip().splitlines() or [type(error).__name__])[0]
    clause = _INSIDE.sub("", _INSIDE.sub("", _FUNCTION.sub("", _KIND.sub("", first)))).rstrip(".! ")
    if len(clause) > 1 and clause[0].isupper() and clause[1].islower():
        clause = clause[0].lower() + clause[1:]
    return shown(clause, _LONGEST)[1:].replace('"…', "…").removesuffix('"')


def first_failing(fails: Callable[[pa.Table], bool], resources: pa.Table) -> pa.Table:
    """The first resource for which an evaluation fails, found by bisection.

    The evaluation must fail for the whole table.
    """
    low, high = 0, resources.num_rows
    while high - low > 1:
        middle = (low + high) // 2
        if fails(resources.slice(low, middle - low)):
            high = middle
        else:
            low = middle
    return resources.slice(low, 1)


def refuse_damage(db: duckdb.DuckDBPyConnection, table: str, entity_type: str) -> None:
    """Refuses a table of resources in which a state is not JSON.

    :raises StoreError: naming the first such resource.
    """
    damaged = db.execute(
        f"""SELECT stream, left(CASE WHEN json_valid(state) THEN computed ELSE state END, 80) FROM {table}
        WHERE NOT json_valid(state) OR NOT json_valid(computed) ORDER BY stream LIMIT 1"""
    ).fetchone()
    if damaged:
        stream, state = damaged
        raise store_damaged(f"the state of a {entity_type} cannot be read (stream {stream}: {shown(state)})")
