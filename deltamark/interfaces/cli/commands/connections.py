"""The commands `connections`, `export-source` and `places`."""

from __future__ import annotations

from pathlib import Path

import click

from deltamark.application.ports.sources import Probe
from deltamark.domain.errors import UsageError
from deltamark.domain.sources.places import KeptPlace
from deltamark.interfaces.cli.context import Workspace, by_options, format_option, pass_workspace
from deltamark.interfaces.cli.parameters import Name
from deltamark.interfaces.cli.rendering import Column, Document, Format, Listing, member, render
from deltamark.interfaces.cli.streams import say
from deltamark.interfaces.cli.times import time_column
from deltamark.interfaces.documents import time_of

_TEXTS = ("findings", "problems")
_PLACE = ("connection", "position", "since", "run", "delivery", "rows")


@click.command(epilog="Example: deltamark connections HR_Source")
@click.argument("names", metavar="[NAME]...", nargs=-1, type=Name("NAME"))
@format_option
@pass_workspace
def connections(workspace: Workspace, names: tuple[str, ...], form: Format) -> int:
    """Asks sources and sinks whether they can be used.

    It logs in as a run would, and looks at each table and folder, without reading rows, sending or making anything.
    Exit status 1 if one cannot be used.
    """
    with workspace.engine(create=True, dry_run=True) as engine:
        configuration = engine.configuration
        known = [item.identifier for item in (*configuration.sources, *configuration.sinks)]
        answers = {name: engine.probe(name) for name in names or known}
    documents = [_answer(name, answer) for name, answer in answers.items()]
    lists = [Column(name, lambda row, name=name: "; ".join(row[name]), is_list=True) for name in _TEXTS]  # type: ignore[misc]
    table = [member("connection"), member("server"), *lists]
    if documents or form is not Format.TABLE:
        columns = [member(name) for name in ("connection", "server", *_TEXTS)]
        render(Listing(documents=documents, columns=columns, table=table), form)
    else:
        say("No connection of the configuration has tables to read.")
    return 1 if any(answer.problems for answer in answers.values()) else 0


def _answer(name: str, answer: Probe) -> Document:
    return {
        "connection": name,
        "server": answer.server,
        "findings": list(answer.findings),
        "problems": list(answer.problems),
    }


@click.command("export-source", epilog="Example: deltamark export-source HR_Source --to seen")
@click.argument("name", metavar="NAME", type=Name("NAME"))
@click.option("--to", "folder", required=True, metavar="FOLDER", type=click.Path(path_type=Path), help="A new folder.")
@click.option("--csv", "as_csv", is_flag=True, help="Write CSV files instead of Parquet.")
@format_option
@pass_workspace
def export_source(workspace: Workspace, name: str, folder: Path, as_csv: bool, form: Format) -> None:
    """Writes what a connection reads into a new folder.

    Everything is read, as a first run would, before any transformation. The store is neither read nor written.
    """
    with workspace.engine(create=True, dry_run=True) as engine:
        rows, messages = engine.export_source(name, folder, as_csv=as_csv)
    for message in messages:
        say(f"{name}: {message}")
    documents = [{"table": table, "rows": count} for table, count in rows.items()]
    render(Listing(documents=documents, columns=[member("table"), member("rows")]), form)


@click.command(epilog='Example: deltamark places --forget HR_Source --reason "restored from a backup"')
@click.option("--forget", type=Name("NAME"), metavar="NAME", help="Give the place of this connection up.")
@by_options
@format_option
@pass_workspace
def places(workspace: Workspace, forget: str | None, by: str | None, reason: str | None, form: Format) -> None:
    """Shows how far the source of each connection was applied.

    An export reads what changed since then. The place moves when a synchronization applies what was delivered, in the
    same transaction. Where it is given up (--forget, which needs --reason), the next export reads everything.
    """
    if forget is not None:
        if reason is None:
            raise UsageError("--forget needs --reason TEXT: it is recorded. Give both.")
        with workspace.engine() as engine:
            place = engine.forget_place(forget, by=by, reason=reason)
        say(f"The place of {place.connection} (run {place.run}) is forgotten: the next export of it reads everything.")
        return
    if reason is not None:
        raise UsageError("--reason belongs to --forget NAME. Give both, or neither.")
    with workspace.engine(reading_only=True, reads_files=False) as engine:
        kept = engine.places()
    columns = [member(name) for name in _PLACE]
    table = [time_column(column.title) if column.title == "since" else column for column in columns]
    if kept or form is not Format.TABLE:
        render(Listing(documents=[_place(place) for place in kept], columns=columns, table=table), form)
    else:
        say("No place is kept: nothing that a connection delivered was applied yet.")


def _place(place: KeptPlace) -> Document:
    return {
        "connection": place.connection,
        "position": place.position,
        "since": time_of(place.since),
        "run": place.run,
        "delivery": place.delivery,
        "rows": place.rows,
    }


COMMANDS: tuple[click.Command, ...] = (connections, export_source, places)
