"""What a connection delivers is applied once, in order, and the place moves with it."""

from __future__ import annotations

import json
import shutil
import stat
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from deltamark import Configuration, TaskState, Thresholds, UsageError
from deltamark.application.ports.sources import Question, SourceUnreachable, Tables
from deltamark.infrastructure.sql.source import SQLSource
from tests.scenarios.database_source import PERSON, DatabaseSource, configuration, messages
from tests.stores import NewStore

NewSource = Callable[..., DatabaseSource]
ONE_DELETION = Thresholds(maximum_deleted_lines=1)


@pytest.fixture
def new_source(new_store: NewStore, tmp_path: Path) -> Iterator[NewSource]:
    """Gives a database with three people, all of them in the store."""
    made: list[DatabaseSource] = []

    def new(configured: Configuration | None = None) -> DatabaseSource:
        made.append(DatabaseSource(new_store(), tmp_path / f"s{len(made)}", configured or configuration()))
        made[-1].put(a="Ann", b="Bob", c="Cid")
        assert made[-1].run().state is TaskState.COMPLETED
        return made[-1]

    yield new
    for source in made:
        source.engine.close()


@pytest.mark.on_every_store
def test_what_changed_is_read_from_the_place_and_the_place_moves_with_it(new_source: NewSource) -> None:
    source = new_source()
    first = source.place()
    source.put(d="Dan", a="Anna")
    source.mark_deleted("b")

    run = source.run()

    assert "what changed was read" in messages(run)
    assert source.stored() == source.people() == {"a": "Anna", "c": "Cid", "d": "Dan"}
    assert (run.counts.inserted, run.counts.updated, run.counts.deleted) == (1, 1, 1)
    assert source.place() != first
    (place,) = source.engine.places()
    assert (place.connection, place.run, place.delivery) == ("HR_Source", run.number, "delta")
    assert source.engine.verify().is_sound
    source.engine.replay()
    assert source.engine.places() == [place]


@pytest.mark.on_every_store
def test_a_delivery_is_applied_once(new_source: NewSource) -> None:
    source = new_source()
    source.put(d="Dan")
    source.run()
    before, place = source.engine.position(), source.place()

    again = source.run("Apply")

    assert "is applied already" in messages(again)
    assert again.counts.changed == 0
    assert source.place() == place
    assert list(source.engine.changes(after=before)) == []


def test_a_delta_that_goes_on_from_another_place_is_refused(new_source: NewSource, tmp_path: Path) -> None:
    source = new_source()
    source.put(d="Dan")
    source.run("Read")
    folder = next((source.exports / "deliveries" / "HR_Source").iterdir())
    kept = shutil.copytree(folder, tmp_path / folder.name)
    source.run("Everything")
    for delivery in folder.parent.iterdir():
        shutil.rmtree(delivery)
    shutil.copytree(kept, folder)
    place = source.place()
    source.mark_deleted("d")

    run = source.run("Apply")

    assert run.state is TaskState.FAILED
    assert "holds the changes since another place than that of the store" in messages(run)
    assert source.place() == place


def test_a_dry_run_moves_nothing_and_leaves_no_delivery(new_source: NewSource) -> None:
    source = new_source()
    place, deliveries = source.place(), sorted(source.exports.rglob("*"))
    source.put(d="Dan")

    run = source.run(dry_run=True)

    assert run.counts.inserted == 1
    assert (source.place(), sorted(source.exports.rglob("*"))) == (place, deliveries)
    assert source.run().counts.inserted == 1


@pytest.mark.on_every_store
def test_a_held_back_delivery_keeps_its_place_until_it_is_resumed(new_source: NewSource) -> None:
    source = new_source(configuration(ONE_DELETION))
    place = source.place()
    source.mark_deleted("a", "b")

    blocked = source.run()
    left_out = source.run()
    resumed = source.engine.resume(blocked.number)

    assert blocked.state is TaskState.BLOCKED
    assert [task.state for task in left_out.tasks] == [TaskState.SKIPPED, TaskState.SKIPPED]
    assert resumed.state is TaskState.COMPLETED
    assert source.stored() == {"c": "Cid"}
    assert source.place() != place
    assert source.run().counts.changed == 0
    assert source.engine.verify().is_sound


@pytest.mark.on_every_store
def test_what_was_cancelled_is_delivered_again(new_source: NewSource) -> None:
    source = new_source(configuration(ONE_DELETION))
    place = source.place()
    source.mark_deleted("a", "b")
    blocked = source.run()

    source.engine.cancel(blocked.number)

    assert source.place() == place
    assert source.engine.held_back() == ()
    assert source.run().state is TaskState.BLOCKED
    assert source.run(force=True).counts.deleted == 2
    assert source.stored() == {"c": "Cid"}


