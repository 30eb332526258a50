"""What differs between two moments: resources and links as they were at the one and are at the other."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypeAlias

from attrs import frozen

from deltamark.domain.resources.link import Linked, LinkRef, Unlinked
from deltamark.domain.resources.resource import Change, Created, Deleted, Resource, ResourceRef, Updated
from deltamark.domain.values import Value, Values


@frozen(kw_only=True)
class ResourceDelta:
    """A resource that is there at only one of two moments, or has other values at the second one.

    :param kind: `created`, `updated` or `deleted`.
    :param changes: property -> value at the first and at the second moment, only those that differ; all of them where
        the resource is there at one moment only.
    """

    kind: str
    ref: ResourceRef
    changes: Mapping[str, Change]


@frozen(kw_only=True)
class LinkDelta:
    """A link that stands at only one of two moments.

    :param kind: `linked` or `unlinked`.
    """

    kind: str
    ref: LinkRef


Delta: TypeAlias = ResourceDelta | LinkDelta


def resource_delta(ref: ResourceRef, before: Resource | None, after: Resource | None) -> ResourceDelta | None:
    """What leads from the one state of a resource to the other; None where they are the same."""
    was, is_now = _lives(before), _lives(after)
    changes = _changes(before.values if before and was else {}, after.values if after and is_now else {})
    if was and is_now:
        return ResourceDelta(kind=Updated.kind, ref=ref, changes=changes) if changes else None
    if was or is_now:
        return ResourceDelta(kind=Created.kind if is_now else Deleted.kind, ref=ref, changes=changes)
    return None


def link_delta(ref: LinkRef, *, before: bool, after: bool) -> LinkDelta | None:
    """What leads from the one state of a link to the other: whether it stood, and whether it stands."""
    if before == after:
        return None
    return LinkDelta(kind=Linked.kind if after else Unlinked.kind, ref=ref)


def _lives(resource: Resource | None) -> bool:
    return resource is not None and resource.live


def _changes(before: Values, after: Values) -> dict[str, Change]:
    names = sorted(before.keys() | after.keys())
    pairs = ((name, before.get(name), after.get(name)) for name in names)
    return {name: Change(was, is_now) for name, was, is_now in pairs if not same(was, is_now)}


def same(one: Value, other: Value) -> bool:
    """Whether two values are the same: a number is not the Boolean that Python takes for equal."""
    return one == other and isinstance(one, bool) == isinstance(other, bool)
