"""Withholding links: a row that is set aside for its resource says nothing about the resource's links either."""

from __future__ import annotations

from collections.abc import Iterable

import pyarrow as pa
import pyarrow.compute as pc
from attrs import evolve

from deltamark.application.ports.extracts import LinkExtract, ResourceExtract
from deltamark.domain.configuration.entity_model import EntityAssociationMapping, EntityTypeMapping, PropertyRef


def without_rows_set_aside(
    mapping: EntityAssociationMapping,
    links: LinkExtract,
    resources: Iterable[tuple[EntityTypeMapping, ResourceExtract]],
) -> LinkExtract:
    """The pairs of an association without those of rows that were set aside for their resource.

    Looks at the resources that are read from the same extract. What those rows would have linked stays linked, or
    not, as it is.
    """
    for of_resource, extract in resources:
        if of_resource.connection_table == mapping.connection_table:
            links = _without(mapping, links, of_resource, extract)
    return links


def _without(
    mapping: EntityAssociationMapping, links: LinkExtract, of_resource: EntityTypeMapping, extract: ResourceExtract
) -> LinkExtract:
    kept = set(extract.kept.to_pylist())
    lines = [row.line for row in extract.cleansed.set_aside if row.key is None or row.key in kept]
    if not lines and not kept:
        return links
    is_withheld = pc.is_in(links.rows.column("line"), value_set=pa.array(lines, pa.int64()))
    withheld = links.rows.filter(is_withheld).column("value1").combine_chunks()
    keys = [links.kept, withheld.cast(pa.string())]
    if mapping.entity_property_mapping1 == PropertyRef(of_resource.entity_type, of_resource.primary_key.identifier):
        keys.append(extract.kept)
    return evolve(links, rows=links.rows.filter(pc.invert(is_withheld)), kept=pa.concat_arrays(keys).unique())
