"""The store in memory: shared by what one engine does, gone with it."""

from __future__ import annotations

import gc
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from deltamark import Engine, StoreError, StoreMissing, TaskState
from deltamark.infrastructure.store.sqlite import memory
from deltamark.infrastructure.store.sqlite.memory import MemoryStore
from tests.airports import configuration

IN_MEMORY = ("sqlite://", "sqlite:///:memory:")


@pytest.fixture
def exports(tmp_path: Path) -> Path:
    folder = tmp_path / "exports"
    folder.mkdir()
    write(folder, "EFHK", "LSZH")
    return folder


def write(folder: Path, *keys: str) -> None:
    names = ",".join(["icao", *(f"{name}" for name in ("iata", "name", "city", "subd", "country"))])
    rest = "elevation,lat,lon,tz,lid"
    rows = "".join(f"{key},,{key},,,,1,2,3,,\n" for key in keys)
    (folder / "airports.csv").write_text(f"{names},{rest}\n{rows}")


def opened(exports: Path, url: str = "sqlite://") -> Engine:
    return Engine.open(url, configuration=configuration(), export_output=exports)


def folder_of(engine: Engine) -> Path:
    store = engine._services.store
    assert isinstance(store, MemoryStore)
    return store._folder.path


@pytest.mark.parametrize("url", IN_MEMORY)
def test_everything_works_in_memory_and_is_gone_when_it_is_closed(url: str, exports: Path, tmp_path: Path) -> None:
    with opened(exports, url) as engine:
        folder = folder_of(engine)
        assert engine.run_job("Load").state is TaskState.COMPLETED
        write(exports, "EFHK", "LFPG")
        assert engine.run_job("Load", dry_run=True).counts.changed == 2
        assert engine.run_job("Load").counts.changed == 2
        assert [change.kind for change in engine.history("Airport", "LSZH")] == ["created", "deleted"]
        assert engine.replay().verified.is_sound
        assert engine.verify().is_sound
        engine.backup(tmp_path / "copy.db")
        engine.replay(f"sqlite:///{tmp_path}/into.db")
        changes = [change.position for change in engine.changes()]

    assert not folder.exists()
    for file in ("copy.db", "into.db"):
        with opened(exports, f"sqlite:///{tmp_path}/{file}") as lasting:
            assert [change.position for change in lasting.changes()] == changes
    assert {path.name for path in tmp_path.iterdir()} >= {"copy.db", "into.db"}


def test_two_engines_share_nothing(exports: Path) -> None:
    with opened(exports) as first, opened(exports) as second:
        first.run_job("Load")

        assert len(list(first.changes())) == 2
        assert list(second.changes()) == []


def test_all_threads_of_an_engine_see_one_store(exports: Path) -> None:
    with opened(exports) as engine, ThreadPoolExecutor(4) as threads:
        threads.submit(engine.run_job, "Load").result()

        assert list(threads.map(lambda _: engine.resource("Airport", "EFHK").values["name"], range(8))) == ["EFHK"] * 8


def test_a_job_runs_while_the_log_is_read(exports: Path) -> None:
    with opened(exports) as engine:
        engine.run_job("Load")
        reading = engine.changes()
        first = next(reading)
        write(exports, "EFHK")

        assert engine.run_job("Load").counts.deleted == 1
        assert [first.kind, *(change.kind for change in reading)] == ["created", "created"]


def test_a_store_that_nobody_closes_is_gone_with_its_engine(exports: Path) -> None:
    engine = opened(exports)
    engine.run_job("Load")
    folder = folder_of(engine)

    del engine
    gc.collect()

    assert not folder.exists()


def test_a_store_that_was_not_closed_is_gone_with_its_process() -> None:
    program = """
from deltamark import Configuration, Engine
engine = Engine.open("sqlite://", configuration=Configuration())
folder = engine._services.store._folder.path
print(folder, folder.exists())
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    folder, existed = done.stdout.split()

    assert existed == "True"
    assert not Path(folder).exists()


def test_a_forked_process_leaves_the_store_alone(exports: Path) -> None:
    with opened(exports) as engine:
        engine.run_job("Load")
        child = os.fork()
        if not child:
            engine.close()
            engine._services.store._folder.close()
            os._exit(0)
        os.waitpid(child, 0)

        assert engine.verify().is_sound


def test_it_lies_elsewhere_where_memory_has_too_little_room(
    exports: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(memory, "_ENOUGH", 1 << 62)
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    with opened(exports) as engine:
        engine.run_job("Load")

        assert folder_of(engine).parent == tmp_path
        assert engine.verify().is_sound
    assert [path.name for path in tmp_path.iterdir()] == ["exports"]


def test_what_must_last_is_not_put_into_memory(exports: Path) -> None:
    with opened(exports) as engine:
        engine.run_job("Load")
        for until in (None, engine.position()):
            with pytest.raises(StoreError, match=r"^sqlite:// is a store in memory, .* Name a file, such as"):
                engine.replay("sqlite://", until=until)


def test_there_is_none_to_open_without_making_one() -> None:
    with pytest.raises(StoreMissing, match="a store in memory, which is always a new one"):
        Engine.open("sqlite://", configuration=configuration(), create=False)


@pytest.mark.parametrize("url", [":memory:", "sqlite:///", "sqlite:", "sqlite::memory:", "sqlite://memory"])
def test_a_url_that_is_nearly_one_says_what_to_write(url: str) -> None:
    with pytest.raises(StoreError, match=r"sqlite:// for a store in memory"):
        Engine.open(url, configuration=configuration())
