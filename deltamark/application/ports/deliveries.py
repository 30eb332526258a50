"""The port to deliveries: what one reading of a connection gave, whole on disk or not there."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from typing import Protocol

from attrs import field, frozen

from deltamark.application.ports.extracts import Extracts
from deltamark.application.ports.sources import Reached, Tables, WantedTable
from deltamark.domain.sources.places import DeliveryKind, PlaceReached

PARQUET = ".parquet"


@frozen(kw_only=True)
class DeliveredTable:
    """A table of a delivery.

    :param rows: 0 where it is a copy of a file.
    :param digest: SHA-256 of its file, hexadecimal.
    :param ending: that of its file.
    :param options: what its connection says of how a copy is read.
    """

    name: str
    rows: int
    digest: str
    is_delta: bool
    ending: str = PARQUET
    options: Mapping[str, str] = field(factory=dict)


@frozen(kw_only=True)
class Delivery:
    """One reading of one connection.

    :param since: the digest of the place from which a delta goes on; None for a snapshot.
    :param place: what is reached once it is applied; None where the source has no places.
    :param scope: the digest of what was asked.
    :param incomplete: why what is missing may still be in the source, a clause; None where it is not.
    :param run: the run that made it.
    """

    connection: str
    kind: DeliveryKind
    since: str | None
    place: PlaceReached | None
    scope: str
    incomplete: str | None
    tables: Mapping[str, DeliveredTable] = field(factory=dict)
    run: int
    task: int

    @property
    def made(self) -> str:
        """The run and the ordinal of the task that made it."""
        return f"{self.run}-{self.task}"

    @property
    def name(self) -> str:
        """How messages name it."""
        return f"delivery of {self.connection}, run {self.run}"

    @property
    def rows(self) -> int:
        """The number of rows in all tables."""
        return sum(table.rows for table in self.tables.values())

    @property
    def copied(self) -> int:
        """How many of its tables are copies of files, whose rows are not counted."""
        return sum(table.ending != PARQUET for table in self.tables.values())


class Draft(Tables, Protocol):
    """A delivery that is being written: nothing of it is there until it is finished."""

    def restart(self) -> None:
        """Drops what was written."""
        ...

    def finish(self, kind: DeliveryKind, since: str | None, scope: str, reached: Reached) -> Delivery:
        """Makes it the newest delivery of its connection, whole on disk; earlier ones are removed.

        :raises SourceError: if it cannot be written.
        """
        ...


class Deliveries(Protocol):
    """Keeps the newest delivery of each connection."""

    def draft(
        self, epoch: str, connection: str, tables: Sequence[WantedTable], *, run: int, task: int
    ) -> AbstractContextManager[Draft]:
        """A new delivery; what is not finished at the end of the block is removed.

        :param epoch: that of the store for which it is made.
        :raises SourceError: from the block, if it cannot be written.
        """
        ...

    def newest(self, epoch: str, connection: str) -> Delivery | None:
        """The newest delivery of a connection that was made for a store; None where there is none.

        :raises SourceError: if it was altered.
        """
        ...

    def extracts(self, deliveries: Sequence[Delivery], others: Extracts) -> Extracts:
        """Reads the tables of these deliveries, and all others as before."""
        ...

    def rehearsal(self) -> Deliveries:
        """The same for a dry run: what is made is removed with it, and leaves these as they are."""
        ...
