"""The file of an SQLite store, as its URL names it."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import unquote

from deltamark.domain.errors import StoreError


def path_of(url: str) -> Path:
    """The file that a `sqlite:///` URL names: three slashes before a relative path, four before an absolute one.

    :raises StoreError: if the URL names none.
    """
    prefix = "sqlite:///"
    name = unquote(url.removeprefix(prefix))
    if not url.startswith(prefix) or not name or name.startswith(":") or "\0" in name:
        raise StoreError(f"{url!r} is not the URL of an SQLite store. Write sqlite:///deltamark.db, for example.")
    return Path(name)
