"""The command `plan`: what adopting the present configuration will do."""

from __future__ import annotations

import click

from deltamark.domain.adoption.plan import AdoptionPlan
from deltamark.domain.adoption.unfed import undecided
from deltamark.domain.next_steps import NextAction, NextStep
from deltamark.interfaces.cli.context import Workspace, format_option, leave_out_option, pass_workspace
from deltamark.interfaces.cli.next_steps import command_lines
from deltamark.interfaces.cli.rendering import Column, Document, Format, Listing, member, render
from deltamark.interfaces.cli.streams import one_line, say
from deltamark.interfaces.documents import effect_document

_COUNTS = (
    "converted", "removed", "unreadable", "created", "deleted", "linked", "unlinked", "underived", "computed",
    "forgotten",
)  # fmt: skip


@click.command(epilog="Example: deltamark plan --format jsonl")
@format_option
@leave_out_option
@pass_workspace
def plan(workspace: Workspace, form: Format) -> None:
    """Shows what adopting the present configuration will do.

    Each row is a difference from the configuration in force, with what it does to the store: what is converted, removed
    or added, and what is computed anew. Nothing is written. `adopt` does exactly that; so does the next run, unless
    that converts or removes more than the setting `adoption` allows.
    """
    with workspace.engine(runs_code=True) as engine:
        planned = engine.plan()
    documents = [effect_document(effect) for effect in planned.effects]
    columns = [member(name) for name in ("difference", *_COUNTS)]
    texts = {effect.difference.text: effect.text for effect in planned.effects}
    table = [member("difference"), Column("effect", lambda document: texts[document["difference"]])]
    if any(effect.samples for effect in planned.effects):
        table.append(Column("such as", _samples))
    if documents or form is not Format.TABLE:
        render(Listing(documents=documents, columns=columns, table=table), form)
    for line in _in_all(planned):
        say(line)
    _say_unfed(planned)


def _say_unfed(planned: AdoptionPlan) -> None:
    """What the store holds and nothing feeds, what reads it, and what is frozen on purpose."""
    for item in planned.unfed:
        say(one_line(f"{'Notice' if item.freeze else 'Warning'}: {item.text}."))
        for reader in () if item.freeze else item.readers:
            say(one_line(f"  It is read by {reader.removesuffix(',')}."))
    steps = [NextStep(NextAction.DECOMMISSION, group.name) for group in undecided(planned.unfed)]
    for line in command_lines(steps):
        say(line)


def _samples(document: Document) -> str:
    return "; ".join(document["samples"])


def _in_all(planned: AdoptionPlan) -> list[str]:
    """What the plan comes to, and who may adopt the configuration."""
    if planned.is_in_force:
        return ["The configuration is in force: there is nothing to adopt."]
    if not planned.is_known:
        return ["No configuration was adopted yet: the next run adopts this one, and converts nothing."]
    lines = [one_line(f"In all: {planned.summary}.")]
    if planned.waits_because is None:
        return [*lines, "The next run adopts it; so does `deltamark adopt`."]
    waits = one_line(f"No run adopts it: {planned.waits_because}.")
    return [*lines, waits, *command_lines([NextStep(NextAction.ADOPT)])]


COMMANDS: tuple[click.Command, ...] = (plan,)
