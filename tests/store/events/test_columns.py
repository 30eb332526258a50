"""Changes in columns say what the events say, for random events."""

from __future__ import annotations

import json
import random
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from deltamark.domain.errors import StoreError
from deltamark.domain.history.changes import AnyChange
from deltamark.domain.resources.events import Origin
from deltamark.domain.resources.link import Linked, LinkEvent, LinkRef, Unlinked
from deltamark.domain.resources.resource import Change, Computed, Created, Deleted, ResourceRef, Updated
from deltamark.infrastructure.store.events.columns import change_batch
from deltamark.infrastructure.store.events.mapper import ChangeMapper

VALUES = [
    "",
    ",",
    ":",
    '","',
    "a\\",
    '{"v":{',
    "ß",
    "\n\x1e",
    "E1",
    "1e5",
    0,
    -7,
    10**15,
    0.5,
    1e300,
    -1e-7,
    True,
    None,
]
NAMES = ["Name", "Active", "Größe", 'odd"name']
EPOCH = datetime(2026, 1, 1, tzinfo=UTC)

Rows = list[tuple[int, int, int, str, bytes]]


def random_log(seed: int, count: int = 60) -> Rows:
    """Rows of random changes of all kinds, in the order of their positions."""
    r = random.Random(seed)

    def ref() -> ResourceRef:
        return ResourceRef(r.choice(["Person", "Team"]), r.choice(["1", "ß", '"', "\\", "E 2"]))

    def values() -> dict[str, Any]:
        return {name: r.choice(VALUES[:-1]) for name in r.sample(NAMES, r.randint(0, 4))}

    def change() -> AnyChange:
        common: dict[str, Any] = {
            "originator_id": str(r.randint(1, 9)),
            "originator_version": r.randint(1, 9),
            "at": EPOCH + timedelta(microseconds=r.choice([0, 1, 10**9])),
            "cause": Origin(r.randint(1, 2), r.randint(1, 2), r.choice([None, 0, 2])),
        }
        updates = {name: Change(r.choice(VALUES), r.choice(VALUES)) for name in r.sample(NAMES, 2)}
        return r.choice(
            [
                lambda: Created(**common, ref=ref(), values=values()),
                lambda: Updated(**common, ref=ref(), updates=updates),
                lambda: Computed(**common, ref=ref(), updates=updates),
                lambda: Deleted(**common, ref=ref(), values=values(), computed=values()),
                lambda: Linked(**common, ref=LinkRef("Members", ref(), ref())),
                lambda: Unlinked(**common, ref=LinkRef("Members", ref(), ref())),
            ]
        )()

    rows = [ChangeMapper().to_stored_event(change()) for _ in range(count)]
    return [(3 * n, int(row.originator_id), row.originator_version, row.topic, row.state) for n, row in enumerate(rows)]


def by_objects(rows: Rows) -> list[dict[str, Any]]:
    """What the events say, under the names of the columns."""
    found = []
    for position, event in ChangeMapper().events(rows):
        link = event.ref if isinstance(event, LinkEvent) else None
        subject = event.ref.source if isinstance(event, LinkEvent) else event.ref
        found.append({
            "position": position, "at": event.at, "change": event.kind,
            "entity_type": subject.entity_type, "key": subject.key,
            "association": link and link.association,
            "other_entity_type": link and link.target.entity_type, "other_key": link and link.target.key,
            "changes": None if link else {n: [c.before, c.after] for n, c in event.changes.items()},
            "run": event.cause.run, "line": event.cause.line,
            "origin": (event.cause.run, event.cause.task, link.association if link else subject.entity_type, event.at),
        })  # fmt: skip
    return found


def by_columns(rows: Rows) -> list[dict[str, Any]]:
    """What the columns say."""
    batch = change_batch(iter(rows))
    batch.columns.validate(full=True)
    found = batch.columns.to_pylist()
    for row, place in zip(found, batch.origin.to_pylist(), strict=True):
        row["origin"] = batch.origins[place]
        if row["changes"] is not None:
            row["changes"] = {n: [c["before"], c["after"]] for n, c in json.loads(row["changes"]).items()}
    return found


@pytest.mark.parametrize("seed", range(20))
def test_columns_say_what_events_say(seed: int) -> None:
    rows = random_log(seed)

    assert by_columns(rows) == by_objects(rows)
    assert by_columns(rows[:1]) == by_objects(rows[:1])


def test_one_altered_event_would_be_found() -> None:
    rows = random_log(1)
    place = next(n for n, row in enumerate(rows) if row[3] == "u1")
    altered = [*rows]
    altered[place] = (*rows[place][:4], rows[place][4].replace(b'"r":', b'"r":1'))

    assert altered != rows
    assert by_columns(altered) != by_objects(rows), "control"


@pytest.mark.parametrize("state", [b"", b"{", b"{}", b"[]", b'{"a":1,"r":1,"t":1,"e":"Person","k":"1"}'])
def test_an_event_that_cannot_be_read_is_named(state: bytes) -> None:
    rows = random_log(2)
    rows[7] = (21, 5, 3, "c1", state)

    with pytest.raises(StoreError, match="event 3 of stream 5"):
        change_batch(iter(rows))


def test_columns_do_not_import_pandas() -> None:
    code = """import sys; sys.path.insert(0, '.')
from tests.store.events.test_columns import by_columns, change_batch, random_log
change_batch(iter(random_log(1))); print('pandas' in sys.modules)"""

    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert run.stdout == "False\n", run.stderr
