"""The commands `deliver`, `sinks` and `dead-letters`."""

from __future__ import annotations

import click

from deltamark.domain.errors import SinkError, UsageError
from deltamark.domain.messages import how_many
from deltamark.domain.sinks.dead_letters import DeadLetter
from deltamark.interfaces.cli.context import Workspace, by_options, format_option, pass_workspace
from deltamark.interfaces.cli.parameters import Name
from deltamark.interfaces.cli.rendering import Document, Format, Listing, member, render
from deltamark.interfaces.cli.streams import say
from deltamark.interfaces.cli.times import time_column
from deltamark.interfaces.documents import time_of

_DELIVERED = ("sink", "sent", "refused", "gaps", "position")
_SINKS = ("sink", "package", "position", "behind", "refused", "stopped")
_LETTERS = ("sink", "position", "state", "tries", "refused_at", "problem")
_MORE = ("part", "decided_at", "decided_by", "reason")


@click.command(epilog="Example: deltamark deliver Directory_Feed")
@click.argument("names", metavar="[SINK]...", nargs=-1, type=Name("SINK"))
@click.option("--dry-run", is_flag=True, help="Show how many changes would be delivered; send nothing.")
@format_option
@pass_workspace
def deliver(workspace: Workspace, names: tuple[str, ...], dry_run: bool, form: Format) -> int:
    """Delivers changes to the sinks of the configuration.

    A sink is a Connection with a package such as WebhookSink. It gets the changes beyond its own place in the log, in
    order. The place moves when the sink has confirmed them: a delivery that was ended sends some of them again, with
    the same ids. What a sink refuses for good is kept on record, see dead-letters. Exit status 1 if a sink does not
    take the changes.
    """
    documents: list[Document] = []
    failed = 0
    with workspace.engine(create=True) as engine:
        chosen = names or tuple(status.sink for status in engine.sinks())
        for name in chosen:
            try:
                done = engine.deliver(name, dry_run=dry_run)
            except SinkError as e:
                say(str(e))
                failed += 1
                continue
            documents.append(
                {
                    "sink": done.sink,
                    "sent": done.sent,
                    "refused": len(done.refused),
                    "gaps": len(done.gaps),
                    "position": done.position,
                }
            )
            for gap in done.gaps:
                what = "changes" if gap.subject is None else f"changes of {gap.subject}"
                how = "discarded" if gap.erased is None else "erased"
                say(f"{done.sink}: {what} up to position {gap.until} were {how} by run {gap.run} before.")
    if documents or form is not Format.TABLE:
        render(Listing(documents=documents, columns=[member(name) for name in _DELIVERED]), form)
    elif not chosen:
        say("No connection of the configuration is a sink.")
    return 1 if failed else 0


@click.command(epilog="Example: deltamark sinks")
@format_option
@pass_workspace
def sinks(workspace: Workspace, form: Format) -> None:
    """Shows the sinks, and how far they are.

    `behind` is how many changes of the log lie beyond the place of a sink, `refused` how many it refused for good and
    nobody has decided about. A sink that is stopped said that it takes no more changes.
    """
    with workspace.engine(create=True, dry_run=True) as engine:
        statuses = engine.sinks()
    documents = [
        {
            "sink": status.sink,
            "package": status.package,
            "position": status.position,
            "behind": status.behind,
            "refused": status.refused,
            "stopped": status.is_stopped,
        }
        for status in statuses
    ]
    if documents or form is not Format.TABLE:
        render(Listing(documents=documents, columns=[member(name) for name in _SINKS]), form)
    else:
        say("No connection of the configuration is a sink.")


@click.command("dead-letters", epilog='Example: deltamark dead-letters Feed --drop 42 --reason "was a test"')
@click.argument("sink", required=False, type=Name("SINK"))
@click.option("--all", "decided", is_flag=True, help="Also what was delivered, dropped or released since.")
@click.option("--retry", is_flag=True, help="Send what SINK refused once more.")
@click.option("--drop", type=int, multiple=True, metavar="POSITION", help="Give up this change of SINK.")
@by_options
@format_option
@pass_workspace
def dead_letters(
    workspace: Workspace,
    sink: str | None,
    decided: bool,
    retry: bool,
    drop: tuple[int, ...],
    by: str | None,
    reason: str | None,
    form: Format,
) -> None:
    """Shows the changes that sinks refused for good.

    They stay on record until they are sent again (--retry) or given up (--drop, which needs --reason). Where a sink
    said that it takes no more changes, either lets its deliveries go on, with that change first.
    """
    if retry and drop:
        raise UsageError("--retry and --drop exclude each other. Give one of them.")
    if (retry or drop) and sink is None:
        raise UsageError("--retry and --drop need the name of a SINK. Give it.")
    if drop and reason is None:
        raise UsageError("--drop needs --reason TEXT: it is recorded. Give both.")
    if reason is not None and not drop:
        raise UsageError("--reason belongs to --drop POSITION. Give both, or neither.")
    with workspace.engine(create=True) as engine:
        if sink is not None and retry:
            done = engine.retry_dead_letters(sink, by=by)
            for words, letters in (
                ("was delivered", done.delivered),
                ("was refused again", done.refused),
                ("is released: the next delivery sends it", done.released),
                ("is no longer in the log, and stays on record until it is dropped", done.gone),
            ):
                for letter in letters:
                    say(f"{letter.sink}: the change at position {letter.position} {words}.")
            if not (done.delivered or done.refused or done.released or done.gone):
                say(f"{sink}: nothing that it refused is still to be decided.")
            return
        if sink is not None and reason is not None:
            dropped = engine.drop_dead_letters(sink, drop, by=by, reason=reason)
            say(f"{sink}: {how_many(len(dropped), 'change')} dropped.")
            return
        letters_known = engine.dead_letters(sink, decided=decided)
    shown = (*_LETTERS, *_MORE) if decided else _LETTERS
    columns = [member(name) for name in (*_LETTERS, *_MORE)]
    table = [time_column(name, name.replace("_", " ")) if name.endswith("_at") else member(name) for name in shown]
    if letters_known or form is not Format.TABLE:
        documents = [_letter(letter) for letter in letters_known]
        render(Listing(documents=documents, columns=columns, table=table), form)
    else:
        say("No sink has refused a change that is still to be decided.")


def _letter(letter: DeadLetter) -> Document:
    return {
        "sink": letter.sink,
        "position": letter.position,
        "part": letter.part or None,
        "state": letter.state.value,
        "tries": letter.tries,
        "refused_at": time_of(letter.refused_at),
        "problem": letter.problem,
        "decided_at": time_of(letter.decided_at),
        "decided_by": letter.decided_by or None,
        "reason": letter.reason or None,
    }


COMMANDS: tuple[click.Command, ...] = (deliver, sinks, dead_letters)
