"""The two things that use cases get from a store: a reading and a writing transaction."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime

from attrs import frozen

from deltamark.application.ports.records import Discarded, ExportedView, Subjects
from deltamark.application.ports.store import Clock
from deltamark.domain.errors import ConcurrentRun, to_the_second
from deltamark.domain.history.changes import Position
from deltamark.domain.next_steps import NextAction, NextStep
from deltamark.infrastructure.store.commands.append import AppendCommands
from deltamark.infrastructure.store.commands.applied_rows import AppliedRowCommands, AppliedRowQueries
from deltamark.infrastructure.store.commands.configurations import ConfigurationCommands
from deltamark.infrastructure.store.commands.consumers import ConsumerCommands, ConsumerQueries
from deltamark.infrastructure.store.commands.dead_letters import DeadLetterCommands, DeadLetterQueries
from deltamark.infrastructure.store.commands.derived import DerivedCommands
from deltamark.infrastructure.store.commands.discard import DiscardCommands
from deltamark.infrastructure.store.commands.erase import ErasureCommands, ErasureQueries
from deltamark.infrastructure.store.commands.flags import FlagCommands
from deltamark.infrastructure.store.commands.leases import LeaseCommands
from deltamark.infrastructure.store.commands.notifications import NotificationCommands, NotificationQueries
from deltamark.infrastructure.store.commands.pending_changes import PendingCommands, PendingQueries
from deltamark.infrastructure.store.commands.places import PlaceCommands
from deltamark.infrastructure.store.commands.schedules import ScheduleCommands, ScheduleQueries
from deltamark.infrastructure.store.commands.verification_records import (
    VerificationRecordCommands,
    VerificationRecordQueries,
)
from deltamark.infrastructure.store.commands.waiting_links import WaitingLinkQueries
from deltamark.infrastructure.store.database import Database
from deltamark.infrastructure.store.events.mapper import ChangeMapper, to_micros
from deltamark.infrastructure.store.integrity.copy_until import PastQueries, StoreCopyUntil
from deltamark.infrastructure.store.integrity.rebuild import VerifyQueries
from deltamark.infrastructure.store.queries.configurations import ConfigurationQueries
from deltamark.infrastructure.store.queries.derived import DerivedQueries
from deltamark.infrastructure.store.queries.flags import FlagQueries
from deltamark.infrastructure.store.queries.history import HistoryQueries
from deltamark.infrastructure.store.queries.leases import LeaseQueries
from deltamark.infrastructure.store.queries.places import PlaceQueries
from deltamark.infrastructure.store.queries.retention import RetentionQueries
from deltamark.infrastructure.store.queries.stored_events import StoredEventQueries


class StoreReading(
    HistoryQueries,
    ConfigurationQueries,
    FlagQueries,
    DerivedQueries,
    LeaseQueries,
    PendingQueries,
    PlaceQueries,
    AppliedRowQueries,
    ScheduleQueries,
    ConsumerQueries,
    DeadLetterQueries,
    NotificationQueries,
    VerificationRecordQueries,
    WaitingLinkQueries,
    VerifyQueries,
    RetentionQueries,
    ErasureQueries,
    StoredEventQueries,
    PastQueries,
):
    """All queries, in one reading transaction."""

    def __init__(self, database: Database, mapper: ChangeMapper, clock: Clock) -> None:
        super().__init__(database, mapper)
        self._clock = clock

    def _host_time(self) -> int:
        return to_micros(self._clock())


class StoreWriting(
    AppendCommands,
    ConfigurationCommands,
    DiscardCommands,
    ErasureCommands,
    FlagCommands,
    DerivedCommands,
    LeaseCommands,
    PendingCommands,
    PlaceCommands,
    ScheduleCommands,
    ConsumerCommands,
    DeadLetterCommands,
    NotificationCommands,
    VerificationRecordCommands,
    AppliedRowCommands,
    StoreCopyUntil,
    HistoryQueries,
):
    """All queries and commands, in one writing transaction."""

    is_dry_run = False

    def exported_view(self) -> ExportedView | None:
        """What others may read as this transaction does: what was committed when it began."""
        if self.is_dry_run or self._next != self._first:
            return None
        return ExportedView(epoch=self.epoch(), head=self.head(), token=self._db.exported_snapshot())


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


@frozen(kw_only=True)
class Writer:
    """Who keeps others from writing.

    :param words: the process or session, a clause.
    :param run: the number of its run, and since when the run holds its tasks; None where it is in no run.
    :param stopped: the number of its process if that is stopped, on this machine.
    """

    words: str
    run: tuple[int, datetime] | None = None
    stopped: int | None = None


TOLD_AFTER_S = 1.0
"""Who waits longer for another writer is told so."""

_told_of_waits: list[Callable[[str], None]] = []


def on_wait(told: Callable[[str], None]) -> None:
    """Calls a function, in whatever thread, with a sentence whenever this process waits for another writer."""
    _told_of_waits[:] = [told]


_command: list[str] = []


def name_command(name: str) -> None:
    """Names the command that this process runs, for those who look at the sessions of a server."""
    _command[:] = [name]


def command_name() -> str | None:
    """The command that this process runs; None where a program has the engine."""
    return _command[0] if _command else None


def tell_of_wait(writer: Writer | None) -> None:
    """Tells that this process waits for a writer, if it is known who that is."""
    who = "another process, which is writing to the store"
    if writer is not None:
        who = writer.words
        if writer.run is not None:
            number, since = writer.run
            who += f", which is writing: run {number} since {to_the_second(since)}"
        if writer.stopped is not None:
            who += "; it is stopped and does not go on by itself"
    for told in _told_of_waits:
        told(f"Waiting for {who}.")


def written_for_long(seconds: float, writer: Writer | None) -> ConcurrentRun:
    """Returns the error for a transaction that waited too long for another writer.

    :param writer: who writes, where it is known.
    """
    who = f": {writer.words}" if writer else ""
    number = None
    if writer and writer.run:
        number, since = writer.run
        who += f", run {number} since {to_the_second(since)}"
    advice = (
        "Wait until its run has ended (`deltamark runs` shows it), then run again. If it does not go on, cancel it."
    )
    if writer and writer.stopped is not None:
        who += ", which is stopped and does not go on by itself"
        end = "cancel the run, which ends the process" if number else f"end it (kill -KILL {writer.stopped})"
        advice = (
            f"Let it continue (kill -CONT {writer.stopped}), or {end}. What it had not finished is undone then. "
            "Run again."
        )
    error = ConcurrentRun(
        f"another process has been writing to this store for more than {seconds:g} seconds{who}. Nothing was changed. "
        f"{advice}"
    )
    if number:
        error.next_steps = (NextStep(NextAction.SHOW_RUN, number),)
        if writer and writer.stopped is not None:
            error.next_steps = (*error.next_steps, NextStep(NextAction.END_RUN, number))
    return error


def conflict(error: Exception) -> ConcurrentRun:
    """Returns the error for a constraint that rows of another writer violated."""
    return ConcurrentRun(
        f"another process changed the same resources at the same time ({error}). Nothing was changed. Run again."
    )
