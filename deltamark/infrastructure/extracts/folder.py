"""The extracts of a folder: one file a connection table."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import duckdb
import pyarrow as pa
from attrs import frozen

from deltamark.application.ports.extracts import LinkExtract, ResourceExtract
from deltamark.domain.configuration.entity_model import EntityAssociationMapping, EntityType, EntityTypeMapping
from deltamark.domain.errors import SourceError
from deltamark.domain.location import Location
from deltamark.domain.values import PropertyType
from deltamark.infrastructure.extracts.cleanse import sifted_links, sifted_resources
from deltamark.infrastructure.extracts.csv.cells import Cells, CsvCells, Fetched, reading_connection
from deltamark.infrastructure.extracts.csv.dialect import check_names, dialect_of
from deltamark.infrastructure.extracts.csv.inspection import inspected
from deltamark.infrastructure.extracts.decode import UnpackLimits, digest_of, encoding_named, unpacked
from deltamark.infrastructure.extracts.files import ExtractFile, opened
from deltamark.infrastructure.extracts.parquet import parquet_cells
from deltamark.infrastructure.extracts.query import Query, link_query, resource_query


@frozen
class FolderExtracts:
    """Reads ``<ConnectionTable>`` with one of the endings .csv, .csv.gz, .csv.zst and .parquet from a folder.

    Nothing is written there. Memory does not grow with the columns that no mapping names. Large copies (of
    compressed or transcoded files) lie in the system's temporary folder until the call returns.

    :param folder: where the extracts are.
    :param limits: how far a compressed extract may grow.
    """

    folder: Path
    limits: UnpackLimits = UnpackLimits()

    def resources(
        self, mapping: EntityTypeMapping, entity_type: EntityType, command_column: str | None
    ) -> ResourceExtract:
        """The cleansed rows of an entity type's connection table.

        :raises SourceError: if the file cannot be read as a whole; nothing else is raised for what it holds.
        """
        query = resource_query(mapping, entity_type, command_column)
        names = ["key", "line", "state", *(["command"] if command_column is not None else [])]
        with self._fetched(mapping, query) as (connection, fetched, name, digest):
            sifted = sifted_resources(connection, fetched, query.wording, name)
        cleansed = sifted.cleansed(mapping.entity_type, name, digest)
        return ResourceExtract(rows=sifted.rows.select(names), kept=sifted.kept, cleansed=cleansed)

    def links(
        self,
        mapping: EntityAssociationMapping,
        types: tuple[PropertyType, PropertyType],
        command_column: str | None,
    ) -> LinkExtract:
        """The cleansed pairs of an association's connection table.

        Rows without a second value say that there is no link; they and repeated pairs are passed over. With a
        command column they stay: the command is about whatever links the first value has.

        :raises SourceError: as for `resources`.
        """
        query = link_query(mapping, types, command_column)
        names = ["line", "key", "value2", *(["command"] if command_column is not None else [])]
        with self._fetched(mapping, query) as (connection, fetched, name, digest):
            sifted = sifted_links(connection, fetched, query.wording, name)
        cleansed = sifted.cleansed(mapping.association, name, digest)
        rows = sifted.rows.select(names).rename_columns(["value1" if n == "key" else n for n in names])
        return LinkExtract(rows=rows, kept=sifted.kept, cleansed=cleansed)

    @contextmanager
    def _fetched(
        self, mapping: EntityTypeMapping | EntityAssociationMapping, query: Query
    ) -> Iterator[tuple[duckdb.DuckDBPyConnection, Fetched, str, str]]:
        with (
            tempfile.TemporaryDirectory(prefix="deltamark-", ignore_cleanup_errors=True) as folder,
            reading_connection() as connection,
        ):
            with opened(self.folder, mapping.connection_table) as file, ThreadPoolExecutor(1) as beside:
                digest = beside.submit(digest_of, file.path)
                try:
                    cells = _cells(connection, file, mapping, query.wanted, Path(folder), self.limits)
                    numbers = [cells.names.index(name) for name in query.wanted]
                    fetched = cells.fetch(query.sql, numbers)
                    result = connection, fetched, file.name, digest.result()
                except (OSError, pa.ArrowException) as error:
                    raise SourceError(file.where, f"the file cannot be read ({error})") from error
            yield result


def _cells(
    connection: duckdb.DuckDBPyConnection,
    file: ExtractFile,
    mapping: EntityTypeMapping | EntityAssociationMapping,
    wanted: Sequence[str],
    workplace: Path,
    limits: UnpackLimits,
) -> Cells:
    if file.ending == ".parquet":
        return parquet_cells(connection, file, wanted)
    at = mapping.location or Location(mapping.connection_table)
    plain = unpacked(file, encoding_named(mapping.encoding, at), workplace, limits)
    shape = inspected(plain)
    dialect = dialect_of(plain, shape, wanted, mapping.delimiter, at)
    check_names(dialect.names, wanted, file, dialect.line)
    return CsvCells(connection, plain, shape, dialect, workplace)
