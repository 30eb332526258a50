"""The packages `Csv`, `Excel` and `JsonLines`: files are copied as they are, and read when they are applied."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack

from attrs import frozen

from deltamark.application.ports.source_files import UNCHANGED, digests_in, file_of, place_of
from deltamark.application.ports.sources import (
    Probe,
    Question,
    Reached,
    SourcePlace,
    SourceUnreachable,
    Tables,
    WantedTable,
)
from deltamark.infrastructure.system.stable_files import StableFile, folder_of, stable_file


@frozen
class CopiedFiles:
    """Copies the files of a connection.

    :param endings: the endings of names, each that of an extract format.
    """

    endings: Sequence[str]

    def probe(self, ask: Question) -> Probe:
        """Opens each file, and reads none."""
        findings, problems = [], []
        folder = folder_of(ask)
        for table in ask.tables:
            try:
                with stable_file(ask, file_of(ask, table)) as file:
                    findings.append(f"{table.name}: {file.name} ({file.status.st_size:,} bytes)")
            except SourceUnreachable as e:
                problems.append(f"{table.name}: {e.problem}")
        return Probe(server=str(folder), findings=findings, problems=problems)

    def snapshot(self, ask: Question, into: Tables) -> Reached:
        """Copies all files."""
        with self._opened(ask) as files:
            for table, file in files:
                into.copy(table.name, self._ending(file.name), file.blocks())
            return _reached(ask, files)

    def changes(self, ask: Question, since: SourcePlace, into: Tables) -> Reached:
        """Copies all files, or none where none of them changed.

        Links of one file may lead to the other, so that the tables are not read apart.
        """
        before = digests_in(since)
        with self._opened(ask) as files:
            now = {table.name: file.digest for table, file in files}
            if now != before:
                for table, file in files:
                    into.copy(table.name, self._ending(file.name), file.blocks())
            return _reached(ask, files, [UNCHANGED] if now == before else [])

    def _ending(self, name: str) -> str:
        return next(ending for ending in sorted(self.endings, key=len, reverse=True) if name.lower().endswith(ending))

    def _opened(self, ask: Question) -> _Files:
        return _Files(ask)


class _Files(ExitStack):
    """The files of the tables, open for this block; all are seen to be the same at its end."""

    def __init__(self, ask: Question) -> None:
        super().__init__()
        self._ask = ask
        self._open: list[tuple[WantedTable, StableFile]] = []

    def __enter__(self) -> _Files:
        super().__enter__()
        try:
            for table in self._ask.tables:
                self._open.append((table, self.enter_context(stable_file(self._ask, file_of(self._ask, table)))))
        except BaseException:
            self.close()
            raise
        return self

    def __iter__(self) -> Iterator[tuple[WantedTable, StableFile]]:
        return iter(self._open)


def _reached(ask: Question, files: _Files, messages: Sequence[str] = ()) -> Reached:
    return Reached(place=place_of(ask, {table.name: file.digest for table, file in files}), messages=messages)
