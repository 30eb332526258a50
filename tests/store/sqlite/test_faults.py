"""Kills, full disks and locks: a task happens completely or not at all, and the next run completes the work."""

from __future__ import annotations

import os
import shutil
import sqlite3
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest

from deltamark import ConcurrentRun, Engine, StoreError, TaskState
from deltamark.domain.resources.resource import Created, Deleted, Updated
from deltamark.infrastructure.store.sqlite.store import SQLiteStore
from tests.store import children
from tests.store.builders import create, visible
from tests.store.workspace import GROUP, PERSON, Workspace, everything

KILLED = -9
FILE_TOO_LONG = -25
STATEMENT_KILLS, BYTE_KILLS = 15, 10


@pytest.fixture(scope="module")
def first_day(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the closed store of the first day and the extracts of the second."""
    space = Workspace(tmp_path_factory.mktemp("first"))
    space.first_day()
    assert space.run().state is TaskState.COMPLETED
    space.second_day()
    return space.folder


@pytest.fixture(scope="module")
def after(first_day: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[object, ...]:
    """All answers after a second day without failures."""
    space = copied(first_day, tmp_path_factory.mktemp("after"))
    assert space.run().state is TaskState.COMPLETED
    return asked(space)


@pytest.fixture(scope="module")
def statements(first_day: Path, tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """The first words of the statements of the second day's run."""
    space = copied(first_day, tmp_path_factory.mktemp("count"))
    assert children.ended(children.run_until_statement, space.folder, 0) == 0
    return (space.folder / "statements").read_text().split()


@pytest.fixture(scope="module")
def instants(statements: list[str]) -> list[int]:
    """The statements at which to kill: between all transactions, and spread over the rest."""
    found = [number for number, word in enumerate(statements, 1) if word == "BEGIN"]
    assert 3 < len(found) < STATEMENT_KILLS - 3
    others = STATEMENT_KILLS - len(found)
    return found + [1 + n * (len(statements) - 1) // (others - 1) for n in range(others)]


@pytest.fixture
def space(first_day: Path, tmp_path: Path) -> Workspace:
    """A copy of the first day's store for a test."""
    return copied(first_day, tmp_path)


def copied(folder: Path, into: Path) -> Workspace:
    shutil.copytree(folder, into / "space")
    return Workspace(into / "space")


def asked(space: Workspace) -> tuple[object, ...]:
    with space.engine() as engine:
        return everything(engine)


def harm_in(space: Workspace) -> list[str]:
    """Asserts that there is no damage, no state that differs from the log, and no half-done task."""
    with closing(sqlite3.connect(space.path)) as db:
        found = [row[0] for row in db.execute("PRAGMA integrity_check") if row[0] != "ok"]
        found += [f"violated: {row}" for row in db.execute("PRAGMA foreign_key_check")]
    with space.engine() as engine:
        for name in (PERSON, GROUP):
            state = {row.key: dict(row.values) for row in engine.export_resources(name)}
            if state != folded(engine, name):
                found.append(f"the state of {name} is not its log")
        made = Counter((change.run, change.event.cause.task) for change in engine.changes())
        for run in engine.runs():
            for task in run.tasks:
                if made[run.number, task.ordinal] != task.counts.changed:
                    found.append(f"run {run.number}, {task.identifier}: {task.counts.changed} counted, not all made")
    return found


def folded(engine: Engine, name: str) -> dict[str, dict[str, object]]:
    """Plain Python over the log."""
    state: dict[str, dict[str, object]] = {}
    for event in (change.event for change in engine.changes()):
        match event:
            case Created() if event.ref.entity_type == name:
                state[event.ref.key] = dict(event.values)
            case Updated() if event.ref.entity_type == name:
                state[event.ref.key] |= {n: change.after for n, change in event.updates.items()}
            case Deleted() if event.ref.entity_type == name:
                del state[event.ref.key]
    return state


# Kills


@pytest.mark.many
@pytest.mark.parametrize(
    "part", [pytest.param(part, marks=[pytest.mark.slow] * (part > 4)) for part in range(STATEMENT_KILLS)]
)  # a process each
def test_a_run_killed_at_any_statement_did_each_task_completely_or_not_at_all(
    space: Workspace, instants: list[int], after: tuple, part: int
) -> None:
    ended = children.ended(children.run_until_statement, space.folder, instants[part])

    is_near_the_end = instants[part] >= 0.9 * max(instants)
    assert ended == KILLED or (is_near_the_end and ended == 0)  # a run that renewed no lease asks for a few less
    assert harm_in(space) == []
    assert space.later().run().state is TaskState.COMPLETED
    assert asked(space) == after
    assert harm_in(space) == []


@pytest.mark.parametrize(
    "part", [pytest.param(part, marks=[pytest.mark.slow] * (part > 2)) for part in range(BYTE_KILLS)]
)
def test_a_run_killed_during_a_write_did_each_task_completely_or_not_at_all(
    space: Workspace, after: tuple, part: int
) -> None:
    limit = 33_000 + part * 12_345  # torn anywhere in a page of the write-ahead log

    assert children.ended(children.run_until_byte, space.folder, limit) == FILE_TOO_LONG

    assert harm_in(space) == []
    assert space.later().run().state is TaskState.COMPLETED
    assert asked(space) == after


def test_a_store_can_be_created_after_its_creation_was_killed(first_day: Path, tmp_path: Path, after: tuple) -> None:
    for last in (1, 5, 20, 31):
        space = copied(first_day, tmp_path / str(last))
        space.path.unlink()
        assert children.ended(children.run_until_statement, space.folder, last) == KILLED

        assert space.later().run().state is TaskState.COMPLETED
        assert harm_in(space) == []


def test_control_without_transactions_a_killed_run_leaves_half_a_task(
    first_day: Path, tmp_path: Path, statements: list[str]
) -> None:
    found = []
    for part in (2, 3, 4, 5):
        space = copied(first_day, tmp_path / str(part))
        process = children.CONTEXT.Process(
            target=children.run_until_statement,
            args=(space.folder, part * len(statements) // 8),
            kwargs={"transactions": False},
        )
        process.start()
        process.join(children.PATIENCE_S)
        found += harm_in(space)

    assert found


# Full disks


def limit_pages(engine: Engine, more: int | None) -> None:
    """Limits the growth of the store to a number of pages, or removes the limit."""
    store = engine._services.store
    assert isinstance(store, SQLiteStore)
    with store._datastore.get_connection(commit=True) as connection:
        (pages,) = connection.raw.execute("PRAGMA page_count").fetchone()  # type: ignore[attr-defined]
        limit = 2**30 if more is None else pages + more
        connection.raw.execute(f"PRAGMA max_page_count={limit}")  # type: ignore[attr-defined]


@pytest.fixture
def growing(tmp_path: Path) -> Workspace:
    """A store of a few people, and an extract of many."""
    space = Workspace(tmp_path)
    space.first_day()
    space.run()
    space.second_day(3_000)
    return space


@pytest.mark.many
@pytest.mark.parametrize("more", [2, 10, 40, 100])
def test_a_full_disk_fails_the_task_and_the_store_continues_once_there_is_space(
    growing: Workspace, tmp_path_factory: pytest.TempPathFactory, more: int
) -> None:
    with growing.engine() as engine:
        before = everything(engine)
        limit_pages(engine, more)

        run = engine.run_job("Nightly")

        assert run.state is TaskState.FAILED
        (message,) = run.tasks[0].messages
        assert "store.db: the disk is full. What was being written was undone. Free some space" in message
        assert [task.state for task in run.tasks[1:]] == [TaskState.SKIPPED] * 2
        assert everything(engine) == before
        limit_pages(engine, None)
        assert engine.run_job("Nightly").state is TaskState.COMPLETED
    assert harm_in(growing) == []
    assert len(everything_people(growing)) == 3_000


def everything_people(space: Workspace) -> set[str]:
    with space.engine() as engine:
        return {row.key for row in engine.export_resources(PERSON)}


def run_again_and_again(engine: Engine) -> None:
    """Each record takes some of the space that is left in the last pages."""
    for _ in range(200):
        engine.run_job("Nightly")


def test_a_disk_too_full_to_record_the_run_is_reported_at_once(growing: Workspace) -> None:
    with growing.engine() as engine:
        before = everything(engine)
        limit_pages(engine, 0)
        with pytest.raises(StoreError, match=r"the disk is full.*Free some space"):
            run_again_and_again(engine)
        limit_pages(engine, None)

        assert everything(engine) == before
        assert engine.run_job("Nightly").state is TaskState.COMPLETED
    assert harm_in(growing) == []


@pytest.mark.parametrize("more", [0, 40])
def test_a_dry_run_on_a_full_disk_leaves_no_trace(growing: Workspace, more: int) -> None:
    with growing.engine() as engine:
        before, runs = everything(engine), engine.runs()
        limit_pages(engine, more)

        try:
            told = "\n".join(m for task in engine.run_job("Nightly", dry_run=True).tasks for m in task.messages)
        except StoreError as error:
            told = str(error)

        assert "the disk is full" in told
        assert (everything(engine), engine.runs()) == (before, runs)
        limit_pages(engine, None)
        assert engine.run_job("Nightly", dry_run=True).state is TaskState.COMPLETED
        assert (everything(engine), engine.runs()) == (before, runs)
        assert engine.run_job("Nightly").state is TaskState.COMPLETED


@pytest.mark.parametrize("limit", [34_000, 60_000, 110_000, 165_000])
def test_a_write_that_fails_during_a_commit_fails_the_task_and_damages_nothing(
    space: Workspace, after: tuple, limit: int
) -> None:
    assert children.ended(children.run_where_files_end_at, space.folder, limit) == 0

    told = (space.folder / "told").read_text("utf-8")
    assert told.startswith(("failed\n", "StoreError\n"))
    assert "the disk is full" in told or "reading or writing failed (SQLITE_IOERR_WRITE)" in told
    assert (space.folder / "again").read_text() == "completed"
    assert asked(space) == after
    assert harm_in(space) == []


# Locks


@pytest.fixture
def holder(tmp_path: Path, clock: Callable) -> Iterator[Path]:
    """A store whose write lock another process holds."""
    path = tmp_path / "store.db"
    SQLiteStore(path, clock).close()
    holding, release = children.CONTEXT.Event(), children.CONTEXT.Event()
    process = children.started(children.hold, path, holding, release)
    assert holding.wait(children.PATIENCE_S)
    yield path
    release.set()
    process.join(children.PATIENCE_S)
    assert process.exitcode == 0


def test_another_writing_process_is_reported_after_the_timeout(holder: Path, clock: Callable) -> None:
    store = SQLiteStore(holder, clock, lock_timeout_s=1)
    before = visible(store)  # reading needs no lock

    with (
        pytest.raises(
            ConcurrentRun,
            match=r"more than 1 seconds: process \d+ on .*\. Nothing was changed\. Wait until its run has ended",
        ),
        store.transaction() as tx,
    ):
        create(tx, PERSON, {"1": {}})

    assert visible(store) == before
    store.close()


def test_a_lock_of_another_program_is_reported_after_the_timeout(tmp_path: Path, clock: Callable) -> None:
    store = SQLiteStore(tmp_path / "store.db", clock, lock_timeout_s=1)
    with closing(sqlite3.connect(tmp_path / "store.db", isolation_level=None)) as stranger:
        stranger.execute("BEGIN IMMEDIATE")
        with pytest.raises(ConcurrentRun, match="another process holds a lock on it"), store.transaction() as tx:
            create(tx, PERSON, {"1": {}})

    with store.transaction() as tx:
        create(tx, PERSON, {"1": {}})
    store.close()


# Permissions


@pytest.fixture
def guarded(first_day: Path) -> Iterator[Workspace]:
    """A store in a folder that any user can open, unlike the folders of tests."""
    with tempfile.TemporaryDirectory() as folder:
        os.chmod(folder, 0o755)  # noqa: S103
        space = copied(first_day, Path(folder))
        space.path.with_name("store.db.lock").unlink(missing_ok=True)
        if os.getuid() == 0:
            for path in (space.folder, *space.folder.iterdir()):
                os.chown(path, 65534, 65534)
        yield space
        os.chmod(space.folder, 0o755)  # noqa: S103


def told_to_nobody(space: Workspace) -> list[str]:
    receiving, sending = children.CONTEXT.Pipe(duplex=False)
    process = children.started(children.use_as_nobody, space.folder, sending)
    sending.close()
    process.join(children.PATIENCE_S)
    told = []
    while receiving.poll():
        try:
            told.append(receiving.recv())
        except EOFError:
            break
    assert process.exitcode == 0, told
    return told


def test_control_an_unprivileged_user_may_use_its_own_store(guarded: Workspace) -> None:
    position, state = told_to_nobody(guarded)

    assert position.isdigit()
    assert state == "completed"


def test_191_a_store_without_read_permission_is_refused(guarded: Workspace) -> None:
    guarded.path.chmod(0)

    assert all("store.db: permission denied. Name a file that you may read" in told for told in told_to_nobody(guarded))


def test_191_a_store_without_write_permission_is_read_and_a_job_is_refused_with_the_reason(guarded: Workspace) -> None:
    before = guarded.path.read_bytes()
    guarded.path.chmod(0o444)

    position, told = told_to_nobody(guarded)

    assert position.isdigit()
    assert "store.db is read-only: its file may not be written. Nothing was changed." in told
    assert guarded.path.read_bytes() == before


def test_191_a_store_in_a_folder_without_write_permission_is_read_and_a_job_is_refused(guarded: Workspace) -> None:
    before = guarded.path.read_bytes()
    guarded.folder.chmod(0o555)

    position, told = told_to_nobody(guarded)

    assert position.isdigit()
    assert "store.db is read-only: nothing may be written in its folder" in told
    assert guarded.path.read_bytes() == before
