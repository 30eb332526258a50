"""The failures of an evaluation: their words, and the damage that may cause them."""

from __future__ import annotations

import re

import duckdb
import pyarrow as pa

from deltamark.application.ports.arrow_schemas import REFUSED
from deltamark.domain.errors import store_damaged
from deltamark.domain.values import shown
from deltamark.infrastructure.expressions.sql_value import FAILURE

FAILURES = (duckdb.DataError, duckdb.ProgrammingError, duckdb.NotSupportedError)
"""What DuckDB raises if an expression gives no value, or JSON cannot be parsed."""

_KIND = re.compile(r"^[A-Z][A-Za-z ]* Error: ")
_FAILURE = re.compile(rf"^Could not convert string '{FAILURE}(.*)' to BOOL$")
_FUNCTION = re.compile(r"^Python exception occurred while executing the UDF: (\w+: )?")
_INSIDE = re.compile(r"( in expression \(.*\)| when casting from source column .*|\. (Use|You) .*)$")
"""The parts of a message that are about the compiled SQL, or about DuckDB's settings."""
_LONGEST = 300


def reason_of(error: duckdb.Error) -> str:
    """The message of DuckDB as a clause of one line, without the error's name and advice."""
    first = (str(error).strip().splitlines() or [type(error).__name__])[0]
    clause = _INSIDE.sub("", _INSIDE.sub("", _FUNCTION.sub("", _KIND.sub("", first)))).rstrip(".! ")
    clause = _FAILURE.sub(r"\1", clause)
    if len(clause) > 1 and clause[0].isupper() and clause[1].islower():
        clause = clause[0].lower() + clause[1:]
    return shown(clause, _LONGEST)[1:].replace('"…', "…").removesuffix('"')


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


def refused_values(streams: pa.ChunkedArray, derivations: pa.ChunkedArray | int, *, has_failed: bool) -> pa.Table:
    """Values that are too long, or whose expressions failed: for a reason that is still to be found."""
    if isinstance(derivations, int):
        derivations = pa.repeat(pa.scalar(derivations, pa.int64()), len(streams))
    reasons = pa.repeat(pa.scalar("" if has_failed else None, pa.string()), len(streams))
    return pa.table({"stream": streams, "derivation": derivations, "reason": reasons}, schema=REFUSED)
