"""Exports as Arrow tables."""

from __future__ import annotations

import base64
from collections.abc import Callable, Iterable, Iterator
from datetime import date, datetime
from itertools import islice
from typing import Any

import pyarrow as pa

from deltamark.application.history.history import ExportedResource
from deltamark.application.history.model import TypeModel
from deltamark.application.ports.arrow_schemas import PROPERTY_TYPES, decimal_digits, decimal_type, decimals
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
    for chunk in _chunks(resources, _CHUNK):
        for column, declared in zip(chunks, properties, strict=False):
            column.append(_column(declared.type, [resource.values.get(declared.identifier) for resource in chunk]))
        for column, name in zip(chunks[len(properties) :], names[len(properties) :], strict=True):
            column.append(pa.array([resource.links.get(name, []) for resource in chunk], type=_KEYS))
    columns = [_whole(p.type, column) for p, column in zip(properties, chunks, strict=False)]
    columns += [pa.chunked_array(column, type=_KEYS) for column in chunks[len(properties) :]]
    return pa.Table.from_arrays(columns, names=names)


def as_batches(
    model: TypeModel, read: Callable[[], Iterable[ExportedResource]], *, with_links: bool, rows: int
) -> tuple[pa.Schema, Iterator[pa.RecordBatch]]:
    """Resources as batches whose columns are those of `as_table`, read twice: memory does not grow with their number.

    The first time the types of the columns are found: that of a column depends on all of its values.

    :param read: reads them; the same ones both times.
    :param rows: how many a batch has at most.
    """
    properties = {declared.identifier: declared.type for declared in model.properties}
    ends = [association.identifier for association in model.associations] if with_links else []
    schema = pa.schema(
        [
            *_types(properties, read()).items(),
            *((name, _KEYS) for name in dict.fromkeys(ends) if name not in properties),
        ]
    )

    def batches() -> Iterator[pa.RecordBatch]:
        for chunk in _chunks(read(), rows):
            columns = [
                _cast([resource.values.get(field.name) for resource in chunk], properties[field.name], field.type)
                if field.name in properties
                else pa.array([resource.links.get(field.name, []) for resource in chunk], type=_KEYS)
                for field in schema
            ]
            yield pa.RecordBatch.from_arrays(columns, schema=schema)

    return schema, batches()


def _chunks(resources: Iterable[ExportedResource], rows: int) -> Iterator[list[ExportedResource]]:
    remaining = iter(resources)
    while chunk := list(islice(remaining, rows)):
        yield chunk


def _types(properties: dict[str, PropertyType], resources: Iterable[ExportedResource]) -> dict[str, pa.DataType]:
    """The type of the column of each property."""
    texts: set[str] = set()
    digits = {name: (0, 0) for name, kind in properties.items() if kind is PropertyType.DECIMAL}
    for chunk in _chunks(resources, _CHUNK):
        for name, kind in properties.items():
            if name in texts:
                continue
            column = _column(kind, [resource.values.get(name) for resource in chunk])
            if column.type != _COLLECTED[kind] or (kind is PropertyType.DECIMAL and not _fit(column, kind)):
                texts.add(name)
            elif kind is PropertyType.DECIMAL:
                (whole, places), (more_whole, more_places) = digits[name], decimal_digits(pa.chunked_array([column]))
                digits[name] = max(whole, more_whole), max(places, more_places)
    return {
        name: pa.string()
        if name in texts
        else decimal_type(*digits[name])
        if kind is PropertyType.DECIMAL
        else _COLLECTED[kind]
        for name, kind in properties.items()
    }


def _cast(values: list[Value], kind: PropertyType, arrow: pa.DataType) -> pa.Array:
    if arrow == pa.string() and kind is not PropertyType.DECIMAL:
        column = _column(kind, values)
        return column if column.type == arrow else _texts(column.to_pylist())
    return _texts(values).cast(arrow) if kind is PropertyType.DECIMAL else _column(kind, values)


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


def _fit(column: pa.Array | pa.ChunkedArray, kind: PropertyType) -> bool:
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
