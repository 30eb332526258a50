"""The tables that a program gives to a run, each read once."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from deltamark.domain.errors import SourceError
from deltamark.domain.location import Location
from deltamark.domain.synchronization.direct_input import Delta, name_of
from deltamark.infrastructure.extracts.direct.sources import can_be_read_once
from deltamark.infrastructure.extracts.direct.spool import SPOOLED, TableToSpool, columns_of, spool
from deltamark.infrastructure.extracts.files import ExtractFile
from deltamark.infrastructure.system.temporary_files import TemporaryFolder


class DirectTables:
    """Tables by name.

    The first task that needs one reads it, to a file in a temporary folder, from which it and all others read it. The
    folder is removed when nothing refers to this any more.
    """

    def __init__(
        self,
        sources: Mapping[str, Any],
        columns: Mapping[str, Sequence[str]],
        earlier: DirectTables | None = None,
    ) -> None:
        """Reads nothing yet.

        :param columns: those that mappings name, of each table.
        :param earlier: has the tables that are not among `sources`.
        """
        self._earlier = earlier
        self._begun: set[str] = set()
        self._folder = TemporaryFolder()
        self._locks = {name: threading.Lock() for name in sources}
        self._sources = dict(sources)
        self._columns = columns
        self._files: dict[str, Path] = {}

    def __contains__(self, table: str) -> bool:
        return table in self._sources or (self._earlier is not None and table in self._earlier)

    def command_column(self, table: str, of_job: str | None) -> str | None:
        """The column with the commands of a table, None if it is a whole table.

        :param of_job: the column with the commands in the files of the job.
        :raises SourceError: for a whole table with that column: all that it does not name would be deleted.
        """
        if table not in self._sources:
            assert self._earlier is not None, "only a table that is there is asked for"
            return self._earlier.command_column(table, of_job)
        source = self._sources[table]
        if isinstance(source, Delta):
            return source.column
        if of_job is not None and of_job in columns_of(self._spooled(table)):
            raise SourceError(
                Location(name_of(table), None, of_job),
                "the job reads commands from this column, and the table was given as a whole one",
                advice="Give Delta(rows) where each row is a command, or a table without that column.",
            )
        return None

    @contextmanager
    def opened(self, table: str) -> Iterator[ExtractFile]:
        """A table as a file, for this block.

        :raises SourceError: if it cannot be read.
        """
        path = self._spooled(table)
        with path.open("rb", buffering=0) as stream:
            yield ExtractFile(name_of(table), SPOOLED.ending, (SPOOLED.ending,), path.stat().st_size, stream, path)

    def _spooled(self, table: str) -> Path:
        if table not in self._sources:
            assert self._earlier is not None, "only a table that is there is opened"
            return self._earlier._spooled(table)
        with self._locks[table]:
            path = self._files.get(table)
            if path is None:
                where = Location(name_of(table))
                path = self._folder.path / f"{list(self._sources).index(table)}{SPOOLED.ending}"
                spool(self._to_spool(table, where), path)
                self._files[table] = path
            return path

    def _to_spool(self, table: str, where: Location) -> TableToSpool:
        source, columns = self._sources[table], tuple(self._columns[table])
        if isinstance(source, Delta):
            source, columns = source.rows, tuple(dict.fromkeys((*columns, source.column)))
        if table in self._begun and can_be_read_once(source):
            raise SourceError(
                where,
                f"it was given as {type(source).__name__}, which was read before",
                advice="Give it again when you resume the run, or run the job again.",
            )
        self._begun.add(table)
        return TableToSpool(source, columns, where)
