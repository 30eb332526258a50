"""The file that the URL of an SQLite store names."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import unquote

from deltamark.domain.errors import StoreError


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
        raise StoreError(f"{shown} is not the URL of an SQLite store. Write sqlite:///deltamark.db, for example.")
    return Path(name)
