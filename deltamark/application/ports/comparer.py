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

    `unknown`, `doubtful` and `ended` are filled only by an extract with a command column.

    :param unknown: rows that update a resource that does not exist: ``key``, ``line``.
    :param doubtful: rows that delete a resource, and are not applied because a later row of the same key was set
        aside: ``key``, ``line``.
    :param ended: the keys that a row deletes, with the state before (null where no such resource existed): ``key``,
        ``state``. Later rows may create the resource again: then it is among the created or updated ones, or, where
        its values are as before, among neither.
    :param spared: resources that an incomplete extract does not hold, and that are not deleted: ``key``, ``line``,
        ``state``. None where the extract is complete.
    """

    changes: ResourceChanges
    unknown: pa.Table
    doubtful: pa.Table
    ended: pa.Table
    spared: pa.Table | None = None


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
class LinkCommandsComparison(LinkComparison):
    """What the commands of an association's extract change.

    `orphans` are pairs that hold after the last row; `surplus` has pairs of a row that names several where an end may
    have only one.

    :param waiting: ``value1``, ``value2``: all pairs that hold after the last row and are not linked.
    :param doubtful: ``line``, ``value1``, ``value2``: rows that remove links, and are not applied because a later row
        of the same first value was set aside.
    """

    waiting: pa.Table
    doubtful: pa.Table


@frozen(kw_only=True)
class EarlierPairs:
    """What holds before the first row of an extract with commands, besides the links.

    :param standing: ``value1``, ``value2``: pairs that earlier rows named and that are not linked, or no longer.
    :param ended: ``source``, ``target``, ``source_key``, ``target_key``: links that no earlier row names any more.
    :param rows_of: 0 or 1 where each row of the extract is a row of the resource at that end, which it names with its
        only link; None for a table of pairs.
    """

    standing: pa.Table
    ended: pa.Table
    rows_of: int | None = None


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
        """Compares an extract with a command column with the live resources that it names.

        The result is that of applying the rows one after another.
        """
        ...

    def links(
        self,
        extract: LinkExtract,
        sides: LinkSides,
        association: EntityAssociation,
        *,
        complete: bool,
    ) -> LinkComparison:
        """Compares all pairs with all links.

        :param complete: removes the links that the extract does not hold; otherwise they stay, unless a row names
            another link of an end that may have only one.
        """
        ...

    def link_commands(
        self, extract: LinkExtract, earlier: EarlierPairs, sides: LinkSides, association: EntityAssociation
    ) -> LinkCommandsComparison:
        """Compares rows with commands with the links of the resources that they name.

        The result is that of applying the rows one after another.
        """
        ...
