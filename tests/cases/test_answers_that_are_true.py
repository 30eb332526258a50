"""The counts of `verify`, and the events that a program folds, are those of the state."""

from __future__ import annotations

import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from typing import Any

import pytest

import deltamark
from deltamark import Created, Deleted, Engine, Updated
from deltamark.infrastructure.store.sqlite.address import path_of
from deltamark.infrastructure.store.sqlite.connection import PAGE_BYTES
from tests.cases.case import Case
from tests.cases.conftest import NewCase


def test_verify_and_replay_count_the_resources_that_exist(case: NewCase) -> None:
    store = case("32-count-of-the-deleted")
    store.run(1)
    store.run(2)

    for command in (["verify"], ["replay"], ["replay", "--into", f"sqlite:///{store.folder}/other.db"]):
        answer = store.command(*command)

        assert answer.status == 0
        assert "2 resources (1 deleted), 0 links, 2 runs" in answer.err


def test_a_resource_that_was_created_again_is_counted_as_one(case: NewCase) -> None:
    store = case("32-count-of-the-deleted")
    for step in (1, 2, 1):
        store.run(step)

    assert "3 resources, 0 links, 3 runs" in store.command("verify").err


def folded(store: Case) -> dict[str, dict[str, Any]]:
    """The state that a program makes of the events, by their public classes alone."""
    state: dict[str, dict[str, Any]] = {}
    with Engine.open(store.store, configuration=store.configuration(1)) as engine:
        for change in engine.changes():
            event = change.event
            assert getattr(deltamark, type(event).__name__) is type(event)
            match event:
                case Created():
                    state[event.ref.key] = dict(event.values)
                case Updated():
                    assert change.kind == "updated"
                    after = {name: values.after for name, values in event.changes.items()}
                    state[event.ref.key] = {
                        name: value for name, value in {**state[event.ref.key], **after}.items() if value is not None
                    }
                case Deleted():
                    del state[event.ref.key]
                case _:
                    raise AssertionError(f"{type(event).__name__} is none of the classes")
    return state


def exported(store: Case) -> dict[str, dict[str, Any]]:
    return {row["key"]: row["properties"] for row in store.exported("P")}


def test_folding_events_by_their_public_classes_gives_the_state(case: NewCase) -> None:
    store = case("52-events-of-computed-values")
    store.run(1)

    assert folded(store) == exported(store)


def test_computed_values_that_change_and_go_are_updates(case: NewCase) -> None:
    store = case("52-events-of-computed-values")
    store.run(1)
    store.extract(2, p="id,name\n1,Bob\n2,\n")
    store.run(2)
    store.extract(3, p="id,name\n2,Eve\n")
    store.run(3)

    assert folded(store) == exported(store)
    assert exported(store) == {"2": {"K": "2", "L": "eve", "N": "Eve"}}


def exported_bytes(store: Case, step: int) -> bytes:
    """The state as it is printed, after what must hold in any store was checked."""
    for command in (["verify"], ["verify", "--derived"]):
        answer = store.command(*command, step=step)
        assert answer.status == 0, answer.err
    assert "Nothing had to be written" in store.command("replay", step=step).err
    return store.command("export", "P", "--format", "jsonl", step=step).out


def of_new_store(store: Case, step: int) -> bytes:
    """What a new store prints with the configuration and the extracts of a step."""
    new = Case(store.folder, f"sqlite:///{store.folder}/new-{step}.db", store._capture)
    assert new.run(step).status == 0
    return exported_bytes(new, step)


def test_a_type_that_changes_beside_another_value_is_a_change(case: NewCase) -> None:
    store = case("20-type-changed-beside-another")
    store.run(1)
    store.run(2)

    assert exported_bytes(store, 2) == of_new_store(store, 2)
    assert [(row["properties"]["V"], row["properties"]["C"]) for row in store.exported("P")] == [(3, "v=3"), (4, "v=4")]
    changes = store.command("changes", "--run", "2", "--format", "jsonl").documents
    assert {row["key"]: row["changes"]["V"]["after"] for row in changes if "V" in row["changes"]} == {"1": 3, "2": 4}


def test_a_type_that_changes_alone_is_a_change(case: NewCase) -> None:
    store = case("21-type-changed-alone")
    shutil.copytree(store.exports(1), store.exports(2))
    shutil.copytree(store.exports(1), store.exports(3))
    store.run(1)

    for step, value in ((2, b'"V":3,'), (3, b'"V":3.0,')):
        store.run(step)

        assert exported_bytes(store, step) == of_new_store(store, step)
        assert value in exported_bytes(store, step)


