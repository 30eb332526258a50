"""The package `Ldif`: the entries of files of content, read as a whole where one of them changed."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import ExitStack

import pyarrow as pa
from attrs import define, field, frozen

from deltamark.application.ports.source_files import UNCHANGED, digests_in, file_of, place_of
from deltamark.application.ports.sources import (
    NOT_READ,
    Probe,
    Question,
    Reached,
    SourcePlace,
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
from deltamark.infrastructure.ldap.ldif.reader import Attributes, LdifError, LdifReader
from deltamark.infrastructure.ldap.values import DERIVED, Conversion, conversion, dn_text, text
from deltamark.infrastructure.system.stable_files import StableFile, folder_of, stable_file

DN = "dn"
DEFAULT_KEY = "entryUUID"

_OBJECT_CLASS = "objectclass"
_SYNTAX = "1.3.6.1.4.1.1466.115.121.1."
_TIMES = ("createtimestamp", "dateofexpiration", "modifytimestamp", "pwdchangedtime", "whenchanged", "whencreated")
_BYTES = ("audio", "jpegphoto", "photo", "thumbnaillogo", "thumbnailphoto", "usercertificate", "userpkcs12")
_SYNTAXES = {**dict.fromkeys(_TIMES, f"{_SYNTAX}24"), **dict.fromkeys(_BYTES, f"{_SYNTAX}40")}
"""Of attributes whose values are no texts as they are: a file has no schema."""

_ROWS_OF_A_BATCH = 5_000


class LdifFiles:
    """Reads LDIF files of content."""

    def probe(self, ask: Question) -> Probe:
        """Opens each file, and reads its first record."""
        findings, problems = [], []
        folder = folder_of(ask)
        for file in _files(ask):
            try:
                with stable_file(ask, file) as opened:
                    try:
                        entry = next(LdifReader(opened.head()).entries(), None)
                    except LdifError as e:
                        raise _refused(opened, e) from e
                    names = ", ".join(table.name for table in ask.tables if file_of(ask, table) == file)
                    state = f"{opened.status.st_size:,} bytes" if entry is not None else "no record"
                    findings.append(f"{names}: {opened.name} ({state})")
            except SourceUnreachable as e:
                problems.append(e.problem)
        return Probe(server=str(folder), findings=findings, problems=problems)

    def snapshot(self, ask: Question, into: Tables) -> Reached:
        """Reads all entries."""
        with _opened(ask) as files:
            return _read(ask, files, into)

    def changes(self, ask: Question, since: SourcePlace, into: Tables) -> Reached:
        """Reads all entries, or none where no file changed."""
        before = digests_in(since)
        with _opened(ask) as files:
            if _digests(files) == before:
                return Reached(place=place_of(ask, before), messages=[UNCHANGED])
            return _read(ask, files, into)


def _files(ask: Question) -> list[str]:
    return list(dict.fromkeys(file_of(ask, table) for table in ask.tables))


class _Opened(ExitStack):
    def __init__(self, ask: Question) -> None:
        super().__init__()
        self._ask = ask

    def __enter__(self) -> dict[str, StableFile]:  # type: ignore[override]
        super().__enter__()
        try:
            return {file: self.enter_context(stable_file(self._ask, file)) for file in _files(self._ask)}
        except BaseException:
            self.close()
            raise


def _opened(ask: Question) -> _Opened:
    return _Opened(ask)


def _digests(files: dict[str, StableFile]) -> dict[str, str]:
    return {file: opened.digest for file, opened in files.items()}


@frozen
class _Table:
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
    cells: Sequence[_Cell]
    key: _Cell
    links: Sequence[tuple[WantedTable, str]]
    attributes: frozenset[str]

    def row(self, dn: bytes, attributes: Attributes) -> list[str | None]:
        """The row of an entry.

        :raises _BadValue: if a value is not of the form of its attribute.
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


@define
class _Cell:
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

        :raises _BadValue: if a value is not of the form of its attribute.
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
            raise _BadValue(UnreadCell(self.column, f"the value {error}", repr(value)[2:-1])) from error


class _BadValue(Exception):
    def __init__(self, cell: UnreadCell) -> None:
        self.cell = cell
        super().__init__(f"{cell.column}: {cell.reason}")


def _cell(column: str, join: str | None = None) -> _Cell:
    name = column.lower()
    if name == DN:
        return _Cell(column, DN, dn_text)
    derived = DERIVED.get(name)
    if derived is not None:
        return _Cell(column, derived.attribute.lower(), derived.convert, derived.absent)
    return _Cell(column, name, conversion(column, _SYNTAXES.get(name.partition(";")[0], "")), join=join)


def _tables(ask: Question) -> list[_Table]:
    return [_table(ask, table) for table in ask.tables if LINKS not in table.options]


