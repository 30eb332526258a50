"""The resource aggregate: an entity type, a key, values, and the events that change them."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping
from functools import cached_property
from typing import ClassVar, TypeAlias

from attrs import evolve, field, frozen

from deltamark.domain.representation import brief, html_table
from deltamark.domain.resources.events import Event, Origin
from deltamark.domain.values import Value, Values, escaped


@frozen
class Change:
    """The values of a property before and after, each None where there is none."""

    before: Value
    after: Value


@frozen(order=True)
class ResourceRef:
    """A resource, by entity type and key."""

    entity_type: str
    key: str

    def __str__(self) -> str:
        return f"{self.entity_type} {self.key}"


@frozen(kw_only=True)
class Resource:
    """A resource at some moment.

    `live` is False after its deletion. Its stream may continue.

    :param synchronized: the values from its source.
    :param computed: the values that were computed from it, and from resources that it is linked to.
    """

    originator_id: str
    version: int
    ref: ResourceRef
    synchronized: Values
    computed: Values = field(factory=dict)
    live: bool = True

    def __repr__(self) -> str:
        state = "" if self.live else " (deleted)"
        return f"<Resource {escaped(str(self.ref))}{state}: {brief(self.values)}>"

    def _repr_html_(self) -> str:
        return html_table(str(self.ref), ("property", "value"), list(self.values.items()), len(self.values))

    @property
    def id(self) -> str:
        """Its stream, as the `eventsourcing` library calls it."""
        return self.originator_id

    @cached_property
    def values(self) -> Values:
        """All values.

        Of a property that has both, the computed value counts.
        """
        return {**self.synchronized, **self.computed}


@frozen(kw_only=True)
class ResourceEvent(Event, ABC):
    """A change of one resource."""

    kind: ClassVar[str]
    """The name that users see for such a change."""

    cause: Origin
    ref: ResourceRef

    @abstractmethod
    def apply(self, resource: Resource | None) -> Resource:
        """Returns the resource after this change."""

    @property
    @abstractmethod
    def changes(self) -> Mapping[str, Change]:
        """Property -> value before and after."""


@frozen(kw_only=True)
class Created(ResourceEvent):
    """A resource was created, for the first time or again after its deletion."""

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
    """Properties have new values. Holds only those that differ, at least one.

    `Computed` is the one of computed properties.
    """

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
class Because:
    """Why values were computed.

    :param first: the position of the first change that made the resource dirty for them; None where no change did.
    :param last: that of the last one; the same where there was only one.
    :param whole: the word for the reason why they were computed for all resources (`WHOLE_REASONS`); None where they
        were not.
    """

    first: int | None = None
    last: int | None = None
    whole: str | None = None


WHOLE_REASONS = {
    "first": "the task ran for the first time",
    "new": "the rule was new to the task",
    "changed": "the rule had changed since the task last ran",
    "other": "another task had computed with another rule since the task last ran",
    "unflagged": "not all changes of what the rule reads were flagged since the task last ran",
    "all": "the task computes everything each time",
    "removed": "nothing computes it any more",
    "mapped": "a mapping fills it now",  # in events of earlier versions; adopting the configuration removes them now
}
"""Why values are computed for all resources: the stored word, and what it means."""


@frozen(kw_only=True)
class Computed(Updated):
    """Computed properties have new values. Holds only those that differ, at least one.

    :param because: why; None in events of versions that did not record it.
    """

    because: Because | None = None

    def apply(self, resource: Resource | None) -> Resource:
        assert resource is not None, "a resource is created before its properties are computed"
        values = _updated(resource.computed, self.updates)
        return evolve(resource, version=self.originator_version, computed=values)


def _updated(values: Values, updates: Mapping[str, Change]) -> Values:
    after = {**values, **{name: change.after for name, change in updates.items()}}
    return {name: value for name, value in after.items() if value is not None}


@frozen(kw_only=True)
class Deleted(ResourceEvent):
    """A resource was deleted. Holds its last values.

    :param values: the values from its source.
    :param computed: the computed values.
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
    """A resource as it was when earlier changes were discarded. Folding begins here."""

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
    """Returns the resource after these facts of one stream, oldest first, or None without any."""
    resource: Resource | None = None
    for event in events:
        resource = event.apply(resource)
    return resource
