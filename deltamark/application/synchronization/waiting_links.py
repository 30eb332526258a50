"""Waiting links: links to missing resources, added when the resource is created.

A complete extract names every link each time; an extract with a command column names it once. So a row that names a
missing resource is remembered, and so is one whose link was removed with its resource: after any sequence of deltas the
links are those that a complete extract would have given.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from types import MappingProxyType
from typing import Any

import orjson
import pyarrow as pa
import pyarrow.compute as pc
from attrs import evolve, frozen

from deltamark.application.ports.commands import Writing
from deltamark.application.ports.comparer import (
    EarlierPairs,
    LinkCommandsComparison,
    LinkComparison,
    ResourceComparison,
)
from deltamark.application.ports.extracts import LinkExtract, ResourceExtract
from deltamark.application.ports.queries import Reading
from deltamark.application.ports.records import Pair, ResourceChanges
from deltamark.application.runs.run_log import RunLog
from deltamark.application.synchronization.link_comparisons import is_key
from deltamark.domain.configuration.configuration import Configuration
from deltamark.domain.configuration.entity_model import EntityAssociation, EntityAssociationMapping, PropertyRef
from deltamark.domain.resources.events import Origin
from deltamark.domain.synchronization.link_rows import end_of_rows

_LINKS = pa.schema(
    [("source", pa.int64()), ("target", pa.int64()), ("source_key", pa.string()), ("target_key", pa.string())]
)


_DELETIONS = pa.schema([("value", pa.string()), ("line", pa.int64())])


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
    :param pair: the pair that rows named it by.
    """

    row: dict[str, Any]
    pair: Pair


def write_waiting_links(tx: Writing, changes: WaitingChanges, origin: Origin) -> None:
    """Writes changes of waiting links to the record of the run and to the store."""
    if not changes.awaited and not changes.settled:
        return
    RunLog(tx, origin.run).links_wait(origin.task, changes.association, changes.awaited, changes.settled)
    tx.put_waiting_links(changes.association, changes.awaited, changes.settled)


