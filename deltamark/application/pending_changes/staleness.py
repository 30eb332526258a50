"""Refuses pending changes where the store has changed since they were held back."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import orjson
import pyarrow as pa

from deltamark.application.adoption.configurations import as_kept, configuration_in_force
from deltamark.application.ports import pending_changes as kinds
from deltamark.application.ports.pending_changes import Part, PendingChanges
from deltamark.application.ports.queries import Reading
from deltamark.application.services import Services
from deltamark.domain.adoption.differences import differences
from deltamark.domain.errors import OutdatedChanges
from deltamark.domain.resources.resource import ResourceRef
from deltamark.domain.runs.run import JobRun
from deltamark.domain.values import Value, Values, same_value, shown


def refuse_if_outdated(reading: Reading, pending: PendingChanges, run: int) -> None:
    """Compares every resource and link that pending changes concern with its expected state.

    :raises OutdatedChanges: if some have changed since the changes were held back.
    """
    count, first = 0, ""
    for difference in _differences(reading, pending):
        count, first = count + 1, first or difference
    if count:
        raise OutdatedChanges(run, count, first)


def refuse_if_edited(services: Services, reading: Reading, run: JobRun, ordinal: int) -> None:
    """Compares the configuration with the one under which a task of a run held changes back.

    Of a log that an earlier version began, that one may be unknown: then only states are compared.

    :raises OutdatedChanges: if an edit since concerns what the changes are of; names the edit.
    """
    pending, ended_at = reading.pending(run.number, ordinal), run.task(ordinal).ended_at
    if pending is None or ended_at is None:
        return
    then = configuration_in_force(reading, services, reading.position_at(ended_at))
    if then is None:
        return
    subjects = {part.subject for part in pending.parts} | {end for part in pending.parts for end in part.ends}
    now = as_kept(services, services.configuration_format.write(services.configuration))
    edits = [edit for edit in differences(then.configuration, now) if edit.concerns(subjects)]
    if edits:
        raise OutdatedChanges(run.number, len(edits), f"{edits[0]} (an edit of the configuration)")


def refuse_other_removals(pending: PendingChanges, run: int, removed: Mapping[str, int]) -> None:
    """Compares the links removed with deleted resources with those that were to be removed.

    :param removed: how many, by association.
    :raises OutdatedChanges: if they differ; the caller must undo the transaction.
    """
    expected: dict[str, int] = {}
    for part in pending.parts:
        if part.kind == kinds.REMOVED:
            expected[part.subject] = expected.get(part.subject, 0) + part.rows.num_rows
    for association in sorted({*expected, *removed}):
        more = removed.get(association, 0) - expected.get(association, 0)
        if more:
            raise OutdatedChanges(run, abs(more), f"links of {association} to resources that are to be deleted")


def _differences(reading: Reading, pending: PendingChanges) -> Iterator[str]:
    created: dict[str, set[str]] = {}
    deleted: dict[str, set[str]] = {}
    for part in pending.parts:
        if part.kind in (kinds.CREATED, kinds.UPDATED, kinds.DELETED):
            yield from _of_resources(reading, part)
        if part.kind in (kinds.CREATED, kinds.DELETED):
            into = created if part.kind == kinds.CREATED else deleted
            into.setdefault(part.subject, set()).update(part.rows.column("key").to_pylist())
    for part in pending.parts:
        if part.ends:
            yield from _of_links(reading, part, created)


def _of_resources(reading: Reading, part: Part) -> Iterator[str]:
    keys = part.rows.column("key").combine_chunks()
    live = reading.live_resources_among(part.subject, keys)
    states = dict(zip(live.column("key").to_pylist(), live.column("state").to_pylist(), strict=True))
    changes = part.rows.column("changes").to_pylist() if part.kind == kinds.UPDATED else [None] * len(keys)
    for key, state, change in zip(keys.to_pylist(), part.rows.column("state").to_pylist(), changes, strict=True):
        ref = ResourceRef(part.subject, key)
        if part.kind == kinds.CREATED:
            if key in states:
                yield f"{ref.entity_type} {shown(key)} was created meanwhile"
        elif key not in states:
            yield f"{ref.entity_type} {shown(key)} was deleted meanwhile"
        elif not _same(_expected(state, change), orjson.loads(states[key])):
            yield f"{ref.entity_type} {shown(key)} was updated meanwhile"


def _expected(state: str, changes: str | None) -> Values:
    """The values before the changes: `state` holds those after."""
    values: dict[str, Value] = orjson.loads(state)
    for name, (before, _) in orjson.loads(changes or "{}").items():
        values[name] = before
    return {name: value for name, value in values.items() if value is not None}


def _same(expected: Values, present: Values) -> bool:
    return expected.keys() == present.keys() and all(
        same_value(value, present[name]) for name, value in expected.items()
    )


def _of_links(reading: Reading, part: Part, created: Mapping[str, set[str]]) -> Iterator[str]:
    source, target = part.ends
    sources, targets = part.rows.column("source_key"), part.rows.column("target_key")
    known_sources = reading.identities(source, None, sources.unique())
    links = reading.live_links(part.subject, sources=known_sources.column("stream").combine_chunks())
    live = set(zip(links.column("source_key").to_pylist(), links.column("target_key").to_pylist(), strict=True))
    all_sources = created.get(source, set()) | set(known_sources.column("key").to_pylist())
    all_targets = created.get(target, set()) | set(_keys(reading, target, targets))
    for pair in zip(sources.to_pylist(), targets.to_pylist(), strict=True):
        names = f"{part.subject} of {source} {shown(pair[0])} and {target} {shown(pair[1])}"
        if part.kind != kinds.LINKED:
            if pair not in live:
                yield f"the link {names} was removed meanwhile"
        elif pair in live:
            yield f"the link {names} was added meanwhile"
        elif pair[0] not in all_sources or pair[1] not in all_targets:
            yield f"an end of the new link {names} was deleted meanwhile"


def _keys(reading: Reading, entity_type: str, keys: pa.ChunkedArray) -> list[str]:
    known: list[str] = reading.identities(entity_type, None, keys.unique()).column("key").to_pylist()
    return known
