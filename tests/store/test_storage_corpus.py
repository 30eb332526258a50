"""Damaged, foreign and unusual storage files (tests/corpus/storage) are reported clearly and not changed."""

from __future__ import annotations

import os
import random
import re
import shutil
import socket
import sqlite3
import sys
import tomllib
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from deltamark import DeltamarkError, StoreError, TaskState
from deltamark.infrastructure.store.migrations import STEPS
from deltamark.infrastructure.store.sqlite.connection import PAGE_BYTES
from tests.store.workspace import Workspace, ask_everything

CORPUS = Path(__file__).parent.parent / "corpus" / "storage" / "expected.toml"
CASES = tomllib.loads(CORPUS.read_text("utf-8"))["case"]
BUILT = [case for case in CASES if case.get("applies", True) and "test" not in case]
PAGE = PAGE_BYTES

Build = Callable[[Path], None]
BUILDERS: dict[str, Build] = {}


def builds(identifier: str) -> Callable[[Build], Build]:
    """Registers a function that makes a case of the corpus from a good store at a path."""

    def register(build: Build) -> Build:
        BUILDERS[identifier] = build
        return build

    return register


def executed(path: Path, *statements: str, **pragmas: object) -> None:
    """Runs SQL on a database, past Deltamark."""
    with closing(sqlite3.connect(path, isolation_level=None)) as db:
        for name, value in pragmas.items():
            db.execute(f"PRAGMA {name}={value}")
        for statement in statements:
            db.execute(statement)


def overwritten(path: Path, offset: int, data: bytes) -> None:
    with path.open("r+b") as file:
        file.seek(offset)
        file.write(data)


def instead(path: Path, content: bytes) -> None:
    path.unlink()
    path.write_bytes(content)


def dice(seed: int) -> random.Random:
    """The same random numbers every time."""
    return random.Random(seed)


def sql(identifier: str, *statements: str, **pragmas: object) -> None:
    """A case made by executing statements on a good store, past Deltamark."""
    BUILDERS[identifier] = lambda path: executed(path, *statements, **pragmas)


# 191: what is no file, and what leads to none


@builds("directory")
def _(path: Path) -> None:
    path.unlink()
    path.mkdir()


@builds("fifo")
def _(path: Path) -> None:
    path.unlink()
    os.mkfifo(path)


@builds("socket")
def _(path: Path) -> None:
    path.unlink()
    here = os.getcwd()
    os.chdir(path.parent)  # the name of a socket is short
    try:
        with closing(socket.socket(socket.AF_UNIX)) as listener:
            listener.bind(path.name)
    finally:
        os.chdir(here)


@builds("dangling-link")
def _(path: Path) -> None:
    path.unlink()
    path.symlink_to("nowhere.db")


@builds("link-to-itself")
def _(path: Path) -> None:
    path.unlink()
    path.symlink_to(path)


@builds("link-to-a-store")
def _(path: Path) -> None:
    path.rename(path.with_name("real.db"))
    path.symlink_to("real.db")


@builds("lock-is-a-directory")
def _(path: Path) -> None:
    path.with_name("store.db.lock").unlink(missing_ok=True)
    path.with_name("store.db.lock").mkdir()


ELSEWHERE = {
    "missing-folder": "nowhere/store.db",
    "file-for-a-folder": "people.csv/store.db",
    "name-too-long": "x" * 300,
}
for name in ELSEWHERE:
    BUILDERS[name] = lambda path: None


# 192 to 195: what is no store


BUILDERS["zero-bytes"] = lambda path: instead(path, b"")
BUILDERS["text"] = lambda path: instead(path, b"id,name\n1,Ann\n")
BUILDERS["random-bytes"] = lambda path: instead(path, dice(7).randbytes(3 * PAGE))
BUILDERS["only-the-first-16-bytes-of-a-database"] = lambda path: instead(path, b"SQLite format 3\0")
BUILDERS["text-that-begins-like-a-database"] = lambda path: instead(path, b"SQLite format 3\0" + b"is on disk " * 2000)


@builds("database-of-another-application")
def _(path: Path) -> None:
    path.unlink()
    executed(path, "CREATE TABLE moz_places (id INTEGER PRIMARY KEY, url TEXT)")


