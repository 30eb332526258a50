"""The commands `config …`."""

from __future__ import annotations

from pathlib import Path

import click

from deltamark.config.xml.writer import configuration_xml
from deltamark.infrastructure.system.atomic_file import whole_file
from deltamark.interfaces.cli.context import Workspace, leave_out_option, pass_workspace
from deltamark.interfaces.cli.groups import GuessingGroup
from deltamark.interfaces.cli.output_files import refuse_own_file
from deltamark.interfaces.cli.rendering import write
from deltamark.interfaces.cli.streams import one_line, say


@click.group(cls=GuessingGroup, epilog="Example: deltamark config export -o company.xml")
def config() -> None:
    """Writes the configuration."""


@config.command(epilog="Example: deltamark config export -o company.xml")
@click.option(
    "-o",
    "--output",
    "file",
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="FILE",
    help="Write to a file, which appears whole or not at all.",
)
@leave_out_option
@pass_workspace
def export(workspace: Workspace, file: Path | None) -> None:
    """Prints the configuration as one XML file.

    All files are merged. Default values and comments are left out. Loading the file gives the same configuration.
    """
    if file is not None:
        refuse_own_file(file)
    configuration = workspace.loaded().configuration
    text = configuration_xml(configuration).encode()
    if file is None:
        write([text])
        return
    with whole_file(file) as stream:
        stream.write(text)
    say(f"The configuration was written to {one_line(str(file))}.")


COMMANDS: tuple[click.Command, ...] = (config,)