@contextmanager
def altered(store: Case) -> Iterator[sqlite3.Connection]:
    """A block that alters the file of the store past Deltamark."""
    if not store.store.startswith("sqlite"):
        pytest.skip("the case alters a file")
    with closing(sqlite3.connect(path_of(store.store))) as connection, connection:
        yield connection


def test_an_altered_index_is_reported_and_exports_are_right(case: NewCase) -> None:
    store = case("36-damaged-index")
    store.run(1)
    with altered(store) as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    file = path_of(store.store)
    data = bytearray(file.read_bytes())
    pages = [page for page in range(PAGE_BYTES, len(data), PAGE_BYTES) if data[page] == 0x0A]
    entries = [place for page in pages if (place := data.find(b"E00039", page, page + PAGE_BYTES)) > 0]
    for place in entries:
        data[place + 3] ^= 0x10
    file.write_bytes(data)
    assert entries

    answer = store.command("verify")

    assert answer.status == 4
    assert "it is damaged" in answer.err
    assert store.keys("P") == [f"E{number:05}" for number in range(1, 41)]
    assert store.command("replay", "--into", f"sqlite:///{store.folder}/other.db").status == 1
    assert "the indexes were built again" in store.command("replay").err
    assert store.command("verify").status == 0


@pytest.mark.parametrize(
    "alteration",
    [
        "INSERT INTO correlation_keys SELECT rule, 777777, value, 0 FROM correlation_keys LIMIT 1",
        "INSERT INTO classifications SELECT id, 777777, 0 FROM rules LIMIT 1",
        "INSERT INTO flags (number, position, resource, dependency) SELECT 99, 1, 777777, id FROM dependencies LIMIT 1",
        "INSERT INTO consumed SELECT consumer, 777777, flag, position, digest, 0 FROM consumed LIMIT 1",
        "DELETE FROM resources WHERE key = '2'",
    ],
)
def test_rows_of_nobody_are_reported_and_replayed_away(alteration: str, case: NewCase) -> None:
    store = case("37-key-of-nobody")
    store.run(1)
    with altered(store) as connection:
        assert connection.execute(alteration).rowcount == 1

    derived = store.command("verify", "--derived")

    assert derived.status in (0, 4) or 'the row of number "99" is not what was written' in derived.err
    assert "inside Deltamark" not in derived.err
    if "correlation_keys" in alteration:
        assert derived.status == 4
        assert "stream 777777" in derived.text
    assert store.command("verify").status == 4
    assert store.command("replay").status == 0
    assert store.command("verify").status == 0


def test_a_key_of_nobody_is_repaired(case: NewCase) -> None:
    store = case("37-key-of-nobody")
    store.run(1)
    with altered(store) as connection:
        connection.execute("INSERT INTO correlation_keys SELECT rule, 777777, value, 0 FROM correlation_keys LIMIT 1")

    assert store.command("verify", "--derived", "--repair").status == 0
    assert store.command("verify").status == 0


@pytest.mark.parametrize(
    "alteration",
    [
        "UPDATE resources SET key = CAST(key AS BLOB) WHERE key = '2'",
        "UPDATE resources SET state = CAST(state AS BLOB) WHERE key = '2'",
        "UPDATE resources SET state = 7 WHERE key = '2'",
        "UPDATE resources SET version = 'x' WHERE key = '2'",
        "UPDATE stored_events SET state = CAST(state AS TEXT) WHERE notification_id = 4",
        "UPDATE runs SET first = 'x'",
        "UPDATE store SET next_run = 'x'",
    ],
)
def test_values_of_another_type_are_reported_and_never_an_error_inside(alteration: str, case: NewCase) -> None:
    store = case("38-key-of-bytes")
    store.run(1)
    with altered(store) as connection:
        assert connection.execute(alteration).rowcount == 1

    for command in (
        ["export", "P"], ["export", "P", "--format", "jsonl"], ["changes"], ["show", "P", "2"], ["history", "P", "2"],
        ["runs"], ["why", "P", "2"], ["dirty"], ["run", "Load"], ["verify", "--derived"], ["replay"],
    ):  # fmt: skip
        assert "inside Deltamark" not in store.command(*command).err
        if command == ["export", "P"] and "key" in alteration.split("WHERE")[0]:
            assert "damaged" in store.command(*command).err
    with altered(store) as connection:
        connection.execute(alteration)
    assert store.command("verify").status in (1, 4)
