"""Stores of an older version are upgraded when they are opened; newer ones are refused."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from threading import Barrier, Thread
from typing import Any

import pytest

from deltamark import StoreError
from deltamark.application.ports.records import DerivedRule, Place, Subjects
from deltamark.bootstrap import utc_now
from deltamark.domain.configuration.rules import DerivationKind
from deltamark.infrastructure.store.database import Database
from deltamark.infrastructure.store.migrations import STEPS, Step, Types
from deltamark.infrastructure.store.postgresql.database import PostgreSQLDatabase
from deltamark.infrastructure.store.postgresql.retention_functions import CREATE_DISCARD_EVENTS
from deltamark.infrastructure.store.postgresql.store import PostgreSQLStore
from deltamark.infrastructure.store.sqlite.address import path_of
from deltamark.infrastructure.store.sqlite.database import SQLiteDatabase
from deltamark.infrastructure.store.sqlite.store import SQLiteStore
from tests.store.builders import PERSON, compute, create, delete, discarded_event, person
from tests.store.organization import existence
from tests.store.postgresql.test_positions import started

Store = SQLiteStore | PostgreSQLStore


def opened(url: str, steps: Sequence[Step] = STEPS, **options: Any) -> Store:
    if url.startswith("sqlite"):
        return SQLiteStore(path_of(url), utc_now, steps=steps, **options)
    return PostgreSQLStore(url, utc_now, steps=steps, **options)


def notes(types: Types) -> Sequence[str]:
    return (f"CREATE TABLE notes (run {types.number}, note {types.text} NOT NULL DEFAULT 'none')",)


def filled(types: Types) -> Sequence[str]:
    return ("INSERT INTO notes (run) SELECT number FROM runs",)


def broken(types: Types) -> Sequence[str]:
    return ("INSERT INTO notes (run) VALUES (99)", "INSERT INTO nowhere VALUES (1)")


NOW = STEPS[-1].version
SECOND, THIRD = Step(NOW + 1, notes), Step(NOW + 2, filled)


def with_a_run(url: str) -> str:
    store = opened(url)
    with store.transaction() as tx:
        tx.start_run(started)
    store.close()
    return url


def noted(store: Store) -> list[tuple[Any, ...]]:
    with store.reading() as view:
        return view._db.all("SELECT run, note FROM notes")  # type: ignore[attr-defined, no-any-return]


def test_an_older_store_is_upgraded_step_by_step(store_url: str) -> None:
    url = with_a_run(store_url)

    store = opened(url, (*STEPS, SECOND, THIRD))

    assert noted(store) == [(1, "none")]
    store.close()


def test_a_step_is_taken_once(store_url: str) -> None:
    url = with_a_run(store_url)

    for _ in range(3):
        opened(url, (*STEPS, SECOND, THIRD)).close()

    store = opened(url, (*STEPS, SECOND, THIRD))
    assert noted(store) == [(1, "none")]
    store.close()


def test_a_new_store_takes_all_steps_at_once(store_url: str) -> None:
    store = opened(store_url, (*STEPS, SECOND, THIRD))

    assert noted(store) == []
    store.close()


def test_a_newer_store_is_refused_and_not_changed(store_url: str) -> None:
    opened(store_url, (*STEPS, SECOND)).close()

    with pytest.raises(
        StoreError, match=rf"newer version of Deltamark \(store version {NOW + 1}; this one knows {NOW}\)"
    ):
        opened(store_url)

    opened(store_url, (*STEPS, SECOND)).close()


def test_a_failing_step_leaves_the_store_unchanged(store_url: str) -> None:
    url = with_a_run(store_url)

    with pytest.raises(StoreError):
        opened(url, (*STEPS, SECOND, Step(NOW + 2, broken)))

    store = opened(url)
    with store.reading() as view:
        assert view.run(1) is not None
    store.close()
    store = opened(url, (*STEPS, SECOND, THIRD))
    assert noted(store) == [(1, "none")]
    store.close()


BEFORE_COMPUTED_VALUES = STEPS[:2]


def before_computed_values(url: str, *statements: str) -> str:
    """A store of the second version, after some statements."""
    store = opened(url, BEFORE_COMPUTED_VALUES)
    with raw(store) as database:
        for statement in statements:
            database.execute(statement)
    store.close()
    return url


@contextmanager
def raw(store: Store) -> Iterator[Database]:
    """The tables, in a transaction."""
    if isinstance(store, SQLiteStore):
        with store._datastore.transaction(commit=True) as cursor:
            yield SQLiteDatabase(cursor.sqlite_cursor.connection)
    else:
        with store._connection("BEGIN") as connection:
            yield PostgreSQLDatabase(connection)
            connection.execute("COMMIT")


def test_a_store_from_before_computed_values_keeps_its_resources_and_how_far_they_were_flagged(store_url: str) -> None:
    binary = "BLOB" if store_url.startswith("sqlite") else "BYTEA"
    url = before_computed_values(
        store_url,
        "INSERT INTO entity_types (id, name) VALUES (1, 'Person')",
        """INSERT INTO resources (stream, entity_type, key, version, position, live, state)
            VALUES (1, 1, 'Ann', 1, 2, TRUE, '{"Name":"Ann"}')""",
        "UPDATE store SET next_stream=2",
        f"""INSERT INTO stored_events (notification_id, originator_id, originator_version, topic, state) VALUES
            (2, '1', 1, 'c1', CAST('{{"a":1,"r":1,"t":1,"e":"Person","k":"Ann","v":{{"Name":"Ann"}}}}' AS {binary}))""",
        "INSERT INTO moments (position, at) VALUES (2, 1)",
        "INSERT INTO flags (position, resource) VALUES (2, 1)",
        "INSERT INTO places (consumer, position, digest) VALUES ('*flags*', 2, ''), ('ComputeKeys', 2, 'd')",
        "INSERT INTO rules (name, side, entity_type, digest) VALUES ('R', 'source', 'Person', 'd')",
        "INSERT INTO correlation_keys (rule, resource, value) SELECT id, 1, 'ann' FROM rules",
    )

    store = opened(url)

    rule = DerivedRule(kind=DerivationKind.SOURCE_KEY, name="R", entity_type="Person", digest="d")
    with store.reading() as reading:
        assert reading.resource(person("Ann")).values == dict(reading.states_at(PERSON, None))["Ann"] == {"Name": "Ann"}
        assert reading.flagged_to() == 2
        assert reading.places("ComputeKeys") == {}
        assert reading.rules_computed() == {rule}
        assert [key.value for key in reading.correlation_keys(None)] == ["ann"]
        assert (reading.newest_flag(), reading.watched()) == (0, {})
    with store.transaction() as tx:
        tx.watch([existence(PERSON)])
        compute(tx, PERSON, {"Ann": ({}, {"Mail": "a@b"})})
        delete(tx, PERSON, {"Ann": {"Name": "Ann"}})
        assert tx.flag_changes(2) == 1
        tx.move_place("ComputeKeys", [rule], Place(flag=tx.newest_flag(), position=tx.head()))
    store.close()


def test_no_consumer_skips_old_flags_without_a_newest_change(store_url: str) -> None:
    store = opened(store_url, STEPS[:3])
    with raw(store) as database:
        database.execute(
            """INSERT INTO dependencies (entity_type, hops, path, leads_to, since)
            VALUES ('Person', '[]', '[]', 'Person', 0)"""
        )
        database.execute("INSERT INTO entity_types (id, name) VALUES (1, 'Person')")
        database.execute(
            """INSERT INTO resources (stream, entity_type, key, version, position, live, state)
            VALUES (1, 1, 'Ann', 1, 1, TRUE, '{}')"""
        )
        database.execute("INSERT INTO flags (number, position, resource, dependency) VALUES (1, 1, 1, 1)")
        database.execute("INSERT INTO places (consumer, position, digest) VALUES ('*flags*', 7, '')")
        database.execute("UPDATE store SET next_flag=2")
    store.close()

    store = opened(store_url)

    with store.reading() as reading:
        assert [beyond for beyond in range(9) if reading.flagged([existence(PERSON)], 0, beyond).num_rows] == [
            *range(7)
        ]
    store.close()


def test_an_older_store_discards_computed_values_too(postgresql_url: str) -> None:
    older = CREATE_DISCARD_EVENTS[0].replace("'p1'", "'u1'")
    store = opened(before_computed_values(postgresql_url, older))
    with store.transaction() as tx:
        run = tx.start_run(started)
        create(tx, PERSON, {"Ann": {}})
        compute(tx, PERSON, {"Ann": ({}, {"Mail": "a@b"})})

    with store.transaction() as tx:
        subjects = Subjects(connector="HR", task="T", entity_types=(PERSON,), associations=())
        discarded = tx.discard(subjects, discarded_event(run), run)

    assert discarded is not None
    assert discarded.count == 2
    store.close()


@pytest.mark.parametrize("exists", [False, True], ids=["new", "older"])
def test_several_processes_that_open_an_older_store_take_each_step_once(store_url: str, exists: bool) -> None:
    if exists:
        with_a_run(store_url)
    start, failures = Barrier(4), []

    def work() -> None:
        start.wait()
        try:
            opened(store_url, (*STEPS, SECOND, THIRD)).close()
        except BaseException as e:
            failures.append(e)

    threads = [Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    store = opened(store_url, (*STEPS, SECOND, THIRD))
    assert failures == []
    assert noted(store) == ([(1, "none")] if exists else [])
    store.close()
