"""Compares the links of complete extracts before the transaction, where what it changes of resources cannot matter.

Links name resources by values. Where these are keys, what a synchronization creates and deletes is known before it is
written: links are compared with the resources as they will be, and created ones have provisional streams until then.
Where links name resources by another property, and one of them is created, deleted or gets another value, they are
compared when the resources have been changed.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import orjson
import pyarrow as pa
import pyarrow.compute as pc
from attrs import evolve, field, frozen

from deltamark.application.ports.comparer import LinkComparison, LinkSides, ResourceComparison
from deltamark.application.ports.extracts import LinkExtract
from deltamark.application.ports.queries import Reading
from deltamark.application.ports.records import ResourceChanges
from deltamark.application.services import Services
from deltamark.application.synchronization.prepare import PreparedExtracts
from deltamark.domain.configuration.configuration import Configuration
from deltamark.domain.configuration.entity_model import EntityAssociationMapping, PropertyRef


@frozen
class Identities:
    """The resources of entity types by the values that links name them by, each read once from a view."""

    configuration: Configuration
    view: Reading
    _tables: dict[PropertyRef, pa.Table] = field(factory=dict, eq=False)

    def all(self, ref: PropertyRef) -> pa.Table:
        """All resources that have a value."""
        if ref not in self._tables:
            self._tables[ref] = self.among(ref, None)
        return self._tables[ref]

    def among(self, ref: PropertyRef, values: pa.Array | None) -> pa.Table:
        """Those with one of these values, or all."""
        return self.view.identities(ref.entity_type, self._key_or_property(ref), values)

    def _key_or_property(self, ref: PropertyRef) -> str | None:
        """None where the property is the key of its type: keys are found without reading states."""
        return None if is_key(self.configuration, ref) else ref.property


@frozen(kw_only=True)
class ComparedLinks:
    """The links of an association, compared with what a view held.

    :param sides: what they were compared with; None where that does not matter any more, as no link is removed.
    :param created: for both ends, the keys of the resources that the synchronization creates there: the streams that
        these have in the comparison are provisional.
    """

    comparison: LinkComparison
    sides: LinkSides | None
    created: tuple[pa.Array, pa.Array]

    def written(self, identities: Identities, mapping: EntityAssociationMapping) -> ComparedLinks:
        """The same with the streams of the created resources, now that these are written."""
        if not any(map(len, self.created)):
            return self
        first, second = map(identities.among, refs_of(mapping), self.created)
        changes = self.comparison.changes
        linked = _with_streams(_with_streams(changes.linked, "source", first), "target", second)
        # As a comparison orders them: the rows of one line by the streams of their ends.
        linked = linked.sort_by([(name, "ascending") for name in ("line", *linked.column_names)])
        sides = self.sides and LinkSides(
            first=_with_streams(self.sides.first, "stream", first),
            second=_with_streams(self.sides.second, "stream", second),
            links=self.sides.links,
        )
        comparison = evolve(self.comparison, changes=evolve(changes, linked=linked))
        return ComparedLinks(comparison=comparison, sides=sides, created=(_NO_KEYS, _NO_KEYS))


_NO_KEYS = pa.array([], pa.string())


def compared_before(
    services: Services, view: Reading, extracts: PreparedExtracts, compared: Mapping[str, ResourceComparison]
) -> dict[str, ComparedLinks]:
    """Association -> its links, for those that can be compared before the resources are changed."""
    identities = Identities(services.configuration, view)
    found = {}
    for mapping, extract in extracts.links:
        if extracts.is_complete and extract.halves is None and not _moves(services.configuration, mapping, compared):
            changes = [_changes_of(ref, compared) for ref in refs_of(mapping)]
            sides = _as_changed(sides_of(identities, mapping), changes)
            comparison = compare(services, mapping, extract, sides, complete=True)
            is_needed = comparison.changes.unlinked.num_rows > 0
            first, second = (_keys(None if some is None else some.created) for some in changes)
            found[mapping.association] = ComparedLinks(
                comparison=comparison, sides=sides if is_needed else None, created=(first, second)
            )
    return found


def _changes_of(ref: PropertyRef, compared: Mapping[str, ResourceComparison]) -> ResourceChanges | None:
    comparison = compared.get(ref.entity_type)
    return None if comparison is None else comparison.changes


def _keys(rows: pa.Table | None) -> pa.Array:
    return _NO_KEYS if rows is None else rows.column("key").combine_chunks()


def _as_changed(sides: LinkSides, changes: Sequence[ResourceChanges | None]) -> LinkSides:
    """The sides as they are once resources are created and deleted, which links name by their keys.

    A created resource has a provisional stream, which no other of its entity type has.
    """
    changed = {}
    links = sides.links
    for name, end, some in zip(("first", "second"), ("source_key", "target_key"), changes, strict=True):
        side = getattr(sides, name)
        if some is not None:
            gone, created = _keys(some.deleted), _keys(some.created)
            if len(gone):
                side = side.filter(pc.invert(pc.is_in(side.column("key"), value_set=gone)))
                links = links.filter(pc.invert(pc.is_in(links.column(end), value_set=gone)))
            if len(created):
                streams = pa.array(range(-1, -1 - len(created), -1), pa.int64())
                added = pa.Table.from_arrays([created, streams, created], schema=side.schema)
                side = pa.concat_tables([side, added])
        changed[name] = side
    return LinkSides(**changed, links=links)


def _with_streams(rows: pa.Table, name: str, written: pa.Table) -> pa.Table:
    """Rows whose provisional streams in a column are replaced by those of the resources, which keys name."""
    key = {"source": "source_key", "target": "target_key", "stream": "key"}[name]
    place = pc.index_in(rows.column(key), value_set=written.column("key").combine_chunks())
    streams = pc.coalesce(written.column("stream").combine_chunks().take(place.combine_chunks()), rows.column(name))
    return rows.set_column(rows.column_names.index(name), rows.schema.field(name), streams)


def sides_of(identities: Identities, mapping: EntityAssociationMapping) -> LinkSides:
    """The resources at both ends, and the links between them."""
    first, second = (identities.all(ref) for ref in refs_of(mapping))
    return LinkSides(first=first, second=second, links=identities.view.live_links(mapping.association))


def compare(
    services: Services, mapping: EntityAssociationMapping, extract: LinkExtract, sides: LinkSides, *, complete: bool
) -> LinkComparison:
    """Compares all pairs with all links of an association."""
    association = services.configuration.association(mapping.association)
    assert association is not None, "a checked configuration maps existing associations"
    return services.comparer.links(extract, sides, association, complete=complete)


def refs_of(mapping: EntityAssociationMapping) -> tuple[PropertyRef, PropertyRef]:
    """The properties by which links name the resources at their ends."""
    return mapping.entity_property_mapping1, mapping.entity_property_mapping2


def is_key(configuration: Configuration, ref: PropertyRef) -> bool:
    """Whether a property is the key of its type."""
    mapping = configuration.mapping_of(ref.entity_type)
    return mapping is not None and mapping.primary_key.identifier == ref.property


def _moves(
    configuration: Configuration, mapping: EntityAssociationMapping, compared: Mapping[str, ResourceComparison]
) -> bool:
    """Whether it is not known which resources the links name once the resources are changed."""
    for ref in refs_of(mapping):
        comparison = compared.get(ref.entity_type)
        if comparison is None:
            continue
        changes = comparison.changes
        if is_key(configuration, ref):
            continue
        if changes.created.num_rows or changes.deleted.num_rows:
            return True
        if any(ref.property in changed for changed in _changed(changes.updated)):
            return True
    return False


def _changed(updated: pa.Table) -> Iterator[Mapping[str, object]]:
    return map(orjson.loads, updated.column("changes").to_pylist())
