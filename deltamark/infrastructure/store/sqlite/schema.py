"""The tables of an SQLite store, and whether a file is one."""

from __future__ import annotations

import os
import secrets
import sqlite3
import stat
from pathlib import Path
from urllib.parse import unquote

from eventsourcing.sqlite import SQLiteCursor

from deltamark.domain.errors import ConcurrentRun, StoreError

APPLICATION_ID = 0x44_4D_52_4B
"""Marks the file as Deltamark's ("DMRK"), https://sqlite.org/pragma.html#pragma_application_id."""

_HEAD = 108
"""How many bytes of a file tell whether it is a store: the header of SQLite, and that of its first page."""

SCHEMA_VERSION = 1
"""Raised by one with every change of the tables below."""

TABLES = (
    # One row: which store this is, and the newest time in its log (time in a store never goes back).
    """CREATE TABLE store (
        one INTEGER PRIMARY KEY CHECK (one = 1),
        epoch TEXT NOT NULL,
        last_at INTEGER NOT NULL,
        next_stream INTEGER NOT NULL,
        next_run INTEGER NOT NULL
    )""",
    "CREATE TABLE entity_types (id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE)",
    "CREATE TABLE associations (id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE)",
    # The current state: one row a resource, kept after its deletion so that its stream can go on.
    """CREATE TABLE resources (
        stream INTEGER PRIMARY KEY,
        entity_type INTEGER NOT NULL REFERENCES entity_types,
        key TEXT NOT NULL,
        version INTEGER NOT NULL,
        position INTEGER NOT NULL,
        live INTEGER NOT NULL,
        state TEXT NOT NULL
    )""",
    "CREATE UNIQUE INDEX resources_by_key ON resources (entity_type, key)",
    """CREATE TABLE links (
        stream INTEGER PRIMARY KEY,
        association INTEGER NOT NULL REFERENCES associations,
        source INTEGER NOT NULL,
        target INTEGER NOT NULL,
        version INTEGER NOT NULL,
        position INTEGER NOT NULL,
        live INTEGER NOT NULL
    )""",
    "CREATE UNIQUE INDEX links_by_source ON links (association, source, target)",
    "CREATE INDEX links_by_target ON links (target, association)",
    "CREATE INDEX links_of_source ON links (source)",
    # Which resources are dirty: the change at `position` concerns the resource.
    """CREATE TABLE flags (
        position INTEGER NOT NULL,
        resource INTEGER NOT NULL,
        PRIMARY KEY (position, resource)
    ) WITHOUT ROWID""",
    "CREATE TABLE places (consumer TEXT PRIMARY KEY, position INTEGER NOT NULL, digest TEXT NOT NULL)",
    # `digest`: of the definition that the keys of all resources were last computed with; empty before.
    """CREATE TABLE rules (
        id INTEGER PRIMARY KEY,
        name TEXT NOT NULL,
        side TEXT NOT NULL,
        entity_type TEXT NOT NULL,
        digest TEXT NOT NULL,
        UNIQUE (name, side, entity_type)
    )""",
    """CREATE TABLE correlation_keys (
        rule INTEGER NOT NULL REFERENCES rules,
        resource INTEGER NOT NULL,
        value TEXT NOT NULL,
        PRIMARY KEY (rule, resource)
    ) WITHOUT ROWID""",
    "CREATE INDEX correlation_keys_by_value ON correlation_keys (rule, value)",
    """CREATE TABLE runs (
        number INTEGER PRIMARY KEY,
        stream INTEGER NOT NULL UNIQUE,
        version INTEGER NOT NULL,
        first INTEGER NOT NULL,
        last INTEGER NOT NULL
    )""",
    # When the log grew: every position up to `position` is no younger than `at`.
    "CREATE TABLE moments (position INTEGER PRIMARY KEY, at INTEGER NOT NULL)",
    "CREATE INDEX moments_by_time ON moments (at)",
    # `subject`: the entity type or association whose changes up to `position` were discarded.
    """CREATE TABLE horizons (
        subject TEXT PRIMARY KEY,
        connector TEXT NOT NULL,
        position INTEGER NOT NULL,
        run INTEGER NOT NULL,
        task TEXT NOT NULL
    )""",
    # What a stream's discarded events left: folding starts here. `position`: all events of the stream up to
    # it were discarded.
    """CREATE TABLE snapshots (
        stream INTEGER PRIMARY KEY,
        version INTEGER NOT NULL,
        position INTEGER NOT NULL,
        topic TEXT NOT NULL,
        state BLOB NOT NULL
    )""",
)


def path_of(url: str) -> Path:
    """The file that a `sqlite:///` URL names: three slashes before a relative path, four before an absolute one.

    :raises StoreError: if the URL names none.
    """
    prefix = "sqlite:///"
    name = unquote(url.removeprefix(prefix))
    if not url.startswith(prefix) or not name or name.startswith(":") or "\0" in name:
        raise StoreError(f"{url!r} is not the URL of an SQLite store. Write sqlite:///deltamark.db, for example.")
    return Path(name)


