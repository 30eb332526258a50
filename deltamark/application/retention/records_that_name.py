"""The records of runs that name a resource: rows that were set aside, and links that wait for it.

An erasure empties them. What others of the same records still wait for is recorded anew.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pyarrow as pa
from attrs import Factory, frozen

from deltamark.application.ports.queries import Reading
from deltamark.application.ports.records import Pair
from deltamark.domain.configuration.configuration import Configuration
from deltamark.domain.configuration.entity_model import PropertyRef
from deltamark.domain.history.changes import Position
from deltamark.domain.resources.resource import ResourceRef
from deltamark.domain.runs.run import PairsAwaited, RowsSetAside, SetAside


@frozen(kw_only=True)
class NamingRecords:
    """The records that name a resource, and what follows when they are emptied.

    :param positions: of these records.
    :param gone: by association, the links that wait and name the resource: they wait no more.
    :param awaited: by association, the other links of these records that still wait.
    :param settled: by association, those that would seem to wait again.
    """

    positions: tuple[Position, ...] = ()
    gone: Mapping[str, set[Pair]] = Factory(dict)
    awaited: Mapping[str, set[Pair]] = Factory(dict)
    settled: Mapping[str, set[Pair]] = Factory(dict)


def naming_records(reading: Reading, configuration: Configuration, ref: ResourceRef) -> NamingRecords:
    """The records that name a resource, by its key or by a value by which rows name resources of its type."""
    names = _Names(reading, configuration, ref)
    positions: list[Position] = []
    all_waiting: dict[str, set[Pair]] = {}
    remaining: dict[str, set[Pair]] = {}
    for position, record in reading.records_of_rows():
        if isinstance(record, RowsSetAside):
            if any(map(names.of_row, record.rows)):
                positions.append(position)
            continue
        is_named = any(names.of_pair(record.association, pair) for pair in (*record.awaited, *record.settled))
        _apply(all_waiting, record)
        if is_named:
            positions.append(position)
        else:
            _apply(remaining, record)
    gone, awaited, settled = {}, {}, {}
    for association, pairs in all_waiting.items():
        gone[association] = {pair for pair in pairs if names.of_pair(association, pair)}
        kept = pairs - gone[association]
        awaited[association] = kept - remaining.get(association, set())
        settled[association] = remaining.get(association, set()) - kept
    return NamingRecords(positions=tuple(positions), gone=gone, awaited=awaited, settled=settled)


def _apply(waiting: dict[str, set[Pair]], record: PairsAwaited) -> None:
    pairs = waiting.setdefault(record.association, set())
    pairs.difference_update(record.settled)
    pairs.update(record.awaited)


class _Names:
    """The values by which rows of extracts name a resource."""

    def __init__(self, reading: Reading, configuration: Configuration, ref: ResourceRef) -> None:
        self._key = ref.key
        self._entity_type = ref.entity_type
        mappings = configuration.association_mappings
        ends = {
            mapping.association: (mapping.entity_property_mapping1, mapping.entity_property_mapping2)
            for mapping in mappings
        }
        named_by = {end.property for pair in ends.values() for end in pair if end.entity_type == ref.entity_type}
        values = _values(reading, ref, named_by)
        self._sides = {
            association: tuple(self._texts(end, ref, values) for end in pair) for association, pair in ends.items()
        }
        self._all = {ref.key}.union(*values.values())
        of_type = [m.connection_table for m in configuration.entity_type_mappings if m.identifier == ref.entity_type]
        linking = [
            m.connection_table
            for m in mappings
            if ref.entity_type in (m.entity_property_mapping1.entity_type, m.entity_property_mapping2.entity_type)
        ]
        self._tables = {*of_type, *linking}

    def _texts(self, end: PropertyRef, ref: ResourceRef, values: Mapping[str, set[str]]) -> set[str]:
        return {ref.key, *values[end.property]} if end.entity_type == ref.entity_type else set()

    def of_pair(self, association: str, pair: Pair) -> bool:
        """Whether a link that waits names the resource; of an association that left the configuration, by its key."""
        sides = self._sides.get(association)
        if sides is None:
            return self._key in pair
        return any(value in side for value, side in zip(pair, sides, strict=True))

    def of_row(self, row: SetAside) -> bool:
        """Whether a row that was set aside names the resource; also a value that an adoption could not convert."""
        if row.line is None and row.file == self._entity_type:
            return row.key == self._key
        if self._tables and row.file.split(".")[0] not in {table.split(".")[0] for table in self._tables}:
            return False
        return row.key in self._all or row.value in self._all


def _values(reading: Reading, ref: ResourceRef, properties: set[str]) -> dict[str, set[str]]:
    """All values that some properties of a resource ever had, as far as the log and the state hold them."""
    values: dict[str, set[str]] = {name: set() for name in properties}
    resource, stream = reading.resource(ref), reading.stream_of(ref)
    if not properties or resource is None or stream is None:
        return values
    found: list[tuple[str, Any]] = list(resource.values.items())
    for _, change in reading.changes_of(pa.array([stream], pa.int64()), 0):
        for name, difference in change.changes.items():
            found += [(name, difference.before), (name, difference.after)]
    for name, value in found:
        if name in values and value is not None:
            values[name].add(str(value))
    return values
