"""Differences of resources and links between two moments."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypeAlias

from attrs import frozen

from deltamark.domain.resources.link import LinkRef
from deltamark.domain.resources.resource import Change, Created, Deleted, Resource, ResourceRef, Updated
from deltamark.domain.values import Values, same_value


@frozen(kw_only=True)
class ResourceDelta:
    """A resource that exists at only one of two moments, or has different values at the two.

    :param kind: `created`, `updated` or `deleted`.
    :param changes: property -> values at the first and at the second moment: those that differ, or all of them if the
        resource exists at only one moment.
    """

    kind: str
    ref: ResourceRef
    changes: Mapping[str, Change]


@frozen(kw_only=True)
class LinkDelta:
    """A link that exists at only one of two moments.

    :param kind: `linked` or `unlinked`.
    """

    kind: str
    ref: LinkRef


Difference: TypeAlias = ResourceDelta | LinkDelta


def resource_delta(ref: ResourceRef, before: Resource | None, after: Resource | None) -> ResourceDelta | None:
    """Returns the difference between two states of a resource, or None if there is none."""
    was_live, is_live = _is_live(before), _is_live(after)
    changes = _changes(before.values if before and was_live else {}, after.values if after and is_live else {})
    if was_live and is_live:
        return ResourceDelta(kind=Updated.kind, ref=ref, changes=changes) if changes else None
    if was_live or is_live:
        return ResourceDelta(kind=Created.kind if is_live else Deleted.kind, ref=ref, changes=changes)
    return None


def _is_live(resource: Resource | None) -> bool:
    return resource is not None and resource.live


def _changes(before: Values, after: Values) -> dict[str, Change]:
    names = sorted(before.keys() | after.keys())
    pairs = ((name, before.get(name), after.get(name)) for name in names)
    return {name: Change(was, is_now) for name, was, is_now in pairs if not same_value(was, is_now)}
