"""The command `retain`."""

from __future__ import annotations

from typing import Any

import click

from deltamark.domain.messages import how_many
from deltamark.domain.retention.retention import Retention, keep_of
from deltamark.interfaces.cli.context import Workspace, format_option, pass_workspace
from deltamark.interfaces.cli.documents import time_of
from deltamark.interfaces.cli.parameters import Name
from deltamark.interfaces.cli.progress import CopyProgress
from deltamark.interfaces.cli.rendering import Column, Document, Format, Listing, member, render
from deltamark.interfaces.cli.streams import say

_MEMBERS = ("subject", "change", "count", "first", "first_at", "last", "last_at", "bytes")


@click.command(epilog="Example: deltamark retain --connector HR --keep 90d --dry-run")
@click.option("--connector", type=Name("CONNECTOR"), metavar="CONNECTOR", required=True, help="The connector.")
@click.option(
    "--keep",
    type=Name("WHAT"),
    metavar="WHAT",
    required=True,
    help="What to keep: a time span (90d, 12h, 30min, 4w), a number of changes, or run:N and later.",
)
@click.option("--dry-run", is_flag=True, help="Show what would be discarded, and write nothing.")
@click.option("--even-unread", is_flag=True, help="Discard what a task has still to read, too.")
@click.option("--vacuum", is_flag=True, help="Give the space back to the disk (SQLite only).")
@format_option
@pass_workspace
def retain(
    workspace: Workspace, connector: str, keep: str, dry_run: bool, even_unread: bool, vacuum: bool, form: Format
) -> int:
    """Discards the old changes of a connector.

    The present state stays, and so do changes that a task has still to read, unless --even-unread is given; then the
    next flag task may flag everything. How resources were before can no longer be asked for.

    Exit status 0 when it is done, 1 if it was cancelled, 2 if the connector is being synchronized.
    """
    kept = keep_of(keep)
    with workspace.engine() as engine, CopyProgress(f"discarding changes of {connector}") as progress:
        found = engine.retain(
            connector, keep=kept, dry_run=dry_run, even_unread=even_unread, vacuum=vacuum, told=progress
        )
        space = engine.space()
    _print(found, form)
    _tell(found, dry_run=dry_run)
    if found.run is not None and space.free is not None:
        say(f"The file takes {space.size:,} bytes, of which {space.free:,} are free and will be reused.")
    elif found.run is not None:
        say(f"The tables take {space.size:,} bytes. PostgreSQL's autovacuum has what is free in them reused.")
    return 0 if found.is_finished else 1


def _print(found: Retention, form: Format) -> None:
    documents: list[Document] = [
        {
            "subject": one.subject,
            "change": one.kind,
            "count": one.count,
            "first": one.first,
            "first_at": time_of(one.first_at),
            "last": one.last,
            "last_at": time_of(one.last_at),
            "bytes": one.size,
        }
        for one in found.outgoing
    ]
    columns = [member(name) for name in _MEMBERS]
    table = [_to_the_second(name) if name.endswith("_at") else member(name) for name in _MEMBERS]
    if documents or form is not Format.TABLE:
        render(Listing(documents=documents, columns=columns, table=table), form)


def _to_the_second(name: str) -> Column:
    return Column(name.replace("_", " "), lambda document: document[name][:19].replace("T", " "))


def _tell(found: Retention, *, dry_run: bool) -> None:
    goes: dict[str, Any] = {"changes": how_many(found.count, "change"), "connector": found.connector}
    if not found.count:
        say("{connector}: there is nothing to discard.".format(**goes))
    elif dry_run:
        say("Dry run: {changes} of {connector} would be discarded, {0:,} bytes in the log.".format(found.size, **goes))
        say(
            f"Below position {found.up_to} ({time_of(found.up_to_at)}) there would be no answer any more from history, "
            f"changes, show --at, export --at and diff about {', '.join(found.subjects)}."
        )
    elif found.is_finished:
        say("Run {0}: {changes} of {connector} discarded up to position {1}.".format(found.run, found.up_to, **goes))
    else:
        say(f"Run {found.run}: cancelled; `deltamark runs {found.run}` says how many were discarded.")
    for one in found.unread:
        what = (
            "kept" if found.keeps(one) else "would be discarded though unread" if dry_run else "discarded though unread"
        )
        say(f"{how_many(one.count, 'change')} {what}: {one.reader} has read up to position {one.position}.")


COMMANDS: tuple[click.Command, ...] = (retain,)
