"""Backups of an SQLite store: consistent while others write, complete or not there at all."""

from __future__ import annotations

import os
import shutil
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from deltamark import Engine, StoreError, UsageError
from deltamark.infrastructure.store.sqlite import backup as sqlite_backup
from deltamark.infrastructure.store.sqlite.store import SQLiteStore
from tests.store import children
from tests.store.nights import back_up_where_files_end_at, nights
from tests.store.sqlite.test_faults import harm_in
from tests.store.workspace import Workspace, everything

Row = tuple[object, ...]


@pytest.fixture
def space(tmp_path: Path) -> Workspace:
    """A company after its first job."""
    (tmp_path / "company").mkdir()
    space = Workspace(tmp_path / "company")
    space.first_day()
    space.run()
    space.second_day()
    return space


@pytest.fixture
def copies(space: Workspace) -> Path:
    """An empty folder for backups."""
    folder = space.folder / "copies"
    folder.mkdir()
    return folder


def rows_of_the_log(path: Path) -> list[Row]:
    with closing(sqlite3.connect(path)) as db:
        return db.execute("SELECT * FROM stored_events ORDER BY 1").fetchall()


def beside(path: Path, store: Path) -> Workspace:
    """A workspace with a copy as its store."""
    path.mkdir()
    shutil.copy(store, path / "store.db")
    return Workspace(path)


def asked(space: Workspace) -> Row:
    with space.engine(create=False) as engine:
        return everything(engine)


