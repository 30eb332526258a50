"""The SQL over the cells of an extract: keys, states, links, commands and faults."""

from __future__ import annotations

from collections.abc import Sequence

from attrs import frozen

from deltamark.application.ports.extracts import LinkColumn
from deltamark.domain.configuration.entity_model import EntityAssociationMapping, EntityType, EntityTypeMapping
from deltamark.domain.configuration.value_formats import ValueFormat
from deltamark.domain.location import Location
from deltamark.domain.values import PropertyType
from deltamark.infrastructure.duckdb.connection import literal
from deltamark.infrastructure.duckdb.conversions import (
    BLANKS,
    Conversion,
    conversion,
    in_ascii,
    lower_escapes,
    text_in_ascii,
)
from deltamark.infrastructure.extracts.many_values import split_conversion
from deltamark.infrastructure.extracts.row_faults import (
    COMMAND_UNKNOWN,
    COMMANDS,
    FIRST_CONVERSION,
    KEY_EMPTY,
    KEY_TOO_LONG,
    LONGEST_KEY,
    DescribedColumns,
    MappedColumn,
)

_WHITE = "".join(
    chr(code)
    for code in (
        *range(9, 14), 32, 0x85, 0xA0, 0x1680, *range(0x2000, 0x200C), 0x2028, 0x2029, 0x202F, 0x205F, 0x3000, 0xFEFF,
    )
)  # fmt: skip
"""A key of these characters alone counts as empty: all white space, also of no width."""

_LONGEST_SHOWN = 1_000


@frozen(kw_only=True)
class Query:
    """A query over an extract.

    :param columns: the columns of the extract that it reads.
    :param sql: the query over ``cells``, in which ``columns[i]`` is called ``w<i>``.
    :param described: the columns as messages name them.
    """

    columns: Sequence[str]
    sql: str
    described: DescribedColumns


@frozen(kw_only=True)
class _Column:
    name: str
    kind: PropertyType
    written: ValueFormat
    cell: str
    conversion: Conversion
    is_split: bool = False


def resource_query(mapping: EntityTypeMapping, entity_type: EntityType, command_column: str | None) -> Query:
    """The query for ``key``, ``state``, ``fault`` and ``fault_value``.

    If there is a command column, also ``command``.

    :raises SourceError: if the `Format` of a date is invalid.
    """
    at = mapping.location or Location(mapping.connection_table)
    columns = []
    for number, mapped in enumerate(mapping.properties):
        declared = entity_type.property(mapped.identifier)
        kind = (
            declared.type if declared else PropertyType.FOREIGN_KEY
        )  # a property that only an association names need not be declared
        columns.append(_column(mapped.connection_column, kind, number, mapped.value_format, mapped.location or at))
    key = mapping.properties.index(mapping.primary_key)
    in_order = sorted(range(len(columns)), key=lambda i: mapping.properties[i].identifier)
    fragments = [
        f"{literal(_json_name(mapping.properties[i].identifier))} || {columns[i].conversion.json(f't{i}')}"
        for i in in_order
    ]
    state = f"'{{' || concat_ws(',', {', '.join(fragments)}) || '}}'"
    if command_column is not None:
        state = f"case when command = 'delete' then '{{}}' else {state} end"
    return _query(
        columns,
        key,
        command_column,
        f"t{key} as key, {lower_escapes('duckdb_state')} as state",
        derived=f"{state} as duckdb_state, ",
        unchecked="command = 'delete'",
    )


def link_query(
    mapping: EntityAssociationMapping, ends: tuple[LinkColumn, LinkColumn], command_column: str | None
) -> Query:
    """The query for ``key``, ``value2``, ``fault``, ``fault_value`` and ``command``.

    ``key`` is the first value. Both are lists where the mapping states a separator.

    A row whose second cell is empty has no ``value2``, and no fault unless it has a command.
    """
    at = mapping.location or Location(mapping.connection_table)
    names = (mapping.column1, mapping.column2)
    columns = [
        _column(name, end.kind, number, end.written, at, end.separator)
        for number, (name, end) in enumerate(zip(names, ends, strict=True))
    ]
    first, second = (column.cell for column in columns)
    void = f"(not coalesce(h1, false) or {_blank(second)})"
    if command_column is not None:
        void = f"({_blank(first)} and {void})"
    selected = f"t0 as key, case when {_blank(second)} then null else t1 end as value2"
    return _query(columns, 0, command_column, selected, ignored=void)


