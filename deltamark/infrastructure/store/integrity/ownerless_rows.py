"""Finds and removes rows that refer to a resource, rule, dependency or run that does not exist."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from attrs import frozen

from deltamark.infrastructure.store.database import Database


@frozen(kw_only=True)
class Reference:
    """A column that refers to a row of another table.

    :param what: of the row, in messages.
    :param owner: what it refers to, in messages.
    """

    table: str
    column: str
    to_table: str
    to_column: str
    what: str
    owner: str

    @property
    def condition(self) -> str:
        """Whether a row of the table refers to nothing."""
        return f"NOT EXISTS (SELECT 1 FROM {self.to_table} o WHERE o.{self.to_column} = {self.table}.{self.column})"


REFERENCES = (
    Reference(
        table="correlation_keys", column="resource", to_table="resources", to_column="stream",
        what="a correlation key", owner="the resource of stream",
    ),
    Reference(
        table="correlation_keys", column="rule", to_table="rules", to_column="id",
        what="a correlation key", owner="rule",
    ),
    Reference(
        table="classifications", column="resource", to_table="resources", to_column="stream",
        what="a classification", owner="the resource of stream",
    ),
    Reference(
        table="classifications", column="rule", to_table="rules", to_column="id",
        what="a classification", owner="rule",
    ),
    Reference(
        table="flags", column="resource", to_table="resources", to_column="stream",
        what="a flag", owner="the resource of stream",
    ),
    Reference(
        table="flags", column="dependency", to_table="dependencies", to_column="id",
        what="a flag", owner="dependency",
    ),
    Reference(
        table="consumed", column="rule", to_table="rules", to_column="id",
        what="the place of a task", owner="rule",
    ),
    Reference(
        table="pending", column="run", to_table="runs", to_column="number",
        what="a part of pending changes", owner="run",
    ),
    Reference(
        table="blocked", column="run", to_table="runs", to_column="number",
        what="the block of a connector", owner="run",
    ),
)  # fmt: skip


def ownerless_rows(db: Database) -> Iterator[tuple[str, str]]:
    """Yields the table and the problem of every row that refers to nothing."""
    for reference in REFERENCES:
        sql = f"SELECT {reference.column} FROM {reference.table} WHERE {reference.condition} ORDER BY 1"
        for (number,) in db.rows(sql):
            yield reference.table, f"{reference.what} belongs to {reference.owner} {number}, which does not exist"


def remove_ownerless_rows(delete: Callable[[str, str], object], *, derived_only: bool) -> None:
    """Deletes the rows that refer to nothing, or only those of derived values and their flags.

    :param delete: deletes the rows of a table under a condition.
    """
    for reference in REFERENCES:
        if derived_only and reference.to_table == "runs":
            continue
        delete(reference.table, reference.condition)
