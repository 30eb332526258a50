"""Compares the keys that a complete extract no longer holds with those that it holds instead."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable

import orjson
import pyarrow as pa
import pyarrow.compute as pc

from deltamark.application.ports.comparer import LinkComparison, LinkSides, ResourceComparison
from deltamark.domain.configuration.entity_model import EntityTypeMapping
from deltamark.domain.synchronization.keys import Key, KeyChange, key_change


def changed_keys_of_resources(
    mapping: EntityTypeMapping, compared: ResourceComparison, count_held: Callable[[int | None], int]
) -> KeyChange | None:
    """The change of keys among the resources of an entity type, if there is one.

    Resources that an incomplete extract spares count too: the new ones would stand beside them.

    :param count_held: counts those that the store held, up to a number or all.
    """
    created = compared.changes.created
    missing = compared.changes.deleted if compared.spared is None else compared.spared
    if not missing.num_rows or not created.num_rows:
        return None
    identifier = mapping.primary_key.identifier
    return key_change(
        mapping.entity_type,
        "resource",
        _with_other_values(missing, identifier),
        _with_other_values(created, identifier),
        count_held,
        replaced=min(missing.num_rows, created.num_rows),
        is_deleted=compared.spared is None,
    )


def changed_keys_of_links(
    association: str, sides: LinkSides, compared: LinkComparison, count_held: Callable[[int | None], int]
) -> KeyChange | None:
    """The change of keys among the links of an association, if there is one.

    Rows that name what does not exist count as links that the extract holds instead: where the keys in one of its
    columns were written otherwise, none of them is found.

    :param count_held: counts those that the store held, up to a number or all.
    """
    unlinked, linked = compared.changes.unlinked, compared.changes.linked
    orphans = compared.orphans.filter(pc.is_valid(compared.orphans.column("value2")))
    if not unlinked.num_rows or not (linked.num_rows or orphans.num_rows):
        return None
    lost = _named(unlinked, sides)
    named = zip(orphans.column("value1").to_pylist(), orphans.column("value2").to_pylist(), strict=True)
    gained = [*_named(linked, sides), *named]
    return key_change(
        association,
        "link",
        dict.fromkeys(lost),
        dict.fromkeys(gained),
        count_held,
        replaced=min(unlinked.num_rows, orphans.num_rows),
    )


def _with_other_values(resources: pa.Table, identifier: str) -> dict[Key, Hashable]:
    """Key -> the values of the other properties; None where there are none."""
    rows = zip(resources.column("key").to_pylist(), resources.column("state").to_pylist(), strict=True)
    return {(key,): _other_values(state, identifier) for key, state in rows}


def _other_values(state: str, identifier: str) -> Hashable:
    values = {name: value for name, value in orjson.loads(state).items() if name != identifier}
    return orjson.dumps(values, option=orjson.OPT_SORT_KEYS) if values else None


def _named(links: pa.Table, sides: LinkSides) -> Iterable[Key]:
    """Links by the values by which an extract names their ends."""
    first = _values(sides.first, links.column("source").combine_chunks())
    second = _values(sides.second, links.column("target").combine_chunks())
    ends = zip(*(links.column(n).to_pylist() for n in ("source", "target", "source_key", "target_key")), strict=True)
    return [(first.get(source, key1), second.get(target, key2)) for source, target, key1, key2 in ends]


def _values(side: pa.Table, streams: pa.Array) -> dict[int, str]:
    rows = side.filter(pc.is_in(side.column("stream"), value_set=streams))
    return dict(zip(rows.column("stream").to_pylist(), rows.column("value").to_pylist(), strict=True))
