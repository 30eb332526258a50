"""Which failures of databases may be gone in a moment, and which are never tried again."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from deltamark.application.ports.sources import Question, SourceUnreachable
from deltamark.infrastructure.sql.postgresql import may_pass, postgresql_reader
from deltamark.infrastructure.sql.sqlite import sqlite_reader


@pytest.mark.parametrize(
    ("state", "words", "passes"),
    [
        ("57P01", "terminating connection due to administrator command", True),
        ("08006", "connection failure", True),
        ("42501", "permission denied for table person", False),
        ("28P01", "password authentication failed", False),
        (None, "connection to server at h failed: Connection refused Is the server running on that host", True),
        (None, "connection timeout expired", True),
        (None, "FATAL: the database system is starting up", True),
        (None, 'FATAL: password authentication failed for user "ann"', False),
        (None, "one failed: Connection refused; other failed: FATAL: password authentication failed", False),
        (None, "SSL error: certificate verify failed; closed the connection", False),
        (None, 'FATAL: database "hr" does not exist', False),
    ],
)
def test_a_failure_of_postgresql_may_pass(state: str | None, words: str, passes: bool) -> None:
    assert may_pass(state, words) is passes


def test_a_server_that_is_not_there_is_no_lasting_failure() -> None:
    ask = Question(connection="HR", package="Sql", settings={"server": "postgresql://127.0.0.1:9/hr", "timeout": 2})

    with pytest.raises(SourceUnreachable) as failed, postgresql_reader(ask):
        pass

    assert failed.value.is_temporary


def test_a_locked_database_is_no_lasting_failure_and_a_broken_one_is(tmp_path: Path) -> None:
    path = tmp_path / "hr.db"
    ask = Question(connection="HR", package="Sql", settings={"server": f"sqlite:///{path}", "timeout": 1})
    with closing(sqlite3.connect(path, isolation_level=None)) as writer:
        writer.execute("CREATE TABLE person (id)")
        writer.execute("BEGIN EXCLUSIVE")
        with pytest.raises(SourceUnreachable) as locked, sqlite_reader(ask):
            pass
    path.write_bytes(b"no database at all, but a text that is long enough" * 99)
    with pytest.raises(SourceUnreachable) as broken, sqlite_reader(ask):
        pass

    assert (locked.value.is_temporary, broken.value.is_temporary) == (True, False)
