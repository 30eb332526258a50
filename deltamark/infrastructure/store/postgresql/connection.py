"""Connections to a PostgreSQL store, which are pooled and replaced if lost. See ADR 0034."""

from __future__ import annotations

import os
import secrets
import socket
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from time import monotonic, sleep
from typing import Any, TypeAlias

import psycopg
from eventsourcing import persistence
from eventsourcing.postgres import PostgresDatastore
from psycopg import Connection, errors
from psycopg.pq import TransactionStatus
from psycopg.rows import DictRow, dict_row

from deltamark.domain.errors import StoreError
from deltamark.infrastructure.store.postgresql.address import Address
from deltamark.infrastructure.store.postgresql.errors import LOCK_TIMEOUT_S, is_away
from deltamark.infrastructure.store.postgresql.pooler import (
    MARK,
    check_sessions_stay,
    is_pooled,
    mark_condition,
    pooled_by_transactions,
)
from deltamark.infrastructure.store.postgresql.session_settings import pin_settings
from deltamark.infrastructure.store.transactions import command_name

OLDEST_SERVER = 14
OLDEST_CLIENT = (3, 2)

_CONNECT_TIMEOUT_S = 10
RECONNECT_S = 15.0
"""How long to retry a server that was reached before: a restart takes less."""

_LONGEST_NAME = 63
"""Bytes of a name that the server keeps."""

_LONGEST_PROCESS = 44
"""Bytes of a name that a process has; the others say what it does."""

_KEPT = 4
"""Idle connections that are kept open."""


def process_name(process: int, host: str) -> str:
    """Returns the beginning of the name under which the sessions of a process appear on the server."""
    return _cut(f"deltamark {process} on {host}", _LONGEST_PROCESS)


def is_name_of(process: str, name: str) -> bool:
    """Whether a session of that name is one of a process (see `process_name`)."""
    return name == process or name.startswith(f"{process}: ")


def session_name(run: int | None = None) -> str:
    """Returns the name of a session of this process: process and host, command, and the run for which it writes."""
    doing = [command_name(), None if run is None else f"run {run}"]
    words = ", ".join(part for part in doing if part)
    process = process_name(os.getpid(), socket.gethostname())
    return _cut(f"{process}: {words}" if words else process, _LONGEST_NAME)


def _cut(text: str, size: int) -> str:
    return text.encode()[:size].decode(errors="ignore")


Waits: TypeAlias = Callable[[int], AbstractContextManager[None]]


def _in_silence(_: int) -> AbstractContextManager[None]:
    return nullcontext()


