"""Awaiting: links that a source names to resources that are not there yet are made when the resources come.

A complete extract says everything again each time; one with a command column says a thing once. So a row that leads to
nobody is remembered, and so is one whose link went with the resource that it led to: after any sequence of deltas those
links stand that a complete extract would have given.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import orjson
import pyarrow as pa
import pyarrow.compute as pc
from attrs import evolve, frozen

from deltamark.application.ports.comparer import LinkComparison, LinkSides, ResourceComparison
from deltamark.application.ports.extracts import LinkExtract
from deltamark.application.ports.reading import Reading
from deltamark.application.ports.records import Pair, ResourceChanges
from deltamark.application.ports.writing import Writing
from deltamark.application.runs.run_log import RunLog
from deltamark.domain.configuration.configuration import Configuration
from deltamark.domain.configuration.entity_model import EntityAssociation, EntityAssociationMapping, PropertyRef
from deltamark.domain.resources.events import Origin

_INSERT, _DELETE, _MERGE = "insert", "delete", "merge"


@frozen(kw_only=True)
class Waiting:
    """What becomes of the pairs of one association that wait.

    :param awaited: pairs that wait from now on.
    :param settled: pairs that wait no more.
    """

    association: str
    awaited: frozenset[Pair] = frozenset()
    settled: frozenset[Pair] = frozenset()


@frozen
class Moved:
    """A link of which an end changes the value by which rows name it.

    :param row: the link as `Reading.links_held` tells it.
    :param before: the pair by which rows named it; `after` is the one by which they would have to now.
    """

    row: dict[str, Any]
    before: Pair
    after: list[str | None]


def put_on_record(tx: Writing, waiting: Waiting, cause: Origin) -> None:
    """Writes it to the log and to what waits; nothing where nothing becomes of them."""
    if not waiting.awaited and not waiting.settled:
        return
    RunLog(tx, cause.run).links_wait(cause.task, waiting.association, waiting.awaited, waiting.settled)
    tx.put_waiting_links(waiting.association, waiting.awaited, waiting.settled)


class Delta:
    """The pairs of one association in extracts with a command column, with those that wait.

    Made before the resources are changed: afterwards the links of deleted ones are gone.
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
        self._changes = tuple(found.changes if (found := compared.get(ref.entity_type)) else None for ref in self._refs)
        self._rows_are_resources = _rows_are_resources(configuration, mapping)
        self._left = self._left_behind()
        self._moved = self._led_by_another_value()
        self._candidates: frozenset[Pair] = frozenset()
        self._settled: frozenset[Pair] = frozenset()
        self._known: set[Pair] = set()

    def _left_behind(self) -> frozenset[Pair]:
        """Pairs that are linked now and whose row still stands when a resource at an end is deleted."""
        if not self._rows_are_resources:
            return frozenset()
        return frozenset(self._linked_to_deleted(1, spared_by=self._changes[0]))

    def _linked_to_deleted(self, end: int, *, spared_by: ResourceChanges | None = None) -> Iterator[Pair]:
        """Pairs that are linked now and of which the resource at one end is about to be deleted.

        :param spared_by: the changes of the other end: who is deleted there is left out.
        """
        changes, other = self._changes[end], ("source", "target")[1 - end]
        if changes is None or not changes.deleted.num_rows:
            return
        deleted = changes.deleted.column("key").combine_chunks()
        streams = self._tx.identities(self._refs[end].entity_type, None, deleted).column("stream").combine_chunks()
        held = self._tx.live_links(self.association.identifier, *((streams, None) if end == 0 else (None, streams)))
        if spared_by is not None and spared_by.deleted.num_rows:
            gone = pc.is_in(held.column(f"{other}_key"), spared_by.deleted.column("key").combine_chunks())
            held = held.filter(pc.invert(gone))
        for one, two in zip(self._values(held, 0, "source"), self._values(held, 1, "target"), strict=True):
            if one is not None and two is not None:
                yield one, two

    def _led_by_another_value(self) -> list[Moved]:
        """Links of which an end is about to have another value than the one by which its row names it."""
        found: dict[tuple[int, int], Moved] = {}
        for end, (ref, changes) in enumerate(zip(self._refs, self._changes, strict=True)):
            if self._keys[end] or changes is None:
                continue
            fresh = _fresh_values(changes.updated, ref.property)
            if not fresh:
                continue
            named = self._tx.identities(ref.entity_type, None, pa.array(list(fresh), pa.string()))
            streams = named.column("stream").combine_chunks()
            held = self._tx.live_links(self.association.identifier, *((streams, None) if end == 0 else (None, streams)))
            values = (self._values(held, 0, "source"), self._values(held, 1, "target"))
            for row, one, two in zip(held.to_pylist(), *values, strict=True):
                if one is not None and two is not None:
                    link = (row["source"], row["target"])
                    known = found.setdefault(link, Moved(row=row, before=(one, two), after=[one, two]))
                    known.after[end] = fresh[row["source_key" if end == 0 else "target_key"]]
        deleted = [set() if c is None else set(c.deleted.column("key").to_pylist()) for c in self._changes]
        return [
            link
            for link in found.values()
            if link.row["source_key"] not in deleted[0] and link.row["target_key"] not in deleted[1]
        ]

    def _values(self, held: pa.Table, end: int, name: str) -> list[str | None]:
        """By what an extract names the resources at one end of links."""
        if self._keys[end]:
            keys: list[str | None] = held.column(f"{name}_key").to_pylist()
            return keys
        streams = held.column(name).combine_chunks()
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
        """The rows of the extract, and those pairs that waited and may be linked now."""
        gone = self._forgotten()
        self._known = gone | self._waited_for(extract)
        if not self._known and not self._left and not self._moved:
            return extract
        single = not self.association.is_property1_collection
        self._settled = frozenset(gone | _superseded(self._known | self._left, extract.rows, single=single))
        first, second = (self._come(end) for end in (0, 1))
        moved = {link.before for link in self._moved}
        moved -= _superseded(moved, extract.rows, single=single)
        self._candidates = frozenset(moved) | frozenset(
            (one, two) for one, two in self._known - self._settled if one in first or two in second
        )
        return _with_pairs(extract, sorted(self._candidates))

    def without_taken(self, extract: LinkExtract, sides: LinkSides) -> LinkExtract:
        """The rows without the pairs that waited for whose first resource a link stands that it may have only once."""
        if self.association.is_property1_collection or not self._candidates:
            return extract
        linked = pc.is_in(sides.first.column("stream"), sides.held.column("source").combine_chunks())
        taken = set(sides.first.filter(linked).column("value").to_pylist())
        moved = {link.before for link in self._moved}
        left = frozenset(pair for pair in self._candidates if pair[0] not in taken or pair in moved)
        if left == self._candidates:
            return extract
        rows = extract.rows.filter(pc.is_valid(extract.rows.column("line")))
        self._candidates = left
        return _with_pairs(evolve(extract, rows=rows), sorted(left))

    def without_moved(self, extract: LinkExtract, compared: LinkComparison) -> LinkComparison:
        """The comparison, with the links removed that no row names any more because their ends have other values."""
        if not self._moved:
            return compared
        given = zip(*(extract.rows.column(name).to_pylist() for name in ("value1", "value2", "command")), strict=True)
        said = {(one, two) for one, two, command in given if command != _DELETE}
        gone = compared.changes.unlinked
        removed = set(zip(gone.column("source").to_pylist(), gone.column("target").to_pylist(), strict=True))
        rows = [
            {**link.row, "line": None}
            for link in self._moved
            if tuple(link.after) not in said and (link.row["source"], link.row["target"]) not in removed
        ]
        if not rows:
            return compared
        unlinked = pa.concat_tables([gone, pa.Table.from_pylist(rows, schema=gone.schema)])
        return evolve(compared, changes=evolve(compared.changes, unlinked=unlinked))

    def waiting(self, extract: LinkExtract, compared: LinkComparison) -> Waiting:
        """What becomes of them after the comparison."""
        is_named = pc.is_valid(compared.orphans.column("line"))
        still = set(_pairs(compared.orphans.filter(pc.invert(is_named))))
        ambiguous = set(_pairs(compared.ambiguous))
        linked = self._candidates - still - ambiguous
        orphans = compared.orphans.filter(is_named)
        deleting = (
            extract.rows.filter(pc.equal(extract.rows.column("command"), _DELETE)).column("line").combine_chunks()
        )
        orphans = orphans.filter(pc.invert(pc.is_in(orphans.column("line"), deleting)))
        awaited = {pair for pair in _pairs(orphans) if pair[1] is not None} | (self._left - self._settled)
        awaited |= still & {link.before for link in self._moved}
        known = self._known - self._settled
        return Waiting(
            association=self.association.identifier,
            awaited=frozenset(awaited - known),
            settled=frozenset((self._settled & self._known | linked & self._known) - awaited),
        )

    def _first(self, extract: LinkExtract) -> Iterator[str]:
        yield from extract.rows.column("value1").unique().to_pylist()
        yield from self._arrived(0)

    def _waited_for(self, extract: LinkExtract) -> set[Pair]:
        """The pairs that wait and that may concern these rows; all, where another connector feeds an end."""
        name = self.association.identifier
        if None in self._changes:
            return self._tx.waiting_links(name)
        return self._tx.waiting_links(name, self._first(extract), self._arrived(1))

    def _come(self, end: int) -> set[str]:
        """By what the pairs that wait may name resources of one end that are there now."""
        return {*self._arrived(end), *self._there(end)}

    def _there(self, end: int) -> Iterator[str]:
        """By what the pairs that wait name the resources of an end that another connector feeds: some may have come,
        in a synchronization that knows nothing of these pairs.
        """
        if self._changes[end] is None and self._known:
            ref, named = self._refs[end], sorted({pair[end] for pair in self._known})
            found = self._tx.identities(
                ref.entity_type, None if self._keys[end] else ref.property, pa.array(named, pa.string())
            )
            yield from found.column("value").to_pylist()

    def _arrived(self, end: int) -> Iterator[str]:
        """By what an extract names the resources of one end that were created, or have another value now."""
        changes = self._changes[end]
        if changes is None:
            return
        if self._keys[end]:
            yield from changes.created.column("key").to_pylist()
            return
        for table in (changes.created, changes.updated):
            yield from filter(None, _property(table.column("state").to_pylist(), self._refs[end].property))

    def _forgotten(self) -> set[Pair]:
        """Pairs that wait and of which a resource is deleted: whoever comes back by that key comes without them."""
        if self._rows_are_resources:
            return set()
        gone = [
            _deleted_values(changes, ref, is_key)
            for changes, ref, is_key in zip(self._changes, self._refs, self._keys, strict=True)
        ]
        if not any(gone):
            return set()
        return self._tx.waiting_links(self.association.identifier, *gone)


