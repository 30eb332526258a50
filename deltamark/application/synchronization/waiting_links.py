"""Waiting links: links to missing resources, added when the resource is created.

A complete extract names every link each time; an extract with a command column names it once. So a row that names a
missing resource is remembered, and so is one whose link was removed with its resource: after any sequence of deltas the
links are those that a complete extract would have given.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import orjson
import pyarrow as pa
import pyarrow.compute as pc
from attrs import evolve, frozen

from deltamark.application.ports.commands import Writing
from deltamark.application.ports.comparer import LinkComparison, LinkSides, ResourceComparison
from deltamark.application.ports.extracts import LinkExtract
from deltamark.application.ports.queries import Reading
from deltamark.application.ports.records import Pair, ResourceChanges
from deltamark.application.runs.run_log import RunLog
from deltamark.domain.configuration.configuration import Configuration
from deltamark.domain.configuration.entity_model import EntityAssociation, EntityAssociationMapping, PropertyRef
from deltamark.domain.resources.events import Origin

_INSERT, _DELETE, _MERGE = "insert", "delete", "merge"


@frozen(kw_only=True)
class WaitingChanges:
    """Changes of the waiting links of one association.

    :param awaited: pairs that wait from now on.
    :param settled: pairs that wait no longer.
    """

    association: str
    awaited: frozenset[Pair] = frozenset()
    settled: frozenset[Pair] = frozenset()


@frozen
class RenamedLink:
    """A link of which an end takes another value than the one that rows name it by.

    :param row: the link as a row of `Reading.live_links`.
    :param before: the pair that rows named it by; `after` is the one that they would have to name it by now.
    """

    row: dict[str, Any]
    before: Pair
    after: list[str | None]


def write_waiting_links(tx: Writing, changes: WaitingChanges, origin: Origin) -> None:
    """Writes changes of waiting links to the record of the run and to the store."""
    if not changes.awaited and not changes.settled:
        return
    RunLog(tx, origin.run).links_wait(origin.task, changes.association, changes.awaited, changes.settled)
    tx.put_waiting_links(changes.association, changes.awaited, changes.settled)


class DeltaLinks:
    """The pairs of one association in extracts with commands, and its waiting links.

    Must be made before the resources are changed: afterwards the links of deleted resources are gone.
    """

    def __init__(
        self,
        configuration: Configuration,
        tx: Writing,
        mapping: EntityAssociationMapping,
        compared: Mapping[str, ResourceComparison],
    ) -> None:
        association = configuration.association(mapping.association)
        assert association is not None
        self.association = association
        self.mapping = mapping
        self._tx = tx
        self._refs = (mapping.entity_property_mapping1, mapping.entity_property_mapping2)
        self._keys = tuple(_is_key(configuration, ref) for ref in self._refs)
        self._changes = tuple(
            comparison.changes if (comparison := compared.get(ref.entity_type)) else None for ref in self._refs
        )
        self._rows_are_resources = _rows_are_resources(configuration, mapping)
        self._losing_an_end = self._links_losing_an_end()
        self._renamed = self._renamed_links()
        self._candidates: frozenset[Pair] = frozenset()
        self._settled: frozenset[Pair] = frozenset()
        self._known: set[Pair] = set()

    def _links_losing_an_end(self) -> frozenset[Pair]:
        """The pairs that are linked now and whose row remains when a resource at an end is deleted."""
        if not self._rows_are_resources:
            return frozenset()
        return frozenset(self._linked_to_deleted(1, unless_in=self._changes[0]))

    def _linked_to_deleted(self, end: int, *, unless_in: ResourceChanges | None = None) -> Iterator[Pair]:
        """The pairs that are linked now and lose the resource at one end.

        :param unless_in: the changes of the other end: pairs of resources that are deleted there are left out.
        """
        changes, other = self._changes[end], ("source", "target")[1 - end]
        if changes is None or not changes.deleted.num_rows:
            return
        deleted = changes.deleted.column("key").combine_chunks()
        streams = self._tx.identities(self._refs[end].entity_type, None, deleted).column("stream").combine_chunks()
        links = self._links_at(end, streams)
        if unless_in is not None and unless_in.deleted.num_rows:
            is_deleted = pc.is_in(links.column(f"{other}_key"), unless_in.deleted.column("key").combine_chunks())
            links = links.filter(pc.invert(is_deleted))
        for first, second in zip(self._values(links, 0, "source"), self._values(links, 1, "target"), strict=True):
            if first is not None and second is not None:
                yield first, second

    def _links_at(self, end: int, streams: pa.Array) -> pa.Table:
        return self._tx.live_links(self.association.identifier, *((streams, None) if end == 0 else (None, streams)))

    def _renamed_links(self) -> list[RenamedLink]:
        """The links of which an end takes another value than the one that their row names it by."""
        renamed: dict[tuple[int, int], RenamedLink] = {}
        for end, (ref, changes) in enumerate(zip(self._refs, self._changes, strict=True)):
            if self._keys[end] or changes is None:
                continue
            new_values = _new_values(changes.updated, ref.property)
            if not new_values:
                continue
            resources = self._tx.identities(ref.entity_type, None, pa.array(list(new_values), pa.string()))
            links = self._links_at(end, resources.column("stream").combine_chunks())
            values = (self._values(links, 0, "source"), self._values(links, 1, "target"))
            for row, first, second in zip(links.to_pylist(), *values, strict=True):
                if first is not None and second is not None:
                    link = RenamedLink(row=row, before=(first, second), after=[first, second])
                    link = renamed.setdefault((row["source"], row["target"]), link)
                    link.after[end] = new_values[row["source_key" if end == 0 else "target_key"]]
        deleted = [set() if c is None else set(c.deleted.column("key").to_pylist()) for c in self._changes]
        return [
            link
            for link in renamed.values()
            if link.row["source_key"] not in deleted[0] and link.row["target_key"] not in deleted[1]
        ]

    def _values(self, links: pa.Table, end: int, name: str) -> list[str | None]:
        """The values by which an extract names the resources at one end of links."""
        if self._keys[end]:
            keys: list[str | None] = links.column(f"{name}_key").to_pylist()
            return keys
        streams = links.column(name).combine_chunks()
        states = self._tx.states(self._refs[end].entity_type, streams.unique())
        values = dict(
            zip(
                states.column("stream").to_pylist(),
                _property(states.column("state").to_pylist(), self._refs[end].property),
                strict=True,
            )
        )
        return [values.get(stream) for stream in streams.to_pylist()]

    def rows(self, extract: LinkExtract) -> LinkExtract:
        """The rows of the extract, and the waiting links that may be added now."""
        dropped = self._waiting_for_deleted()
        self._known = dropped | self._relevant_waiting(extract)
        if not self._known and not self._losing_an_end and not self._renamed:
            return extract
        single = not self.association.is_property1_collection
        superseded = _superseded(self._known | self._losing_an_end, extract.rows, single=single)
        self._settled = frozenset(dropped | superseded)
        present = [self._values_now_present(end) for end in (0, 1)]
        renamed = {link.before for link in self._renamed}
        renamed -= _superseded(renamed, extract.rows, single=single)
        self._candidates = frozenset(renamed) | frozenset(
            pair for pair in self._known - self._settled if pair[0] in present[0] or pair[1] in present[1]
        )
        return _with_pairs(extract, sorted(self._candidates))

    def without_taken(self, extract: LinkExtract, sides: LinkSides) -> LinkExtract:
        """The rows without waiting links of resources that already have the one link they may have."""
        if self.association.is_property1_collection or not self._candidates:
            return extract
        linked = pc.is_in(sides.first.column("stream"), sides.links.column("source").combine_chunks())
        taken = set(sides.first.filter(linked).column("value").to_pylist())
        renamed = {link.before for link in self._renamed}
        remaining = frozenset(pair for pair in self._candidates if pair[0] not in taken or pair in renamed)
        if remaining == self._candidates:
            return extract
        rows = extract.rows.filter(pc.is_valid(extract.rows.column("line")))
        self._candidates = remaining
        return _with_pairs(evolve(extract, rows=rows), sorted(remaining))

    def without_renamed(self, extract: LinkExtract, compared: LinkComparison) -> LinkComparison:
        """The comparison, which also removes links that no row names because an end was renamed."""
        if not self._renamed:
            return compared
        commands = zip(
            *(extract.rows.column(name).to_pylist() for name in ("value1", "value2", "command")), strict=True
        )
        named = {(first, second) for first, second, command in commands if command != _DELETE}
        unlinked = compared.changes.unlinked
        removed = set(zip(unlinked.column("source").to_pylist(), unlinked.column("target").to_pylist(), strict=True))
        rows = [
            {**link.row, "line": None}
            for link in self._renamed
            if tuple(link.after) not in named and (link.row["source"], link.row["target"]) not in removed
        ]
        if not rows:
            return compared
        unlinked = pa.concat_tables([unlinked, pa.Table.from_pylist(rows, schema=unlinked.schema)])
        return evolve(compared, changes=evolve(compared.changes, unlinked=unlinked))

    def waiting(self, extract: LinkExtract, compared: LinkComparison) -> WaitingChanges:
        """The changes of the waiting links that follow from the comparison."""
        is_in_extract = pc.is_valid(compared.orphans.column("line"))
        still_waiting = set(_pairs(compared.orphans.filter(pc.invert(is_in_extract))))
        ambiguous = set(_pairs(compared.ambiguous))
        linked = self._candidates - still_waiting - ambiguous
        orphans = compared.orphans.filter(is_in_extract)
        deleting = (
            extract.rows.filter(pc.equal(extract.rows.column("command"), _DELETE)).column("line").combine_chunks()
        )
        orphans = orphans.filter(pc.invert(pc.is_in(orphans.column("line"), deleting)))
        awaited = {pair for pair in _pairs(orphans) if pair[1] is not None} | (self._losing_an_end - self._settled)
        awaited |= still_waiting & {link.before for link in self._renamed}
        known = self._known - self._settled
        return WaitingChanges(
            association=self.association.identifier,
            awaited=frozenset(awaited - known),
            settled=frozenset((self._settled & self._known | linked & self._known) - awaited),
        )

    def _relevant_waiting(self, extract: LinkExtract) -> set[Pair]:
        """The waiting links that may concern these rows.

        All, where another connector feeds an end.
        """
        name = self.association.identifier
        if None in self._changes:
            return self._tx.waiting_links(name)
        first = [*extract.rows.column("value1").unique().to_pylist(), *self._added_values(0)]
        return self._tx.waiting_links(name, first, self._added_values(1))

    def _values_now_present(self, end: int) -> set[str]:
        """The values by which waiting links may name resources of one end that now exist."""
        return {*self._added_values(end), *self._values_of_other_connectors(end)}

    def _values_of_other_connectors(self, end: int) -> Iterator[str]:
        """The values of waiting links that name existing resources of another connector's end.

        A synchronization of that connector may have created them without knowing these links.
        """
        if self._changes[end] is None and self._known:
            ref, values = self._refs[end], sorted({pair[end] for pair in self._known})
            resources = self._tx.identities(
                ref.entity_type, None if self._keys[end] else ref.property, pa.array(values, pa.string())
            )
            yield from resources.column("value").to_pylist()

    def _added_values(self, end: int) -> Iterator[str]:
        """The values by which an extract names resources of one end that were created or renamed."""
        changes = self._changes[end]
        if changes is None:
            return
        if self._keys[end]:
            yield from changes.created.column("key").to_pylist()
            return
        for table in (changes.created, changes.updated):
            yield from filter(None, _property(table.column("state").to_pylist(), self._refs[end].property))

    def _waiting_for_deleted(self) -> set[Pair]:
        """The waiting links that name a deleted resource.

        One created later with that key starts without them.
        """
        if self._rows_are_resources:
            return set()
        values = [
            _deleted_values(changes, ref, is_key)
            for changes, ref, is_key in zip(self._changes, self._refs, self._keys, strict=True)
        ]
        if not any(values):
            return set()
        return self._tx.waiting_links(self.association.identifier, *values)


def waiting_after_complete(
    tx: Reading, association: EntityAssociation, extract: LinkExtract, compared: LinkComparison, *, complete: bool
) -> WaitingChanges:
    """The changes of waiting links after an extract was compared that holds all pairs.

    Its orphans wait; no others, unless the extract deletes nothing.
    """
    before = tx.waiting_links(association.identifier)
    named = {pair for pair in _pairs(compared.orphans) if pair[1] is not None}
    if extract.cleansed.incomplete is not None or not complete:
        single = (not association.is_property1_collection, not association.is_property2_collection)
        settled = _named_or_replaced(before - named, extract.rows, single)
    else:
        kept = set(extract.kept.to_pylist())
        settled = {pair for pair in before - named if pair[0] not in kept}
    return WaitingChanges(
        association=association.identifier, awaited=frozenset(named - before), settled=frozenset(settled)
    )


def _named_or_replaced(waiting: set[Pair], rows: pa.Table, single: tuple[bool, bool]) -> set[Pair]:
    """The waiting links that rows name, or another one of an end that may have only one link.

    :param single: for both ends, whether it may have only one link.
    """
    named = set(_pairs(rows))
    ends = [set(rows.column(f"value{end + 1}").to_pylist()) if single[end] else set() for end in (0, 1)]
    return {pair for pair in waiting if pair in named or pair[0] in ends[0] or pair[1] in ends[1]}


def _superseded(waiting: set[Pair] | frozenset[Pair], rows: pa.Table, *, single: bool) -> set[Pair]:
    """The waiting links that the rows replace or delete.

    :param single: whether a first resource may have only one link.
    """
    replaced: set[str] = set()
    deleted: set[Pair] = set()
    for first, second, command in zip(
        *(rows.column(name).to_pylist() for name in ("value1", "value2", "command")), strict=True
    ):
        if command == _DELETE:
            if second is None:
                replaced.add(first)
            else:
                deleted.add((first, second))
        elif single and not (command == _MERGE and second is None):
            replaced.add(first)
    return {pair for pair in waiting if pair[0] in replaced or pair in deleted}


def _with_pairs(extract: LinkExtract, pairs: list[Pair]) -> LinkExtract:
    if not pairs:
        return extract
    first, second = zip(*pairs, strict=True)
    schema = extract.rows.schema
    columns = {"line": [None] * len(pairs), "value1": first, "value2": second, "command": [_INSERT] * len(pairs)}
    added = pa.table({name: pa.array(columns[name], schema.field(name).type) for name in schema.names}, schema=schema)
    return evolve(extract, rows=pa.concat_tables([extract.rows, added]))


def _pairs(rows: pa.Table) -> Iterator[Pair]:
    return zip(rows.column("value1").to_pylist(), rows.column("value2").to_pylist(), strict=True)


def _property(states: Iterable[str | None], name: str) -> list[str | None]:
    """The values of a property in JSON objects, as an extract writes them."""
    values = (None if state is None else orjson.loads(state).get(name) for state in states)
    return [_as_text(value) for value in values]


def _new_values(updated: pa.Table, name: str) -> dict[str, str | None]:
    """Key -> new value, for the resources where the property changed."""
    rows = zip(updated.column("key").to_pylist(), updated.column("changes").to_pylist(), strict=True)
    changes = ((key, orjson.loads(text).get(name)) for key, text in rows)
    return {key: _as_text(change[1]) for key, change in changes if change is not None}


def _as_text(value: Any) -> str | None:
    """A value as an extract writes it."""
    return value if value is None or isinstance(value, str) else orjson.dumps(value).decode()


def _deleted_values(changes: ResourceChanges | None, ref: PropertyRef, is_key: bool) -> set[str]:
    if changes is None:
        return set()
    if is_key:
        return set(changes.deleted.column("key").to_pylist())
    return {
        value for value in _property(changes.deleted.column("state").to_pylist(), ref.property) if value is not None
    }


def _is_key(configuration: Configuration, ref: PropertyRef) -> bool:
    mapping = configuration.mapping_of(ref.entity_type)
    return mapping is not None and mapping.primary_key.identifier == ref.property


def _rows_are_resources(configuration: Configuration, mapping: EntityAssociationMapping) -> bool:
    """Whether the pairs are columns of the extract of their first resources.

    Then they are deleted with these.
    """
    of_first = configuration.mapping_of(mapping.entity_property_mapping1.entity_type)
    if of_first is None or of_first.connector != mapping.connector:
        return False
    return of_first.connection_table == mapping.connection_table
