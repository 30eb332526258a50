"""A store whose file, or write-ahead log, is deleted or replaced under an open engine: no run is called completed."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from deltamark import Engine, StoreError, TaskState
from deltamark.infrastructure.store.sqlite import store as sqlite_store
from deltamark.infrastructure.store.sqlite.store_files import StoreFiles
from tests.store.company import Company, configuration


def delete(file: Path) -> None:
    file.unlink()


def delete_all(file: Path) -> None:
    for each in file.parent.glob(f"{file.name}*"):
        each.unlink()


def replace(file: Path) -> None:
    shutil.copy(file, f"{file}.copy")
    Path(f"{file}.copy").replace(file)


def replace_all(file: Path) -> None:
    for each in list(file.parent.glob(f"{file.name}*")):
        shutil.copy(each, f"{each}.copy")
        Path(f"{each}.copy").replace(each)


def move_away(file: Path) -> None:
    file.rename(file.with_name("moved.db"))


def lose_log(file: Path) -> None:
    Path(f"{file}-wal").unlink()


def replace_log(file: Path) -> None:
    replace(Path(f"{file}-wal"))


HARM = (delete, delete_all, replace, replace_all, move_away, lose_log, replace_log)
Harm = Callable[[Path], None]


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "s.db"


@pytest.fixture
def company(tmp_path: Path) -> Company:
    return Company(tmp_path / "exports", seed=3)


@pytest.fixture
def engine(file: Path, company: Company, tmp_path: Path):
    with Engine.open(f"sqlite:///{file}", configuration=configuration(), export_output=tmp_path / "exports") as engine:
        company.complete_day()
        engine.run_job("Complete", force=True)
        company.complete_day()
        yield engine


@pytest.mark.many
@pytest.mark.parametrize("harm", HARM)
def test_the_next_run_is_refused(engine: Engine, file: Path, harm: Harm) -> None:
    harm(file)

    with pytest.raises(
        StoreError, match=r"(deleted|replaced by another one) while this process had it open"
    ) as refused:
        engine.run_job("Complete", force=True)
    assert "backup" not in str(refused.value)


@pytest.mark.many
@pytest.mark.parametrize("harm", HARM)
@pytest.mark.parametrize("moment", ["finish", "commit"])
def test_a_run_is_not_called_completed_when_it_happens_around_a_commit(
    engine: Engine, file: Path, harm: Harm, moment: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    happened = []
    name = {"finish": "UNDONE", "commit": "LOST"}[moment]
    check = StoreFiles.check

    def harmed(self: StoreFiles, effect: str) -> None:
        if effect == getattr(sqlite_store, name) and not happened:
            happened.append(True)
            harm(file)
        check(self, effect)

    monkeypatch.setattr(StoreFiles, "check", harmed)

    with pytest.raises(StoreError, match="while this process had it open"):
        engine.run_job("Complete", force=True)
    assert happened


def test_what_was_committed_is_saved_when_only_the_log_was_deleted(engine: Engine, file: Path, tmp_path: Path) -> None:
    position = engine.position()
    lose_log(file)
    with pytest.raises(StoreError, match=r"s\.db-wal"):
        engine.run_job("Complete", force=True)
    shutil.copy(file, tmp_path / "copy.db")

    with Engine.open(
        f"sqlite:///{tmp_path}/copy.db", configuration=configuration(), export_output=tmp_path / "exports"
    ) as other:
        assert other.position() == position
        assert other.verify().is_sound


@pytest.mark.parametrize("harm", [delete_all, replace])
def test_control_without_the_check_a_run_that_is_gone_is_called_completed(
    engine: Engine, file: Path, harm: Harm, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(StoreFiles, "check", lambda self, effect: None)
    harm(file)

    assert engine.run_job("Complete", force=True).state in (TaskState.COMPLETED, TaskState.WARNING)


def test_a_store_behind_a_link_and_one_that_is_shrunk_are_still_themselves(
    file: Path, company: Company, tmp_path: Path
) -> None:
    (tmp_path / "link.db").symlink_to(file)
    file.touch()
    company.complete_day()
    with Engine.open(
        f"sqlite:///{tmp_path}/link.db", configuration=configuration(), export_output=tmp_path / "exports"
    ) as engine:
        engine.run_job("Complete", force=True)
        engine._services.store.shrink()
        assert engine.run_job("Complete", force=True).number == 2
