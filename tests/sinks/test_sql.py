"""Changes as rows of a table: each once, a batch whole or not at all."""

from __future__ import annotations

import re
import sqlite3
from contextlib import closing
from pathlib import Path

import psycopg
import pytest

from deltamark.application.ports.sinks import SinkUnavailable
from deltamark.application.ports.sources import SourceUnreachable
from deltamark.infrastructure.sql.sink import sql_sink
from tests.sinks.changes import change, connection, gap, sent
from tests.stores import NewStore


def rows(file: Path) -> list[tuple[object, ...]]:
    with closing(sqlite3.connect(file)) as database:
        return database.execute(
            "SELECT id, position, change, entity_type, key FROM people ORDER BY position"
        ).fetchall()


def test_a_change_that_comes_again_is_there_once(tmp_path: Path) -> None:
    file = tmp_path / "there.db"
    for _ in range(2):
        sink = sql_sink(connection("SqlSink", server=f"sqlite:///{file}"))
        (confirmed,) = sent(sink, change(1, name="Ann"), gap(2), change(3, "deleted"), until=5)
        sink.close()
        assert (confirmed.position, confirmed.sent) == (5, 3)

    assert rows(file) == [
        ("s1/1", 1, "created", "Person", "1"),
        ("s1/2/discarded-Person", 2, "gap", "Person", None),
        ("s1/3", 3, "deleted", "Person", "1"),
    ]


def test_a_batch_that_fails_midway_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "there.db"
    sink = sql_sink(connection("SqlSink", server=f"sqlite:///{file}"))
    insert = type(sink._database).insert  # type: ignore[attr-defined]

    def failing(self: object, table: str, row: tuple[object, ...]) -> None:
        if row[1] == 2:
            raise SinkUnavailable("the power is gone")
        insert(self, table, row)

    monkeypatch.setattr(type(sink._database), "insert", failing)  # type: ignore[attr-defined]
    with pytest.raises(SinkUnavailable):
        sent(sink, change(1), change(2))
    sink.close()

    assert rows(file) == []


def test_a_row_that_the_table_refuses_is_refused_and_the_others_are_there(tmp_path: Path) -> None:
    file = tmp_path / "there.db"
    with closing(sqlite3.connect(file)) as database:
        database.execute(
            "CREATE TABLE people (id TEXT PRIMARY KEY, position, at, change CHECK (change <> 'deleted'), entity_type, "
            "key, document)"
        )
    sink = sql_sink(connection("SqlSink", server=f"sqlite:///{file}"))
    (confirmed,) = sent(sink, change(1), change(2, "deleted"), change(3))
    sink.close()

    assert [refusal.change.position for refusal in confirmed.refused] == [2]
    assert [row[1] for row in rows(file)] == [1, 3]


def test_a_probe_makes_nothing_and_names_a_table_of_another_kind(tmp_path: Path) -> None:
    file = tmp_path / "there.db"
    with closing(sqlite3.connect(file)) as database:
        database.execute("CREATE TABLE other (id TEXT)")
    missing = sql_sink(connection("SqlSink", server=f"sqlite:///{file}"))
    before = missing.probe()
    missing.close()
    with closing(sqlite3.connect(file)) as database:
        database.execute("CREATE TABLE people (id TEXT)")
    wrong = sql_sink(connection("SqlSink", server=f"sqlite:///{file}"))
    after = wrong.probe()
    wrong.close()

    assert before.findings == ("people: the first delivery makes the table",)
    assert "has no column position" in after.problems[0]


@pytest.mark.parametrize(
    ("server", "problem"),
    [
        ("postgresql://db.meridian.example/feed?sslmode=require", "sslmode=require"),
        ("mysql://db.meridian.example", "names no database"),
    ],
)
def test_a_server_that_is_not_verified_or_not_named_is_refused(server: str, problem: str) -> None:
    with pytest.raises(SourceUnreachable, match=problem):
        sql_sink(connection("SqlSink", server=server))


def test_nothing_is_written_through_a_link(tmp_path: Path) -> None:
    (tmp_path / "link.db").symlink_to(tmp_path / "other.db")

    with pytest.raises(SinkUnavailable, match="is a link"):
        sql_sink(connection("SqlSink", server=f"sqlite:///{tmp_path / 'link.db'}"))
    assert not (tmp_path / "other.db").exists()


@pytest.mark.parametrize("server", ["oracle://somewhere", ""])
def test_another_database_is_refused(server: str) -> None:
    with pytest.raises(SinkUnavailable, match="no database is set"):
        sql_sink(connection("SqlSink", server=server))


@pytest.mark.on_every_store
def test_postgresql_has_each_change_once(new_store: NewStore) -> None:
    url = new_store()
    if not url.startswith("postgresql"):
        pytest.skip("SQLite is tried above")
    schema = re.search(r"[?&]schema=([^&]+)", url)
    assert schema is not None
    address = re.sub(r"[?&]schema=[^&]+", "", url)
    with psycopg.connect(address, autocommit=True) as database:
        database.execute(f'CREATE SCHEMA IF NOT EXISTS "{schema[1]}"')
    url = f"{address}{'&' if '?' in address else '?'}options=-csearch_path%3D{schema[1]}"
    for _ in range(2):
        sink = sql_sink(connection("SqlSink", server=url))
        (confirmed,) = sent(sink, change(1, name="Ann"), change(2, name="nul \0 here"), change(3, "deleted"))
        sink.close()

        assert [refusal.change.position for refusal in confirmed.refused] == [2]
        assert "nul" not in confirmed.refused[0].problem
    with psycopg.connect(url) as database:
        found = database.execute("SELECT id, document->>'change' FROM people ORDER BY position").fetchall()
    assert found == [("s1/1", "created"), ("s1/3", "deleted")]
