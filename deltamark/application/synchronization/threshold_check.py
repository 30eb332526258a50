"""Checks a synchronization against the thresholds, and collects its changes to hold back."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence

import orjson
import pyarrow as pa

from deltamark.application.ports import pending_changes as pending
from deltamark.application.ports.arrow_schemas import PENDING_ROWS
from deltamark.application.ports.commands import Writing
from deltamark.application.ports.pending_changes import Part
from deltamark.application.ports.records import LinkChanges, LinkEnds, ResourceChanges
from deltamark.application.synchronization.waiting_links import WaitingChanges
from deltamark.domain.configuration.entity_model import Connector, EntityAssociationMapping, EntityTypeMapping
from deltamark.domain.resources.link import LinkEvent
from deltamark.domain.resources.resource import Computed
from deltamark.domain.synchronization.keys import KeyChange
from deltamark.domain.synchronization.thresholds import Changed, ChangedLinks, Extent, counts_needed, exceeded


class SynchronizationEffects:
    """The changes of a synchronization in its transaction, from the moment when this is made."""

    def __init__(self, tx: Writing) -> None:
        self._tx = tx
        self._began = self._resources_end = tx.head()
        self._resources: list[tuple[EntityTypeMapping, ResourceChanges]] = []
        self._links: list[tuple[EntityAssociationMapping, LinkEnds, LinkChanges]] = []
        self._of_others: list[tuple[LinkEnds, LinkChanges]] = []
        self._removed: Counter[str] = Counter()
        self._waiting: list[WaitingChanges] = []
        self._empty: list[str] = []
        self._key_changes: list[KeyChange] = []

    def add_empty_extract(self, reason: str) -> None:
        """Adds an extract without rows where the store holds some.

        It is a reason to block, whatever the limits.
        """
        self._empty.append(reason)

    def add_key_change(self, change: KeyChange | None) -> None:
        """Adds a change of the keys of an entity type or association, if there is one.

        It is a reason to block, whatever the limits.
        """
        if change is not None:
            self._key_changes.append(change)

    @property
    def hint(self) -> str:
        """What to do about a reason to block, beside accepting the changes; one sentence with a blank, or nothing."""
        if self._empty:
            return "If the source is truly empty, force the run. "
        if self._key_changes:
            return "If the keys were not changed on purpose, correct the extract. "
        return ""

    def add_resources(self, mapping: EntityTypeMapping, changes: ResourceChanges, removed: Mapping[str, int]) -> None:
        """Adds changes of resources.

        `removed` counts the links of deleted ones, by association.
        """
        self._resources.append((mapping, changes))
        self._removed.update(removed)
        self._resources_end = self._tx.head()

    def add_links(self, mapping: EntityAssociationMapping, ends: LinkEnds, changes: LinkChanges) -> None:
        """Adds changes of links, after all resources."""
        self._links.append((mapping, ends, changes))

    def add_links_of_other_connector(self, ends: LinkEnds, changes: LinkChanges) -> None:
        """Adds changes of links that another connector feeds, which follow from changed resources."""
        self._of_others.append((ends, changes))

    def add_waiting(self, changes: WaitingChanges) -> None:
        """Adds changes of waiting links."""
        self._waiting.append(changes)

    def reason_to_block(self, connector: Connector, *, limits: bool) -> str | None:
        """The reason, a clause, why a person must look at this before it is committed, or None.

        An empty extract is checked first, then changes of keys, then all limits.

        :param limits: whether the limits of the configuration apply.
        """
        reason = next(iter([*self._empty, *map(str, self._key_changes)]), None)
        if reason is not None or not limits:
            return reason
        resources, links = counts_needed(connector, *self._extents(lambda name, change: 0, lambda name, change: 0))
        few = self._extents(
            lambda name, change: self._tx.live_resource_count(name, resources + change) if resources else 0,
            lambda name, change: self._tx.live_link_count(name, links + change) if links else 0,
        )
        if exceeded(connector, *few) is None:
            return None
        exact = self._extents(
            lambda name, change: self._tx.live_resource_count(name), lambda name, change: self._tx.live_link_count(name)
        )
        return str(exceeded(connector, *exact))

    def _extents(
        self, count_resources: Callable[[str, int], int], count_links: Callable[[str, int], int]
    ) -> tuple[Changed, ChangedLinks, Extent]:
        """How much was changed, and how much the store held before.

        :param count_resources: counts the present resources of an entity type, given how many were added.
        :param count_links: counts the present links of an association in the same way.
        """
        resources = [(mapping, _extent(mapping, changes, count_resources)) for mapping, changes in self._resources]
        links = [
            (
                mapping,
                _links_extent(
                    mapping.association,
                    changes.linked.num_rows,
                    changes.unlinked.num_rows + self._removed[mapping.association],
                    count_links,
                ),
            )
            for mapping, _, changes in self._links
        ]
        own = {mapping.association for mapping, _, _ in self._links}
        linked = Counter({ends.association: changes.linked.num_rows for ends, changes in self._of_others})
        others = [
            _links_extent(name, linked[name], self._removed[name], count_links)
            for name in {**linked, **self._removed}
            if name not in own
        ]
        return resources, links, sum(others, Extent())

    def parts(self) -> Iterator[Part]:
        """The changes, in the order in which they were made."""
        yield from self._consequences()
        for mapping, changes in self._resources:
            for kind, rows in (
                (pending.DELETED, changes.deleted),
                (pending.CREATED, changes.created),
                (pending.UPDATED, changes.updated),
            ):
                if rows.num_rows:
                    yield Part(kind=kind, subject=mapping.entity_type, rows=rows)
        for ends, links in (*((ends, links) for _, ends, links in self._links), *self._of_others):
            for kind, rows in ((pending.UNLINKED, links.unlinked), (pending.LINKED, links.linked)):
                if rows.num_rows:
                    yield Part(kind=kind, subject=ends.association, ends=(ends.source, ends.target), rows=rows)
        for waiting in self._waiting:
            for kind, pairs in ((pending.AWAITED, waiting.awaited), (pending.SETTLED, waiting.settled)):
                if pairs:
                    yield Part(kind=kind, subject=waiting.association, rows=_table(kind, sorted(pairs)))

    def _consequences(self) -> Iterator[Part]:
        """Changes that followed from others without a comparison: they are read from the log."""
        computed: dict[str, list[tuple[str, str]]] = {}
        removed: dict[tuple[str, str, str], list[tuple[str, str, None]]] = {}
        for _, event in self._tx.changes(self._began, self._resources_end):
            if isinstance(event, Computed):
                changes = {name: (change.before, change.after) for name, change in event.changes.items()}
                row = (event.ref.key, orjson.dumps(changes).decode())
                computed.setdefault(event.ref.entity_type, []).append(row)
            elif isinstance(event, LinkEvent):
                ref = event.ref
                ends = (ref.association, ref.source.entity_type, ref.target.entity_type)
                removed.setdefault(ends, []).append((ref.source.key, ref.target.key, None))
        for entity_type, rows in computed.items():
            yield Part(kind=pending.COMPUTED, subject=entity_type, rows=_table(pending.COMPUTED, rows))
        for (association, source, target), pairs in removed.items():
            rows_removed = _table(pending.REMOVED, pairs)
            yield Part(kind=pending.REMOVED, subject=association, ends=(source, target), rows=rows_removed)


def _extent(mapping: EntityTypeMapping, changes: ResourceChanges, count: Callable[[str, int], int]) -> Extent:
    inserted, deleted = changes.created.num_rows, changes.deleted.num_rows
    return Extent(
        inserted=inserted,
        updated=changes.updated.num_rows,
        deleted=deleted,
        held=count(mapping.entity_type, inserted) - inserted + deleted,
    )


def _links_extent(association: str, linked: int, unlinked: int, count: Callable[[str, int], int]) -> Extent:
    return Extent(linked=linked, unlinked=unlinked, links_held=count(association, linked) - linked + unlinked)


def _table(kind: str, rows: Sequence[tuple[str, str]] | Sequence[tuple[str, str, None]]) -> pa.Table:
    schema = PENDING_ROWS[kind]
    columns = zip(*rows, strict=True)
    return pa.Table.from_arrays([pa.array(c, f.type) for c, f in zip(columns, schema, strict=True)], schema=schema)
