"""PostgreSQL as a source: late commits by overlap and by transactions, deletions, a server that ends midway."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from random import Random
from typing import Any

import psycopg
import pytest

from deltamark.application.ports.sources import SourceUnreachable
from deltamark.bootstrap import proposal_for_server, sql_source
from tests.sql import described
from tests.sql.following import Collected, Follower, follow, question
from tests.tiers import SOAK

# Starts a server.
pytestmark = pytest.mark.slow

ROUNDS = 200 if SOAK else 12
QUERY = {"Query": "SELECT * FROM person"}
BY_TRANSACTIONS = {**QUERY, "Watermark": "xmin:written_by", "Keys": "SELECT id FROM person"}
BY_TIME = {**QUERY, "Watermark": "at", "Keys": "SELECT id FROM person"}
BY_CHANGES = {**QUERY, "ChangeTable": "public.told", "Sequence": "number", "Operation": "operation", "Overlap": "500"}
OVERLAP = {"Overlap": "00:10:00"}
TABLES = """
DROP TABLE IF EXISTS person, told;
CREATE TABLE person (id text PRIMARY KEY, name text, at timestamptz, written_by xid8);
CREATE TABLE told (number bigserial PRIMARY KEY, id text, operation text);
CREATE OR REPLACE FUNCTION written() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
    NEW.written_by := pg_current_xact_id(); NEW.at := clock_timestamp(); RETURN NEW; END $$;
CREATE OR REPLACE FUNCTION tell() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
    INSERT INTO told (id, operation) VALUES (coalesce(NEW.id, OLD.id), TG_OP); RETURN NULL; END $$;
