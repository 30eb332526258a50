"""Verifies the digests of an SQLite store with nothing but Python's standard library: a second opinion.

Call it as `python verify_chain.py deltamark.db [checkpoint.json]`. docs/reference/formats.md describes what is hashed.
`deltamark verify` also checks signatures, and whether a missing event was discarded on record.
"""

import json
import sqlite3
import sys
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from pathlib import Path

EVENTS = """SELECT notification_id, originator_id, originator_version, topic, state, seal FROM stored_events
    WHERE notification_id BETWEEN ? AND ? AND topic<>'e1'"""  # e1: erased, its leaf is among the stubs
STUBS = "SELECT position, stream, version, topic, leaf FROM stubs WHERE position BETWEEN ? AND ?"


def number(value, size=8):
    return value.to_bytes(size, "big")


def require(is_so, problem):
    if not is_so:
        sys.exit(problem)


def leaf(position, stream, version, topic, payload, seal):
    head = seal[:12] + number(position) + number(stream) + number(version) + topic.encode().ljust(4, b"\0")
    found = sha256(head + payload).digest()
    require(found[:4] == seal[12:], f"position {position}: the event is not what was written")
    return stream, version, topic, found


def check_segment(store, first, count, digest):
    span = (first, first + count - 1)
    events = {row[0]: leaf(*row) for row in store.execute(EVENTS, span)}
    events.update((row[0], row[1:]) for row in store.execute(STUBS, span))
    if events:  # otherwise they were discarded as a whole: what is left is their digest in the chain
        require(len(events) == count, "positions {} to {}: an event is missing".format(*span))
        streams, versions, topics, leaves = zip(*(events[position] for position in sorted(events)), strict=True)
        head = b"deltamark segment 1\n" + number(first) + topics[0].encode().ljust(4, b"\0") + number(count, 4)
        found = sha256(head + b"".join([*map(number, streams), *map(number, versions), *leaves])).digest()
        require(found == digest and len(set(topics)) == 1, "positions {} to {} were altered".format(*span))


def verify(store, checkpoint):
    (log,) = store.execute("SELECT log FROM store").fetchone()
    first, digest, newest = 1, sha256(b"deltamark log 1\n" + log.encode()).digest(), None
    for last, at, segments, stored in store.execute("SELECT position, at, segments, digest FROM moments ORDER BY 1"):
        digest = sha256(b"deltamark batch 1\n" + digest + number(first) + number(last) + number(at) + segments).digest()
        require(digest == stored, f"positions {first} to {last}: what is on record of the transaction was altered")
        for start in range(0, len(segments), 36):
            count = int.from_bytes(segments[start : start + 4], "big")
            check_segment(store, first, count, segments[start + 4 : start + 36])
            first += count
        require(first == last + 1, f"position {last}: the digests of the transaction were altered")
        time = (datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=at)).isoformat(timespec="microseconds")
        newest = {"log": log, "position": last, "at": time.replace("+00:00", "Z"), "digest": digest.hex()}
        checkpoint = None if checkpoint and newest.items() <= checkpoint.items() else checkpoint
    require(not checkpoint, "the log does not begin with what the checkpoint says")
    require(not store.execute(EVENTS, (first, 2**63 - 1)).fetchone(), f"position {first}: it stands in no transaction")
    return newest


if __name__ == "__main__":
    with sqlite3.connect(f"file:{sys.argv[1]}?mode=ro", uri=True, isolation_level=None) as connection:
        connection.execute("BEGIN")
        print(json.dumps(verify(connection, json.loads(Path(sys.argv[2]).read_text()) if sys.argv[2:] else None)))
