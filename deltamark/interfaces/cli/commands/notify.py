"""The command `notify`."""

from __future__ import annotations

import click

from deltamark.domain.errors import UsageError
from deltamark.domain.messages import how_many
from deltamark.domain.notifications.record import NotificationRecord
from deltamark.interfaces.cli.context import Workspace, format_option, pass_workspace
from deltamark.interfaces.cli.parameters import Name
from deltamark.interfaces.cli.rendering import Document, Format, Listing, member, render
from deltamark.interfaces.cli.streams import say
from deltamark.interfaces.cli.times import time_column
from deltamark.interfaces.documents import time_of

_SENT = ("channel", "sent", "waiting", "failed", "problem")
_RECORD = ("channel", "id", "state", "tries", "noted_at", "tried_at", "problem")


@click.command(epilog="Example: deltamark notify --show")
@click.option("--show", is_flag=True, help="Show what is due or has failed; send nothing.")
@click.option("--all", "sent", is_flag=True, help="With --show: also what was sent.")
@click.option("--retry", type=Name("CHANNEL"), metavar="CHANNEL", help="Send what failed for good by CHANNEL again.")
@format_option
@pass_workspace
def notify(workspace: Workspace, show: bool, sent: bool, retry: str | None, form: Format) -> int:
    """Tells people how runs ended, and of a schedule not kept.

    The channels are in deltamark.toml: [deltamark.notify.NAME]. Runs, `schedule` and `serve` send by themselves; call
    this from cron where none of them is at work. Each notification is sent once; after a crash it may be sent again
    with the same id. What fails is tried again for about two days. Exit status 1 if something was not sent.
    """
    if sent and not show:
        raise UsageError("--all belongs to --show. Give both.")
    with workspace.engine(create=True, reading_only=True) as engine:
        if not engine.channels:
            say("No channel is set. Write [deltamark.notify.NAME] in deltamark.toml.")
            return 0
        if show:
            documents = [_document(record) for record in engine.notifications(sent=sent)]
            columns = [member(name) for name in _RECORD]
            table = [time_column(column.title) if column.title.endswith("_at") else column for column in columns]
            if documents or form is not Format.TABLE:
                render(Listing(documents=documents, columns=columns, table=table), form)
            else:
                say("Every notification was sent.")
            return 0
        if retry is not None:
            say(f"{how_many(engine.retry_notifications(retry), 'notification')} to be sent again.")
        done = engine.notify()
    documents = [
        {
            "channel": each.channel,
            "sent": each.sent,
            "waiting": each.waiting,
            "failed": each.failed,
            "problem": "another process sends" if each.is_busy else each.problem,
        }
        for each in done
    ]
    render(Listing(documents=documents, columns=[member(name) for name in _SENT]), form)
    return 1 if any(each.problem for each in done) else 0


def _document(record: NotificationRecord) -> Document:
    return {
        "channel": record.channel,
        "id": record.notification.id,
        "state": record.delivery.value,
        "tries": record.tries,
        "noted_at": time_of(record.noted_at),
        "tried_at": time_of(record.tried_at),
        "problem": record.problem,
    }


COMMANDS: tuple[click.Command, ...] = (notify,)
