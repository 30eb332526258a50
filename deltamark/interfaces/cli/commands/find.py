"""Commands that look for resources: `types`, `find`."""

from __future__ import annotations

from collections.abc import Iterator

import click

from deltamark.domain.values import Value
from deltamark.interfaces.cli.context import Workspace, format_option, pass_workspace
from deltamark.interfaces.cli.export_rows import columns_of_values
from deltamark.interfaces.cli.parameters import CONDITION, Name, WholeNumber, conditions
from deltamark.interfaces.cli.rendering import Column, Document, Format, Listing, member, render
from deltamark.interfaces.cli.streams import one_line, say
from deltamark.interfaces.documents import entity_type_documents, listed_document


@click.command(epilog="Example: deltamark types")
@format_option
@pass_workspace
def types(workspace: Workspace, form: Format) -> None:
    """Shows the entity types, and how many resources each has.

    Also which connectors feed them, and the position below which changes were discarded.
    """
    with workspace.engine(reading_only=True) as engine:
        documents = list(entity_type_documents(engine.configuration, engine.counts(), engine.horizons()))
    columns = [member(name) for name in ("entity_type", "resources", "connectors", "horizon")]
    table = [*columns[:2], Column("connectors", lambda one: ", ".join(one["connectors"]), is_list=True), columns[3]]
    render(Listing(documents=documents, columns=columns, table=table), form)


@click.command(epilog="Example: deltamark find HR_Person Location=Lisbon")
@click.argument("entity_type", metavar="TYPE", type=Name("TYPE"))
@click.argument("where", metavar="[PROPERTY=VALUE]...", nargs=-1, type=CONDITION)
@click.option("--prefix", default="", metavar="TEXT", help="Only keys that begin so.")
@click.option("--after", type=Name("KEY"), metavar="KEY", help="Only keys beyond this one.")
@click.option("--limit", default=50, show_default=True, type=WholeNumber("N", 1), metavar="N", help="At most N.")
@format_option
@pass_workspace
def find(
    workspace: Workspace,
    entity_type: str,
    where: tuple[tuple[str, Value], ...],
    prefix: str,
    after: str | None,
    limit: int,
    form: Format,
) -> None:
    """Finds resources of a type by their values.

    They are shown as they are now, and have all of the values. PROPERTY= finds those without a value.
    """
    with workspace.engine(reading_only=True) as engine:
        page = engine.resources(entity_type, after=after, prefix=prefix, where=conditions(where), limit=limit)
        model = engine.type_model(entity_type)
    if not page.resources and form is Format.TABLE:
        say(f"No {entity_type} was found.")
        return
    documents: Iterator[Document] = ({**listed_document(resource)} for resource in page.resources)
    render(Listing(documents=documents, columns=columns_of_values(model)), form)
    if page.more and page.scanned_to is not None:
        say(one_line(f"There are more: --after '{page.scanned_to}' shows the next, --limit more at once."))


COMMANDS: tuple[click.Command, ...] = (types, find)