def of_complete(tx: Reading, association: EntityAssociation, extract: LinkExtract, compared: LinkComparison) -> Waiting:
    """What becomes of the pairs that wait when a complete extract was compared: those wait that it names in vain."""
    before = tx.waiting_links(association.identifier)
    named = {pair for pair in _pairs(compared.orphans) if pair[1] is not None}
    if extract.cleansed.incomplete is not None:
        settled = before & set(_pairs(extract.rows)) - named
    else:
        kept = set(extract.kept.to_pylist())
        settled = {pair for pair in before - named if pair[0] not in kept}
    return Waiting(association=association.identifier, awaited=frozenset(named - before), settled=frozenset(settled))


def _superseded(waiting: set[Pair] | frozenset[Pair], rows: pa.Table, *, single: bool) -> set[Pair]:
    """The pairs that wait no more because of what the rows say: deleted by name, or led elsewhere."""
    emptied: set[str] = set()
    deleted: set[Pair] = set()
    for one, two, command in zip(
        *(rows.column(name).to_pylist() for name in ("value1", "value2", "command")), strict=True
    ):
        if command == _DELETE:
            if two is None:
                emptied.add(one)
            else:
                deleted.add((one, two))
        elif single and not (command == _MERGE and two is None):
            emptied.add(one)
    return {pair for pair in waiting if pair[0] in emptied or pair in deleted}


