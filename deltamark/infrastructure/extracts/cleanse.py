"""Which rows of an extract may be applied and which are set aside; set-wise, over all rows at once."""

from __future__ import annotations

from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.compute as pc
from attrs import frozen

from deltamark.application.ports.extracts import Cleansed
from deltamark.domain.runs.run import ExtractRead, SetAside
from deltamark.infrastructure.extracts.csv.cells import Fetched
from deltamark.infrastructure.extracts.row_faults import KEY_EMPTY, Wording, why_incomplete


@frozen(kw_only=True)
class Sifted:
    """The rows that may be applied, and what became of the others.

    :param rows: in the order of the extract.
    :param kept: keys of rows set aside, each once; not of those that a row applied says just the same of.
    """

    rows: pa.Table
    kept: pa.Array
    set_aside: tuple[SetAside, ...]
    incomplete: str | None
    count: int

    def cleansed(self, subject: str, file: str, digest: str) -> Cleansed:
        """The account of it."""
        read = ExtractRead(subject=subject, file=file, rows=self.count, digest=digest)
        return Cleansed(read=read, set_aside=self.set_aside, incomplete=self.incomplete)


def sifted_resources(connection: duckdb.DuckDBPyConnection, fetched: Fetched, wording: Wording, file: str) -> Sifted:
    """Set aside the rows with a fault, and those whose key stands in several rows.

    Of rows that say the same the first stays; if they differ, or if they are commands, none does.

    :param fetched: rows of ``key``, ``state``, ``fault`` (a code, NULL where all is well), ``fault_value``, and
        ``line``; the same key stands in the same text.
    """
    rows = fetched.rows
    connection.register("fetched", rows)
    faults = []
    if _has_faults(rows) or _counted(connection, "count(distinct key)") < rows.num_rows:
        faults = _faulty_resources(connection, has_commands=wording.command_column is not None)
    connection.unregister("fetched")
    return _sifted(fetched, faults, [row["line"] for row in faults], wording, file)


def sifted_links(connection: duckdb.DuckDBPyConnection, fetched: Fetched, wording: Wording, file: str) -> Sifted:
    """Set aside the rows with a fault, and the pairs that stand in several rows with differing commands.

    Rows without a second value are passed over unless they carry a command (it speaks of all links of the first),
    and so are all but the first of equal rows.

    :param fetched: rows of ``key`` (the first value), ``value2``, ``fault``, ``fault_value``, ``line``.
    """
    rows = fetched.rows
    connection.register("fetched", rows)
    faults: list[dict[str, Any]] = []
    gone: list[int] = []
    pairs = _counted(connection, "count(distinct (key, value2)) filter (value2 is not null)")
    if _has_faults(rows) or pairs < rows.num_rows:
        faults = _faulty_links(connection, has_commands=wording.command_column is not None)
        passed_over = _PASSED_OVER_COMMANDS if wording.command_column is not None else _PASSED_OVER
        gone = _lines(connection, passed_over) + [row["line"] for row in faults]
    connection.unregister("fetched")
    return _sifted(fetched, faults, gone, wording, file)


_PASSED_OVER = """
    select line from fetched where fault is null and value2 is null
    union all
    select f.line from fetched f
    join (select key, value2, min(line) as first from fetched where fault is null group by all having count(*) > 1) d
    on d.key = f.key and d.value2 = f.value2
    where f.fault is null and f.line > d.first"""
_PASSED_OVER_COMMANDS = _PASSED_OVER.replace("value2 is null", "value2 is null and key is null", 1)


def _has_faults(rows: pa.Table) -> bool:
    return bool(rows["fault"].null_count < rows.num_rows)


def _counted(connection: duckdb.DuckDBPyConnection, what: str) -> int:
    return int(connection.sql(f"select {what} from fetched").fetchall()[0][0])


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


def _sifted(fetched: Fetched, faults: list[dict[str, Any]], gone: list[int], wording: Wording, file: str) -> Sifted:
    rows = fetched.rows
    if gone:
        rows = rows.filter(pc.invert(pc.is_in(rows["line"], value_set=pa.array(gone, pa.int64()))))
    unreadable = [SetAside(file=file, line=u.line, reason=u.reason, value=u.text) for u in fetched.unreadable]
    set_aside = [wording.set_aside(row, file) for row in faults]
    kept = dict.fromkeys(
        row["key"]
        for row in faults
        if row["key"] is not None and row["fault"] != KEY_EMPTY and not (row["fault"] is None and row["same"])
    )
    return Sifted(
        rows=rows,
        kept=pa.array(list(kept), pa.string()),
        set_aside=tuple(sorted([*set_aside, *unreadable], key=lambda s: s.line or 0)),
        incomplete=why_incomplete(len(fetched.unreadable), sum(wording.loses_key(row["fault"]) for row in faults)),
        count=fetched.count,
    )
