"""Deletions are told by all keys, or by a table of changes; what neither can tell ends in a complete reading."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from random import Random
from typing import Any

import pytest

from deltamark import TaskState, Thresholds
from tests.laws.test_deliveries import APPLY, KEYS, WRITE, ended
from tests.scenarios.database_source import DatabaseSource, configuration, messages, states
from tests.stores import NewStore
from tests.tiers import SOAK

QUERY = "select * from person"
BY_KEYS = {"Query": QUERY, "Watermark": "version", "Overlap": "1", "Keys": "select id from person"}
BY_CHANGES = {"Query": QUERY, "ChangeTable": "main.told", "Sequence": "seq", "Operation": "op", "Overlap": "2"}
ROUNDS = 70 if SOAK else 7
TRIGGERS = """
CREATE TABLE told (seq INTEGER PRIMARY KEY AUTOINCREMENT, id TEXT, op TEXT);
CREATE TRIGGER i AFTER INSERT ON person BEGIN INSERT INTO told (id, op) VALUES (NEW.id, 'INSERT'); END;
CREATE TRIGGER u AFTER UPDATE ON person BEGIN INSERT INTO told (id, op) VALUES (NEW.id, 'u'); END;
CREATE TRIGGER d AFTER DELETE ON person BEGIN INSERT INTO told (id, op) VALUES (OLD.id, 'D'); END;
"""

NewSource = Callable[..., DatabaseSource]


@pytest.fixture
def new_source(new_store: NewStore, tmp_path: Path) -> Iterator[NewSource]:
    """Gives a database with three people, all of them in the store."""
    made: list[DatabaseSource] = []

    def new(options: Mapping[str, str], limits: Thresholds | None = None) -> DatabaseSource:
        folder = tmp_path / f"s{len(made)}"
        made.append(DatabaseSource(new_store(), folder, configuration(limits or Thresholds(), options)))
        with_triggers(made[-1])
        made[-1].put(a="Ann", b="Bob", c="Cid")
        assert made[-1].run().state is TaskState.COMPLETED
        return made[-1]

    yield new
    for source in made:
        source.engine.close()


def with_triggers(source: DatabaseSource) -> None:
    """Lets the database keep a table of changes."""
    with sqlite3.connect(source.database) as connection:
        connection.executescript(TRIGGERS)
    connection.close()


def removed(source: DatabaseSource, *keys: str) -> None:
    for key in keys:
        source.execute("DELETE FROM person WHERE id=?", key)


@pytest.mark.parametrize("options", [BY_KEYS, BY_CHANGES], ids=["keys", "changes"])
def test_rows_that_are_gone_are_deleted_by_a_delta(new_source: NewSource, options: Mapping[str, str]) -> None:
    source = new_source(options)
    removed(source, "a")
    source.put(d="Dan", b="Bo")

    run = source.run()

    assert "what changed was read" in messages(run)
    assert (run.counts.inserted, run.counts.updated, run.counts.deleted) == (1, 1, 1)
    assert source.stored() == source.people()
    assert source.run().counts.changed == 0


@pytest.mark.parametrize("options", [BY_KEYS, BY_CHANGES], ids=["keys", "changes"])
def test_deletions_that_were_held_back_come_again(new_source: NewSource, options: Mapping[str, str]) -> None:
    source = new_source(options, Thresholds(maximum_deleted_lines=1))
    removed(source, "a", "b")
    blocked = source.run()
    source.engine.cancel(blocked.number)
    again = source.run()
    resumed = source.engine.resume(again.number)

    assert states([blocked, again, resumed]) == ["blocked", "blocked", "completed"]
    assert "what changed was read" in messages(again)
    assert source.stored() == {"c": "Cid"}
    source.put(d="Dan")
    assert "what changed was read" in messages(source.run())


def test_a_new_row_is_read_although_its_watermark_is_old(new_source: NewSource) -> None:
    source = new_source(BY_KEYS)
    source.execute("INSERT INTO person VALUES ('late', 'Liz', -100, 0)")

    run = source.run()

    assert "what changed was read" in messages(run)
    assert source.stored() == source.people()


def test_keys_that_are_lost_or_altered_mean_a_complete_reading(new_source: NewSource) -> None:
    source = new_source(BY_KEYS)
    (kept,) = (source.exports / "deliveries" / "HR_Source" / "keys").iterdir()
    assert kept.stat().st_mode & 0o777 == 0o600
    kept.write_bytes(kept.read_bytes()[:-1] + b"x")
    removed(source, "a")

    run = source.run()

    assert run.state is TaskState.WARNING
    assert "because the keys of HR_Person of the last delivery are not kept any more" in messages(run)
    assert source.stored() == source.people()
    removed(source, "b")
    assert "what changed was read" in messages(source.run())
    assert source.stored() == source.people()


def test_a_dry_run_leaves_the_keys_as_they_are(new_source: NewSource) -> None:
    source = new_source(BY_KEYS)
    before = sorted(source.exports.rglob("*"))
    removed(source, "a")

    assert source.run(dry_run=True).counts.deleted == 1
    assert sorted(source.exports.rglob("*")) == before
    assert source.run().counts.deleted == 1
    assert len(list((source.exports / "deliveries" / "HR_Source" / "keys").iterdir())) == 2
    source.run()
    assert len(list((source.exports / "deliveries" / "HR_Source" / "keys").iterdir())) == 1


def test_keys_that_are_not_those_of_the_query_are_refused(new_source: NewSource) -> None:
    source = new_source({**BY_KEYS, "Query": "select * from person where name <> 'Dan'"})
    place = source.place()
    source.put(d="Dan")

    run = source.run()

    assert run.state is TaskState.FAILED
    assert "the Keys of HR_Person gives 4 keys, and its Query has 3" in messages(run)
    assert source.place() == place


def test_a_change_that_is_none_of_a_row_means_a_complete_reading(new_source: NewSource) -> None:
    source = new_source(BY_CHANGES)
    source.execute("DROP TRIGGER d")
    removed(source, "a", "b")
    source.execute("INSERT INTO told (id, op) VALUES (NULL, 'TRUNCATE')")

    run = source.run()

    assert run.state is TaskState.WARNING
    assert 'the op "TRUNCATE", which is none of I, U and D' in messages(run)
    assert source.stored() == {"c": "Cid"}


@pytest.mark.parametrize(
    ("damage", "reason"),
    [
        ("DELETE FROM told WHERE seq <= 4", "changes were removed that were not read"),
        ("DELETE FROM told WHERE seq >= 3", "the database was restored from a backup"),
        ("DELETE FROM told", "the newest main.told.seq of HR_Person is nothing"),
    ],
)
def test_a_table_of_changes_that_lost_rows_means_a_complete_reading(
    new_source: NewSource, damage: str, reason: str
) -> None:
    source = new_source(BY_CHANGES)
    removed(source, "a", "b")
    source.execute(damage)

    run = source.run()

    assert run.state is TaskState.WARNING
    assert reason in messages(run)
    assert source.stored() == source.people()


def test_keys_that_are_numbers_in_one_table_and_texts_in_another_are_found(new_store: NewStore, tmp_path: Path) -> None:
    options = {**BY_CHANGES, "Query": "select cast(id as integer) as id, name from person"}
    with DatabaseSource(new_store(), tmp_path, configuration(options=options)) as source:
        with_triggers(source)
        source.put(**{"1": "One", "2": "Two"})
        source.run()
        source.put(**{"2": "Zwei"})
        removed(source, "1")

        source.run()

        assert source.stored() == {"2": "Zwei"}


def edited(source: DatabaseSource, random: Random) -> None:
    """Writes and removes some people; a row of a new key may be committed late, with an earlier version."""
    delivered = source.stored()
    for _ in range(random.randint(1, 5)):
        key = random.choice(KEYS)
        match random.randint(0, 4):
            case 0 | 1:
                removed(source, key)
            case 2 if key not in source.people() and key not in delivered:
                source.execute("INSERT INTO person VALUES (?, 'late', ?, 0)", key, source.version - 50)
            case _:
                source.put(**{key: f"n{random.randint(0, 9)}"})


def live(source: DatabaseSource, random: Random, patch: pytest.MonkeyPatch) -> None:
    """Rounds of edits, each followed by a run, some of which end before."""
    for _ in range(ROUNDS):
        edited(source, random)
        match random.randint(0, 4):
            case 0:
                ended(source, patch, random.choice([APPLY, WRITE]))
            case 1:
                source.run("Read")
                edited(source, random)
            case 2:
                source.run(dry_run=True)
        run = source.run(random.choice(["Changes", "Changes", "Changes", "Prepared", "Everything"]))
        assert run.state in (TaskState.COMPLETED, TaskState.WARNING), run
        assert source.stored() == source.people()


@pytest.mark.law
@pytest.mark.parametrize("new_store", ["sqlite"], indirect=True)
@pytest.mark.parametrize("options", [BY_KEYS, BY_CHANGES], ids=["keys", "changes"])
@pytest.mark.parametrize("seed", range(20 if SOAK else 1))
def test_deltas_equal_readings_of_everything_and_an_oracle(
    new_store: NewStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, options: Mapping[str, str], seed: int
) -> None:
    with DatabaseSource(new_store(), tmp_path, configuration(options=options)) as source:
        with_triggers(source)
        source.put(**dict.fromkeys(KEYS[:6], "first"))
        live(source, Random(seed), monkeypatch)
        assert source.engine.verify().is_sound


@pytest.mark.parametrize("new_store", ["sqlite"], indirect=True)
def test_control_deltas_without_keys_keep_what_is_gone(
    new_store: NewStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    options: dict[str, Any] = {name: text for name, text in BY_KEYS.items() if name != "Keys"}
    with DatabaseSource(new_store(), tmp_path, configuration(options=options)) as source:
        source.put(**dict.fromkeys(KEYS[:6], "first"))
        with pytest.raises(AssertionError):
            live(source, Random(0), monkeypatch)


@pytest.mark.parametrize("options", [BY_KEYS, BY_CHANGES], ids=["keys", "changes"])
@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ("ALTER TABLE person RENAME name TO label", 'has no column "name"'),
        ("ALTER TABLE person RENAME TO people", "no such table"),
    ],
)
def test_a_schema_that_changed_is_no_deletion(
    new_source: NewSource, options: Mapping[str, str], change: str, problem: str
) -> None:
    source = new_source(options)
    place = source.place()
    removed(source, "a")
    source.execute("DROP TRIGGER i")
    source.execute("DROP TRIGGER u")
    source.execute("DROP TRIGGER d")
    source.execute(change)

    run = source.run()

    assert run.state is TaskState.FAILED
    assert problem in messages(run)
    assert source.place() == place
    assert len(source.stored()) == 3
