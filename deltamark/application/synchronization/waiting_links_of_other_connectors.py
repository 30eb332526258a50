"""Links that other connectors feed, when this one's resources are created or deleted.

A row of another connector still names its link when this connector deletes a resource at an end. So a link that is
removed with its resource waits for it, and is added again when the resource is created: at once, whichever connector is
synchronized first, and with the result of the next complete extract of the links.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import pyarrow as pa

from deltamark.application.ports.commands import Writing
from deltamark.application.ports.comparer import ResourceComparison
from deltamark.application.ports.extracts import Cleansed, LinkExtract
from deltamark.application.ports.records import Pair, ResourceChanges
from deltamark.application.synchronization.waiting_links import DeltaLinks, RenamedLink, WaitingChanges
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
"""The extract of links that no row of this connector names."""

_NO_KEYS = pa.table({"key": pa.array([], pa.string()), "line": pa.array([], pa.int64())})
_NO_STATES = _NO_KEYS.append_column("state", pa.array([], pa.string()))


def links_of_other_connectors(
    configuration: Configuration, tx: Writing, connector: str, compared: Mapping[str, ResourceComparison]
) -> Iterator[LinksOfOtherConnector]:
    """The links of each association of another connector at whose ends resources change."""
    for mapping in configuration.association_mappings:
        if mapping.connector != connector and any(
            name in compared and compared[name].changes.total for name in _types(mapping)
        ):
            yield LinksOfOtherConnector(configuration, tx, mapping, compared)


def links_that_wait_for_deleted(
    configuration: Configuration, tx: Writing, deleted: Mapping[str, ResourceChanges]
) -> list[WaitingChanges]:
    """The links that wait from now on, because resources at an end are deleted and a connector still names the links.

    Must be called before the resources are deleted.

    :param deleted: entity type -> what is deleted.
    """
    compared = {
        name: ResourceComparison(changes=changes, unknown=_NO_KEYS, doubtful=_NO_KEYS, ended=_NO_STATES)
        for name, changes in deleted.items()
    }
    found = []
    for mapping in configuration.association_mappings:
        if mapping.association in configuration.fed_associations and any(name in compared for name in _types(mapping)):
            pairs = LinksOfOtherConnector(configuration, tx, mapping, compared).losing_an_end
            awaited = pairs - tx.waiting_links(mapping.association)
            found.append(WaitingChanges(association=mapping.association, awaited=awaited))
    return found


class LinksOfOtherConnector(DeltaLinks):
    """The links of one association that another connector feeds.

    Must be made before the resources are changed.
    """

    @property
    def losing_an_end(self) -> frozenset[Pair]:
        """The pairs that are linked now and lose a resource that is deleted."""
        return self._losing_an_end

    @property
    def is_concerned(self) -> bool:
        """Whether links are removed with resources, or waiting links may be added.

        It is known after `earlier_pairs`.
        """
        return bool(self._standing)

    def _links_losing_an_end(self) -> frozenset[Pair]:
        return frozenset(pair for end in (0, 1) for pair in self._linked_to_deleted(end))

    def _waiting_for_deleted(self) -> set[Pair]:
        return set()

    def _renamed_links(self) -> list[RenamedLink]:
        return []

    def _links_of_created_again(self) -> list[dict[str, Any]]:
        return []

    def _relevant_waiting(self, extract: LinkExtract) -> set[Pair]:
        return self._tx.waiting_links(self.association.identifier, self._added_values(0), self._added_values(1))


def _types(mapping: EntityAssociationMapping) -> tuple[str, str]:
    return mapping.entity_property_mapping1.entity_type, mapping.entity_property_mapping2.entity_type
