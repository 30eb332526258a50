"""The extracts of a folder: one file for each connection table."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any, Protocol, TypeAlias

import duckdb
import pyarrow as pa
from attrs import evolve, field, frozen

from deltamark.application.ports.applied_rows import RowDigests
from deltamark.application.ports.extracts import FileDigest, LinkColumn, LinkExtract, ResourceExtract, Transformation
from deltamark.application.ports.sources import NOT_READ
from deltamark.domain.configuration.entity_model import EntityAssociationMapping, EntityType, EntityTypeMapping
from deltamark.domain.configuration.value_formats import CellType
from deltamark.domain.errors import SourceError
from deltamark.infrastructure.extracts.cells import ExtractSource, FetchedRows, Format
from deltamark.infrastructure.extracts.cleanse import (
    check_no_commands,
    check_order_of_columns,
    cleanse_links,
    cleanse_resources,
    half_rows,
    only_empty_rows_passed_over,
    without_empty_rows,
)
from deltamark.infrastructure.extracts.connection import extract_connection
from deltamark.infrastructure.extracts.copies import Copies, copies
from deltamark.infrastructure.extracts.decode import UnpackLimits, file_digest
from deltamark.infrastructure.extracts.direct.spool import SPOOLED
from deltamark.infrastructure.extracts.direct.tables import DirectTables
from deltamark.infrastructure.extracts.files import ExtractFile, ExtractTouched, check_signature, open_extract
from deltamark.infrastructure.extracts.formats import ENDINGS, format_of
from deltamark.infrastructure.extracts.known_rows import DigestedCells, KnownRows, as_bytes
from deltamark.infrastructure.extracts.many_values import one_row_each
from deltamark.infrastructure.extracts.query import Query, link_query, resource_query
from deltamark.infrastructure.extracts.row_faults import DescribedColumns
from deltamark.infrastructure.extracts.transformed import Transformer
from deltamark.version import __version__

_ATTEMPTS = 3

_Found: TypeAlias = tuple[FetchedRows, DescribedColumns, str, str]
"""The rows of a file, their columns, its name and its digest."""


def _is_same(one: _Found, other: _Found) -> bool:
    """Whether a file was twice the same: then only its status changed, as of one that gets another link."""
    return one[2:] == other[2:] and one[0].rows.equals(other[0].rows)


def _with_digests(rows: pa.Table) -> pa.Table:
    return rows.set_column(rows.schema.get_field_index("digest"), "digest", as_bytes(rows["digest"]))


def _command(described: DescribedColumns) -> list[str]:
    return [] if described.command_column is None else ["command"]


class _NewQuery(Protocol):
    """Gives the query over an extract, for the types that the file gives to its columns."""

    def __call__(
        self, *, cell_types: Mapping[str, CellType] = ..., not_read: str | None = ..., salt: str | None = ...
    ) -> Query: ...


@frozen
class FolderExtracts:
    """Reads ``<ConnectionTable>`` with the ending of one of the `FORMATS` from a folder.

    Writes nothing there. Memory does not grow with columns that no mapping names. Large copies (of compressed or
    transcoded files) take space in the system's temporary folder until the call returns.

    :param folder: where the extracts are.
    :param limits: how far a compressed extract may grow.
    :param direct: the tables that a program gives, which are read in the place of files.
    :param options: table -> what its connection says of it, see `ExtractSource`.
    """

    folder: Path
    limits: UnpackLimits = UnpackLimits()
    direct: DirectTables | None = field(default=None, eq=False)
    options: Mapping[str, Mapping[str, str]] = field(factory=dict)

    def with_tables(self, sources: Mapping[str, Any], columns: Mapping[str, Sequence[str]]) -> FolderExtracts:
        """The extracts of one run, to which a program gives some of the connection tables."""
        return evolve(self, direct=DirectTables(sources, columns, self.direct))

    @property
    def reader(self) -> str | None:
        """The versions of what reads files, and the limits and options that it reads them with."""
        options = sorted((table, sorted(of_table.items())) for table, of_table in self.options.items())
        return (
            f"deltamark {__version__}, duckdb {duckdb.__version__}, pyarrow {pa.__version__}, {self.limits}, {options}"
        )

    def file_of(self, table: str) -> FileDigest:
        """The file of a connection table, which is read only for its digest.

        :raises SourceError: if it cannot be read as a whole.
        """
        if self.direct is not None and table in self.direct:
            with self.direct.opened(table) as file:
                return FileDigest(file.name, file_digest(file.path))
        with copies() as all_copies, open_extract(self.folder, table, ENDINGS, all_copies) as file:
            return FileDigest(file.name, file_digest(file.path))

    def resources(
        self,
        mapping: EntityTypeMapping,
        entity_type: EntityType,
        command_column: str | None,
        *,
        is_shared: bool = False,
        transformation: Transformation | None = None,
        digests: RowDigests | None = None,
    ) -> ResourceExtract:
        """The cleansed rows of an entity type's connection table.

        :param command_column: the column with the commands where extracts of the connector are deltas; that of a
            mapping which is always complete must not have it.
        :param is_shared: whether other mappings read the table too. Then a row is empty, and passed over, if nothing is
            in the mapped cells. Else a command is something, and, where the key alone is mapped, any other cell.
        :param transformation: what makes the table that the mapping reads of its connection table.
        :param digests: how rows are digested, and which were applied before: the texts of an extract are looked up.

        :raises SourceError: if the file cannot be read as a whole. No content of a file raises another error.
        """
        command_column = self._command_column(mapping.connection_table, command_column)
        query = partial(resource_query, mapping, entity_type, command_column, is_shared=is_shared)
        whole_rows = not is_shared and len(mapping.properties) == 1
        made = self._transformer(mapping, transformation, command_column)
        known = None
        if digests is not None and command_column is None and made is None and not whole_rows:
            known = KnownRows(digests=digests)
        with self._fetched(mapping, query, made, whole_rows=whole_rows, known=known) as (
            connection,
            fetched,
            described,
            name,
            digest,
        ):
            if known is not None and known.have_repeated_keys(fetched.rows):
                anew = RowDigests(salt=known.digests.salt)
                return self.resources(mapping, entity_type, None, is_shared=is_shared, digests=anew)
            rows = cleanse_resources(connection, fetched, described, name)
        names = ["key", "line", "state", *_command(described)]
        salt = None
        if known is not None and "digest" in rows.rows.column_names:
            rows = evolve(rows, rows=_with_digests(rows.rows))
            names.append("digest")
            salt = known.digests.salt
        cleansed = rows.cleansed(mapping.entity_type, name, digest, has_commands=described.command_column is not None)
        return ResourceExtract(
            rows=rows.rows.select(names),
            kept=rows.kept,
            cleansed=cleansed,
            faulty=rows.faulty,
            unchanged=None if known is None else known.unchanged,
            salt=salt,
        )

    def links(
        self,
        mapping: EntityAssociationMapping,
        ends: tuple[LinkColumn, LinkColumn],
        command_column: str | None,
        *,
        may_lack_first: bool = False,
        is_shared: bool = False,
        transformation: Transformation | None = None,
    ) -> LinkExtract:
        """The cleansed pairs of an association's connection table.

        Repeated pairs are left out, and so are rows without a second value. With a command column all rows stay, in
        their order.

        :param command_column: as for `resources`.
        :param may_lack_first: whether a row without a first value is no fault.
        :param is_shared: whether other mappings read the table too, see `resources`.
        :param transformation: as for `resources`.
        :raises SourceError: if the file cannot be read as a whole.
        """
        command_column = self._command_column(mapping.connection_table, command_column)
        query = partial(link_query, mapping, ends, command_column, may_lack_first=may_lack_first, is_shared=is_shared)
        made = self._transformer(mapping, transformation, command_column)
        with self._fetched(mapping, query, made) as (connection, fetched, described, name, digest):
            if any(end.separator is not None for end in ends):
                fetched = one_row_each(connection, fetched)
            rows = cleanse_links(connection, fetched, described, name)
            halves = None if described.command_column is not None else half_rows(fetched)
        names = ["line", "key", "value2", *_command(described)]
        cleansed = rows.cleansed(mapping.association, name, digest, has_commands=described.command_column is not None)
        pairs = rows.rows.select(names).rename_columns(["value1" if n == "key" else n for n in names])
        faulty = None
        if rows.faulty is not None:
            faulty = rows.faulty.rename_columns(["value1", "line", "command"])
        return LinkExtract(rows=pairs, kept=rows.kept, cleansed=cleansed, faulty=faulty, halves=halves)

    @staticmethod
    def _transformer(
        mapping: EntityTypeMapping | EntityAssociationMapping,
        transformation: Transformation | None,
        command_column: str | None,
    ) -> Transformer | None:
        if transformation is None:
            return None
        return Transformer.of(transformation, mapping, None if mapping.always_complete else command_column)

    def _command_column(self, table: str, of_job: str | None) -> str | None:
        """The column with the commands of a table: that of the job, unless the program gives the table."""
        if self.direct is None or table not in self.direct:
            return of_job
        return self.direct.command_column(table, of_job)

    @contextmanager
    def _fetched(
        self,
        mapping: EntityTypeMapping | EntityAssociationMapping,
        query: _NewQuery,
        made: Transformer | None,
        *,
        whole_rows: bool = False,
        known: KnownRows | None = None,
    ) -> Iterator[tuple[duckdb.DuckDBPyConnection, FetchedRows, DescribedColumns, str, str]]:
        """The connection, the result of the query, its columns, and the name and digest of the file."""
        with copies() as all_copies, extract_connection() as connection:
            previous: _Found | None = None
            for attempt in range(_ATTEMPTS):
                found, touched = self._read(
                    mapping, query, made, connection, all_copies, whole_rows=whole_rows, known=known
                )
                if touched is None or (previous is not None and _is_same(previous, found)):
                    break
                if attempt == _ATTEMPTS - 1:
                    raise touched
                previous = found
            yield connection, *found

    def _read(
        self,
        mapping: EntityTypeMapping | EntityAssociationMapping,
        new_query: _NewQuery,
        made: Transformer | None,
        connection: duckdb.DuckDBPyConnection,
        all_copies: Copies,
        *,
        whole_rows: bool,
        known: KnownRows | None,
    ) -> tuple[_Found, ExtractTouched | None]:
        """What the file holds, and whether it may have changed meanwhile."""
        found: list[_Found] = []
        table = mapping.connection_table
        if self.direct is not None and table in self.direct:
            with self.direct.opened(table) as file:
                spooled = self._read_open(
                    file,
                    SPOOLED,
                    mapping,
                    new_query,
                    made,
                    connection,
                    all_copies,
                    whole_rows=whole_rows,
                    known=known,
                )
            return spooled, None
        try:
            with open_extract(self.folder, table, ENDINGS, all_copies) as file:
                extract_format = format_of(file.ending)
                found.append(
                    self._read_open(
                        file,
                        extract_format,
                        mapping,
                        new_query,
                        made,
                        connection,
                        all_copies,
                        whole_rows=whole_rows,
                        known=known,
                    )
                )
        except ExtractTouched as touched:
            return found[0], touched
        return found[0], None

    def _read_open(
        self,
        file: ExtractFile,
        extract_format: Format,
        mapping: EntityTypeMapping | EntityAssociationMapping,
        new_query: _NewQuery,
        made: Transformer | None,
        connection: duckdb.DuckDBPyConnection,
        all_copies: Copies,
        *,
        whole_rows: bool,
        known: KnownRows | None,
    ) -> _Found:
        query = new_query()
        read_by = mapping if made is None else made.source_mapping()
        with ThreadPoolExecutor(1) as in_parallel:
            digest = in_parallel.submit(file_digest, file.path)
            try:
                check_signature(file, file.head(), extract_format.signature, extract_format.described)
                cells = extract_format.read(
                    ExtractSource(
                        connection=connection,
                        file=file,
                        mapping=read_by,
                        columns=query.columns if made is None else made.reads,
                        bytes_columns=query.bytes_columns if made is None else made.sources_of(query.bytes_columns),
                        identifier_columns=query.identifier_columns
                        if made is None
                        else made.sources_of(query.identifier_columns),
                        copies=all_copies,
                        limits=self.limits,
                        options=self.options.get(read_by.connection_table, {}),
                    )
                )
                check_no_commands(cells, query.foreign_column, file)
                if made is not None:
                    cells = made.cells(cells, file, connection)
                not_read = NOT_READ if NOT_READ in cells.names else None
                numbers = [cells.names.index(name) for name in query.columns]
                if known is not None:
                    is_digested = isinstance(cells, DigestedCells) and cells.can_be_digested(numbers)
                    known = known if is_digested and not_read is None else None
                salt = None
                if known is not None:
                    known.types = cells.cell_types
                    salt = known.salt
                if salt is not None:  # never of links, whose rows have no digests
                    query = new_query(cell_types=cells.cell_types, not_read=not_read, salt=salt)
                elif cells.cell_types or not_read is not None:
                    query = new_query(cell_types=cells.cell_types, not_read=not_read)
                numbers = [cells.names.index(name) for name in query.columns]
                if known is not None and known.digests.applied is not None and isinstance(cells, DigestedCells):
                    fetched = cells.fetch_others(query.sql, numbers, known)
                else:
                    fetched = cells.fetch(query.sql, numbers)
                check_order_of_columns(fetched, file)
                if whole_rows:
                    fetched = only_empty_rows_passed_over(fetched, cells)
                described = query.described if made is None else made.described(query.described)
                return without_empty_rows(fetched), described, file.name, digest.result()
            except (OSError, pa.ArrowException) as error:
                raise SourceError(file.where, f"the file cannot be read ({error})") from error
