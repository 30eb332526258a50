"""What a database must offer to be read as a source. All reading of one delivery is one transaction."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Protocol, TypeAlias

from attrs import frozen

Row: TypeAlias = Sequence[str | None]


@frozen(kw_only=True)
class Mark:
    """The newest value of a watermark: its text, and the type that the database gives it."""

    text: str
    type: str


class SQLReader(Protocol):
    """One read-only transaction: what others write meanwhile is not in it."""

    @property
    def server(self) -> str:
        """The product and its version."""
        ...

    @property
    def guard(self) -> Mapping[str, str]:
        """What tells this database from one that was made anew."""
        ...

    def columns(self, query: str) -> Sequence[str]:
        """The columns of a query, in their order."""
        ...

    def newest(self, query: str, watermark: str) -> Mark | None:
        """The largest value of a column of a query; None where there is none."""
        ...

    def is_before(self, one: Mark, other: Mark) -> bool:
        """Whether the database sorts a value before another one."""
        ...

    def rows(
        self, query: str, columns: Sequence[str], watermark: str | None = None, since: Mark | None = None
    ) -> Iterator[Row]:
        """The rows of a query as texts.

        :param since: only rows whose watermark is this, a larger one, or nothing.
        """
        ...

    def earlier(self, mark: Mark, overlap: str) -> Mark:
        """A value that lies before another one by an overlap, a time or a number.

        :raises SourceUnreachable: if the overlap does not fit the type.
        """
        ...


def quoted(name: str) -> str:
    """The name of a column in SQL."""
    return '"' + name.replace('"', '""') + '"'
