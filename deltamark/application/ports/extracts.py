"""The port to extracts of source systems, whose files are read, cleansed and converted."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Protocol

from attrs import field, frozen

from deltamark.application.ports.applied_rows import RowDigests, UnchangedRows
from deltamark.domain.configuration.entity_model import (
    ConnectionTransformation,
    EntityAssociationMapping,
    EntityType,
    EntityTypeMapping,
)
from deltamark.domain.configuration.value_formats import AS_IT_IS, ValueFormat
from deltamark.domain.fields import as_tuple
from deltamark.domain.runs.run import ExtractRead, SetAside
from deltamark.domain.values import PropertyType

if TYPE_CHECKING:
    import pyarrow as pa


@frozen(kw_only=True)
class Cleansed:
    """What cleansing found in an extract besides its good rows.

    :param read: which file was read, how many data rows it held, its digest.
    :param set_aside: the rows that are not applied, each with line and reason, in line order.
    :param incomplete: the reason why rows are missing (they cannot be read), or None. Where it is set, nothing may be
        deleted or unlinked because the extract does not hold it.
    :param passed_over: how many rows were passed over because nothing is in their mapped cells, or in any cell.
    :param empty_lines: the lines (int64) of those among them that other mappings may read; None if there are none.
    :param messages: what a user must know beyond the rows set aside.
    """

    read: ExtractRead
    set_aside: tuple[SetAside, ...] = field(converter=as_tuple, default=())
    incomplete: str | None = None
    passed_over: int = 0
    empty_lines: pa.Array | None = field(default=None, eq=False)
    messages: tuple[str, ...] = field(converter=as_tuple, default=())


@frozen(kw_only=True)
class ResourceExtract:
    """The rows of one entity type, converted to its property types.

    :param rows: an Arrow table, one row a resource, keys unique:
        ``key`` (string, the primary key as canonical text),
        ``line`` (int64, 1 is the header),
        ``state`` (string: a JSON object of the mapped properties that have a value, sorted by identifier,
        without white space),
        and only in a delta ``command`` (insert, update, merge or delete). Then a key may occur in several rows, whose
        order is that of their lines.
    :param kept: keys (string array) of rows that were set aside: their resources stay as they are.
    :param faulty: only in a delta, the rows that were set aside although their key is known: ``key``, ``line``,
        ``command`` (null where it cannot be read).
    :param unchanged: the rows that were applied before, which are not among `rows`, nor looked at further; None if all
        are read.
    :param salt: that of the digests of cells; None if they are not known. Else `rows` also has ``digest`` (16 bytes).
    """

    rows: pa.Table
    kept: pa.Array
    cleansed: Cleansed
    faulty: pa.Table | None = None
    unchanged: UnchangedRows | None = None
    salt: str | None = None

    @property
    def is_delta(self) -> bool:
        """Whether each row has a command. Otherwise the extract holds all resources of the type."""
        return "command" in self.rows.column_names


@frozen(kw_only=True)
class LinkExtract:
    """The rows of one association.

    :param rows: an Arrow table, distinct pairs: ``line`` (int64), ``value1``, ``value2`` (string, the key or
        unique key of either end as canonical text), and only in a delta ``command`` (insert, update, merge, delete or
        replace); only there may ``value2`` be null: the command concerns all links of the first value, and only there
        may a pair occur in several rows, whose order is that of their lines.
    :param kept: first values (string array) of rows that were set aside: their links are not removed.
    :param faulty: only in a delta, the rows that were set aside although their first value is known: ``value1``,
        ``line``, ``command`` (null where it cannot be read).
    :param halves: the rows of a complete extract in which one value is missing, and which are no fault: ``line``,
        ``value1``, ``value2``; None where there are none.
    :param spared_ends: the ends (0, 1) at which some rows lack the value by which links name their resource: links of
        resources without that value are not removed.
    """

    rows: pa.Table
    kept: pa.Array
    cleansed: Cleansed
    faulty: pa.Table | None = None
    halves: pa.Table | None = None
    spared_ends: frozenset[int] = frozenset()

    @property
    def is_delta(self) -> bool:
        """Whether each row has a command. Otherwise the extract holds all links of the association."""
        return "command" in self.rows.column_names


@frozen(kw_only=True)
class LinkColumn:
    """How a column of links is read.

    :param kind: the type of the property by which its values find resources.
    :param separator: what separates several values in a cell, None where a cell holds one.
    """

    kind: PropertyType
    written: ValueFormat = AS_IT_IS
    separator: str | None = None


@frozen(kw_only=True)
class Transformation:
    """A transformation, for one mapping of its table.

    :param one_first_each: of links: whether a second value has at most one first value.
    :param one_second_each: of links: whether a first value has at most one second value.
    """

    declared: ConnectionTransformation
    one_first_each: bool = False
    one_second_each: bool = False


@frozen
class FileDigest:
    """The name of a file, and the SHA-256 of its bytes, as `ExtractRead` has them."""

    file: str
    digest: str


class Extracts(Protocol):
    """Reads the connection tables of connectors.

    `resources` and `links` raise `SourceError` if the file cannot be read as a whole, before anything is compared.

    Each extract says for itself whether it is a delta: of one connector, some tables may be whole and others deltas.
    All mappings that read one table get the same kind.

    :param reader: what besides a file decides what is read of it, such as versions and limits; None where equal
        digests do not mean that the same is read.
    """

    @property
    def reader(self) -> str | None: ...

    def file_of(self, table: str) -> FileDigest:
        """The file of a connection table, which is read only for its digest.

        :raises SourceError: if it cannot be read as a whole.
        """
        ...

    def resources(
        self,
        mapping: EntityTypeMapping,
        entity_type: EntityType,
        command_column: str | None,
        *,
        is_shared: bool = False,
        transformation: Transformation | None = None,
        digests: RowDigests | None = None,
    ) -> ResourceExtract:
        """The cleansed rows of an entity type's connection table.

        :param command_column: the column with the commands where the job says that the tables of the connector are
            deltas, apart from those of mappings that are always complete. A source that knows of each table whether it
            is a delta returns that.
        :param is_shared: whether other mappings read the table too. Then a row is empty, and passed over, if nothing is
            in the mapped cells. Else a command is something, and, where the key alone is mapped, any other cell.
        :param transformation: what makes the table that the mapping reads of its connection table.
        :param digests: how rows are digested, and which were applied before: those that the extract has may be left
            out. None if no digests are wanted.
        """
        ...

    def links(
        self,
        mapping: EntityAssociationMapping,
        ends: tuple[LinkColumn, LinkColumn],
        command_column: str | None,
        *,
        may_lack_first: bool = False,
        is_shared: bool = False,
        transformation: Transformation | None = None,
    ) -> LinkExtract:
        """The cleansed pairs of an association's connection table.

        `ends` says how its two columns are read.

        :param command_column: as for `resources`.
        :param may_lack_first: whether a row without a first value is no fault.
        :param is_shared: whether other mappings read the table too, see `resources`.
        :param transformation: as for `resources`.
        """
        ...

    def with_tables(self, sources: Mapping[str, Any], columns: Mapping[str, Sequence[str]]) -> Extracts:
        """The extracts of one run, to which a program gives some of the connection tables.

        Each is read once, when it is needed first; what is read of it is kept as long as the result.

        :param sources: connection table -> what stands for it.
        :param columns: connection table -> the columns that mappings name.
        """
        ...
