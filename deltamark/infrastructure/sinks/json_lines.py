"""Changes as JSON lines, and as CloudEvents, one a line."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import orjson
from attrs import frozen

from deltamark.domain.sinks.batch import Batch, OutgoingChange
from deltamark.infrastructure.sinks.files import End


@frozen
class JsonLines:
    """One object a line, the last one with the end.

    :param of: the object of a change.
    """

    of: Callable[[OutgoingChange], Mapping[str, Any]]
    ending: str = ".jsonl"

    def head(self, batch: Batch) -> bytes:
        """Nothing."""
        return b""

    def change(self, change: OutgoingChange) -> bytes:
        """An object in a line."""
        return orjson.dumps(self.of(change)) + b"\n"

    def end(self, end: End) -> bytes:
        """An object with the one member `end`."""
        members = {"store": end.store, "until": end.until, "count": end.count, "sha256": end.digest}
        return orjson.dumps({"end": members}) + b"\n"

    def read_end(self, line: bytes) -> End | None:
        """The end that a line says."""
        try:
            members = orjson.loads(line)["end"]
            return End(
                store=members["store"],
                until=members["until"],
                count=members["count"],
                digest=members["sha256"],
            )
        except (orjson.JSONDecodeError, KeyError, TypeError):
            return None
