"""The words for what can go wrong with a PostgreSQL store. None of them holds a password."""

from __future__ import annotations

import psycopg
from psycopg import errors

from deltamark.domain.errors import ConcurrentRun, DeltamarkError, StoreError
from deltamark.infrastructure.store.postgresql.address import Address
from deltamark.infrastructure.store.views import conflict

LOCK_TIMEOUT_S = 60

_UNDONE = "What was being written was undone."

_KNOWN: tuple[tuple[type[psycopg.Error] | tuple[type[psycopg.Error], ...], str, str], ...] = (
    (
        (errors.InvalidPassword, errors.InvalidAuthorizationSpecification),
        "the server does not let this user in ({text})",
        "Check user and password (in the URL, in PGPASSWORD or in ~/.pgpass) and the server's pg_hba.conf.",
    ),
    (
        errors.InvalidCatalogName,
        "there is no such database",
        "Create it (`createdb NAME`), or correct the name in the URL.",
    ),
    (errors.TooManyConnections, "the server has no connection left", "Raise max_connections, or run fewer at a time."),
    (errors.DiskFull, "the disk of the server is full", "Free some space there and run again."),
    (errors.OutOfMemory, "the server has no memory left", "Give it more, or lower its settings, and run again."),
    (
        errors.InsufficientPrivilege,
        "the user may not do this ({text})",
        "Grant the user what is missing: CREATE and TEMPORARY on the database to make a store, and its tables.",
    ),
    (
        errors.ReadOnlySqlTransaction,
        "the server takes no writes (a standby, or set to read only)",
        "Name the server that is being written to.",
    ),
    (
        errors.QueryCanceled,
        "the server cancelled a statement ({text})",
        "Raise statement_timeout for this user (ALTER ROLE … SET statement_timeout = 0), then run again.",
    ),
    (
        (errors.AdminShutdown, errors.CrashShutdown, errors.CannotConnectNow, errors.IdleInTransactionSessionTimeout),
        "the server ended the connection ({text})",
        "Wait until the server is up, then run again.",
    ),
    (
        errors.UntranslatableCharacter,
        "a text holds a NUL character, which PostgreSQL cannot store",
        "Remove it from the source.",
    ),
    (
        (errors.DataCorrupted, errors.IndexCorrupted),
        "the server reports damaged data ({text})",
        "Restore a backup.",
    ),
    (
        (errors.UndefinedTable, errors.UndefinedColumn),
        "its tables are not as Deltamark made them ({text})",
        "The store was altered. Restore a backup.",
    ),
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
    what, advice = _words(error)
    return StoreError(f"store {address}: {what}. {_UNDONE} {advice}")


def _words(error: psycopg.Error) -> tuple[str, str]:
    text = _text(error)
    for kinds, what, advice in _KNOWN:
        if isinstance(error, kinds):
            return what.format(text=text), advice
    if isinstance(error, psycopg.OperationalError) and error.sqlstate is None:
        return _words_of_connecting(text)
    state = f" ({error.sqlstate})" if error.sqlstate else ""
    return f"{text}{state}", "Run with --debug for details."


def _words_of_connecting(text: str) -> tuple[str, str]:
    """An error that the client found has no code, only libpq's words; those of the server stand in them."""
    for sign, what, advice in (
        ("password authentication failed", *_KNOWN[0][1:]),
        ("no password supplied", *_KNOWN[0][1:]),
        ("no pg_hba.conf entry", *_KNOWN[0][1:]),
        ("role ", *_KNOWN[0][1:]),
        ("database ", *_KNOWN[1][1:]),
        ("too many clients", *_KNOWN[2][1:]),
        ("remaining connection slots", *_KNOWN[2][1:]),
        ("starting up", *_KNOWN[8][1:]),
        ("shutting down", *_KNOWN[8][1:]),
        ("in recovery mode", *_KNOWN[8][1:]),
        ("translate host name", "the server's name is not known ({text})", "Check the host in the URL."),
        ("certificate", "the secure connection failed ({text})", "Check sslmode and the certificates."),
        ("SSL", "the secure connection failed ({text})", "Check sslmode and the certificates."),
    ):
        if sign in text and not (sign in ("role ", "database ") and "does not exist" not in text):
            return what.format(text=text), advice
    return (
        f"the server cannot be reached, or the connection to it was lost ({text})",
        "Check host and port in the URL and that the server is up, then run again.",
    )


def _text(error: psycopg.Error) -> str:
    """The error in one line, without a full stop."""
    said = error.diag.message_primary or str(error)
    return " ".join(said.split()).rstrip(".") or type(error).__name__
