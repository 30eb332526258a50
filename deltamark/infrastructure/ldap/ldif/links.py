"""The links of entries: names of other entries become their identifiers, by the entries of the same files."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import duckdb
import pyarrow as pa
from attrs import define, field

from deltamark.application.ports.sources import (
    COMMAND,
    DELETE,
    INSERT,
    NOT_READ,
    SourceUnreachable,
    Tables,
    UnreadCell,
    WantedTable,
)
from deltamark.domain.configuration.packages import OWNER
from deltamark.domain.messages import how_many
from deltamark.infrastructure.duckdb.connection import locked_down
from deltamark.infrastructure.ldap.ldif.names import name_key
from deltamark.infrastructure.ldap.values import text

_PORTION = 20_000
_FOUND_BY_NAME = "from pairs p left join names n on n.name = p.name where p.linked = ?"


@define
class Links:
    """Keeps the names of entries and the pairs in a database in memory, until all entries were read.

    :ivar messages: what a user must know.
    """

    _connection: duckdb.DuckDBPyConnection | None
    messages: list[str] = field(factory=list)
    _names: list[tuple[str | None, str]] = field(factory=list)
    _pairs: list[tuple[str | None, ...]] = field(factory=list)

    @staticmethod
    @contextmanager
    def opened(is_needed: bool) -> Iterator[Links]:
        """The links of one reading.

        :param is_needed: whether there are tables of links; nothing is kept where there are none.
        """
        if not is_needed:
            yield Links(None)
            return
        with locked_down() as connection:
            connection.execute("create temp table names (name varchar, key varchar)")
            connection.execute(
                "create temp table pairs (linked varchar, command varchar, owner varchar, name varchar, value varchar, "
                "unread varchar)"
            )
            yield Links(connection)

    @property
    def is_needed(self) -> bool:
        """Whether there are tables of links."""
        return self._connection is not None

    def add_name(self, name: str | None, key: str) -> None:
        """Adds an entry.

        :param name: see `name_key`.
        """
        self._names.append((name, key))
        if len(self._names) >= _PORTION:
            self._store("names", self._names)

    def add(self, table: str, owner: str, values: Sequence[bytes]) -> None:
        """Adds the values of an attribute of an entry.

        One that is no text is set aside.
        """
        for value in values:
            try:
                pair: tuple[str | None, ...] = (table, INSERT, owner, name_key(value), text(value), None)
            except ValueError as error:
                shown = repr(value)[2:-1]
                pair = (table, INSERT, owner, None, shown, UnreadCell("value", f"the value {error}", shown).text)
            self._pairs.append(pair)
            if len(self._pairs) >= _PORTION:
                self._store("pairs", self._pairs)

    def replace(self, table: str, owner: str, values: Sequence[bytes]) -> None:
        """Adds the values of an attribute of an entry in a delta: all links that it had give way to them."""
        self._pairs.append((table, DELETE, owner, None, None, None))
        self.add(table, owner, values)

    def resolve(self, into: Tables, tables: Sequence[WantedTable], *, delta: bool) -> None:
        """Writes the tables of links: in the place of a name the identifier of its entry, where there is one.

        :param delta: whether the pairs have commands.
        :raises SourceUnreachable: if a name is that of two entries.
        """
        connection = self._connection
        if connection is None:
            return
        self._store("names", self._names)
        self._store("pairs", self._pairs)
        twice = connection.execute(
            "select name from names where name is not null group by name having count(*) > 1 limit 1"
        ).fetchone()
        if twice is not None:
            raise SourceUnreachable(
                f"two records have the name {twice[0]}, so that it is not clear to which one links lead",
                "Export the file again.",
            )
        for table in tables:
            self._write(connection, into, table, delta=delta)

    def _write(self, connection: duckdb.DuckDBPyConnection, into: Tables, table: WantedTable, *, delta: bool) -> None:
        names = [*((COMMAND,) if delta else ()), *table.columns]
        columns = ", ".join(
            "p.owner" if name.lower() == OWNER else "coalesce(n.key, p.value) as value" for name in table.columns
        )
        command = "p.command, " if delta else ""
        query = f"select {command}{columns}, p.unread {_FOUND_BY_NAME} order by p.rowid"
        for batch in connection.sql(query, params=[table.name]).to_arrow_reader(_PORTION):
            rows = pa.record_batch(batch.columns, names=[*names, NOT_READ])
            is_read = rows.column(NOT_READ).null_count == rows.num_rows
            into.write(table.name, rows.select(names) if is_read else rows)
        unknown = connection.execute(
            f"select count(*) {_FOUND_BY_NAME} and p.name is not null and n.key is null", [table.name]
        ).fetchone()
        if unknown is not None and unknown[0]:
            self.messages.append(
                f"{table.name}: {how_many(unknown[0], 'link')} to entries that no table of the files has"
            )

    def _store(self, table: str, rows: list[Any]) -> None:
        assert self._connection is not None, "rows are added where there are links"
        if not rows:
            return
        columns = [pa.array(column, pa.string()) for column in zip(*rows, strict=True)]
        batch = pa.table(columns, names=[f"c{number}" for number in range(len(columns))])
        self._connection.register("added", batch)
        self._connection.execute(f"insert into {table} select * from added")
        self._connection.unregister("added")
        rows.clear()