def _with_pairs(extract: LinkExtract, pairs: list[Pair]) -> LinkExtract:
    if not pairs:
        return extract
    one, two = zip(*pairs, strict=True)
    schema = extract.rows.schema
    given = {"line": [None] * len(pairs), "value1": one, "value2": two, "command": [_INSERT] * len(pairs)}
    more = pa.table({name: pa.array(given[name], schema.field(name).type) for name in schema.names}, schema=schema)
    return evolve(extract, rows=pa.concat_tables([extract.rows, more]))


def _pairs(rows: pa.Table) -> Iterator[Pair]:
    return zip(rows.column("value1").to_pylist(), rows.column("value2").to_pylist(), strict=True)


def _property(states: Iterable[str | None], name: str) -> list[str | None]:
    """The values of a property in JSON objects, as an extract writes them."""
    values = (None if state is None else orjson.loads(state).get(name) for state in states)
    return [_spelled(value) for value in values]


def _fresh_values(updated: pa.Table, name: str) -> dict[str, str | None]:
    """Key -> the value of a property, of the resources where that is another one now."""
    changes = zip(updated.column("key").to_pylist(), updated.column("changes").to_pylist(), strict=True)
    found = ((key, orjson.loads(change).get(name)) for key, change in changes)
    return {key: _spelled(change[1]) for key, change in found if change is not None}


def _spelled(value: Any) -> str | None:
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
    """Whether the pairs are columns of the extract of their first resources: they go when those go, and not before."""
    of_first = configuration.mapping_of(mapping.entity_property_mapping1.entity_type)
    if of_first is None or of_first.connector != mapping.connector:
        return False
    return of_first.connection_table == mapping.connection_table
