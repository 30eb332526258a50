"""The keys of the tables of a connection as the last readings found them, in files that their digests name."""

from __future__ import annotations

import hashlib
import os
import re
from contextlib import suppress
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

_COLUMN = "key"
_DIGEST = re.compile(r"[0-9a-f]{64}\Z")
_OWNER_ONLY = 0o700


class KeptKeys:
    """A folder of keys.

    A place names those of its delivery by their digest. So the keys of a delivery that was not applied are never taken
    for those of the place, and keys that are gone or altered are none: the source is read as a whole then.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._needed: set[str] = set()

    def keep(self, table: str, keys: pa.Array) -> str:
        """Keeps keys; gives their digest."""
        buffer = pa.BufferOutputStream()
        pq.write_table(pa.table({_COLUMN: keys}), buffer, compression="zstd")
        content = buffer.getvalue()
        digest = hashlib.sha256(content).hexdigest()
        name = _name(table, digest)
        self._needed.add(name)
        self._folder.mkdir(mode=_OWNER_ONLY, parents=True, exist_ok=True)
        self._folder.chmod(_OWNER_ONLY)
        aside = self._folder / f".{name}"
        aside.unlink(missing_ok=True)
        with open(aside, "xb", opener=_private) as stream:
            stream.write(content)
            stream.flush()
            os.fsync(stream.fileno())
        aside.rename(self._folder / name)
        return digest

    def keys(self, table: str, digest: str) -> pa.Array | None:
        """The keys with a digest; None where they are not there, or were altered."""
        if not _DIGEST.match(digest):
            return None
        name = _name(table, digest)
        try:
            with open(self._folder / name, "rb", opener=_no_link) as stream:
                content = stream.read()
        except OSError:
            return None
        if hashlib.sha256(content).hexdigest() != digest:
            return None
        self._needed.add(name)
        return pq.read_table(pa.BufferReader(content)).column(_COLUMN).combine_chunks()

    def remove_others(self) -> None:
        """Removes all keys but those that were kept or read here: one of the two belongs to the place of the store."""
        with suppress(FileNotFoundError):
            for entry in os.scandir(self._folder):
                if entry.name not in self._needed and entry.is_file(follow_symlinks=False):
                    Path(entry.path).unlink(missing_ok=True)


def _name(table: str, digest: str) -> str:
    return f"{table}-{digest}.parquet"


def _private(path: str, flags: int) -> int:
    return os.open(path, flags | os.O_NOFOLLOW, 0o600)


def _no_link(path: str, flags: int) -> int:
    return os.open(path, flags | os.O_NOFOLLOW)
