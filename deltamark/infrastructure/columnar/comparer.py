"""The comparer on DuckDB."""

from __future__ import annotations

import pyarrow as pa

from deltamark.application.ports.columnar import LinkComparison, LinkSides, ResourceComparison
from deltamark.application.ports.extracts import LinkExtract, ResourceExtract
from deltamark.domain.model import EntityAssociation, EntityType
from deltamark.infrastructure.columnar.comparing import compare_commands, compare_complete
from deltamark.infrastructure.columnar.linking import compare_links


class DuckComparer:
    """Compares Arrow tables with DuckDB, in memory; larger ones spill to a temporary folder."""

    def resources(self, extract: ResourceExtract, held: pa.Table, entity_type: EntityType) -> ResourceComparison:
        """See `Comparer.resources`."""
        return compare_complete(extract, held, entity_type)

    def commands(self, extract: ResourceExtract, held: pa.Table, entity_type: EntityType) -> ResourceComparison:
        """See `Comparer.commands`."""
        return compare_commands(extract, held, entity_type)

    def links(
        self, extract: LinkExtract, sides: LinkSides, association: EntityAssociation, *, complete: bool
    ) -> LinkComparison:
        """See `Comparer.links`."""
        return compare_links(extract, sides, association, complete=complete)
