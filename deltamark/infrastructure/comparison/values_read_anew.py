"""Reads stored values anew, as if an extract held them: what another configuration makes of them."""

from __future__ import annotations

from collections.abc import Iterator

import duckdb
import pyarrow as pa

from deltamark.application.ports.arrow_schemas import RESOURCES, UPDATES
from deltamark.application.ports.comparer import NewReading, ReadCounts, ValuesReadAnew
from deltamark.application.ports.records import ResourceChanges
from deltamark.domain.adoption.consequences import ValueConversion
from deltamark.domain.location import Location
from deltamark.infrastructure.comparison.state_differences import property_names, updated_rows
from deltamark.infrastructure.duckdb.connection import Workbench, arrow, literal
from deltamark.infrastructure.duckdb.conversions import (
    Conversion,
    conversion,
    lower_escapes,
    prepared,
    without_surroundings,
)
from deltamark.infrastructure.duckdb.json_values import json_paths

_UNREADABLE = pa.schema([("property", pa.string()), ("key", pa.string()), ("value", pa.string())])
_KEYS = pa.schema([("before", pa.string()), ("after", pa.string()), ("is_repeated", pa.bool_())])
_LONGEST_SHOWN = 1_000


def values_read_anew(workbench: Workbench, stored: pa.Table, reading: NewReading) -> ValuesReadAnew:
    """Reads the values of resources anew: see `Comparer.read_anew`."""
    with workbench.connection(stored=stored) as db:
        concerned = [*reading.removed, *(item.name for item in reading.converted)]
        holds = " OR ".join(f"contains(state, {literal(_member(name))})" for name in concerned)
        chosen = "TRUE" if reading.key is not None else holds or "FALSE"
        db.execute(f"CREATE TEMP TABLE before AS SELECT key, state AS after, state FROM stored WHERE {chosen}")
        _read(db, reading, concerned)
        _give_keys(db, reading.key)
        db.execute(
            """CREATE TEMP TABLE differing AS
            SELECT key, d.line, d.state AS after, b.state AS before
            FROM desired d FULL JOIN before b USING (key) WHERE d.state IS DISTINCT FROM b.state"""
        )
        return ValuesReadAnew(
            changes=ResourceChanges(
                created=arrow(db, _WITHOUT_LINE.format(state="after", where="before IS NULL"), RESOURCES),
                updated=_without_lines(updated_rows(db)),
                deleted=arrow(db, _WITHOUT_LINE.format(state="before", where="after IS NULL"), RESOURCES),
            ),
            counts=dict(_counts(db, reading)),
            unreadable=_unreadable(db, reading),
            keys=arrow(
                db,
                """SELECT old AS before, key AS after, is_repeated FROM keyed WHERE old IS DISTINCT FROM key
                ORDER BY before""",
                _KEYS,
            ),
        )


_WITHOUT_LINE = "SELECT key, NULL::BIGINT AS line, {state} AS state FROM differing WHERE {where} ORDER BY key"


def _without_lines(updated: pa.Table) -> pa.Table:
    column = updated.schema.get_field_index("line")
    return updated.sort_by("key").set_column(column, "line", pa.nulls(updated.num_rows, pa.int64())).cast(UPDATES)


def _read(db: duckdb.DuckDBPyConnection, reading: NewReading, concerned: list[str]) -> None:
    """Fills `read`: each resource with the value of each concerned property before and after, and its new state.

    `b<i>` is its JSON before, `x<i>` its text, `h<i>` whether there is a value, `v<i>` its canonical text, `j<i>` its
    JSON; those of a removed property are NULL.
    """
    names = sorted({*property_names(db, "(SELECT after, NULL AS before FROM before)"), *concerned})
    conversions = {item.name: _conversion(number, item) for number, item in _numbered(reading)}
    paths = json_paths(concerned) if concerned else "[]"
    texts = ", ".join(
        f"list_extract(x, {n}) AS x{n}, list_extract(b, {n})::VARCHAR AS b{n}" for n in range(1, len(concerned) + 1)
    )
    cells = [f"{_cell(n, item)} AS c{n}" for n, item in _numbered(reading)]
    values = [f"{conversions[item.name].text} AS v{n}" for n, item in _numbered(reading)]
    values += [f"{conversions[item.name].has_value} AS h{n}" for n, item in _numbered(reading)]
    written = [f"{lower_escapes(f'w{n}')} AS j{n}" for n, _ in _numbered(reading)]
    raw = [f"{conversions[item.name].json(f'v{n}')} AS w{n}" for n, item in _numbered(reading)]
    source = f"""SELECT key AS old, state AS before, json_extract(state, {json_paths(names)}) AS a,
        json_extract(state, {paths}) AS b, json_extract_string(state, {paths}) AS x FROM before"""
    for columns in ([texts] if concerned else [], cells, values, raw, written):
        source = f"SELECT *, {', '.join(columns)} FROM ({source})" if columns else source
    members = ", ".join(
        _kept_member(names.index(name) + 1, name, concerned, reading) for name in names if name not in reading.removed
    )
    state = f"'{{' || concat_ws(',', {members}) || '}}'" if members else "'{}'"
    db.execute(
        f"CREATE TEMP TABLE read AS SELECT *, {lower_escapes('duckdb_state')} AS state FROM "
        f"(SELECT *, {state} AS duckdb_state FROM ({source}))"
    )


