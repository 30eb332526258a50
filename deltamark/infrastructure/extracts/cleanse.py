"""Decides set-wise which rows of an extract are applied and which are set aside."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from attrs import evolve, frozen

from deltamark.application.ports.extracts import Cleansed
from deltamark.domain.errors import SourceError
from deltamark.domain.messages import how_many
from deltamark.domain.runs.run import ExtractRead, SetAside
from deltamark.domain.synchronization.incomplete import why_incomplete
from deltamark.domain.values import shown
from deltamark.infrastructure.extracts.cells import Cells, FetchedRows
from deltamark.infrastructure.extracts.files import ExtractFile
from deltamark.infrastructure.extracts.query import blank_row
from deltamark.infrastructure.extracts.row_faults import HEADER_MOVED, KEY_EMPTY, ROW_EMPTY, DescribedColumns


@frozen(kw_only=True)
class CleansedRows:
    """The rows that are applied, and those that are set aside.

    :param rows: the rows that are applied, in the order of the extract.
    :param kept: the keys of rows set aside, each once; without those of duplicates of a row that is applied.
    :param faulty: the rows set aside of an extract with commands whose key is known: ``key``, ``line``, ``command``.
    :param losses: why the extract cannot show that something is gone, see `why_incomplete`.
    :param count: the number of all data rows, without empty ones.
    :param passed_over: the number of empty rows.
    :param empty_lines: the lines of those among them that other mappings may read.
    :param marks: the number of byte order marks between rows.
    """

    rows: pa.Table
    kept: pa.Array
    set_aside: tuple[SetAside, ...]
    losses: Sequence[tuple[str, int]]
    count: int
    passed_over: int
    empty_lines: pa.Array | None
    marks: int
    faulty: pa.Table | None = None

    def cleansed(self, subject: str, file: str, digest: str, *, has_commands: bool) -> Cleansed:
        """What a run reports of the cleansing.

        An extract of commands deletes only what it names, so rows that cannot be read make it no less complete.
        """
        read = ExtractRead(subject=subject, file=file, rows=self.count, digest=digest)
        incomplete = None if has_commands else why_incomplete(file, subject, self.losses)
        return Cleansed(
            read=read,
            set_aside=self.set_aside,
            incomplete=incomplete,
            passed_over=self.passed_over,
            empty_lines=self.empty_lines,
            messages=tuple(self._messages(file)),
        )

    def _messages(self, file: str) -> Iterator[str]:
        if self.marks:
            yield f"{file}: {how_many(self.marks, 'byte order mark')} between rows passed over"


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
    # A transformation may make several rows of one line.
    places = pa.array(np.arange(rows.num_rows), pa.int64())
    connection.register("fetched", rows.append_column("place", places))
    faults = []
    if described.command_column is not None:
        faults = _faulty_rows(connection, ", command, place") if _has_faults(rows) else []
    elif _has_faults(rows) or _count(connection, "count(distinct key)") < rows.num_rows:
        faults = _faulty_resources(connection)
    connection.unregister("fetched")
    places = pa.array([row["place"] for row in faults], pa.int64())
    return _cleansed(fetched, faults, places, described, file, by="place")


def cleanse_links(
    connection: duckdb.DuckDBPyConnection, fetched: FetchedRows, described: DescribedColumns, file: str
) -> CleansedRows:
    """Sets aside the rows with a fault.

    Of equal rows only the first is applied, and rows of one side are left out (see `half_rows`). Rows with commands are
    all applied, because they have an order; without a second value, they concern all links of the first.

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
    return _cleansed(fetched, faults, pa.array(left_out, pa.int64()), described, file)


_FAULTY = pa.schema([("key", pa.string()), ("line", pa.int64()), ("command", pa.string())])
_PAIRS = "count(distinct (key, value2)) filter (key is not null and value2 is not null)"
_EMPTY = "select line from fetched where fault is null and value2 is null and key is null"
_IGNORED = """
    select line from fetched where fault is null and (value2 is null or key is null)
    union all
    select f.line from fetched f
    join (select key, value2, min(line) as first from fetched where fault is null group by all having count(*) > 1) d
    on d.key = f.key and d.value2 = f.value2
    where f.fault is null and f.line > d.first"""


def half_rows(fetched: FetchedRows) -> pa.Table | None:
    """The rows of links of which one side is missing, without a fault; None if there are none."""
    rows = fetched.rows
    is_half = pc.and_(pc.is_null(rows["fault"]), pc.xor(pc.is_null(rows["key"]), pc.is_null(rows["value2"])))
    halves = rows.filter(is_half).select(["line", "key", "value2"]).rename_columns(["line", "value1", "value2"])
    return halves if halves.num_rows else None


