"""A file that finds no space is named, nothing is left of it, and what was there before stays."""

from __future__ import annotations

import os
import resource
import subprocess
import sys
from pathlib import Path

import pytest

from tests.cli.processes import COMMAND, LONGEST_S, environment

SMALL = 600
"""Bytes that a file may have: fewer than the files of a workspace have."""


def command(folder: Path, *arguments: str, limit: int | None) -> tuple[int, str]:
    """Runs the command where no file can grow beyond a limit; gives its status, and what it said."""

    def limited() -> None:
        if limit is not None:
            resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))

    done = subprocess.run(
        [*COMMAND, *arguments],
        cwd=folder,
        env=environment(),
        capture_output=True,
        text=True,
        preexec_fn=limited,
        timeout=LONGEST_S,
        check=False,
    )
    return done.returncode, done.stderr


def files(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}


def test_init_names_the_file_without_space_leaves_nothing_and_can_be_repeated(tmp_path):
    status, told = command(tmp_path, "init", "company", limit=SMALL)

    assert status == 2
    assert "cannot be written: File too large. Nothing is left of it. Free some space there" in told
    assert list(tmp_path.iterdir()) == []

    again, told = command(tmp_path, "init", "company", limit=None)

    assert again == 0, told
    assert "company/deltamark.toml" in files(tmp_path)


@pytest.mark.parametrize("new_store", ["sqlite"], indirect=True)
def test_a_backup_without_space_is_named_and_leaves_nothing(two_days, tmp_path):
    before = files(two_days.folder)

    status, told = command(two_days.folder, "backup", "copy.db", limit=40_000)

    assert status == 1
    assert "copy.db: the backup cannot be written: " in told
    assert "It was removed" in told
    assert files(two_days.folder) == before
    assert command(two_days.folder, "backup", "copy.db", limit=None)[0] == 0


def test_control_a_file_that_is_written_in_place_is_left_as_a_half(tmp_path):
    def limited() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (SMALL, SMALL))

    program = "open('half', 'wb', buffering=0).write(bytes(100)); open('half', 'ab').write(bytes(10_000))"
    subprocess.run([sys.executable, "-c", program], cwd=tmp_path, preexec_fn=limited, capture_output=True, check=False)

    assert 0 < os.path.getsize(tmp_path / "half") < 10_000