def _kept_member(position: int, name: str, concerned: list[str], reading: NewReading) -> str:
    if name in concerned:
        return f"{literal(_member(name))} || j{concerned.index(name) + 1}"
    return f"{literal(_member(name))} || list_extract(a, {position})"


def _numbered(reading: NewReading) -> Iterator[tuple[int, ValueConversion]]:
    """The conversions with the numbers of their properties among all that are concerned."""
    return enumerate(reading.converted, len(reading.removed) + 1)


def _cell(number: int, item: ValueConversion) -> str:
    text = f"nullif(x{number}, '')"
    return prepared(text, item.written) or text


def _conversion(number: int, item: ValueConversion) -> Conversion:
    return conversion(item.kind, f"c{number}", item.written, Location(""))


def _member(name: str) -> str:
    return f'"{name}":'


def _give_keys(db: duckdb.DuckDBPyConnection, key: str | None) -> None:
    """Fills `keyed` (``old``, ``key``, ``is_repeated``) and `desired` (``key``, ``line``, ``state``)."""
    text = "old" if key is None else without_surroundings("k")
    path = "'$'" if key is None else literal(f'$."{key}"')
    db.execute(
        f"""CREATE TEMP TABLE keyed AS SELECT old, CASE WHEN same THEN key END AS key, NOT same AS is_repeated, state,
            n = 1 AND same AND key IS NOT NULL AS is_kept FROM (
            SELECT *, key IS NULL OR count(DISTINCT state) OVER (PARTITION BY key) = 1 AS same,
                row_number() OVER (PARTITION BY key ORDER BY old) AS n
            FROM (SELECT old, {text} AS key, state FROM (
                SELECT old, state, json_extract_string(state, {path}) AS k FROM read)))"""
    )
    db.execute(
        """CREATE TEMP TABLE desired AS
        SELECT key, row_number() OVER (ORDER BY key) AS line, state FROM keyed WHERE is_kept"""
    )


def _counts(db: duckdb.DuckDBPyConnection, reading: NewReading) -> Iterator[tuple[str, ReadCounts]]:
    for number, name in enumerate(reading.removed, 1):
        yield name, ReadCounts(removed=_count(db, f"b{number} IS NOT NULL"))
    for number, item in _numbered(reading):
        held = f"b{number} IS NOT NULL"
        yield (
            item.name,
            ReadCounts(
                converted=_count(db, f"{held} AND j{number} <> b{number}"),
                removed=_count(db, f"{held} AND NOT h{number}"),
                unreadable=_count(db, f"{held} AND h{number} AND v{number} IS NULL"),
            ),
        )


def _count(db: duckdb.DuckDBPyConnection, condition: str) -> int:
    return int(db.sql(f"SELECT count(*) FROM read WHERE {condition}").fetchall()[0][0])


def _unreadable(db: duckdb.DuckDBPyConnection, reading: NewReading) -> pa.Table:
    selected = [
        f"""SELECT {literal(item.name)} AS property, old AS key, left(x{number}, {_LONGEST_SHOWN}) AS value FROM read
        WHERE b{number} IS NOT NULL AND h{number} AND v{number} IS NULL"""
        for number, item in _numbered(reading)
    ]
    if not selected:
        return _UNREADABLE.empty_table()
    return arrow(db, f"{' UNION ALL '.join(selected)} ORDER BY property, key", _UNREADABLE)
