"""Options that name a store by its address."""

from __future__ import annotations

from deltamark.domain.secrets import has_password
from deltamark.interfaces.cli.streams import say

STORE = "--store"


def warn_of_password(option: str, address: str | None) -> None:
    """Warns of a password in an option: other users of the machine see the arguments of every process."""
    if address is not None and has_password(address):
        say(
            f"deltamark: {option} shows its password to everyone who can list the processes of this machine. Keep the "
            "password in ~/.pgpass, in the file that PGPASSFILE names or in PGPASSWORD"
            + (", or the store in DELTAMARK_STORE or deltamark.toml." if option == STORE else ".")
        )
