"""Positions of an SQLite store are assigned once, in order, and without gaps visible to readers."""

from __future__ import annotations

import multiprocessing
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

from eventsourcing.persistence import StoredEvent
from eventsourcing.sqlite import SQLiteDatastore, SQLiteProcessRecorder

from deltamark.application.ports.records import Subjects
from deltamark.bootstrap import open_store, utc_now
from deltamark.infrastructure.store.sqlite.connection import ChangeDatastore
from tests.store.builders import PERSON, create, discarded_event, log, start_run
from tests.store.recorders import InsertingSQLiteRecorder


def position_after_the_newest_rows_were_deleted(recorder: SQLiteProcessRecorder) -> tuple[int, int]:
    """The highest position before, and the one assigned afterwards."""
    recorder.create_table()
    before = recorder.insert_events([StoredEvent("1", n, "t", b"{}") for n in range(5)])
    with recorder.datastore.transaction(commit=True) as c:
        c.execute("DELETE FROM stored_events WHERE originator_version >= 3")
    after = recorder.insert_events([StoredEvent("2", 1, "t", b"{}")])
    recorder.datastore.close()
    assert before
    assert after
    return before[-1], after[0]


def test_a_position_is_never_reused_after_the_newest_events_were_deleted(tmp_path: Path) -> None:
    recorder = InsertingSQLiteRecorder(ChangeDatastore(tmp_path / "store.db"))

    assert position_after_the_newest_rows_were_deleted(recorder) == (5, 6)


def test_control_the_table_of_the_library_reuses_a_position(tmp_path: Path) -> None:
    recorder = SQLiteProcessRecorder(SQLiteDatastore(f"file:{tmp_path}/library.db", originator_id_type="text"))

    assert position_after_the_newest_rows_were_deleted(recorder) == (5, 4)


def test_a_position_is_not_reused_after_discards_closing_and_vacuum(tmp_path: Path, clock: Callable) -> None:
    path = tmp_path / "store.db"
    store = open_store(f"sqlite:///{path}", clock)
    people = Subjects(connector="HR", task="T", entity_types=(PERSON,), associations=())
    with store.transaction() as tx:
        start_run(tx)
        create(tx, PERSON, {"1": {}, "2": {}})
        tx.discard(people, discarded_event(1), 1)
        head = tx.head()
    store.close()
    with closing(sqlite3.connect(path)) as db:
        db.execute("DELETE FROM stored_events WHERE notification_id=?", (head,))  # the newest row of all
        db.commit()
        db.execute("VACUUM")

    store = open_store(f"sqlite:///{path}", clock)
    with store.transaction() as tx:
        create(tx, PERSON, {"3": {}})
    with store.reading() as reading:
        assert reading.head() == head + 1
    store.close()


def write(path: Path, name: str, transactions: int, go: object) -> None:
    """A process that writes."""
    store = open_store(f"sqlite:///{path}", utc_now)
    go.wait(60)  # type: ignore[attr-defined]
    for n in range(transactions):
        with store.transaction() as tx:
            create(tx, PERSON, {f"{name}-{n}-{m}": {} for m in range(20)})
    store.close()


def test_a_reader_never_sees_a_gap_while_two_processes_write(tmp_path: Path) -> None:
    path = tmp_path / "store.db"
    store = open_store(f"sqlite:///{path}", utc_now)
    processes = multiprocessing.get_context("forkserver")
    processes.set_forkserver_preload(["deltamark"])
    go = processes.Event()
    writers = [processes.Process(target=write, args=(path, name, 25, go)) for name in "ab"]
    for writer in writers:
        writer.start()

    seen: list[int] = []
    go.set()
    while any(writer.is_alive() for writer in writers):
        with store.reading() as reading:
            seen += [position for position, _ in reading.changes(seen[-1] if seen else 0, None)]
    with store.reading() as reading:
        seen += [position for position, _ in reading.changes(seen[-1], None)]
        assert seen == [position for position, _ in log(reading)] == list(range(1, 1001))
        times = [event.at for _, event in log(reading)]
        assert times == sorted(times)
    assert [writer.exitcode for writer in writers] == [0, 0]
    store.close()
