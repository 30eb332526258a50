"""Jobs in a process of their own that run again and again, with other extracts each time."""

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
    """The view of other processes on the running jobs."""

    def __init__(self, acknowledged: Queue[int]) -> None:
        self._acknowledged = acknowledged

    def wait(self) -> int:
        """Waits for the end of one more job, and returns the newest position acknowledged by then."""
        return self._acknowledged.get(timeout=children.PATIENCE_S)


@contextmanager
def nights(space: Workspace) -> Iterator[Nights]:
    """Runs jobs one after another during the block."""
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
    """Takes a report from the queue, so that the process that writes it can end."""
    if not acknowledged.empty():
        acknowledged.get()


def run_nights(folder: Path, url: str, acknowledged: Queue[int], stop: Event) -> None:
    """Runs the job until stopped, twice with each engine, so that the store is closed again and again."""
    space = Workspace(folder, url)
    while not stop.is_set():
        with space.engine() as engine:
            for day in (space.first_day, space.second_day):
                day(PEOPLE)
                assert engine.run_job("Nightly").state.value == "completed"
                acknowledged.put(engine.position())


def back_up_where_files_end_at(folder: Path, limit: int, overwrite: bool) -> None:
    """Makes a backup where no file can grow beyond a limit, and records the outcome."""
    with Workspace(folder).engine(create=False) as engine:
        engine.position()
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, resource.RLIM_INFINITY))
        try:
            told = str(engine.backup(folder / "copies" / "copy.db", overwrite=overwrite).size)
        except DeltamarkError as error:
            told = f"{type(error).__name__}: {error}"
        resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    (folder / "told").write_text(told, "utf-8")
