"""Watches the log by LISTEN and NOTIFY."""

from __future__ import annotations

from threading import Event
from time import monotonic

import psycopg
from psycopg import Connection
from psycopg.rows import DictRow
from psycopg.sql import SQL, Identifier

from deltamark.infrastructure.store.postgresql.connection import Pool

_SLICE_S = 0.25
"""Seconds for which a wait cannot be stopped."""


class NotificationWatch:
    """Waits for notifications.

    A lost connection is replaced. Notifications sent meanwhile are lost.
    """

    def __init__(self, connections: Pool, channel: str) -> None:
        self._connections = connections
        self._channel = channel
        self._connection: Connection[DictRow] | None = None
        self._listen()

    def wait(self, timeout_s: float, stop: Event) -> None:
        if self._connection is None:
            self._listen()
            return
        deadline = monotonic() + timeout_s
        try:
            while not stop.is_set() and (remaining_s := deadline - monotonic()) > 0:
                for _ in self._connection.notifies(timeout=min(remaining_s, _SLICE_S), stop_after=1):
                    return
        except psycopg.OperationalError:
            self.close()

    def _listen(self) -> None:
        connection = self._connections.connect()
        try:
            connection.execute(SQL("LISTEN {}").format(Identifier(self._channel)))
        except BaseException:
            connection.close()
            raise
        self._connection = connection

    def close(self) -> None:
        """Closes the connection."""
        if self._connection is not None:
            self._connections.end(self._connection)
            self._connection = None