def _table(ask: Question, table: WantedTable) -> _Table:
    for column in table.columns:
        if holds_secrets(column):
            raise SourceUnreachable(f"{table.name} has the column {column}, which holds secrets and is never read")
    filtered = table.options.get(FILTER)
    links = [
        (other, other.options[ATTRIBUTE].lower()) for other in ask.tables if other.options.get(LINKS) == table.name
    ]
    cells = [_cell(column, table.options.get(JOIN)) for column in table.columns]
    key = _cell(table.options.get(KEY, DEFAULT_KEY))
    return _Table(
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


def _read(ask: Question, files: dict[str, StableFile], into: Tables) -> Reached:
    tables = _tables(ask)
    rows = _Rows(into)
    has_links = any(table.links for table in tables)
    with Links.opened(has_links) as links:
        for file, opened in files.items():
            of_file = [table for table in tables if table.file == file]
            reader = LdifReader(opened.blocks(), frozenset().union(*(table.attributes for table in of_file)))
            try:
                _read_file(reader, of_file, rows, links)
            except LdifError as e:
                raise _refused(opened, e) from e
        rows.finish()
        links.resolve(into, [other for table in tables for other, _ in table.links])
    several = [
        f"{table.name}: {cell.column} has several values; the first one in sorted order was taken"
        for table in tables
        for cell in table.cells
        if cell.has_several
    ]
    return Reached(place=place_of(ask, _digests(files)), messages=[*several, *links.messages])


def _read_file(reader: LdifReader, tables: Sequence[_Table], rows: _Rows, links: Links) -> None:
    classes: dict[tuple[bytes, ...], list[_Table]] = {}
    dn = b""
    try:
        for dn, attributes in reader.entries():
            kinds = tuple(attributes.get(_OBJECT_CLASS, ()))
            candidates = classes.get(kinds)
            if candidates is None:
                lowered = frozenset(kind.lower() for kind in kinds)
                candidates = classes[kinds] = [table for table in tables if table.object_class in lowered]
            is_known = False
            for table in candidates:
                if table.predicate is not None and not table.predicate(attributes):
                    continue
                try:
                    rows.add(table, table.row(dn, attributes))
                except _BadValue as e:
                    rows.add(table, _readable_cells(table, dn, attributes), e.cell)
                if links.is_needed:
                    key = table.key.text(dn, attributes)
                    if not is_known and key is not None:
                        links.add_name(dn, key)
                        is_known = True
                    _add_links(table, dn, key, attributes, links)
    except (_BadValue, UnicodeDecodeError) as e:
        problem = str(e) if isinstance(e, _BadValue) else "a name is not text in UTF-8"
        raise LdifError(reader.line, f"{problem} (of {dn.decode('utf-8', 'replace')})") from e


def _readable_cells(table: _Table, dn: bytes, attributes: Attributes) -> list[str | None]:
    """The cells of an entry, without those that cannot be read."""
    cells: list[str | None] = []
    for cell in table.cells:
        try:
            cells.append(cell.text(dn, attributes))
        except _BadValue:
            cells.append(None)
    return cells


def _add_links(table: _Table, dn: bytes, key: str | None, attributes: Attributes, links: Links) -> None:
    for other, attribute in table.links:
        values = attributes.get(attribute)
        if values and key is None:
            raise _BadValue(UnreadCell(table.key.column, "the identifier of the owner of links is missing", ""))
        if values and key is not None:
            links.add(other.name, key, values)


@define
class _Rows:
    """Collects rows, and hands them on in batches."""

    into: Tables
    _waiting: dict[str, list[list[str | None]]] = field(factory=dict)
    _tables: dict[str, _Table] = field(factory=dict)
    _unread: dict[str, dict[int, str]] = field(factory=dict)

    def add(self, table: _Table, row: list[str | None], unread: UnreadCell | None = None) -> None:
        """Adds a row.

        :param unread: a value of it that cannot be read: the row is set aside.
        """
        rows = self._waiting.get(table.name)
        if rows is None:
            self._tables[table.name] = table
            rows = self._waiting[table.name] = []
        if unread is not None:
            self._unread.setdefault(table.name, {})[len(rows)] = unread.text
        rows.append(row)
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
        names = list(self._tables[name].columns)
        reasons = self._unread.pop(name, None)
        if reasons is not None:
            arrays.append(pa.array([reasons.get(number) for number in range(len(rows))], pa.string()))
            names.append(NOT_READ)
        self.into.write(name, pa.record_batch(arrays, names=names))
        rows.clear()


def _refused(file: StableFile, error: LdifError) -> SourceUnreachable:
    return SourceUnreachable(
        f"{file.name}, line {error.line:,}: {error.reason}",
        "Export the file again, or correct this line; LDIF is read as RFC 2849 has it.",
    )
