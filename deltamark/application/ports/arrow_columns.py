"""Arrow columns made without `pa.array`, which imports pandas with its first call wherever pandas is installed."""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Sequence
from itertools import accumulate
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pyarrow as pa


def text_column(texts: Sequence[str | None]) -> pa.Array:
    """Texts as a column."""
    encoded = [b"" if text is None else text.encode() for text in texts]
    ends = array("i", accumulate(map(len, encoded), initial=0))
    return joined_texts(b"".join(encoded), ends, [text is not None for text in texts])


def joined_texts(joined: bytes | bytearray, ends: array[int], present: Sequence[bool] | None = None) -> pa.Array:
    """Texts that were joined, in UTF-8, as a column.

    :param ends: 0, and where each text ends.
    :param present: False for those that are none; None if there are none of these.
    """
    import pyarrow as pa

    buffers = [_validity(present), pa.py_buffer(ends), pa.py_buffer(joined)]
    return pa.Array.from_buffers(pa.string(), len(ends) - 1, buffers)


def number_column(numbers: Iterable[int], kind: pa.DataType, present: Sequence[bool] | None = None) -> pa.Array:
    """Whole numbers as a column of that type: of 32 or 64 bits, or times.

    :param present: False for those that are none; None if there are none of these.
    """
    import pyarrow as pa

    values = array("i" if kind.bit_width == 32 else "q", numbers)
    return pa.Array.from_buffers(kind, len(values), [_validity(present), pa.py_buffer(values)])


def _validity(present: Sequence[bool] | None) -> pa.Buffer | None:
    if present is None or all(present):
        return None
    import numpy as np
    import pyarrow as pa

    return pa.py_buffer(np.packbits(np.asarray(present, bool), bitorder="little"))
