"""Three releases of a real directory, one job run each: nothing but the true difference is recorded."""

from __future__ import annotations

import shutil
from collections.abc import Iterable
from pathlib import Path

import pytest

from deltamark import Engine, LoggedChange, TaskState
from tests.airports import RELEASES, Record, configuration, records

Difference = dict[tuple[str, str], dict[str, tuple[object, object]]]


def true_difference(before: dict[str, Record], after: dict[str, Record]) -> Difference:
    """What changed between two releases, found by plain Python: (change, key) -> property -> (before, after)."""
    found: Difference = {}
    for key in before.keys() | after.keys():
        old, new = before.get(key, {}), after.get(key, {})
        differing = {n: (old.get(n), new.get(n)) for n in old.keys() | new.keys() if old.get(n) != new.get(n)}
        kind = "created" if key not in before else "deleted" if key not in after else "updated"
        if differing:
            found[kind, key] = differing
    return found


def recorded(changes: Iterable[LoggedChange]) -> Difference:
    """What the log says, in the same form."""
    return {
        (change.kind, change.event.ref.key): {n: (c.before, c.after) for n, c in change.event.changes.items()}
        for change in changes
    }


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("airports")


@pytest.mark.slow  # reads every release
def test_every_release_leaves_exactly_itself_and_records_exactly_its_difference(folder: Path, store_url: str) -> None:
    before: dict[str, Record] = {}
    differences = []
    with Engine.open(store_url, configuration=configuration(), export_output=folder) as engine:
        for release in RELEASES:
            shutil.copy(release, folder / "airports.csv.gz")
            after = records(release)

            run = engine.run_job("Load")

            assert run.state is TaskState.COMPLETED
            assert {row.key: dict(row.values) for row in engine.export_resources("Airport")} == after
            changes = list(engine.changes(run=run.number))
            assert recorded(changes) == true_difference(before, after)
            assert len(changes) == run.counts.changed
            differences.append((run.counts.inserted, run.counts.updated, run.counts.deleted))
            before = after
    assert differences == [(28135, 0, 0), (256, 27550, 166), (131, 839, 82)]


def test_the_same_release_again_appends_nothing_but_the_record_of_the_run(folder: Path, store_url: str) -> None:
    shutil.copy(RELEASES[-1], folder / "airports.csv.gz")
    with Engine.open(store_url, configuration=configuration(), export_output=folder) as engine:
        engine.run_job("Load")
        before = engine.position()

        run = engine.run_job("Load")

        assert run.counts.changed == 0
        assert list(engine.changes(after=before)) == []
        appended = engine._services.store.recorder.select_notifications(before + 1, 100)  # type: ignore[attr-defined]
        assert len({event.originator_id for event in appended}) == 1  # all of them are of the run
        assert len(appended) >= 4  # it started, its task started, ended, it ended; a slow task says how far it is


@pytest.mark.slow  # all releases once more, 4 seconds
def test_the_past_releases_can_be_exported_again(folder: Path, store_url: str) -> None:
    ends = []
    with Engine.open(store_url, configuration=configuration(), export_output=folder) as engine:
        for release in RELEASES:
            shutil.copy(release, folder / "airports.csv.gz")
            ends.append(engine.run_job("Load").ended_at)

        for release, ended_at in zip(RELEASES, ends, strict=True):
            assert ended_at is not None
            past = {row.key: dict(row.values) for row in engine.export_resources("Airport", at=ended_at)}
            assert past == records(release)


def test_a_line_of_the_extract_is_named_for_every_change(folder: Path, store_url: str) -> None:
    shutil.copy(RELEASES[0], folder / "airports.csv.gz")
    with Engine.open(store_url, configuration=configuration(), export_output=folder) as engine:
        engine.run_job("Load")

        changes = list(engine.changes())

        in_file_order = list(records(RELEASES[0]))
        assert [(change.event.cause.line, change.file) for change in changes[:3]] == [
            (2 + in_file_order.index(change.event.ref.key), "airports.csv.gz") for change in changes[:3]
        ]