def names_in(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


def test_a_copy_made_while_jobs_run_is_consistent_and_has_all_acknowledged_changes(
    space: Workspace, copies: Path, tmp_path: Path
) -> None:
    made = []
    with nights(space) as others, space.engine() as engine:
        for number in range(6):
            acknowledged = others.wait()
            made.append((acknowledged, engine.backup(copies / f"{number}.db")))

    log = rows_of_the_log(space.path)
    for number, (acknowledged, backup) in enumerate(made):
        copied = beside(tmp_path / str(number), backup.file)
        held = rows_of_the_log(copied.path)
        assert held == [row for row in log if row[0] <= backup.position]  # type: ignore[operator]
        assert held[-1][0] == backup.position >= acknowledged  # type: ignore[operator]
        assert backup.size == backup.file.stat().st_size
        assert harm_in(copied) == []
    assert len({backup.position for _, backup in made}) > 3
    assert names_in(copies) == {f"{number}.db" for number in range(6)}


def test_control_a_copied_file_of_an_open_store_lacks_acknowledged_changes(space: Workspace, copies: Path) -> None:
    with space.engine() as engine:
        engine.run_job("Nightly")
        acknowledged = engine.position()

        shutil.copy(space.path, copies / "plain.db")
        backup = engine.backup(copies / "whole.db")

    assert rows_of_the_log(copies / "plain.db")[-1][0] < acknowledged  # type: ignore[operator]
    assert rows_of_the_log(copies / "whole.db")[-1][0] == acknowledged == backup.position


def test_a_copy_is_an_independent_store(space: Workspace, copies: Path, tmp_path: Path) -> None:
    with space.engine() as engine:
        before = everything(engine)
        backup = engine.backup(copies / "copy.db")
        engine.run_job("Nightly")
        after, newest = everything(engine), engine.position()

    restored = beside(tmp_path / "restored", backup.file)
    with restored.engine(create=False) as engine:
        assert everything(engine) == before
        with pytest.raises(UsageError, match=f"position {newest} is not in the log, which ends at {backup.position}"):
            next(engine.follow(newest, timeout=0))
        restored.second_day()
        engine.run_job("Nightly")
        assert everything(engine) == after


def test_a_backup_does_not_write_to_the_store_and_makes_no_writer_wait(space: Workspace, copies: Path) -> None:
    holding, release = children.CONTEXT.Event(), children.CONTEXT.Event()
    process = children.started(children.hold, space.path, holding, release)
    try:
        assert holding.wait(children.PATIENCE_S)
        with space.engine() as engine:
            before = {name: (space.folder / name).read_bytes() for name in ("store.db", "store.db-wal")}

            engine.backup(copies / "copy.db")

            assert {name: (space.folder / name).read_bytes() for name in before} == before
            store = engine._services.store
            assert isinstance(store, SQLiteStore)
            assert store._datastore._writer is None
    finally:
        release.set()
        process.join(children.PATIENCE_S)


def test_a_copy_may_be_read_by_those_who_may_read_the_store(space: Workspace, copies: Path) -> None:
    for mode in (0o600, 0o640):
        space.path.chmod(mode)
        with space.engine() as engine:
            engine.backup(copies / "copy.db", overwrite=True)

        assert (copies / "copy.db").stat().st_mode & 0o777 == mode


def test_a_backup_is_flushed_to_disk_before_it_gets_its_name(
    space: Workspace, copies: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = []
    sync = sqlite_backup._to_disk
    monkeypatch.setattr(sqlite_backup, "_to_disk", lambda path: (seen.append((path, names_in(copies))), sync(path)))

    with space.engine() as engine:
        engine.backup(copies / "copy.db")

    (part, first), (folder, last) = seen
    assert first == {part.name}
    assert part.parent == folder == copies
    assert "copy.db" in last


# Where no copy may stand


def refused(space: Workspace, file: Path, words: str, *, overwrite: bool = False) -> None:
    """Asserts that a backup to this target is refused and changes neither store nor target."""
    with space.engine() as engine:
        before, bytes_before = contents(space.folder), space.path.read_bytes()

        with pytest.raises(UsageError, match=words):
            engine.backup(file, overwrite=overwrite)

        assert contents(space.folder) == before
        assert space.path.read_bytes() == bytes_before


def contents(folder: Path) -> dict[str, bytes | None]:
    return {
        str(path.relative_to(folder)): path.read_bytes() if path.is_file() and "copies" in path.parts else None
        for path in folder.rglob("*")
    }


def test_a_missing_folder_is_reported(space: Workspace, copies: Path) -> None:
    refused(space, copies / "not there" / "copy.db", "the folder .*not there does not exist")


@pytest.mark.parametrize("overwrite", [False, True])
@pytest.mark.parametrize("name", ["store.db", "store.db-wal", "store.db-shm", "store.db.lock", "copies/../store.db"])
def test_the_files_of_the_store_are_never_overwritten(
    space: Workspace, copies: Path, name: str, overwrite: bool
) -> None:
    refused(space, space.folder / name, "belongs to the store itself", overwrite=overwrite)


@pytest.mark.parametrize("link", [Path.symlink_to, Path.hardlink_to])
def test_another_name_of_the_store_is_refused_as_target(
    space: Workspace, copies: Path, link: Callable[[Path, Path], None]
) -> None:
    link(copies / "copy.db", space.path)

    refused(space, copies / "copy.db", "belongs to the store itself", overwrite=True)


@pytest.mark.parametrize("overwrite", [False, True])
def test_a_folder_is_refused_as_target(space: Workspace, copies: Path, overwrite: bool) -> None:
    refused(space, copies, "is a folder", overwrite=overwrite)


def test_a_pipe_is_refused_as_target(space: Workspace, copies: Path) -> None:
    os.mkfifo(copies / "copy.db")

    refused(space, copies / "copy.db", "not a regular file", overwrite=True)


@pytest.mark.parametrize("ending", ["-wal", "-shm", "-journal"])
def test_a_copy_is_refused_beside_leftover_files_of_a_database(space: Workspace, copies: Path, ending: str) -> None:
    (copies / f"copy.db{ending}").write_bytes(b"of another database")

    refused(space, copies / "copy.db", "open as a database", overwrite=True)


def test_an_existing_file_is_replaced_only_if_allowed(space: Workspace, copies: Path) -> None:
    (copies / "copy.db").write_bytes(b"yesterday's")

    refused(space, copies / "copy.db", "exists already")
    with space.engine() as engine:
        backup = engine.backup(copies / "copy.db", overwrite=True)

    assert rows_of_the_log(copies / "copy.db")[-1][0] == backup.position
    assert names_in(copies) == {"copy.db"}


@pytest.mark.parametrize("has_links", [True, False])
def test_a_file_created_meanwhile_is_not_replaced(
    space: Workspace, copies: Path, monkeypatch: pytest.MonkeyPatch, has_links: bool
) -> None:
    if not has_links:
        monkeypatch.setattr(Path, "hardlink_to", lambda *_: (_ for _ in ()).throw(PermissionError(1, "no links here")))
    with space.engine() as engine, pytest.raises(UsageError, match="exists already"):
        engine._services.store.backup(
            copies / "copy.db", overwrite=False, progress=lambda *_: (copies / "copy.db").write_bytes(b"another's")
        )

    assert (copies / "copy.db").read_bytes() == b"another's"
    assert names_in(copies) == {"copy.db"}


def test_a_file_system_without_hard_links_gets_a_copy_too(
    space: Workspace, copies: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Path, "hardlink_to", lambda *_: (_ for _ in ()).throw(PermissionError(1, "no links here")))

    with space.engine() as engine:
        engine.backup(copies / "copy.db")

    assert names_in(copies) == {"copy.db"}


@pytest.mark.parametrize("file", [5, b"copy.db", None, "a\0b"])
def test_an_invalid_path_is_reported(space: Workspace, file: object) -> None:
    with space.engine() as engine, pytest.raises(UsageError, match="file is"):
        engine.backup(file)  # type: ignore[arg-type]


# What goes wrong on the way


@pytest.mark.parametrize("overwrite", [False, True])
def test_a_full_disk_leaves_no_part_of_the_copy_and_the_whole_store(
    space: Workspace, copies: Path, overwrite: bool
) -> None:
    if overwrite:
        (copies / "copy.db").write_bytes(b"yesterday's")
    before, there = asked(space), contents(copies)
    bytes_before = space.path.read_bytes()

    assert children.ended(back_up_where_files_end_at, space.folder, space.path.stat().st_size // 2, overwrite) == 0

    told = (space.folder / "told").read_text("utf-8")
    assert told.startswith(f"StoreError: {copies / 'copy.db'}: the backup cannot be written: ")
    assert "It was removed, and the store was not changed." in told
    assert contents(copies) == there
    assert space.path.read_bytes() == bytes_before
    assert asked(space) == before


def test_an_interrupted_backup_leaves_no_file(space: Workspace, copies: Path) -> None:
    def interrupt(done: int, total: int) -> None:
        assert names_in(copies)
        raise KeyboardInterrupt

    with space.engine() as engine:
        with pytest.raises(KeyboardInterrupt):
            engine._services.store.backup(copies / "copy.db", overwrite=False, progress=interrupt)

        assert names_in(copies) == set()
        assert engine.backup(copies / "copy.db").position == engine.position()


def test_a_copy_of_a_damaged_store_is_not_kept(space: Workspace, copies: Path) -> None:
    with space.engine() as engine:
        engine.position()
    damage(space.path)

    with (
        Engine.open(space.url, configuration=engine.configuration, create=False) as damaged,
        pytest.raises(StoreError, match=r"its copy is damaged .* Verify the store"),
    ):
        damaged.backup(copies / "copy.db")

    assert names_in(copies) == set()


def damage(path: Path) -> None:
    """Zeroes the page of an index that is not read when a store is opened."""
    with closing(sqlite3.connect(path)) as db:
        (page,) = db.execute("SELECT rootpage FROM sqlite_master WHERE name='links_of_source'").fetchone()
        (size,) = db.execute("PRAGMA page_size").fetchone()
    with path.open("r+b") as file:
        file.seek((page - 1) * size)
        file.write(bytes(size))


def test_progress_is_reported_up_to_the_end(space: Workspace, copies: Path) -> None:
    told = []
    with space.engine() as engine:
        engine._services.store.backup(
            copies / "copy.db", overwrite=False, progress=lambda done, total: told.append((done, total))
        )

    assert told[-1][0] == told[-1][1] > 0
