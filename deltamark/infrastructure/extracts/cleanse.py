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
    :param incomplete: why the extract cannot show that something is gone, or None if it can.
    :param count: the number of all data rows.
    """

    rows: pa.Table
    kept: pa.Array
    set_aside: tuple[SetAside, ...]
    incomplete: str | None
    count: int

    def cleansed(self, subject: str, file: str, digest: str) -> Cleansed:
        """What a run reports of the cleansing."""
        read = ExtractRead(subject=subject, file=file, rows=self.count, digest=digest)
        return Cleansed(read=read, set_aside=self.set_aside, incomplete=self.incomplete)


def cleanse_resources(
    connection: duckdb.DuckDBPyConnection, fetched: FetchedRows, described: DescribedColumns, file: str
) -> CleansedRows:
    """Sets aside the rows with a fault, and those whose key occurs in several rows.

    Of equal rows the first is applied. If rows with the same key differ, or are commands, none is.

    :param fetched: rows of ``key`` (canonical text), ``state``, ``fault`` (a code, NULL if there is none),
        ``fault_value`` and ``line``.
    """
    rows = fetched.rows
    connection.register("fetched", rows)
    faults = []
    if _has_faults(rows) or _count(connection, "count(distinct key)") < rows.num_rows:
        faults = _faulty_resources(connection, has_commands=described.command_column is not None)
    connection.unregister("fetched")
    return _cleansed(fetched, faults, [row["line"] for row in faults], described, file)


def cleanse_links(
    connection: duckdb.DuckDBPyConnection, fetched: FetchedRows, described: DescribedColumns, file: str
) -> CleansedRows:
    """Sets aside the rows with a fault, and pairs that rows give with different commands.

    Of equal rows only the first is applied. Rows without a second value are ignored, unless they have a command: it
    applies to all links of the first value.

    :param fetched: rows of ``key`` (the first value), ``value2``, ``fault``, ``fault_value``, ``line``.
    """
    rows = fetched.rows
    connection.register("fetched", rows)
    faults: list[dict[str, Any]] = []
    left_out: list[int] = []
    pairs = _count(connection, "count(distinct (key, value2)) filter (value2 is not null)")
    if _has_faults(rows) or pairs < rows.num_rows:
        faults = _faulty_links(connection, has_commands=described.command_column is not None)
        ignored = _IGNORED_COMMANDS if described.command_column is not None else _IGNORED
        left_out = _lines(connection, ignored) + [row["line"] for row in faults]
    connection.unregister("fetched")
    return _cleansed(fetched, faults, left_out, described, file)


_IGNORED = """
    select line from fetched where fault is null and value2 is null
    union all
    select f.line from fetched f
    join (select key, value2, min(line) as first from fetched where fault is null group by all having count(*) > 1) d
    on d.key = f.key and d.value2 = f.value2
    where f.fault is null and f.line > d.first"""
_IGNORED_COMMANDS = _IGNORED.replace("value2 is null", "value2 is null and key is null", 1)


def _has_faults(rows: pa.Table) -> bool:
    return bool(rows["fault"].null_count < rows.num_rows)


def _count(connection: duckdb.DuckDBPyConnection, counted: str) -> int:
    return int(connection.sql(f"select {counted} from fetched").fetchall()[0][0])


def _lines(connection: duckdb.DuckDBPyConnection, query: str) -> list[int]:
    return [line for (line,) in connection.sql(query).fetchall()]


def _faulty_resources(connection: duckdb.DuckDBPyConnection, *, has_commands: bool) -> list[dict[str, Any]]:
    same = "false" if has_commands else "coalesce(d.states = 1 and d.faults = 0, false)"
    return _faulty(
        connection,
        "select key, count(distinct state) as states, count(fault) as faults, "
        "list_sort(array_agg(line))[1] as first, list_sort(array_agg(line))[2] as second "
        "from fetched where key is not null group by key having count(*) > 1",
        "d.key = f.key",
        same,
        f"f.fault is not null or (d.key is not null and not ({same} and f.line = d.first))",
    )


def _faulty_links(connection: duckdb.DuckDBPyConnection, *, has_commands: bool) -> list[dict[str, Any]]:
    distinct = "count(distinct command)" if has_commands else "1"
    return _faulty(
        connection,
        "select key, value2, list_sort(array_agg(line))[1] as first, list_sort(array_agg(line))[2] as second "
        f"from fetched where fault is null and value2 is not null group by key, value2 having {distinct} > 1",
        "d.key = f.key and d.value2 = f.value2",
        "false",
        "f.fault is not null or d.key is not null",
    )


def _faulty(
    connection: duckdb.DuckDBPyConnection, repeated: str, matching: str, same: str, condition: str
) -> list[dict[str, Any]]:
    query = f"""
        with repeated as ({repeated})
        select f.line, f.key, f.fault, f.fault_value, {same} as same,
               case when f.line = d.first then d.second else d.first end as other
        from fetched f left join repeated d on {matching}
        where {condition}
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
    return CleansedRows(
        rows=rows,
        kept=pa.array(list(kept), pa.string()),
        set_aside=tuple(sorted([*set_aside, *unreadable], key=lambda row: row.line or 0)),
        incomplete=why_incomplete(len(fetched.unreadable), sum(described.loses_key(row["fault"]) for row in faults)),
        count=fetched.count,
    )
