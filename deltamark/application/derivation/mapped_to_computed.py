"""Handing properties over: from the mapping that fed them to the expression that computes them now."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence

import pyarrow as pa
import pyarrow.compute as pc

from deltamark.application.derivation.inputs import Gathering
from deltamark.application.derivation.workload import Share
from deltamark.application.ports.arrow_schemas import RESOURCES, UPDATES
from deltamark.application.ports.records import ResourceChanges
from deltamark.application.ports.writing import Writing
from deltamark.domain.resources.events import Origin


def computed_for_the_first_time(tx: Writing, shares: Iterable[Share]) -> dict[str, list[str]]:
    """The properties that no task has computed so far, by entity type: a source may have given their values."""
    known = {(rule.kind, rule.entity_type, rule.name) for rule in tx.rules_computed()}
    found: dict[str, list[str]] = {}
    for share in shares:
        rule = share.rule
        if (rule.kind, rule.entity_type, rule.name) not in known:
            found.setdefault(rule.entity_type, []).append(rule.name)
    return found


def remove_synchronized(
    tx: Writing, gathering: Gathering, entity_type: str, names: Sequence[str], cause: Origin
) -> bool:
    """Removes what a source gave of properties that no mapping feeds any more; says whether there was any.

    Until the next synchronization takes these values away they would stand beside the computed ones, and count
    where there is none.
    """
    states = gathering.all(entity_type, ()).resources
    pattern = "|".join(f'"{name}":' for name in names)
    states = states.filter(pc.match_substring_regex(states.column("state"), pattern))
    updated = [*_updates(states, names, _keys(tx, states))]
    if updated:
        nothing = RESOURCES.empty_table()
        changed = pa.Table.from_pylist(updated, schema=UPDATES)
        tx.append_resources(entity_type, ResourceChanges(created=nothing, updated=changed, deleted=nothing), cause)
        gathering.computed(entity_type)
    return bool(updated)


def _keys(tx: Writing, states: pa.Table) -> dict[int, str]:
    names = tx.names(states.column("stream").combine_chunks())
    return dict(zip(names.column("stream").to_pylist(), names.column("key").to_pylist(), strict=True))


def _updates(states: pa.Table, names: Sequence[str], keys: dict[int, str]) -> Iterable[dict[str, object]]:
    for stream, text in zip(states.column("stream").to_pylist(), states.column("state").to_pylist(), strict=True):
        values = json.loads(text)
        gone = {name: [values.pop(name), None] for name in sorted(names) if name in values}
        if gone:
            yield {"key": keys[stream], "line": None, "state": _dumped(values), "changes": _dumped(gone)}


def _dumped(values: object) -> str:
    return json.dumps(values, separators=(",", ":"), ensure_ascii=False)
