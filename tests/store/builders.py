"""Builders of the changes of resources and links that a task gives to a store."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from datetime import datetime

import pyarrow as pa

from deltamark.application.ports.commands import Writing
from deltamark.application.ports.queries import Reading
from deltamark.application.ports.records import ComputedChanges, Discarded, LinkChanges, LinkEnds, ResourceChanges
from deltamark.application.ports.store import Store
from deltamark.domain.configuration.jobs import TaskState
from deltamark.domain.history.changes import AnyChange
from deltamark.domain.resources.events import Origin
from deltamark.domain.resources.link import LinkRef
from deltamark.domain.resources.resource import ResourceRef
from deltamark.domain.runs.run import ChangesDiscarded, PlannedTask, RunEnded, RunStarted
from deltamark.domain.values import Value, Values

ROWS = pa.schema([("key", pa.string()), ("line", pa.int64()), ("state", pa.string())])
UPDATES = pa.schema([*ROWS, ("changes", pa.string())])
PAIRS = pa.schema(
    [
        ("source", pa.int64()),
        ("target", pa.int64()),
        ("source_key", pa.string()),
        ("target_key", pa.string()),
        ("line", pa.int64()),
    ]
)
KEYS = pa.schema([("stream", pa.int64()), ("value", pa.string())])
CLASSIFIED = pa.schema([("stream", pa.int64()), ("value", pa.bool_())])
COMPUTED = pa.schema([("stream", pa.int64()), ("computed", pa.string()), ("changes", pa.string())])

CAUSE = Origin(1, 1)
PERSON, GROUP = "Person", "Group"
MEMBERS = LinkEnds(association="Members", source=GROUP, target=PERSON)

Updates = Mapping[str, tuple[Values, Values]]
"""Key -> values before and after."""


def text(plain: object) -> str:
    """JSON without white space, as states are written."""
    return json.dumps(plain, ensure_ascii=False, separators=(",", ":"), sort_keys=True)


def rows(states: Mapping[str, Values]) -> pa.Table:
    """Created or deleted resources; the first is in line 2."""
    found = [(key, line, text(values)) for line, (key, values) in enumerate(states.items(), 2)]
    return _table(found, ROWS)


def updates(states: Updates) -> pa.Table:
    """Updated resources."""
    return _table(
        [(key, 2, text(after), text(_difference(was, after))) for key, (was, after) in states.items()], UPDATES
    )


def _difference(before: Values, after: Values) -> dict[str, list[Value]]:
    names = sorted(before.keys() | after.keys())
    # By what would be stored: to Python 0 and false are the same.
    return {n: [before.get(n), after.get(n)] for n in names if text({n: before.get(n)}) != text({n: after.get(n)})}


def _table(found: Iterable[tuple[object, ...]], schema: pa.Schema) -> pa.Table:
    columns = list(zip(*found, strict=True)) or [[] for _ in schema]
    arrays = [pa.array(column, type=f.type) for column, f in zip(columns, schema, strict=True)]
    return pa.Table.from_arrays(arrays, schema=schema)


def changes(
    created: Mapping[str, Values] | None = None,
    updated: Updates | None = None,
    deleted: Mapping[str, Values] | None = None,
) -> ResourceChanges:
    """The changes of a comparison."""
    return ResourceChanges(created=rows(created or {}), updated=updates(updated or {}), deleted=rows(deleted or {}))


def create(tx: Writing, entity_type: str, states: Mapping[str, Values]) -> None:
    """Creates resources, also ones that were deleted before."""
    tx.append_resources(entity_type, changes(created=states), CAUSE)


def update(tx: Writing, entity_type: str, states: Updates) -> None:
    """Updates resources."""
    tx.append_resources(entity_type, changes(updated=states), CAUSE)


def delete(tx: Writing, entity_type: str, states: Mapping[str, Values]) -> int:
    """Deletes resources, and returns the number of links that were deleted with them."""
    return sum(tx.append_resources(entity_type, changes(deleted=states), CAUSE).values())


def compute(tx: Writing, entity_type: str, states: Updates) -> None:
    """Changes computed values of resources."""
    known = streams(tx, entity_type)
    found = [(known[key], text(after), text(_difference(was, after))) for key, (was, after) in states.items()]
    tx.put_computed(ComputedChanges(entity_type=entity_type, rows=_table(found, COMPUTED)), CAUSE)


def link(tx: Writing, *pairs: tuple[str, str], ends: LinkEnds = MEMBERS) -> None:
    """Links pairs of source and target, by default people and groups."""
    tx.append_links(ends, LinkChanges(linked=_pairs(tx, ends, pairs), unlinked=PAIRS.empty_table()), CAUSE)


def unlink(tx: Writing, *pairs: tuple[str, str], ends: LinkEnds = MEMBERS) -> None:
    """Removes links."""
    tx.append_links(ends, LinkChanges(linked=PAIRS.empty_table(), unlinked=_pairs(tx, ends, pairs)), CAUSE)


def _pairs(tx: Writing, ends: LinkEnds, pairs: Iterable[tuple[str, str]]) -> pa.Table:
    sources, targets = streams(tx, ends.source), streams(tx, ends.target)
    return _table([(sources[one], targets[other], one, other, 2) for one, other in pairs], PAIRS)


def streams(reading: Reading, entity_type: str) -> dict[str, int]:
    """Key -> stream, of the live resources."""
    found = reading.identities(entity_type, None, None)
    return dict(zip(found.column("key").to_pylist(), found.column("stream").to_pylist(), strict=True))


def keys_of(states: Mapping[int, str | None]) -> pa.Table:
    """Correlation keys by stream."""
    return _table(list(states.items()), KEYS)


def classified_as(holds: Mapping[int, bool | None]) -> pa.Table:
    """The results of a classification rule, by stream."""
    return _table(list(holds.items()), CLASSIFIED)


def start_run(tx: Writing, job: str = "Nightly") -> int:
    """Starts a run of one task."""

    def started(stream: str, number: int, at: datetime) -> RunStarted:
        return RunStarted(
            originator_id=stream,
            originator_version=1,
            at=at,
            run=number,
            job=job,
            configuration_digest="d",
            user="u",
            host="h",
            process=1,
            tasks=[PlannedTask(ordinal=1, identifier="SynchronizeHR", kind="SynchronizeTask")],
        )

    return tx.start_run(started)


def end_run(tx: Writing, run: int) -> None:
    """Ends a run."""
    tx.append_to_run(
        lambda stream, version, at: RunEnded(
            originator_id=stream, originator_version=version, at=at, run=run, state=TaskState.COMPLETED
        ),
        run,
    )


def discarded_event(run: int, unread: bool = True):
    """The record of a discard."""

    def build(stream: str, version: int, at: datetime, discarded: Discarded) -> ChangesDiscarded:
        return ChangesDiscarded(
            originator_id=stream,
            originator_version=version,
            at=at,
            run=run,
            task=1,
            connector="HR",
            entity_types=(PERSON,),
            first=discarded.first,
            up_to=discarded.last,
            count=discarded.count,
            digest=discarded.digest,
            ranges=discarded.ranges,
            unread=unread,
        )

    return build


def held(reading: Reading, entity_type: str = PERSON) -> dict[str, Values]:
    """The live resources as the state has them."""
    return {row["key"]: json.loads(row["state"]) for row in reading.live_resources(entity_type).to_pylist()}


def log(reading: Reading) -> list[tuple[int, AnyChange]]:
    """All changes."""
    return list(reading.changes(0, None))


def visible(store: Store) -> tuple[object, ...]:
    """Everything that a reader of people, groups and members can see."""
    with store.reading() as reading:
        return (
            held(reading),
            held(reading, GROUP),
            sorted(reading.links_from("Members")),
            [(event.originator_id, event) for _, event in log(reading)],
            [summary.run for summary in reading.runs()],
            reading.horizons(),
            list(reading.correlation_keys(None)),
            reading.watched(),
            reading.flagged(list(reading.watched()), 0, 0).to_pylist(),
            [list(reading.states_at(name, None)) for name in (PERSON, GROUP)],
            [list(reading.classifications(name)) for name in (PERSON, GROUP)],
        )


def person(key: str) -> ResourceRef:
    return ResourceRef(PERSON, key)


def membership(group: str, member: str) -> LinkRef:
    return LinkRef("Members", ResourceRef(GROUP, group), ResourceRef(PERSON, member))
