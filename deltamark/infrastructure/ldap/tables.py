"""The tables that are asked for, and the rows that entries become."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

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
from deltamark.infrastructure.ldap.session import Entry, RawEntry
from deltamark.infrastructure.ldap.values import DERIVED, DN_SYNTAX, Conversion, conversion, dn_text, text

DN = "dn"

_OWN_NAMES = frozenset({"distinguishedname", "entrydn"})
_COMPUTED = frozenset({"hassubordinates", "numsubordinates", "subordinatecount"})
_ROWS_OF_A_BATCH = 5_000
_BULKS_OF_A_BATCH = 80
"""Of the entries of a complete reading."""


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

    def add_all(self, table: EntryTable | LinkTable, columns: Sequence[pa.Array], reasons: pa.Array) -> None:
        """Hands on rows of a complete reading that are given by columns, behind those that were added one by one.

        :param reasons: why rows are set aside; null for the others.
        """
        assert not self.delta, "rows of a delta have commands"
        self._write(table.name)
        self._hand_on(table.name, [*table.columns, NOT_READ], [*columns, reasons])

    def add_link(self, link: LinkTable, owner: str, value: bytes) -> None:
        """Adds a pair by the name that a value has; one that is no text is set aside."""
        try:
            self.add(link, link.row(owner, text(value)))
        except ValueError as error:
            self.add(link, link.row(owner, _shown(value)), unread=_unread(link.attribute, value, error))

    def add_links(self, link: LinkTable, owners: Sequence[str], values: Sequence[list[bytes] | None]) -> None:
        """Adds the pairs of many owners (see `add_link`)."""
        for owner, listed in zip(owners, values, strict=True):
            for value in listed or ():
                self.add_link(link, owner, value)

    def finish(self) -> None:
        """Hands on what waits."""
        for table in self._waiting:
            self._write(table)

    def _write(self, table: str) -> None:
        rows = self._waiting.get(table)
        if not rows:
            return
        names = [*((COMMAND,) if self.delta else ()), *self._columns[table], NOT_READ]
        self._hand_on(table, names, [pa.array(column, pa.string()) for column in zip(*rows, strict=True)])
        rows.clear()

    def _hand_on(self, table: str, names: list[str], arrays: list[pa.Array]) -> None:
        if arrays[-1].null_count == len(arrays[-1]):
            arrays.pop()
            names.pop()
        self.into.write(table, pa.record_batch(arrays, names=names))


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


class Bulk:
    """Many entries as the library gives them, by attribute: a column is read at once, without an object for each entry.

    :param names: the attributes in lower case, as the server writes them.
    """

    def __init__(
        self, entries: Sequence[RawEntry], attributes: list[dict[str, list[bytes]]], names: Mapping[str, str]
    ) -> None:
        self._entries = entries
        self._attributes = attributes
        self._names = names

    @classmethod
    def of(cls, entries: Sequence[RawEntry]) -> Bulk | None:
        """The bulk of entries; None if they must be read one by one.

        That is so where an attribute comes in ranges, or is written in several ways.
        """
        attributes = [of_entry for _, of_entry, _ in entries]
        written = set().union(*attributes)
        names = {name.lower(): name for name in written}
        if len(names) != len(written) or any(";range=" in name for name in names):
            return None
        return cls(entries, attributes, names)

    def __len__(self) -> int:
        return len(self._entries)

    def singles(self, attribute: str) -> list[bytes] | None:
        """The value of an attribute, or the names for an empty one; None unless each entry has exactly one."""
        if not attribute:
            return [name.encode() for name, _, _ in self._entries]
        name = self._names.get(attribute, "")
        try:
            return [value for attributes in self._attributes for (value,) in (attributes[name],)]
        except (KeyError, ValueError):
            return None

    def values(self, attribute: str) -> list[list[bytes] | None]:
        """The values of an attribute, or the names for an empty one, of each entry."""
        if not attribute:
            return [[name.encode()] for name, _, _ in self._entries]
        plain, binary = (self._names.get(attribute + option, "") for option in ("", ";binary"))
        return [attributes.get(plain) or attributes.get(binary) for attributes in self._attributes]


def _texts(values: Sequence[bytes | str | None]) -> pa.Array | None:
    """Values as texts, at once; None if one is no text."""
    try:
        texts = pa.array(values, pa.string())  # which sees that they are UTF-8
    except pa.ArrowInvalid:
        return None
    characters = texts.buffers()[2]
    return texts if characters is None or b"\0" not in characters.to_pybytes() else None


class RowMaker:
    """Makes rows of the entries of one table."""

    def __init__(self, table: EntryTable, schema: Schema, rows: Rows) -> None:
        self._table = table
        self._rows = rows
        self._cells = [_cell(column, schema) for column in table.columns]
        self._columns: list[list[bytes | str | None]] = [[] for _ in self._cells]
        self._faults: list[tuple[int, int, UnreadCell]] = []
        self._count = self._bulks = 0

    def add(self, entry: Entry) -> None:
        """Adds the row of an entry; it is set aside if a value is not of the form of its attribute."""
        row: list[str | None] = []
        unread: UnreadCell | None = None
        for cell in self._cells:
            values = entry.attributes.get(cell.source) if cell.source else [entry.dn.encode()]
            if not values and cell.source:
                values = entry.attributes.get(f"{cell.source};binary")
            text_of, fault = self._read(cell, values)
            row.append(text_of)
            unread = unread or fault
        self._rows.add(self._table, tuple(row), unread=unread)

    def add_all(self, entries: Bulk) -> None:
        """Adds the rows of many entries (see `add`), which wait for others until `finish`."""
        for place, (cell, column) in enumerate(zip(self._cells, self._columns, strict=True)):
            singles = entries.singles(cell.source) if cell.convert is text else None
            if singles is not None:
                column += singles
                continue
            for number, values in enumerate(entries.values(cell.source), start=self._count):
                found, fault = self._read(cell, values)
                column.append(found)
                if fault is not None:
                    self._faults.append((number, place, fault))
        self._count += len(entries)
        self._bulks += 1
        if self._bulks >= _BULKS_OF_A_BATCH:
            self.finish()

    def finish(self) -> None:
        """Hands on the rows that wait."""
        if not self._count:
            return
        arrays = []
        for place, column in enumerate(self._columns):
            array = _texts(column)
            arrays.append(self._one_by_one(place) if array is None else array)
            column.clear()
        self._rows.add_all(self._table, arrays, self._reasons())
        self._count = self._bulks = 0

    def _one_by_one(self, place: int) -> pa.Array:
        """The texts of a column some of whose values are none."""
        cell, texts = self._cells[place], list[str | None]()
        for number, value in enumerate(self._columns[place]):
            found, fault = self._read(cell, [value]) if isinstance(value, bytes) else (value, None)
            texts.append(found)
            if fault is not None:
                self._faults.append((number, place, fault))
        return pa.array(texts, pa.string())

    def _reasons(self) -> pa.Array:
        """Why rows are set aside: by the first value in each that cannot be read."""
        if not self._faults:
            return pa.nulls(self._count, pa.string())
        reasons: list[str | None] = [None] * self._count
        for number, _, fault in sorted(self._faults, key=lambda found: found[:2], reverse=True):
            reasons[number] = fault.text
        self._faults.clear()
        return pa.array(reasons, pa.string())

    def _read(self, cell: _Cell, values: Sequence[bytes] | None) -> tuple[str | None, UnreadCell | None]:
        """The text of the values that an entry has for a column, or why it cannot be read."""
        if not values:
            return cell.absent, None
        try:
            return (cell.convert(values[0]) if len(values) == 1 else self._several(cell, values)), None
        except ValueError as error:
            return None, _unread(cell.column, _first_refused(values, cell.convert), error)

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
