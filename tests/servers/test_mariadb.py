"""MariaDB as a source: exact values, one consistent moment, changes, deletions, late commits, certificates."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from random import Random
from tempfile import TemporaryDirectory
from typing import Any

import pymysql
import pytest

from deltamark import Engine, TaskState
from deltamark.application.ports.sinks import SinkUnavailable
from deltamark.application.ports.sources import SourceUnreachable
from deltamark.bootstrap import sql_source
from deltamark.domain.secrets import Secret
from deltamark.infrastructure.sql.sink import sql_sink
from tests.scenarios.database_source import PERSON, configuration, messages
from tests.servers.certificates import issued
from tests.servers.mariadb import PASSWORD, READER, MariaDB
from tests.sinks.changes import change, connection, sent
from tests.sql import described
from tests.sql.following import Collected, Follower, follow, question
from tests.tiers import SOAK

# Starts a server.
pytestmark = pytest.mark.slow

PERSON_TABLE = "CREATE TABLE person (id VARCHAR(20) PRIMARY KEY, name VARCHAR(50), at TIMESTAMP(6) NULL)"
BY_KEYS = {"Query": "SELECT * FROM person", "Watermark": "at", "Keys": "SELECT id FROM person"}
OVERLAP = {"Overlap": "00:10:00"}
ROUNDS = 200 if SOAK else 12


@pytest.fixture(scope="module")
def server() -> Iterator[MariaDB]:
    """One server for all tests of this module; each makes its own tables."""
    with TemporaryDirectory(prefix="mariadb-") as folder:
        started = MariaDB(Path(folder))
        yield started
        started.stop()


def ask_for(
    server: MariaDB, columns: list[str], options: dict[str, str], *, address: str | None = None, **settings: str
) -> Any:
    named = {"server": address or server.address, "user": READER, **settings}
    return question(named, columns, options, password=PASSWORD)


VALUES: dict[str, tuple[str, str | None]] = {
    "BIGINT UNSIGNED": ("18446744073709551615", "18446744073709551615"),
    "DECIMAL(30,2)": ("1234567.89", "1234567.89"),
    "DECIMAL(65,30)": ("0.1", "0.100000000000000000000000000000"),
    "FLOAT": ("16777217", "1.6777216e+07"),
    "FLOAT /* tenth */": ("0.1", "0.1"),
    "DOUBLE": ("0.1", "0.1"),
    "DOUBLE /* third */": ("1e0/3", "0.3333333333333333"),
    "DATE": ("'0000-00-00'", "0000-00-00"),
    "DATETIME": ("'0000-00-00'", "0000-00-00 00:00:00"),
    "TIME": ("'-838:59:59'", "-838:59:59"),
    "TIMESTAMP(6) NULL": ("'2026-01-01 05:00:00.5'", "2026-01-01 00:00:00.500000"),
    "YEAR": ("2026", "2026"),
    "BIT(10)": ("b'1010101010'", "682"),
    "BLOB": ("x'00ff'", "AP8="),
    "VARBINARY(5)": ("x'41'", "QQ=="),
    "VARCHAR(20)": ("''", ""),
    "VARCHAR(20) NULL": ("NULL", None),
    "VARCHAR(20) CHARACTER SET latin1": ("'ünï'", "ünï"),
    "TEXT": ("'tab\\tand\\nline \\\\N 😀'", "tab\tand\nline \\N 😀"),
    "TEXT /* U+0000 */": ("CONCAT('a', CHAR(0), 'b')", "a\0b"),
    "ENUM('a','b')": ("'b'", "b"),
    "SET('a','b')": ("'a,b'", "a,b"),
    "JSON": ("'{\"a\": 1.10}'", '{"a": 1.10}'),
}


def test_values_are_the_texts_of_the_server(server: MariaDB) -> None:
    names = [f"v{number}" for number in range(len(VALUES))]
    columns = ", ".join(f"{name} {kind}" for name, kind in zip(names, VALUES, strict=True))
    server.execute(
        f"CREATE OR REPLACE TABLE valued ({columns})",
        "SET sql_mode = '', time_zone = '+05:00'",
        f"INSERT INTO valued VALUES ({', '.join(value for value, _ in VALUES.values())})",
    )
    into = Collected()

    sql_source().snapshot(ask_for(server, names, {"Query": "SELECT * FROM valued"}), into)

    (row,) = into.rows
    assert dict(zip(VALUES, row.values(), strict=True)) == {kind: text for kind, (_, text) in VALUES.items()}


def test_the_database_is_read_only_and_its_refusals_are_said_without_secrets(server: MariaDB) -> None:
    server.execute("CREATE OR REPLACE TABLE t (id INT, v INT)", "INSERT INTO t VALUES (1, 2)")
    problems = {
        "SELECT * FROM absent": "absent",
        "DELETE FROM t": "syntax",
        "SELECT id AS other FROM t": 'has no column "id"; it has "other"',
        "SELECT id, v AS id FROM t": "Duplicate column name 'id'",
    }

    for query, problem in problems.items():
        with pytest.raises(SourceUnreachable, match=problem):
            sql_source().snapshot(ask_for(server, ["id"], {"Query": query}), Collected())
    for secret in (PASSWORD + "x", "p%40", 'a"b', "wörd ✓"):
        for address in (server.address, "mysql://127.0.0.1:9/hr", "mysql://[", "mysql://h/", "mysql://h/x?ssl=0"):
            ask = question({"server": address, "user": READER}, ["id"], {"Query": "SELECT 1 AS id"}, password=secret)
            with pytest.raises(SourceUnreachable) as caught:
                sql_source().snapshot(ask, Collected())
            assert secret not in f"{caught.value.problem} {caught.value.advice}"
            assert caught.value.__cause__ is None


def test_a_socket_is_read_and_each_probe_says_how_changes_are_told(server: MariaDB) -> None:
    server.execute("DROP TABLE IF EXISTS person", PERSON_TABLE)
    ask = ask_for(server, ["id"], BY_KEYS, address=f"mariadb:///hr?socket={server.socket}")

    probe = sql_source().probe(ask)

    assert probe.server.startswith("MariaDB 1")
    assert probe.findings == ("T: changes by at, deletions by all keys",)
    assert probe.problems == ()


def test_all_tables_belong_to_the_same_moment(server: MariaDB) -> None:
    server.execute("DROP TABLE IF EXISTS person", PERSON_TABLE, "INSERT INTO person VALUES ('a', 'Ann', NULL)")

    class Meanwhile(Collected):
        def keep_keys(self, table: str, keys: Any) -> str:
            server.execute("DELETE FROM person")
            return super().keep_keys(table, keys)

    into = Meanwhile()
    sql_source().snapshot(ask_for(server, ["id", "name"], BY_KEYS), into)

    assert [row["id"] for row in into.rows] == ["a"]


def test_a_server_that_ends_midway_is_no_end_of_rows(server: MariaDB) -> None:
    class Killing(Collected):
        def write(self, table: str, batch: Any) -> None:
            super().write(table, batch)
            if len(self.rows) == 10_000:
                for (number,) in server.rows(f"SELECT id FROM information_schema.processlist WHERE user = '{READER}'"):
                    server.execute(f"KILL {number}")

    query = "SELECT seq AS id, repeat('x', 100) AS v FROM hr.seq_1_to_300000"
    ask = ask_for(server, ["id", "v"], {"Query": query})
    into = Killing()

    with pytest.raises(SourceUnreachable):
        sql_source().snapshot(ask, into)

    assert 0 < len(into.rows) < 300_000


def test_a_server_on_another_machine_must_prove_who_it_is(
    server: MariaDB, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    authority = str(server.certificate.authority)
    monkeypatch.setattr("deltamark.infrastructure.sql.addresses.is_loopback", lambda host: False)
    other = str(issued(tmp_path / "other", "db.meridian.example").authority)
    query = {"Query": "SELECT 1 AS id"}
    into = Collected()

    sql_source().snapshot(ask_for(server, ["id"], query, authority=authority), into)

    assert into.rows == [{"id": "1"}]
    for authorities in ({}, {"authority": other}):
        with pytest.raises(SourceUnreachable, match="certificate verify failed"):
            sql_source().snapshot(ask_for(server, ["id"], query, **authorities), Collected())
    wrong_name = server.address.replace("127.0.0.1", "localhost")
    with pytest.raises(SourceUnreachable, match="not valid for 'localhost'"):
        sql_source().snapshot(ask_for(server, ["id"], query, address=wrong_name, authority=authority), Collected())
    with pytest.raises(SourceUnreachable, match=r"the authority .* cannot be read"):
        sql_source().snapshot(ask_for(server, ["id"], query, authority=str(tmp_path / "none")), Collected())
    monkeypatch.setattr(pymysql.connections.Connection, "_get_server_information", without_tls)
    with pytest.raises(SourceUnreachable, match="SSL is required"):
        sql_source().snapshot(ask_for(server, ["id"], query, authority=authority), Collected())


_greeted = pymysql.connections.Connection._get_server_information


def without_tls(connection: Any) -> None:
    """A server, or who stands between, that says it has no TLS."""
    _greeted(connection)
    connection.server_capabilities &= ~pymysql.constants.CLIENT.SSL


class Session:
    """A connection that writes in transactions."""

    def __init__(self, server: MariaDB) -> None:
        self._connection = server.client()
        self._connection.autocommit(False)
        self._connection.select_db("hr")
        self._execute("SET SESSION TRANSACTION ISOLATION LEVEL READ COMMITTED")  # which locks no gaps

    def _execute(self, statement: str, *values: Any) -> None:
        with self._connection.cursor() as cursor:
            cursor.execute(statement, values)

    def put(self, key: str, name: str) -> None:
        self._execute("REPLACE INTO person VALUES (%s, %s, SYSDATE(6))", key, name)

    def remove(self, key: str) -> None:
        self._execute("DELETE FROM person WHERE id = %s", key)

    def commit(self) -> None:
        self._connection.commit()

    def rollback(self) -> None:
        self._connection.rollback()

    def close(self) -> None:
        self._connection.close()


@pytest.fixture
def sessions(server: MariaDB) -> Iterator[list[Session]]:
    """Two connections that write, and an empty table."""
    server.execute("DROP TABLE IF EXISTS person", PERSON_TABLE)
    opened = [Session(server), Session(server)]
    yield opened
    for session in opened:
        session.close()


def committed_late(sessions: list[Session], follower: Follower) -> None:
    """One session writes, another one writes and commits later and is read; then the first one commits."""
    early, late = sessions
    late.put("k0", "before")
    late.commit()
    follower.read()
    early.put("k0", "late")
    late.put("k1", "Bob")
    late.commit()
    follower.read()
    early.commit()
    follower.read()


def test_what_is_committed_late_is_found_with_an_overlap(server: MariaDB, sessions: list[Session]) -> None:
    follower = Follower(ask_for(server, ["id", "name"], {**BY_KEYS, **OVERLAP}))

    committed_late(sessions, follower)

    assert follower.state == {"k0": ("late",), "k1": ("Bob",)}
    assert follower.lost == 0


def test_control_without_an_overlap_it_is_not_found(server: MariaDB, sessions: list[Session]) -> None:
    follower = Follower(ask_for(server, ["id", "name"], BY_KEYS))

    committed_late(sessions, follower)

    assert follower.state == {"k0": ("before",), "k1": ("Bob",)}


@pytest.mark.law
@pytest.mark.parametrize("seed", range(5 if SOAK else 1))
def test_deltas_equal_what_the_server_holds(server: MariaDB, sessions: list[Session], seed: int) -> None:
    follower = Follower(ask_for(server, ["id", "name"], {**BY_KEYS, **OVERLAP}))

    def oracle() -> dict[Any, Any]:
        return {key: (name,) for key, name in server.rows("SELECT id, name FROM person")}

    follow(follower, list(sessions), oracle, Random(seed), ROUNDS)


def test_a_table_of_changes_is_followed_by_a_job(server: MariaDB, tmp_path: Path) -> None:
    server.execute(
        "CREATE OR REPLACE TABLE person (id INT PRIMARY KEY, name VARCHAR(50))",
        "CREATE OR REPLACE TABLE told (number INT AUTO_INCREMENT PRIMARY KEY, id INT, operation CHAR(1))",
        *(
            f"CREATE TRIGGER {name} AFTER {event} ON person FOR EACH ROW INSERT INTO told (id, operation) "
            f"VALUES ({row}.id, '{name}')"
            for name, event, row in (("I", "INSERT", "NEW"), ("U", "UPDATE", "NEW"), ("D", "DELETE", "OLD"))
        ),
        "INSERT INTO person VALUES (1, 'Ann'), (2, 'Bob'), (3, 'Cid')",
    )
    options = {"Query": "SELECT * FROM person", "ChangeTable": "told", "Sequence": "number", "Operation": "operation"}
    settings: dict[str, Any] = {"server": server.address, "user": READER, "password": Secret(PASSWORD)}
    with Engine.open(
        "sqlite://",
        configuration=configuration(options=options),
        export_output=tmp_path,
        connections={"HR_Source": settings},
    ) as engine:
        assert engine.run_job("Changes").state is TaskState.COMPLETED
        server.execute("DELETE FROM person WHERE id = 2", "UPDATE person SET name = 'Anna' WHERE id = 1")

        run = engine.run_job("Changes")

        assert (run.counts.updated, run.counts.deleted) == (1, 1)
        assert "what changed was read" in messages(run)
        assert {item.key: item.values["Name"] for item in engine.export_resources(PERSON)} == {"1": "Anna", "3": "Cid"}


def test_a_database_says_what_is_proposed_for_it(server: MariaDB, tmp_path: Path) -> None:
    password = tmp_path / "password"
    password.touch(0o600)
    password.write_text(PASSWORD)
    tables = [f"DROP TABLE IF EXISTS {table}" for table in ("membership", "person", "department")]
    server.execute(*tables, *described.TABLES)
    try:
        proposal = described.proposed(server.address, user=READER, password=f"file:{password}")
    finally:
        server.execute(*tables)

    assert proposal.description is not None
    assert proposal.description.server.startswith("MariaDB ")


def test_what_is_proposed_for_tables_that_change_follows_them(server: MariaDB, tmp_path: Path) -> None:
    password = tmp_path / "password"
    password.touch(0o600)
    password.write_text(PASSWORD)

    described.follows_changes(server.address, server.execute, tmp_path, {"user": READER}, password=f"file:{password}")


def test_a_sink_has_each_change_once(server: MariaDB) -> None:
    server.execute(
        "CREATE USER IF NOT EXISTS writer@'%' IDENTIFIED BY 'w'", "GRANT SELECT, INSERT, CREATE ON hr.* TO writer@'%'"
    )
    made = connection("SqlSink", secrets={"password": "w"}, server=server.address, user="writer")
    first = sql_sink(made)
    before = first.probe()
    for _ in range(2):
        (confirmed,) = sent(first, change(1, name="Änn 😀"), change(2, key="k" * 70_000), change(3, "deleted"))
        assert [refusal.change.position for refusal in confirmed.refused] == [2]
    first.close()

    found = server.rows(
        "SELECT position, `change`, JSON_VALUE(document, '$.changes.name.after') FROM people ORDER BY 1"
    )
    after = sql_sink(made).probe()
    server.execute("DROP TABLE people")
    assert list(found) == [(1, "created", "Änn 😀"), (3, "deleted", None)]
    assert (before.findings, after.findings) == (
        ("people: the first delivery makes the table",), ("people: the table is there",)
    )  # fmt: skip
    assert (before.server.partition(" ")[0], after.problems) == ("MariaDB", ())


def test_a_sink_with_a_wrong_password_says_so_without_it(server: MariaDB) -> None:
    wrong = "wr0ng-secret"
    made = connection("SqlSink", secrets={"password": wrong}, server=server.address, user=READER)

    with pytest.raises(SinkUnavailable, match="Access denied") as failed:
        sql_sink(made)

    assert wrong not in str(failed.value)
