"""What is left of a PostgreSQL server when the power goes.

A server syncs its log with every commit, and all other files only in a checkpoint. So a cut takes those files as they
were at the last checkpoint, as they were written, or torn between both; and of the log, sector by sector, what nobody
was told of yet.
"""

from __future__ import annotations

import os
import shutil
import signal
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from random import Random

import psycopg
from attrs import frozen

from tests.crash.power import SECTOR
from tests.postgresql import Server

SETTINGS = {
    "fsync": "on",
    "full_page_writes": "on",
    "autovacuum": "off",
    "checkpoint_timeout": "1h",
    "min_wal_size": "32MB",
    "max_wal_size": "2GB",
    "shared_buffers": "1MB",
}
"""Safe as a server is by itself. Checkpoints come when a test asks for one, and never between; with so little room in
memory, pages are written all the time.
"""

LOG, CONTROL = "pg_wal", "global/pg_control"
SEGMENT = 16 << 20
_LOCKED_AFTER_S = 5
_NEVER_KEPT, _SOCKET = ("postmaster.pid", "postmaster.opts"), ".s."


@frozen
class Synced:
    """A place in the server's log up to which it is on the disk."""

    segment: str
    offset: int

    @classmethod
    def of(cls, server: Server) -> Synced:
        """Up to where the log is synced now; the server writes nothing more.

        A process that is stopped may hold a lock of the server that the question needs. All go on then for a moment,
        and are stopped somewhere else.
        """
        while True:
            stopped = server.processes()
            _signal(stopped, signal.SIGSTOP)
            with ThreadPoolExecutor(1) as questions:
                question = questions.submit(cls._asked, server.url("postgres"))
                try:
                    return question.result(timeout=_LOCKED_AFTER_S)
                except TimeoutError:
                    _signal(stopped, signal.SIGCONT)

    @classmethod
    def _asked(cls, url: str) -> Synced:
        with psycopg.connect(url, autocommit=True) as connection:
            found = connection.execute(
                "SELECT name, at::int FROM pg_walfile_name_offset(pg_current_wal_flush_lsn()) AS f (name, at)"
            ).fetchone()
        assert found is not None
        return cls(*found)


def _signal(processes: list[int], number: signal.Signals) -> None:
    for process in processes:
        with suppress(ProcessLookupError):
            os.kill(process, number)


def checkpoint(server: Server, folder: Path) -> None:
    """Has the server sync everything, and keeps its files as they are then."""
    with psycopg.connect(server.url("postgres"), autocommit=True) as connection:
        connection.execute("CHECKPOINT")
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(server.data, folder, ignore=lambda _, names: {n for n in names if n.startswith(_SOCKET)})


def cut_power(server: Server, kept: Path, random: Random) -> None:
    """Kills the server and leaves of its files what a power cut leaves.

    :param kept: its files at the last checkpoint.
    """
    synced = Synced.of(server)  # no page is on the disk before the log that tells of it
    server.kill()
    for path in sorted(path for path in server.data.rglob("*") if path.is_file()):
        name = path.relative_to(server.data).as_posix()
        if name in _NEVER_KEPT or name.startswith(_SOCKET):
            path.unlink()
        elif name.startswith(f"{LOG}/"):
            _tear(path, kept / name, random, since=_written_since(path.name, synced))
        elif name != CONTROL:  # written and synced at once, and only with a checkpoint
            _tear(path, kept / name, random, since=0)
    for path in kept.rglob("*"):
        there = server.data / path.relative_to(kept)
        if path.is_file() and not there.exists() and LOG not in there.parts and path.name not in _NEVER_KEPT:
            shutil.copy(path, there)  # that it was removed is not on the disk
    server.own(server.data)


def lose_all(server: Server, kept: Path) -> None:
    """Kills a server that synced nothing since the last checkpoint, and leaves nothing of what it wrote since."""
    server.kill()
    shutil.rmtree(server.data)
    shutil.copytree(kept, server.data, ignore=shutil.ignore_patterns(*_NEVER_KEPT))
    server.own(server.data)


def _written_since(segment: str, synced: Synced) -> int:
    """From where on a file of the log is not on the disk."""
    if segment[8:] == synced.segment[8:]:
        return synced.offset
    return 0 if segment[8:] > synced.segment[8:] else SEGMENT


def _tear(path: Path, kept: Path, random: Random, *, since: int) -> None:
    """Of what was written to a file from some place on, all survives, or nothing, or some sectors."""
    new = path.read_bytes()
    old = kept.read_bytes() if kept.exists() else b""
    if new[since:] == old[since:]:
        return
    fate = random.random()
    if fate < 0.3:
        return
    if fate < 0.6:
        _vanish(path, new, old, since)
        return
    size = len(new) if len(new) >= len(old) else random.choice((len(new), len(old)))
    torn = bytearray(new.ljust(size, b"\0")[:size])
    before = old.ljust(size, b"\0")
    first = since - since % SECTOR
    for at in range(first, size, SECTOR):
        if random.random() < 0.5:
            start = max(at, since)
            torn[start : at + SECTOR] = before[start : at + SECTOR]
    path.write_bytes(torn)


def _vanish(path: Path, new: bytes, old: bytes, since: int) -> None:
    if since == 0 and not old and LOG not in path.parts:
        path.unlink()
    else:
        path.write_bytes(new[:since] + old[since:].ljust(len(new) - since, b"\0") if since else old or bytes(len(new)))
