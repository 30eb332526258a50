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
    name = unquote(url.removeprefix(prefix))
    if not url.startswith(prefix) or not name or name.startswith(":") or "\0" in name:
        raise StoreError(f"{url!r} is not the URL of an SQLite store. Write sqlite:///deltamark.db, for example.")
    return Path(name)
