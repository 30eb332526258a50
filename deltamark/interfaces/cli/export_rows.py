"""Exports: resources as rows, and into files that appear whole or not at all."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import pyarrow.parquet

from deltamark.domain.configuration.configuration import Configuration
from deltamark.domain.history.changes import When
from deltamark.engine import Engine
from deltamark.infrastructure.system.atomic_file import whole_file
from deltamark.interfaces.cli.rendering import Column, Document, Listing, member


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


def write_parquet(engine: Engine, entity_type: str, at: When | None, file: Path) -> int:
    """Writes all resources of a type to a Parquet file with a typed column for each property; returns how many.

    :raises UsageError: for a file that cannot be written; what was there stays then.
    """
    with whole_file(file) as stream:
        table = engine.export(entity_type, at)
        pyarrow.parquet.write_table(table, stream)
        return int(table.num_rows)
