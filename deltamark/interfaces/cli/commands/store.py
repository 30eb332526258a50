"""Commands about the store itself: `backup` and `grants`."""

from __future__ import annotations

from pathlib import Path

import click

from deltamark.application.integrity.backup import back_up
from deltamark.application.services import utc_now
from deltamark.domain.errors import StoreError
from deltamark.interfaces.cli.context import Workspace, pass_workspace
from deltamark.interfaces.cli.exit_statuses import NothingStarted
from deltamark.interfaces.cli.output_files import refuse_own_file
from deltamark.interfaces.cli.parameters import Name
from deltamark.interfaces.cli.progress import CopyProgress
from deltamark.interfaces.cli.rendering import write
from deltamark.interfaces.cli.streams import one_line, say


@click.command(epilog="Example: deltamark backup /backups/monday.db")
@click.argument("file", type=Name("FILE"))
@click.option("--overwrite", is_flag=True, help="Replace FILE if it exists, once the copy is complete.")
@pass_workspace
def backup(workspace: Workspace, file: str, overwrite: bool) -> None:
    """Copies an SQLite store to FILE, also while jobs run.

    FILE is a store itself. It appears when the copy is complete, checked and on the disk. For a store in
    PostgreSQL, the pg_dump command that copies it is printed.
    """
    refuse_own_file(Path(file), may_be_a_store=True)
    with workspace.opened_store() as store, CopyProgress(f"copying to {file}") as progress:
        made = back_up(store, Path(file), overwrite=overwrite, progress=progress)
    say(f"{one_line(file)}: a whole copy, {made.size:,} bytes, up to position {made.position}.")


@click.command(epilog="Example: deltamark grants --writer jobs --reader audit | psql directory")
@click.option("--writer", type=Name("ROLE"), metavar="ROLE", help="Runs jobs; cannot change what is in the log.")
@click.option("--reader", type=Name("ROLE"), metavar="ROLE", help="Reads everything, changes nothing.")
@pass_workspace
def grants(workspace: Workspace, writer: str | None, reader: str | None) -> None:
    """Prints the SQL that lets roles use a PostgreSQL store.

    Call it as the role that will own the store: it is made if there is none yet, or brought up to date. The statements
    revoke everything else that the two roles may do with its tables.
    """
    from deltamark.infrastructure.store.postgresql.store import grants_for  # its driver takes a while to load

    try:
        statements = grants_for(workspace.settings().store, utc_now, writer=writer, reader=reader)
    except StoreError as e:
        raise NothingStarted(str(e)).with_next_steps(*e.next_steps) from e
    write([statements.encode()])


COMMANDS: tuple[click.Command, ...] = (backup, grants)
