"""Commands about what is derived: what is dirty, and which keys were computed."""

from __future__ import annotations

import click

from deltamark.infrastructure.cli.documents import dirty_document, key_document, pair_document
from deltamark.infrastructure.cli.moments import Name
from deltamark.infrastructure.cli.opening import Workspace, format_option, pass_workspace
from deltamark.infrastructure.cli.rendering import Format, Listing, member, render


@click.command(epilog="Example: deltamark dirty --type HR_Person")
@click.option("--type", "entity_type", type=Name("TYPE"), metavar="TYPE", help="Only resources of an entity type.")
@click.option("--task", type=Name("TASK"), metavar="TASK", help="Only what one task would compute.")
@format_option
@pass_workspace
def dirty(workspace: Workspace, entity_type: str | None, task: str | None, form: Format) -> None:
    """Shows the resources that the tasks with Dirty="true" would compute now.

    `since` is the position of the first change that the task has not seen, 0 where it would compute everything.
    """
    columns = [member(name) for name in ("task", "entity_type", "key", "since")]
    with workspace.engine() as engine:
        documents = [dirty_document(resource) for resource in engine.dirty(entity_type, task=task)]
    render(Listing(documents=documents, columns=columns), form)


@click.command(epilog="Example: deltamark keys --rule Account_1 --pairs")
@click.option("--rule", type=Name("RULE"), metavar="RULE", help="Only those of one correlation rule.")
@click.option("--pairs", is_flag=True, help="The pairs of a source and a target whose keys are equal.")
@format_option
@pass_workspace
def keys(workspace: Workspace, rule: str | None, pairs: bool, form: Format) -> None:
    """Shows the correlation keys that were computed, or the pairs that they match."""
    names = ("rule", "side", "entity_type", "key", "value")
    if pairs:
        names = (
            "rule", "value", "source_entity_type", "source_key", "target_entity_type", "target_key", "confidence",
        )  # type: ignore[assignment]  # fmt: skip
    columns = [member(name) for name in names]
    with workspace.engine() as engine:
        if pairs:
            render(Listing(documents=(pair_document(p) for p in engine.matches(rule)), columns=columns), form)
        else:
            render(Listing(documents=(key_document(k) for k in engine.keys(rule)), columns=columns), form)


COMMANDS: tuple[click.Command, ...] = (dirty, keys)
