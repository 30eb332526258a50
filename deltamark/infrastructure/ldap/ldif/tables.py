"""The tables that LDIF files are asked for, and the rows that entries become."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import pyarrow as pa
from attrs import define, field, frozen

from deltamark.application.ports.source_files import file_of
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
from deltamark.domain.configuration.ldap_filter import Entry as Matched
from deltamark.domain.configuration.ldap_filter import filter_attributes, filter_predicate
from deltamark.domain.configuration.packages import ATTRIBUTE, FILTER, JOIN, KEY, LINKS, OBJECT_CLASS
from deltamark.domain.configuration.secret_attributes import holds_secrets
from deltamark.infrastructure.ldap.ldif.links import Links
from deltamark.infrastructure.ldap.ldif.names import name_key
from deltamark.infrastructure.ldap.ldif.reader import Attributes
from deltamark.infrastructure.ldap.values import DERIVED, Conversion, conversion, dn_text, text

DN = "dn"
DEFAULT_KEY = "entryUUID"

_OBJECT_CLASS = "objectclass"
_SYNTAX = "1.3.6.1.4.1.1466.115.121.1."
_TIMES = ("createtimestamp", "dateofexpiration", "modifytimestamp", "pwdchangedtime", "whenchanged", "whencreated")
_BYTES = ("audio", "jpegphoto", "photo", "thumbnaillogo", "thumbnailphoto", "usercertificate", "userpkcs12")
_SYNTAXES = {**dict.fromkeys(_TIMES, f"{_SYNTAX}24"), **dict.fromkeys(_BYTES, f"{_SYNTAX}40")}
"""Of attributes whose values are no texts as they are: a file has no schema."""

_ROWS_OF_A_BATCH = 5_000


@frozen
class Table:
    """A table of entries.

    :param cells: the cells of a row, each made of the name and the attributes of an entry.
    :param key: gives the identifier of an entry.
    :param links: its tables of links, each with the attribute whose values they are.
    """

    name: str
    file: str
    columns: tuple[str, ...]
    object_class: bytes
    predicate: Callable[[Matched], bool] | None
    cells: Sequence[Cell]
    key: Cell
    links: Sequence[tuple[WantedTable, str]]
    attributes: frozenset[str]

    def row(self, dn: bytes, attributes: Attributes) -> list[str | None]:
        """The row of an entry.

        :raises BadValue: if a value is not of the form of its attribute.
        """
        row: list[str | None] = []
        for cell in self.cells:
            values = attributes.get(cell.source)
            if values is not None and cell.convert is text and len(values) == 1 and values[0].isascii():
                value = values[0]
                row.append(value.decode() if b"\0" not in value else cell.text(dn, attributes))
            else:
                row.append(cell.text(dn, attributes))
        return row

    def readable_row(self, dn: bytes, attributes: Attributes) -> tuple[list[str | None], UnreadCell | None]:
        """The row of an entry, without the values that cannot be read, and the first one of those."""
        try:
            return self.row(dn, attributes), None
        except BadValue as e:
            return [_readable(cell, dn, attributes) for cell in self.cells], e.cell

    def links_of(self, key: str | None, attributes: Attributes) -> Iterator[tuple[str, Sequence[bytes]]]:
        """The values of each table of links that an entry has values for.

        :param key: its identifier.
        :raises BadValue: if it has none.
        """
        for other, attribute in self.links:
            values = attributes.get(attribute)
            if values and key is None:
                raise BadValue(UnreadCell(self.key.column, "the identifier of the owner of links is missing", ""))
            if values:
                yield other.name, values


def _readable(cell: Cell, dn: bytes, attributes: Attributes) -> str | None:
    try:
        return cell.text(dn, attributes)
    except BadValue:
        return None


@define
class Cell:
    """A column: which attribute of an entry it shows, and how.

    :ivar has_several: whether an entry had several values.
    """

    column: str
    source: str
    convert: Conversion
    absent: str | None = None
    join: str | None = None
    has_several: bool = False

    def text(self, dn: bytes, attributes: Attributes) -> str | None:
        """The cell of an entry.

        :raises BadValue: if a value is not of the form of its attribute.
        """
        if self.source == DN:
            return self._converted(dn)
        values = attributes.get(self.source) or attributes.get(f"{self.source};binary")
        if not values:
            return self.absent
        if len(values) == 1:
            return self._converted(values[0])
        texts = sorted(found for value in values if (found := self._converted(value)))
        if self.join is not None:
            return self.join.join(texts) or None
        self.has_several = True
        return texts[0] if texts else None

    def _converted(self, value: bytes) -> str | None:
        try:
            return self.convert(value)
        except ValueError as error:
            raise BadValue(UnreadCell(self.column, f"the value {error}", repr(value)[2:-1])) from error


class BadValue(Exception):
    def __init__(self, cell: UnreadCell) -> None:
        self.cell = cell
        super().__init__(f"{cell.column}: {cell.reason}")


def _cell(column: str, join: str | None = None) -> Cell:
    name = column.lower()
    if name == DN:
        return Cell(column, DN, dn_text)
    derived = DERIVED.get(name)
    if derived is not None:
        return Cell(column, derived.attribute.lower(), derived.convert, derived.absent)
    return Cell(column, name, conversion(column, _SYNTAXES.get(name.partition(";")[0], "")), join=join)


def tables_of(ask: Question) -> list[Table]:
    return [_table(ask, table) for table in ask.tables if LINKS not in table.options]


def _table(ask: Question, table: WantedTable) -> Table:
    for column in table.columns:
        if holds_secrets(column):
            raise SourceUnreachable(f"{table.name} has the column {column}, which holds secrets and is never read")
    filtered = table.options.get(FILTER)
    links = [
        (other, other.options[ATTRIBUTE].lower()) for other in ask.tables if other.options.get(LINKS) == table.name
    ]
    cells = [_cell(column, table.options.get(JOIN)) for column in table.columns]
    key = _cell(table.options.get(KEY, DEFAULT_KEY))
    return Table(
        name=table.name,
        file=file_of(ask, table),
        columns=table.columns,
        object_class=table.options[OBJECT_CLASS].lower().encode(),
        predicate=filter_predicate(filtered) if filtered else None,
        cells=cells,
        key=key,
        links=links,
        attributes=frozenset(
            {
                _OBJECT_CLASS,
                *(cell.source.partition(";")[0] for cell in (*cells, key)),
                *(attribute.partition(";")[0] for _, attribute in links),
                *(filter_attributes(filtered) if filtered else ()),
            }
        ),
    )


@define
class TablesOfFile:
    """Adds entries to the tables that they belong to."""

    tables: Sequence[Table]
    rows: Rows
    links: Links
    _of_classes: dict[tuple[bytes, ...], list[Table]] = field(factory=dict)

    @property
    def attributes(self) -> frozenset[str]:
        """What must be read of entries."""
        return frozenset().union(*(table.attributes for table in self.tables))

    def of_entry(self, attributes: Attributes) -> list[Table]:
        """The tables that an entry belongs to."""
        kinds = tuple(attributes.get(_OBJECT_CLASS, ()))
        candidates = self._of_classes.get(kinds)
        if candidates is None:
            lowered = frozenset(kind.lower() for kind in kinds)
            candidates = self._of_classes[kinds] = [table for table in self.tables if table.object_class in lowered]
        return [table for table in candidates if table.predicate is None or table.predicate(attributes)]

    def add(self, dn: bytes, attributes: Attributes) -> None:
        """Adds an entry.

        :raises BadValue: if its identifier is not of the form of its attribute.
        """
        is_known = False
        links = self.links
        for table in self.of_entry(attributes):
            self.rows.add(table, *table.readable_row(dn, attributes))
            if not links.is_needed:
                continue
            key = table.key.text(dn, attributes)
            if not is_known and key is not None:
                links.add_name(name_key(dn), key)
                is_known = True
            for other, values in table.links_of(key, attributes):
                links.add(other, key or "", values)


@define
class Rows:
    """Collects rows, and hands them on in batches.

    :param delta: whether they have commands.
    """

    into: Tables
    delta: bool
    _waiting: dict[str, list[list[str | None]]] = field(factory=dict)
    _tables: dict[str, Table] = field(factory=dict)
    _unread: dict[str, dict[int, str]] = field(factory=dict)

    def add(self, table: Table, row: list[str | None], unread: UnreadCell | None = None, command: str = INSERT) -> None:
        """Adds a row; its command counts only in a delta.

        :param unread: a value of it that cannot be read: the row is set aside.
        """
        rows = self._waiting.get(table.name)
        if rows is None:
            self._tables[table.name] = table
            rows = self._waiting[table.name] = []
        if unread is not None:
            self._unread.setdefault(table.name, {})[len(rows)] = unread.text
        rows.append([command, *row] if self.delta else row)
        if len(rows) >= _ROWS_OF_A_BATCH:
            self._write(table.name)

    def finish(self) -> None:
        """Hands on what waits."""
        for name, rows in self._waiting.items():
            if rows:
                self._write(name)

    def _write(self, name: str) -> None:
        rows = self._waiting[name]
        arrays = [pa.array(column, pa.string()) for column in zip(*rows, strict=True)]
        names = [*((COMMAND,) if self.delta else ()), *self._tables[name].columns]
        reasons = self._unread.pop(name, None)
        if reasons is not None:
            arrays.append(pa.array([reasons.get(number) for number in range(len(rows))], pa.string()))
            names.append(NOT_READ)
        self.into.write(name, pa.record_batch(arrays, names=names))
        rows.clear()