class DeltaLinks:
    """The pairs of one association in extracts with commands, and what holds before their first row.

    Must be made before the resources are changed: afterwards the links of deleted resources are gone.

    :param extracts: the extracts of entity types whose rows are in the same table: their order counts.
    """

    def __init__(
        self,
        configuration: Configuration,
        tx: Writing,
        mapping: EntityAssociationMapping,
        compared: Mapping[str, ResourceComparison],
        extracts: Mapping[str, ResourceExtract] = MappingProxyType({}),
    ) -> None:
        association = configuration.association(mapping.association)
        assert association is not None
        self.association = association
        self.mapping = mapping
        self._tx = tx
        self._refs = (mapping.entity_property_mapping1, mapping.entity_property_mapping2)
        self._keys = tuple(is_key(configuration, ref) for ref in self._refs)
        self._compared = tuple(compared.get(ref.entity_type) for ref in self._refs)
        self._rows_of = end_of_rows(configuration, mapping)
        self._deleted = (self._deletions(0, extracts), self._deletions(1, extracts))
        self._losing_an_end = self._links_losing_an_end()
        renamed, ended = self._renamed_links(), self._links_of_created_again()
        self._renamed = [link for link in renamed if _ends(link.row) not in {_ends(row) for row in ended}]
        self._ended = pa.Table.from_pylist([*(link.row for link in renamed), *ended], schema=_LINKS)
        self._known: set[Pair] = set()
        self._standing: set[Pair] = set()

    def _changes(self, end: int) -> ResourceChanges | None:
        comparison = self._compared[end]
        return None if comparison is None else comparison.changes

    def _deletions(self, end: int, extracts: Mapping[str, ResourceExtract]) -> pa.Table:
        """The values of one end whose resource a row of the same table of pairs deletes, and the last such line."""
        ref, comparison = self._refs[end], self._compared[end]
        extract = extracts.get(ref.entity_type)
        if extract is None or comparison is None or self._rows_of is not None:
            return _DELETIONS.empty_table()
        ended = comparison.ended
        if self._keys[end]:
            return ended.select(["key", "line"]).rename_columns(_DELETIONS.names).cast(_DELETIONS)
        lines = dict(zip(ended.column("key").to_pylist(), ended.column("line").to_pylist(), strict=True))
        named = extract.rows.filter(pc.is_in(extract.rows.column("key"), ended.column("key").combine_chunks()))
        values: dict[str, int] = {}
        for rows in (ended, named):
            keys, states = rows.column("key").to_pylist(), rows.column("state").to_pylist()
            for key, line, value in zip(
                keys, rows.column("line").to_pylist(), _property(states, ref.property), strict=True
            ):
                if value is not None and line <= lines[key]:
                    values[value] = max(lines[key], values.get(value, 0))
        return pa.table({"value": list(values), "line": list(values.values())}, schema=_DELETIONS)

    def _links_losing_an_end(self) -> frozenset[Pair]:
        """The pairs that are linked now and whose row remains when a resource at an end is deleted."""
        if self._rows_of is None:
            return frozenset()
        return frozenset(self._linked_to_deleted(1 - self._rows_of, unless_ended=True))

    def _linked_to_deleted(self, end: int, *, unless_ended: bool = False) -> Iterator[Pair]:
        """The pairs that are linked now and lose the resource at one end.

        :param unless_ended: leaves out pairs of resources at the other end that rows delete.
        """
        deleted = self._deleted_keys(end)
        if not len(deleted):
            return
        links = self._links_at(end, deleted)
        if unless_ended:
            ended = pa.concat_arrays([self._deleted_keys(1 - end), _created_again(self._compared[1 - end])])
            links = _without(links, 1 - end, ended)
        for first, second in zip(self._values(links, 0, "source"), self._values(links, 1, "target"), strict=True):
            if first is not None and second is not None:
                yield first, second

    def _deleted_keys(self, end: int) -> pa.Array:
        changes = self._changes(end)
        return pa.array([], pa.string()) if changes is None else changes.deleted.column("key").combine_chunks()

    def _links_at(self, end: int, keys: pa.Array) -> pa.Table:
        streams = self._tx.identities(self._refs[end].entity_type, None, keys).column("stream").combine_chunks()
        return self._tx.live_links(self.association.identifier, *((streams, None) if end == 0 else (None, streams)))

    def _renamed_links(self) -> list[RenamedLink]:
        """The links of which an end takes another value than the one that their row names it by."""
        renamed: dict[tuple[int, int], RenamedLink] = {}
        for end, ref in enumerate(self._refs):
            changes = self._changes(end)
            if self._keys[end] or changes is None:
                continue
            renamed_keys = _keys_with_new_values(changes.updated, ref.property)
            if not renamed_keys:
                continue
            links = self._links_at(end, pa.array(renamed_keys, pa.string()))
            values = (self._values(links, 0, "source"), self._values(links, 1, "target"))
            for row, first, second in zip(links.to_pylist(), *values, strict=True):
                if first is not None and second is not None:
                    renamed[_ends(row)] = RenamedLink(row=row, pair=(first, second))
        deleted = [set(self._deleted_keys(end).to_pylist()) for end in (0, 1)]
        return [
            link
            for link in renamed.values()
            if link.row["source_key"] not in deleted[0] and link.row["target_key"] not in deleted[1]
        ]

    def _links_of_created_again(self) -> list[dict[str, Any]]:
        """The links of resources that rows delete and create again, of those pairs that ended with them."""
        rows: list[dict[str, Any]] = []
        for end in self._ends_that_rows_belong_to():
            again = _created_again(self._compared[end])
            if len(again):
                rows += _without(self._links_at(end, again), 1 - end, self._deleted_keys(1 - end)).to_pylist()
        return rows

    def _ends_that_rows_belong_to(self) -> tuple[int, ...]:
        """The ends whose deletion ends the pairs: a row of a resource ends with it, a row of pairs with both ends."""
        return (0, 1) if self._rows_of is None else (self._rows_of,)

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
        """The rows of the extract without those that were set aside when their resources were compared."""
        comparison = None if self._rows_of is None else self._compared[self._rows_of]
        if comparison is None:
            return extract
        lines = pa.concat_arrays(
            [table.column("line").combine_chunks() for table in (comparison.unknown, comparison.doubtful)]
        )
        if not len(lines):
            return extract
        return evolve(extract, rows=extract.rows.filter(pc.invert(pc.is_in(extract.rows.column("line"), lines))))

    def earlier_pairs(self, extract: LinkExtract) -> EarlierPairs:
        """What holds before the first row of the extract. Must be called after the resources were changed."""
        dropped = self._waiting_for_deleted()
        self._known = self._relevant_waiting(extract) | dropped
        self._standing = (self._known - dropped) | self._losing_an_end | {link.pair for link in self._renamed}
        first, second = zip(*sorted(self._standing), strict=True) if self._standing else ((), ())
        return EarlierPairs(
            standing=pa.table({"value1": pa.array(first, pa.string()), "value2": pa.array(second, pa.string())}),
            ended=self._ended,
            deleted=self._deleted,
            rows_of=self._rows_of,
        )

    def waiting(self, compared: LinkCommandsComparison) -> WaitingChanges:
        """The changes of the waiting links that follow from the comparison."""
        waiting = set(_pairs(compared.waiting))
        return WaitingChanges(
            association=self.association.identifier,
            awaited=frozenset(waiting - self._known),
            settled=frozenset(self._known - waiting),
        )

    def _relevant_waiting(self, extract: LinkExtract) -> set[Pair]:
        """The waiting links that may concern these rows.

        All, where another connector feeds an end: it may have created resources without knowing these links.
        """
        name = self.association.identifier
        if None in self._compared:
            return self._tx.waiting_links(name)
        values = [set(self._added_values(end)) for end in (0, 1)]
        values[0].update(filter(None, extract.rows.column("value1").unique().to_pylist()))
        if not self.association.is_property2_collection or self._rows_of == 1:
            values[1].update(filter(None, extract.rows.column("value2").unique().to_pylist()))
        return self._tx.waiting_links(name, *values)

    def _added_values(self, end: int) -> Iterator[str]:
        """The values by which an extract names resources of one end that were created or renamed."""
        changes = self._changes(end)
        if changes is None:
            return
        if self._keys[end]:
            yield from changes.created.column("key").to_pylist()
            return
        for table in (changes.created, changes.updated):
            yield from filter(None, _property(table.column("state").to_pylist(), self._refs[end].property))

    def _waiting_for_deleted(self) -> set[Pair]:
        """The waiting links that name a deleted resource whose deletion ends them.

        One created later with that key starts without them.
        """
        values: list[set[str]] = [set(), set()]
        for end in self._ends_that_rows_belong_to():
            comparison = self._compared[end]
            if comparison is not None:
                values[end] = _ended_values(comparison, self._refs[end], self._keys[end])
        return self._tx.waiting_links(self.association.identifier, *values) if any(values) else set()


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


