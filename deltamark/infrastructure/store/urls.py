"""The kinds of stores, as the scheme of a URL names them."""

from __future__ import annotations

import re
from enum import Enum

from deltamark.domain.errors import StoreError


class StoreKind(Enum):
    """The kinds of stores, each with the schemes of its URLs."""

    SQLITE = ("sqlite",)
    POSTGRESQL = ("postgresql", "postgres")


def kind_of(url: str) -> StoreKind:
    """The kind of store that a URL names.

    :raises StoreError: if no store of this kind is known; the message shows nothing that may be a password.
    """
    scheme = url.split(":", 1)[0]
    for kind in StoreKind:
        if scheme in kind.value:
            return kind
    if url == ":memory:":
        raise StoreError("the store :memory: is no URL. Write sqlite:// for a store in memory.")
    raise StoreError(f"{_described(url)}. {_EXAMPLES}")


_EXAMPLES = "Write sqlite:///deltamark.db or postgresql://user@host/database, for example."
_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]{0,30})://")
_KEYWORD = re.compile(r"\s*(host|hostaddr|port|dbname|user|password|service|passfile|sslmode)\s*=")
_FILE_NAME = re.compile(r"[^@?=:\s]+\.(db|db3|sqlite|sqlite3)")


def _described(url: str) -> str:
    """What a text is that names no store; it shows no part of it that may be a password."""
    scheme = _SCHEME.match(url)
    if scheme:
        return f"the URL of the store begins with {scheme[1]}://, and no store of this kind is known"
    if _KEYWORD.match(url):
        return (
            "the store is given in the form of libpq (host=… user=…), and the URL of a PostgreSQL store is needed: "
            "postgresql://user@host/database"
        )
    if _FILE_NAME.fullmatch(url):
        return f"the store {url!r} is a file and not a URL: no store of this kind is known"
    return "the store is not given as a URL that begins with sqlite:/// or postgresql://"