class Pool:
    """Connections in autocommit mode.

    An error of connecting reaches the caller at once and unchanged.
    """

    def __init__(
        self, address: Address, *, lock_timeout_s: float = LOCK_TIMEOUT_S, reconnect_s: float = RECONNECT_S
    ) -> None:
        self._address = address
        self._name = f"store {address}"
        self._reconnect_s = reconnect_s
        self._idle: list[Connection[DictRow]] = []
        self._guard = threading.Lock()
        self._has_connected = False
        self._is_pooled = False
        self._closed = False
        self._settings = {
            "search_path": f'"{address.schema}", pg_temp',
            "lock_timeout": f"{int(lock_timeout_s * 1000)}ms",
            MARK: secrets.token_hex(8),
        }

    @contextmanager
    def connection(self, begin: str = "", waits: Waits = _in_silence) -> Iterator[Connection[DictRow]]:
        """A connection for this block alone.

        :param begin: statements that open a transaction. If the server dropped a kept connection, they run on another
            one, because nothing can have happened on the first.
        :param waits: gets the number of the session, and is entered while it opens the transaction.
        """
        connection = self._begun(begin, waits)
        try:
            yield connection
        finally:
            self._put_back(connection)

    def _begun(self, begin: str, waits: Waits) -> Connection[DictRow]:
        while (kept := self._kept()) is not None:
            try:
                with waits(kept.info.backend_pid):
                    self._begin(kept, begin)
                return kept
            except psycopg.OperationalError:
                if not kept.broken:
                    self._put_back(kept)
                    raise
            except BaseException:
                self._put_back(kept)
                raise
        connection = self.connect()
        try:
            with waits(connection.info.backend_pid):
                self._begin(connection, begin)
        except BaseException:
            self._put_back(connection)
            raise
        return connection

    def _begin(self, connection: Connection[DictRow], begin: str) -> None:
        """Opens a transaction, in a session that has the settings.

        :raises StoreError: in another session, before anything else is done there.
        """
        if not begin:
            return
        first, _, rest = begin.partition(";")
        if rest.lstrip().startswith("SET TRANSACTION"):  # the server takes it before any query only
            snapshot, _, rest = rest.partition(";")
            first = f"{first};{snapshot}"
        try:
            connection.execute(f"{first}; {mark_condition(self._settings[MARK])}; {rest}")
        except errors.DivisionByZero:
            raise pooled_by_transactions(self._name) from None

    def _kept(self) -> Connection[DictRow] | None:
        """Returns a kept connection that the server has not dropped, as far as the client knows."""
        while True:
            with self._guard:
                if not self._idle:
                    return None
                connection = self._idle.pop()
            with suppress(psycopg.Error):
                connection.pgconn.consume_input()
                if not connection.broken:
                    return connection
            connection.close()

    def _put_back(self, connection: Connection[DictRow]) -> None:
        with suppress(psycopg.Error):
            if connection.info.transaction_status is not TransactionStatus.IDLE and not connection.broken:
                connection.execute("ROLLBACK")
            if connection.info.transaction_status is TransactionStatus.IDLE:
                with self._guard:
                    if not self._closed and len(self._idle) < _KEPT:
                        self._idle.append(connection)
                        return
        self.end(connection)

    def end(self, connection: Connection[DictRow]) -> None:
        """Closes a connection.

        A pooled session, which others use later, loses its settings.
        """
        if self._is_pooled and connection.info.transaction_status is TransactionStatus.IDLE:
            with suppress(psycopg.Error):
                connection.execute("DISCARD ALL")
        connection.close()

    def connect(self) -> Connection[DictRow]:
        """Returns a new connection, which the caller closes.

        :raises psycopg.Error: if the server cannot be reached; without a retry if it was never reached before.
        """
        if self._closed:
            raise StoreError(f"{self._name}: it was closed. Open it again.")
        deadline = monotonic() + self._reconnect_s
        pause_s = 0.05
        while True:
            try:
                connection = self._connected()
            except psycopg.OperationalError as e:
                if not self._has_connected or not is_away(e) or monotonic() > deadline:
                    raise
                sleep(pause_s)
                pause_s = min(2 * pause_s, 1.0)
                continue
            self._has_connected = True
            return connection

    def _connected(self) -> Connection[DictRow]:
        options: dict[str, Any] = {
            "connect_timeout": _CONNECT_TIMEOUT_S,
            "application_name": session_name(),
            "keepalives_idle": 60,
            "keepalives_interval": 15,
            "keepalives_count": 4,
            **self._address.parameters,
            "client_encoding": "UTF8",
        }
        connection = self._open(options)
        try:
            self._check(connection)
            if not self._has_connected:
                self._is_pooled = is_pooled(connection)
                if self._is_pooled:
                    check_sessions_stay(connection, lambda: self._open(options), self._name)
            pin_settings(connection, self._settings, self._name)
        except BaseException:
            connection.close()
            raise
        return connection

    def _open(self, options: Mapping[str, Any]) -> Connection[DictRow]:
        return Connection.connect(**options, autocommit=True, row_factory=dict_row)

    def _check(self, connection: Connection[DictRow]) -> None:
        version = connection.info.server_version
        if version < OLDEST_SERVER * 10_000:
            raise StoreError(
                f"{self._name}: the server is PostgreSQL {version // 10_000}; Deltamark needs "
                f"{OLDEST_SERVER} or newer. Upgrade the server."
            )
        encoding = connection.info.parameter_status("server_encoding")
        if encoding != "UTF8":
            raise StoreError(
                f"{self._name}: the database is encoded as {encoding}; Deltamark needs UTF8. Create another "
                "one: createdb --encoding=UTF8 --template=template0 NAME"
            )

    def close(self) -> None:
        """Closes the idle connections.

        Connections in use are closed when they come back.
        """
        with self._guard:
            self._closed = True
            kept, self._idle = self._idle, []
        for connection in kept:
            self.end(connection)


class ChangeDatastore(PostgresDatastore):
    """The connections to one store, in the form that recorders of `eventsourcing` need."""

    def __init__(
        self, address: Address, *, lock_timeout_s: float = LOCK_TIMEOUT_S, reconnect_s: float = RECONNECT_S
    ) -> None:
        super().__init__(
            dbname="", host="", port="", user="", password="", schema=address.schema, originator_id_type="text"
        )
        self.pool.close()
        self.connections = Pool(address, lock_timeout_s=lock_timeout_s, reconnect_s=reconnect_s)

    @contextmanager
    def get_connection(self) -> Iterator[Connection[DictRow]]:
        """A connection from the pool.

        Errors are the library's.
        """
        try:
            with self.connections.connection() as connection:
                yield connection
        except psycopg.Error as e:
            raise _translated(e)(str(e)) from e

    def register_type_adapters(self) -> None:
        """Registers nothing: rows are copied, not sent as composite values."""

    def close(self) -> None:
        """Closes every connection."""
        connections = getattr(self, "connections", None)
        if connections is not None:
            connections.close()


_TRANSLATED: tuple[tuple[type[psycopg.Error], type[persistence.PersistenceError]], ...] = (
    (errors.InterfaceError, persistence.InterfaceError),
    (errors.OperationalError, persistence.OperationalError),
    (errors.DataError, persistence.DataError),
    (errors.IntegrityError, persistence.IntegrityError),
    (errors.InternalError, persistence.InternalError),
    (errors.ProgrammingError, persistence.ProgrammingError),
    (errors.NotSupportedError, persistence.NotSupportedError),
    (errors.DatabaseError, persistence.DatabaseError),
)


def _translated(error: psycopg.Error) -> Callable[[str], persistence.PersistenceError]:
    return next((ours for theirs, ours in _TRANSLATED if isinstance(error, theirs)), persistence.PersistenceError)


def check_client(version: str = psycopg.__version__) -> None:
    """Refuses an old client library.

    :raises StoreError: if psycopg is older than `OLDEST_CLIENT`.
    """
    numbers = tuple(int(part) for part in version.split(".")[:2])
    if numbers < OLDEST_CLIENT:
        raise StoreError(
            f"psycopg {version} is installed; Deltamark needs 3.2 or newer. Upgrade it: pip install -U psycopg"
        )
