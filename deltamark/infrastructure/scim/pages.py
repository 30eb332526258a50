"""Lists the resources at an endpoint page by page, so that none that is there all the time is missed."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import quote

from attrs import define, field, frozen

from deltamark.application.ports.sources import SourceUnreachable
from deltamark.domain.values import shown
from deltamark.infrastructure.scim.client import Client, Document
from deltamark.infrastructure.scim.service import Service

PAGE_SIZE = 200
MOST_RESOURCES = 10_000_000

_READINGS = 3
_MOST_STEPS_BACK = 20
_MOST_IN_VAIN = 3
_MOST_EMPTY_PAGES = 1000


@frozen(kw_only=True)
class Limits:
    """How much is listed.

    :param page_size: how many resources are asked for at a time.
    :param most: how many there may be.
    """

    page_size: int = PAGE_SIZE
    most: int = MOST_RESOURCES


@define
class Listing:
    """All resources at an endpoint that a filter finds.

    Pages by index begin with the last resource of the page before: where it is another one, something before it came or
    went, and the step is taken back. In a sorted list a resource that is there all the time is never missed then. Where
    the service does not sort, the list must also have as many resources as it says, on all of its pages.

    :ivar seen: the identifiers of what was listed.
    :ivar is_steady: whether nothing can have been missed.
    """

    client: Client
    service: Service
    endpoint: str
    parameters: Mapping[str, str]
    limits: Limits
    seen: set[str] = field(factory=set)
    is_steady: bool = True

    def resources(self) -> Iterator[tuple[str, Document]]:
        """Yields each resource once, with its identifier.

        :raises SourceUnreachable: if the pages do not end, or are none.
        """
        if self.service.has_cursors:
            yield from self._by_cursor()
            return
        for _ in range(_READINGS):
            reading = _Reading()
            for identity, item in self._by_index(reading):
                if self._is_new(identity):
                    yield identity, item
            if (self.service.sorts and reading.is_anchored) or reading.is_steady:
                return
        self.is_steady = False

    def _by_cursor(self) -> Iterator[tuple[str, Document]]:
        cursor, cursors, empty = "", set[str](), 0
        while True:
            document, items = self._page({"cursor": cursor})
            for identity, item in items:
                if self._is_new(identity):
                    yield identity, item
            following = document.get("nextCursor")
            if not following:
                return
            empty = 0 if items else empty + 1
            if not isinstance(following, str) or following in cursors or empty > _MOST_EMPTY_PAGES:
                raise self._endless()
            cursor = following
            cursors.add(cursor)

    def _by_index(self, reading: _Reading) -> Iterator[tuple[str, Document]]:
        start, step, is_anchor, in_vain = 1, self._count, False, 0
        while True:
            document, items = self._page({"startIndex": str(start)})
            total = document.get("totalResults")
            if type(total) is not int:
                raise self.client.broken(self.endpoint, "does not say how many resources there are (totalResults)")
            reading.totals.add(total)
            if not items and start <= total:
                raise self.client.broken(
                    self.endpoint, f"says that there are {total:,} resources, and gives none from number {start:,} on"
                )
            if is_anchor and (not items or items[0][0] not in reading.ids):
                reading.steps_back += 1
                if reading.steps_back > _MOST_STEPS_BACK:
                    reading.is_anchored = False
                    return
                start, step = max(1, start - step), 2 * step
                is_anchor = start > 1
                continue
            before = len(reading.ids)
            reading.ids.update(identity for identity, _ in items)
            yield from items
            in_vain = in_vain + 1 if len(reading.ids) == before else 0
            end = start + len(items) - 1
            if end >= total:
                return
            if in_vain > _MOST_IN_VAIN:
                raise self._endless()
            is_anchor = len(items) > 1
            reading.is_anchored &= is_anchor
            start, step = (end if is_anchor else end + 1), self._count

    @property
    def _count(self) -> int:
        return min(self.limits.page_size, self.service.most_of_a_page or self.limits.page_size)

    def _is_new(self, identity: str) -> bool:
        if identity in self.seen:
            return False
        self.seen.add(identity)
        if len(self.seen) > self.limits.most:
            raise SourceUnreachable(
                f"{self.client.address}{self.endpoint} gives more than {self.limits.most:,} resources",
                "If there are as many, raise max_entries of the connection.",
            )
        return True

    def _page(self, position: Mapping[str, str]) -> tuple[Document, list[tuple[str, Document]]]:
        order = {"sortBy": "id"} if self.service.sorts else {}
        document = self.client.get(self.endpoint, {**self.parameters, **order, **position, "count": str(self._count)})
        return document, list(identified(self.client, self.endpoint, document))

    def _endless(self) -> SourceUnreachable:
        return self.client.broken(self.endpoint, "gives the same page again and again, so its pages do not end")


@define
class _Reading:
    """One way through all pages.

    :ivar is_anchored: whether each page began with a resource of the pages before.
    """

    ids: set[str] = field(factory=set)
    totals: set[int] = field(factory=set)
    steps_back: int = 0
    is_anchored: bool = True

    @property
    def is_steady(self) -> bool:
        """Whether it found as many resources as there are by each of its pages."""
        return self.is_anchored and self.totals == {len(self.ids)} and self.steps_back == 0


def resource_path(endpoint: str, identity: str) -> str:
    """Where one resource is."""
    return f"{endpoint}/{quote(identity, safe='')}"


def identified(client: Client, path: str, document: Document) -> Iterator[tuple[str, Document]]:
    """The resources of a page, each with its identifier.

    :raises SourceUnreachable: if they are none.
    """
    items: Any = document.get("Resources") or []
    if not isinstance(items, list):
        raise client.broken(path, "gives a page without a list of resources")
    for item in items:
        yield identity_of(client, path, item), item


def identity_of(client: Client, path: str, item: Any) -> str:
    """The identifier of a resource.

    :raises SourceUnreachable: if it has none.
    """
    identity = item.get("id") if isinstance(item, dict) else None
    if not isinstance(identity, str) or not identity:
        raise client.broken(path, f"gives a resource without an id{_named(item)}")
    return identity


def _named(item: Any) -> str:
    name = item.get("userName") or item.get("displayName") if isinstance(item, dict) else None
    return f" ({shown(name)})" if isinstance(name, str) else ""
