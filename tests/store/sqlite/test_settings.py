"""The SQLite settings that the promises of a store depend on, read from its own connections."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from deltamark.bootstrap import open_store
from deltamark.domain.errors import StoreError
from deltamark.infrastructure.store.sqlite import connection
from deltamark.infrastructure.store.sqlite.connection import CHECKPOINT_BYTES, PAGE_BYTES
from deltamark.infrastructure.store.sqlite.store import SQLiteStore
from tests.store.builders import PERSON, create, held


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "store.db"


@pytest.fixture
def store(path: Path, clock: Callable) -> Iterator[SQLiteStore]:
    store = SQLiteStore(path, clock)
    yield store
    store.close()


def setting(store: SQLiteStore, name: str, *, commit: bool) -> object:
    with store._datastore.get_connection(commit=commit) as used:
        return used.raw.execute(f"PRAGMA {name}").fetchone()[0]  # type: ignore[attr-defined]


@pytest.mark.parametrize("commit", [True, False], ids=["writing", "reading"])
@pytest.mark.parametrize(
    ("name", "value"),
    [("journal_mode", "wal"), ("synchronous", 2), ("foreign_keys", 1), ("trusted_schema", 0), ("cell_size_check", 1)],
)
def test_both_kinds_of_connections_have_safe_settings(
    store: SQLiteStore, name: str, value: object, commit: bool
) -> None:
    assert setting(store, name, commit=commit) == value


def test_a_reading_connection_cannot_write(store: SQLiteStore) -> None:
    assert setting(store, "query_only", commit=False) == 1
    assert setting(store, "query_only", commit=True) == 0
    with pytest.raises(StoreError, match="cannot be written"), store.reading() as reading:
        reading._db._connection.execute("DELETE FROM runs")  # type: ignore[attr-defined]


def test_only_the_writing_connection_checkpoints(store: SQLiteStore) -> None:
    assert setting(store, "wal_autocheckpoint", commit=True) == CHECKPOINT_BYTES // PAGE_BYTES
    assert setting(store, "wal_autocheckpoint", commit=False) == 0


def test_every_writer_of_a_process_uses_the_one_writing_connection(store: SQLiteStore) -> None:
    with store._datastore.get_connection(commit=True) as first:
        pass
    with store._datastore.get_connection(commit=True) as second:
        assert second is first
    with store._datastore.get_connection(commit=False) as reading:
        assert reading is not first


def test_reading_does_not_change_the_files_of_the_store(store: SQLiteStore, path: Path) -> None:
    with store.transaction() as tx:
        create(tx, PERSON, {str(n): {"Name": "x" * 200} for n in range(500)})
    files = [path, path.with_name("store.db-wal")]
    before = [file.read_bytes() for file in files]

    with store.reading() as reading:
        assert len(held(reading)) == len(list(reading.changes(0, None))) == 500

    assert [file.read_bytes() for file in files] == before


def test_a_grown_write_ahead_log_is_truncated(store: SQLiteStore, path: Path) -> None:
    written = 0
    for start in range(0, 12_000, 1_000):
        with store.transaction() as tx:
            create(tx, PERSON, {str(n): {"Name": "x" * 5_000} for n in range(start, start + 1_000)})
        written = max(written, path.with_name("store.db-wal").stat().st_size)

    assert written < 2 * CHECKPOINT_BYTES
    assert path.stat().st_size > CHECKPOINT_BYTES


def test_a_store_of_smaller_pages_keeps_them(path: Path, clock: Callable, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(connection, "_SETTINGS_OF_FILE", ("page_size=4096", "journal_mode=WAL"))
        SQLiteStore(path, clock).close()

    store = SQLiteStore(path, clock)

    assert setting(store, "page_size", commit=True) == 4096
    assert setting(store, "wal_autocheckpoint", commit=True) == CHECKPOINT_BYTES // 4096
    store.close()


def test_a_closed_store_is_one_file(store: SQLiteStore, path: Path) -> None:
    with store.transaction() as tx:
        create(tx, PERSON, {"1": {}})
    with store.reading() as reading:
        held(reading)

    store.close()

    assert {file.name for file in path.parent.iterdir()} - {"store.db.lock"} == {"store.db"}


def test_an_unfinished_query_does_not_give_the_next_reader_old_data(
    store: SQLiteStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("deltamark.infrastructure.store.sqlite.database.PORTION", 1)
    with store.transaction() as tx:
        create(tx, PERSON, {"1": {}, "2": {}})
        left_over = tx.states_at(PERSON, None)
        next(left_over)
    with store.reading() as reading:
        left_open = reading.states_at(PERSON, None)
        next(left_open)

    with store.transaction() as tx:
        create(tx, PERSON, {"3": {}})
    with store.reading() as reading:
        assert held(reading).keys() == {"1", "2", "3"}
    del left_open, left_over


@pytest.mark.parametrize(
    "url",
    [
        "sqlite:///",
        "sqlite://host/x.db",
        "sqlite:///:x",
        "sqlite:///a%00b",
        "sqlite:x.db",
        "x.db",
        "",
    ],
)
def test_a_url_without_a_file_is_refused(url: str) -> None:
    with pytest.raises(StoreError, match=r"sqlite:///deltamark\.db"):
        open_store(url)


def test_a_missing_store_is_created_only_if_allowed(path: Path) -> None:
    for _ in range(2):
        with pytest.raises(StoreError, match=r"there is no store yet\. Run a job first"):
            open_store(f"sqlite:///{path}", create=False)
        path.write_bytes(b"")  # an empty file is no store either

    assert path.read_bytes() == b""
