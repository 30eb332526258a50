"""Files of changes: one for each batch, named by its range of positions, whole or not there, never written again.

A file ends with how many changes it has and the SHA-256 of all before its end. A process that ended after it had
written a file, and before it noted that, finds the file and goes on behind it: no change is in two files.
"""

from __future__ import annotations

import hashlib
import os
import re
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Protocol

from attrs import frozen

from deltamark.application.ports.sinks import Confirmed, Refusal, SinkConnection, SinkUnavailable
from deltamark.application.ports.sources import Probe
from deltamark.domain.sinks.batch import Batch, OutgoingChange
from deltamark.infrastructure.system.atomic_file import whole_file

_DIGITS = 12
"""Of a position in a name, at least: names are in the order of positions."""


@frozen(kw_only=True)
class End:
    """What the end of a file says.

    :param store: which store the changes are of.
    :param until: the position up to which they are there.
    :param digest: the SHA-256 of all bytes before the end, hexadecimal.
    """

    store: str
    until: int
    count: int
    digest: str


class RefusedChange(Exception):
    """A format has no form for a change; the message is a clause."""


class Format(Protocol):
    """How changes are written."""

    @property
    def ending(self) -> str:
        """Of the names of files, with its dot."""
        ...

    def head(self, batch: Batch) -> bytes:
        """What a file begins with."""
        ...

    def change(self, change: OutgoingChange) -> bytes:
        """One change.

        :raises RefusedChange: if the format has no form for it.
        """
        ...

    def end(self, end: End) -> bytes:
        """The last line."""
        ...

    def read_end(self, line: bytes) -> End | None:
        """What the last line of a file says; None where it is no such line."""
        ...


class FileSink:
    """A folder that files of changes are written to.

    :raises SinkUnavailable: if no folder is set, or it is none.
    """

    def __init__(self, connection: SinkConnection, form: Format) -> None:
        folder = connection.text("folder")
        if folder is None:
            raise SinkUnavailable(
                "no folder is set for it", f'Write folder = "…" in [deltamark.connections.{connection.name}].'
            )
        self._folder = Path(folder)
        self._connection = connection
        self._form = form
        name = re.escape(connection.name)
        self._name = re.compile(rf"{name}-(\d+)-(\d+){re.escape(form.ending)}\Z")

    def close(self) -> None:
        """Nothing is open."""

    def probe(self) -> Probe:
        """Sees whether the folder can be written, or made."""
        folder = self._folder
        if folder.is_symlink() or (folder.exists() and not folder.is_dir()):
            return Probe(problems=[f"{folder} is no folder. Name one"])
        known = folder
        while not known.exists() and known != known.parent:
            known = known.parent
        if not os.access(known, os.W_OK | os.X_OK):
            return Probe(problems=[f"{known} cannot be written. Name a folder that you may write"])
        return Probe(server=str(folder), findings=[] if known == folder else ["the first delivery makes the folder"])

    def send(self, batch: Batch) -> Iterator[Confirmed]:
        """Writes one file, or finds that a process wrote it before it ended."""
        self._make_folder()
        known = None if batch.again else self._written(batch.after + 1)
        until = batch.until if known is None else known.until
        if until > batch.until:
            raise SinkUnavailable(
                f"a file in {self._folder} begins behind position {batch.after} and ends at {until}, beyond this batch",
                "It was written from a later state of this store, or by other settings. Move it away.",
            )
        pieces: list[bytes] = []
        refused: list[Refusal] = []
        for change in batch.changes:
            if change.position > until:
                break
            try:
                pieces.append(self._form.change(change))
            except RefusedChange as e:
                refused.append(Refusal(change=change, problem=str(e)))
        if pieces and known is None:
            self._write(batch, pieces)
        yield Confirmed(position=until, sent=len(pieces), refused=refused)

    def _write(self, batch: Batch, pieces: list[bytes]) -> None:
        again = "-again" if batch.again else ""
        first, last = (f"{number:0{_DIGITS}d}" for number in (batch.after + 1, batch.until))
        file = self._folder / f"{self._connection.name}-{first}-{last}{again}{self._form.ending}"
        digest = hashlib.sha256()
        with whole_file(file, is_new=True) as stream:
            for piece in (self._form.head(batch), *pieces):
                digest.update(piece)
                stream.write(piece)
            end = End(store=self._connection.store, until=batch.until, count=len(pieces), digest=digest.hexdigest())
            stream.write(self._form.end(end))

    def _make_folder(self) -> None:
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            names = os.lstat(self._folder)
        except OSError as e:
            raise SinkUnavailable(
                f"the folder {self._folder} cannot be made: {e.strerror}", "Name a folder that you may write."
            ) from None
        if not stat.S_ISDIR(names.st_mode):
            raise SinkUnavailable(f"{self._folder} is a link, not a folder", "Name the folder itself.")

    def _written(self, first: int) -> End | None:
        """The end of the file that begins at a position; None where there is none.

        :raises SinkUnavailable: if there is one that is not of this store, or is damaged.
        """
        for entry in sorted(os.listdir(self._folder)):
            match = self._name.match(entry)
            if match is not None and int(match[1]) == first:
                return self._end_of(self._folder / entry, int(match[2]))
        return None

    def _end_of(self, file: Path, until: int) -> End:
        try:
            descriptor = os.open(file, os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0))
            with os.fdopen(descriptor, "rb") as stream:
                body, _, last = stream.read().rstrip(b"\n").rpartition(b"\n")
        except OSError as e:
            raise SinkUnavailable(f"{file} cannot be read: {e.strerror}", "See what it is.") from None
        end = self._form.read_end(last)
        whole = end is not None and end.until == until and hashlib.sha256(body + b"\n").hexdigest() == end.digest
        if end is None or not whole:
            raise SinkUnavailable(f"{file} was altered since it was written", "Move it away, and deliver again.")
        if end.store != self._connection.store:
            raise SinkUnavailable(
                f"{file} has changes of another store", "Name another folder, or give the connection another name."
            )
        return end
