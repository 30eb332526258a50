"""Removes the values of properties that a mapping fed and that are computed now."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import orjson
import pyarrow as pa
import pyarrow.compute as pc

from deltamark.application.derivation.inputs import InputReader
from deltamark.application.derivation.workload import Share
from deltamark.application.ports.arrow_schemas import RESOURCES, UPDATES
from deltamark.application.ports.commands import Writing
from deltamark.application.ports.records import ResourceChanges
from deltamark.domain.resources.events import Origin


def newly_computed(tx: Writing, shares: Iterable[Share]) -> dict[str, list[str]]:
    """The properties that no task has computed so far, by entity type.

    A source may have given them values.
    """
    computed = {(rule.kind, rule.entity_type, rule.name) for rule in tx.rules_computed()}
    names: dict[str, list[str]] = {}
    for share in shares:
        rule = share.rule
        if (rule.kind, rule.entity_type, rule.name) not in computed:
            names.setdefault(rule.entity_type, []).append(rule.name)
    return names


def remove_synchronized(
    tx: Writing, input_reader: InputReader, entity_type: str, names: Sequence[str], origin: Origin
) -> bool:
    """Removes the values that a source gave to properties no mapping feeds any more.

    Returns whether there were any.

    Otherwise they would stay beside the computed values until the next synchronization, and count where nothing is
    computed.
    """
    states = input_reader.all(entity_type, ()).resources
    pattern = "|".join(f'"{name}":' for name in names)
    states = states.filter(pc.match_substring_regex(states.column("state"), pattern))
    updated = [*_updates(states, names, _keys(tx, states))]
    if updated:
        nothing = RESOURCES.empty_table()
        changed = pa.Table.from_pylist(updated, schema=UPDATES)
        tx.append_resources(entity_type, ResourceChanges(created=nothing, updated=changed, deleted=nothing), origin)
        input_reader.note_computed(entity_type)
    return bool(updated)


def _keys(tx: Writing, states: pa.Table) -> dict[int, str]:
    names = tx.names(states.column("stream").combine_chunks())
    return dict(zip(names.column("stream").to_pylist(), names.column("key").to_pylist(), strict=True))


def _updates(states: pa.Table, names: Sequence[str], keys: dict[int, str]) -> Iterable[dict[str, object]]:
    for stream, text in zip(states.column("stream").to_pylist(), states.column("state").to_pylist(), strict=True):
        values = orjson.loads(text)
        changes = {name: [values.pop(name), None] for name in sorted(names) if name in values}
        if changes:
            yield {"key": keys[stream], "line": None, "state": _json(values), "changes": _json(changes)}


def _json(values: object) -> str:
    return orjson.dumps(values).decode()