def check_file(path: Path) -> None:
    """Refuses what cannot become or be a store before SQLite touches it.

    :raises StoreError: for a directory, a device or FIFO, a file of something else, a missing folder.
    """
    try:
        mode = path.stat().st_mode
    except FileNotFoundError:
        if path.is_symlink():
            raise StoreError(f"{path}: the link leads nowhere. Correct the link or name another file.") from None
        if not path.parent.is_dir():
            raise StoreError(f"{path}: the folder {path.parent} does not exist. Create it or name another.") from None
        return
    except OSError as e:
        raise StoreError(f"{path}: {e.strerror}. Name a file that you may read and write.") from e
    if not stat.S_ISREG(mode):
        kind = "a directory" if stat.S_ISDIR(mode) else "not a regular file"
        raise StoreError(f"{path} is {kind}. Name a file for the store, such as sqlite:///deltamark.db.")
    if not os.access(path, os.R_OK):
        raise StoreError(f"{path}: permission denied. Name a file that you may read and write.")
    with path.open("rb") as file:
        _check_head(file.read(_HEAD), path)
    _check_journal(path)


def _check_head(head: bytes, path: Path) -> None:
    """Refuses what is no store by its first bytes: SQLite would change some of them by opening it.

    A store that was made in full bears its marks there, whatever its write-ahead log holds besides: they were
    written with its first table. See https://sqlite.org/fileformat2.html#the_database_header.
    """
    if not head:
        return
    if head[:16] != b"SQLite format 3\0":
        raise StoreError(f"{path} is not a Deltamark store: it is not an SQLite database. Name another file.")
    if len(head) < _HEAD:
        raise StoreError(f"store {path}: the file is damaged (it ends in its first page). Restore a backup.")
    version, application, cells = (int.from_bytes(head[a:b]) for a, b in ((60, 64), (68, 72), (103, 105)))
    if cells:
        _refuse_foreign(application, version, path)


def _check_journal(path: Path) -> None:
    """Refuses a rollback journal beside a store: a store has none, and SQLite would play it into the store."""
    journal = Path(f"{path}-journal")
    if path.stat().st_size and journal.is_file() and journal.stat().st_size:
        raise StoreError(
            f"{journal} lies beside the store and is none of its files: opening the store would write into it what "
            "another database had. Move it away."
        )


def prepare(c: SQLiteCursor, path: Path) -> None:
    """Creates the tables of a new store, or checks that those of an existing one can be used.

    Call it inside a writing transaction.

    :raises StoreError: for a database of another application, or of a newer Deltamark.
    """
    if is_new(c):
        for statement in TABLES:
            c.execute(statement)
        c.execute(
            "INSERT INTO store (one, epoch, last_at, next_stream, next_run) VALUES (1, ?, 0, 1, 1)",
            (secrets.token_hex(16),),
        )
        c.execute(f"PRAGMA application_id={APPLICATION_ID}")
        c.execute(f"PRAGMA user_version={SCHEMA_VERSION}")
        return
    check_version(c, path)


def is_new(c: SQLiteCursor) -> bool:
    """Whether the database holds nothing at all."""
    c.execute("SELECT count(*) FROM sqlite_master")
    return bool(c.fetchone()[0] == 0)


def check_version(c: SQLiteCursor, path: Path) -> None:
    """Refuses a database that is not a store of this version.

    :raises StoreError: as said.
    """
    c.execute("PRAGMA application_id")
    application = c.fetchone()[0]
    c.execute("PRAGMA user_version")
    _refuse_foreign(application, c.fetchone()[0], path)
    c.execute("SELECT name FROM sqlite_master WHERE type IN ('trigger', 'view') ORDER BY name")
    strangers = [row[0] for row in c.fetchall()]
    if strangers:
        raise StoreError(
            f"{path} holds triggers or views that Deltamark did not make ({', '.join(strangers)}). The store was "
            "altered. Remove them, or restore a backup."
        )


def _refuse_foreign(application: int, version: int, path: Path) -> None:
    if application != APPLICATION_ID:
        raise StoreError(
            f"{path} is an SQLite database of another application, not a Deltamark store. Name another file."
        )
    if version > SCHEMA_VERSION:
        raise StoreError(
            f"{path} was written by a newer version of Deltamark (store version {version}; this one knows "
            f"{SCHEMA_VERSION}). Upgrade Deltamark."
        )


def explained(error: sqlite3.Error, path: Path) -> StoreError | ConcurrentRun:
    """The words for an error of SQLite."""
    name = getattr(error, "sqlite_errorname", "") or ""
    text = str(error)
    if name.startswith("SQLITE_FULL"):
        what, advice = "the disk is full", "Free some space and run again."
    elif name.startswith(("SQLITE_READONLY", "SQLITE_PERM")):
        what, advice = "it cannot be written (read-only file, folder or file system)", "Make it writable."
    elif name.startswith(("SQLITE_CORRUPT", "SQLITE_NOTADB")):
        what, advice = f"the file is damaged ({text})", "Restore a backup."
    elif name.startswith("SQLITE_CANTOPEN"):
        what, advice = (
            "it cannot be opened or created",
            "Check that the folder exists and that you may write there.",
        )
    elif name.startswith(("SQLITE_BUSY", "SQLITE_LOCKED")):
        return ConcurrentRun(
            f"store {path}: another process holds it locked. What was being written was undone. Wait until that "
            "process has ended, then run again."
        )
    elif name.startswith("SQLITE_IOERR"):
        what, advice = (
            f"reading or writing failed ({name})",
            "Check the disk, its free space and your limits.",
        )
    else:
        what = f"{text} ({name})" if name else text
        advice = "The store was altered or is damaged: restore a backup. (Or is this our fault? --debug shows details.)"
    return StoreError(f"store {path}: {what}. What was being written was undone. {advice}")
