"""The resource aggregate: an entity type, a key, property values, and the changes that made them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TypeAlias

from attrs import evolve, frozen

from deltamark.domain.events import Cause, Event
from deltamark.domain.values import Value, Values


@frozen
class Change:
    """A property's value before and after; None where there was or is none."""

    before: Value
    after: Value


@frozen(order=True)
class ResourceRef:
    """A resource as a user names it."""

    entity_type: str
    key: str

    def __str__(self) -> str:
        return f"{self.entity_type} {self.key}"


@frozen(kw_only=True)
class Resource:
    """A resource at some moment. `live` is False after its deletion; its stream may go on."""

    originator_id: str
    version: int
    ref: ResourceRef
    values: Values
    live: bool = True


@frozen(kw_only=True)
class ResourceEvent(Event):
    """A change of one resource."""

    cause: Cause
    ref: ResourceRef

    def apply(self, resource: Resource | None) -> Resource:
        """The resource after this change."""
        raise AssertionError("every resource event says how it applies")

    @property
    def changes(self) -> Mapping[str, Change]:
        """Property -> value before and after."""
        raise AssertionError("every resource event says what it changed")


@frozen(kw_only=True)
class Created(ResourceEvent):
    """A resource came into being, for the first time or again after its deletion."""

    values: Values

    def apply(self, resource: Resource | None) -> Resource:
        return Resource(
            originator_id=self.originator_id,
            version=self.originator_version,
            ref=self.ref,
            values=dict(self.values),
        )

    @property
    def changes(self) -> Mapping[str, Change]:
        return {name: Change(None, value) for name, value in self.values.items()}


@frozen(kw_only=True)
class Updated(ResourceEvent):
    """Some properties of a resource took new values. Only those that differ are recorded, at least one."""

    updates: Mapping[str, Change]

    def apply(self, resource: Resource | None) -> Resource:
        assert resource is not None, "a resource is created before it is updated"
        values = dict(resource.values)
        for name, change in self.updates.items():
            if change.after is None:
                values.pop(name, None)
            else:
                values[name] = change.after
        return evolve(resource, version=self.originator_version, values=values)

    @property
    def changes(self) -> Mapping[str, Change]:
        return self.updates


@frozen(kw_only=True)
class Deleted(ResourceEvent):
    """A resource ceased to be. Its last values are recorded."""

    values: Values

    def apply(self, resource: Resource | None) -> Resource:
        assert resource is not None, "a resource is created before it is deleted"
        return evolve(resource, version=self.originator_version, values={}, live=False)

    @property
    def changes(self) -> Mapping[str, Change]:
        return {name: Change(value, None) for name, value in self.values.items()}


@frozen(kw_only=True)
class ResourceSnapshot(Event):
    """A resource as it was when the changes below were discarded: where folding its stream begins."""

    ref: ResourceRef
    values: Values
    live: bool

    def apply(self, resource: Resource | None) -> Resource:
        return Resource(
            originator_id=self.originator_id,
            version=self.originator_version,
            ref=self.ref,
            values=dict(self.values),
            live=self.live,
        )


ResourceFact: TypeAlias = ResourceEvent | ResourceSnapshot


def fold(events: Iterable[ResourceFact]) -> Resource | None:
    """The resource that these facts of one stream, oldest first, leave; None without any."""
    resource: Resource | None = None
    for event in events:
        resource = event.apply(resource)
    return resource
