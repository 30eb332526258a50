"""The cells of a connection table that a query makes of another one, row by row (ADR 0074).

The rows that are read are texts in memory; a database without files and network computes the expressions over them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import duckdb
import pyarrow as pa
import pyarrow.compute as pc
from attrs import evolve, frozen

from deltamark.application.ports.extracts import Transformation
from deltamark.application.ports.sources import NOT_READ
from deltamark.domain.configuration.entity_model import EntityAssociationMapping, EntityTypeMapping
from deltamark.domain.configuration.value_formats import CellType
from deltamark.domain.derivation.dependency_paths import ExpressionRefused
from deltamark.domain.errors import SourceError
from deltamark.domain.location import Location
from deltamark.domain.synchronization.direct_input import columns_of
from deltamark.domain.synchronization.transformed_tables import (
    problems_of_link_deltas,
    problems_of_resource_deltas,
)
from deltamark.domain.values import shown
from deltamark.infrastructure.duckdb.connection import Workbench, literal, quoted
from deltamark.infrastructure.duckdb.conversions import BLANKS, in_ascii
from deltamark.infrastructure.expressions.row_query import LONGEST_ROW, CompiledColumn, RowQuery, row_query
from deltamark.infrastructure.expressions.udfs import register_functions
from deltamark.infrastructure.extracts.cells import Cells, FetchedRows, check_columns, numbered, query_cells
from deltamark.infrastructure.extracts.files import ExtractFile
from deltamark.infrastructure.extracts.row_faults import (
    CONDITION_FAILED,
    FIRST_OUTPUT,
    HALF_ROW,
    HEADER_AGAIN,
    LINK_COMMANDS,
    ROW_TOO_LONG,
    DescribedColumns,
)
from deltamark.infrastructure.extracts.row_faults import NOT_READ as SOURCE_FAILED

_AT_ONCE = 100_000
"""Rows whose expressions are computed in one query."""

Mapped = EntityTypeMapping | EntityAssociationMapping


@frozen(kw_only=True)
class Transformer:
    """What one mapping reads of a transformation.

    :param outputs: the columns that the mapping names.
    :param command_column: the column with the commands, which is that of the table that is read.
    """

    transformation: Transformation
    mapping: Mapped
    query: RowQuery
    outputs: tuple[str, ...]
    command_column: str | None

    @classmethod
    def of(cls, transformation: Transformation, mapping: Mapped, command_column: str | None) -> Transformer:
        """Compiles the query.

        :param command_column: None where the table is whole.
        :raises SourceError: if the query is refused, lacks a column, or cannot give a delta.
        """
        declared = transformation.declared
        where = declared.location or Location(declared.identifier)
        try:
            query = row_query(declared)
        except ExpressionRefused as refused:
            raise _refused(where, f"the transformation {shown(declared.identifier)} {refused}") from refused
        outputs = tuple(dict.fromkeys(columns_of(mapping)))
        for name in outputs:
            if query.column(name) is None:
                raise _refused(where, f"the transformation {shown(declared.identifier)} gives no column {shown(name)}")
        if command_column is not None:
            problems = (
                problems_of_resource_deltas(query.table, mapping)
                if isinstance(mapping, EntityTypeMapping)
                else problems_of_link_deltas(
                    query.table,
                    mapping,
                    one_first_each=transformation.one_first_each,
                    one_second_each=transformation.one_second_each,
                )
            )
            for problem in problems:
                raise _refused(
                    where,
                    f"{mapping.connection_table} is a delta, and the transformation {declared.identifier} {problem}",
                )
        return cls(
            transformation=transformation,
            mapping=mapping,
            query=query,
            outputs=outputs,
            command_column=command_column,
        )

    @property
    def reads(self) -> tuple[str, ...]:
        """The columns that are read."""
        names = self.query.table.reads(self.outputs)
        return names if self.command_column is None else tuple(dict.fromkeys((*names, self.command_column)))

    def sources_of(self, outputs: frozenset[str]) -> frozenset[str]:
        """The columns that are read of which these have the value as it is."""
        plain = (self.query.table.column(name) for name in outputs)
        return frozenset(column.source for column in plain if column is not None and column.is_plain and column.source)

    def source_mapping(self) -> Mapped:
        """The mapping with the columns that are read in the place of those that have their values."""
        if isinstance(self.mapping, EntityAssociationMapping):
            return evolve(
                self.mapping, column1=self._source(self.mapping.column1), column2=self._source(self.mapping.column2)
            )
        properties = [
            evolve(mapped, connection_column=self._source(mapped.connection_column))
            for mapped in self.mapping.properties
        ]
        return evolve(self.mapping, properties=properties)

    def _source(self, name: str) -> str:
        column = self.query.table.column(name)
        return name if column is None or not column.is_plain or column.source is None else column.source

    def described(self, described: DescribedColumns) -> DescribedColumns:
        """The columns as messages name them, with those that the query gives."""
        return evolve(described, outputs=self.outputs, transformation=self.transformation.declared.identifier)

    def cells(self, cells: Cells, file: ExtractFile, connection: duckdb.DuckDBPyConnection) -> TransformedCells:
        """The cells that are made of those of the table.

        :raises SourceError: if the table lacks a column.
        """
        check_columns(cells.names, self.reads, file, None)
        return TransformedCells(self, cells, connection)


def _refused(where: Location, problem: str) -> SourceError:
    return SourceError(where, problem, advice="Correct the query, or the mapping.")


class TransformedCells:
    """The rows of a table as a transformation gives them, each with the line of the row that it was made of."""

    def __init__(self, transformer: Transformer, cells: Cells, connection: duckdb.DuckDBPyConnection) -> None:
        self._of = transformer
        self._cells = cells
        self._connection = connection
        self._workbench = Workbench()

    @property
    def names(self) -> Sequence[str]:
        """The columns that the query gives, and those of the table that it gives as they are."""
        query = self._of.query
        others = [name for name in self._cells.names if name != NOT_READ] if query.table.has_all_others else ()
        command = self._of.command_column
        return tuple(dict.fromkeys((*query.columns, *self._of.outputs, *others, *([command] if command else ()))))

    @property
    def cell_types(self) -> Mapping[str, CellType]:
        """Those of the table, for columns that are given as they are; numbers and dates that are computed."""
        types = {}
        for name in self._of.outputs:
            column = self._column(name)
            of_source = self._cells.cell_types.get(column.output.source or "") if column.output.is_plain else None
            cell_type = of_source if column.output.is_plain else column.cell_type
            if cell_type is not None:
                types[name] = cell_type
        return types

    def _column(self, name: str) -> CompiledColumn:
        column = self._of.query.column(name)
        assert column is not None, "a transformer gives the columns of its mapping"
        return column

    def fetch(self, query: str, columns: Sequence[int]) -> FetchedRows:
        """Runs a query over the transformed cells.

        :raises SourceError: if the rows cannot be read.
        """
        names = [self.names[number] for number in columns]
        command = self._of.command_column
        outputs = tuple(dict.fromkeys(name for name in names if name != command))
        reads = self._of.query.table.reads(outputs)
        reads = reads if command is None else tuple(dict.fromkeys((*reads, command)))
        reads = (*reads, NOT_READ) if NOT_READ in self._cells.names else reads
        numbers = [self._cells.names.index(name) for name in reads]
        selected = ", ".join(f"w{place} as r{place}" for place in range(len(reads))) or "1 as nothing"
        fetched = self._cells.fetch(f"select {selected} from cells", numbers)
        computed = self._computed(fetched.rows, reads, outputs)
        shaped = self._shaped(computed, outputs)
        rows = self._queried(query, shaped, names, outputs)
        return evolve(fetched, rows=rows, read=fetched.rows.num_rows)

    def _computed(self, rows: pa.Table, reads: Sequence[str], outputs: Sequence[str]) -> pa.Table:
        """The values of each row: ``place``, ``line``, ``o0``, …, ``passes``, ``fault``, ``fault_value``, ``raw``."""
        register = " ".join(self._of.query.sql)
        self._workbench.prepare(lambda root: register_functions(root, register))
        named = rows.rename_columns([*(f"r{n}" for n in range(len(reads))), "line"] if reads else rows.column_names)
        named = named.append_column("place", pa.array(range(rows.num_rows), pa.int64()))
        parts = [
            self._computed_part(named.slice(start, _AT_ONCE), reads, outputs)
            for start in range(0, max(rows.num_rows, 1), _AT_ONCE)
        ]
        return pa.concat_tables(parts)

    def _computed_part(self, part: pa.Table, reads: Sequence[str], outputs: Sequence[str]) -> pa.Table:
        query, command = self._of.query, self._of.command_column
        columns = [self._column(name) for name in outputs]
        cells = ", ".join([f"CAST(r{n} AS VARCHAR) AS {quoted(name)}" for n, name in enumerate(reads)] or ["1"])
        total = " + ".join(f"coalesce(strlen({quoted(name)}), 0)" for name in reads) or "0"
        fits = f"(({total}) * {max(query.peak.times, 1)} + {query.peak.characters} <= {LONGEST_ROW})"
        kinds = ["VARCHAR[]" if column.output.is_unnested else "VARCHAR" for column in columns]
        values = [
            f"case when fits then try({{'v': CAST({column.sql} AS {kind})}}) end as s{n}"
            for n, (column, kind) in enumerate(zip(columns, kinds, strict=True))
        ]
        condition = query.condition or "true"
        meaning = "NULL" if command is None else _meaning(quoted(command))
        faults = [
            *([(SOURCE_FAILED, f"{quoted(NOT_READ)} is not null", [NOT_READ])] if NOT_READ in reads else []),
            (HEADER_AGAIN, _is_header(reads, command), reads[:1]),
            (ROW_TOO_LONG, "not fits", reads[:1]),
            *([(HALF_ROW, self._is_half_row, [command])] if command is not None else []),
            (CONDITION_FAILED, "passes is null", query.table.condition_reads),
            *(
                (FIRST_OUTPUT + n, f"passes.v and s{n} is null", column.output.reads)
                for n, column in enumerate(columns)
            ),
        ]
        codes = " ".join(f"when {check} then {code}" for code, check, _ in faults)
        shown_values = " ".join(f"when {check} then {_joined(read)}" for _, check, read in faults)
        is_fault = "meaning is distinct from 'delete'"
        outs = "".join(f", s{n}.v as o{n}" for n in range(len(columns)))
        sql = f"""
            select place, line{outs}, coalesce(passes.v, false) as passes, meaning, raw,
                case when {is_fault} then case {codes} end end as fault,
                case when {is_fault} then left(case {shown_values} end, 1000) end as fault_value
            from (select *, {", ".join([*values, "1 as one"])},
                    case when fits then try({{'v': coalesce({condition}, false)}}) end as passes
                from (select *, {fits} as fits, {meaning} as meaning,
                        {"NULL" if command is None else quoted(command)} as raw
                    from (select place, line, {cells} from part)))
            order by place"""
        with self._workbench.connection(part=part) as db:
            table: pa.Table = db.sql(sql).to_arrow_table()
        schema = pa.schema(
            [("place", pa.int64()), ("line", pa.int64())]
            + [(f"o{n}", pa.list_(pa.string()) if kind.endswith("]") else pa.string()) for n, kind in enumerate(kinds)]
            + [("passes", pa.bool_()), ("meaning", pa.string()), ("raw", pa.string())]
            + [("fault", pa.int32()), ("fault_value", pa.string())]
        )
        return table.cast(schema)

    @property
    def _is_half_row(self) -> str:
        """SQL for whether a row does not say everything that the query must know of it."""
        table = self._of.query.table
        if table.has_unnested:
            return "coalesce(meaning in ('merge', 'replace'), false)"
        return "false" if table.takes_half_rows else "coalesce(meaning = 'merge', false)"

    def _shaped(self, computed: pa.Table, outputs: Sequence[str]) -> pa.Table:
        """The rows that there are: ``line``, a text for each output, ``fault``, ``fault_value``, ``raw`` (command)."""
        with self._workbench.connection(computed=computed) as db:
            if self._of.command_column is None:
                sql = _whole_rows(self._unnested(outputs), len(outputs))
            elif isinstance(self._of.mapping, EntityTypeMapping):
                sql = _resource_commands(len(outputs), is_filtered=self._of.query.table.is_filtered)
            else:
                sql = self._link_commands(outputs)
            table: pa.Table = db.sql(sql).to_arrow_table()
        return table

    def _unnested(self, outputs: Sequence[str]) -> dict[int, bool]:
        """The numbers of the outputs that are lists, and whether they read something."""
        columns = [self._column(name).output for name in outputs]
        return {n: bool(column.reads) for n, column in enumerate(columns) if column.is_unnested}

    def _link_commands(self, outputs: Sequence[str]) -> str:
        mapping = self._of.mapping
        assert isinstance(mapping, EntityAssociationMapping)
        first, second = outputs.index(mapping.column1), outputs.index(mapping.column2)
        unnested = self._unnested(outputs)
        if unnested:
            return _whole_link_commands(unnested, len(outputs), first, second)
        is_computed = self._column(mapping.column2).output.source is None
        return _pair_commands(
            len(outputs), first, second, one_each=self._of.transformation.one_second_each, is_computed=is_computed
        )

    def _queried(self, query: str, shaped: pa.Table, names: Sequence[str], outputs: Sequence[str]) -> pa.Table:
        """The result of the query over the shaped rows, with their lines and faults."""
        command = self._of.command_column
        cells = numbered("raw" if name == command else f"nullif(o{outputs.index(name)}, '')" for name in names)
        self._connection.register("shaped", shaped)
        rows = query_cells(self._connection, query, cells, "shaped")
        self._connection.unregister("shaped")
        if "fault" in rows.column_names and shaped["fault"].null_count < shaped.num_rows:
            for name in ("fault", "fault_value"):
                kind = rows.schema.field(name).type
                chosen = pc.if_else(pc.is_valid(shaped["fault"]), shaped[name].cast(kind), rows[name])
                rows = rows.set_column(rows.schema.get_field_index(name), name, chosen)
        return rows.append_column("line", shaped["line"])


def _meaning(command: str) -> str:
    meanings = " ".join(f"when {literal(word)} then {literal(meaning)}" for word, meaning in LINK_COMMANDS.items())
    return f"case lower(trim({command}, {in_ascii(BLANKS)})) {meanings} end"


def _is_header(reads: Sequence[str], command: str | None) -> str:
    """Whether a row is the header once more."""
    names = [name for name in reads if name not in (command, NOT_READ)]
    same = [f"lower(trim({quoted(name)})) = lower(trim({literal(name)}))" for name in names]
    if len(names) == 1:
        same = [f"{quoted(names[0])} = {literal(names[0])}"]
    return f"({' and '.join(same)})" if same else "false"


def _joined(reads: Sequence[str]) -> str:
    cells = ", ".join(f"CAST({quoted(name)} AS VARCHAR)" for name in reads)
    return f"concat_ws(', ', {cells})" if cells else "NULL"


def _outs(count: int) -> str:
    return "".join(f", o{n}" for n in range(count))


def _taken_apart(unnested: Mapping[int, bool], count: int, source: str, *, also: str) -> str:
    """A row for each place of the lists; without places in which nothing is, and each row of a place once."""
    singles = ", ".join(f"case when fault is null then o{n} else [NULL::VARCHAR] end as o{n}" for n in unnested)
    others = ", ".join(f"o{n}" for n in range(count) if n not in unnested)
    taken = ", ".join(f"unnest(o{n}) as o{n}" for n in unnested)
    subscript = f"generate_subscripts(o{next(iter(unnested))}, 1) as sub"
    keep = [f"nullif(o{n}, '') is not null" for n, reads in unnested.items() if reads]
    there = f"fault is not null or {' or '.join(keep) or 'true'}"
    between = f"{others}, " if others else ""
    columns = f"place, line, fault, fault_value, {also}"
    return f"""
        (select {columns}{_outs(count)}, min(sub) as sub
         from (select {columns}, {between}{taken}, {subscript}
               from (select {columns}, {between}{singles} from {source}))
         where {there} group by all)"""


def _whole_rows(unnested: Mapping[int, bool], count: int) -> str:
    """Of a whole table: the rows that fulfil the condition, and those with a fault."""
    kept = "(select * from computed where passes or fault is not null)"
    if not unnested:
        return f"select line{_outs(count)}, fault, fault_value, raw from {kept} order by place"
    taken = _taken_apart(unnested, count, kept, also="raw")
    return f"select line{_outs(count)}, fault, fault_value, raw from {taken} order by place, sub"


def _resource_commands(count: int, *, is_filtered: bool) -> str:
    """Of a delta of resources: one that does not fulfil the condition is deleted, one that does is inserted.

    `insert` of a resource that exists updates it.
    """
    command = "raw"
    if is_filtered:  # a row that did not fulfil the condition before is an update of what is not there
        judged = "fault is null and meaning in ('insert', 'update')"
        command = f"case when {judged} then case when passes then 'insert' else 'delete' end else raw end"
    return f"select line{_outs(count)}, fault, fault_value, {command} as raw from computed order by place"


def _pair_commands(count: int, first: int, second: int, *, one_each: bool, is_computed: bool) -> str:
    """Of a delta of links of which each row is a pair, or names all links of its first value.

    :param one_each: whether a first value has one link at most: then the first value alone identifies a row.
    :param is_computed: whether the second value is computed, so that a deletion does not have it.
    """
    ends = "meaning in ('insert', 'update') and not passes and fault is null"
    second_value = f"o{second}"
    if one_each:
        names_all = f"({ends})" + (" or meaning = 'delete'" if is_computed else "")
        second_value = f"case when {names_all} then NULL else o{second} end"
    outs = "".join(f", {second_value if n == second else f'o{n}'} as o{n}" for n in range(count))
    # Rows with `replace` are all links of their first value: of none that fulfils the condition, all are deleted.
    is_group = "meaning = 'replace' and fault is null"
    return f"""
        select line{outs}, fault, fault_value, case when {ends} then 'delete' else raw end as raw from (
            select * replace (
                case when {is_group} and not passes then 'delete' else raw end as raw,
                case when {is_group} and not passes then NULL else o{second} end as o{second})
            from computed
            qualify not ({is_group} and not passes) or (
                not bool_or(passes and {is_group}) over (partition by o{first})
                and place = min(case when {is_group} then place end) over (partition by o{first})))
        order by place"""


def _whole_link_commands(unnested: Mapping[int, bool], count: int, first: int, second: int) -> str:
    """Of a delta of links of which each row has all links of its first value: the last row of each counts."""
    judged = "fault is null and meaning is not null"
    kept = f"""(select * from computed
        qualify fault is not null or o{first} is null or meaning is null
            or place = max(case when {judged} then place end) over (partition by o{first}))"""
    written = f"(select * from {kept} where fault is not null or meaning is null or (passes and meaning <> 'delete'))"
    taken = _taken_apart(unnested, count, written, also="raw, meaning")
    values = ", ".join(f"NULL::VARCHAR as o{n}" if n in unnested else f"o{n}" for n in range(count))
    return f"""
        with taken as {taken}
        select line{_outs(count)}, fault, fault_value,
            case when fault is null and meaning in ('insert', 'update') then 'replace' else raw end as raw
        from (select place, sub, line{_outs(count)}, fault, fault_value, raw, meaning from taken
            union all by name
            select place, 0 as sub, line, {values}, fault, fault_value, 'delete' as raw, 'delete' as meaning from {kept}
            where fault is null and meaning is not null and place not in (select place from taken))
        order by place, sub"""