def test_a_forced_run_repeats_what_is_held_back_and_ends_the_block(new_source: NewSource) -> None:
    source = new_source(configuration(ONE_DELETION))
    source.mark_deleted("a", "b")
    source.run()

    forced = source.run(force=True)

    assert forced.counts.deleted == 2
    assert source.engine.held_back() == ()


@pytest.mark.on_every_store
def test_a_run_that_ended_between_reading_and_applying_is_resumed_with_what_was_read(
    new_source: NewSource, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = new_source()
    place = source.place()
    source.put(d="Dan")

    def interrupted(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr("deltamark.application.execution.task_types.synchronize", interrupted)
        with pytest.raises(KeyboardInterrupt):
            source.run()
    assert source.place() == place
    source.execute("UPDATE person SET name='later'")

    resumed = source.engine.resume(source.engine.runs()[-1].number)

    assert resumed.state is TaskState.COMPLETED
    assert source.stored() == {"a": "Ann", "b": "Bob", "c": "Cid", "d": "Dan"}
    assert source.place() != place


@pytest.mark.parametrize(
    "restore",
    ["DELETE FROM person WHERE version = (SELECT max(version) FROM person)", "UPDATE person SET version = version - 1"],
    ids=["newest row deleted", "restored from a backup"],
)
def test_a_source_that_went_back_is_read_as_a_whole_on_record(new_source: NewSource, restore: str) -> None:
    source = new_source()
    source.execute(restore)

    run = source.run()

    assert run.state is TaskState.WARNING
    assert "everything was read" in messages(run)
    assert "before '3' of the last delivery" in messages(run).replace('"', "'")
    assert source.stored() == source.people()
    assert source.run().state is TaskState.COMPLETED


def test_a_cookie_of_another_version_is_a_lost_place(new_source: NewSource, monkeypatch: pytest.MonkeyPatch) -> None:
    source = new_source()
    monkeypatch.setattr("deltamark.infrastructure.sql.source._COOKIE_FORMAT", 3)

    run = source.run()

    assert run.state is TaskState.WARNING
    assert "because the place was written by another version" in messages(run)


def test_another_question_is_answered_as_a_whole(new_store: NewStore, tmp_path: Path) -> None:
    store = new_store()
    with DatabaseSource(store, tmp_path, configuration()) as source:
        source.put(a="Ann", b="Bob")
        source.run()
    query = {"Query": "select * from person where id <> 'a'", "Watermark": "version", "Deleted": "gone"}

    with DatabaseSource(store, tmp_path, configuration(options=query)) as source:
        before = source.run("Apply")
        run = source.run()

        assert before.state is TaskState.FAILED
        assert "was made before its tables, mappings or settings were changed" in messages(before)
        assert "because its tables, mappings or settings were changed" in messages(run)
        assert source.stored() == {"b": "Bob"}


def test_a_place_is_forgotten_on_record(new_source: NewSource) -> None:
    source = new_source()

    forgotten = source.engine.forget_place("HR_Source", reason="restored from a backup", by="Ada")

    assert forgotten.connection == "HR_Source"
    assert source.engine.places() == []
    (run,) = [run for run in source.engine.runs() if run.job == "*forget place*"]
    assert (run.by, run.reason) == ("Ada", "restored from a backup")
    assert source.engine.verify().is_sound
    with pytest.raises(UsageError, match='no place of a connection "HR_Source" is kept'):
        source.engine.forget_place("HR_Source", reason="again")
    assert "everything was read" in messages(source.run())
    assert len(source.engine.places()) == 1


def test_everything_is_read_although_the_mode_is_incremental_and_missing_rows_are_deleted(
    new_source: NewSource,
) -> None:
    source = new_source()
    source.engine.forget_place("HR_Source", reason="test")
    source.execute("DELETE FROM person WHERE id='a'")

    run = source.run("Prepared")

    assert "HR_Source delivered HR_Person as a whole: what is missing there is deleted" in messages(run)
    assert source.stored() == {"b": "Bob", "c": "Cid"}
    source.put(b="Bo")
    assert "as a whole" not in messages(source.run("Prepared"))
    assert source.stored() == {"b": "Bo", "c": "Cid"}


def test_a_source_that_ends_midway_changes_nothing(new_source: NewSource, monkeypatch: pytest.MonkeyPatch) -> None:
    source = new_source()
    place, deliveries = source.place(), sorted(source.exports.rglob("*"))
    source.put(d="Dan")
    read = SQLSource.changes

    def cut(self: SQLSource, ask: Question, since: object, into: Tables) -> object:
        read(self, ask, since, into)  # type: ignore[arg-type]
        raise SourceUnreachable("the connection was reset")

    with monkeypatch.context() as patched:
        patched.setattr(SQLSource, "changes", cut)
        run = source.run()

    assert run.state is TaskState.FAILED
    assert "HR_Source: the connection was reset. Nothing was changed." in messages(run)
    assert (source.place(), sorted(source.exports.rglob("*"))) == (place, deliveries)
    assert source.run().counts.inserted == 1


def test_a_delivery_that_was_altered_is_refused(new_source: NewSource) -> None:
    source = new_source()
    source.put(d="Dan")
    source.run("Read")
    (table,) = (source.exports / "deliveries").rglob(f"{PERSON}.parquet")
    other = new_source()
    other.put(e="Eve")
    other.run("Read")
    (wrong,) = (other.exports / "deliveries").rglob(f"{PERSON}.parquet")
    shutil.copy(wrong, table)

    run = source.run("Apply")

    assert run.state is TaskState.FAILED
    assert "the file is not the one that the delivery of HR_Source" in messages(run)


@pytest.mark.parametrize("damage", ["cut", "gone", "a link"])
def test_a_delivery_that_was_damaged_is_refused_and_made_anew(
    new_source: NewSource, tmp_path: Path, damage: str
) -> None:
    source = new_source()
    source.put(d="Dan")
    source.run("Read")
    (table,) = (source.exports / "deliveries").rglob(f"{PERSON}.parquet")
    if damage == "cut":
        table.write_bytes(table.read_bytes()[:-10])
    else:
        table.rename(tmp_path / table.name)
        if damage == "a link":
            table.symlink_to(tmp_path / table.name)

    run = source.run("Apply")

    assert run.state is TaskState.FAILED
    assert "Run the ExportTask of this connection again, which replaces the delivery." in messages(run)
    assert source.stored() == {"a": "Ann", "b": "Bob", "c": "Cid"}
    assert source.run().state is TaskState.COMPLETED
    assert source.stored() == source.people()


@pytest.mark.parametrize("is_link", [True, False])
def test_the_record_of_a_delivery_is_not_read_through_a_link(
    new_source: NewSource, tmp_path: Path, is_link: bool
) -> None:
    source = new_source()
    source.put(d="Dan")
    source.run("Read")
    (record,) = (source.exports / "deliveries").rglob("delivery.json")
    copy = record.replace(tmp_path / "copy.json")
    if is_link:
        record.symlink_to(copy)
    else:
        shutil.copy(copy, record)

    run = source.run("Apply")

    assert run.state is (TaskState.FAILED if is_link else TaskState.COMPLETED)
    refusal = (
        "(it is a symbolic link, which is not followed). Nothing was changed. Run the ExportTask of this connection"
    )
    assert (refusal in messages(run)) is is_link
    assert source.run().state is TaskState.COMPLETED
    assert source.stored() == source.people()


def test_a_delivery_of_another_store_is_none(new_store: NewStore, tmp_path: Path) -> None:
    with DatabaseSource(new_store(), tmp_path, configuration()) as one:
        one.put(a="Ann")
        one.run("Read")

    with DatabaseSource(new_store(), tmp_path, configuration()) as other:
        run = other.run("Apply")

        assert run.state is TaskState.FAILED
        assert "the connection has delivered nothing" in messages(run)


def test_deliveries_are_for_this_user_alone_and_the_newest_alone_stays(new_source: NewSource) -> None:
    source = new_source()
    source.put(d="Dan")
    run = source.run()

    folder = source.exports / "deliveries"
    (delivery,) = (folder / "HR_Source").iterdir()
    rights = {path.name: stat.S_IMODE(path.stat().st_mode) for path in (folder, folder / "HR_Source", delivery)}
    files = {path.name: stat.S_IMODE(path.stat().st_mode) for path in delivery.iterdir()}
    record = json.loads((delivery / "delivery.json").read_text())

    assert delivery.name == f"{run.number}-1"
    assert set(rights.values()) == {0o700}
    assert files == {"HR_Person.parquet": 0o600, "delivery.json": 0o600}
    assert (record["kind"], record["tables"][PERSON]["rows"]) == ("delta", 4)


def test_an_empty_table_read_as_a_whole_is_blocked(new_source: NewSource) -> None:
    source = new_source()
    source.execute("DELETE FROM person")

    run = source.run("Everything")

    assert run.state is TaskState.BLOCKED
    assert len(source.stored()) == 3
