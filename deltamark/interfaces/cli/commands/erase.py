"""The command `erase`."""

from __future__ import annotations

import click

from deltamark.domain.errors import ConcurrentRun
from deltamark.domain.messages import how_many
from deltamark.domain.retention.erasure import Erasure
from deltamark.interfaces.cli.context import Workspace, by_option, pass_workspace
from deltamark.interfaces.cli.exit_statuses import NothingStarted
from deltamark.interfaces.cli.parameters import Name
from deltamark.interfaces.cli.streams import say


@click.command(epilog="Example: deltamark erase HR_Person E00042 --reason 'request 17' --dry-run")
@click.argument("entity_type", type=Name("TYPE"), metavar="TYPE")
@click.argument("key", type=Name("KEY"), metavar="KEY")
@click.option("--reason", type=Name("TEXT"), metavar="TEXT", required=True, help="Why; it is recorded.")
@click.option("--dry-run", is_flag=True, help="Show what would be erased, and write nothing.")
@click.option("--no-scrub", is_flag=True, help="Do not overwrite what was deleted on the disk.")
@by_option
@pass_workspace
def erase(
    workspace: Workspace, entity_type: str, key: str, reason: str, dry_run: bool, no_scrub: bool, by: str | None
) -> None:
    """Makes what a resource was unreadable, for good.

    Its values, its key and its links are removed from the log, the state and everything derived from it; a resource
    that exists is deleted first. What stays: that it was changed, when and by which run; and the erasure with its
    reason, which should not name anyone. What others computed from it is computed again by the next runs; their
    history stays, and so do extracts, exports and backups. Afterwards the store is rewritten, so that its free space
    holds nothing of it either. Exit status 0 when it is done, 2 while a run is going on.
    """
    try:
        with workspace.engine() as engine:
            erasure = engine.erase(entity_type, key, by=by, reason=reason, dry_run=dry_run)
            _print_summary(erasure)
            if dry_run or no_scrub:
                return
            statement = engine.scrub()
    except ConcurrentRun as e:
        raise NothingStarted(str(e)).with_next_steps(*e.next_steps) from e
    if statement is not None:
        say(
            "The old rows stay in the files of PostgreSQL until the owner of the tables rewrites them, which locks "
            f"them for a while: {statement}"
        )


def _print_summary(erasure: Erasure) -> None:
    erased = f"{how_many(erasure.events, 'change')}, those of {how_many(erasure.links, 'link')} among them."
    if erasure.run is None:
        deleted = ", after it is deleted" if erasure.was_live else ""
        say(f"Dry run: {erasure.ref} would be erased{deleted}: {erased}")
    else:
        say(f"Run {erasure.run}: {erasure.ref} erased (reason: {erasure.reason}): {erased}")
    if erasure.named_in:
        runs = ", ".join(map(str, erasure.named_in))
        say(f"The key stays in the records of these runs, in messages: {runs}.")


COMMANDS: tuple[click.Command, ...] = (erase,)
