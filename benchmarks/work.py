"""The pieces of work that are measured, each in a process of its own."""

from __future__ import annotations

import sqlite3
import sys
from pathlib import Path

import duckdb
import psycopg

from benchmarks import company_data, follow_delay, group, log_work, writer_lock
from benchmarks.data import configuration
from benchmarks.measure import do_rounds, report
from deltamark import Configuration, Engine, JobRun, TaskState
from deltamark.infrastructure.store.migrations import STEPS
from deltamark.infrastructure.store.sqlite.address import path_of
from deltamark.infrastructure.store.sqlite.connection import CHECKPOINT_BYTES, PAGE_BYTES
from deltamark.infrastructure.store.sqlite.definitions import TYPES
from deltamark.infrastructure.store.sqlite.recorder import CREATE_EVENTS

EVENTS = " WHERE topic = 'c1'"


def job(definition: Configuration, store: str, exports: str, name: str, *options: str) -> tuple[JobRun, Engine]:
    """Opens a store and runs a job.

    :param options: `force_read` compares all rows.
    """
    engine = Engine.open(store, configuration=definition, export_output=exports)
    run = engine.run_job(name, force_read="force_read" in options)
    assert run.state is TaskState.COMPLETED, run
    return run, engine


def main(work: str, *arguments: str) -> None:
    """Measures one piece of work."""
    match work:
        case "job":
            definition = configuration()
            report(lambda: job(definition, *arguments))
        case "derive":
            store, exports, name, *edit = arguments
            definition = company_data.configuration(*edit)
            report(lambda: job(definition, store, exports, name))
        case "adopt":
            store, edit_name = arguments
            definition = company_data.configuration(edit_name)
            report(lambda: _adopt(definition, store))
        case "raw":
            _raw(*arguments)
        case "read-directory":
            from benchmarks import directories

            directories.read(*arguments)
        case "read-unchanged-directory":
            from benchmarks import directories

            directories.read_unchanged(*arguments)
        case "rival":
            from benchmarks import rivals

            rivals.work(*arguments)
        case "group":
            group.job(*arguments)
        case "locked":
            writer_lock.locked(*arguments)
        case "follow":
            follow_delay.report(*arguments)
        case "compare":
            report(lambda: _compare(*arguments))
        case "unsealed":
            log_work.unsealed()
            definition = configuration()
            report(lambda: job(definition, *arguments))
        case _:
            log_work.WORK[work](*arguments)


def _adopt(definition: Configuration, store: str) -> None:
    """Opens a store and adopts a configuration, which may be in force already."""
    with Engine.open(store, configuration=definition) as engine:
        engine.adopt()


def _raw(store: str) -> None:
    if store.startswith("sqlite:"):
        _raw_file(path_of(store))
    else:
        _raw_database(store)


def _raw_file(store: Path) -> None:
    """Inserts the rows of a store with `executemany` into the same tables with the same settings."""
    source = sqlite3.connect(store)
    events = source.execute("SELECT * FROM stored_events WHERE topic='c1' ORDER BY notification_id").fetchall()
    resources = source.execute("SELECT * FROM resources ORDER BY stream").fetchall()
    marks = ",".join("?" * len(resources[0]))
    source.close()
    copy = store.with_name("raw.db")
    copy.unlink(missing_ok=True)
    target = sqlite3.connect(copy, isolation_level=None)
    for setting in (
        f"page_size={PAGE_BYTES}",
        "journal_mode=WAL",
        "synchronous=FULL",
        "cache_size=-64000",
        f"wal_autocheckpoint={CHECKPOINT_BYTES // PAGE_BYTES}",
    ):
        target.execute(f"PRAGMA {setting}")
    target.execute(CREATE_EVENTS)
    for step in STEPS:
        for statement in step.statements(TYPES):
            target.execute(statement)

    def insert() -> None:
        target.execute("BEGIN IMMEDIATE")
        target.executemany(f"INSERT INTO stored_events VALUES ({','.join('?' * len(events[0]))})", events)
        target.executemany(f"INSERT INTO resources VALUES ({marks})", resources)
        target.execute("COMMIT")

    report(insert)
    target.close()
    copy.unlink()


def _raw_database(store: str) -> None:
    """Copies the rows of a store into tables like its own."""
    with psycopg.connect(store, autocommit=True) as connection:
        connection.execute("SET search_path TO deltamark; DROP SCHEMA IF EXISTS raw CASCADE; CREATE SCHEMA raw")
        rows = {}
        for table, order in (("stored_events", "notification_id"), ("resources", "stream")):
            query = f"SELECT * FROM {table}{EVENTS if table == 'stored_events' else ''} ORDER BY {order}"
            with connection.cursor().copy(f"COPY ({query}) TO STDOUT (FORMAT BINARY)".encode()) as out:
                rows[table] = b"".join(out)
            connection.execute(f"CREATE TABLE raw.{table} (LIKE {table} INCLUDING ALL)".encode())
        connection.execute("CHECKPOINT")

        def insert() -> None:
            with connection.transaction():
                for table, data in rows.items():
                    with connection.cursor().copy(f"COPY raw.{table} FROM STDIN (FORMAT BINARY)".encode()) as into:
                        into.write(data)

        report(insert)
        connection.execute("DROP SCHEMA raw CASCADE")


def _compare(first: str, second: str) -> None:
    """Finds the differing rows of two CSV files with DuckDB."""
    with duckdb.connect() as db:
        db.execute("SET threads=2")
        db.execute(
            """SELECT count(*) FROM read_csv(?, all_varchar=true, header=true) a
            FULL JOIN read_csv(?, all_varchar=true, header=true) b USING (EmployeeId) WHERE a IS DISTINCT FROM b""",
            [first, second],
        ).fetchall()


if __name__ == "__main__":
    if sys.argv[1] == "--rounds":
        do_rounds(lambda: main(*sys.argv[2:]))
    else:
        main(*sys.argv[1:])
