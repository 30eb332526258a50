"""The command `retain`."""

from __future__ import annotations

import click

from deltamark.domain.errors import UsageError
from deltamark.domain.messages import how_many
from deltamark.domain.retention.retention import Retention, keep_of
from deltamark.interfaces.cli.context import Workspace, by_options, format_option, pass_workspace
from deltamark.interfaces.cli.parameters import Name
from deltamark.interfaces.cli.progress import CopyProgress
from deltamark.interfaces.cli.rendering import Document, Format, Listing, member, render
from deltamark.interfaces.cli.streams import say
from deltamark.interfaces.cli.task_names import TaskNames
from deltamark.interfaces.cli.times import shown_time, time_column
from deltamark.interfaces.documents import time_of

_MEMBERS = ("subject", "change", "count", "first", "first_at", "last", "last_at", "bytes")


@click.command(epilog="Example: deltamark retain --connector HR --keep 90d --dry-run")
@click.option("--connector", type=Name("CONNECTOR"), metavar="NAME", help="A connector: all that it feeds or fed last.")
@click.option("--type", "entity_type", type=Name("TYPE"), metavar="NAME", help="Or an entity type.")
@click.option("--association", type=Name("ASSOCIATION"), metavar="NAME", help="Or an association.")
@click.option(
    "--keep",
    type=Name("WHAT"),
    metavar="WHAT",
    required=True,
    help="Keep 90d, 12h, 100 or run:N.",
)
@click.option("--dry-run", is_flag=True, help="Show what would be discarded, and write nothing.")
@click.option("--even-unread", is_flag=True, help="Discard what a task has still to read, too.")
@click.option("--vacuum", is_flag=True, help="Give the space back to the disk (SQLite only).")
@by_options
@format_option
@pass_workspace
def retain(
    workspace: Workspace,
    connector: str | None,
    entity_type: str | None,
    association: str | None,
    keep: str,
    dry_run: bool,
    even_unread: bool,
    vacuum: bool,
    by: str | None,
    reason: str | None,
    form: Format,
) -> int:
    """Discards old changes of a connector, type or association.

    The present state stays, and so does what a task has still to read. Exit status 0 when it is done, 1 if it was
    cancelled, 2 if the connector is being synchronized.
    """
    if [connector, entity_type, association].count(None) != 2:
        raise UsageError("give one of --connector, --type and --association, and only one.")
    kept = keep_of(keep)
    # Functions tell whether their tasks have still to read the changes.
    with workspace.engine(runs_code=True) as engine, CopyProgress("discarding changes") as progress:
        retention = engine.retain(
            connector,
            entity_type=entity_type,
            association=association,
            keep=kept,
            dry_run=dry_run,
            even_unread=even_unread,
            vacuum=vacuum,
            by=by,
            reason=reason,
            told=progress,
        )
        space, names = engine.space(), TaskNames.of(engine.configuration)
    _print(retention, form)
    _print_summary(retention, names, dry_run=dry_run)
    if retention.run is not None and space.free is not None:
        say(f"The file takes {space.size:,} bytes, of which {space.free:,} are free and will be reused.")
    elif retention.run is not None:
        say(f"The tables take {space.size:,} bytes. PostgreSQL's autovacuum has what is free in them reused.")
    return 0 if retention.is_finished else 1


def _print(retention: Retention, form: Format) -> None:
    documents: list[Document] = [
        {
            "subject": group.subject,
            "change": group.kind,
            "count": group.count,
            "first": group.first,
            "first_at": time_of(group.first_at),
            "last": group.last,
            "last_at": time_of(group.last_at),
            "bytes": group.size,
        }
        for group in retention.outgoing
    ]
    columns = [member(name) for name in _MEMBERS]
    table = [time_column(name, name.replace("_", " ")) if name.endswith("_at") else member(name) for name in _MEMBERS]
    if documents or form is not Format.TABLE:
        render(Listing(documents=documents, columns=columns, table=table), form)


def _print_summary(retention: Retention, names: TaskNames, *, dry_run: bool) -> None:
    changes = how_many(retention.count, "change")
    if not retention.count:
        say(f"{retention.of}: there is nothing to discard.")
    elif dry_run:
        say(f"Dry run: {changes} of {retention.of} would be discarded, {retention.size:,} bytes in the log.")
        say(
            f"Below position {retention.up_to} ({shown_time(retention.up_to_at)}) there would be no answer any more "
            f"from history, changes, show --at, export --at and diff about {', '.join(retention.subjects)}."
        )
    elif retention.is_finished:
        say(f"Run {retention.run}: {changes} of {retention.of} discarded up to position {retention.up_to}.")
    else:
        say(f"Run {retention.run}: cancelled; `deltamark runs {retention.run}` says how many were discarded.")
    for unread in retention.unread:
        discarded = "would be discarded though unread" if dry_run else "discarded though unread"
        what = "kept" if retention.keeps(unread) else discarded
        reader = names.shown(unread.reader)
        say(f"{how_many(unread.count, 'change')} {what}: {reader} has read up to position {unread.position}.")


COMMANDS: tuple[click.Command, ...] = (retain,)
