"""The resource aggregate: an entity type, a key, property values, and the changes that made them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import cached_property
from typing import ClassVar, TypeAlias

from attrs import evolve, field, frozen

from deltamark.domain.resources.events import Cause, Event
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
    """A resource at some moment. `live` is False after its deletion; its stream may go on.

    :param synchronized: the values that a source gave.
    :param computed: the values that were computed of it, and of others that it is linked to.
    """

    originator_id: str
    version: int
    ref: ResourceRef
    synchronized: Values
    computed: Values = field(factory=dict)
    live: bool = True

    @cached_property
    def values(self) -> Values:
        """All values; of a property that has both, the computed one."""
        return {**self.synchronized, **self.computed}


@frozen(kw_only=True)
class ResourceEvent(Event):
    """A change of one resource."""

    kind: ClassVar[str]
    """What users call such a change."""

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

    kind: ClassVar[str] = "created"

    values: Values

    def apply(self, resource: Resource | None) -> Resource:
        return Resource(
            originator_id=self.originator_id,
            version=self.originator_version,
            ref=self.ref,
            synchronized=dict(self.values),
        )

    @property
    def changes(self) -> Mapping[str, Change]:
        return {name: Change(None, value) for name, value in self.values.items()}


@frozen(kw_only=True)
class Updated(ResourceEvent):
    """Some properties of a resource took new values. Only those that differ are recorded, at least one."""

    kind: ClassVar[str] = "updated"

    updates: Mapping[str, Change]

    def apply(self, resource: Resource | None) -> Resource:
        assert resource is not None, "a resource is created before it is updated"
        values = _updated(resource.synchronized, self.updates)
        return evolve(resource, version=self.originator_version, synchronized=values)

    @property
    def changes(self) -> Mapping[str, Change]:
        return self.updates


@frozen(kw_only=True)
class Computed(ResourceEvent):
    """Some computed properties of a resource took new values. Only those that differ are recorded, at least one."""

    kind: ClassVar[str] = "updated"

    updates: Mapping[str, Change]

    def apply(self, resource: Resource | None) -> Resource:
        assert resource is not None, "a resource is created before anything is computed of it"
        values = _updated(resource.computed, self.updates)
        return evolve(resource, version=self.originator_version, computed=values)

    @property
    def changes(self) -> Mapping[str, Change]:
        return self.updates


def _updated(values: Values, updates: Mapping[str, Change]) -> Values:
    after = {**values, **{name: change.after for name, change in updates.items()}}
    return {name: value for name, value in after.items() if value is not None}


@frozen(kw_only=True)
class Deleted(ResourceEvent):
    """A resource ceased to be. Its last values are recorded.

    :param values: those that its source gave.
    :param computed: those that were computed.
    """

    kind: ClassVar[str] = "deleted"

    values: Values
    computed: Values = field(factory=dict)

    def apply(self, resource: Resource | None) -> Resource:
        assert resource is not None, "a resource is created before it is deleted"
        return evolve(resource, version=self.originator_version, synchronized={}, computed={}, live=False)

    @property
    def changes(self) -> Mapping[str, Change]:
        return {name: Change(value, None) for name, value in {**self.values, **self.computed}.items()}


@frozen(kw_only=True)
class ResourceSnapshot(Event):
    """A resource as it was when the changes below were discarded: where folding its stream begins."""

    ref: ResourceRef
    values: Values
    computed: Values = field(factory=dict)
    live: bool

    def apply(self, resource: Resource | None) -> Resource:
        return Resource(
            originator_id=self.originator_id,
            version=self.originator_version,
            ref=self.ref,
            synchronized=dict(self.values),
            computed=dict(self.computed),
            live=self.live,
        )


ResourceFact: TypeAlias = ResourceEvent | ResourceSnapshot


def fold(events: Iterable[ResourceFact]) -> Resource | None:
    """The resource that these facts of one stream, oldest first, leave; None without any."""
    resource: Resource | None = None
    for event in events:
        resource = event.apply(resource)
    return resource
