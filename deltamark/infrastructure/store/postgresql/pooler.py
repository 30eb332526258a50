"""Recognizes poolers that give each transaction another session of the server.

PgBouncer with ``pool_mode = transaction`` is the best known one. Settings, temporary tables and LISTEN belong to a
session, so that they are lost between two transactions, or reach other users of the pool.
"""

from __future__ import annotations

import select
from collections.abc import Callable
from contextlib import closing
from time import monotonic, sleep

import psycopg
from psycopg import Connection
from psycopg.pq import ExecStatus
from psycopg.rows import DictRow

from deltamark.domain.errors import StoreError

MARK = "deltamark.session"
"""A setting that marks a session whose settings were made."""

_ROUNDS = 5
_BETWEEN_S = 0.02
_PATIENCE_S = 2.0
"""How long a second connection may wait for a session; a pool without another one keeps it waiting."""

_SESSION = "SELECT pg_backend_pid() AS session"


def is_pooled(connection: Connection[DictRow]) -> bool:
    """Whether another program answered in place of the server when the connection was opened.

    It gave another process of the server than the one that carries out statements.
    """
    return connection.info.backend_pid != _session(connection)


def check_sessions_stay(
    connection: Connection[DictRow], connect: Callable[[], Connection[DictRow]], store: str
) -> None:
    """Refuses a pool in which two connections share a session, or one connection changes it.

    Nothing is set on any session before.

    :param connect: opens another connection.
    :param store: how messages name the store.
    :raises StoreError: if it does not keep sessions.
    """
    own = _session(connection)
    try:
        other = connect()
    except psycopg.OperationalError:
        return  # it has no session left for another connection: this one has its own
    with closing(other):
        for _ in range(_ROUNDS):
            shared = _session_in_time(other)
            if shared is None:
                return
            if shared == own or _session(connection) != own:
                raise pooled_by_transactions(store)
            sleep(_BETWEEN_S)


def pooled_by_transactions(store: str) -> StoreError:
    """Returns the error for a connection whose session was exchanged."""
    return StoreError(
        f"{store}: the connection is pooled by transactions (as PgBouncer does with pool_mode = transaction): each "
        "transaction may get another session of the server, without the settings that Deltamark made. Nothing was "
        "changed. Name the server itself in the URL, or a pool with pool_mode = session."
    )


def mark_condition(mark: str) -> str:
    """Returns the statement that fails with a division by zero in a session without this mark."""
    return f"SELECT 1 / (current_setting('{MARK}', true) IS NOT DISTINCT FROM '{mark}')::int"


def _session(connection: Connection[DictRow]) -> int:
    """Returns the process of the server that carries out a statement."""
    row = connection.execute(_SESSION, prepare=False).fetchone()
    assert row is not None, "the query gives one row"
    return int(row["session"])


def _session_in_time(connection: Connection[DictRow]) -> int | None:
    """Returns the process of the server that carries out a statement, or None if none does for a while."""
    libpq = connection.pgconn
    libpq.send_query(_SESSION.encode())
    libpq.flush()
    deadline = monotonic() + _PATIENCE_S
    while libpq.is_busy():
        if not select.select([libpq.socket], [], [], max(0.0, deadline - monotonic()))[0]:
            return None
        libpq.consume_input()
    result = libpq.get_result()
    value = None if result is None or result.status != ExecStatus.TUPLES_OK else result.get_value(0, 0)
    while libpq.get_result() is not None:
        pass
    return None if value is None else int(value)
