"""PostgreSQL: errors name what to do, and never the password."""

from __future__ import annotations

import traceback
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

import psycopg
import pyarrow as pa
import pytest
from psycopg import errors

from deltamark import ConcurrentRun, Engine, StoreError, StoreReadOnly, StoreUnreachable
from deltamark.application.ports.records import ResourceChanges
from deltamark.bootstrap import open_store, utc_now
from deltamark.domain.resources.events import Origin
from deltamark.infrastructure.store.postgresql import connection as postgresql_connection
from deltamark.infrastructure.store.postgresql.address import address_of
from deltamark.infrastructure.store.postgresql.connection import check_client
from deltamark.infrastructure.store.postgresql.errors import explained
from deltamark.infrastructure.store.postgresql.store import PostgreSQLStore
from tests.postgresql import PASSWORD, USER, Server, running
from tests.store.company import configuration

SECRET = quote(PASSWORD, safe="")


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    """A server with passwords and users of its own."""
    with running() as server:
        yield server


@pytest.fixture
def admin(server: Server) -> Iterator[psycopg.Connection[tuple[object, ...]]]:
    with psycopg.connect(server.url("postgres"), autocommit=True) as connection:
        yield connection


def over_tcp(server: Server, user: str = USER, password: str = SECRET, database: str = "postgres") -> str:
    return f"postgresql://{user}:{password}@127.0.0.1:{server.port}/{database}"


def refused(url: str) -> StoreError:
    """The error of opening a store; checks that it does not show the password."""
    with pytest.raises(StoreError) as caught:
        open_store(url)
    told = "".join(traceback.format_exception(caught.value)) + repr(caught.value)
    assert PASSWORD not in told
    assert SECRET not in told
    return caught.value


def test_the_password_opens_a_store_and_is_never_shown(server: Server, tmp_path: Path) -> None:
    with Engine.open(over_tcp(server), configuration=configuration(), export_output=tmp_path) as engine:
        shown = repr(engine) + repr(vars(engine)) + repr(vars(engine._services.store))

    assert PASSWORD not in shown
    assert SECRET not in shown


def test_a_wrong_password_is_reported(server: Server) -> None:
    error = refused(over_tcp(server, password="not-it-at-all"))

    assert "the server refuses this user" in str(error)
    assert "PGPASSWORD" in str(error)
    assert "not-it-at-all" not in str(error)


def test_an_unknown_user_is_reported(server: Server) -> None:
    error = refused(server.url("postgres").replace(f"//{USER}@", "//stranger@"))

    assert 'role "stranger" does not exist' in str(error)


def test_a_missing_database_is_reported_with_how_to_create_it(server: Server) -> None:
    error = refused(over_tcp(server, database="nowhere"))

    assert "the database does not exist" in str(error)
    assert "createdb" in str(error)
    assert "/nowhere" in str(error)


def test_an_unreachable_server_is_reported() -> None:
    error = refused(f"postgresql://{USER}:{SECRET}@127.0.0.1:1/db")

    assert isinstance(error, StoreUnreachable)
    assert "that the server is up" in str(error)


@pytest.mark.parametrize(
    "url",
    [
        f"postgresql://{USER}:{SECRET}@[::1/db",
        f"postgresql://{USER}:{SECRET}%zz@host/db",
        f"postgresql://{USER}:{SECRET}@host/db?nonsense=1",
        f"postgresql://{USER}:{SECRET}@host/db?nonsense",
        f"postgresql://{USER}:{SECRET}@host:port/db",
    ],
)
def test_an_invalid_url_is_refused_with_an_example(url: str) -> None:
    assert "postgresql://user@host/database" in str(refused(url)) or "cannot be reached" in str(refused(url))


@pytest.mark.parametrize("schema", ["", "Capital", "two words", 'x"; DROP', "9", "x" * 51])
def test_an_invalid_schema_name_is_refused(schema: str) -> None:
    assert "lower-case letters" in str(refused(f"postgresql://h/db?schema={quote(schema)}"))


def test_the_address_is_shown_without_the_password() -> None:
    assert str(address_of(f"postgres://me:{SECRET}@db.example:6432/x?schema=s")) == (
        "postgresql://me@db.example:6432/x?schema=s"
    )


