"""Each value of a database becomes its exact text, or is refused by name."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import psycopg
import pyarrow as pa
import pytest

from deltamark.application.ports.sources import PlaceLost, Question, Reached, SourceUnreachable, WantedTable
from deltamark.domain.secrets import Secret
from deltamark.infrastructure.sql.postgresql import postgresql_reader
from deltamark.infrastructure.sql.source import SQLSource
from deltamark.infrastructure.sql.sqlite import sqlite_reader

SOURCE = SQLSource({"sqlite:///": sqlite_reader, "postgresql://": postgresql_reader})


class Written:
    """Keeps what is written, by table."""

    def __init__(self) -> None:
        self.rows: dict[str, list[tuple[str | None, ...]]] = {}
        self.names: dict[str, list[str]] = {}

    def write(self, table: str, batch: pa.RecordBatch) -> None:
        """Keeps the rows."""
        self.names[table] = batch.schema.names
        self.rows.setdefault(table, []).extend(zip(*(column.to_pylist() for column in batch.columns), strict=True))


def question(server: str, columns: list[str], options: dict[str, str], **secrets: Secret) -> Question:
    return Question(
        connection="S",
        package="Sql",
        settings={"server": server},
        secrets={name: (lambda secret=secret: secret) for name, secret in secrets.items()},  # type: ignore[misc]
        tables=[WantedTable(name="T", columns=columns, options=options)],
    )


def snapshot(ask: Question) -> tuple[list[tuple[str | None, ...]], Reached]:
    written = Written()
    reached = SOURCE.snapshot(ask, written)
    return written.rows["T"], reached


def in_sqlite(folder: Path, *statements: str) -> str:
    with closing(sqlite3.connect(folder / "s.db")) as connection, connection:
        for statement in statements:
            connection.execute(statement)
    return f"sqlite:///{folder / 's.db'}"


SQLITE_VALUES: dict[str, str | None] = {
    "1234567.89": "1234567.89",
    "'1234567.89'": "1234567.89",
    "9223372036854775807": "9223372036854775807",
    "18446744073709551615": "1.8446744073709552e+19",  # SQLite itself has no such integer
    "'18446744073709551615'": "18446744073709551615",
    "'0000-00-00'": "0000-00-00",
    "0.1": "0.1",
    "1.0": "1.0",
    "-0.0": "-0.0",
    "'infinity'": "infinity",
    "''": "",
    "NULL": None,
    "x'00ff'": "AP8=",
    "'ünï 😀'": "ünï 😀",
    "'a' || char(0) || 'b'": "a\0b",
}


def test_values_of_sqlite_keep_the_type_of_their_cell(tmp_path: Path) -> None:
    values = ", ".join(f"({number}, {value})" for number, value in enumerate(SQLITE_VALUES))
    server = in_sqlite(tmp_path, "CREATE TABLE t (id INTEGER, v)", f"INSERT INTO t VALUES {values}")

    rows, reached = snapshot(question(server, ["v"], {"Query": "SELECT * FROM t ORDER BY id"}))

    assert [row[0] for row in rows] == list(SQLITE_VALUES.values())
    assert reached.place is None


def test_an_sqlite_database_is_read_only_and_never_made(tmp_path: Path) -> None:
    server = in_sqlite(tmp_path, "CREATE TABLE t (id)")

    with sqlite_reader(question(server, [], {})) as reader, pytest.raises(sqlite3.OperationalError, match="readonly"):
        reader._connection.execute("DELETE FROM t")
    with pytest.raises(SourceUnreachable, match="there is no database"):
        snapshot(question(f"sqlite:///{tmp_path / 'none.db'}", ["id"], {"Query": "SELECT 1"}))
    assert not (tmp_path / "none.db").exists()


@pytest.mark.parametrize(
    ("query", "problem"),
    [
        ("SELECT * FROM absent", "no such table: absent"),
        ("DELETE FROM t", "syntax error"),
        ("SELECT id AS other FROM t", 'has no column "id"; it has "other"'),
        ("SELECT id, v AS id FROM t", 'has several columns "id"'),
        ("SELECT CAST(x'ff' AS TEXT) AS id FROM t", "UTF-8|decode"),
    ],
)
def test_a_query_that_cannot_be_read_is_refused(tmp_path: Path, query: str, problem: str) -> None:
    server = in_sqlite(tmp_path, "CREATE TABLE t (id, v)", "INSERT INTO t VALUES (1, 2)")

    with pytest.raises(SourceUnreachable, match=problem):
        snapshot(question(server, ["id"], {"Query": query}))


@pytest.mark.parametrize(
    ("newest", "overlap", "since"),
    [
        ("'2026-11-30 10:00:00'", "00:10:00", "2026-11-30 09:50:00"),
        ("'2026-11-30T10:00:00.123Z'", "00:10:00", "2026-11-30T09:50:00.123Z"),
        ("'2026-11-30T00:05'", "00:10:00", "2026-11-29T23:55"),
        ("'2026-11-30'", "00:10:00", "2026-11-29"),
        ("'2026-11-30'", "2.00:00:00", "2026-11-28"),
        ("100", "10", "90"),
    ],
)
def test_an_overlap_lies_before_the_newest_value_in_its_notation(
    tmp_path: Path, newest: str, overlap: str, since: str
) -> None:
    server = in_sqlite(tmp_path, "CREATE TABLE t (v)", f"INSERT INTO t VALUES ({newest})")

    with sqlite_reader(question(server, [], {})) as reader:
        mark = reader.newest("SELECT v FROM t", "v")
        assert mark is not None
        assert reader.earlier(mark, overlap).text == since


@pytest.mark.parametrize(("newest", "overlap"), [("'yesterday'", "00:10:00"), ("100", "00:10:00"), ("'2026'", "5")])
def test_an_overlap_that_does_not_fit_the_values_is_refused(tmp_path: Path, newest: str, overlap: str) -> None:
    server = in_sqlite(tmp_path, "CREATE TABLE t (v)", f"INSERT INTO t VALUES ({newest})")

    with sqlite_reader(question(server, [], {})) as reader:
        mark = reader.newest("SELECT v FROM t", "v")
        assert mark is not None
        with pytest.raises(SourceUnreachable, match="no Overlap"):
            reader.earlier(mark, overlap)


POSTGRESQL_VALUES: dict[str, str | None] = {
    "1234567.89::numeric": "1234567.89",
    "18446744073709551615::numeric": "18446744073709551615",
    "0.1::float8": "0.1",
    "'NaN'::float8": "NaN",
    "'infinity'::timestamptz": "infinity",
    "'0044-03-15 BC'::date": "0044-03-15 BC",
    "'2026-11-30 10:00:00+02'::timestamptz": "2026-11-30 08:00:00+00",
    "'2026-11-30 10:00:00.123456'::timestamp": "2026-11-30 10:00:00.123456",
    "true": "true",
    "''::text": "",
    "NULL::text": None,
    "'\\x00ff'::bytea": "AP8=",
    "E'tab\\tand\\nline \\\\N'::text": "tab\tand\nline \\N",
    "'{\"a\": 1.10}'::json": '{"a": 1.10}',
    "'10.0.0.1'::inet": "10.0.0.1",
    "ARRAY[1,2]": "{1,2}",
    "'ünï 😀'::text": "ünï 😀",
}


@pytest.mark.slow  # starts a server
def test_values_of_postgresql_are_the_texts_of_the_server(postgresql_database: str) -> None:
    names = [f"v{number}" for number in range(len(POSTGRESQL_VALUES))]
    query = "SELECT " + ", ".join(f"{value} AS {name}" for name, value in zip(names, POSTGRESQL_VALUES, strict=True))

    rows, _ = snapshot(question(postgresql_database, names, {"Query": query}))

    assert dict(zip(POSTGRESQL_VALUES, rows[0], strict=True)) == POSTGRESQL_VALUES


@pytest.mark.slow
def test_what_changed_in_postgresql_is_read_by_watermark(postgresql_database: str) -> None:
    options = {
        "Query": "SELECT * FROM watched",
        "Watermark": "at",
        "Overlap": "00:10:00",
        "Deleted": "gone",
    }
    ask = question(postgresql_database, ["id"], options)
    with psycopg.connect(postgresql_database, autocommit=True) as connection:
        connection.execute("CREATE TABLE watched (id int, at timestamptz, gone boolean DEFAULT false)")
        try:
            connection.execute(
                "INSERT INTO watched VALUES (1, '2026-01-01', false), (2, '2026-01-02', false), (3, NULL, NULL),"
                " (4, '2026-01-02', true)"
            )
            rows, reached = snapshot(ask)
            assert sorted(rows) == [("1",), ("2",), ("3",)]
            assert reached.place is not None
            connection.execute("INSERT INTO watched VALUES (5, '2026-01-01 23:55+00'), (6, '2026-01-03')")

            written = Written()
            after = SOURCE.changes(ask, reached.place, written)
            connection.execute("DELETE FROM watched WHERE id=6")

            assert sorted(written.rows["T"], key=str) == [
                ("delete", "4"), ("insert", "2"), ("insert", "3"), ("insert", "5"), ("insert", "6"),
            ]  # fmt: skip
            assert after.place is not None
            with pytest.raises(PlaceLost, match=r"the newest at of T is .*rows were deleted"):
                SOURCE.changes(ask, after.place, Written())
        finally:
            connection.execute("DROP TABLE watched")


@pytest.mark.slow
def test_postgresql_is_read_only_and_says_why_it_refuses(postgresql_database: str) -> None:
    with psycopg.connect(postgresql_database, autocommit=True) as connection:
        connection.execute("CREATE TABLE kept (id int)")
    query = "WITH gone AS (DELETE FROM kept RETURNING id) SELECT id FROM gone"
    refused: list[Any] = []

    for ask in (
        question(postgresql_database, ["id"], {"Query": query}),
        question("postgresql://127.0.0.1:9/none", ["id"], {"Query": query}, password=Secret("geheimnis%40")),
        question("postgresql://geheimnis%40@[", ["id"], {"Query": query}, password=Secret("geheimnis%40")),
    ):
        with pytest.raises(SourceUnreachable) as caught:
            snapshot(ask)
        refused.append(caught.value)

    assert not any(error.__cause__ for error in refused)
    with psycopg.connect(postgresql_database, autocommit=True) as connection:
        connection.execute("DROP TABLE kept")
