"""Changes as rows of a table in a database, each once by its id: a batch is one transaction there."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import orjson
from attrs import frozen

from deltamark.application.ports.sinks import Confirmed, Refusal, Sink, SinkConnection, SinkUnavailable
from deltamark.domain.sinks.batch import Batch, OutgoingChange

if TYPE_CHECKING:
    import psycopg

_SQLITE = "sqlite:///"
_POSTGRESQL = ("postgresql://", "postgres://")
_TIMEOUT_S = 60
_COLUMNS = ("id", "position", "at", "change", "entity_type", "key", "document")


class _Refused(Exception):
    """The database has no form for a row; the message is a clause without values."""


class _Connection(Protocol):
    """An open database."""

    def create(self, table: str) -> None:
        """Makes the table where it is missing."""
        ...

    def insert(self, table: str, row: Sequence[Any]) -> None:
        """Inserts a row that is not there yet.

        :raises _Refused: if the database cannot hold it; the transaction goes on.
        """
        ...

    def commit(self) -> None:
        """Ends the transaction; from then on the rows are there for good."""
        ...

    def rollback(self) -> None:
        """Ends the transaction without a trace."""
        ...

    def close(self) -> None:
        """Ends the connection."""
        ...


def sql_sink(connection: SinkConnection) -> Sink:
    """The database that the setting `server` names.

    :raises SinkUnavailable: if it cannot be opened.
    """
    server = connection.text("server") or ""
    if server.startswith(_SQLITE):
        return SqlSink(connection, _sqlite(server, connection.number("timeout", _TIMEOUT_S)))
    if server.startswith(_POSTGRESQL):
        return SqlSink(connection, _postgresql(connection, server))
    raise SinkUnavailable(
        "no database is set for it that can be written",
        f'Write server = "sqlite:///file.db" or "postgresql://…" in [deltamark.connections.{connection.name}].',
    )


class SqlSink:
    """Tables of changes in a database: `id` is the key, `document` the change as JSON."""

    def __init__(self, connection: SinkConnection, database: _Connection) -> None:
        self._database = database
        self._tables = [table.identifier for table in connection.tables]
        try:
            for table in self._tables:
                database.create(table)
            database.commit()
        except BaseException:
            database.close()
            raise

    def close(self) -> None:
        """Ends the connection."""
        self._database.close()

    def send(self, batch: Batch) -> Iterator[Confirmed]:
        """Inserts all changes in one transaction; what is there already stays as it is."""
        refused: list[Refusal] = []
        try:
            for change in batch.changes:
                try:
                    # What is missing concerns every table, as nobody knows which rows it would have changed.
                    for table in [change.table] if change.table else self._tables:
                        self._database.insert(table, _row(change))
                except _Refused as e:
                    refused.append(Refusal(change=change, problem=str(e)))
            self._database.commit()
        except BaseException:
            self._database.rollback()
            raise
        yield Confirmed(position=batch.until, sent=len(batch.changes) - len(refused), refused=refused)


def _row(change: OutgoingChange) -> tuple[Any, ...]:
    document = change.document()
    subject = change.entity_type if change.gap is None else change.gap.subject
    text = orjson.dumps(document).decode()
    return change.id, change.position, document["at"], change.kind, subject, change.key or None, text


@frozen
class _SqliteConnection:
    connection: sqlite3.Connection

    def create(self, table: str) -> None:
        with _sqlite_errors():
            self.connection.execute(
                f'CREATE TABLE IF NOT EXISTS "{table}" (id TEXT PRIMARY KEY, position INTEGER NOT NULL, '
                "at TEXT NOT NULL, change TEXT NOT NULL, entity_type TEXT, key TEXT, document TEXT NOT NULL)"
            )

    def insert(self, table: str, row: Sequence[Any]) -> None:
        marks = ", ".join("?" for _ in row)
        names = ", ".join(f'"{name}"' for name in _COLUMNS)
        with _sqlite_errors():
            try:
                self.connection.execute(
                    f'INSERT INTO "{table}" ({names}) VALUES ({marks}) ON CONFLICT (id) DO NOTHING', row
                )
            except (sqlite3.IntegrityError, sqlite3.DataError) as e:
                raise _Refused(f"the database refuses the row ({type(e).__name__})") from None

    def commit(self) -> None:
        with _sqlite_errors():
            self.connection.commit()

    def rollback(self) -> None:
        self.connection.rollback()

    def close(self) -> None:
        self.connection.close()


def _sqlite(server: str, timeout: int) -> _SqliteConnection:
    path = Path(server.removeprefix(_SQLITE))
    if path.is_symlink():
        raise SinkUnavailable(f"{path} is a link, and is not written through", "Name the file itself.")
    with _sqlite_errors():
        return _SqliteConnection(sqlite3.connect(path, timeout=timeout))


@contextmanager
def _sqlite_errors() -> Iterator[None]:
    try:
        yield
    except sqlite3.Error as e:
        raise SinkUnavailable(f"the database refuses it: {e}", "See its file, and its rights.") from None


@frozen
class _PostgreSQLConnection:
    connection: psycopg.Connection[Any]

    def create(self, table: str) -> None:
        with _postgresql_errors():
            known = self.connection.execute("SELECT to_regclass(%s)", (f'"{table}"',)).fetchone()
            if known is not None and known[0] is not None:
                return
            self.connection.execute(
                f'CREATE TABLE IF NOT EXISTS "{table}" (id text PRIMARY KEY, position bigint NOT NULL, '
                "at timestamptz NOT NULL, change text NOT NULL, entity_type text, key text, document jsonb NOT NULL)"
            )

    def insert(self, table: str, row: Sequence[Any]) -> None:
        import psycopg

        marks = ", ".join("%s" for _ in row)
        names = ", ".join(f'"{name}"' for name in _COLUMNS)
        with _postgresql_errors():
            try:
                with self.connection.transaction():
                    self.connection.execute(
                        f'INSERT INTO "{table}" ({names}) VALUES ({marks}) ON CONFLICT (id) DO NOTHING', row
                    )
            except (psycopg.DataError, psycopg.IntegrityError) as e:
                raise _Refused(f"the database refuses the row ({type(e).__name__})") from None

    def commit(self) -> None:
        with _postgresql_errors():
            self.connection.commit()

    def rollback(self) -> None:
        with _postgresql_errors():
            self.connection.rollback()

    def close(self) -> None:
        self.connection.close()


def _postgresql(connection: SinkConnection, server: str) -> _PostgreSQLConnection:
    import psycopg

    secret = connection.secret("password")
    named = {"user": connection.text("user"), "password": None if secret is None else secret.value}
    with _postgresql_errors():
        return _PostgreSQLConnection(
            psycopg.connect(
                server,
                autocommit=False,
                connect_timeout=connection.number("timeout", _TIMEOUT_S),
                application_name="deltamark",
                **{name: value for name, value in named.items() if value is not None},  # type: ignore[arg-type]
            )
        )


@contextmanager
def _postgresql_errors() -> Iterator[None]:
    import psycopg

    try:
        yield
    except psycopg.Error as e:
        problem = " ".join(str(e).split()) or type(e).__name__
        failed = SinkUnavailable(problem, "See the database, and the rights of the user.")
    else:
        return
    raise failed  # without its cause, which may show the password