def test_a_user_without_the_right_to_create_learns_what_to_grant(
    server: Server, admin: psycopg.Connection[object]
) -> None:
    admin.execute("CREATE ROLE guest LOGIN")
    open_store(server.url("postgres", schema="not_theirs")).close()

    for schema in ("unborn", "not_theirs"):
        error = refused(server.url("postgres", schema=schema).replace(f"//{USER}@", "//guest@"))

        assert "permission denied" in str(error)
        assert "CREATE" in str(error)


def test_a_schema_of_another_application_is_left_alone(server: Server, admin: psycopg.Connection[object]) -> None:
    admin.execute("CREATE SCHEMA theirs; CREATE TABLE theirs.orders (id int)")

    error = refused(server.url("postgres", schema="theirs"))

    assert "tables of another application (orders)" in str(error)
    assert "?schema=" in str(error)


def test_a_missing_store_is_not_created_unless_allowed(server: Server, admin: psycopg.Connection[object]) -> None:
    with pytest.raises(StoreError, match="there is no store yet"):
        open_store(server.url("postgres", schema="unborn"), create=False)

    assert admin.execute("SELECT count(*) FROM pg_namespace WHERE nspname = 'unborn'").fetchone() == (0,)


def test_a_database_in_another_encoding_is_refused(server: Server, admin: psycopg.Connection[object]) -> None:
    admin.execute("CREATE DATABASE latin TEMPLATE template0 ENCODING 'LATIN1'")

    assert "encoded as LATIN1; Deltamark needs UTF8" in str(refused(server.url("latin")))


def test_a_server_that_is_too_old_is_refused(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(postgresql_connection, "OLDEST_SERVER", 99)

    assert "Deltamark needs 99 or newer" in str(refused(server.url("postgres")))


def test_a_client_library_that_is_too_old_is_refused() -> None:
    with pytest.raises(StoreError, match="psycopg 3\\.1\\.9 is installed; Deltamark needs 3\\.2 or newer"):
        check_client("3.1.9")


def test_a_writer_that_waits_too_long_learns_of_the_other_writer(server: Server) -> None:
    store = PostgreSQLStore(server.url("postgres", schema="busy"), utc_now, lock_timeout_s=0.05)

    with (
        store.transaction(),
        pytest.raises(ConcurrentRun, match="another process has been writing"),
        store.transaction(),
    ):
        pass

    with store.transaction() as tx:
        assert tx.head() == 0
    store.close()


def test_a_server_without_free_connections_is_reported(server: Server, admin: psycopg.Connection[object]) -> None:
    admin.execute("CREATE ROLE one LOGIN CONNECTION LIMIT 1; GRANT CREATE ON DATABASE postgres TO one")
    url = server.url("postgres").replace(f"//{USER}@", "//one@")

    with psycopg.connect(url):
        error = refused(url)

    assert "too many connections" in str(error) or "no connection left" in str(error)


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (errors.DiskFull("could not extend file"), "Free some space there"),
        (errors.OutOfMemory("out of memory"), "Give it more memory"),
        (errors.ReadOnlySqlTransaction("cannot execute UPDATE"), "Name the server that takes writes"),
        (errors.QueryCanceled("canceling statement due to statement timeout"), "statement_timeout"),
        (errors.IndexCorrupted("could not read block"), "Verify it"),
        (errors.UndefinedTable('relation "links" does not exist'), "Verify it"),
        (errors.SyntaxError("syntax error"), "--debug"),
    ],
)
def test_errors_of_the_server_are_reported_with_advice(error: psycopg.Error, words: str) -> None:
    explanation = explained(error, address_of(f"postgresql://me:{SECRET}@h/db"))

    assert type(explanation) in (StoreError, StoreReadOnly)
    assert str(explanation).startswith("store postgresql://me@h/db: ")
    assert words in str(explanation)
    assert "What was being written was undone." in str(explanation)


def test_a_key_with_nul_is_refused_and_nothing_is_written(server: Server) -> None:
    """Extracts with NUL are refused earlier; this is the second line of defence."""
    rows = pa.table({"key": ["a\0b"], "line": pa.array([2], pa.int64()), "state": ["{}"]})
    changes = ResourceChanges(created=rows, updated=rows[:0], deleted=rows[:0])
    store = PostgreSQLStore(server.url("postgres", schema="nul"), utc_now)

    with pytest.raises(StoreError, match="a value cannot be stored in PostgreSQL"), store.transaction() as tx:
        tx.append_resources("Person", changes, Origin(1, 1))

    with store.reading() as view:
        assert view.head() == 0
    store.close()
