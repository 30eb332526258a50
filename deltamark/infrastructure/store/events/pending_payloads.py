"""Writes pending changes as rows of a table.

A head, then parts as Arrow IPC streams, each with its digest.

The stream format is https://arrow.apache.org/docs/format/Columnar.html#ipc-streaming-format, with buffers compressed by
zstd.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import orjson
from attrs import asdict, evolve, frozen

from deltamark.application.ports.pending_changes import Part, PartSummary, PendingChanges
from deltamark.domain.errors import store_damaged
from deltamark.domain.runs.run import ExtractRead
from deltamark.domain.sources.places import PlaceReached
from deltamark.infrastructure.store.arrow import pa, schemas
from deltamark.infrastructure.store.events.mapper import from_micros, to_micros

_PORTION_BYTES = 16_000_000
"""Approximate size of one row of the table before compression."""


@frozen
class StoredPart:
    """A row.

    `head` (JSON) describes `rows`, an Arrow IPC stream, which is empty in the first row.
    """

    head: str
    rows: bytes
    digest: str

    @property
    def is_whole(self) -> bool:
        """Whether it is what was written."""
        return self.digest == _digest(self.head, self.rows)


def stored_parts(pending: PendingChanges) -> Iterator[StoredPart]:
    """Yields the rows of pending changes: a head with the number of parts, then the parts."""
    parts = [portion for part in pending.parts for portion in _portions(part)]
    head: dict[str, object] = {
        "connector": pending.connector,
        "task": pending.task,
        "job": pending.job,
        "at": to_micros(pending.at),
        "is_delta": pending.is_delta,
        "read": pending.read,
        "set_aside": pending.set_aside,
        "warned": pending.warned,
        "extracts": [asdict(read) for read in pending.extracts],
        "parts": len(parts),
    }
    if pending.places:
        head["places"] = [asdict(place) for place in pending.places]
    yield _stored(head, b"")
    for part in parts:
        about = {"kind": part.kind, "subject": part.subject, "ends": part.ends, "rows": part.rows.num_rows}
        yield _stored(about, _bytes_of(part.rows))


def _portions(part: Part) -> Iterator[Part]:
    rows = part.rows.select(schemas.PENDING_ROWS[part.kind].names).cast(schemas.PENDING_ROWS[part.kind])
    size = max(1, rows.num_rows * _PORTION_BYTES // max(rows.nbytes, 1))
    for start in range(0, rows.num_rows, size):
        yield evolve(part, rows=rows.slice(start, size))


def _stored(head: object, rows: bytes) -> StoredPart:
    text = orjson.dumps(head).decode()
    return StoredPart(text, rows, _digest(text, rows))


def _digest(head: str, rows: bytes) -> str:
    return hashlib.sha256(head.encode(errors="replace") + b"\0" + rows).hexdigest()


def _bytes_of(rows: pa.Table) -> bytes:
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, rows.schema, options=pa.ipc.IpcWriteOptions(compression="zstd")) as writer:
        writer.write_table(rows)
    return bytes(sink.getvalue())


def pending_of(stored: Sequence[StoredPart], what: str, *, is_whole: bool = True) -> PendingChanges:
    """Returns the pending changes of rows in their order.

    :param what: the name of the pending changes in messages.
    :param is_whole: whether the rows are all; otherwise the head and some of the others.
    :raises StoreError: if a row is missing or cannot be read.
    """
    try:
        for part in stored:
            if not part.is_whole:
                raise ValueError("a digest does not match")
        head: dict[str, Any] = orjson.loads(stored[0].head)
        if head.pop("parts") != len(stored) - 1 and is_whole:
            raise ValueError("rows are missing")
        head["at"] = from_micros(head["at"])
        head["places"] = [PlaceReached(**place) for place in head.get("places", ())]
        head["extracts"] = [ExtractRead(**read) for read in head["extracts"]]
        return PendingChanges(**head, parts=[_part(part) for part in stored[1:]])
    except (ValueError, TypeError, KeyError, AttributeError, OverflowError, pa.ArrowException) as e:
        raise store_damaged(
            f"{what} cannot be read", alternative="run the job again: pending changes were not applied"
        ) from e


def part_summary(task: int, number: int, head: str, rows: Callable[[], bytes]) -> PartSummary:
    """Returns what the head of a part says.

    :param rows: reads the rows, to count them where the head does not say how many: older versions did not.
    :raises StoreError: if it cannot be read.
    """
    try:
        part: dict[str, Any] = orjson.loads(head)
        if "rows" not in part:
            with pa.ipc.open_stream(rows()) as reader:
                part["rows"] = reader.read_all().num_rows
        return PartSummary(task=task, number=number, **part)
    except (ValueError, TypeError, pa.ArrowException) as e:
        raise store_damaged(
            "pending changes cannot be read", alternative="run the job again: pending changes were not applied"
        ) from e


def _part(stored: StoredPart) -> Part:
    part: dict[str, Any] = orjson.loads(stored.head)
    part.pop("rows", None)
    with pa.ipc.open_stream(stored.rows) as reader:
        rows = reader.read_all()
    rows.validate(full=True)
    if rows.schema != schemas.PENDING_ROWS[part["kind"]] or rows.column(0).null_count:
        raise ValueError("the columns differ from those written")
    return Part(**part, rows=rows)
