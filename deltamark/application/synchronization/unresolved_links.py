"""Rows of links that name no resource, or several: which of them are reported, and what is said."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from types import MappingProxyType

import pyarrow as pa
import pyarrow.compute as pc
from attrs import frozen

from deltamark.application.ports.queries import Reading
from deltamark.application.synchronization.look_alikes import uncommon
from deltamark.application.synchronization.near_names import MOST_COMPARED, near_names
from deltamark.domain.configuration.configuration import Configuration
from deltamark.domain.configuration.entity_model import EntityAssociationMapping, PropertyRef
from deltamark.domain.runs.run import SetAside

Identities = Callable[[PropertyRef, pa.Array | None], pa.Table]
"""The resources with one of these values of a property, or all."""


@frozen(kw_only=True)
class UnresolvedLinks:
    """The pairs of one association of which an end is not found.

    Several associations may read one column: the members of a group are people and groups. A value names a resource of
    one of them, so it need not name one of the others.
    """

    configuration: Configuration
    view: Reading
    mapping: EntityAssociationMapping
    identities: Identities

    def orphans(self, pairs: pa.Table) -> pa.Table:
        """The pairs of which no association finds the missing end.

        :param pairs: ``line``, ``value1``, ``value2``, and ``missing``, the end (1 or 2) that is not found.
        """
        for end in (1, 2):
            others = self._found_by(end)[1:]
            if not others:
                continue
            is_missing = pc.equal(pairs.column("missing"), end)
            column = pairs.column(f"value{end}")
            values = column.filter(is_missing).combine_chunks().unique().drop_null()
            if not len(values):
                continue
            found = pa.concat_arrays([self.identities(ref, values).column("value").combine_chunks() for ref in others])
            pairs = pairs.filter(pc.invert(pc.and_(is_missing, pc.is_in(column, value_set=found))))
        return pairs

    def set_aside(self, file: str, orphans: pa.Table) -> Iterator[SetAside]:
        """What a run reports of orphans: what was searched, and what they nearly name."""
        reasons = {
            end: " and ".join(f"no {ref.entity_type} has this {ref.property}" for ref in self._found_by(end))
            for end in (1, 2)
        }
        return self._reported(file, orphans, reasons, {end: self._remarks(end, orphans) for end in (1, 2)})

    def deletions_of_look_alikes(self, file: str, rows: pa.Table) -> Iterator[SetAside]:
        """What a run reports of rows that delete a link of nobody, but of a value that looks like that of a resource.

        :param rows: those of an extract with a command column.
        """
        deleting = rows.filter(pc.equal(rows.column("command"), "delete"))
        for end, (_, ref) in enumerate(_ends(self.mapping), 1):
            values = deleting.column(f"value{end}").combine_chunks()
            odd = uncommon(values.drop_null())
            if not odd:
                continue
            known = self.identities(ref, pa.array(sorted({*odd, *odd.values()}), pa.string())).column("value")
            there = set(known.to_pylist())
            missing = [value for value, form in odd.items() if value not in there and form in there]
            pairs = deleting.filter(pc.is_in(values, value_set=pa.array(missing, pa.string())))
            pairs = pairs.append_column("missing", pa.array([end] * pairs.num_rows, pa.int64()))
            yield from self.set_aside(file, self.orphans(pairs))

    def ambiguous(self, file: str, pairs: pa.Table) -> Iterator[SetAside]:
        """What a run reports of pairs with a value that several resources have."""
        reasons = {
            end: f"more than one {ref.entity_type} has this {ref.property}"
            for end, (_, ref) in enumerate(_ends(self.mapping), 1)
        }
        return self._reported(file, pairs, reasons)

    def _found_by(self, end: int) -> tuple[PropertyRef, ...]:
        """The properties by which the values of a column find resources, that of this association first."""
        column, own = _ends(self.mapping)[end - 1]
        table = (self.mapping.connector, self.mapping.connection_table)
        others = (
            ref
            for links in self.configuration.association_mappings
            if (links.connector, links.connection_table) == table
            for name, ref in _ends(links)
            if name == column
        )
        return tuple(dict.fromkeys((own, *others)))

    def _remarks(self, end: int, orphans: pa.Table) -> Mapping[str, str]:
        """What the values of an end that name no resource nearly name: value -> the end of a sentence."""
        values = orphans.filter(pc.equal(orphans.column("missing"), end)).column(f"value{end}").combine_chunks()
        remarks: dict[str, str] = {}
        for ref in self._found_by(end) if len(values) else ():
            if self.view.live_resource_count(ref.entity_type, MOST_COMPARED + 1) <= MOST_COMPARED:
                known = self.identities(ref, None).column("value").combine_chunks()
                remarks = {**near_names(values, known, f"Separator{end}"), **remarks}
        return remarks

    def _reported(
        self,
        file: str,
        pairs: pa.Table,
        reasons: Mapping[int, str],
        remarks: Mapping[int, Mapping[str, str]] = MappingProxyType({}),
    ) -> Iterator[SetAside]:
        for line, value1, value2, missing in _rows(pairs):
            column, _ = _ends(self.mapping)[missing - 1]
            value = value1 if missing == 1 else value2
            reason = reasons[missing] + remarks.get(missing, {}).get(value, "")
            yield SetAside(file=file, line=line, column=column, value=value, key=value1, reason=reason)


def _ends(mapping: EntityAssociationMapping) -> tuple[tuple[str, PropertyRef], tuple[str, PropertyRef]]:
    """The columns of an association, and by what their values find resources."""
    return (mapping.column1, mapping.entity_property_mapping1), (mapping.column2, mapping.entity_property_mapping2)


def _rows(pairs: pa.Table) -> Iterable[tuple[int, str, str, int]]:
    return zip(*(pairs.column(name).to_pylist() for name in ("line", "value1", "value2", "missing")), strict=True)
