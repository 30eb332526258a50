"""Rows in files of columns: Parquet, and Arrow IPC."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime
from itertools import islice
from pathlib import Path
from typing import Any, BinaryIO

import pyarrow as pa
import pyarrow.parquet

from deltamark.application.history.model import ModelChoice
from deltamark.domain.history.changes import When
from deltamark.domain.values import Value
from deltamark.engine import Engine
from deltamark.infrastructure.system.atomic_file import whole_file
from deltamark.interfaces.cell_texts import plain
from deltamark.interfaces.cli.rendering import Document, Listing

_CHUNK = 20_000
_NUMBERS = frozenset(("position", "run", "line"))


def write_resources(
    engine: Engine, entity_type: str, at: When | None, model: ModelChoice, file: Path, where: Mapping[str, Value]
) -> int:
    """Writes all resources of a type to a file.

    There is a typed column for each property. Returns how many it wrote.

    :raises UsageError: for a file that cannot be written; what was there stays then.
    """
    with whole_file(file) as stream:
        table = engine.export(entity_type, at, model=model, where=where)
        with _writer(file.suffix.lower(), stream, table.schema) as writer:
            writer.write_table(table)
        return int(table.num_rows)


def write_rows(ending: str, listing: Listing, stream: BinaryIO) -> int:
    """Writes the rows of a listing, and returns how many.

    :param ending: of the file, ``.parquet`` or ``.arrow``.
    """
    schema = pa.schema([(column.title, _type_of(column.title)) for column in listing.columns])
    rows = 0
    with _writer(ending, stream, schema) as writer:
        for documents in _portions(listing.documents):
            columns = [
                pa.array([_cell(column.cell(document), field.type) for document in documents], field.type)
                for column, field in zip(listing.columns, schema, strict=True)
            ]
            writer.write_batch(pa.RecordBatch.from_arrays(columns, schema=schema))
            rows += len(documents)
    return rows


def _writer(ending: str, stream: BinaryIO, schema: pa.Schema) -> Any:
    if ending == ".arrow":
        return pa.ipc.new_file(stream, schema)
    return pyarrow.parquet.ParquetWriter(stream, schema)


def _portions(documents: Iterable[Document]) -> Iterator[list[Document]]:
    remaining = iter(documents)
    while portion := list(islice(remaining, _CHUNK)):
        yield portion


def _type_of(title: str) -> pa.DataType:
    """The type of a column: numbers and times as such, all else as the text that CSV holds."""
    name = title.rsplit("_", 1)[-1]
    if name in _NUMBERS:
        return pa.int64()
    return pa.timestamp("us", "UTC") if name == "at" else pa.string()


def _cell(value: object, kind: pa.DataType) -> Any:
    if value is None or kind == pa.int64():
        return value
    return datetime.fromisoformat(str(value)) if pa.types.is_timestamp(kind) else plain(value)
