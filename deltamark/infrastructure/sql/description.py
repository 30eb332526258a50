"""What a database says of its tables, made into what may be proposed for them."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Sequence
from typing import Protocol

from attrs import field, frozen

from deltamark.application.ports.sources import SourceUnreachable
from deltamark.domain.configuration.entity_model import ConnectionTable
from deltamark.domain.configuration.packages import KEYS, OVERLAP, QUERY, SQL, WATERMARK, transactions_of
from deltamark.domain.fields import as_tuple
from deltamark.domain.proposal.descriptions import DescribedTable, Description, Reference
from deltamark.domain.proposal.keys import ROW_KEY, free_name
from deltamark.domain.proposal.names import is_secret_name
from deltamark.domain.proposal.watermarks import OVERLAP_S, chosen_watermark
from deltamark.domain.values import shown

_NAMED = 12
"""So many tables a message names."""


@frozen(kw_only=True)
class ForeignKey:
    """A foreign key of a table.

    :param table: the label of the table that it refers to.
    :param target: the columns there; none: its primary key.
    """

    columns: tuple[str, ...] = field(converter=as_tuple)
    table: str
    target: tuple[str, ...] = field(converter=as_tuple, default=())


@frozen(kw_only=True)
class SQLTable:
    """A table of a database.

    :param label: its name, with that of its schema where it needs one.
    :param source: the same in SQL.
    :param binary: the columns that hold bytes.
    :param required: the columns that are never empty.
    :param indexed: the columns by which rows are found fast: each is the first of an index.
    :param clocks: the columns of a type that may tell when a row changed: days with a time of day.
    :param versions: the columns that hold which transaction wrote a row, or a number that grows with each write.
    :param is_readable: whether the user may read it.
    """

    label: str
    source: str
    columns: tuple[str, ...] = field(converter=as_tuple)
    binary: frozenset[str] = frozenset()
    primary: tuple[str, ...] = field(converter=as_tuple, default=())
    foreign: tuple[ForeignKey, ...] = field(converter=as_tuple, default=())
    required: frozenset[str] = frozenset()
    indexed: frozenset[str] = frozenset()
    clocks: frozenset[str] = frozenset()
    versions: frozenset[str] = frozenset()
    is_readable: bool = True


class SQLNames(Protocol):
    """How a database writes names of columns."""

    def name(self, column: str) -> str:
        """The name of a column in SQL."""
        ...

    def joined(self, columns: Sequence[str], name: str) -> str:
        """One text of the values of several columns, under a name, with bars between them, in SQL."""
        ...


def description(server: str, tables: Sequence[SQLTable], names: Collection[str], sql: SQLNames) -> Description:
    """What may be proposed for tables.

    :param names: of those that are wanted; none: all.
    :raises SourceUnreachable: if there are none, or if a name is none of them.
    """
    labels = [table.label for table in tables]
    for name in names:
        if name not in labels:
            known = ", ".join(labels[:_NAMED]) + (", …" if len(labels) > _NAMED else "")
            raise SourceUnreachable(
                f"the database has no table {shown(name)} that the user may see",
                f"It has {known}." if labels else "",
            )
    wanted = [table for table in tables if (table.label in names or not names)]
    read = [table for table in wanted if table.is_readable and table.columns]
    if not read:
        raise SourceUnreachable(
            "the database has no table that the user may read", "Correct the address, or the rights of the user."
        )
    identifiers = _identifiers(read)
    by_label = {table.label: table for table in read}
    return Description(
        server=server,
        package=SQL.name,
        tables=[_described(table, identifiers, by_label, sql) for table in read],
        notes=[f"{table.label} is left out: the user may not read it" for table in wanted if not table.is_readable],
    )


def _identifiers(tables: Sequence[SQLTable]) -> dict[str, str]:
    """Label of a table -> the name of its `ConnectionTable`."""
    found: dict[str, str] = {}
    taken: set[str] = set()
    for table in tables:
        name = re.sub(r"\W", "_", table.label)
        number, free = 2, name
        while free.lower() in taken:
            free, number = f"{name}{number}", number + 1
        taken.add(free.lower())
        found[table.label] = free
    return found


def _described(
    table: SQLTable, identifiers: dict[str, str], by_label: dict[str, SQLTable], sql: SQLNames
) -> DescribedTable:
    needed = {*table.primary, *(column for key in table.foreign for column in key.columns)}
    secret = [column for column in table.columns if is_secret_name(column) and column not in needed]
    several = [key for key in table.foreign if len(key.columns) > 1]
    references = list(_references(table, identifiers, by_label))
    row_key = None
    if len(table.primary) > 1 and not _is_pairs(table, identifiers[table.label], references):
        row_key = free_name(ROW_KEY, table.columns)
    joined = "" if row_key is None else sql.joined(table.primary, row_key)
    source = f"select * from {table.source}" if row_key is None else f"select {joined}, t.* from {table.source} t"
    watermark = chosen_watermark(
        table.columns,
        clocks=table.clocks,
        versions=table.versions,
        required=table.required,
        indexed=table.indexed,
    )
    options = {QUERY: source}
    is_keyed = row_key is not None or len(table.primary) == 1
    if watermark is not None and is_keyed:
        is_version = watermark.column in table.versions
        options[WATERMARK] = transactions_of(watermark.column) if is_version else watermark.column
        if not is_version:
            options[OVERLAP] = OVERLAP_S
        options[KEYS] = f"select {sql.name(table.primary[0]) if row_key is None else joined} from {table.source}"
    return DescribedTable(
        label=table.label,
        table=ConnectionTable(identifiers[table.label], options),
        columns=[*((row_key,) if row_key else ()), *(column for column in table.columns if column not in secret)],
        binary=table.binary,
        key=table.primary if row_key is None else (row_key,),
        key_why="the primary key"
        if row_key is None
        else f"made by the Query of the {len(table.primary)} columns of the primary key, {', '.join(table.primary)}",
        watermark=watermark if is_keyed else None,
        references=references,
        left_out=[
            *((column, "by its name it may hold secrets; map it if it does not") for column in secret),
            *(
                (", ".join(key.columns), f"the link to {key.table}: a link has one column at each end")
                for key in several
            ),
        ],
    )


def _is_pairs(table: SQLTable, identifier: str, references: Sequence[Reference]) -> bool:
    """Whether a table holds nothing but pairs of keys of two other tables: links, which need no key."""
    others = [
        reference
        for reference in references
        if len(reference.columns) == len(reference.target) == 1 and reference.table != identifier
    ]
    return len(others) == 2 and {reference.columns[0] for reference in others} >= set(table.primary)


def _references(table: SQLTable, identifiers: dict[str, str], by_label: dict[str, SQLTable]) -> Iterator[Reference]:
    seen: set[tuple[str, ...]] = set()
    for key in sorted(table.foreign, key=lambda key: table.columns.index(key.columns[0])):
        target = by_label.get(key.table)
        if target is None or key.columns in seen:
            continue
        seen.add(key.columns)
        columns = key.target or target.primary
        yield Reference(
            columns=key.columns,
            table=identifiers[key.table],
            target=columns,
            why=f"the foreign key to {key.table}.{', '.join(columns)}",
        )
