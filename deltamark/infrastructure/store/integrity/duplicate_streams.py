"""Whether the log has two streams of one resource or link: what a run adds that did not find the first one."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import orjson

from deltamark.infrastructure.store.database import Database
from deltamark.infrastructure.store.events import payload
from deltamark.infrastructure.store.integrity.log_fold import FoldedLink, FoldedResource


def twin_of(db: Database, row: FoldedResource | FoldedLink) -> int | None:
    """Another stream that the stored state holds for this resource or link, and the log too."""
    if isinstance(row, FoldedResource):
        stream = _resource(db, row.entity_type, row.key)
        return stream if stream is not None and _is_named(db, stream, payload.resource_identity, row[1:3]) else None
    source, target = _resource(db, row.source_type, row.source_key), _resource(db, row.target_type, row.target_key)
    sql = """SELECT stream FROM links WHERE association=(SELECT id FROM associations WHERE name=?1)
        AND source=?2 AND target=?3"""
    stream = None if None in (source, target) else db.one(sql, (row.association, source, target))
    return stream if stream is not None and _is_named(db, stream, payload.link_identity, row[1:6]) else None


def _resource(db: Database, entity_type: str, key: str) -> int | None:
    sql = f"""SELECT stream FROM resources WHERE entity_type=(SELECT id FROM entity_types WHERE name=?1)
        AND {db.same_key("key", "?2")}"""
    found: int | None = db.one(sql, (entity_type, key))
    return found


def _is_named(db: Database, stream: int, identity: Callable[[Any], object], name: tuple[Any, ...]) -> bool:
    """Whether the beginning of a stream in the log names this resource or link."""
    state = db.one("SELECT state FROM snapshots WHERE stream=?1", (stream,)) or db.one(
        "SELECT state FROM stored_events WHERE originator_id=?1 ORDER BY originator_version LIMIT 1", (stream,)
    )
    try:
        return identity(orjson.loads(state)) == name
    except (ValueError, KeyError, TypeError):
        return False
