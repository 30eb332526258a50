"""The command `replay`, and how the results of replaying and verifying are shown."""

from __future__ import annotations

from contextlib import closing

import click

from deltamark.application.integrity.replay import replay as replay_here
from deltamark.application.integrity.replay import replay_into
from deltamark.bootstrap import open_lasting_store
from deltamark.domain.errors import ConcurrentRun, StoreError, UsageError
from deltamark.domain.history.changes import When
from deltamark.domain.integrity.verification import Discrepancy, LogVerification, Replayed
from deltamark.domain.messages import how_many
from deltamark.interfaces.cli.address_options import warn_of_password
from deltamark.interfaces.cli.context import Workspace, pass_workspace
from deltamark.interfaces.cli.exit_statuses import NothingStarted
from deltamark.interfaces.cli.parameters import Moment, Name
from deltamark.interfaces.cli.progress import CopyProgress
from deltamark.interfaces.cli.rendering import Column, Document, Format, Listing, member, render
from deltamark.interfaces.cli.streams import say

_MEMBERS = ("found", "subject", "position", "problem", "advice")


@click.command(epilog="Example: deltamark replay --into postgresql://deltamark@db/directory")
@click.option("--into", type=Name("URL"), metavar="URL", help="Fill this new store instead, SQLite or PostgreSQL.")
@click.option("--until", type=Moment(), metavar="WHEN", help="With --into: fill it with the store as it was then.")
@pass_workspace
def replay(workspace: Workspace, into: str | None, until: When | None) -> None:
    """Rebuilds the stored state from the log.

    It does so in one transaction: if it is stopped, everything stays as it was. It is refused while a run is going on.
    With --into, the store at URL, which must be new, gets the whole log and its state; this one is only read.

    With --until, it becomes what this store was at WHEN (a position, an ISO 8601 time, or run:N), with the
    configuration, flags, keys and places of then. What was discarded or erased since stays so; what is not as it was,
    because no log holds it, is said.
    """
    warn_of_password("--into", into)
    if until is not None:
        if into is None:
            raise UsageError("--until needs a new store: this one would lose its later history. Name one with --into.")
        _replay_until(workspace, into, until)
        return
    with workspace.opened_store() as store:
        if into is None:
            try:
                with CopyProgress("replaying the log") as progress:
                    done = replay_here(store, progress)
            except ConcurrentRun as e:
                raise NothingStarted(str(e)).with_next_steps(*e.next_steps) from e
            say(_summary(done))
            return
        try:
            target = open_lasting_store(into)
        except StoreError as e:
            raise NothingStarted(str(e)).with_next_steps(*e.next_steps) from e
        with closing(target), CopyProgress("replaying the log into the new store") as progress:
            done = replay_into(store, target, progress)
    say(f"The new store holds {counted(done.verified)}, up to position {done.verified.head}.{_source(done)}")


def _replay_until(workspace: Workspace, into: str, until: When) -> None:
    with workspace.engine(reads_files=False) as engine:
        done = engine.replay(into, until=until)
    verified = done.verified
    say(f"The new store holds {counted(verified)}, up to position {verified.head}. It is sound.")
    for note in done.notes:
        say(f"Not as it was: {note}.")


def _summary(done: Replayed) -> str:
    verified = done.verified
    if verified.database_faults:
        rows = f" {how_many(verified.differences, 'row')} put right." if verified.differences else ""
        return f"{counted(verified)}: the indexes were built again.{rows} Check the disk, and verify again."
    if not verified.differences:
        return f"{counted(verified)}: the stored state is what the log gives. Nothing had to be written."
    again = " The next runs compute everything that is derived anew." if done.recomputes else ""
    return f"{counted(verified)}: {how_many(verified.differences, 'row')} put right.{again}"


def _source(done: Replayed) -> str:
    if not done.verified.differences:
        return ""
    differ = how_many(done.verified.differences, "row")
    again = " There, the next runs compute everything that is derived anew." if done.recomputes else ""
    return f" It is what the log gives; in the old one {differ} of the state differ.{again}"


def counted(verified: LogVerification) -> str:
    """How much the log and the state hold."""
    deleted = f" ({verified.deleted_resources:,} deleted)" if verified.deleted_resources else ""
    removed = f" ({verified.removed_links:,} removed)" if verified.removed_links else ""
    return (
        f"{how_many(verified.events, 'event')}, {how_many(verified.resources, 'resource')}{deleted}, "
        f"{how_many(verified.links, 'link')}{removed}, {how_many(verified.runs, 'run')}"
    )


def show_verification(verified: LogVerification, form: Format) -> None:
    """Prints discrepancies, and a summary of them."""
    if verified.discrepancies or form is not Format.TABLE:
        documents = [_document(discrepancy) for discrepancy in verified.discrepancies]
        columns = [member(name) for name in _MEMBERS]
        table = [Column("found", lambda d: "state" if d["found"] == "state" else d["found"].upper()), *columns[1:]]
        render(Listing(documents=documents, columns=columns, table=table), form)
    if verified.digest:
        say(f"The log ends at position {verified.head}, with digest {verified.digest}.")
    say(_verdict(verified))


def _document(discrepancy: Discrepancy) -> Document:
    return {
        "found": "database" if discrepancy.in_database else "log" if discrepancy.in_log else "state",
        "subject": discrepancy.subject,
        "position": discrepancy.position,
        "problem": discrepancy.problem,
        "advice": discrepancy.advice if discrepancy.needs_backup else "deltamark replay",
    }


def _verdict(verified: LogVerification) -> str:
    if verified.is_sound:
        return f"{counted(verified)}: the log is whole, and replaying it gives the stored state."
    left = verified.database_faults + verified.log_faults + verified.differences - len(verified.discrepancies)
    more = f" The first {len(verified.discrepancies)} are shown." if left else ""
    damage = f"{how_many(verified.database_faults, 'fault')} of the database: it is damaged; " * bool(
        verified.database_faults
    )
    log = how_many(verified.log_faults, "fault")
    state = how_many(verified.differences, "difference")
    return f"{counted(verified)}: {damage}{log} of the log, {state} in the state.{more} {_advice(verified)}"


def _advice(verified: LogVerification) -> str:
    """What to do about faults: the database comes first, because all else was read from it."""
    if any(fault.in_database and fault.needs_backup for fault in verified.discrepancies):
        return "Restore a backup, and check the disk: nothing else that was read from it is certain."
    if verified.database_faults:
        return "Check the disk. `deltamark replay` builds the indexes again; then verify again."
    if verified.log_faults:
        return "Restore a backup: what the log lacks nothing brings back."
    return "`deltamark replay` makes the state what the log gives."


COMMANDS: tuple[click.Command, ...] = (replay,)
