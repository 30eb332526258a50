"""The link aggregate: a pair of resources under an association, with its own stream."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable
from typing import ClassVar, TypeAlias

from attrs import evolve, frozen

from deltamark.domain.resources.events import Event, Origin
from deltamark.domain.resources.resource import ResourceRef


@frozen(order=True)
class LinkRef:
    """A pair of resources under an association: `source` belongs to the type of its `Property1`."""

    association: str
    source: ResourceRef
    target: ResourceRef


@frozen(kw_only=True)
class Link:
    """A link at some moment. `live` is False while the two resources are not linked."""

    originator_id: str
    version: int
    ref: LinkRef
    live: bool = True

    @property
    def id(self) -> str:
        """Its stream, as the `eventsourcing` library calls it."""
        return self.originator_id


@frozen(kw_only=True)
class LinkEvent(Event, ABC):
    """A change of one link."""

    kind: ClassVar[str]
    """The name that users see for such a change."""

    cause: Origin
    ref: LinkRef

    @abstractmethod
    def apply(self, link: Link | None) -> Link:
        """Returns the link after this change."""


@frozen(kw_only=True)
class Linked(LinkEvent):
    """Two resources were linked, for the first time or again."""

    kind: ClassVar[str] = "linked"

    def apply(self, link: Link | None) -> Link:
        return Link(originator_id=self.originator_id, version=self.originator_version, ref=self.ref)


@frozen(kw_only=True)
class Unlinked(LinkEvent):
    """Two resources are no longer linked.

    :param because: `BY_TASK`, or which end was deleted: `SOURCE_DELETED`, `TARGET_DELETED` or `BOTH_DELETED`. None in
        events of versions that did not record it.
    """

    kind: ClassVar[str] = "unlinked"

    because: str | None = None

    def apply(self, link: Link | None) -> Link:
        assert link is not None, "resources are linked before they are unlinked"
        return evolve(link, version=self.originator_version, live=False)


BY_TASK, SOURCE_DELETED, TARGET_DELETED, BOTH_DELETED = "task", "source", "target", "both"
"""Why a link was removed: the task was to remove it, or it went with a resource at one of its ends, or at both."""


@frozen(kw_only=True)
class LinkSnapshot(Event):
    """A link as it was when earlier changes were discarded. Folding begins here."""

    ref: LinkRef
    live: bool

    def apply(self, link: Link | None) -> Link:
        return Link(originator_id=self.originator_id, version=self.originator_version, ref=self.ref, live=self.live)


LinkFact: TypeAlias = LinkEvent | LinkSnapshot


def fold_link(events: Iterable[LinkFact]) -> Link | None:
    """Returns the link after these facts of one stream, oldest first, or None without any."""
    link: Link | None = None
    for event in events:
        link = event.apply(link)
    return link
