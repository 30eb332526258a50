"""The package `Ldif`: the entries of files of content, as files of changes leave them.

They are read as a whole where one of the files changed.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager

import pyarrow as pa
from attrs import define, field, frozen

from deltamark.application.ports.source_files import UNCHANGED, digests_in, file_of, place_of
from deltamark.application.ports.sources import (
    LARGEST_COOKIE,
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
from deltamark.domain.configuration.packages import (
    ATTRIBUTE,
    CHANGE_FILES,
    FILE,
    FILTER,
    JOIN,
    KEY,
    LINKS,
    OBJECT_CLASS,
)
from deltamark.domain.configuration.secret_attributes import holds_secrets
from deltamark.infrastructure.ldap.ldif.changed_entries import ChangedEntries, ChangeError
from deltamark.infrastructure.ldap.ldif.changes import Change, changes_in
from deltamark.infrastructure.ldap.ldif.links import Links
from deltamark.infrastructure.ldap.ldif.reader import Attributes, LdifError, LdifReader
from deltamark.infrastructure.ldap.values import DERIVED, Conversion, conversion, dn_text, text
from deltamark.infrastructure.system.stable_files import StableFile, files_that_fit, folder_of, stable_file

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
    """Reads LDIF files of content, and files of changes since they were written."""

    def probe(self, ask: Question) -> Probe:
        """Opens each file, and reads its first record."""
        findings, problems = [], []
        folder = folder_of(ask)
        for file in _files(ask):
            names = ", ".join(table.name for table in ask.tables if file_of(ask, table) == file)
            try:
                with stable_file(ask, file) as opened:
                    size = _size_of_head(opened, lambda reader: next(reader.entries(), None))
                    findings.append(f"{names}: {opened.name} ({size})")
                for name in _change_files(ask, file):
                    with stable_file(ask, name) as opened:
                        size = _size_of_head(opened, lambda reader: next(changes_in(reader), None))
                        findings.append(f"{names}: changes of {opened.name} ({size})")
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
            for file, opened in files.items():
                opened.check_nothing_is_gone(file, before)
            return _read(ask, files, into)


def _files(ask: Question) -> list[str]:
    return list(dict.fromkeys(file_of(ask, table) for table in ask.tables))


def _change_files(ask: Question, file: str) -> list[str]:
    """The files of changes since a file of content was written."""
    tables = [table for table in ask.tables if LINKS not in table.options and file_of(ask, table) == file]
    patterns = {table.options.get(CHANGE_FILES) for table in tables}
    if len(patterns) > 1:
        raise SourceUnreachable(
            f"{' and '.join(table.name for table in tables)} are of {file}, and not all have the same {CHANGE_FILES}",
            f"Write the same {CHANGE_FILES} for each table of {file}.",
        )
    pattern = patterns.pop()
    return files_that_fit(ask, pattern) if pattern else []


def _size_of_head(file: StableFile, first: Callable[[LdifReader], object]) -> str:
    try:
        record = first(LdifReader(file.head()))
    except LdifError as e:
        raise _refused(file, e) from e
    return f"{file.status.st_size:,} bytes" if record is not None else "no record"


@frozen
class _Content:
    """A file of content, and the files of changes since it was written, the earliest first."""

    file: StableFile
    changes: Sequence[StableFile]

    @property
    def digest_of_changes(self) -> str:
        """What tells these files of changes from others, hexadecimal."""
        digests = "".join(f"{change.name}\n{change.digest}\n" for change in self.changes)
        return hashlib.sha256(digests.encode()).hexdigest()

    def check_nothing_is_gone(self, file: str, before: Mapping[str, str]) -> None:
        """Sees that the changes that were read before are still there.

        :param before: the digests of the last time.
        :raises SourceUnreachable: if a file of changes is gone, while the content does not hold them.
        """
        names = filter(None, before.get(_names_key(file), "").split("\n"))
        gone = sorted(set(names) - {change.name for change in self.changes})
        if gone and self.file.digest == before.get(file):
            raise SourceUnreachable(
                f"{gone[0]}, whose changes were read before, is gone, and {self.file.name} is as before: without it "
                "what it changed would be undone",
                f"Put it back; or export {self.file.name} again, and remove the files of changes that it holds.",
            )


@contextmanager
def _opened(ask: Question) -> Iterator[dict[str, _Content]]:
    with ExitStack() as stack:
        opened = {}
        for file in _files(ask):
            content = stack.enter_context(stable_file(ask, file))
            changes = [stack.enter_context(stable_file(ask, name)) for name in _change_files(ask, file)]
            if content.name in {change.name for change in changes}:
                raise SourceUnreachable(
                    f"{content.name} is named as {FILE} and fits {CHANGE_FILES}, too",
                    "Call the files of changes otherwise, such as changes-*.ldif.",
                )
            opened[file] = _Content(content, changes)
        yield opened


def _digests(files: dict[str, _Content]) -> dict[str, str]:
    digests = {}
    for file, opened in files.items():
        digests[file] = opened.file.digest
        if opened.changes:
            digests[f"{file} changes"] = opened.digest_of_changes
            digests[_names_key(file)] = "\n".join(change.name for change in opened.changes)
    return digests


def _names_key(file: str) -> str:
    return f"{file} names of changes"


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


def _read(ask: Question, files: dict[str, _Content], into: Tables) -> Reached:
    tables = _tables(ask)
    place = place_of(ask, _digests(files))
    if len(place.cookie) > LARGEST_COOKIE:
        raise SourceUnreachable(
            f"there are too many files of changes ({sum(len(opened.changes) for opened in files.values()):,})",
            "Export the content again, and remove the files of changes that it holds.",
        )
    warnings: list[str] = []
    rows = _Rows(into)
    has_links = any(table.links for table in tables)
    with Links.opened(has_links) as links:
        for file, opened in files.items():
            of_file = _TablesOfFile([table for table in tables if table.file == file], rows, links)
            if opened.changes:
                warnings += _read_changed(opened, of_file)
            else:
                _read_content(opened.file, of_file)
        rows.finish()
        links.resolve(into, [other for table in tables for other, _ in table.links])
    several = [
        f"{table.name}: {cell.column} has several values; the first one in sorted order was taken"
        for table in tables
        for cell in table.cells
        if cell.has_several
    ]
    messages = [*several, *links.messages, *warnings]
    return Reached(place=place, messages=messages, warned=bool(warnings))


def _read_content(file: StableFile, tables: _TablesOfFile) -> None:
    reader = LdifReader(file.blocks(), tables.attributes)
    try:
        _add_all(reader, reader.entries(), tables)
    except LdifError as e:
        raise _refused(file, e) from e


def _add_all(reader: LdifReader, entries: Iterable[tuple[bytes, Attributes]], tables: _TablesOfFile) -> None:
    dn = b""
    try:
        for dn, attributes in entries:
            tables.add(dn, attributes)
    except (_BadValue, UnicodeDecodeError) as e:
        raise LdifError(reader.line, f"{_problem(e)} (of {dn.decode('utf-8', 'replace')})") from e


def _problem(error: _BadValue | UnicodeDecodeError) -> str:
    return str(error) if isinstance(error, _BadValue) else "a name is not text in UTF-8"


def _read_changed(content: _Content, tables: _TablesOfFile) -> list[str]:
    """Reads entries as the changes leave them; gives what a user must know of changes that do not fit."""
    entries = ChangedEntries(tables.attributes)
    for file in content.changes:
        for change, _ in _changes(file, tables.attributes):
            try:
                entries.name(change)
            except ChangeError as e:
                raise _refused(file, LdifError(change.line, str(e))) from e
    reader = LdifReader(content.file.blocks(), tables.attributes)
    try:
        _add_all(reader, entries.others(reader.entries()), tables)
    except ChangeError as e:
        raise _refused(content.file, LdifError(reader.line, str(e))) from e
    except LdifError as e:
        raise _refused(content.file, e) from e
    for file in content.changes:
        for change, origin in _changes(file, tables.attributes):
            entries.apply(change, origin)
    for entry in entries.result:
        try:
            tables.add(entry.name, entry.attributes, entry.misfit)
        except (_BadValue, UnicodeDecodeError) as e:
            raise SourceUnreachable(
                f"{entry.origin or content.file.name}: {_problem(e)} (of {entry.name.decode('utf-8', 'replace')})",
                "Correct the entry, and export it again.",
            ) from e
    return entries.messages


def _changes(file: StableFile, wanted: frozenset[str]) -> Iterator[tuple[Change, str]]:
    """The changes of a file, each with where it stands."""
    try:
        for change in changes_in(LdifReader(file.blocks(), wanted)):
            yield change, f"{file.name}, line {change.line:,}"
    except LdifError as e:
        raise _refused(file, e) from e


@define
class _TablesOfFile:
    """Adds entries to the tables that they belong to."""

    tables: Sequence[_Table]
    rows: _Rows
    links: Links
    _of_classes: dict[tuple[bytes, ...], list[_Table]] = field(factory=dict)

    @property
    def attributes(self) -> frozenset[str]:
        """What must be read of entries."""
        return frozenset().union(*(table.attributes for table in self.tables))

    def add(self, dn: bytes, attributes: Attributes, misfit: str | None = None) -> None:
        """Adds an entry.

        :param misfit: why it is not known what it is now: its rows are set aside.
        """
        kinds = tuple(attributes.get(_OBJECT_CLASS, ()))
        candidates = self._of_classes.get(kinds)
        if candidates is None:
            lowered = frozenset(kind.lower() for kind in kinds)
            candidates = self._of_classes[kinds] = [table for table in self.tables if table.object_class in lowered]
        is_known = False
        links = self.links
        for table in candidates:
            if table.predicate is not None and not table.predicate(attributes):
                continue
            try:
                row = table.row(dn, attributes)
                self.rows.add(table, row, None if misfit is None else UnreadCell(table.key.column, misfit, ""))
            except _BadValue as e:
                self.rows.add(table, _readable_cells(table, dn, attributes), e.cell)
            if links.is_needed:
                key = table.key.text(dn, attributes)
                if not is_known and key is not None:
                    links.add_name(dn, key)
                    is_known = True
                if misfit is not None and key is not None:
                    for other, _ in table.links:
                        links.keep(other.name, key, misfit)
                else:
                    _add_links(table, dn, key, attributes, links)


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
