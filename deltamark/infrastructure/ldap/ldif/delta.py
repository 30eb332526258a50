"""The entries of files of content as changes leave them, and what changes did to their rows and links."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager

from attrs import define, field, frozen

from deltamark.application.ports.sources import DELETE, SourceUnreachable, UnreadCell
from deltamark.infrastructure.ldap.ldif.changed_entries import ChangedEntries, ChangeError, Entry
from deltamark.infrastructure.ldap.ldif.changes import Change, changes_in
from deltamark.infrastructure.ldap.ldif.links import Links
from deltamark.infrastructure.ldap.ldif.names import name_key
from deltamark.infrastructure.ldap.ldif.reader import Attributes, LdifError, LdifReader
from deltamark.infrastructure.ldap.ldif.tables import BadValue, Rows, Table, TablesOfFile
from deltamark.infrastructure.system.stable_files import StableFile

_NOT_TOLD = "an identifier of an entry is missing, or that of another one"

_Entries = Iterable[tuple[bytes, Attributes]]


class ReadAll(Exception):
    """What changed is only known by reading all entries.

    :param reason: why, a clause.
    """

    def __init__(self, reason: str) -> None:
        self.reason = reason
        super().__init__(reason)


@frozen
class ChangedFile:
    """A file of content, and the files of changes since it was written.

    :param changes: the earliest first, each with the number of its lines that were read before.
    """

    content: StableFile
    changes: Sequence[tuple[StableFile, int]]


def add_entries(file: StableFile, tables: TablesOfFile) -> None:
    """Adds the entries of a file of content.

    :raises SourceUnreachable: with the line, if it cannot be read.
    """
    _for_each(file, tables, lambda entries: entries, tables.add)


def add_changed_entries(file: ChangedFile, tables: TablesOfFile) -> None:
    """Adds the entries of a file of content as all of its changes leave them.

    :raises SourceUnreachable: with the line, if a file cannot be read, or a change does not fit.
    """
    entries, _ = _named(file, tables)
    _for_each(file.content, tables, entries.others, tables.add)
    for changed, _ in file.changes:
        _apply(file, entries, changed, _changes(changed, tables))
    for entry in entries.result:
        with _problems_of(file, entry):
            tables.add(entry.name, entry.attributes)


def add_what_changed(files: Sequence[tuple[ChangedFile, TablesOfFile]], rows: Rows, links: Links) -> None:
    """Adds, with their commands, the rows and links that are others by what is new in the files of changes.

    :raises ReadAll: if identifiers do not tell the entries apart; nothing was added then.
    :raises SourceUnreachable: with the line, if a file cannot be read, or a change does not fit.
    """
    concerned = []
    added: set[tuple[str, str]] = set()
    for file, tables in files:
        entries, keys = _named(file, tables)
        concerned.append(entries)
        added |= keys
    before, after, others = _State(), _State(), _Others(links, added, concerned)
    for (file, tables), entries in zip(files, concerned, strict=True):
        others.tables = tables
        _for_each(file.content, tables, entries.others, others.add)
        for changed, lines in file.changes:
            if lines:
                known = (change for change in _changes(changed, tables) if change.line <= lines)
                _apply(file, entries, changed, known)
        for entry in entries.result:
            with _problems_of(file, entry):
                before.add(tables, entry)
        for changed, lines in file.changes:
            if lines < changed.lines:
                new = (change for change in _changes(changed, tables) if change.line > lines)
                _apply(file, entries, changed, new)
        for entry in entries.result:
            with _problems_of(file, entry):
                after.add(tables, entry)
    if any(key not in before.identifiers and key not in added for key in after.rows):
        raise ReadAll(_NOT_TOLD)
    _add_rows(before, after, rows)
    _add_links(before, after, others.linking, links)


@frozen
class _Row:
    table: Table
    key: str
    cells: Sequence[str | None]
    unread: UnreadCell | None

    def differs(self, other: _Row | None) -> bool:
        """Whether it is to be applied where the other one was."""
        return (
            other is None
            or self.cells != other.cells
            or (self.unread and self.unread.text) != (other.unread and other.unread.text)
        )


@define
class _State:
    """What the entries are at one moment that changes concern.

    :ivar rows: by the table and the key, as they tell resources apart.
    :ivar identifiers: those of the rows, and of entries that a filter or a class leaves out.
    :ivar names: what entries are called -> their keys.
    :ivar owners: table of links and owner -> the owner as it is written, and its values.
    """

    rows: dict[tuple[str, str], _Row] = field(factory=dict)
    identifiers: set[tuple[str, str]] = field(factory=set)
    names: dict[str, str] = field(factory=dict)
    owners: dict[tuple[str, str], tuple[str, Sequence[bytes]]] = field(factory=dict)

    def add(self, tables: TablesOfFile, entry: Entry) -> None:
        """Adds an entry.

        :raises BadValue: if its identifier is not of the form of its attribute.
        :raises ReadAll: if it has none, or that of another one.
        """
        self.identifiers |= _identifiers(tables, entry.name, entry.attributes)
        for table in tables.of_entry(entry.attributes):
            key = table.key.text(entry.name, entry.attributes)
            identifier = (table.name, (key or "").casefold())
            if key is None or identifier in self.rows:
                raise ReadAll(_NOT_TOLD)
            self.rows[identifier] = _Row(table, key, *table.readable_row(entry.name, entry.attributes))
            name = name_key(entry.name)
            if name is not None:
                self.names.setdefault(name, key)
            for other, attribute in table.links:
                self.owners[other.name, key.casefold()] = (key, entry.attributes.get(attribute, ()))


@define
class _Others:
    """The entries that no change names: they are as before, and may link to those that changes name.

    :ivar linking: table of links, owner and its values, where one of them is the name of what changes concern.
    """

    links: Links
    _added: set[tuple[str, str]]
    _concerned: Sequence[ChangedEntries]
    tables: TablesOfFile = field(init=False)
    linking: list[tuple[str, str, Sequence[bytes]]] = field(factory=list)

    def add(self, dn: bytes, attributes: Attributes) -> None:
        """Adds an entry.

        :raises BadValue: if its identifier is not of the form of its attribute.
        :raises ReadAll: if it has that of one that is added.
        """
        is_known = False
        for table in self.tables.of_entry(attributes):
            key = table.key.text(dn, attributes)
            if key is None:
                continue
            if (table.name, key.casefold()) in self._added:
                raise ReadAll(_NOT_TOLD)
            if self.links.is_needed and not is_known:
                self.links.add_name(name_key(dn), key)
                is_known = True
            for other, values in table.links_of(key, attributes):
                if any(self._is_concerned(value) for value in values):
                    self.linking.append((other, key, values))

    def _is_concerned(self, value: bytes) -> bool:
        name = _name_of(value)
        return name is not None and any(entries.concern(name) for entries in self._concerned)


def _add_rows(before: _State, after: _State, rows: Rows) -> None:
    for identifier, row in before.rows.items():
        if identifier not in after.rows:
            name = row.table.key.column.lower()
            gone = [row.key if column.lower() == name else None for column in row.table.columns]
            rows.add(row.table, gone, command=DELETE)
    for identifier, row in after.rows.items():
        if row.differs(before.rows.get(identifier)):
            rows.add(row.table, list(row.cells), row.unread)


def _add_links(
    before: _State, after: _State, linking: Sequence[tuple[str, str, Sequence[bytes]]], links: Links
) -> None:
    """Adds all links of those who have others now: by their own values, or because names are those of others."""
    if not links.is_needed:
        return
    names = {*before.names, *after.names}
    moved = {name for name in names if before.names.get(name) != after.names.get(name)}
    for name, key in after.names.items():
        links.add_name(name, key)
    for owner, (key, values) in after.owners.items():
        _, values_before = before.owners.get(owner, (key, ()))
        if list(values) != list(values_before) or any(_name_of(value) in moved for value in values):
            links.replace(owner[0], key, values)
    for table, key, values in linking:
        if any(_name_of(value) in moved for value in values):
            links.replace(table, key, values)


def _name_of(value: bytes) -> str | None:
    try:
        return name_key(value)
    except UnicodeDecodeError:
        return None


def _identifiers(tables: TablesOfFile, dn: bytes, attributes: Attributes) -> set[tuple[str, str]]:
    """What an entry is, or would be, called in each table."""
    found = set()
    for table in tables.tables:
        try:
            key = table.key.text(dn, attributes)
        except BadValue:
            continue
        if key is not None:
            found.add((table.name, key.casefold()))
    return found


def _named(file: ChangedFile, tables: TablesOfFile) -> tuple[ChangedEntries, set[tuple[str, str]]]:
    """What the changes of a file concern, and the identifiers of what they add."""
    entries, added = ChangedEntries(tables.attributes), set[tuple[str, str]]()
    for changed, _ in file.changes:
        for change in _changes(changed, tables):
            try:
                entries.name(change)
            except ChangeError as e:
                raise refused(changed, LdifError(change.line, str(e))) from e
            if change.attributes is not None:
                added |= _identifiers(tables, change.name, change.attributes)
    return entries, added


def _changes(file: StableFile, tables: TablesOfFile) -> Iterator[Change]:
    try:
        yield from changes_in(LdifReader(file.blocks(), tables.attributes))
    except LdifError as e:
        raise refused(file, e) from e


def _apply(file: ChangedFile, entries: ChangedEntries, changed: StableFile, changes: Iterable[Change]) -> None:
    for change in changes:
        try:
            entries.apply(change, f"{changed.name}, line {change.line:,}")
        except ChangeError as e:
            raise SourceUnreachable(
                f"{changed.name}, line {change.line:,}: {e}",
                f"The content and the changes do not belong together, or a file is missing, or comes twice: export "
                f"{file.content.name} again, with all entries, and remove the files of changes that it holds.",
            ) from e


def _for_each(
    file: StableFile,
    tables: TablesOfFile,
    chosen: Callable[[_Entries], _Entries],
    add: Callable[[bytes, Attributes], None],
) -> None:
    """Adds the chosen ones of the entries of a file of content."""
    reader, dn = LdifReader(file.blocks(), tables.attributes), b""
    try:
        for dn, attributes in chosen(reader.entries()):
            add(dn, attributes)
    except (BadValue, UnicodeDecodeError) as e:
        raise refused(file, LdifError(reader.line, f"{_problem(e)} (of {dn.decode('utf-8', 'replace')})")) from e
    except ChangeError as e:
        raise refused(file, LdifError(reader.line, str(e))) from e
    except LdifError as e:
        raise refused(file, e) from e


@contextmanager
def _problems_of(file: ChangedFile, entry: Entry) -> Iterator[None]:
    try:
        yield
    except (BadValue, UnicodeDecodeError) as e:
        raise SourceUnreachable(
            f"{entry.origin or file.content.name}: {_problem(e)} (of {entry.name.decode('utf-8', 'replace')})",
            "Correct the entry, and export it again.",
        ) from e


def _problem(error: BadValue | UnicodeDecodeError) -> str:
    return str(error) if isinstance(error, BadValue) else "a name is not text in UTF-8"


def refused(file: StableFile, error: LdifError) -> SourceUnreachable:
    """The error of a file that cannot be read."""
    return SourceUnreachable(
        f"{file.name}, line {error.line:,}: {error.reason}",
        "Export the file again, or correct this line; LDIF is read as RFC 2849 has it.",
    )
