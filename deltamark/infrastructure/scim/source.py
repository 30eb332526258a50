"""The package `Scim`: reads a SCIM service, as a whole or what changed, and asks for each resource that is missing."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator

from attrs import field, frozen

from deltamark.application.ports.sources import (
    PlaceLost,
    Probe,
    Question,
    Reached,
    SourcePlace,
    SourceUnreachable,
    Tables,
)
from deltamark.domain.configuration.scim_paths import filter_paths
from deltamark.domain.messages import how_many
from deltamark.infrastructure.scim import places
from deltamark.infrastructure.scim.client import Client, Document, opened
from deltamark.infrastructure.scim.pages import (
    MOST_RESOURCES,
    PAGE_SIZE,
    Limits,
    Listing,
    identified,
    identity_of,
    resource_path,
)
from deltamark.infrastructure.scim.places import Witness
from deltamark.infrastructure.scim.rows import ID, ResourceTable, Rows, asked_tables
from deltamark.infrastructure.scim.service import Service, read_service

CONFIRM_LIMIT = 1_000
"""So many missing resources are asked for one by one, where the connection does not say otherwise."""

_CHANGES = "changes are found by meta.lastModified"
_NO_CHANGES = "the service does not sort and filter: each reading is complete"
_NOT_CHECKED = "the service does not publish its schemas: names of attributes cannot be checked"


@frozen
class ScimSource:
    """Reads SCIM services.

    :param wait: waits so many seconds, between requests that a service cannot answer at once.
    """

    wait: Callable[[float], None] = field(default=time.sleep, repr=False)

    def probe(self, ask: Question) -> Probe:
        """Signs in, reads what the service says of itself, and counts what the user may see."""
        with opened(ask, self.wait) as client:
            service = read_service(client)
            counts, problems = [], []
            for table in asked_tables(ask):
                try:
                    endpoint = _checked(service, table)
                    counts.append(f"{table.name}: {_count(client, service, endpoint, table):,} resources")
                except SourceUnreachable as e:
                    problems.append(e.problem)
            how = "cursors" if service.has_cursors else "index, sorted" if service.sorts else "index, not sorted"
            return Probe(
                server=f"SCIM 2.0, {client.address}",
                findings=[
                    f"pages by {how}",
                    _CHANGES if service.gives_changes else _NO_CHANGES,
                    *([] if service.attributes is not None else [_NOT_CHECKED]),
                    *counts,
                ],
                problems=problems,
            )

    def snapshot(self, ask: Question, into: Tables) -> Reached:
        """Reads all resources, and asks for each one that was applied and is not listed."""
        with opened(ask, self.wait) as client:
            reading = _Reading(ask, client, read_service(client), Rows(into, is_delta=False))
            for table in asked_tables(ask):
                endpoint = _checked(reading.service, table)
                reading.begin(table, endpoint)
                listing = reading.listing(endpoint, table, table.filter, table.requested)
                for identity, resource in listing.resources():
                    reading.rows.add(table, identity, resource)
                reading.confirm(table, endpoint, listing)
            return reading.reached()

    def changes(self, ask: Question, since: SourcePlace, into: Tables) -> Reached:
        """Reads what was modified since the place, what is listed and was not applied, and what is gone."""
        then = places.kept(since.cookie)
        with opened(ask, self.wait) as client:
            reading = _Reading(ask, client, read_service(client), Rows(into, is_delta=True))
            for table in asked_tables(ask):
                endpoint = _checked(reading.service, table)
                before = then.get(table.name, ())
                if not reading.begin(table, endpoint, before):
                    raise PlaceLost("the service no longer says what changed")
                listing = reading.listing(endpoint, table, table.filter, ID)
                listed = {identity for identity, _ in listing.resources()}
                changed = reading.changed(endpoint, table, before)
                reading.new(table, endpoint, listed - changed)
                listing.seen |= changed
                reading.confirm(table, endpoint, listing)
            return reading.reached()


def _checked(service: Service, table: ResourceTable) -> str:
    """The endpoint of a table, all of whose attributes the service knows."""
    endpoint = table.endpoint if table.endpoint is not None else service.endpoint(table.kind or "")
    named: list[tuple[str, str]] = [(column, table.name) for column in table.columns]
    named += [(link.attribute, link.name) for link in table.links]
    named += [(path, f"the Filter of {table.name}") for path in sorted(filter_paths(table.filter or "id pr"))]
    service.check(endpoint, iter(named))
    return endpoint


def _count(client: Client, service: Service, endpoint: str, table: ResourceTable) -> int:
    start = {"cursor": ""} if service.has_cursors else {"startIndex": "1"}
    filtered = {"filter": table.filter} if table.filter else {}
    total = client.get(endpoint, {"attributes": ID, "count": "1", **start, **filtered}).get("totalResults")
    if type(total) is not int:
        raise client.broken(endpoint, "does not say how many resources there are (totalResults)")
    return total


class _Reading:
    """One reading of a service."""

    def __init__(self, ask: Question, client: Client, service: Service, rows: Rows) -> None:
        self.service = service
        self.rows = rows
        self._ask = ask
        self._client = client
        self._limits = Limits(
            page_size=int(ask.settings.get("page_size", PAGE_SIZE)),
            most=int(ask.settings.get("max_entries", MOST_RESOURCES)),
        )
        self._confirm_limit = int(ask.settings.get("confirm_limit", CONFIRM_LIMIT))
        self._newest: dict[str, tuple[Witness, ...]] | None = {} if service.gives_changes else None
        self._incomplete: list[str] = []
        self._messages: list[str] = [] if service.gives_changes else [_NO_CHANGES]

    def begin(self, table: ResourceTable, endpoint: str, before: tuple[Witness, ...] = ()) -> bool:
        """Notes how far the service is before a table is read: what is modified meanwhile is read again.

        :return: whether it says so.
        :raises PlaceLost: if it is not where it was `before`.
        """
        if self._newest is None:
            return False
        now = places.newest(self._client, self.service, endpoint)
        if now is None or table.name not in self._ask.known:
            self._newest = None
            self._messages.append(
                f"{table.name} can only be read as a whole: "
                + ("the service does not sort by meta.lastModified" if now is None else "no mapping has its id as key")
            )
            return False
        places.see_that_it_went_on(self._client, endpoint, before, now)
        self._newest[table.name] = now
        return True

    def listing(self, endpoint: str, table: ResourceTable, filtered: str | None, attributes: str) -> Listing:
        """Lists the resources that a filter finds."""
        parameters = {"attributes": attributes, **({"filter": filtered} if filtered else {})}
        return Listing(
            client=self._client, service=self.service, endpoint=endpoint, parameters=parameters, limits=self._limits
        )

    def changed(self, endpoint: str, table: ResourceTable, before: tuple[Witness, ...]) -> set[str]:
        """Writes what was modified since a place; returns the identifiers."""
        since = places.begin(before, table.overlap)
        parts = [f"({table.filter})"] if table.filter else []
        parts += [f'meta.lastModified ge "{since}"'] if since else []
        listing = self.listing(endpoint, table, " and ".join(parts), table.requested)
        for identity, resource in listing.resources():
            self.rows.add(table, identity, resource)
        self._note_unsteady(table, listing)
        return listing.seen

    def new(self, table: ResourceTable, endpoint: str, listed: set[str]) -> None:
        """Writes what is listed and was not applied: it entered the table, or its row was set aside."""
        unknown = listed - self._known(table)
        if len(unknown) > self._confirm_limit:
            listing = self.listing(endpoint, table, table.filter, table.requested)
            for identity, resource in listing.resources():
                if identity in unknown:
                    self.rows.add(table, identity, resource)
            return
        for identity, found in self._found(table, endpoint, sorted(unknown)):
            if found is not None:
                self.rows.add(table, identity, found)

    def confirm(self, table: ResourceTable, endpoint: str, listing: Listing) -> None:
        """Asks for each resource that was applied and is not listed: it is written if it is there, and else deleted."""
        self._note_unsteady(table, listing)
        missing = self._known(table) - listing.seen
        if missing:  # a key may be spelled as it was applied first
            spelled = {identity.casefold() for identity in listing.seen}
            missing = frozenset(identity for identity in missing if identity.casefold() not in spelled)
        if len(missing) > self._confirm_limit:
            self._incomplete.append(
                f"{how_many(len(missing), 'resource')} of {table.name} are not listed, more than the "
                f"{self._confirm_limit:,} that are asked for one by one: nothing is deleted. If they are gone, raise "
                f"confirm_limit of the connection"
            )
            return
        for identity, found in self._found(table, endpoint, sorted(missing)):
            if found is not None:
                self.rows.add(table, identity, found)
            elif self.rows.is_delta:
                self.rows.delete(table, identity)

    def reached(self) -> Reached:
        """What was read, once all tables were."""
        self.rows.finish()
        place = None
        if self._newest is not None:
            cookie = places.cookie(self._newest)
            place = SourcePlace(cookie=cookie, scope=self._ask.scope)
        return Reached(
            place=place,
            incomplete="; ".join(self._incomplete) or None,
            messages=[*self._messages, *self.rows.messages],
        )

    def _known(self, table: ResourceTable) -> frozenset[str]:
        read = self._ask.known.get(table.name)
        return frozenset() if read is None else read()

    def _found(
        self, table: ResourceTable, endpoint: str, identities: Iterable[str]
    ) -> Iterator[tuple[str, Document | None]]:
        """Resources by their identifiers; None where the service, asked for one, does not have it in the table."""
        for identity in identities:
            parameters = {"attributes": table.requested}
            path = resource_path(endpoint, identity)
            item = self._client.find(path, parameters)
            if item is not None and identity_of(self._client, path, item).casefold() != identity.casefold():
                raise self._client.broken(path, "gives another resource")
            is_there = item is not None and (table.filter is None or self._is_in_table(table, endpoint, identity))
            yield identity, item if is_there else None

    def _is_in_table(self, table: ResourceTable, endpoint: str, identity: str) -> bool:
        quoted = identity.replace("\\", "\\\\").replace('"', '\\"')
        document = self._client.get(
            endpoint,
            {
                "attributes": ID,
                "filter": f'({table.filter}) and id eq "{quoted}"',
                "count": "1",
                **({"cursor": ""} if self.service.has_cursors else {"startIndex": "1"}),
            },
        )
        return any(True for _ in identified(self._client, endpoint, document))

    def _note_unsteady(self, table: ResourceTable, listing: Listing) -> None:
        if not listing.is_steady:
            self._messages.append(
                f"{table.name} changed while it was listed, and the service does not sort: new resources may come with "
                "the next reading"
            )
