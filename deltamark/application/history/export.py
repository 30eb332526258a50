"""Exports as Arrow tables."""

from __future__ import annotations

import base64
from collections.abc import Callable, Iterable
from datetime import datetime
from itertools import islice
from typing import Any

import pyarrow as pa

from deltamark.application.history.history import ExportedResource
from deltamark.application.ports.arrow_schemas import PROPERTY_TYPES
from deltamark.domain.configuration.configuration import Configuration
from deltamark.domain.configuration.entity_model import EntityType
from deltamark.domain.values import PropertyType, Value

_CHUNK = 20_000


def _unchanged(value: Any) -> Any:
    return value


_DECODE: dict[PropertyType, Callable[[Any], Any]] = {
    PropertyType.BYTES: base64.b64decode,
    PropertyType.BINARY: base64.b64decode,
    PropertyType.DATE_TIME: datetime.fromisoformat,
    PropertyType.DOUBLE: float,
}


def as_table(configuration: Configuration, entity_type: EntityType, resources: Iterable[ExportedResource]) -> pa.Table:
    """Resources as a table.

    It has a typed column for each property, then a list of keys for each association.

    A value of another type than its property now has (the configuration changed and the resource was not
    synchronized since) is null.
    """
    properties = configuration.valued_properties(entity_type)
    ends = [association.identifier for association in configuration.associations_from(entity_type.identifier)]
    fields = [pa.field(p.identifier, PROPERTY_TYPES[p.type]) for p in properties]
    fields += [pa.field(name, pa.list_(pa.string())) for name in ends if name not in {f.name for f in fields}]
    schema = pa.schema(fields)
    batches = []
    remaining = iter(resources)
    while chunk := list(islice(remaining, _CHUNK)):
        arrays = [_column(p.type, [resource.values.get(p.identifier) for resource in chunk]) for p in properties]
        arrays += [
            pa.array([resource.links.get(name, []) for resource in chunk], type=pa.list_(pa.string()))
            for name in schema.names[len(properties) :]
        ]
        batches.append(pa.RecordBatch.from_arrays(arrays, schema=schema))
    return pa.Table.from_batches(batches, schema=schema)


def _column(kind: PropertyType, values: list[Value]) -> pa.Array:
    decode = _DECODE.get(kind, _unchanged)
    arrow = PROPERTY_TYPES[kind]
    try:
        return pa.array([None if value is None else decode(value) for value in values], type=arrow)
    except (ValueError, TypeError, pa.ArrowException):
        return pa.array([_decoded(value, decode, arrow) for value in values], type=arrow)


def _decoded(value: Value, decode: Callable[[Any], Any], arrow: pa.DataType) -> Any:
    try:
        return None if value is None else pa.scalar(decode(value), type=arrow).as_py()
    except (ValueError, TypeError, pa.ArrowException):
        return None
