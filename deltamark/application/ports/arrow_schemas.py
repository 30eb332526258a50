"""The columns of the Arrow tables that cross the ports, and the Arrow types of properties."""

from __future__ import annotations

from collections.abc import Mapping

import pyarrow as pa
import pyarrow.compute as pc

from deltamark.application.ports import pending_changes as kinds
from deltamark.domain.values import CANONICAL_DECIMAL, MOST_DIGITS, PropertyType

_DECIMAL_PLACES = 10

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
    PropertyType.DECIMAL: pa.decimal128(MOST_DIGITS, _DECIMAL_PLACES),
    PropertyType.DATE: pa.date32(),
}
"""The types in exports and in what functions of users read and return. See `decimals` for Decimals."""

_CANONICAL_DECIMAL = f"^{CANONICAL_DECIMAL}$"


def decimals(texts: pa.ChunkedArray) -> pa.ChunkedArray:
    """Decimals as numbers of `decimal_type`, from their canonical texts; null for any other text."""
    return _numbers(texts).cast(decimal_type(*decimal_digits(texts)))


def decimal_digits(texts: pa.ChunkedArray) -> tuple[int, int]:
    """The most digits that decimals have before the point, and after it."""
    unsigned = pc.utf8_ltrim(_numbers(texts), "-")
    point, length = pc.find_substring(unsigned, "."), pc.utf8_length(unsigned)
    has_point = pc.greater_equal(point, 0)
    places = pc.max(pc.if_else(has_point, pc.subtract(pc.subtract(length, point), 1), 0)).as_py() or 0
    whole = pc.max(pc.if_else(has_point, point, length)).as_py() or 0
    return whole, places


def decimal_type(whole: int, places: int) -> pa.DataType:
    """The type of decimals with at most so many digits before the point and after it.

    They have ten digits after the point, or as many as their values need, of 38 in all; 38 of 76 if these do not
    suffice. So the numbers are always exact, and columns of ordinary amounts always of one type.
    """
    if whole + places > MOST_DIGITS:
        return pa.decimal256(2 * MOST_DIGITS, MOST_DIGITS)
    return pa.decimal128(MOST_DIGITS, min(max(_DECIMAL_PLACES, places), MOST_DIGITS - whole))


def _numbers(texts: pa.ChunkedArray) -> pa.ChunkedArray:
    return pc.if_else(pc.match_substring_regex(texts, _CANONICAL_DECIMAL), texts, pa.scalar(None, pa.string()))


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

REFUSED = pa.schema([("stream", pa.int64()), ("derivation", pa.int64()), ("reason", pa.string())])
"""Values that are none although their expressions should give one, in `Computation` and `RuleValues`.

``reason`` is null where the value is too long, and otherwise why the expression failed: for the first such value of a
derivation in a portion of the resources, a clause without a full stop.
"""

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
