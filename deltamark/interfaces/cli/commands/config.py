"""The commands about the configuration as a whole: `config …` and `adopt`."""

from __future__ import annotations

from pathlib import Path

import click

from deltamark.config.xml.writer import configuration_xml
from deltamark.domain.adoption.configuration_adopted import Adoption
from deltamark.domain.adoption.differences import ModelDifference
from deltamark.domain.history.changes import When
from deltamark.domain.messages import how_many
from deltamark.infrastructure.system.atomic_file import whole_file
from deltamark.interfaces.cli.context import (
    Workspace,
    by_options,
    format_option,
    leave_out_option,
    pass_workspace,
)
from deltamark.interfaces.cli.groups import GuessingGroup
from deltamark.interfaces.cli.output_files import refuse_own_file
from deltamark.interfaces.cli.parameters import WHEN
from deltamark.interfaces.cli.rendering import Column, Document, Format, Listing, member, render, write
from deltamark.interfaces.cli.streams import one_line, say
from deltamark.interfaces.cli.times import time_column
from deltamark.interfaces.documents import adoption_document, configuration_difference_document

_output_option = click.option(
    "-o",
    "--output",
    "file",
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="FILE",
    help="Write to a file, which appears whole or not at all.",
)

_ADOPTION_MEMBERS = (
    "position", "at", "change", "digest", "previous", "run", "by", "user", "reason", "differences",
)  # fmt: skip
_DIFFERENCE_MEMBERS = ("part", "name", "difference", "aspect", "before", "after")


@click.group(cls=GuessingGroup, epilog="Example: deltamark config log")
def config() -> None:
    """Shows configurations, of now and of the past."""


@config.command(epilog="Example: deltamark config export -o company.xml")
@_output_option
@leave_out_option
@pass_workspace
def export(workspace: Workspace, file: Path | None) -> None:
    """Prints the configuration as one XML file.

    All files are merged. Default values and comments are left out. Loading the file gives the same configuration.
    """
    if file is not None:
        refuse_own_file(file)
    _write(configuration_xml(workspace.loaded().configuration), file)


@config.command(epilog="Example: deltamark config log --format jsonl")
@format_option
@pass_workspace
def log(workspace: Workspace, form: Format) -> None:
    """Shows when which configuration was adopted, oldest first.

    With what differs from the one before, the user and the reason. The first run under a configuration adopts it.
    """
    with workspace.engine(reads_files=False) as engine:
        adopted = engine.configurations()
    listing = Listing(
        documents=[adoption_document(adoption) for adoption in adopted],
        columns=[member(name) for name in _ADOPTION_MEMBERS],
        table=[
            member("position"),
            time_column("at"),
            member("run"),
            Column("by", _by),
            member("reason"),
            Column("what differs", _what_differs),
        ],
    )
    render(listing, form)


def _by(document: Document) -> str:
    return str(document["by"] if document["by"] == document["user"] else f"{document['by']} ({document['user']})")


def _what_differs(document: Document) -> str:
    if document["previous"] is None:
        return "(the first one)"
    return "; ".join(document["differences"]) or "only the order"


@config.command(epilog="Example: deltamark config show --at run:7 -o then.xml")
@click.option("--at", type=WHEN, metavar="WHEN", help="The one in force at a position, a time or the end of run:N.")
@_output_option
@pass_workspace
def show(workspace: Workspace, at: When | None, file: Path | None) -> None:
    """Prints the configuration in force, now or at a moment, as XML.

    It is what the store keeps, whatever the files say now: all files merged, without comments and default values.
    """
    if file is not None:
        refuse_own_file(file)
    with workspace.engine(reads_files=False) as engine:
        adopted = engine.configuration_at(engine.position() if at is None else at)
    _write(adopted.xml, file)
    say(f"Adopted {_where(adopted)}, by {one_line(adopted.by)}.")


@config.command(epilog="Example: deltamark config diff --from run:3 --to run:7")
@click.option("--from", "from_", type=WHEN, metavar="WHEN", required=True, help="The first moment.")
@click.option("--to", type=WHEN, metavar="WHEN", help="The second moment; now, if it is left out.")
@format_option
@pass_workspace
def diff(workspace: Workspace, from_: When, to: When | None, form: Format) -> None:
    """Shows what differs between the configurations of two moments.

    In the words of the model: properties, associations, mappings, rules and jobs that were added, dropped or changed.
    """
    with workspace.engine(reads_files=False) as engine:
        before, after = engine.configuration_at(from_), engine.configuration_at(engine.position() if to is None else to)
    found = after.differences_from(before)
    listing = Listing(
        documents=[configuration_difference_document(difference) for difference in found],
        columns=[member(name) for name in _DIFFERENCE_MEMBERS],
    )
    render(listing, form)
    say(_count_of(found))


def _count_of(found: tuple[ModelDifference, ...]) -> str:
    return f"{how_many(len(found), 'difference')}." if found else "The configurations of the two moments are equal."


@click.command(epilog="Example: deltamark adopt --reason 'change 4711: phone numbers are texts'")
@by_options
@leave_out_option
@pass_workspace
def adopt(workspace: Workspace, by: str | None, reason: str | None) -> None:
    """Puts the configuration of the files into force.

    It converts and removes what `plan` shows. The next run would do so too, unless that is more than the setting
    `adoption` allows; this does it without a job, and records the reason. It is refused while a run is going on (exit
    status 2). Nothing is written where the configuration is in force already.
    """
    with workspace.engine(create=True, runs_code=True) as engine:
        adopted = engine.adopt(by=by, reason=reason)
        if adopted is None:
            say("The configuration is in force already; nothing was written.")
            return
        (task,) = engine.run(adopted.run).tasks
    for difference in adopted.differences:
        say(f"  {one_line(difference)}")
    say(f"The configuration was adopted {_where(adopted)}.")
    if task.counts.changed:
        changes = how_many(task.counts.changed, "change")
        say(f"In the store {changes} followed. `deltamark runs {adopted.run}` says more.")


def _where(adopted: Adoption) -> str:
    return f"at position {adopted.position}, in run {adopted.run}"


def _write(xml: str, file: Path | None) -> None:
    if file is None:
        write([xml.encode()])
        return
    with whole_file(file) as stream:
        stream.write(xml.encode())
    say(f"The configuration was written to {one_line(str(file))}.")


COMMANDS: tuple[click.Command, ...] = (config, adopt)
