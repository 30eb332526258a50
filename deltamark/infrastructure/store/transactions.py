"""The two things that use cases get from a store: a reading and a writing transaction."""

from __future__ import annotations

from deltamark.application.ports.records import Discarded, Subjects
from deltamark.application.ports.store import Clock
from deltamark.domain.errors import ConcurrentRun
from deltamark.domain.history.changes import Position
from deltamark.infrastructure.store.commands.append import AppendCommands
from deltamark.infrastructure.store.commands.derived import DerivedCommands
from deltamark.infrastructure.store.commands.discard import DiscardCommands
from deltamark.infrastructure.store.commands.erase import ErasureCommands, ErasureQueries
from deltamark.infrastructure.store.commands.flags import FlagCommands
from deltamark.infrastructure.store.commands.leases import LeaseCommands
from deltamark.infrastructure.store.commands.pending_changes import PendingCommands, PendingQueries
from deltamark.infrastructure.store.commands.schedules import ScheduleCommands, ScheduleQueries
from deltamark.infrastructure.store.commands.waiting_links import WaitingLinkQueries
from deltamark.infrastructure.store.database import Database
from deltamark.infrastructure.store.events.mapper import ChangeMapper, to_micros
from deltamark.infrastructure.store.integrity.copy_store import StoreCopy
from deltamark.infrastructure.store.integrity.rebuild import VerifyQueries
from deltamark.infrastructure.store.queries.derived import DerivedQueries
from deltamark.infrastructure.store.queries.flags import FlagQueries
from deltamark.infrastructure.store.queries.history import HistoryQueries
from deltamark.infrastructure.store.queries.leases import LeaseQueries
from deltamark.infrastructure.store.queries.retention import RetentionQueries


class StoreReading(
    HistoryQueries,
    FlagQueries,
    DerivedQueries,
    LeaseQueries,
    PendingQueries,
    ScheduleQueries,
    WaitingLinkQueries,
    VerifyQueries,
    RetentionQueries,
    ErasureQueries,
):
    """All queries, in one reading transaction."""

    def __init__(self, database: Database, mapper: ChangeMapper, clock: Clock) -> None:
        super().__init__(database, mapper)
        self._clock = clock

    def _host_time(self) -> int:
        return to_micros(self._clock())


class StoreWriting(
    AppendCommands,
    DiscardCommands,
    ErasureCommands,
    FlagCommands,
    DerivedCommands,
    LeaseCommands,
    PendingCommands,
    ScheduleCommands,
    StoreCopy,
    HistoryQueries,
):
    """All queries and commands, in one writing transaction."""

    is_dry_run = False


class DryRunWriting(StoreWriting):
    """Discards nothing, because the report of the dry run still needs the changes."""

    is_dry_run = True

    def discard(
        self,
        subjects: Subjects,
        build: object,
        run: int,
        *,
        up_to: Position | None = None,
        at_most: int | None = None,
    ) -> Discarded | None:
        """Discards nothing."""
        return None


def written_for_long(seconds: float, writer: str) -> ConcurrentRun:
    """Returns the error for a transaction that waited too long for another writer.

    :param writer: the process that writes, where it is known; a clause, or an empty text.
    """
    who = f": {writer}" if writer else ""
    return ConcurrentRun(
        f"another process has been writing to this store for more than {seconds:g} seconds{who}. Nothing was changed. "
        "Wait until its run has ended (`deltamark runs` shows it), then run again. If it does not go on, cancel it."
    )


def conflict(error: Exception) -> ConcurrentRun:
    """Returns the error for a constraint that rows of another writer violated."""
    return ConcurrentRun(
        f"another process changed the same resources at the same time ({error}). Nothing was changed. Run again."
    )
