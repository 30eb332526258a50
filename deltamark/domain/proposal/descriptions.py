"""What a server says of its tables itself, before a row is read: keys and links need not be guessed then."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from attrs import evolve, field, frozen

from deltamark.domain.configuration.entity_model import ConnectionTable
from deltamark.domain.fields import as_tuple
from deltamark.domain.proposal.keys import KeyChoice, chosen_key
from deltamark.domain.proposal.links import LinkChoice
from deltamark.domain.proposal.profile import ColumnRef, TableProfile
from deltamark.domain.proposal.watermarks import WatermarkChoice


@frozen(kw_only=True)
class Reference:
    """Columns of a table whose values are keys of another one.

    :param table: the `ConnectionTable` that is referred to.
    :param why: who says so, a clause.
    :param is_directory_name: whether the values are distinguished names, which are compared as a directory does.
    """

    columns: tuple[str, ...] = field(converter=as_tuple)
    table: str
    target: tuple[str, ...] = field(converter=as_tuple)
    why: str
    is_directory_name: bool = False


@frozen(kw_only=True)
class DescribedTable:
    """A table as its server describes it.

    :param label: its name there, as people know it.
    :param table: how it is read.
    :param columns: those that are proposed, in their order.
    :param binary: those of them that hold bytes.
    :param key: the columns of its key; none where it has none.
    :param key_why: who says so, a clause.
    :param left_out: columns that are not proposed, each with the reason.
    :param watermark: the column by which its changes are told; None where it is read as a whole.
    :param link_name: of a table of links, what its server calls them; `is_single_link`, whether each owner has one.
    """

    label: str
    table: ConnectionTable
    columns: tuple[str, ...] = field(converter=as_tuple)
    binary: frozenset[str] = frozenset()
    key: tuple[str, ...] = field(converter=as_tuple, default=())
    key_why: str = "the primary key"
    references: tuple[Reference, ...] = field(converter=as_tuple, default=())
    left_out: tuple[tuple[str, str], ...] = field(converter=as_tuple, default=())
    watermark: WatermarkChoice | None = None
    link_name: str | None = None
    is_single_link: bool = False

    @property
    def name(self) -> str:
        """The name by which mappings know it."""
        return self.table.identifier

    def profile(self, read: TableProfile) -> TableProfile:
        """What the table holds, with what its server says of it.

        :param read: what a file of its rows holds.
        """
        return evolve(
            read,
            file=self.label,
            is_of_server=True,
            columns=[
                evolve(column, is_binary=column.name in self.binary)
                for column in read.columns
                if column.name in self.columns
            ],
            left_out=(*self.left_out, *read.left_out),
        )

    def key_of(self, profile: TableProfile) -> KeyChoice:
        """Its key: the one that the server names, if that is one column, or else what its values show."""
        if self.link_name is not None:
            return KeyChoice(column=None, why="it holds links")
        if len(self.key) == 1:
            return KeyChoice(column=self.key[0], why=self.key_why)
        if not self.key:
            return chosen_key(profile)
        several = f"its primary key has {len(self.key)} columns ({', '.join(self.key)})"
        if {column for reference in self.references for column in reference.columns} >= set(self.key):
            return KeyChoice(column=None, why=several)
        chosen = chosen_key(profile)
        if chosen.column is None or not profile.rows:
            return KeyChoice(column=None, why=f"{several}; write a Query that makes one of them, and map that")
        return evolve(chosen, why=f"{chosen.why}; {several}", is_unsure=True)


@frozen(kw_only=True)
class Description:
    """What is behind the address of a server.

    :param server: what it says of itself, such as its product and version.
    :param package: by which its tables are read.
    :param settings: those that reading needs besides the ones that were given.
    :param notes: what a user must know, each a clause.
    """

    server: str
    package: str
    tables: tuple[DescribedTable, ...] = field(converter=as_tuple)
    settings: Mapping[str, str] = field(factory=dict)
    notes: tuple[str, ...] = field(converter=as_tuple, default=())

    def table(self, name: str) -> DescribedTable:
        """The table of that name, which is there."""
        return next(table for table in self.tables if table.name == name)

    def links(self) -> Sequence[LinkChoice]:
        """The links that the server itself names: those of one column each."""
        return [
            LinkChoice(
                source=ColumnRef(table.name, reference.columns[0]),
                target=ColumnRef(reference.table, reference.target[0]),
                why=reference.why,
                is_directory_name=reference.is_directory_name,
            )
            for table in self.tables
            for reference in table.references
            if len(reference.columns) == len(reference.target) == 1
        ]
