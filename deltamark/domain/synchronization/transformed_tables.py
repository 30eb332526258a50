"""Connection tables that a query makes of others, row by row, and what they need to be deltas."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from attrs import field, frozen

from deltamark.domain.configuration.configuration import Configuration
from deltamark.domain.configuration.entity_model import EntityAssociationMapping, EntityTypeMapping
from deltamark.domain.fields import as_tuple
from deltamark.domain.values import shown


@frozen(kw_only=True)
class OutputColumn:
    """A column that a query gives.

    :param reads: the columns of the table that is read, each once.
    :param source: the one of which it has the value, perhaps between fixed texts: two rows that differ there differ
        here. None where it is computed otherwise.
    :param is_plain: whether its value is that of the source as it is.
    :param is_unnested: whether a row may give several values of it, and becomes as many rows.
    """

    name: str
    reads: tuple[str, ...] = field(converter=as_tuple)
    source: str | None = None
    is_plain: bool = False
    is_unnested: bool = False


@frozen(kw_only=True)
class TransformedTable:
    """What a query over one table reads and gives.

    :param has_all_others: whether all columns that it does not name are there as they are (`SELECT *`).
    :param condition_reads: the columns that decide whether a row is there.
    :param is_filtered: whether there is such a condition.
    """

    columns: tuple[OutputColumn, ...] = field(converter=as_tuple)
    has_all_others: bool = False
    condition_reads: tuple[str, ...] = field(converter=as_tuple, default=())
    is_filtered: bool = False

    def column(self, name: str) -> OutputColumn | None:
        """A column that it gives, or None."""
        for column in self.columns:
            if column.name == name:
                return column
        return OutputColumn(name=name, reads=(name,), source=name, is_plain=True) if self.has_all_others else None

    def reads(self, wanted: Iterable[str]) -> tuple[str, ...]:
        """The columns of the table that are read to give these columns, each once."""
        names = dict.fromkeys(self.condition_reads)
        for name in wanted:
            column = self.column(name)
            names.update(dict.fromkeys(() if column is None else column.reads))
        for column in self.columns:
            if column.is_unnested:  # how many rows a row becomes depends on all of them
                names.update(dict.fromkeys(column.reads))
        return tuple(names)

    @property
    def has_unnested(self) -> bool:
        """Whether a row may become several rows, or none."""
        return any(column.is_unnested for column in self.columns)

    @property
    def takes_half_rows(self) -> bool:
        """Whether it may be applied to rows of which only some cells are said (`merge`)."""
        return not self.is_filtered and all(column.is_plain for column in self.columns)


def links_each(configuration: Configuration, mapping: EntityAssociationMapping) -> tuple[bool, bool]:
    """Whether a second value has at most one first value, and whether a first value has at most one second value."""
    association = configuration.association(mapping.association)
    if association is None:
        return False, False
    return not association.is_property2_collection, not association.is_property1_collection


def problems_of_resource_deltas(table: TransformedTable, mapping: EntityTypeMapping) -> Iterator[str]:
    """Why a query cannot give deltas of resources: clauses that say what to write.

    A row that says that something was deleted, or that no longer fulfils the condition, must name the resource.
    """
    if table.has_unnested:
        yield (
            "makes several resources of one row (unnest), and a row that changed does not say which there were; "
            "have the table always complete (AlwaysComplete), or map it to links"
        )
    key = mapping.primary_key.connection_column
    column = table.column(key)
    if column is not None and column.source is None:
        yield (
            f"computes the key {shown(key)}, and a row that changed does not say which key it had; select a column "
            "that identifies the row as it is, or with fixed texts joined to it"
        )


def problems_of_link_deltas(
    table: TransformedTable, mapping: EntityAssociationMapping, *, one_first_each: bool, one_second_each: bool
) -> Iterator[str]:
    """Why a query cannot give deltas of links: clauses that say what to write.

    :param one_first_each: whether a second value has at most one first value.
    :param one_second_each: whether a first value has at most one second value.
    """
    first, second = table.column(mapping.column1), table.column(mapping.column2)
    if first is not None and (first.is_unnested or first.source is None):
        yield (
            f"computes {shown(mapping.column1)}, by which a row that changed names its links; select a column as it "
            "is, or with fixed texts joined to it"
        )
    if second is None or second.is_unnested:
        return
    if second.source is None and not one_second_each:
        yield (
            f"computes {shown(mapping.column2)}, and a row that changed does not say which value it had; select a "
            "column as it is, or with fixed texts joined to it"
        )
    if table.is_filtered and one_first_each and not one_second_each:
        yield (
            f"has a condition, and a row that no longer fulfils it does not say which {shown(mapping.column1)} "
            f"{shown(mapping.column2)} had; exchange the two columns of the mapping and the ends of its association"
        )
