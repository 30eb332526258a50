"""The SQL over the cells of an extract: keys, states, links, commands and faults."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType

from attrs import frozen

from deltamark.application.ports.extracts import LinkColumn
from deltamark.domain.configuration.entity_model import EntityAssociationMapping, EntityType, EntityTypeMapping
from deltamark.domain.configuration.value_formats import SID, CellType, ValueFormat
from deltamark.domain.location import Location
from deltamark.domain.synchronization.keys import INVISIBLE
from deltamark.domain.values import PropertyType
from deltamark.infrastructure.duckdb.connection import literal
from deltamark.infrastructure.duckdb.conversions import (
    BLANKS,
    Conversion,
    conversion,
    in_ascii,
    lower_escapes,
    prepared,
    without_surroundings,
)
from deltamark.infrastructure.extracts.known_rows import digest_of_cells
from deltamark.infrastructure.extracts.many_values import split_conversion
from deltamark.infrastructure.extracts.row_faults import (
    COMMAND_UNKNOWN,
    COMMANDS,
    FIRST_CONVERSION,
    HEADER_AGAIN,
    HEADER_MOVED,
    KEY_EMPTY,
    KEY_TOO_LONG,
    LINK_COMMANDS,
    LONGEST_KEY,
    NOT_READ,
    ROW_EMPTY,
    DescribedColumns,
    MappedColumn,
)

_LONGEST_SHOWN = 1_000


_NO_TYPES: Mapping[str, CellType] = MappingProxyType({})


@frozen(kw_only=True)
class Query:
    """A query over an extract.

    :param columns: the columns of the extract that it reads.
    :param bytes_columns: those of them whose values are bytes; a column of bytes that is not among them holds texts.
    :param identifier_columns: those of them whose values may be bytes or texts (Guid, SID).
    :param sql: the query over ``cells``, in which ``columns[i]`` is called ``w<i>``.
    :param described: the columns as messages name them.
    :param foreign_column: the column with commands, which a table that is always complete must not have.
    """

    columns: Sequence[str]
    bytes_columns: frozenset[str]
    identifier_columns: frozenset[str]
    sql: str
    described: DescribedColumns
    foreign_column: str | None = None


@frozen(kw_only=True)
class _Column:
    """A mapped column.

    :param raw: the cell as the extract holds it; `cell` is NULL where that means no value, and trimmed if it is;
        `value` is what is converted, for a key without what surrounds it.
    """

    name: str
    kind: PropertyType
    written: ValueFormat
    raw: str
    cell: str
    value: str
    conversion: Conversion
    is_split: bool = False

    @property
    def is_key(self) -> bool:
        """Whether it is a key or names one."""
        return self.value != self.cell


def resource_query(
    mapping: EntityTypeMapping,
    entity_type: EntityType,
    command_column: str | None,
    *,
    is_shared: bool = False,
    cell_types: Mapping[str, CellType] = _NO_TYPES,
    not_read: str | None = None,
    salt: str | None = None,
) -> Query:
    """The query for ``key``, ``state``, ``fault`` and ``fault_value``.

    If there is a command column, also ``command``; with a salt also ``digest``.

    :param command_column: the column with commands in the extracts of the connector that are not always complete.
    :param is_shared: whether a row with nothing but a command is empty.
    :param cell_types: those of columns to which the file gives a type.
    :param not_read: the column that says why a row could not be read at its source.
    :param salt: that of the digests, if they are to be computed.

    :raises SourceError: if the `Format` of a date is invalid.
    """
    at = mapping.location or Location(mapping.connection_table)
    command_column, foreign_column = _of_table(mapping, command_column)
    columns = []
    for number, mapped in enumerate(mapping.properties):
        declared = entity_type.property(mapped.identifier)
        kind = (
            declared.type if declared else PropertyType.FOREIGN_KEY
        )  # a property that only an association names need not be declared
        is_key = mapped.is_primary_key or mapped.is_unique_key
        where = mapped.location or at
        written = mapped.value_format.in_cells_of(cell_types.get(mapped.connection_column))
        columns.append(_column(mapped.connection_column, kind, number, written, where, is_key=is_key))
    key = mapping.properties.index(mapping.primary_key)
    in_order = sorted(range(len(columns)), key=lambda i: mapping.properties[i].identifier)
    state = _state([(mapping.properties[i].identifier, i, columns[i].conversion) for i in in_order], key)
    if command_column is not None:
        state = f"case when command = 'delete' then '{{}}' else {state} end"
    digest = "" if salt is None else f", {digest_of_cells(salt, len(columns))} as digest"
    return _query(
        columns,
        key,
        command_column,
        f"t{key} as key, {lower_escapes('duckdb_state')} as state{digest}",
        derived=f"{state} as duckdb_state, ",
        unchecked="command = 'delete'",
        is_shared=is_shared,
        foreign_column=foreign_column,
        not_read=not_read,
    )


def _state(members: Sequence[tuple[str, int, Conversion]], key: int) -> str:
    """SQL for the JSON object of the values of a row that has a key: no member is made for a value that is NULL.

    One function makes the text. The members before that of the key end with a comma, those after it begin with one.

    :param members: name, number of the column and conversion, in the order of the object.
    """
    parts, comes_after_key = ["'{'"], False
    for name, number, converted in members:
        value, is_missing = converted.json(f"t{number}"), f"t{number} is null"
        if number == key:
            parts += [literal(_json_name(name)), value]
            comes_after_key = True
        elif comes_after_key:
            parts += [f"case when {is_missing} then null else {literal(',' + _json_name(name))} end", value]
        else:
            parts += [f"case when {is_missing} then null else {literal(_json_name(name))} end", value]
            parts.append(f"case when {is_missing} then null else ',' end")
    return f"concat({', '.join(parts)}, '}}')"


def link_query(
    mapping: EntityAssociationMapping,
    ends: tuple[LinkColumn, LinkColumn],
    command_column: str | None,
    *,
    may_lack_first: bool = False,
    is_shared: bool = False,
    cell_types: Mapping[str, CellType] = _NO_TYPES,
    not_read: str | None = None,
) -> Query:
    """The query for ``key``, ``value2``, ``fault``, ``fault_value`` and ``command``.

    ``key`` is the first value. Both are lists where the mapping states a separator.

    A row whose second cell is empty has no ``value2``, and no fault if there is a first value and no command.

    :param command_column: as for `resource_query`.
    :param may_lack_first: whether a row without a first value has no fault either. With commands that holds only where
        a cell has one value: of several, an empty cell does not say which are concerned.
    :param is_shared: whether a row with nothing but a command is empty.
    :param cell_types: those of columns to which the file gives a type.
    :param not_read: the column that says why a row could not be read at its source.
    """
    at = mapping.location or Location(mapping.connection_table)
    command_column, foreign_column = _of_table(mapping, command_column)
    names = (mapping.column1, mapping.column2)
    columns = [
        _column(
            name,
            end.kind,
            number,
            end.written.in_cells_of(cell_types.get(name)),
            at,
            separator=end.separator,
            is_key=True,
        )
        for number, (name, end) in enumerate(zip(names, ends, strict=True))
    ]
    if command_column is not None:
        is_row_of_other_end = may_lack_first and ends[0].separator is None
        is_half = "not h0 and command is not null" if is_row_of_other_end else "false"
    elif may_lack_first:
        is_half = "h0 <> h1"
    else:
        is_half = "h0 and not h1"
    return _query(
        columns,
        0,
        command_column,
        "t0 as key, t1 as value2",
        ignored=is_half,
        is_shared=is_shared,
        foreign_column=foreign_column,
        commands=LINK_COMMANDS,
        not_read=not_read,
    )


def _of_table(
    mapping: EntityTypeMapping | EntityAssociationMapping, command_column: str | None
) -> tuple[str | None, str | None]:
    """The column with commands that a table has, and the one that it must not have."""
    return (None, command_column) if mapping.always_complete else (command_column, None)


def _column(
    name: str,
    kind: PropertyType,
    number: int,
    written: ValueFormat,
    at: Location,
    *,
    is_key: bool,
    separator: str | None = None,
) -> _Column:
    raw = f"w{number}"
    cell = raw if prepared(raw, written) is None else f"c{number}"
    value = f"k{number}" if is_key and separator is None else cell
    if separator is None:
        converted = conversion(kind, value, written, at)
    else:
        converted = split_conversion(kind, cell, separator, written, at, in_ascii(INVISIBLE))
    return _Column(
        name=name,
        kind=kind,
        written=written,
        raw=raw,
        cell=cell,
        value=value,
        conversion=converted,
        is_split=separator is not None,
    )


def _query(
    columns: Sequence[_Column],
    key: int,
    command_column: str | None,
    selected: str,
    *,
    derived: str = "",
    unchecked: str = "false",
    ignored: str = "false",
    is_shared: bool = False,
    foreign_column: str | None = None,
    commands: Mapping[str, str] = COMMANDS,
    not_read: str | None = None,
) -> Query:
    """The query that selects these columns and the first fault of each row.

    :param derived: columns that `selected` uses besides the values.
    :param unchecked: the rows of which only the key is checked.
    :param ignored: the rows that have no fault, whatever they hold.
    :param is_shared: whether a row with nothing but a command is empty.
    :param not_read: the column that says why a row could not be read at its source.
    """
    values = [f"{c.conversion.text} as t{i}, {c.conversion.has_value} as h{i}" for i, c in enumerate(columns)]
    keys = [f"{without_surroundings(column.cell)} as {column.value}" for column in columns if column.is_key]
    names = [column.name for column in columns]
    command = f"w{len(columns)}"
    if command_column is not None:
        names.append(command_column)
    read = [column.cell for column in columns] + ([] if command_column is None or is_shared else [command])
    faults = [
        (ROW_EMPTY, f"case when h{key} then false else {' and '.join(map(_blank, read))} end", "null"),
        (KEY_EMPTY, f"not h{key}", columns[key].raw),
        (HEADER_AGAIN, _repeats_header(columns, key, names), columns[key].raw),
        *([(HEADER_MOVED, _is_other_header(columns[key], names), columns[key].raw)] if len(set(names)) > 1 else []),
        (KEY_TOO_LONG, f"{_longest(columns[key], key)} > {LONGEST_KEY}", columns[key].cell),
        *_conversion_fault(columns, key, "true"),
    ]
    if not_read is not None:
        reason = f"w{len(names)}"
        names.append(not_read)
        faults.append((NOT_READ, f"{reason} is not null", reason))
    if command_column is not None:
        meanings = " ".join(f"when '{spelling}' then '{meaning}'" for spelling, meaning in commands.items())
        values.append(f"case lower(trim({command}, {in_ascii(BLANKS)})) {meanings} end as command")
        faults.append((COMMAND_UNKNOWN, "command is null", command))
        selected += ", command"
    else:
        unchecked = "false"
    for number in range(len(columns)):
        if number != key:
            checked = "true" if unchecked == "false" else f"not coalesce({unchecked}, false)"
            faults += _conversion_fault(columns, number, checked)
    codes = " ".join(f"when {condition} then {code}" for code, condition, _ in faults)
    shown = " ".join(f"when {code} then {cell}" for code, _, cell in faults)
    cleaned = [(column, prepared(f"w{number}", column.written)) for number, column in enumerate(columns)]
    cells = ", ".join(f"{sql} as {column.cell}" for column, sql in cleaned if sql is not None)
    source = f"(select *, {cells} from cells)" if cells else "cells"
    source = f"(select *, {', '.join(keys)} from {source})" if keys else source
    sql = f"""
        select {selected}, fault, left(case fault {shown} end, {_LONGEST_SHOWN}) as fault_value
        from (select *, {derived}case when {ignored} then null {codes} end as fault
              from (select *, {", ".join(values)} from {source}))"""
    mapped = [MappedColumn(name=c.name, kind=c.kind, written=c.written) for c in columns]
    described = DescribedColumns(columns=mapped, key=key, command_column=command_column, commands=tuple(commands))
    return Query(
        columns=names,
        bytes_columns=frozenset(c.name for c in columns if c.kind in (PropertyType.BYTES, PropertyType.BINARY)),
        identifier_columns=frozenset(c.name for c in columns if c.kind is PropertyType.GUID or c.written.format == SID),
        sql=sql,
        described=described,
        foreign_column=None if foreign_column in names else foreign_column,
    )


def _repeats_header(columns: Sequence[_Column], key: int, names: Sequence[str]) -> str:
    """Whether a row is the header once more, or a line ``sep=;``, as files have them that were joined.

    Letter case counts where the key alone is mapped: there the row may be a resource with such a key.
    """
    others = [(name, f"w{number}") for number, name in enumerate(names) if number != key]
    own = columns[key]
    if others:
        is_own = f"strlen({own.value}) = {len(own.name.encode())} and lower({own.value}) = lower({literal(own.name)})"
        rest = [f"lower(trim({cell})) = lower(trim({literal(name)}))" for name, cell in others]
        same = f"case when {is_own} then {' and '.join(rest)} else false end"
    else:
        same = f"{own.value} = {literal(own.name)}"
    separator = " and ".join([f"{own.value} in ('sep=', 'SEP=')", *(_blank(cell) for _, cell in others)])
    return f"(({same}) or ({separator}))"


def _is_other_header(key: _Column, names: Sequence[str]) -> str:
    """Whether a row is a header with the columns in another order: files of different kinds were joined."""
    listed = ", ".join(literal(name) for name in sorted(set(names)))
    cells = [f"w{number}" for number in range(len(names))]
    different = f"len(list_distinct([{', '.join(cells)}])) = {len(set(names))}"
    every = " and ".join(f"{cell} in ({listed})" for cell in cells)
    return f"case when {key.value} in ({listed}) then {every} and {different} else false end"


def _conversion_fault(columns: Sequence[_Column], number: int, checked: str) -> list[tuple[int, str, str]]:
    column = columns[number]
    if column.conversion.is_total:
        return []
    condition = f"h{number} and t{number} is null and {checked}"
    return [(FIRST_CONVERSION + number, condition, column.cell)]


def _longest(column: _Column, number: int) -> str:
    """SQL for the length of the value of a column, or of the longest of its values."""
    if column.is_split:
        return f"list_max(list_transform(t{number}, lambda x: length(x)))"
    return f"length({column.value})"


def blank_row(count: int) -> str:
    """Whether all of so many cells are empty or white space."""
    return " and ".join(_blank(f"w{number}") for number in range(count))


def _blank(cell: str) -> str:
    """Whether a cell is empty or white space.

    The first character decides most cells, which is cheap.
    """
    white = f"{cell} is null or trim({cell}, {in_ascii(INVISIBLE)}) = ''"
    return f"(case when {cell} >= '!' and {cell} < chr(127) then false else {white} end)"


def _json_name(identifier: str) -> str:
    assert identifier.isidentifier(), "a checked configuration has only letters and digits"
    return f'"{identifier}":'
