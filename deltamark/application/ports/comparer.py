"""The port to the comparison of extracts with the stored state, set against set."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from attrs import frozen

from deltamark.application.ports.extracts import LinkExtract, ResourceExtract
from deltamark.application.ports.records import LinkChanges, ResourceChanges
from deltamark.domain.configuration.entity_model import EntityAssociation, EntityType

if TYPE_CHECKING:
    import pyarrow as pa


@frozen(kw_only=True)
class ResourceComparison:
    """What an extract changes, and the rows that could not be applied.

    :param unknown: rows of a command column that update a resource that does not exist: ``key``, ``line``.
    """

    changes: ResourceChanges
    unknown: pa.Table


@frozen(kw_only=True)
class LinkComparison:
    """What an association's extract changes, and the pairs that could not be applied.

    :param orphans: ``line``, ``value1``, ``value2``, ``missing`` (1 or 2: the end that no resource has).
    :param ambiguous: the same columns; more than one resource has the value of that end.
    :param surplus: ``line``, ``value1``, ``value2``: pairs beyond the one link that an end may have.
    """

    changes: LinkChanges
    orphans: pa.Table
    ambiguous: pa.Table
    surplus: pa.Table


@frozen(kw_only=True)
class LinkSides:
    """The resources at both ends (``value``, ``stream``, ``key``), and the live links."""

    first: pa.Table
    second: pa.Table
    links: pa.Table


class Comparer(Protocol):
    """Finds what changed, set against set."""

    def resources(
        self, extract: ResourceExtract, stored: pa.Table, entity_type: EntityType, *, complete: bool
    ) -> ResourceComparison:
        """Compares an extract that holds everything with all live resources (``key``, ``state``).

        Deletes no resource whose key is in `extract.kept`, and none at all where the extract is incomplete.

        :param complete: deletes the resources that are missing in the extract; otherwise they stay.
        """
        ...

    def commands(self, extract: ResourceExtract, stored: pa.Table, entity_type: EntityType) -> ResourceComparison:
        """Compares an extract with a command column with the live resources that it names."""
        ...

    def links(
        self,
        extract: LinkExtract,
        sides: LinkSides,
        association: EntityAssociation,
        *,
        complete: bool,
        keeps_missing: bool = False,
    ) -> LinkComparison:
        """Compares pairs with links.

        :param complete: whether all links are compared; otherwise rows with commands.
        :param keeps_missing: keeps the links that the extract does not hold, unless a row names another link of an end
            that may have only one.
        """
        ...
