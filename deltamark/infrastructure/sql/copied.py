"""What PostgreSQL copies out, as texts in columns."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from io import BytesIO

import pyarrow as pa
from pyarrow import csv

from deltamark.infrastructure.sql.reader import PORTION, text_schema

_LARGEST_PORTION = 16 << 20
"""In bytes, beyond which no row is added."""
_LARGEST_BLOCK = 2**31 - 1


def copied_batches(copy: Iterable[bytes | bytearray | memoryview], columns: Sequence[str]) -> Iterator[pa.RecordBatch]:
    """The rows of a COPY as CSV in which all that is a value is quoted, so that nothing and an empty text differ.

    :param copy: gives the bytes of a row at a time.
    """
    rows: list[bytes | bytearray | memoryview] = []
    size = 0
    for row in copy:
        rows.append(row)
        size += len(row)
        if len(rows) >= PORTION or size >= _LARGEST_PORTION:
            yield from _parsed(b"".join(rows), columns)
            rows.clear()
            size = 0
    if rows:
        yield from _parsed(b"".join(rows), columns)


def _parsed(rows: bytes, columns: Sequence[str]) -> Iterator[pa.RecordBatch]:
    schema = text_schema(columns)
    numbers = [str(number) for number in range(len(columns))]
    table = csv.read_csv(
        BytesIO(rows),
        read_options=csv.ReadOptions(
            column_names=numbers, use_threads=False, block_size=min(len(rows) + 1, _LARGEST_BLOCK)
        ),
        parse_options=csv.ParseOptions(newlines_in_values=True, ignore_empty_lines=False),
        convert_options=csv.ConvertOptions(
            column_types=dict.fromkeys(numbers, pa.string()),
            null_values=[""],
            strings_can_be_null=True,
            quoted_strings_can_be_null=False,
        ),
    )
    for batch in table.to_batches():
        yield pa.record_batch(batch.columns, schema=schema)
