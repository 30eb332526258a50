"""Seals show later whether an event, or a row of the log, was altered with plain SQL.

Three layers of SHA-256, each over the layer below (numbers are big-endian, topics padded with zero bytes to four):

=======  ===================================================================================================
leaf     of one event: salt (12 bytes), position, stream, version (8 bytes each), topic, payload
segment  of at most 1,024 consecutive events of one topic: ``deltamark segment 1\\n``, the position of the
         first (8), topic, how many (4), all streams, all versions (8 each), all leaves
batch    of one transaction: ``deltamark batch 1\\n``, the digest of the batch before, the positions of its
         first and last event, its time (8 each), and of each segment how many (4) and its digest
=======  ===================================================================================================

The digest before the first batch is SHA-256 of ``deltamark log 1\\n`` and the identifier of the log. Each event is
stored with its seal: the salt, which cannot be guessed, and the first four bytes of its leaf, which show which event
was altered. Segments and digests are in `moments`. Removing a payload also removes its salt. The leaf remains, and
keeps the digests valid; without the salt it reveals nothing of the payload.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from functools import cache
from hashlib import sha256
from itertools import pairwise
from typing import Any, NamedTuple, TypeAlias

from deltamark.infrastructure.store.arrow import np, npt, pa, pc

SALT = 12
"""Bytes: no one can try 2**96 salts to find out whether a payload had a certain value."""

CHECK = 4
"""Bytes of the leaf in the seal."""

MOST = 1_024
"""Events in a segment: the most leaves that are kept if a part of a segment is discarded."""

_TOPIC = 4


@cache
def _head() -> np.dtype[Any]:
    return np.dtype(
        [("salt", f"V{SALT}"), ("position", ">i8"), ("stream", ">i8"), ("version", ">i8"), ("topic", f"S{_TOPIC}")]
    )


_COUNT, _DIGEST = 4, 32
_ENTRY = _COUNT + _DIGEST
_GAP = bytes(_DIGEST)

Numbers: TypeAlias = "Sequence[int] | npt.NDArray[np.int64]"


class Segment(NamedTuple):
    """Consecutive positions whose events are sealed together.

    :param digest: 32 zero bytes for events that were discarded before the log was first sealed.
    """

    first: int
    size: int
    digest: bytes

    @property
    def last(self) -> int:
        """The position of the last event."""
        return self.first + self.size - 1

    @property
    def is_gap(self) -> bool:
        """Whether the segment had no events to seal."""
        return self.digest == _GAP


def leaves(
    topic: str,
    positions: Numbers,
    streams: Numbers,
    versions: Numbers,
    salts: bytes,
    payloads: Sequence[bytes] | pa.Array,
) -> list[bytes]:
    """Returns the leaves of events of one topic.

    `salts` are concatenated.
    """
    heads = np.empty(len(payloads), _head())
    heads["salt"] = np.frombuffer(salts, _head()["salt"])
    heads["position"], heads["stream"], heads["version"] = positions, streams, versions
    heads["topic"] = topic.encode()
    raw, width = heads.tobytes(), _head().itemsize
    if isinstance(payloads, pa.Array):
        return _digests_of_joined(raw, width, payloads)
    starts = range(0, len(raw), width)
    return [
        sha256(raw[start : start + width] + payload).digest() for start, payload in zip(starts, payloads, strict=True)
    ]


def _digests_of_joined(heads: bytes, width: int, payloads: pa.Array) -> list[bytes]:
    """Returns the digests of heads of one width, each followed by its payload.

    All of them lie one after another: no object is made for each.
    """
    of_width = pa.FixedSizeBinaryArray.from_buffers(pa.binary(width), len(payloads), [None, pa.py_buffer(heads)])
    joined = pc.binary_join_element_wise(of_width.cast(pa.binary()), payloads, b"")
    _, places, content = joined.buffers()
    ends: list[int] = np.frombuffer(places, np.int32, len(joined) + 1, 4 * joined.offset).tolist()
    texts = memoryview(content)
    return [sha256(texts[start:end]).digest() for start, end in pairwise(ends)]


def segment_digest(topic: str, first: int, streams: Numbers, versions: Numbers, leaves: bytes) -> bytes:
    """Returns the digest of a segment.

    `leaves` are concatenated.
    """
    head = b"deltamark segment 1\n" + first.to_bytes(8) + topic.encode().ljust(_TOPIC, b"\0")
    count = len(streams).to_bytes(_COUNT)
    return sha256(b"".join((head, count, _numbers(streams), _numbers(versions), leaves))).digest()


def batch_digest(previous: bytes, first: int, last: int, micros: int, segments: bytes) -> bytes:
    """Returns the digest of a transaction.

    `segments` are as stored in `moments`.
    """
    numbers = b"".join(number.to_bytes(8) for number in (first, last, micros))
    return sha256(b"deltamark batch 1\n" + previous + numbers + segments).digest()


def log_digest(log: str) -> bytes:
    """Returns the digest before the first batch of a log."""
    return sha256(b"deltamark log 1\n" + log.encode()).digest()


def _numbers(values: Numbers) -> bytes:
    return np.asarray(values, ">i8").tobytes()


def _as_numbers(values: Numbers) -> npt.NDArray[np.int64]:
    if isinstance(values, range):
        return np.arange(values.start, values.stop, values.step)
    return np.asarray(values)


class Seals:
    """Seals the events of one transaction, and collects its segments."""

    def __init__(self) -> None:
        self._segments = bytearray()

    def seal(
        self, topic: str, first: int, streams: Numbers, versions: Numbers, payloads: Sequence[bytes] | pa.Array
    ) -> npt.NDArray[Any]:
        """Seals events of one topic with consecutive positions, and returns a row of bytes for each."""
        count = len(payloads)
        salts = os.urandom(SALT * count)
        positions, streams, versions = np.arange(first, first + count), _as_numbers(streams), _as_numbers(versions)
        hashed = b"".join(leaves(topic, positions, streams, versions, salts, payloads))
        for start in range(0, count, MOST):
            end = min(start + MOST, count)
            digest = segment_digest(
                topic, first + start, streams[start:end], versions[start:end], hashed[start * _DIGEST : end * _DIGEST]
            )
            self.add(end - start, digest)
        by_event = np.frombuffer(hashed, np.uint8).reshape(count, _DIGEST)
        return np.hstack([np.frombuffer(salts, np.uint8).reshape(count, SALT), by_event[:, :CHECK]])

    def add(self, count: int, digest: bytes = _GAP) -> None:
        """Adds a segment.

        Without a digest, it is a segment of discarded events.
        """
        self._segments += count.to_bytes(_COUNT) + digest

    def close(self, previous: bytes, first: int, last: int, micros: int) -> tuple[bytes, bytes]:
        """Returns the segments as they are stored, and the digest of the transaction."""
        segments = bytes(self._segments)
        self._segments.clear()
        return segments, batch_digest(previous, first, last, micros, segments)


def segments_of(first: int, stored: bytes) -> Iterator[Segment]:
    """Yields the stored segments of a transaction whose first event has the position `first`."""
    for start in range(0, len(stored), _ENTRY):
        count = int.from_bytes(stored[start : start + _COUNT])
        yield Segment(first, count, stored[start + _COUNT : start + _ENTRY])
        first += count
