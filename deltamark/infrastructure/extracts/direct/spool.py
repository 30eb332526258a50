"""The file in which a table that a program gives is kept while its run may need it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.compute as pc
from attrs import frozen

from deltamark.domain.errors import SourceError
from deltamark.domain.location import Location
from deltamark.infrastructure.extracts.cells import ExtractSource, Format
from deltamark.infrastructure.extracts.connection import extract_connection
from deltamark.infrastructure.extracts.direct.object_rows import is_row, object_rows
from deltamark.infrastructure.extracts.direct.sources import batches_or_rows, first_of, is_batch, reader_of
from deltamark.infrastructure.extracts.typed_cells import TypedCells, columns_in_memory


@frozen
class TableToSpool:
    """A table that a program gives.

    :param columns: those that mappings name, and the command column if there is one.
    :param where: the table, for errors.
    """

    source: Any
    columns: Sequence[str]
    where: Location


def spool(table: TableToSpool, path: Path) -> None:
    """Reads a table, once, and writes it to a file.

    :raises SourceError: if it cannot be read as a whole; also for what the program that gives it raises.
    """
    try:
        with extract_connection() as connection:
            _write(_batches(table, connection), path, table.where)
    except SourceError:
        raise
    except Exception as error:
        raise SourceError(
            table.where,
            f"the program that gives the rows failed ({type(error).__name__}: {error})",
            advice="Give all rows, and run the job again.",
        ) from error


def _batches(table: TableToSpool, connection: duckdb.DuckDBPyConnection) -> Iterator[pa.RecordBatch]:
    given = batches_or_rows(table.where.file, table.source)
    if isinstance(given, pa.RecordBatchReader):
        yield from _readable(given, table)
        return
    first, items = first_of(given)
    if is_batch(first):
        for number, item in enumerate(items, 1):
            if not is_batch(item):
                raise SourceError(table.where, f"item {number} is {type(item).__name__}, and no batch as those before")
            yield from _readable(reader_of(item), table)
        return
    rows = items if first is None or not isinstance(first, list) else (row for part in items for row in part)
    if first is not None and not isinstance(first, list) and not is_row(first):
        raise SourceError(
            table.where,
            f"the first item is {type(first).__name__}, which is neither a row nor a batch",
            advice="Give mappings of column and value, instances of attrs or data classes, or Arrow batches.",
        )
    yield from object_rows(rows, table.columns, table.where, connection)


def _readable(reader: pa.RecordBatchReader, table: TableToSpool) -> Iterator[pa.RecordBatch]:
    """The batches of a reader in types that the file can hold and DuckDB can read; at least one, without rows."""
    schema = reader.schema
    changes = [_change_of(field, is_mapped=field.name in table.columns) for field in schema]
    fields = [
        field.with_type(change(pa.array([], field.type)).type) if change else field
        for field, change in zip(schema, changes, strict=True)
    ]
    changed = pa.schema([field.remove_metadata() for field in fields])
    yield pa.RecordBatch.from_arrays([pa.array([], field.type) for field in changed], schema=changed)
    for batch in reader:
        columns = [change(column) if change else column for change, column in zip(changes, batch.columns, strict=True)]
        yield pa.RecordBatch.from_arrays(columns, schema=changed)


def _change_of(field: pa.Field, *, is_mapped: bool) -> Callable[[pa.Array], pa.Array] | None:
    kind = field.type
    if isinstance(kind, pa.BaseExtensionType):
        if kind.extension_name == "arrow.uuid":
            return lambda cells: pa.array(
                [None if cell is None else str(cell) for cell in cells.to_pylist()], pa.string()
            )
        inner = _change_of(pa.field(field.name, kind.storage_type), is_mapped=is_mapped)
        return lambda cells: inner(cells.storage) if inner else cells.storage
    if pa.types.is_dictionary(kind):
        return lambda cells: cells.dictionary_decode()
    if pa.types.is_run_end_encoded(kind):
        return lambda cells: pc.run_end_decode(cells)
    if pa.types.is_float16(kind):
        return lambda cells: cells.cast(pa.float32())
    if pa.types.is_nested(kind) and not is_mapped:  # only whether something is in the cell can matter
        return lambda cells: pc.if_else(cells.is_valid(), pa.scalar(True), pa.scalar(None, pa.bool_()))
    return None


def _write(batches: Iterable[pa.RecordBatch], path: Path, where: Location) -> None:
    """Writes batches to a file.

    If their types differ, they are written anew, in the types that hold all of them.
    """
    parts: list[Path] = []
    schemas: list[pa.Schema] = []
    writer: pa.RecordBatchFileWriter | None = None
    try:
        for batch in batches:
            if not schemas or batch.schema != schemas[-1]:
                if writer is not None:
                    writer.close()
                parts.append(path.with_name(f"{path.name}.{len(parts)}"))
                schemas.append(batch.schema)
                writer = pa.ipc.new_file(parts[-1], batch.schema)
            assert writer is not None
            if batch.num_rows:
                writer.write_batch(batch)
    finally:
        if writer is not None:
            writer.close()
    if len(parts) == 1:
        parts[0].rename(path)
        return
    _write_in_one_schema(parts, schemas, path, where)


def _write_in_one_schema(parts: Sequence[Path], schemas: Sequence[pa.Schema], path: Path, where: Location) -> None:
    if any(schema.names != schemas[0].names for schema in schemas):
        other = next(schema for schema in schemas if schema.names != schemas[0].names)
        raise SourceError(where, f"the batches have other columns: first {schemas[0].names}, then {other.names}")
    try:
        whole = pa.unify_schemas(list(schemas), promote_options="permissive")
        with pa.ipc.new_file(path, whole) as writer:
            for part in parts:
                for batch in _table_in(part).to_batches():
                    writer.write_batch(batch.cast(whole))
    except (pa.ArrowException, NotImplementedError) as error:
        raise SourceError(
            where, f"the batches have other types ({error})", advice="Give all batches the same schema."
        ) from error
    finally:
        for part in parts:
            part.unlink()


def columns_of(path: Path) -> Sequence[str]:
    """The columns of a table that was written to a file."""
    return tuple(pa.ipc.open_file(pa.memory_map(str(path))).schema.names)


def _table_in(path: Path) -> pa.Table:
    return pa.ipc.open_file(pa.memory_map(str(path))).read_all()


def _cells(source: ExtractSource) -> TypedCells:
    table = _table_in(source.file.path)

    def rows(columns: Sequence[int]) -> str:
        return columns_in_memory(source.connection, {number: table.column(number) for number in columns})

    return TypedCells(source, table.schema, rows)


SPOOLED = Format(ending=".arrow", described="a table", signature=b"ARROW1", read=_cells)
"""The format of the file, which no file of a folder has."""
