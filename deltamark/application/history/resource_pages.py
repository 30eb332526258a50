"""Existing resources of an entity type by key, some at a time, by their values."""

from __future__ import annotations

import json
from collections.abc import Mapping
from time import monotonic

from deltamark.application.ports.queries import Reading
from deltamark.domain.history.pages import ResourcePage
from deltamark.domain.resources.resource import Resource
from deltamark.domain.values import Value, Values

_AT_ONCE = 2_000
"""Keys that are looked at before the time is."""


def resource_page(
    reading: Reading,
    entity_type: str,
    *,
    after: str | None,
    prefix: str,
    where: Mapping[str, Value],
    limit: int,
    budget_s: float | None,
) -> ResourcePage:
    """Some resources of an entity type in key order.

    :param where: property -> the value that it must have (see `has_values`).
    :param budget_s: ends the search after so many seconds, with what was found by then; None: never.
    """
    deadline = None if budget_s is None else monotonic() + budget_s
    found: list[Resource] = []
    parts = _stored_parts(where)
    at_most = _AT_ONCE if where else limit + 1
    while True:
        resources, reached = reading.resources_from(entity_type, after, prefix, at_most, parts)
        for resource in resources:
            if not resource.ref.key.startswith(prefix):
                return ResourcePage(resources=tuple(found), scanned_to=after, more=False)
            if not has_values(resource.values, where):
                continue
            if len(found) == limit:
                return ResourcePage(resources=tuple(found), scanned_to=found[-1].ref.key, more=True)
            found.append(resource)
            after = resource.ref.key
        if reached is None or not reached.startswith(prefix):
            return ResourcePage(resources=tuple(found), scanned_to=after, more=False)
        after = reached
        at_most = _AT_ONCE
        if deadline is not None and monotonic() >= deadline:
            return ResourcePage(resources=tuple(found), scanned_to=after, more=True)


def has_values(values: Values, where: Mapping[str, Value]) -> bool:
    """Whether each property has a value, or, for a text, one that is written so; None: whether it has none."""
    return all(_is_value(values.get(name), value) for name, value in where.items())


def _is_value(stored: Value, value: Value) -> bool:
    if stored == value and isinstance(stored, bool) == isinstance(value, bool):
        return True
    return isinstance(value, str) and stored is not None and not isinstance(stored, str) and json.dumps(stored) == value


def _stored_parts(where: Mapping[str, Value]) -> tuple[str, ...]:
    """What the stored values of resources with one of the values contain, or nothing if that is not known.

    The store leaves out by it what cannot fit.
    """
    for name, value in where.items():
        if value is None:
            continue
        member = json.dumps(name, ensure_ascii=False)
        if isinstance(value, str):
            quoted = json.dumps(value, ensure_ascii=False)
            if any(ord(character) < 32 or ord(character) == 127 for character in name + value):
                continue  # there is more than one way to write it
            return (f"{member}:{quoted}", f"{member}:{value}")
        if isinstance(value, bool):
            return (f"{member}:{json.dumps(value)}",)
    return ()