def only_empty_rows_passed_over(fetched: FetchedRows, cells: Cells) -> FetchedRows:
    """The rows of an extract of which the key alone is mapped: one with a value in another cell has no key."""
    faults = fetched.rows["fault"]
    if not pc.any(pc.equal(faults, ROW_EMPTY)).as_py():
        return fetched
    every = range(len(cells.names))
    is_empty = cells.fetch(f"select {blank_row(len(every))} as is_empty from cells", every).rows["is_empty"]
    has_no_key = pc.and_(pc.equal(faults, ROW_EMPTY), pc.invert(is_empty))
    faults = pc.if_else(pc.fill_null(has_no_key, False), pa.scalar(KEY_EMPTY, faults.type), faults)
    return evolve(fetched, rows=fetched.rows.set_column(fetched.rows.schema.get_field_index("fault"), "fault", faults))


def check_order_of_columns(fetched: FetchedRows, file: ExtractFile) -> None:
    """Refuses a file in which the columns change their order.

    :raises SourceError: with the line where they do.
    """
    moved = fetched.rows.filter(pc.equal(fetched.rows["fault"], HEADER_MOVED))
    if moved.num_rows:
        raise SourceError(
            file.at(moved["line"][0].as_py()),
            "this row is a header with the columns in another order",
            advice="Join only files with the same columns in the same order.",
        )


def check_no_commands(cells: Cells, foreign_column: str | None, file: ExtractFile) -> None:
    """Refuses a delta in place of a table that is always complete: all that it does not name would be deleted.

    :raises SourceError: with the column.
    """
    if foreign_column is not None and foreign_column in cells.names:
        raise SourceError(
            file.at(None, foreign_column),
            "the mapping says that this table is always complete (AlwaysComplete), but it has the column with commands "
            f"{shown(foreign_column)}",
            advice="Export the whole table without that column, or remove AlwaysComplete.",
        )


def without_empty_rows(fetched: FetchedRows) -> FetchedRows:
    """The rows of an extract without those in whose mapped cells nothing is, which are counted."""
    is_empty = pc.fill_null(pc.equal(fetched.rows["fault"], ROW_EMPTY), False)
    lines = fetched.rows["line"].filter(is_empty).combine_chunks()
    if not len(lines):
        return fetched
    return evolve(
        fetched,
        rows=fetched.rows.filter(pc.invert(is_empty)),
        read=None if fetched.read is None else fetched.read - len(lines),
        passed_over=fetched.passed_over + len(lines),
        empty_lines=lines,
    )


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
                list_sort(array_agg({'place': place, 'line': line}))[1] as first,
                list_sort(array_agg({'place': place, 'line': line}))[2] as second
            from fetched where key is not null group by key having count(*) > 1)
        select f.line, f.place, f.key, f.fault, f.fault_value, coalesce(d.same, false) as same,
               case when f.place = d.first.place then d.second.line else d.first.line end as other
        from fetched f left join repeated d on d.key = f.key
        where f.fault is not null or (d.key is not null and not (d.same and f.place = d.first.place))
        order by f.place"""
    return list(connection.sql(query).to_arrow_table().to_pylist())


def _cleansed(
    fetched: FetchedRows,
    faults: list[dict[str, Any]],
    left_out: pa.Array,
    described: DescribedColumns,
    file: str,
    *,
    by: str = "line",
) -> CleansedRows:
    rows = fetched.rows
    if len(left_out):
        named = rows["line"] if by == "line" else pa.array(np.arange(rows.num_rows), pa.int64())
        rows = rows.filter(pc.invert(pc.is_in(named, value_set=left_out)))
    unreadable = [SetAside(file=file, line=row.line, reason=row.reason, value=row.text) for row in fetched.unreadable]
    set_aside = [described.set_aside(row, file) for row in faults]
    kept = dict.fromkeys(
        row["key"] for row in faults if row["key"] is not None and not (row["fault"] is None and row["same"])
    )
    faulty = [row for row in faults if row["key"] in kept]
    return CleansedRows(
        rows=rows,
        faulty=pa.Table.from_pylist(faulty, schema=_FAULTY) if described.command_column is not None else None,
        kept=pa.array(list(kept), pa.string()),
        set_aside=tuple(sorted([*set_aside, *unreadable], key=lambda row: row.line or 0)),
        losses=[
            *([("that cannot be read", len(fetched.unreadable))] if fetched.unreadable else []),
            *described.losses(faults),
        ],
        count=fetched.count,
        passed_over=fetched.passed_over,
        empty_lines=fetched.empty_lines,
        marks=fetched.marks,
    )
