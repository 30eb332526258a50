"""Compares the links of complete extracts before the transaction, where what it changes of resources cannot matter.

Links name resources by values. Where no resource at an end is created, deleted or gets another such value, the links
can be compared while nobody waits; all others are compared when the resources have been changed.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import orjson
import pyarrow as pa
from attrs import field, frozen

from deltamark.application.ports.comparer import LinkComparison, LinkSides, ResourceComparison
from deltamark.application.ports.extracts import LinkExtract
from deltamark.application.ports.queries import Reading
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
    """

    comparison: LinkComparison
    sides: LinkSides | None


def compared_before(
    services: Services, view: Reading, extracts: PreparedExtracts, compared: Mapping[str, ResourceComparison]
) -> dict[str, ComparedLinks]:
    """Association -> its links, for those that can be compared before the resources are changed."""
    identities = Identities(services.configuration, view)
    found = {}
    for mapping, extract in extracts.links:
        if extracts.is_complete and extract.halves is None and not _moves(services.configuration, mapping, compared):
            sides = sides_of(identities, mapping)
            comparison = compare(services, mapping, extract, sides, complete=True)
            is_needed = comparison.changes.unlinked.num_rows > 0
            found[mapping.association] = ComparedLinks(comparison=comparison, sides=sides if is_needed else None)
    return found


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
    """Whether the links may name other resources once the resources are changed."""
    for ref in refs_of(mapping):
        comparison = compared.get(ref.entity_type)
        if comparison is None:
            continue
        changes = comparison.changes
        if changes.created.num_rows or changes.deleted.num_rows:
            return True
        if not is_key(configuration, ref) and any(ref.property in changed for changed in _changed(changes.updated)):
            return True
    return False


def _changed(updated: pa.Table) -> Iterator[Mapping[str, object]]:
    return map(orjson.loads, updated.column("changes").to_pylist())
