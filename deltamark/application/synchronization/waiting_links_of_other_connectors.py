"""Links of other connectors, when this one's resources come and go.

Who feeds a link names it in a row, and that row stands whatever another connector does to the resources at its ends.
So a link that goes with a resource waits for it, and a pair that waits is linked when the resource comes: at once,
whichever connector is synchronized first, and as the next complete extract of the links would have it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import pyarrow as pa

from deltamark.application.ports.comparer import ResourceComparison
from deltamark.application.ports.extracts import Cleansed, LinkExtract
from deltamark.application.ports.records import Pair
from deltamark.application.ports.writing import Writing
from deltamark.application.synchronization.waiting_links import Delta, Moved
from deltamark.domain.configuration.configuration import Configuration
from deltamark.domain.configuration.entity_model import EntityAssociationMapping
from deltamark.domain.runs.run import ExtractRead

NO_ROWS = LinkExtract(
    rows=pa.table(
        {
            "line": pa.array([], pa.int64()),
            **{name: pa.array([], pa.string()) for name in ("value1", "value2", "command")},
        }
    ),
    kept=pa.array([], pa.string()),
    cleansed=Cleansed(read=ExtractRead(subject="", file="", rows=0, digest="")),
)
"""No extract speaks of them."""


def links_of_others(
    configuration: Configuration, tx: Writing, connector: str, compared: Mapping[str, ResourceComparison]
) -> Iterator[OfOthers]:
    """Of each association that another connector feeds, and at whose ends resources are about to come or go."""
    for mapping in configuration.association_mappings:
        if mapping.connector != connector and any(
            name in compared and compared[name].changes.total for name in _types(mapping)
        ):
            yield OfOthers(configuration, tx, mapping, compared)


class OfOthers(Delta):
    """The pairs of one association that another connector feeds. Made before the resources are changed."""

    @property
    def is_concerned(self) -> bool:
        """Whether links go with resources, or pairs that wait may be linked; known after `rows`."""
        return bool(self._left or self._candidates)

    def _left_behind(self) -> frozenset[Pair]:
        return frozenset(pair for end in (0, 1) for pair in self._linked_to_deleted(end))

    def _forgotten(self) -> set[Pair]:
        return set()

    def _led_by_another_value(self) -> list[Moved]:
        return []

    def _waited_for(self, extract: LinkExtract) -> set[Pair]:
        return self._tx.waiting_links(self.association.identifier, self._arrived(0), self._arrived(1))

    def _come(self, end: int) -> set[str]:
        return set(self._arrived(end))


def _types(mapping: EntityAssociationMapping) -> tuple[str, str]:
    return mapping.entity_property_mapping1.entity_type, mapping.entity_property_mapping2.entity_type
