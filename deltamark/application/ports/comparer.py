"""The port to the comparison of extracts with the stored state, set against set."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Protocol

from attrs import field, frozen

from deltamark.application.ports.extracts import LinkExtract, ResourceExtract
from deltamark.application.ports.records import LinkChanges, ResourceChanges
from deltamark.domain.adoption.consequences import ValueConversion
from deltamark.domain.configuration.entity_model import EntityAssociation, EntityType
from deltamark.domain.fields import as_tuple

if TYPE_CHECKING:
    import pyarrow as pa


@frozen(kw_only=True)
class ResourceComparison:
    """What an extract changes, and the rows that could not be applied.

    `unknown`, `doubtful` and `ended` are filled only by an extract with a command column.

    :param unknown: rows that update a resource that does not exist: ``key``, ``line``.
    :param doubtful: rows that delete a resource, and are not applied because a later row of the same key was set
        aside: ``key``, ``line``.
    :param ended: the keys that a row deletes: ``key``, ``line`` (of the last such row), ``state`` (before; null where
        no such resource existed).
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
    :param deleted: for both ends, the values whose resource a row of the same extract deletes, and the last such line:
        ``value``, ``line``. A pair of an earlier row is gone with it.
    :param rows_of: 0 or 1 where each row of the extract is a row of the resource at that end, which it names with its
        only link; None for a table of pairs.
    """

    standing: pa.Table
    ended: pa.Table
    deleted: tuple[pa.Table, pa.Table]
    rows_of: int | None = None


@frozen(kw_only=True)
class LinkSides:
    """The resources at both ends (``value``, ``stream``, ``key``), and the live links."""

    first: pa.Table
    second: pa.Table
    links: pa.Table


@frozen(kw_only=True)
class NewReading:
    """How the values of the resources of an entity type are read anew.

    :param removed: the properties whose values are removed.
    :param key: the property from which the resources get their keys; None where they keep them.
    """

    entity_type: str
    removed: tuple[str, ...] = field(converter=as_tuple, default=())
    converted: tuple[ValueConversion, ...] = field(converter=as_tuple, default=())
    key: str | None = None


@frozen
class ReadCounts:
    """How many values of a property are read as another one, removed, or removed because they cannot be read."""

    converted: int = 0
    removed: int = 0
    unreadable: int = 0


@frozen(kw_only=True)
class ValuesReadAnew:
    """What reading values anew changes.

    :param changes: of the resources; no change has a line.
    :param counts: by property.
    :param unreadable: the values that cannot be read: ``property``, ``key``, ``value``, by property and key.
    :param keys: the keys that change: ``before``, ``after`` (null where the resource has none and is deleted), and
        ``is_repeated``: whether it has none because others get the same.
    """

    changes: ResourceChanges
    counts: Mapping[str, ReadCounts]
    unreadable: pa.Table
    keys: pa.Table


@frozen(kw_only=True)
class KeptPairs:
    """Which links of an association are kept.

    :param keys1: the keys of its first end that change, as `ValuesReadAnew.keys` has them; None where none does.
    :param is_single: for each end whether its resources may have one link only.
    """

    keys1: pa.Table | None = None
    keys2: pa.Table | None = None
    is_single: tuple[bool, bool] = (False, False)


@frozen(kw_only=True)
class PairChanges:
    """What becomes of the links of an association.

    :param unlinked: links that are removed, with the columns of `LinkChanges`.
    :param linked: links between resources that have new keys: ``source_key``, ``target_key``.
    :param surplus: those that are too many at an end, and the one that stays there: ``source_key``, ``target_key``,
        ``kept_source_key``, ``kept_target_key``.
    """

    unlinked: pa.Table
    linked: pa.Table
    surplus: pa.Table


class Comparer(Protocol):
    """Finds what changed, set against set."""

    def resources(
        self, extract: ResourceExtract, stored: Iterable[pa.Table], entity_type: EntityType, *, complete: bool
    ) -> ResourceComparison:
        """Compares an extract that holds everything with all live resources (``key``, ``state``), given in portions.

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

    def read_anew(self, stored: pa.Table, reading: NewReading) -> ValuesReadAnew:
        """Reads the values of resources (``key``, ``state``) anew, as if an extract held them.

        A value that cannot be read is none. Of resources that get the same key, one is kept if all are the same, and
        otherwise none.
        """
        ...

    def pairs(self, links: pa.Table, kept: KeptPairs) -> PairChanges:
        """Which links (``source``, ``target``, ``source_key``, ``target_key``) stay, and between which keys.

        At an end that may have only one link, the one with the smallest key is kept, as in an extract.
        """
        ...
