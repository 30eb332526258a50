"""Decides set-wise which rows of an extract are applied and which are set aside."""

from __future__ import annotations

from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.compute as pc
from attrs import frozen

from deltamark.application.ports.extracts import Cleansed
from deltamark.domain.runs.run import ExtractRead, SetAside
from deltamark.infrastructure.extracts.cells import FetchedRows
from deltamark.infrastructure.extracts.row_faults import KEY_EMPTY, DescribedColumns, why_incomplete


@frozen(kw_only=True)
class CleansedRows:
    """The rows that are applied, and those that are set aside.

    :param rows: the rows that are applied, in the order of the extract.
    :param kept: the keys of rows set aside, each once; without those of duplicates of a row that is applied.
    :param faulty: the rows set aside of an extract with commands whose key is known: ``key``, ``line``, ``command``.
    :param incomplete: why the extract cannot show that something is gone, or None if it can.
    :param count: the number of all data rows.
    """

    rows: pa.Table
    kept: pa.Array
    set_aside: tuple[SetAside, ...]
    incomplete: str | None
    count: int
    faulty: pa.Table | None = None

    def cleansed(self, subject: str, file: str, digest: str) -> Cleansed:
        """What a run reports of the cleansing."""
        read = ExtractRead(subject=subject, file=file, rows=self.count, digest=digest)
        return Cleansed(read=read, set_aside=self.set_aside, incomplete=self.incomplete)


def cleanse_resources(
    connection: duckdb.DuckDBPyConnection, fetched: FetchedRows, described: DescribedColumns, file: str
) -> CleansedRows:
    """Sets aside the rows with a fault, and those whose key occurs in several rows.

    Of equal rows the first is applied. If rows with the same key differ, none is. Rows with commands are all applied,
    whatever their keys: they have an order.

    :param fetched: rows of ``key`` (canonical text), ``state``, ``fault`` (a code, NULL if there is none),
        ``fault_value`` and ``line``.
    """
    rows = fetched.rows
    connection.register("fetched", rows)
    faults = []
    if described.command_column is not None:
        faults = _faulty_rows(connection, ", command") if _has_faults(rows) else []
    elif _has_faults(rows) or _count(connection, "count(distinct key)") < rows.num_rows:
        faults = _faulty_resources(connection)
    connection.unregister("fetched")
    return _cleansed(fetched, faults, [row["line"] for row in faults], described, file)


def cleanse_links(
    connection: duckdb.DuckDBPyConnection, fetched: FetchedRows, described: DescribedColumns, file: str
) -> CleansedRows:
    """Sets aside the rows with a fault.

    Of equal rows only the first is applied, and rows without a second value are ignored. Rows with commands are all
    applied, because they have an order; without a second value, they concern all links of the first.

    :param fetched: rows of ``key`` (the first value), ``value2``, ``fault``, ``fault_value``, ``line``.
    """
    rows = fetched.rows
    connection.register("fetched", rows)
    faults: list[dict[str, Any]] = []
    left_out: list[int] = []
    if described.command_column is not None:
        faults = _faulty_rows(connection, ", command") if _has_faults(rows) else []
        left_out = _lines(connection, _EMPTY) + [row["line"] for row in faults]
    elif _has_faults(rows) or _count(connection, _PAIRS) < rows.num_rows:
        faults = _faulty_rows(connection)
        left_out = _lines(connection, _IGNORED) + [row["line"] for row in faults]
    connection.unregister("fetched")
    return _cleansed(fetched, faults, left_out, described, file)


_FAULTY = pa.schema([("key", pa.string()), ("line", pa.int64()), ("command", pa.string())])
_PAIRS = "count(distinct (key, value2)) filter (value2 is not null)"
_EMPTY = "select line from fetched where fault is null and value2 is null and key is null"
_IGNORED = """
    select line from fetched where fault is null and value2 is null
    union all
    select f.line from fetched f
    join (select key, value2, min(line) as first from fetched where fault is null group by all having count(*) > 1) d
    on d.key = f.key and d.value2 = f.value2
    where f.fault is null and f.line > d.first"""


def _has_faults(rows: pa.Table) -> bool:
    return bool(rows["fault"].null_count < rows.num_rows)


def _count(connection: duckdb.DuckDBPyConnection, counted: str) -> int:
    return int(connection.sql(f"select {counted} from fetched").fetchall()[0][0])


def _lines(connection: duckdb.DuckDBPyConnection, query: str) -> list[int]:
    return [line for (line,) in connection.sql(query).fetchall()]


def _faulty_rows(connection: duckdb.DuckDBPyConnection, columns: str = "") -> list[dict[str, Any]]:
    """The rows with a fault.

    :param columns: more columns of them, after a comma.
    """
    query = f"select line, key, fault, fault_value{columns} from fetched where fault is not null order by line"
    return list(connection.sql(query).to_arrow_table().to_pylist())


def _faulty_resources(connection: duckdb.DuckDBPyConnection) -> list[dict[str, Any]]:
    """The rows with a fault, and those whose key occurs in several rows."""
    query = """
        with repeated as (
            select key, count(distinct state) = 1 and count(fault) = 0 as same,
                list_sort(array_agg(line))[1] as first, list_sort(array_agg(line))[2] as second
            from fetched where key is not null group by key having count(*) > 1)
        select f.line, f.key, f.fault, f.fault_value, coalesce(d.same, false) as same,
               case when f.line = d.first then d.second else d.first end as other
        from fetched f left join repeated d on d.key = f.key
        where f.fault is not null or (d.key is not null and not (d.same and f.line = d.first))
        order by f.line"""
    return list(connection.sql(query).to_arrow_table().to_pylist())


def _cleansed(
    fetched: FetchedRows,
    faults: list[dict[str, Any]],
    left_out: list[int],
    described: DescribedColumns,
    file: str,
) -> CleansedRows:
    rows = fetched.rows
    if left_out:
        rows = rows.filter(pc.invert(pc.is_in(rows["line"], value_set=pa.array(left_out, pa.int64()))))
    unreadable = [SetAside(file=file, line=row.line, reason=row.reason, value=row.text) for row in fetched.unreadable]
    set_aside = [described.set_aside(row, file) for row in faults]
    kept = dict.fromkeys(
        row["key"]
        for row in faults
        if row["key"] is not None and row["fault"] != KEY_EMPTY and not (row["fault"] is None and row["same"])
    )
    faulty = [row for row in faults if row["key"] in kept]
    return CleansedRows(
        rows=rows,
        faulty=pa.Table.from_pylist(faulty, schema=_FAULTY) if described.command_column is not None else None,
        kept=pa.array(list(kept), pa.string()),
        set_aside=tuple(sorted([*set_aside, *unreadable], key=lambda row: row.line or 0)),
        incomplete=why_incomplete(len(fetched.unreadable), sum(described.loses_key(row["fault"]) for row in faults)),
        count=fetched.count,
    )
