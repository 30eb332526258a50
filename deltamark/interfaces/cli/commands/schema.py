"""The command about the configuration language: `schema`."""

from __future__ import annotations

from pathlib import Path

import click

from deltamark.config.xml.xsd import configuration_schema
from deltamark.infrastructure.system.atomic_file import whole_file
from deltamark.interfaces.cli.output_files import refuse_own_file
from deltamark.interfaces.cli.rendering import write
from deltamark.interfaces.cli.streams import one_line, say


@click.command(epilog="Example: deltamark schema -o deltamark.xsd")
@click.option(
    "-o",
    "--output",
    "file",
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="FILE",
    help="Write to a file, which appears whole or not at all.",
)
def schema(file: Path | None) -> None:
    """Prints the XML Schema of configurations, for editors.

    It knows every element and attribute of this version. An editor uses it where the root element names it:

    \b
    <ConfigurationFile xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance"
                       xsi:noNamespaceSchemaLocation="../deltamark.xsd">
    """
    text = configuration_schema().encode()
    if file is None:
        write([text])
        return
    refuse_own_file(file)
    with whole_file(file) as stream:
        stream.write(text)
    say(f"The schema was written to {one_line(str(file))}.")


COMMANDS: tuple[click.Command, ...] = (schema,)
