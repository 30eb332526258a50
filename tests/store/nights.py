"""Nights that go on in a process of their own: the job runs again and again, with other extracts each time."""

from __future__ import annotations

import resource
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing.queues import Queue
from multiprocessing.synchronize import Event
from pathlib import Path

from deltamark import DeltamarkError
from tests.store import children
from tests.store.workspace import Workspace

PEOPLE = 60


class Nights:
    """What others hear of the nights that go on."""

    def __init__(self, acknowledged: Queue[int]) -> None:
        self._acknowledged = acknowledged

    def wait(self) -> int:
        """Waits for the end of one more night; gives the newest position that was acknowledged by then."""
        return self._acknowledged.get(timeout=children.PATIENCE_S)


@contextmanager
def nights(space: Workspace) -> Iterator[Nights]:
    """A block during which night follows night."""
    acknowledged: Queue[int] = children.CONTEXT.Queue(maxsize=2)
    stop = children.CONTEXT.Event()
    process = children.started(run_nights, space.folder, space.url, acknowledged, stop)
    try:
        yield Nights(acknowledged)
    finally:
        stop.set()
        while process.is_alive():
            with_one_night_less(acknowledged)
            process.join(0.05)
    assert process.exitcode == 0


def with_one_night_less(acknowledged: Queue[int]) -> None:
    """Makes room, so that whoever wants to tell of a night can do so and end."""
    if not acknowledged.empty():
        acknowledged.get()


def run_nights(folder: Path, url: str, acknowledged: Queue[int], stop: Event) -> None:
    """Runs the job until told to stop: two nights through one engine, so that the store is closed again and again."""
    space = Workspace(folder, url)
    while not stop.is_set():
        with space.engine() as engine:
            for day in (space.first_day, space.second_day):
                day(PEOPLE)
                assert engine.run_job("Nightly").state.value == "completed"
                acknowledged.put(engine.position())


def back_up_where_files_end_at(folder: Path, limit: int, overwrite: bool) -> None:
    """Makes a backup where no file can grow beyond a limit; notes what came of it."""
    with Workspace(folder).engine(create=False) as engine:
        engine.position()
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, resource.RLIM_INFINITY))
        try:
            told = str(engine.backup(folder / "copies" / "copy.db", overwrite=overwrite).size)
        except DeltamarkError as error:
            told = f"{type(error).__name__}: {error}"
        resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    (folder / "told").write_text(told, "utf-8")