def _column(
    name: str, kind: PropertyType, number: int, written: ValueFormat, at: Location, separator: str | None = None
) -> _Column:
    cell = f"w{number}" if _prepared(f"w{number}", written) is None else f"c{number}"
    if separator is None:
        converted = conversion(kind, cell, written, at)
    else:
        converted = split_conversion(kind, cell, separator, written, at, in_ascii(_WHITE))
    return _Column(
        name=name, kind=kind, written=written, cell=cell, conversion=converted, is_split=separator is not None
    )


def _prepared(cell: str, written: ValueFormat) -> str | None:
    """SQL for a cell without what means no value, and trimmed if it is; None if the cell stays as it is."""
    if not written.trim and not written.null_values:
        return None
    trimmed = f"trim({cell}, {in_ascii(_WHITE)})"
    nothing = ", ".join(text_in_ascii(text) for text in ("", *written.null_values))
    return f"case when {trimmed} not in ({nothing}) then {trimmed if written.trim else cell} end"


def _query(
    columns: Sequence[_Column],
    key: int,
    command_column: str | None,
    selected: str,
    *,
    derived: str = "",
    unchecked: str = "false",
    ignored: str = "false",
) -> Query:
    """The query that selects these columns and the first fault of each row.

    :param derived: columns that `selected` uses besides the values.
    :param unchecked: the rows of which only the key is checked.
    :param ignored: the rows that have no fault, whatever they hold.
    """
    values = [f"{c.conversion.text} as t{i}, {c.conversion.has_value} as h{i}" for i, c in enumerate(columns)]
    faults = [
        (KEY_EMPTY, f"not h{key} or {_blank(columns[key].cell)}", columns[key].cell),
        (KEY_TOO_LONG, f"{_longest(columns[key], key)} > {LONGEST_KEY}", columns[key].cell),
        *_conversion_fault(columns, key, "true"),
    ]
    names = [column.name for column in columns]
    if command_column is not None:
        command = f"w{len(names)}"
        meanings = " ".join(f"when '{spelling}' then '{meaning}'" for spelling, meaning in COMMANDS.items())
        values.append(f"case lower(trim({command}, {in_ascii(BLANKS)})) {meanings} end as command")
        faults.append((COMMAND_UNKNOWN, "command is null", command))
        names.append(command_column)
        selected += ", command"
    else:
        unchecked = "false"
    for number in range(len(columns)):
        if number != key:
            checked = "true" if unchecked == "false" else f"not coalesce({unchecked}, false)"
            faults += _conversion_fault(columns, number, checked)
    codes = " ".join(f"when {condition} then {code}" for code, condition, _ in faults)
    shown = " ".join(f"when {code} then {cell}" for code, _, cell in faults)
    prepared = [(column, _prepared(f"w{number}", column.written)) for number, column in enumerate(columns)]
    cells = ", ".join(f"{sql} as {column.cell}" for column, sql in prepared if sql is not None)
    source = f"(select *, {cells} from cells)" if cells else "cells"
    sql = f"""
        select {selected}, fault, left(case fault {shown} end, {_LONGEST_SHOWN}) as fault_value
        from (select *, {derived}case when {ignored} then null {codes} end as fault
              from (select *, {", ".join(values)} from {source}))"""
    mapped = [MappedColumn(name=c.name, kind=c.kind, written=c.written) for c in columns]
    described = DescribedColumns(columns=mapped, key=key, command_column=command_column)
    return Query(columns=names, sql=sql, described=described)


def _conversion_fault(columns: Sequence[_Column], number: int, checked: str) -> list[tuple[int, str, str]]:
    column = columns[number]
    if column.conversion.is_total:
        return []
    condition = f"h{number} and t{number} is null and {checked}"
    return [(FIRST_CONVERSION + number, condition, column.cell)]


def _longest(column: _Column, number: int) -> str:
    """SQL for the length of the value of a column, or of the longest of its values."""
    return f"list_max(list_transform(t{number}, lambda x: length(x)))" if column.is_split else f"length({column.cell})"


def _blank(cell: str) -> str:
    """Whether a cell is empty or white space.

    The first character decides most cells, which is cheap.
    """
    white = f"{cell} is null or trim({cell}, {in_ascii(_WHITE)}) = ''"
    return f"(case when {cell} >= '!' and {cell} < chr(127) then false else {white} end)"


def _json_name(identifier: str) -> str:
    assert identifier.isidentifier(), "a checked configuration has only letters and digits"
    return f'"{identifier}":'
