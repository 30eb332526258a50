"""The command `consumers`."""

from __future__ import annotations

import click

from deltamark.domain.errors import UsageError
from deltamark.domain.history.changes import When
from deltamark.domain.history.consumer import ConsumerStatus
from deltamark.interfaces.cli.context import Workspace, format_option, pass_workspace
from deltamark.interfaces.cli.parameters import Moment, Name
from deltamark.interfaces.cli.rendering import Document, Format, Listing, member, render
from deltamark.interfaces.cli.streams import say
from deltamark.interfaces.cli.times import time_column
from deltamark.interfaces.documents import time_of

_MEMBERS = ("consumer", "position", "behind", "waiting_since", "moved_at", "began_at", "gap")
_SHOWN = ("consumer", "position", "behind", "waiting_since", "moved_at")


@click.command(epilog="Example: deltamark consumers --reset billing --to 2026-11-24T08:00:00Z")
@click.option("--reset", type=Name("NAME"), metavar="NAME", help="Move this consumer to the moment given by --to.")
@click.option("--to", type=Moment(), metavar="WHEN", help="With --reset: it reads what lies beyond this moment.")
@click.option("--remove", type=Name("NAME"), metavar="NAME", help="Drop the place of this consumer.")
@format_option
@pass_workspace
def consumers(workspace: Workspace, reset: str | None, to: When | None, remove: str | None, form: Format) -> None:
    """Shows programs that read the log, and how far they are.

    A program makes its place with Engine.consumer, and moves it when it has done its work. `behind` is how many changes
    it has still to read; retention keeps them. Where some of them were discarded all the same, `gap` is the position up
    to which they may be missing, and the program is told when it reads next.

    WHEN is a position, an ISO 8601 time, or run:N (the end of that run).
    """
    if (reset is None) != (to is None):
        raise UsageError("--reset NAME and --to WHEN belong together. Give both, or neither.")
    if reset is not None and remove is not None:
        raise UsageError("--reset and --remove exclude each other. Give one of them.")
    with workspace.engine(reading_only=True) as engine:
        if reset is not None and to is not None:
            place = engine.reset_consumer(reset, to)
            say(f"Consumer {place.name} is at position {place.position} now.")
            return
        if remove is not None:
            place = engine.remove_consumer(remove)
            say(f"Consumer {place.name}, at position {place.position}, was removed.")
            return
        statuses = engine.consumers()
    columns = [member(name) for name in _MEMBERS]
    table = [
        time_column(name, name.replace("_", " ")) if name.endswith(("_at", "_since")) else member(name)
        for name in _SHOWN
    ]
    if statuses or form is not Format.TABLE:
        render(Listing(documents=[_document(status) for status in statuses], columns=columns, table=table), form)
    if form is not Format.TABLE:
        return
    if not statuses:
        say("There are no consumers.")
    for status in statuses:
        if status.gap is not None:
            gap = status.gap
            say(
                f"{status.name}: changes of {gap.connector} up to position {gap.position}, which it had not all read, "
                f"were discarded by run {gap.run}."
            )


def _document(status: ConsumerStatus) -> Document:
    return {
        "consumer": status.name,
        "position": status.position,
        "behind": status.behind,
        "waiting_since": None if status.waiting_since is None else time_of(status.waiting_since),
        "moved_at": time_of(status.place.moved_at),
        "began_at": time_of(status.place.began_at),
        "gap": None if status.gap is None else status.gap.position,
    }


COMMANDS: tuple[click.Command, ...] = (consumers,)
