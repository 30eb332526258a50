"""Explains the errors of PostgreSQL to users. No message contains a password."""

from __future__ import annotations

import re
from typing import TypeAlias

import psycopg
from psycopg import errors

from deltamark.domain.errors import STORE_DAMAGED, DeltamarkError, StoreError, StoreReadOnly, StoreUnreachable
from deltamark.infrastructure.store.postgresql.address import Address, without_secrets
from deltamark.infrastructure.store.transactions import Writer, conflict, written_for_long

LOCK_TIMEOUT_S = 60

_UNDONE = "What was being written was undone."

Kinds: TypeAlias = tuple[type[psycopg.Error], ...]

_NO_ACCESS = (
    "the server refuses this user ({text})",
    "Check user and password (in the URL, in PGPASSWORD or in ~/.pgpass) and the server's pg_hba.conf.",
)
_NO_DATABASE = ("the database does not exist", "Create it (`createdb NAME`), or correct the name in the URL.")
_NO_CONNECTION_LEFT = ("the server has no connection left", "Raise max_connections, or run fewer processes at a time.")
_ENDED = ("the server ended the connection ({text})", "Wait until the server is up, then run again.")
_NOT_SECURE = ("the secure connection failed ({text})", "Check sslmode and the certificates.")
_LOST = (
    "the server cannot be reached, or the connection to it was lost ({text})",
    "Check host and port in the URL and that the server is up, then run again.",
)

_CANNOT_WRITE = (
    "the server cannot write ({text})",
    "Check the disk of the server, its free space and its limits, then run again.",
)
_MAY_ONLY_READ = (
    "the user may read it, but not write to it",
    "Run jobs as the role that writes, or let the owner of the store grant that to this one: `deltamark grants`.",
)

WRITERS_TABLE = "log_end"
"""The table that every writer locks first. Messages of the server contain its name in every language."""

_BY_KIND: tuple[tuple[Kinds, str, str], ...] = (
    ((errors.InvalidPassword, errors.InvalidAuthorizationSpecification), *_NO_ACCESS),
    ((errors.InvalidCatalogName,), *_NO_DATABASE),
    ((errors.TooManyConnections,), *_NO_CONNECTION_LEFT),
    ((errors.DiskFull,), "the disk of the server is full", "Free some space there and run again."),
    ((errors.OutOfMemory,), "the server has no memory left", "Give it more memory and run again."),
    (
        (errors.InsufficientPrivilege,),
        "the user may not do this ({text})",
        "The owner of the store creates and upgrades it, and grants rights to others: `deltamark grants`. To create a "
        "store, a user needs CREATE on the database.",
    ),
    (
        (errors.ReadOnlySqlTransaction,),
        "the server takes no writes: it is a standby, or default_transaction_read_only is on for the server, the "
        "database or the role",
        "Name the server that takes writes, or have the setting reset (ALTER ROLE … RESET "
        "default_transaction_read_only, or ALTER DATABASE …).",
    ),
    (
        (errors.QueryCanceled,),
        "the server cancelled a statement ({text})",
        "Raise its statement_timeout for this user (ALTER ROLE … SET statement_timeout = 0), then run again.",
    ),
    (
        (errors.UntranslatableCharacter, psycopg.DataError),
        "a value cannot be stored in PostgreSQL ({text})",
        "Correct it in the source, then run again.",
    ),
    ((errors.DataCorrupted, errors.IndexCorrupted), "the server reports damaged data ({text})", STORE_DAMAGED),
    (
        (errors.UndefinedTable, errors.UndefinedColumn),
        "its tables are not as Deltamark made them ({text})",
        STORE_DAMAGED,
    ),
)

_AWAY: Kinds = (
    errors.AdminShutdown,
    errors.CrashShutdown,
    errors.CannotConnectNow,
    errors.IdleInTransactionSessionTimeout,
)

# An error that the client found has no code, only the text of libpq, which may quote the server.
_REFUSED: tuple[tuple[str, str, str], ...] = (
    (
        r"password authentication failed|no password supplied|no pg_hba\.conf entry|role .* does not exist",
        *_NO_ACCESS,
    ),
    (r"database .* does not exist", *_NO_DATABASE),
    (r"too many clients|remaining connection slots", *_NO_CONNECTION_LEFT),
    (r"permission denied for database", _NO_ACCESS[0], "Grant the user CONNECT on the database."),
    (r"certificate|\bSSL\b", *_NOT_SECURE),
)


def explained(error: psycopg.Error, address: Address, writer: Writer | None = None) -> DeltamarkError:
    """Returns what users read about an error of PostgreSQL.

    :param writer: who keeps others from writing, where that is known.
    """
    if isinstance(error, errors.IntegrityError):
        return conflict(error)
    if isinstance(error, errors.LockNotAvailable):
        return written_for_long(LOCK_TIMEOUT_S, writer)
    kind, what, advice = _words(error)
    return kind(f"store {address}: {what.format(text=without_secrets(_text(error), address))}. {_UNDONE} {advice}")


def is_away(error: psycopg.Error) -> bool:
    """Whether the server cannot be reached or dropped the connection, which may change later."""
    return _words(error)[0] is StoreUnreachable


def _words(error: psycopg.Error) -> tuple[type[StoreError], str, str]:
    if isinstance(error, _AWAY):
        return StoreUnreachable, *_ENDED
    if isinstance(error, errors.InsufficientPrivilege) and WRITERS_TABLE in _text(error):
        return StoreReadOnly, *_MAY_ONLY_READ
    for kinds, what, advice in _BY_KIND:
        if isinstance(error, kinds):
            kind = StoreReadOnly if errors.ReadOnlySqlTransaction in kinds else StoreError
            return kind, what, advice
    if isinstance(error, psycopg.OperationalError) and error.sqlstate is None:
        for sign, what, advice in _REFUSED:
            if re.search(sign, str(error)):
                return StoreError, what, advice
        return StoreUnreachable, *_LOST
    if re.match(r"could not (extend|write|create|fsync|flush)\b", _text(error)):
        return StoreError, *_CANNOT_WRITE
    state = f" ({error.sqlstate})" if error.sqlstate else ""
    return StoreError, "{text}" + state, "Run with --debug for details."


def _text(error: psycopg.Error) -> str:
    """Returns the error in one line, without a full stop."""
    message = error.diag.message_primary or str(error)
    return " ".join(message.split()).rstrip(".") or type(error).__name__
