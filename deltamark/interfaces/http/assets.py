"""The files of the console that browsers load: read once, by a fixed list."""

from __future__ import annotations

from collections.abc import Mapping
from hashlib import sha256
from importlib.resources import files
from importlib.resources.abc import Traversable

from attrs import frozen

_TYPES = {
    "css": "text/css",
    "ico": "image/x-icon",
    "js": "text/javascript",
    "png": "image/png",
    "svg": "image/svg+xml",
    "woff2": "font/woff2",
}


@frozen
class Asset:
    """A file that browsers load."""

    content: bytes
    media_type: str
    etag: str


def assets() -> Mapping[str, Asset]:
    """The path of each file below `static` -> the file. What is of no known type is none of them."""
    return dict(_found(files("deltamark.interfaces.http.console") / "static", ""))


def _found(folder: Traversable, prefix: str) -> list[tuple[str, Asset]]:
    found: list[tuple[str, Asset]] = []
    for entry in sorted(folder.iterdir(), key=lambda entry: entry.name):
        if entry.is_dir():
            found += _found(entry, f"{prefix}{entry.name}/")
        elif (media_type := _TYPES.get(entry.name.rpartition(".")[2])) is not None:
            content = entry.read_bytes()
            found.append((f"{prefix}{entry.name}", Asset(content, media_type, f'"{sha256(content).hexdigest()[:32]}"')))
    return found
