"""The columns of the Arrow tables that cross the ports, and the Arrow types of properties."""

from __future__ import annotations

from collections.abc import Mapping

import pyarrow as pa

from deltamark.application.ports import pending_changes as kinds
from deltamark.domain.values import PropertyType

PROPERTY_TYPES: Mapping[PropertyType, pa.DataType] = {
    PropertyType.STRING: pa.string(),
    PropertyType.FOREIGN_KEY: pa.string(),
    PropertyType.GUID: pa.string(),
    PropertyType.BYTES: pa.binary(),
    PropertyType.BINARY: pa.binary(),
    PropertyType.BYTE: pa.uint8(),
    PropertyType.INT16: pa.int16(),
    PropertyType.INT32: pa.int32(),
    PropertyType.INT64: pa.int64(),
    PropertyType.DOUBLE: pa.float64(),
    PropertyType.BOOL: pa.bool_(),
    PropertyType.DATE_TIME: pa.timestamp("us", tz="UTC"),
}
"""The types in exports and in what functions of users read and return."""

_LINE = ("line", pa.int64())
_CHANGES = ("changes", pa.string())
_KEYS = (("source_key", pa.string()), ("target_key", pa.string()))

RESOURCES = pa.schema([("key", pa.string()), _LINE, ("state", pa.string())])
"""Created and deleted resources in `ResourceChanges`."""

UPDATES = pa.schema([*RESOURCES, _CHANGES])
"""Updated resources in `ResourceChanges`."""

LINKS = pa.schema([("source", pa.int64()), ("target", pa.int64()), *_KEYS, _LINE])
"""Links in `LinkChanges`."""

COMPUTED = pa.schema([("stream", pa.int64()), ("computed", pa.string()), _CHANGES])
"""Rows of `ComputedChanges`."""

REFUSED = pa.schema([("stream", pa.int64()), ("derivation", pa.int64())])
"""Values that are too long, in `Computation` and `RuleValues`."""

_LINKS_BY_KEY = pa.schema([*_KEYS, _LINE])
_PAIRS = pa.schema([("first", pa.string()), ("second", pa.string())])

PENDING_ROWS: Mapping[str, pa.Schema] = {
    kinds.CREATED: RESOURCES,
    kinds.UPDATED: UPDATES,
    kinds.DELETED: RESOURCES,
    kinds.COMPUTED: pa.schema([("key", pa.string()), _CHANGES]),
    kinds.LINKED: _LINKS_BY_KEY,
    kinds.UNLINKED: _LINKS_BY_KEY,
    kinds.REMOVED: _LINKS_BY_KEY,
    kinds.AWAITED: _PAIRS,
    kinds.SETTLED: _PAIRS,
}
"""Kind of pending changes -> the columns of `Part.rows`, with the meaning that they have in `ResourceChanges`."""
