"""The command `decommission`."""

from __future__ import annotations

from typing import Literal

import click

from deltamark.domain.adoption.decommission import Decommission, DecommissionAction, Holding
from deltamark.domain.errors import ConcurrentRun, UsageError
from deltamark.domain.messages import how_many
from deltamark.interfaces.cli.context import Workspace, by_options, format_option, pass_workspace
from deltamark.interfaces.cli.exit_statuses import NothingStarted
from deltamark.interfaces.cli.parameters import Name
from deltamark.interfaces.cli.rendering import Column, Format, Listing, member, render
from deltamark.interfaces.cli.streams import one_line, say
from deltamark.interfaces.documents import holding_document

_MEMBERS = ("kind", "name", "resources", "links", "waiting", "with_resources", "frozen")


@click.command(epilog="Example: deltamark decommission AD --delete --reason 'change 4711'")
@click.argument("name", type=Name("NAME"), metavar="NAME")
@click.option("--delete", is_flag=True, help="Delete what the store holds of it, on record.")
@click.option("--freeze", is_flag=True, help="Keep it on purpose; nothing warns of it.")
@by_options
@click.option("--force", is_flag=True, help="Delete also more than the limit.")
@click.option("--dry-run", is_flag=True, help="Show what there is, and write nothing.")
@click.option(
    "--kind",
    type=click.Choice(["connector", "type", "association"]),
    metavar="KIND",
    help="What NAME is: connector, type or association.",
)
@format_option
@pass_workspace
def decommission(
    workspace: Workspace,
    name: str,
    delete: bool,
    freeze: bool,
    by: str | None,
    reason: str | None,
    force: bool,
    dry_run: bool,
    kind: Literal["connector", "type", "association"] | None,
    form: Format,
) -> None:
    """Deletes or freezes what nothing feeds any more.

    NAME is an entity type, an association, or a connector, which stands for all that it fed last; it must not be fed.
    Without --delete or --freeze it shows what there is. More than a tenth of the setting `adoption` needs --force (exit
    status 3). Exit status 0 when it is done, 2 while a run is going on.
    """
    how = _how(delete=delete, freeze=freeze, reason=reason)
    try:
        with workspace.engine(runs_code=True) as engine:
            outlook = engine.decommission(name, how, by=by, reason=reason, kind=kind, dry_run=True)
            _print(outlook, form)
            done = outlook
            if how is not None and not dry_run:
                done = engine.decommission(name, how, by=by, reason=reason, kind=kind, force=force)
    except ConcurrentRun as e:
        raise NothingStarted(str(e)).with_next_steps(*e.next_steps) from e
    for line in _summary(done, asked=how is not None):
        say(one_line(line))


def _how(*, delete: bool, freeze: bool, reason: str | None) -> Literal["delete", "freeze"] | None:
    if delete and freeze:
        raise UsageError("--delete and --freeze exclude each other. Give one of them.")
    if not (delete or freeze):
        return None
    if reason is None:
        raise UsageError(f"{'--delete' if delete else '--freeze'} needs a --reason, which is recorded.")
    return "delete" if delete else "freeze"


def _print(outlook: Decommission, form: Format) -> None:
    documents = [holding_document(holding) for holding in outlook.holdings]
    texts = {(h.subject.kind.value, h.subject.name): _holds(h) for h in outlook.holdings}
    table = [
        Column("what", lambda document: f"{document['kind']} {document['name']}"),
        Column("holds", lambda document: texts[document["kind"], document["name"]]),
    ]
    if documents or form is not Format.TABLE:
        render(Listing(documents=documents, columns=[member(name) for name in _MEMBERS], table=table), form)


def _holds(holding: Holding) -> str:
    with_resources = ", which go with the resources" if holding.is_with_resources else ""
    frozen = f"; {holding.freeze.text}" if holding.freeze else ""
    return f"{holding.text}{with_resources}{frozen}"


def _summary(done: Decommission, *, asked: bool) -> list[str]:
    if all(holding.is_empty for holding in done.holdings):
        return [f"The store holds nothing of {done.name} that nothing feeds; there is nothing to decommission."]
    resources = how_many(sum(holding.resources for holding in done.holdings), "resource")
    counts = f"{resources} and {how_many(done.links, 'link')}"
    if not asked:
        return [
            f"Nothing feeds it. --delete would delete {counts}; --freeze keeps what there is. Both need --reason, and "
            "were not given: nothing was written."
        ]
    if done.action is DecommissionAction.DELETE:
        if done.run is None:
            force = "; that needs --force" if done.waits_because else ""
            return [f"Dry run: {counts} would be deleted{force}."]
        return [
            f"Run {done.run}: {counts} of {done.name} deleted (reason: {done.reason}). "
            f"`deltamark changes --run {done.run}` shows them; the next incremental job computes what depends on them."
        ]
    if done.run is None:
        return ["Dry run: it would be frozen as it is."]
    return [f"Run {done.run}: {done.name} is frozen as it is (reason: {done.reason})."]


COMMANDS: tuple[click.Command, ...] = (decommission,)
