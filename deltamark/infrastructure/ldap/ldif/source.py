"""The package `Ldif`: the entries of files of content, as files of changes leave them.

What new changes did is read as a delta; everything, where another file changed.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager

import pyarrow as pa
from attrs import evolve, frozen

from deltamark.application.ports.source_files import UNCHANGED, digests_in, file_of, place_of
from deltamark.application.ports.sources import (
    LARGEST_COOKIE,
    Probe,
    Question,
    Reached,
    SourcePlace,
    SourceUnreachable,
    Tables,
)
from deltamark.domain.configuration.packages import CHANGE_FILES, FILE, LINKS
from deltamark.infrastructure.ldap.ldif.changes import changes_in
from deltamark.infrastructure.ldap.ldif.delta import (
    ChangedFile,
    ReadAll,
    add_changed_entries,
    add_entries,
    add_what_changed,
    refused,
)
from deltamark.infrastructure.ldap.ldif.links import Links
from deltamark.infrastructure.ldap.ldif.reader import LdifError, LdifReader
from deltamark.infrastructure.ldap.ldif.tables import Rows, Table, TablesOfFile, tables_of
from deltamark.infrastructure.system.stable_files import StableFile, files_that_fit, folder_of, stable_file


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
        """Reads what the changes that are new did; all entries where something else changed, too."""
        before = digests_in(since)
        with _opened(ask) as files:
            if _digests(files) == before:
                return Reached(place=place_of(ask, before), messages=[UNCHANGED])
            try:
                parts = [opened.since(file, before) for file, opened in files.items()]
                return _read_delta(ask, files, parts, into)
            except ReadAll as e:
                reached = _read(ask, files, into)
                return evolve(reached, messages=[f"all entries were read, for {e.reason}", *reached.messages])


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
        raise refused(file, e) from e
    return f"{file.status.st_size:,} bytes" if record is not None else "no record"


@frozen
class _Content:
    """A file of content, and the files of changes since it was written, the earliest first."""

    file: StableFile
    changes: Sequence[StableFile]

    def since(self, file: str, before: Mapping[str, str]) -> ChangedFile:
        """What is known of the file by an earlier reading, and what is new.

        :param before: the digests of the last time.
        :raises ReadAll: if it must be read as a whole.
        :raises SourceUnreachable: if changes that were read are gone, while the content does not hold them.
        """
        if self.file.digest != before.get(file):
            raise ReadAll(f"{self.file.name} is another one than before")
        names = [name for name in before.get(_names_key(file), "").split("\n") if name]
        if not names:
            return ChangedFile(self.file, [(change, 0) for change in self.changes])
        present = {change.name: change for change in self.changes}
        for name in names:
            if name not in present:
                raise self._gone(f"{name}, whose changes were read before, is gone")
        last = present[names[-1]]
        first = last.first(int(before.get(_size_key(file), last.status.st_size)))
        digests = {name: present[name].digest for name in names}
        if first is None or _digest_of({**digests, last.name: first.digest}) != before.get(_changes_key(file)):
            raise self._gone(f"{' or '.join(names[-2:])} holds something else than the changes that were read of it")
        if [change.name for change in self.changes[: len(names)]] != names:
            raise ReadAll(f"a file of changes comes before {last.name}, which was read before")
        if not first.is_whole:
            raise ReadAll(f"the last change that was read of {last.name} goes on")
        lines = {**{name: present[name].lines for name in names}, last.name: first.lines}
        return ChangedFile(self.file, [(change, lines.get(change.name, 0)) for change in self.changes])

    def _gone(self, problem: str) -> SourceUnreachable:
        return SourceUnreachable(
            f"{problem}, and {self.file.name} is as before: without them what they changed would be undone",
            f"Put them back; or export {self.file.name} again, and remove the files of changes that it holds.",
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
            digests[_changes_key(file)] = _digest_of({change.name: change.digest for change in opened.changes})
            digests[_names_key(file)] = "\n".join(change.name for change in opened.changes)
            digests[_size_key(file)] = str(opened.changes[-1].status.st_size)
    return digests


def _digest_of(changes: Mapping[str, str]) -> str:
    """What tells files of changes from others.

    :param changes: their digests by their names, in order.
    """
    return hashlib.sha256("".join(f"{name}\n{digest}\n" for name, digest in changes.items()).encode()).hexdigest()


def _changes_key(file: str) -> str:
    return f"{file} changes"


def _names_key(file: str) -> str:
    return f"{file} names of changes"


def _size_key(file: str) -> str:
    return f"{file} size of the last changes"


def _read(ask: Question, files: dict[str, _Content], into: Tables) -> Reached:
    tables = tables_of(ask)
    place = _place(ask, files)
    for wanted in ask.tables:  # one of which no entry is left is empty, and not without changes
        into.write(wanted.name, pa.record_batch([pa.array([], pa.string())] * len(wanted.columns), wanted.columns))
    rows = Rows(into, delta=False)
    with Links.opened(any(table.links for table in tables)) as links:
        for file, opened in files.items():
            of_file = TablesOfFile([table for table in tables if table.file == file], rows, links)
            if opened.changes:
                add_changed_entries(ChangedFile(opened.file, [(change, 0) for change in opened.changes]), of_file)
            else:
                add_entries(opened.file, of_file)
        rows.finish()
        links.resolve(into, [other for table in tables for other, _ in table.links], delta=False)
    return Reached(place=place, messages=[*_several_values(tables), *links.messages])


def _read_delta(ask: Question, files: dict[str, _Content], parts: Sequence[ChangedFile], into: Tables) -> Reached:
    """Reads what the changes that are new did.

    :raises ReadAll: if that must be read as a whole.
    """
    tables = tables_of(ask)
    keys = {wanted.name: (wanted.key or "").lower() for wanted in ask.tables}
    for table in tables:
        if keys[table.name] != table.key.column.lower():
            raise ReadAll(f"the key of {table.name} is not read from {table.key.column}")
    place = _place(ask, files)
    rows = Rows(into, delta=True)
    with Links.opened(any(table.links for table in tables)) as links:
        of_files = [TablesOfFile([table for table in tables if table.file == file], rows, links) for file in files]
        add_what_changed(list(zip(parts, of_files, strict=True)), rows, links)
        rows.finish()
        links.resolve(into, [other for table in tables for other, _ in table.links], delta=True)
    return Reached(place=place, messages=[*_several_values(tables), *links.messages])


def _place(ask: Question, files: dict[str, _Content]) -> SourcePlace:
    place = place_of(ask, _digests(files))
    if len(place.cookie) > LARGEST_COOKIE:
        raise SourceUnreachable(
            f"there are too many files of changes ({sum(len(opened.changes) for opened in files.values()):,})",
            "Export the content again, and remove the files of changes that it holds.",
        )
    return place


def _several_values(tables: Sequence[Table]) -> list[str]:
    return [
        f"{table.name}: {cell.column} has several values; the first one in sorted order was taken"
        for table in tables
        for cell in table.cells
        if cell.has_several
    ]
