"""The command `checkpoint`."""

from __future__ import annotations

from pathlib import Path

import click

from deltamark.config.settings import CHECKPOINT_KEY, ENVIRONMENT
from deltamark.domain.errors import UsageError
from deltamark.infrastructure.checkpoints.files import checkpoint_text, put_checkpoint
from deltamark.infrastructure.checkpoints.keys import new_keys, signing_key
from deltamark.interfaces.cli.context import Workspace, pass_workspace
from deltamark.interfaces.cli.output_files import refuse_own_file
from deltamark.interfaces.cli.parameters import Name
from deltamark.interfaces.cli.streams import say

_KEY = ENVIRONMENT[CHECKPOINT_KEY]


@click.command(epilog="Example: deltamark checkpoint --key checkpoint.pem --out 2026-11-25.json")
@click.option("--out", type=Name("FILE"), metavar="FILE", help="Write it to this file; an existing file stays.")
@click.option("--key", type=Name("FILE"), metavar="FILE", help=f"Sign it with this key; also {_KEY}.")
@click.option("--new-key", type=Name("FILE"), metavar="FILE", help="Only make a pair of keys: FILE and FILE.pub.")
@pass_workspace
def checkpoint(workspace: Workspace, out: str | None, key: str | None, new_key: str | None) -> None:
    """Prints a checkpoint of the log, to be kept elsewhere.

    A checkpoint is a few lines; keep it where those who can alter the store cannot reach it. `deltamark verify
    --checkpoint FILE` proves later that the log still begins with what it was then. Signed with an Ed25519 key, a
    checkpoint also proves who made it.
    """
    if new_key is not None:
        if out is not None:
            raise UsageError("--new-key only makes keys. Omit --out, and run the command again with --key.")
        refuse_own_file(Path(new_key))
        public = new_keys(Path(new_key))
        say(f"{new_key}: the key to sign with; keep it secret. {public}: the key to check with; give it to everyone.")
        return
    if out is not None:
        refuse_own_file(Path(out))
    chosen = workspace.settings().checkpoint_key if key is None else Path(key)
    signing = None if chosen is None else signing_key(chosen)
    with workspace.opened_store() as store, store.reading() as reading:
        current = reading.checkpoint()
    if current is None:
        raise UsageError("the log is empty: there is nothing to make a checkpoint of. Run a job first.")
    if out is None:
        click.echo(checkpoint_text(current, signing), nl=False)
        return
    put_checkpoint(current, Path(out), signing)
    signed = "" if signing is None else f", signed with key {signing.fingerprint[:16]}"
    say(f"{out}: the log up to position {current.position}{signed}.")


COMMANDS: tuple[click.Command, ...] = (checkpoint,)
