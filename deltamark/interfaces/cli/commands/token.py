"""The command `token`: API tokens for programs that use `deltamark serve`."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import click

from deltamark.config.serve import ROLES
from deltamark.interfaces.cli.commands.serve import refuse_without_web
from deltamark.interfaces.cli.context import format_option
from deltamark.interfaces.cli.parameters import Name
from deltamark.interfaces.cli.rendering import Format, Listing, member, render
from deltamark.interfaces.cli.streams import say, tell
from deltamark.interfaces.cli.times import time_column
from deltamark.interfaces.documents import time_of

if TYPE_CHECKING:
    from deltamark.interfaces.http.tokens import Tokens


def _tokens() -> Tokens:
    refuse_without_web()
    from deltamark.interfaces.http.settings import utc_now
    from deltamark.interfaces.http.tokens import FILE_NAME, Tokens

    return Tokens(Path(FILE_NAME), utc_now)


@click.group(epilog="Example: deltamark token create backup --role reader --days 30")
def token() -> None:
    """Makes, shows and revokes API tokens of `serve`.

    They are kept as digests in deltamark-tokens.json in the working directory, which only its owner can read.
    """


@token.command(epilog="Example: deltamark token create backup --role reader --days 30")
@click.argument("name", type=Name("NAME"))
@click.option("--role", type=click.Choice(ROLES), default="reader", show_default=True, help="What it may do.")
@click.option("--type", "entity_types", multiple=True, metavar="TYPE", help="Only these entity types.")
@click.option("--days", type=click.IntRange(1, 366), default=90, show_default=True, help="How long it is valid.")
def create(name: str, role: str, entity_types: tuple[str, ...], days: int) -> None:
    """Makes a token for NAME, and prints it, once.

    NAME goes on record with what is done with it.
    """
    tokens = _tokens()
    from deltamark.interfaces.http.users import role_named

    made, text = tokens.create(name, role_named(role), timedelta(days=days), entity_types or None)
    tell(text)
    say(f"Token {made.identifier} of {made.name}. It is not shown again; revoke it by its identifier.")


@token.command("list", epilog="Example: deltamark token list")
@format_option
def list_tokens(form: Format) -> None:
    """Shows the tokens, without their secrets."""
    documents = [
        {
            "token": made.identifier,
            "name": made.name,
            "role": made.role.value,
            "entity_types": None if made.entity_types is None else sorted(made.entity_types),
            "made_at": time_of(made.made_at),
            "ends_at": time_of(made.ends_at),
        }
        for made in _tokens().all()
    ]
    columns = [member(name) for name in ("token", "name", "role", "entity_types", "made_at", "ends_at")]
    table = [*columns[:4], time_column("made_at"), time_column("ends_at")]
    render(Listing(documents=documents, columns=columns, table=table), form)


@token.command(epilog="Example: deltamark token revoke 1a2b3c4d")
@click.argument("identifier", metavar="TOKEN", type=Name("TOKEN"))
def revoke(identifier: str) -> None:
    """Revokes a TOKEN at once."""
    made = _tokens().revoke(identifier)
    say(f"Token {made.identifier} of {made.name} is revoked.")


COMMANDS: tuple[click.Command, ...] = (token,)