@builds("database-of-another-application-with-an-id")
def _(path: Path) -> None:
    path.unlink()
    executed(path, "CREATE TABLE gpkg_contents (x)", application_id=0x47504B47, user_version=10300)


@builds("database-of-another-application-in-use")
def _(path: Path) -> None:
    """Leaves the files like a killed program: with a write-ahead log."""
    path.unlink()
    with closing(sqlite3.connect(path, isolation_level=None)) as db:
        db.execute("CREATE TABLE moz_places (id INTEGER PRIMARY KEY, url TEXT)")
        db.execute("PRAGMA journal_mode=WAL")
        db.execute("INSERT INTO moz_places (url) VALUES ('about:blank')")
        wal = path.with_name("store.db-wal").read_bytes()
    path.with_name("store.db-wal").write_bytes(wal)


@builds("database-without-tables")
def _(path: Path) -> None:
    path.unlink()
    executed(path, "VACUUM", journal_mode="WAL")


sql("newer-version", user_version=STEPS[-1].version + 1)


# 199 to 202: files cut, missing, or of others


BUILDERS["last-page-cut-off"] = lambda path: os.truncate(path, path.stat().st_size - PAGE)
BUILDERS["cut-in-half"] = lambda path: os.truncate(path, path.stat().st_size // 2)


def with_log(path: Path) -> bytes:
    """Leaves the store like a killed process, with commits only in the write-ahead log, and returns that log."""
    space = Workspace(path.parent)
    with closing(sqlite3.connect(path)) as holder:  # the last one to close would empty the log
        holder.execute("SELECT count(*) FROM runs").fetchone()
        space.first_day()
        space.run()
        log = path.with_name("store.db-wal").read_bytes()
        main = path.read_bytes()
    path.write_bytes(main)
    path.with_name("store.db-wal").write_bytes(log)
    return log


@builds("wal-missing")
def _(path: Path) -> None:
    with_log(path)
    path.with_name("store.db-wal").unlink()


@builds("wal-cut-off")
def _(path: Path) -> None:
    log = with_log(path)
    path.with_name("store.db-wal").write_bytes(log[: len(log) * 2 // 3 + 77])


@builds("wal-garbage")
def _(path: Path) -> None:
    path.with_name("store.db-wal").write_bytes(dice(7).randbytes(5 * PAGE))


@builds("wal-is-a-directory")
def _(path: Path) -> None:
    path.with_name("store.db-wal").mkdir()


@builds("shm-garbage")
def _(path: Path) -> None:
    with_log(path)
    path.with_name("store.db-shm").write_bytes(dice(7).randbytes(32768))


@builds("journal-of-another-database")
def _(path: Path) -> None:
    other = path.with_name("other.db")
    executed(other, "CREATE TABLE t (x)", "INSERT INTO t SELECT value FROM json_each('[1,2,3]')")
    with closing(sqlite3.connect(other, isolation_level=None)) as db:
        db.execute("PRAGMA cache_size=1")
        db.execute("PRAGMA cache_spill=1")
        db.execute("BEGIN IMMEDIATE")
        db.execute(
            "INSERT INTO t WITH RECURSIVE n(x) AS (SELECT 1 UNION ALL SELECT x+1 FROM n LIMIT 9000) SELECT x FROM n"
        )
        shutil.copy(other.with_name("other.db-journal"), path.with_name("store.db-journal"))
        db.execute("ROLLBACK")
    other.unlink()


# 203 to 210: rows altered


EVENT = "(SELECT min(notification_id) FROM stored_events WHERE topic='c1')"
sql("event-bad-json", f"UPDATE stored_events SET state=CAST('{{\"a\":1' AS BLOB) WHERE notification_id={EVENT}")
sql("event-wrong-shape", f"UPDATE stored_events SET state=CAST('[1]' AS BLOB) WHERE notification_id={EVENT}")
sql("event-empty-state", f"UPDATE stored_events SET state=x'' WHERE notification_id={EVENT}")
sql(
    "event-of-10-megabytes",
    f"""UPDATE stored_events SET state=CAST(json_set(CAST(state AS TEXT), '$.v.Name',
    replace(hex(zeroblob(5000000)), '0', 'x')) AS BLOB) WHERE notification_id={EVENT}""",
)
sql("state-bad-json", "UPDATE resources SET state='{\"Name\":' WHERE key='P5'")
sql("state-is-no-text", "UPDATE resources SET state=x'ff00fe' WHERE key='P5'")
sql("key-is-no-utf-8", "UPDATE resources SET key=CAST(x'50ff35' AS TEXT) WHERE key='P5'")
for name, topic in {
    "topic-unknown": "c9",
    "topic-of-a-function": "os:system",
    "topic-of-a-module-with-effects": "this:s",
    "topic-empty": "",
    "topic-of-10-kilobytes": "x" * 10_240,
}.items():
    # `changes` asks for the topics that it knows; who folds a stream meets all of them
    sql(name, f"UPDATE stored_events SET topic='{topic}' WHERE notification_id={EVENT}")
OF_P7 = "originator_id=(SELECT stream FROM resources WHERE key='P7')"
sql("version-gap", f"DELETE FROM stored_events WHERE {OF_P7} AND originator_version=1")
sql("version-negative", f"UPDATE stored_events SET originator_version=-1 WHERE {OF_P7} AND originator_version=1")
sql("run-without-its-start", "DELETE FROM stored_events WHERE topic='rs1' AND notification_id<5")
sql("position-gap", "DELETE FROM stored_events WHERE topic='ts1'", "UPDATE sqlite_sequence SET seq=seq+1000")
sql("position-sequence-lost", "DELETE FROM sqlite_sequence")
sql(
    "position-at-the-end-of-all-numbers",
    "UPDATE stored_events SET notification_id=9223372036854775807 WHERE notification_id="
    "(SELECT max(notification_id) FROM stored_events)",
)
sql("place-ahead-of-the-log", "UPDATE places SET position=999999")
sql("time-in-the-future", "UPDATE store SET last_at=221843246400000000")  # in the year 8999
sql("time-beyond-the-calendar", "UPDATE store SET last_at=9223372036854775807")
sql("store-row-missing", "DELETE FROM store")
for name, at in {"event-in-year-1": "-62135596800000000", "event-at-no-time": "'today'"}.items():
    sql(
        name,
        f"""UPDATE stored_events SET state=CAST(json_set(CAST(state AS TEXT), '$.a', {at}) AS BLOB)
        WHERE notification_id={EVENT}""",
    )
sql(
    "snapshot-of-an-old-class",
    "INSERT INTO snapshots SELECT stream, version, 1, 's0', x'7b7d', 0 FROM resources WHERE key='P5'",
)


# 213: schemas that would act


sql("trigger", "CREATE TRIGGER sneaky AFTER INSERT ON runs BEGIN DELETE FROM resources; END")
sql("view", "CREATE VIEW sneaky AS SELECT * FROM resources")
sql("table-dropped", "DROP TABLE links")


@builds("check-that-calls-a-function")
def _(path: Path) -> None:
    executed(
        path,
        "PRAGMA writable_schema=ON",
        """UPDATE sqlite_master SET sql=replace(sql, 'first INTEGER NOT NULL',
        'first INTEGER NOT NULL CHECK (load_extension(''evil'') IS NULL)') WHERE name='runs'""",
    )


@pytest.fixture(scope="module")
def good(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a good store of two runs, closed."""
    space = Workspace(tmp_path_factory.mktemp("good"))
    space.first_day()
    space.run()
    space.second_day()
    space.run()
    assert not space.path.with_name("store.db-wal").exists()
    return space.folder


@pytest.fixture
def space(good: Path, tmp_path: Path) -> Workspace:
    """A copy of the good store, to be damaged."""
    folder = tmp_path / "space"
    shutil.copytree(good, folder)
    return Workspace(folder)


def everything_in(folder: Path) -> dict[str, object]:
    """Every file with its content, except for the lock."""
    return {
        path.name: os.readlink(path)
        if path.is_symlink()
        else path.read_bytes()
        if path.is_file()
        else path.lstat().st_mode
        for path in folder.iterdir()
        if path.name != "store.db.lock"
    }


def used(space: Workspace) -> str | None:
    """Opens a store, asks everything and runs the job twice; gives the words of what went wrong first, or None.

    Whatever is wrong must be told as a `DeltamarkError`, or as the message of a task that failed.
    """
    wrong: list[str] = []
    with space.later().engine() as engine:
        for use in (ask_everything, *2 * (lambda engine: engine.run_job("Nightly"),)):
            try:
                run = use(engine)
            except DeltamarkError as error:
                wrong.append(str(error))
            else:
                wrong += (
                    [m for task in run.tasks if task.state is TaskState.FAILED for m in task.messages] if run else []
                )
    return "\n".join(wrong) or None


@pytest.mark.many
@pytest.mark.parametrize("case", BUILT, ids=[case["id"] for case in BUILT])
def test_a_storage_file_of_the_corpus_has_the_documented_outcome(space: Workspace, case: dict) -> None:
    BUILDERS[case["id"]](space.path)
    if case["id"] in ELSEWHERE:
        space.url = f"sqlite:///{space.folder}/{ELSEWHERE[case['id']]}"
    modules = set(sys.modules)
    before = everything_in(space.folder)

    if case["outcome"] == "refuse":
        with pytest.raises(StoreError, match=case["message"]):
            space.engine()
        assert everything_in(space.folder) == before
    elif case["outcome"] == "fail":
        told = used(space)
        assert told is not None
        assert re.search(case["message"], told), told
    else:
        assert used(space) is None
        assert case["why"]
    assert not {"this", "antigravity"} & (set(sys.modules) - modules)


def test_every_case_of_the_corpus_is_built_or_has_a_reason_not_to_be() -> None:
    assert {case["id"] for case in BUILT} == set(BUILDERS)
    for case in CASES:
        assert case.get("applies", True) or case["why"]
        assert case.get("test") is None or callable(globals()[case["test"]])
    assert {number for case in CASES for number in case["numbers"]} == set(range(191, 217))


def spoilt(space: Workspace, good: Path, offset: int, data: bytes, tell: list[str]) -> None:
    """Uses the store with some bytes overwritten; every failure must be reported by an error of Deltamark."""
    for leftover in space.folder.glob("store.db*"):
        leftover.unlink()
    shutil.copy(good / "store.db", space.path)
    overwritten(space.path, offset, data)
    before = everything_in(space.folder)
    try:
        engine = space.engine()
    except StoreError as error:
        tell.append(str(error))
        assert everything_in(space.folder) == before
        return
    with engine:
        try:
            ask_everything(engine)
        except DeltamarkError as error:
            tell.append(str(error))


@pytest.mark.slow  # flips every bit of a page
def test_197_any_flipped_bit_of_the_first_page_is_harmless_or_reported(space: Workspace, good: Path) -> None:
    page = (good / "store.db").read_bytes()[:PAGE]
    die = dice(197)
    tell: list[str] = []
    flips = [(byte, bit) for byte in range(100) for bit in (die.randrange(8),)]
    flips += [(die.randrange(100, PAGE), die.randrange(8)) for _ in range(20)]

    for byte, bit in flips:
        spoilt(space, good, byte, bytes([page[byte] ^ 1 << bit]), tell)

    assert len(tell) > 20
    assert not [words for words in tell if "Traceback" in words or len(words) > 600]


@pytest.mark.slow  # seconds, for what flipped bits show as well
def test_198_any_overwritten_page_is_harmless_or_reported(space: Workspace, good: Path) -> None:
    size = (good / "store.db").stat().st_size
    die = dice(198)
    tell: list[str] = []

    for page in range(size // PAGE):
        spoilt(space, good, page * PAGE, die.randbytes(PAGE), tell)
    for _ in range(40):
        spoilt(space, good, die.randrange(PAGE, size - 16), die.randbytes(16), tell)

    assert len(tell) > size // PAGE // 2
    assert not [words for words in tell if "Traceback" in words or len(words) > 600]


def test_205_a_version_is_refused_a_second_time(space: Workspace) -> None:
    with pytest.raises(sqlite3.IntegrityError, match="UNIQUE"):
        executed(space.path, f"UPDATE stored_events SET originator_version=2 WHERE {OF_P7}")
