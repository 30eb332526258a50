"""New values of computed properties: changes of resources like those that a source brings, found by their streams."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache

from deltamark.application.ports.records import ComputedChanges
from deltamark.domain.resources.events import Origin
from deltamark.infrastructure.store.arrow import pa
from deltamark.infrastructure.store.arrow_rows import chunks
from deltamark.infrastructure.store.commands.append import Appending, changed_meanwhile
from deltamark.infrastructure.store.events.bulk_payloads import Head, resource_payloads
from deltamark.infrastructure.store.events.mapper import COMPUTED


@cache
def _stored() -> pa.Schema:
    return pa.schema([("key", pa.string()), ("version", pa.int64())])


class ComputedWriting(Appending):
    """Computed properties, in log and state."""

    def put_computed(self, changes: ComputedChanges, cause: Origin) -> None:
        kind = self._type_id(changes.entity_type)
        head = Head(self._micros, cause)
        for chunk in chunks(changes.rows):
            self._put_computed(kind, changes.entity_type, head, chunk)

    def _put_computed(self, kind: int, entity_type: str, head: Head, chunk: pa.Table) -> None:
        streams: Sequence[int] = chunk.column("stream").to_pylist()
        sql = f"""SELECT r.key, r.version FROM {self._db.each_number(1, "w")}
            JOIN resources r ON r.stream = w.value AND r.entity_type=?2 AND r.live ORDER BY w.key"""
        stored = self._db.table(sql, (self._db.array(streams), kind), _stored())
        if stored.num_rows != len(streams):
            raise changed_meanwhile(entity_type)
        no_lines = pa.nulls(len(streams), pa.int64())
        updates, computed = (chunk.column(name).combine_chunks() for name in ("changes", "computed"))
        payloads = resource_payloads(head, entity_type, stored.column("key").combine_chunks(), no_lines, updates)
        versions = stored.column("version").to_pylist()
        next_versions = [version + 1 for version in versions]
        positions = self._events(streams, next_versions, COMPUTED, payloads)
        done = self._db.update(
            "resources",
            {"version": next_versions, "position": positions, "computed": computed},
            {"stream": streams, "version": versions},
        )
        if done != len(streams):
            raise changed_meanwhile(entity_type)
