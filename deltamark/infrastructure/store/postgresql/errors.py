"""The words for what can go wrong with a PostgreSQL store. None of them holds a password."""

from __future__ import annotations

import re
from typing import TypeAlias

import psycopg
from psycopg import errors

from deltamark.domain.errors import STORE_DAMAGED, ConcurrentRun, DeltamarkError, StoreError, StoreUnreachable
from deltamark.infrastructure.store.postgresql.address import Address
from deltamark.infrastructure.store.transactions import conflict

LOCK_TIMEOUT_S = 60

_UNDONE = "What was being written was undone."

Kinds: TypeAlias = tuple[type[psycopg.Error], ...]

_NOT_LET_IN = (
    "the server does not let this user in ({text})",
    "Check user and password (in the URL, in PGPASSWORD or in ~/.pgpass) and the server's pg_hba.conf.",
)
_NO_DATABASE = ("there is no such database", "Create it (`createdb NAME`), or correct the name in the URL.")
_NO_CONNECTION_LEFT = ("the server has no connection left", "Raise max_connections, or run fewer at a time.")
_ENDED = ("the server ended the connection ({text})", "Wait until the server is up, then run again.")
_NOT_SECURE = ("the secure connection failed ({text})", "Check sslmode and the certificates.")
_LOST = (
    "the server cannot be reached, or the connection to it was lost ({text})",
    "Check host and port in the URL and that the server is up, then run again.",
)

_CANNOT_WRITE = (
    "the server cannot write ({text})",
    "Look at the disk of the server, its free space and its limits, then run again.",
)
_MAY_ONLY_READ = (
    "the user may read it, but not write to it",
    "Run jobs as the role that writes, or have the owner of the store let this one write: `deltamark grants`.",
)

WRITERS_TABLE = "log_end"
"""What every writer locks first. A server says the name in every language."""

_BY_KIND: tuple[tuple[Kinds, str, str], ...] = (
    ((errors.InvalidPassword, errors.InvalidAuthorizationSpecification), *_NOT_LET_IN),
    ((errors.InvalidCatalogName,), *_NO_DATABASE),
    ((errors.TooManyConnections,), *_NO_CONNECTION_LEFT),
    ((errors.DiskFull,), "the disk of the server is full", "Free some space there and run again."),
    ((errors.OutOfMemory,), "the server has no memory left", "Give it more memory and run again."),
    (
        (errors.InsufficientPrivilege,),
        "the user may not do this ({text})",
        "The owner of the store makes it, brings it up to date and lets others in: `deltamark grants`. To make one, a "
        "user needs CREATE on the database.",
    ),
    (
        (errors.ReadOnlySqlTransaction,),
        "the server takes no writes (a standby, or set to read only)",
        "Name the server that is being written to.",
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

# An error that the client found has no code, only the words of libpq, in which those of the server may stand.
_REFUSED: tuple[tuple[str, str, str], ...] = (
    (r"password authentication failed|no password supplied|no pg_hba\.conf entry|role .* does not exist", *_NOT_LET_IN),
    (r"database .* does not exist", *_NO_DATABASE),
    (r"too many clients|remaining connection slots", *_NO_CONNECTION_LEFT),
    (r"permission denied for database", _NOT_LET_IN[0], "Grant the user CONNECT on the database."),
    (r"certificate|\bSSL\b", *_NOT_SECURE),
)


def explained(error: psycopg.Error, address: Address) -> DeltamarkError:
    """What a user can do about an error of PostgreSQL."""
    if isinstance(error, errors.IntegrityError):
        return conflict(error)
    if isinstance(error, errors.LockNotAvailable):
        return ConcurrentRun(
            f"another process has been writing to this store for more than {LOCK_TIMEOUT_S} seconds. Nothing "
            "was changed. Wait until its run has ended (`deltamark runs` shows it), then run again."
        )
    kind, what, advice = _words(error)
    return kind(f"store {address}: {what.format(text=_text(error))}. {_UNDONE} {advice}")


def is_away(error: psycopg.Error) -> bool:
    """Whether the server cannot be reached or dropped the connection, and may be there again later."""
    return _words(error)[0] is StoreUnreachable


def _words(error: psycopg.Error) -> tuple[type[StoreError], str, str]:
    if isinstance(error, _AWAY):
        return StoreUnreachable, *_ENDED
    if isinstance(error, errors.InsufficientPrivilege) and WRITERS_TABLE in _text(error):
        return StoreError, *_MAY_ONLY_READ
    for kinds, what, advice in _BY_KIND:
        if isinstance(error, kinds):
            return StoreError, what, advice
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
    """The error in one line, without a full stop."""
    said = error.diag.message_primary or str(error)
    return " ".join(said.split()).rstrip(".") or type(error).__name__
