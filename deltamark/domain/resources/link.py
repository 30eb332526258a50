"""The link aggregate: one pair of resources under an association, with a stream of its own."""

from __future__ import annotations

from collections.abc import Iterable
from typing import ClassVar, TypeAlias

from attrs import evolve, frozen

from deltamark.domain.resources.events import Cause, Event
from deltamark.domain.resources.resource import ResourceRef


@frozen(order=True)
class LinkRef:
    """A pair of resources under an association: `source` belongs to the type of its `Property1`."""

    association: str
    source: ResourceRef
    target: ResourceRef


@frozen(kw_only=True)
class Link:
    """A link at some moment; `live` is False while the two resources are not linked."""

    originator_id: str
    version: int
    ref: LinkRef
    live: bool = True


@frozen(kw_only=True)
class LinkEvent(Event):
    """A change of one link."""

    kind: ClassVar[str]
    """What users call such a change."""

    cause: Cause
    ref: LinkRef

    def apply(self, link: Link | None) -> Link:
        """The link after this change."""
        raise AssertionError("every link event says how it applies")


@frozen(kw_only=True)
class Linked(LinkEvent):
    """Two resources were linked, for the first time or again."""

    kind: ClassVar[str] = "linked"

    def apply(self, link: Link | None) -> Link:
        return Link(originator_id=self.originator_id, version=self.originator_version, ref=self.ref)


@frozen(kw_only=True)
class Unlinked(LinkEvent):
    """Two resources are linked no more."""

    kind: ClassVar[str] = "unlinked"

    def apply(self, link: Link | None) -> Link:
        assert link is not None, "resources are linked before they are unlinked"
        return evolve(link, version=self.originator_version, live=False)


@frozen(kw_only=True)
class LinkSnapshot(Event):
    """A link as it was when the changes below were discarded: where folding its stream begins."""

    ref: LinkRef
    live: bool

    def apply(self, link: Link | None) -> Link:
        return Link(originator_id=self.originator_id, version=self.originator_version, ref=self.ref, live=self.live)


LinkFact: TypeAlias = LinkEvent | LinkSnapshot


def fold_link(events: Iterable[LinkFact]) -> Link | None:
    """The link that these facts of one stream, oldest first, leave; None without any."""
    link: Link | None = None
    for event in events:
        link = event.apply(link)
    return link
