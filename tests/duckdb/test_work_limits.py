"""Databases have the limits of the process, and write what does not fit into memory where the settings say."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from deltamark import Configuration, Engine, UsageError
from deltamark.bootstrap import change_work_limits
from deltamark.domain.work_limits import WorkLimits
from deltamark.infrastructure.duckdb.connection import Workbench
from deltamark.infrastructure.extracts.connection import extract_connection
from deltamark.infrastructure.system.temporary_files import temporary_folder
from deltamark.infrastructure.system.work_limits import use_work_limits, work_limits


@pytest.fixture(autouse=True)
def _same_limits_afterwards() -> Iterator[None]:
    before = work_limits()
    yield
    use_work_limits(before)


def limits_of(connection) -> tuple[str, int, Path]:
    memory, threads, place = connection.sql(
        """SELECT current_setting('memory_limit'), current_setting('threads'), current_setting('temp_directory')"""
    ).fetchall()[0]
    return memory, threads, Path(place)


def test_databases_have_the_limits_of_the_process(tmp_path):
    change_work_limits("300MB", 3, tmp_path)

    with (
        Workbench().connection() as comparing,
        Workbench(threads=1).connection() as few,
        extract_connection() as reading,
    ):
        found = [limits_of(connection) for connection in (comparing, few, reading)]

    assert [(memory, threads) for memory, threads, _ in found] == [
        ("286.1 MiB", 3), ("286.1 MiB", 1), ("286.1 MiB", 3),
    ]  # fmt: skip
    assert {place.parent.parent for _, _, place in found} == {tmp_path}
    assert {folder.stat().st_mode & 0o777 for folder in tmp_path.iterdir()} == {0o700}


def test_one_limit_is_changed_and_the_others_are_kept(tmp_path):
    before = work_limits()

    with Engine.open("sqlite://", configuration=Configuration(), export_output=tmp_path, threads=4):
        assert work_limits() == WorkLimits(memory=before.memory, threads=4, temporary=before.temporary)


def test_what_does_not_fit_into_memory_is_written_to_the_chosen_folder(tmp_path, monkeypatch):
    working = tmp_path / "working"
    working.mkdir()
    monkeypatch.chdir(working)
    chosen = tmp_path / "chosen"
    chosen.mkdir()
    change_work_limits("40MB", 1, chosen)

    with Workbench().connection() as db:
        db.execute(
            "CREATE TEMP TABLE large AS SELECT n, md5(n::VARCHAR) || md5((-n)::VARCHAR) AS t FROM range(800_000) r (n)"
        )
        spilled = [path for path in chosen.rglob("*") if path.is_file()]

    assert spilled
    change_work_limits("1GB", 2, None)
    assert list(working.iterdir()) == []


def test_temporary_folders_are_made_in_the_chosen_folder_even_if_its_name_was_relative(tmp_path, monkeypatch):
    (tmp_path / "chosen").mkdir()
    monkeypatch.chdir(tmp_path)
    change_work_limits(None, None, Path("chosen"))
    monkeypatch.chdir("/")

    with temporary_folder() as folder:
        assert folder.parent == tmp_path / "chosen"
    assert list((tmp_path / "chosen").iterdir()) == []


@pytest.mark.parametrize(
    ("memory", "threads", "temporary", "expected"),
    [
        ("much", None, None, 'memory is "much"; write a size such as "500MB" or "2GB"'),
        (None, 0, None, 'threads is "0"; write a whole number from 1 to 1,024'),
        (None, None, Path("nowhere"), "nowhere. is not a folder that this process may write to"),
    ],
)
def test_a_limit_that_is_none_is_refused_and_changes_nothing(memory, threads, temporary, expected):
    before = work_limits()

    with pytest.raises(UsageError, match=expected):
        change_work_limits(memory, threads, temporary)

    assert work_limits() == before
