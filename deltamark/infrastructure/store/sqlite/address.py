"""What the URL of an SQLite store names: a file, or a store in memory."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import unquote

from deltamark.domain.errors import StoreError

_IN_MEMORY = ("sqlite://", "sqlite:///:memory:")


def is_in_memory(url: str) -> bool:
    """Whether a URL names a store in memory."""
    return url in _IN_MEMORY


def refuse_in_memory(url: str) -> None:
    """Refuses a store in memory where the store must outlast the process or the call.

    :raises StoreError: if the URL names one.
    """
    if is_in_memory(url):
        raise StoreError(
            f"{url} is a store in memory, for programs: it is empty at first, and gone when it is closed, which would "
            "be at once here. Name a file, such as sqlite:///deltamark.db, or a database of PostgreSQL."
        )


def path_of(url: str) -> Path:
    """Returns the file of a `sqlite:///` URL.

    Three slashes precede a relative path, four an absolute path.

    :raises StoreError: if the URL names no file.
    """
    prefix = "sqlite:///"
    if url.startswith(prefix) and "?" in url:
        raise StoreError(
            "the URL of an SQLite store has no parameters, and this one holds a ?. Leave out what follows it, or write "
            "%3F if the name of the file has one: sqlite:///deltamark.db."
        )
    name = unquote(url.removeprefix(prefix))
    if not url.startswith(prefix) or not name or name.startswith(":") or "\0" in name:
        # What stands for the name may be a user with a password.
        shown = f"{url!r}" if url.startswith(prefix) else "the store"
        raise StoreError(
            f"{shown} is not the URL of an SQLite store. Write sqlite:///deltamark.db, for example, or "
            "sqlite:// for a store in memory."
        )
    return Path(name)
