"""The Arrow types of properties, in exports and in what functions of users are given."""

from __future__ import annotations

import pyarrow as pa

from deltamark.domain.values import PropertyType

ARROW: dict[PropertyType, pa.DataType] = {
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
