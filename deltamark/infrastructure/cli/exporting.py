"""Exports: resources as rows, and into files that appear whole or not at all."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import BinaryIO

import orjson
import pyarrow.parquet

from deltamark.bootstrap import Engine
from deltamark.domain.changes import When
from deltamark.domain.configuration import Configuration
from deltamark.domain.errors import UsageError
from deltamark.infrastructure.cli.counting import counted
from deltamark.infrastructure.cli.documents import exported_document
from deltamark.infrastructure.cli.rendering import Column, Document, Listing, csv_lines, member
from deltamark.infrastructure.cli.whole_files import whole_file


def export_listing(configuration: Configuration, entity_type: str, documents: Iterable[Document]) -> Listing:
    """Resources as rows: the key, the properties, the links that start there.

    An end that may have one link shows its key, one that may have several a JSON list.
    """
    found = configuration.entity_type(entity_type)
    properties = configuration.valued_properties(found) if found else ()
    columns = [member("key"), *(_property(p.identifier) for p in properties)]
    starting = configuration.associations_from(entity_type)
    columns += [_links(a.identifier, is_collection=a.is_property1_collection) for a in starting]
    return Listing(documents=documents, columns=columns)


def _property(name: str) -> Column:
    return Column(name, lambda document: document["properties"].get(name))


def _links(association: str, *, is_collection: bool) -> Column:
    def cell(document: Document) -> object:
        keys = document["links"].get(association)
        return keys if is_collection or not keys else keys[0]

    return Column(association, cell)


def write_export(engine: Engine, entity_type: str, at: When | None, file: Path) -> int:
    """Writes all resources of a type to a file in the form that its ending says; returns how many.

    :raises UsageError: for another ending, or a file that cannot be written; what was there stays then.
    """
    writers: dict[str, Callable[[Engine, str, When | None, BinaryIO], int]] = {
        ".csv": _write_csv,
        ".jsonl": _write_jsonl,
        ".parquet": _write_parquet,
    }
    write = writers.get(file.suffix.lower())
    if write is None:
        raise UsageError(f"{file}: the ending says how a file is written. Use one of {', '.join(writers)}.")
    with whole_file(file) as stream:
        return write(engine, entity_type, at, stream)


def _write_csv(engine: Engine, entity_type: str, at: When | None, stream: BinaryIO) -> int:
    documents = (exported_document(resource) for resource in counted(engine.export_resources(entity_type, at)))
    rows = -1  # the header
    for line in csv_lines(export_listing(engine.configuration, entity_type, documents)):
        stream.write(line)
        rows += 1
    return rows


def _write_jsonl(engine: Engine, entity_type: str, at: When | None, stream: BinaryIO) -> int:
    rows = 0
    for resource in counted(engine.export_resources(entity_type, at)):
        stream.write(orjson.dumps(exported_document(resource)) + b"\n")
        rows += 1
    return rows


def _write_parquet(engine: Engine, entity_type: str, at: When | None, stream: BinaryIO) -> int:
    table = engine.export(entity_type, at)
    pyarrow.parquet.write_table(table, stream)
    return int(table.num_rows)
