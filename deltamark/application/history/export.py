"""Exports as Arrow tables."""

from __future__ import annotations

import base64
from collections.abc import Callable, Iterable
from datetime import date, datetime
from itertools import islice
from typing import Any

import pyarrow as pa

from deltamark.application.history.history import ExportedResource
from deltamark.application.history.model import TypeModel
from deltamark.application.ports.arrow_schemas import PROPERTY_TYPES, decimals
from deltamark.domain.values import PropertyType, Value, has_type

_CHUNK = 20_000
_COLLECTED = {**PROPERTY_TYPES, PropertyType.DECIMAL: pa.string()}
"""The types of columns until all values are known: the digits of a Decimal depend on them."""


_KEYS = pa.list_(pa.string())


def _unchanged(value: Any) -> Any:
    return value


_DECODE: dict[PropertyType, Callable[[Any], Any]] = {
    PropertyType.BYTES: base64.b64decode,
    PropertyType.BINARY: base64.b64decode,
    PropertyType.DATE_TIME: datetime.fromisoformat,
    PropertyType.DATE: date.fromisoformat,
    PropertyType.DOUBLE: float,
}


def as_table(model: TypeModel, resources: Iterable[ExportedResource]) -> pa.Table:
    """Resources as a table.

    It has a typed column for each property, then a list of keys for each association. A column in which a value is not
    of the type of its property is one of texts.
    """
    properties = model.properties
    ends = [association.identifier for association in model.associations]
    names = [p.identifier for p in properties]
    names += [name for name in ends if name not in names]
    chunks: list[list[pa.Array]] = [[] for _ in names]
    remaining = iter(resources)
    while chunk := list(islice(remaining, _CHUNK)):
        for column, declared in zip(chunks, properties, strict=False):
            column.append(_column(declared.type, [resource.values.get(declared.identifier) for resource in chunk]))
        for column, name in zip(chunks[len(properties) :], names[len(properties) :], strict=True):
            column.append(pa.array([resource.links.get(name, []) for resource in chunk], type=_KEYS))
    columns = [_whole(p.type, column) for p, column in zip(properties, chunks, strict=False)]
    columns += [pa.chunked_array(column, type=_KEYS) for column in chunks[len(properties) :]]
    return pa.Table.from_arrays(columns, names=names)


def _whole(kind: PropertyType, chunks: list[pa.Array]) -> pa.ChunkedArray:
    arrow = _COLLECTED[kind]
    if any(chunk.type != arrow for chunk in chunks):
        chunks, arrow = [_texts(chunk.to_pylist()) for chunk in chunks], pa.string()
    column = pa.chunked_array(chunks, type=arrow)
    return decimals(column) if kind is PropertyType.DECIMAL and _fit(column, kind) else column


def _column(kind: PropertyType, values: list[Value]) -> pa.Array:
    """Values as an array of their type, or of texts where one of them is of another type."""
    if kind is PropertyType.DECIMAL:
        return _texts(values)
    decode = _DECODE.get(kind, _unchanged)
    try:
        return pa.array([None if value is None else decode(value) for value in values], type=_COLLECTED[kind])
    except (ValueError, TypeError, pa.ArrowException):
        return _texts(values)


def _fit(column: pa.ChunkedArray, kind: PropertyType) -> bool:
    return all(value is None or has_type(value, kind) for value in column.to_pylist())


def _texts(values: list[Any]) -> pa.Array:
    return pa.array([None if value is None else _text(value) for value in values], type=pa.string())


def _text(value: Any) -> str:
    """The text in which a value is stored, or would be."""
    match value:
        case bool():
            return "true" if value else "false"
        case bytes():
            return base64.b64encode(value).decode()
        case datetime():
            return value.isoformat().replace("+00:00", "Z")
    return str(value)