CREATE TRIGGER written BEFORE INSERT OR UPDATE ON person FOR EACH ROW EXECUTE FUNCTION written();
CREATE TRIGGER tell AFTER INSERT OR UPDATE OR DELETE ON person FOR EACH ROW EXECUTE FUNCTION tell();
"""


class Session:
    """A connection that writes in transactions."""

    def __init__(self, url: str) -> None:
        self.connection = psycopg.connect(url)

    def put(self, key: str, name: str) -> None:
        self.connection.execute(
            "INSERT INTO person VALUES (%s, %s) ON CONFLICT (id) DO UPDATE SET name = excluded.name", (key, name)
        )

    def remove(self, key: str) -> None:
        self.connection.execute("DELETE FROM person WHERE id = %s", (key,))

    def commit(self) -> None:
        self.connection.commit()

    def rollback(self) -> None:
        self.connection.rollback()


@pytest.fixture
def sessions(postgresql_database: str) -> Iterator[list[Session]]:
    """Two connections that write, and empty tables."""
    with psycopg.connect(postgresql_database, autocommit=True) as connection:
        connection.execute(TABLES)
        opened = [Session(postgresql_database), Session(postgresql_database)]
        yield opened
        for session in opened:
            session.connection.close()
        connection.execute("DROP TABLE person, told")


def follower(url: str, options: dict[str, str]) -> Follower:
    return Follower(question({"server": url}, ["id", "name"], options))


def committed_late(sessions: list[Session], following: Follower) -> None:
    """One session writes, another one writes and commits later and is read; then the first one commits."""
    early, late = sessions
    late.put("k0", "before")
    late.commit()
    following.read()
    early.put("k0", "late")
    late.put("k1", "Bob")
    late.commit()
    following.read()
    early.commit()
    following.read()


@pytest.mark.parametrize("options", [BY_TRANSACTIONS, {**BY_TIME, **OVERLAP}, BY_CHANGES], ids=["xid8", "time", "told"])
def test_what_is_committed_late_is_found(
    postgresql_database: str, sessions: list[Session], options: dict[str, str]
) -> None:
    following = follower(postgresql_database, options)

    committed_late(sessions, following)

    assert following.state == {"k0": ("late",), "k1": ("Bob",)}
    assert following.lost == 0
    assert len(following.read()) <= 2


@pytest.mark.parametrize("options", [BY_TIME, {**BY_CHANGES, "Overlap": "0"}], ids=["time", "told"])
def test_control_without_an_overlap_it_is_not_found(
    postgresql_database: str, sessions: list[Session], options: dict[str, str]
) -> None:
    following = follower(postgresql_database, options)

    committed_late(sessions, following)

    assert following.state == {"k0": ("before",), "k1": ("Bob",)}


@pytest.mark.law
@pytest.mark.parametrize("seed", range(5 if SOAK else 1))
@pytest.mark.parametrize("options", [BY_TRANSACTIONS, {**BY_TIME, **OVERLAP}, BY_CHANGES], ids=["xid8", "time", "told"])
def test_deltas_equal_what_the_server_holds(
    postgresql_database: str, sessions: list[Session], options: dict[str, str], seed: int
) -> None:
    following = follower(postgresql_database, options)

    with psycopg.connect(postgresql_database, autocommit=True) as connection:

        def oracle() -> dict[Any, Any]:
            return {key: (name,) for key, name in connection.execute("SELECT id, name FROM person")}

        follow(following, list(sessions), oracle, Random(seed), ROUNDS)


def test_a_watermark_of_transactions_needs_their_type(postgresql_database: str, sessions: list[Session]) -> None:
    following = follower(postgresql_database, {**BY_TRANSACTIONS, "Watermark": "xmin:at"})

    with pytest.raises(SourceUnreachable, match='"at" is not of the type xid8'):
        following.read()


def test_another_history_of_the_server_is_a_lost_place(
    postgresql_database: str, sessions: list[Session], monkeypatch: pytest.MonkeyPatch
) -> None:
    following = follower(postgresql_database, BY_TRANSACTIONS)
    following.read()
    following.read()
    assert following.lost == 0
    monkeypatch.setattr(
        "deltamark.infrastructure.sql.postgresql.PostgreSQLReader.guard", property(lambda reader: {"timeline": "2"})
    )

    following.read()

    assert following.lost == 1


@pytest.mark.parametrize(
    ("kind", "keys"),
    [
        ("bigint", ["9007199254740993", "2"]),
        ("numeric", ["1.50", "2"]),
        ("uuid", ["00000000-0000-0000-0000-00000000000a"]),
        ("char(5)", ["a    ", "b'\\  "]),
        ("bytea", ["AP8="]),
        ("timestamptz", ["2026-01-01 00:00:00+00"]),
        ('"mood of a day"', ["so-so"]),
    ],
)
def test_rows_are_read_again_by_keys_of_any_type(postgresql_database: str, kind: str, keys: list[str]) -> None:
    written = [f"decode('{key}', 'base64')" if kind == "bytea" else "'" + key.replace("'", "''") + "'" for key in keys]
    with psycopg.connect(postgresql_database, autocommit=True) as connection:
        connection.execute("CREATE TYPE \"mood of a day\" AS ENUM ('so-so')")
        connection.execute(f"CREATE TABLE keyed (id {kind} PRIMARY KEY, name text)")
        connection.execute(f"CREATE TABLE keyed_told (number int, id {kind})")
        try:
            options = {"Query": "TABLE keyed", "ChangeTable": "keyed_told", "Sequence": "number", "Overlap": "9"}
            following = follower(postgresql_database, options)
            following.read()
            for number, key in enumerate(written):
                connection.execute(f"INSERT INTO keyed VALUES ({key}, 'n')")
                connection.execute(f"INSERT INTO keyed_told VALUES ({number}, {key})")
            following.read()
            assert following.state == dict.fromkeys(keys, ("n",))
            connection.execute("DELETE FROM keyed")
            following.read()
            assert following.state == {}
        finally:
            connection.execute('DROP TABLE keyed, keyed_told; DROP TYPE "mood of a day"')


def test_a_server_that_ends_midway_is_no_end_of_rows(postgresql_database: str) -> None:
    class Ending(Collected):
        def write(self, table: str, batch: Any) -> None:
            super().write(table, batch)
            if len(self.rows) == 10_000:
                with psycopg.connect(postgresql_database, autocommit=True) as connection:
                    connection.execute(
                        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
                        "WHERE application_name = 'deltamark' AND query LIKE 'COPY%'"
                    )

    into = Ending()
    query = "SELECT i AS id, repeat('x', 100) AS v FROM generate_series(1, 300000) n(i)"
    ask = question({"server": postgresql_database}, ["id", "v"], {"Query": query})

    with pytest.raises(SourceUnreachable, match=r"terminat|closed|lost|server"):
        sql_source().snapshot(ask, into)

    assert 0 < len(into.rows) < 300_000


def test_a_query_with_a_column_twice_is_refused(postgresql_database: str) -> None:
    ask = question({"server": postgresql_database}, ["id"], {"Query": "SELECT 1 AS id, 2 AS id"})

    with pytest.raises(SourceUnreachable, match='several columns "id"'):
        sql_source().snapshot(ask, Collected())


def test_secrets_are_in_no_refusal() -> None:
    secrets = ["p%40ss", "a\"b'c", "wörd ✓", "with space", "back\\slash", "a@b:c/d", "x" * 200, "=&?#", "{}", "%s", "§"]
    for secret in secrets:
        for address in (
            "postgresql://127.0.0.1:9/none",
            "postgresql://[",
            "postgresql://h/d?sslmode=require",
            "postgresql://h/d?nonsense=1",
        ):
            ask = question({"server": address, "user": "nobody"}, ["id"], {"Query": "SELECT 1 AS id"}, password=secret)
            with pytest.raises(SourceUnreachable) as caught:
                sql_source().snapshot(ask, Collected())
            said = f"{caught.value.problem} {caught.value.advice}"
            assert secret not in said
            assert caught.value.__cause__ is None


def test_a_server_on_another_machine_that_has_no_certificate_is_refused(
    postgresql_database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    parts = psycopg.conninfo.conninfo_to_dict(postgresql_database)
    address = f"postgresql://127.0.0.1:{parts['port']}/{parts['dbname']}"
    monkeypatch.setattr("deltamark.infrastructure.sql.postgresql.is_loopback", lambda host: False)
    ask = question({"server": address, "user": "deltamark"}, ["id"], {"Query": "SELECT 1 AS id"}, password="x")

    with pytest.raises(SourceUnreachable, match="does not support SSL"):
        sql_source().snapshot(ask, Collected())


def test_a_database_says_what_is_proposed_for_it(postgresql_database: str) -> None:
    with psycopg.connect(postgresql_database, autocommit=True) as connection:
        for statement in described.TABLES:
            connection.execute(statement)  # type: ignore[call-overload]
        connection.execute("CREATE SCHEMA other")
        connection.execute('CREATE TABLE other."Order" (id int PRIMARY KEY, data bytea)')
        try:
            described.proposed(postgresql_database)
            (connected,) = proposal_for_server(
                postgresql_database, {}, ["other.Order"], connector="HR"
            ).configuration.connections
        finally:
            connection.execute("DROP SCHEMA other CASCADE")
            connection.execute("DROP TABLE membership, person, department")

    (table,) = connected.tables
    assert (table.identifier, table.options) == ("other_Order", {"Query": 'select * from other."Order"'})


def test_what_is_proposed_for_tables_that_change_follows_them(postgresql_database: str, tmp_path: Path) -> None:
    with psycopg.connect(postgresql_database, autocommit=True) as connection:

        def execute(*statements: str) -> None:
            for statement in statements:
                connection.execute(statement)  # type: ignore[call-overload]

        described.follows_changes(postgresql_database, execute, tmp_path, {})
