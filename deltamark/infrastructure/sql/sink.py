"""Changes as rows of a table in a database, each once by its id: a batch is one transaction there."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import orjson
from attrs import frozen

from deltamark.application.ports.sinks import Confirmed, Refusal, Sink, SinkConnection, SinkUnavailable
from deltamark.application.ports.sources import Probe
from deltamark.domain.configuration.packages import SQL_SINK
from deltamark.domain.sinks.batch import Batch, OutgoingChange
from deltamark.infrastructure.sql.postgresql import postgresql_security

if TYPE_CHECKING:
    import psycopg
    import pymysql

_SQLITE = "sqlite:///"
_POSTGRESQL = ("postgresql://", "postgres://")
_MYSQL = ("mysql://", "mariadb://")
_DUPLICATE = 1062
_TIMEOUT_S = 60
_COLUMNS = ("id", "position", "at", "change", "entity_type", "key", "document")


class _Refused(Exception):
    """The database has no form for a row; the message is a clause without values."""


class _Connection(Protocol):
    """An open database."""

    def server(self) -> str:
        """The product and its version."""
        ...

    def columns(self, table: str) -> Sequence[str]:
        """The columns of a table; none where it is missing."""
        ...

    def create(self, table: str) -> None:
        """Makes a table that is missing."""
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
    if server.startswith(_MYSQL):
        library = SQL_SINK.library_for(server)
        if library is not None and find_spec(library.module) is None:
            raise SinkUnavailable("the server needs a library that is not installed", library.installation)
        return SqlSink(connection, _mysql(connection))
    raise SinkUnavailable(
        "no database is set for it that can be written",
        'Write server = "sqlite:///file.db", "postgresql://…" or "mysql://…" in '
        f"[deltamark.connections.{connection.name}].",
    )


class SqlSink:
    """Tables of changes in a database: `id` is the key, `document` the change as JSON."""

    def __init__(self, connection: SinkConnection, database: _Connection) -> None:
        self._database = database
        self._tables = [table.identifier for table in connection.tables]
        self._are_made = False

    def probe(self) -> Probe:
        """Looks for the tables, and whether they have the columns that are written."""
        findings, problems = [], []
        for table in self._tables:
            columns = self._database.columns(table)
            missing = [name for name in _COLUMNS if name not in columns]
            if not columns:
                findings.append(f"{table}: the first delivery makes the table")
            elif missing:
                problems.append(f"the table {table} has no column {missing[0]}. Remove it, or name another")
            else:
                findings.append(f"{table}: the table is there")
        return Probe(server=self._database.server(), findings=findings, problems=problems)

    def _make_tables(self) -> None:
        if not self._are_made:
            for table in self._tables:
                if not self._database.columns(table):
                    self._database.create(table)
            self._database.commit()
            self._are_made = True

    def close(self) -> None:
        """Ends the connection."""
        self._database.close()

    def send(self, batch: Batch) -> Iterator[Confirmed]:
        """Inserts all changes in one transaction; what is there already stays as it is."""
        refused: list[Refusal] = []
        try:
            self._make_tables()
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

    def server(self) -> str:
        return f"SQLite {sqlite3.sqlite_version}"

    def columns(self, table: str) -> Sequence[str]:
        with _sqlite_errors():
            return [name for (name,) in self.connection.execute("SELECT name FROM pragma_table_info(?)", (table,))]

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


@frozen
class _MySQLConnection:
    connection: pymysql.connections.Connection[Any]

    def server(self) -> str:
        version = str(self._rows("SELECT VERSION()")[0][0])
        return f"{'MariaDB' if 'mariadb' in version.lower() else 'MySQL'} {version.partition('-')[0]}"

    def columns(self, table: str) -> Sequence[str]:
        sql = (
            "SELECT COLUMN_NAME FROM information_schema.COLUMNS WHERE TABLE_SCHEMA = DATABASE() AND TABLE_NAME = %s "
            "ORDER BY ORDINAL_POSITION"
        )
        return [str(name) for (name,) in self._rows(sql, (table,))]

    def create(self, table: str) -> None:
        self._rows(
            f"CREATE TABLE IF NOT EXISTS `{table}` (`id` VARCHAR(200) CHARACTER SET ascii COLLATE ascii_bin "
            "PRIMARY KEY, `position` BIGINT NOT NULL, `at` DATETIME(6) NOT NULL, `change` VARCHAR(20) NOT NULL, "
            "`entity_type` VARCHAR(200), `key` TEXT, `document` LONGTEXT NOT NULL) "
            "ENGINE=InnoDB DEFAULT CHARSET=utf8mb4"
        )

    def insert(self, table: str, row: Sequence[Any]) -> None:
        import pymysql

        identity, position, at, *others = row
        names = ", ".join(f"`{name}`" for name in _COLUMNS)
        marks = ", ".join("%s" for _ in row)
        try:
            self._rows(
                f"INSERT INTO `{table}` ({names}) VALUES ({marks})",
                (identity, position, at.removesuffix("Z").replace("T", " "), *others),
                explains=False,
            )
        except (pymysql.err.DataError, pymysql.err.IntegrityError) as e:
            if e.args[0] == _DUPLICATE:
                return  # of the key: it is there already
            raise _Refused(f"the database refuses the row ({type(e).__name__})") from None
        except pymysql.MySQLError as e:
            failed = _mysql_failure(e)
        else:
            return
        raise failed

    def _rows(self, sql: str, parameters: Sequence[Any] = (), *, explains: bool = True) -> list[tuple[Any, ...]]:
        import pymysql

        try:
            with self.connection.cursor() as cursor:
                cursor.execute(sql, parameters or None)
                return list(cursor.fetchall())
        except pymysql.MySQLError as e:
            if not explains:
                raise
            failed = _mysql_failure(e)
        raise failed

    def commit(self) -> None:
        import pymysql

        try:
            self.connection.commit()
        except pymysql.MySQLError as e:
            failed = _mysql_failure(e)
        else:
            return
        raise failed

    def rollback(self) -> None:
        import pymysql

        with suppress(pymysql.MySQLError):
            self.connection.rollback()

    def close(self) -> None:
        if self.connection.open:
            self.connection.close()


def _mysql(connection: SinkConnection) -> _MySQLConnection:
    import pymysql

    from deltamark.infrastructure.sql.mysql import mysql_address

    secret = connection.secret("password")
    timeout = connection.number("timeout", _TIMEOUT_S)
    try:
        return _MySQLConnection(
            pymysql.connect(
                **mysql_address(connection.question()),
                password=b"" if secret is None else secret.value.encode(),  # the driver takes texts as Latin-1
                charset="utf8mb4",
                connect_timeout=timeout,
                read_timeout=timeout,
                write_timeout=timeout,
                program_name="deltamark",
                sql_mode="STRICT_ALL_TABLES",  # or the server would cut what does not fit
            )
        )
    except (pymysql.MySQLError, OSError, UnicodeError) as e:
        failed = _mysql_failure(e)
    raise failed  # without its cause, which may show the password


def _mysql_failure(error: Exception) -> SinkUnavailable:
    words = " ".join(str(error.args[-1] if error.args else error).split()) or type(error).__name__
    return SinkUnavailable(words, "See the database, and the rights of the user.")


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

    def server(self) -> str:
        with _postgresql_errors():
            row = self.connection.execute("SELECT current_setting('server_version')").fetchone()
        return f"PostgreSQL {row[0] if row else ''}".strip()

    def columns(self, table: str) -> Sequence[str]:
        with _postgresql_errors():
            rows = self.connection.execute(
                "SELECT attname FROM pg_attribute WHERE attrelid = to_regclass(%s) AND attnum > 0 "
                "AND NOT attisdropped ORDER BY attnum",
                (f'"{table}"',),
            ).fetchall()
        return [str(name) for (name,) in rows]

    def create(self, table: str) -> None:
        with _postgresql_errors():
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
    named = {
        "user": connection.text("user"),
        "password": None if secret is None else secret.value,
        **postgresql_security(server, connection.text("authority")),
    }
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
