"""The tables that are asked for, and the rows that entries become."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import pyarrow as pa
from attrs import define, field, frozen

from deltamark.application.ports.sources import (
    COMMAND,
    INSERT,
    NOT_READ,
    Question,
    SourceUnreachable,
    Tables,
    UnreadCell,
    WantedTable,
)
from deltamark.domain.configuration.ldap_filter import filter_attributes
from deltamark.domain.configuration.packages import JOIN, OWNER
from deltamark.domain.configuration.secret_attributes import holds_secrets
from deltamark.infrastructure.ldap.schema import Schema
from deltamark.infrastructure.ldap.session import Entry
from deltamark.infrastructure.ldap.values import DERIVED, DN_SYNTAX, Conversion, conversion, dn_text, text

DN = "dn"

_OWN_NAMES = frozenset({"distinguishedname", "entrydn"})
_COMPUTED = frozenset({"hassubordinates", "numsubordinates", "subordinatecount"})
_ROWS_OF_A_BATCH = 5_000


@frozen(kw_only=True)
class LinkTable:
    """A table of pairs: the values of one attribute of the entries of another table."""

    name: str
    columns: tuple[str, ...]
    attribute: str

    def row(self, owner: str, value: str | None) -> tuple[str | None, ...]:
        """A pair as a row."""
        return tuple(owner if column.lower() == OWNER else value for column in self.columns)


@frozen(kw_only=True)
class EntryTable:
    """A table of entries.

    :param join: what stands between several values of one attribute; None where the first in sorted order is taken.
    :param links: the tables of pairs whose owners they are.
    """

    name: str
    columns: tuple[str, ...]
    object_class: str
    filter: str | None
    base: str | None
    join: str | None
    links: tuple[LinkTable, ...]

    @property
    def searched(self) -> str:
        """The filter that finds its entries."""
        return f"(&{self.of_class}{self.filter})" if self.filter else self.of_class

    @property
    def of_class(self) -> str:
        """The filter that finds all entries of its class."""
        return f"(objectClass={self.object_class})"

    @property
    def attributes(self) -> list[str]:
        """The attributes that its columns are made of, each once."""
        sources = (
            DERIVED[name].attribute if (name := column.lower()) in DERIVED else column for column in self.columns
        )
        return list({name.lower(): name for name in sources if name.lower() != DN}.values())

    @property
    def filter_attributes(self) -> frozenset[str]:
        """The attributes that decide which entries it has, in lower case."""
        return filter_attributes(self.filter) if self.filter else frozenset()


def asked_tables(ask: Question) -> list[EntryTable]:
    """The tables of a question, each with those of its links.

    :raises SourceUnreachable: if one cannot be read. The configuration is checked before; this is for other callers.
    """
    tables = [_entry_table(table, ask) for table in ask.tables if "Links" not in table.options]
    names = {table.name for table in tables}
    for table in ask.tables:
        owner = table.options.get("Links")
        if owner is not None and owner not in names:
            raise SourceUnreachable(f"{table.name} has the links of {owner}, which is no table of {ask.connection}")
    return tables


def _entry_table(table: WantedTable, ask: Question) -> EntryTable:
    for column in table.columns:
        if holds_secrets(column):
            raise SourceUnreachable(f"{table.name} has the column {column}, which holds secrets and is never read")
    filtered = table.options.get("Filter")
    try:
        filter_attributes(filtered or "(objectClass=*)")
    except ValueError as error:
        raise SourceUnreachable(f"the filter of {table.name} is wrong: {error}") from error
    return EntryTable(
        name=table.name,
        columns=table.columns,
        object_class=table.options.get("ObjectClass", "*"),
        filter=filtered,
        base=table.options.get("Base") or None,
        join=table.options.get(JOIN),
        links=tuple(
            LinkTable(name=other.name, columns=other.columns, attribute=other.options["Attribute"])
            for other in ask.tables
            if other.options.get("Links") == table.name
        ),
    )


def check_names(tables: Iterable[EntryTable], schema: Schema) -> None:
    """Sees that the server knows all attributes of the tables and of their filters.

    :raises SourceUnreachable: if it does not know one.
    """
    for table in tables:
        schema.check(set(table.attributes), table.name)
        for name in table.attributes:
            _check_told(table, name, schema)
        schema.check(set(table.filter_attributes), f"the filter of {table.name}")
        for link in table.links:
            schema.check({link.attribute}, link.name)


def _check_told(table: EntryTable, name: str, schema: Schema) -> None:
    """Sees that the server reports changes of an attribute.

    :raises SourceUnreachable: if it does not: what changed would differ from a complete reading.
    """
    found = schema.find(name)
    if found is None or name.lower() in _OWN_NAMES:
        return
    if found.syntax == DN_SYNTAX:
        raise SourceUnreachable(
            f"{table.name} has the column {name}, which names other entries: its text changes without a word where one "
            "of them is renamed",
            f'Read it by a table with Links="{table.name}" and Attribute="{name}".',
        )
    if found.local or name.lower() in _COMPUTED:
        raise SourceUnreachable(
            f"{table.name} has the column {name}, which the server computes: no change of it is ever reported",
            "Leave it out of the mapping.",
        )


@define
class Rows:
    """Collects the rows of the tables, and hands them on in batches.

    :ivar messages: what a user must know of the values.
    """

    into: Tables
    delta: bool
    messages: dict[str, None] = field(factory=dict)
    _waiting: dict[str, list[tuple[str | None, ...]]] = field(factory=dict)
    _columns: dict[str, tuple[str, ...]] = field(factory=dict)

    def add(
        self,
        table: EntryTable | LinkTable,
        row: tuple[str | None, ...],
        command: str = INSERT,
        *,
        unread: UnreadCell | None = None,
    ) -> None:
        """Adds a row; its command counts only in a delta.

        :param unread: a value of it that cannot be read: the row is set aside.
        """
        rows = self._waiting.setdefault(table.name, [])
        self._columns[table.name] = table.columns
        reason = None if unread is None else unread.text
        rows.append((command, *row, reason) if self.delta else (*row, reason))
        if len(rows) >= _ROWS_OF_A_BATCH:
            self._write(table.name)

    def add_link(self, link: LinkTable, owner: str, value: bytes) -> None:
        """Adds a pair by the name that a value has; one that is no text is set aside."""
        try:
            self.add(link, link.row(owner, text(value)))
        except ValueError as error:
            self.add(link, link.row(owner, _shown(value)), unread=_unread(link.attribute, value, error))

    def finish(self) -> None:
        """Hands on what waits."""
        for table in self._waiting:
            self._write(table)

    def _write(self, table: str) -> None:
        rows = self._waiting[table]
        if not rows:
            return
        names = (*((COMMAND,) if self.delta else ()), *self._columns[table], NOT_READ)
        columns = list(zip(*rows, strict=True))
        if not any(columns[-1]):
            columns.pop()
            names = names[:-1]
        arrays = [pa.array(column, pa.string()) for column in columns]
        self.into.write(table, pa.record_batch(arrays, names=list(names)))
        rows.clear()


@frozen
class _Cell:
    """What a column is made of.

    :param source: the attribute, in lower case; empty for the distinguished name.
    :param absent: the text where the attribute has no value.
    """

    column: str
    source: str
    convert: Conversion
    absent: str | None = None


class RowMaker:
    """Makes rows of the entries of one table."""

    def __init__(self, table: EntryTable, schema: Schema, rows: Rows) -> None:
        self._table = table
        self._rows = rows
        self._cells = [
            (cell, cell.source, cell.convert) for cell in (_cell(column, schema) for column in table.columns)
        ]

    def add(self, entry: Entry) -> None:
        """Adds the row of an entry; it is set aside if a value is not of the form of its attribute."""
        row: list[str | None] = []
        unread: UnreadCell | None = None
        attributes = entry.attributes
        for cell, source, convert in self._cells:
            values = attributes.get(source)
            if values and convert is text and len(values) == 1:
                value = values[0]
                if value.isascii() and b"\0" not in value:
                    row.append(value.decode())
                    continue
            if not values:
                values = attributes.get(f"{source};binary") if source else [entry.dn.encode()]
            if not values:
                row.append(cell.absent)
                continue
            try:
                row.append(convert(values[0]) if len(values) == 1 else self._several(cell, values))
            except ValueError as error:
                row.append(None)
                unread = unread or _unread(cell.column, _first_refused(values, convert), error)
        self._rows.add(self._table, tuple(row), unread=unread)

    def _several(self, cell: _Cell, values: Sequence[bytes]) -> str | None:
        """The text of several values."""
        texts = sorted(found for value in values if (found := cell.convert(value)))
        if self._table.join is not None:
            return self._table.join.join(texts) or None
        self._rows.messages[
            f"{self._table.name}: {cell.column} has several values; the first one in sorted order was taken"
        ] = None
        return texts[0] if texts else None


def _cell(column: str, schema: Schema) -> _Cell:
    name = column.lower()
    if name == DN:
        return _Cell(column, "", dn_text)
    derived = DERIVED.get(name)
    if derived is not None:
        return _Cell(column, derived.attribute.lower(), derived.convert, derived.absent)
    found = schema.find(column)
    return _Cell(column, name, conversion(column, found.syntax if found else ""))


def _first_refused(values: Sequence[bytes], convert: Conversion) -> bytes:
    for value in values:
        try:
            convert(value)
        except ValueError:
            return value
    return values[0]


def _unread(column: str, value: bytes, error: ValueError) -> UnreadCell:
    return UnreadCell(column, f"the value {error}", _shown(value))


def _shown(value: bytes) -> str:
    return repr(value)[2:-1]
