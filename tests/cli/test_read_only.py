"""A store that cannot be written is read, verified and backed up by every command that only reads."""

from __future__ import annotations

import ctypes
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from deltamark import Engine, StoreError
from deltamark.bootstrap import open_store
from tests.cli.workspace import Workspace

READING = (
    "runs",
    "runs 1 --format jsonl",
    "changes --format jsonl",
    "history HR_Person E1",
    "show HR_Person E1",
    "export HR_Person --format csv",
    "diff HR_Person --from 1 --to run:1",
    "dirty",
    "keys",
    "verify",
    "health",
    "jobs",
    "validate",
)
"""Commands that need nothing but a store that can be read."""

WRITING = (
    "run Incremental",
    "run Incremental --dry-run",
    "resume 1",
    "cancel 1",
    "replay",
    "erase HR_Person E1 --reason r",
)

CHILD = """
import contextlib, io, json, sys
from deltamark.interfaces.cli.main import status_of
answers = {}
for command in json.loads(sys.argv[1]):
    out, err = (io.TextIOWrapper(io.BytesIO(), encoding="utf-8") for _ in range(2))
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        status = status_of(command.split())
    for stream in (out, err):
        stream.flush()
    answers[command] = [status, *(stream.buffer.getvalue().decode() for stream in (out, err))]
print(json.dumps(answers))
"""

_OVERRIDES = (1, 2)
"""CAP_DAC_OVERRIDE and CAP_DAC_READ_SEARCH: with them, root writes whatever the permissions are."""

Answers = dict[str, tuple[int, str, str]]


def _bound_by_permissions() -> None:
    prctl = ctypes.CDLL(None).prctl
    for capability in _OVERRIDES if os.getuid() == 0 else ():
        if prctl(24, capability, 0, 0, 0):  # PR_CAPBSET_DROP
            os._exit(99)


def answers(folder: Path, commands: tuple[str, ...], store: str) -> Answers:
    """What these commands answer in a process that permissions bind: status, output, messages."""
    done = subprocess.run(
        [sys.executable, "-c", CHILD, json.dumps(commands)],
        cwd=folder,
        env={**os.environ, "DELTAMARK_STORE": store},
        capture_output=True,
        text=True,
        # A server may be reached through a folder of its own.
        preexec_fn=_bound_by_permissions if store.startswith("sqlite") else None,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return {command: (status, out, err) for command, (status, out, err) in json.loads(done.stdout).items()}


@pytest.fixture
def medium(two_days: Workspace, tmp_path: Path) -> Iterator[Path]:
    """A folder with the store of two days alone, which may be written until a test changes that."""
    folder = tmp_path / "medium"
    folder.mkdir()
    shutil.copy(path_of(two_days.store), folder / "store.db")
    yield folder
    folder.chmod(0o755)


def not_well(answers: Answers) -> set[str]:
    return {command for command, (status, _, _) in answers.items() if status != 0}


def path_of(store: str) -> Path:
    return Path(store.removeprefix("sqlite:///"))


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


SQLITE = pytest.mark.parametrize("new_store", ["sqlite"], indirect=True)


@pytest.mark.slow  # two processes with twenty commands
@SQLITE
@pytest.mark.parametrize(("of_file", "of_folder"), [(0o444, 0o555), (0o644, 0o555), (0o444, 0o755)])
def test_a_store_that_cannot_be_written_answers_as_one_that_can(two_days, medium, tmp_path, of_file, of_folder):
    store = f"sqlite:///{medium}/store.db"
    expected = answers(two_days.folder, READING, store)
    (medium / "store.db.lock").unlink(missing_ok=True)
    before = contents(medium)
    (medium / "store.db").chmod(of_file)
    medium.chmod(of_folder)

    seen = answers(two_days.folder, (*READING, f"backup {tmp_path}/copy.db", *WRITING), store)

    assert {command: seen[command] for command in READING} == expected
    assert not_well(expected) == {"health"}  # no scheduler is at work
    assert seen[f"backup {tmp_path}/copy.db"][0] == 0
    for command in WRITING:
        status, _, told = seen[command]
        assert (command, status) == (command, 2)
        assert "store.db is read-only: " in told
        assert "Nothing was changed. Make it writable, or back it up" in told
    assert contents(medium) == before
    (again,) = answers(two_days.folder, ("run Incremental",), f"sqlite:///{tmp_path}/copy.db").values()
    assert again[0] == 0


@pytest.fixture
def unfinished(two_days: Workspace, medium: Path) -> Path:
    """The medium with a store as it is while a process has it open: its newest run is in its write-ahead log."""
    (medium / "store.db").unlink()
    store = path_of(two_days.store)
    with Engine.open(two_days.store, configuration="configuration", export_output="exports") as engine:
        engine.run_job("Incremental")
        for ending in ("", "-wal", "-shm"):
            shutil.copy(f"{store}{ending}", medium / f"store.db{ending}")
    return medium


@pytest.mark.slow  # a run, and a process
@SQLITE
def test_a_write_ahead_log_on_a_read_only_medium_is_read_too(two_days, unfinished):
    unfinished.chmod(0o555)
    before = contents(unfinished)

    seen = answers(two_days.folder, ("runs --format jsonl", "verify"), f"sqlite:///{unfinished}/store.db")

    assert len(seen["runs --format jsonl"][1].splitlines()) == 3
    assert seen["verify"][0] == 0
    assert contents(unfinished).keys() == before.keys()
    assert all(contents(unfinished)[name] == before[name] for name in ("store.db", "store.db-wal"))


@SQLITE
def test_a_write_ahead_log_that_cannot_be_read_is_never_left_out_in_silence(two_days, unfinished):
    (unfinished / "store.db-shm").unlink()
    unfinished.chmod(0o555)

    ((status, out, told),) = answers(two_days.folder, ("runs",), f"sqlite:///{unfinished}/store.db").values()

    assert (status, out) == (2, "")
    assert "Copy store.db and store.db-wal to a folder that you may write to" in told


@SQLITE
def test_a_store_that_others_write_while_it_is_read_alone_is_not_misread(two_days, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr("deltamark.infrastructure.store.sqlite.read_only._cause", lambda path: "it is on a disc")
        store = open_store(two_days.store)

    with (
        closing(store),
        pytest.raises(StoreError, match="another process wrote to it while it was read"),
        store.reading(),
        Engine.open(two_days.store, configuration="configuration", export_output="exports") as engine,
    ):
        engine.run_job("Incremental")


@pytest.mark.slow  # two processes with twenty commands
@pytest.mark.parametrize("new_store", ["postgresql"], indirect=True)
def test_a_server_that_takes_no_writes_is_read_by_every_command(two_days):
    expected = answers(two_days.folder, READING, two_days.store)
    store = f"{two_days.store}&options=-c%20default_transaction_read_only%3Don"

    writing = [command for command in WRITING if command != "cancel 1"]  # the run has ended: there is nothing to write
    seen = answers(two_days.folder, (*READING, *writing), store)

    assert {command: seen[command] for command in READING} == expected
    assert not_well(expected) == {"health"}
    for command in writing:
        status, _, told = seen[command]
        assert (command, status) == (command, 2)
        assert "the server takes no writes: it is a standby, or default_transaction_read_only is on" in told