def _pairs(rows: pa.Table) -> Iterator[Pair]:
    return zip(rows.column("value1").to_pylist(), rows.column("value2").to_pylist(), strict=True)


def _property(states: Iterable[str | None], name: str) -> list[str | None]:
    """The values of a property in JSON objects, as an extract writes them."""
    values = (None if state is None else orjson.loads(state).get(name) for state in states)
    return [_as_text(value) for value in values]


def _keys_with_new_values(updated: pa.Table, name: str) -> list[str]:
    """The keys of the resources where the property changed."""
    rows = zip(updated.column("key").to_pylist(), updated.column("changes").to_pylist(), strict=True)
    return [key for key, text in rows if name in orjson.loads(text)]


def _ends(row: dict[str, Any]) -> tuple[int, int]:
    return row["source"], row["target"]


def _without(links: pa.Table, end: int, keys: pa.Array) -> pa.Table:
    """The links of which one end has none of these keys."""
    if not len(keys):
        return links
    return links.filter(pc.invert(pc.is_in(links.column(("source_key", "target_key")[end]), keys)))


def _created_again(comparison: ResourceComparison | None) -> pa.Array:
    """The keys of the resources that rows delete and later rows create again."""
    if comparison is None or not comparison.ended.num_rows:
        return pa.array([], pa.string())
    existed = comparison.ended.filter(pc.is_valid(comparison.ended.column("state"))).column("key").combine_chunks()
    deleted = comparison.changes.deleted.column("key").combine_chunks()
    return existed.filter(pc.invert(pc.is_in(existed, deleted)))


def _as_text(value: Any) -> str | None:
    """A value as an extract writes it."""
    return value if value is None or isinstance(value, str) else orjson.dumps(value).decode()


def _ended_values(comparison: ResourceComparison, ref: PropertyRef, is_key: bool) -> set[str]:
    """The values by which rows named resources that are deleted, also those that are created again."""
    if is_key:
        return {
            *comparison.changes.deleted.column("key").to_pylist(),
            *comparison.ended.column("key").to_pylist(),
        }
    states = [*comparison.changes.deleted.column("state").to_pylist(), *comparison.ended.column("state").to_pylist()]
    return set(filter(None, _property(states, ref.property)))
