"""Processes that read a connection and apply what it delivered, and are killed at one step of it."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from deltamark import CannotResume, Configuration, TaskState, Thresholds
from deltamark.application.execution import task_types
from deltamark.application.pending_changes import apply
from deltamark.application.sources import places
from tests.crash.children import die
from tests.crash.statements import every_statement
from tests.scenarios.database_source import DatabaseSource, configuration

_FILES: tuple[tuple[Any, str], ...] = (
    (os, "open"),
    (os, "fsync"),
    (Path, "mkdir"),
    (Path, "rename"),
    (shutil, "rmtree"),
    (pq.ParquetWriter, "write_batch"),
    (pq.ParquetWriter, "close"),
)
"""What changes files of deliveries, or makes them last."""


@contextmanager
def every_step(met: Callable[[str], None]) -> Iterator[None]:
    """A block in which each statement of source and store, and each step with files of deliveries, is told before."""
    with pytest.MonkeyPatch.context() as patch, every_statement(lambda _, statement: met(statement)):
        for where, name in _FILES:
            patch.setattr(where, name, _telling(getattr(where, name), name, met))
        yield


def _telling(call: Callable[..., Any], name: str, met: Callable[[str], None]) -> Callable[..., Any]:
    def told(*arguments: Any, **options: Any) -> Any:
        met(name)
        return call(*arguments, **options)

    return told


class Steps:
    """Counts steps, and kills the process at the one of that number; 0 only counts."""

    def __init__(self, last: int) -> None:
        self.count = 0
        self._last = last

    def __call__(self, _: str) -> None:
        self.count += 1
        if self.count == self._last:
            die()


def run(url: str, folder: Path, at_step: int, resumes: bool, told: Connection) -> None:
    """Runs the job, or goes on with the run that was killed, and tells how many steps it took."""
    with DatabaseSource(url, folder, configuration()) as source:
        steps = Steps(at_step)
        with every_step(steps):
            run_or_resume(source, resumes=resumes)
        told.send(steps.count)


def run_or_resume(source: DatabaseSource, *, resumes: bool) -> None:
    """Goes on with the last run if it was killed and that is wanted, or runs the job."""
    last = source.engine.runs()[-1:]
    if resumes and last and last[0].state is TaskState.ABORTED:
        with suppress(CannotResume):  # only its end was missing
            source.engine.resume(last[0].number)
            return
    source.run()


def one_deletion() -> Configuration:
    """A configuration whose threshold holds back two deletions."""
    return configuration(Thresholds(maximum_deleted_lines=1))


def resume(url: str, folder: Path, at_step: int, told: Connection) -> None:
    """Applies what the last run held back, and tells how many steps it took."""
    with DatabaseSource(url, folder, one_deletion()) as source:
        steps = Steps(at_step)
        with every_step(steps):
            source.engine.resume(source.engine.runs()[-1].number)
        told.send(steps.count)


def resume_that_moves_the_place_first(url: str, folder: Path, at_step: int, told: Connection) -> None:
    """Applies what the last run held back, but its place moves in a transaction of its own: what must never be."""
    right = task_types.apply_pending

    def hasty(services: Any, task: Any, run: int, ordinal: int) -> Any:
        with services.store.transaction() as tx:
            pending = apply.pending_of(tx, run, ordinal)
            places.move_places(tx, pending.places, places.Origin(run, ordinal))
        die()
        return right(services, task, run, ordinal)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(task_types, "apply_pending", hasty)
        resume(url, folder, 0, told)


def run_that_moves_the_place_first(url: str, folder: Path, at_step: int, resumes: bool, told: Connection) -> None:
    """A run whose place moves in a transaction of its own, before what was delivered is applied: what must never be."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("deltamark.application.execution.task_types.synchronize", moves_the_place_and_dies("HR_Source"))
        run(url, folder, 0, False, told)


def moves_the_place_and_dies(connection: str) -> Callable[..., None]:
    """A synchronization that moves the place of a connection, and applies nothing."""

    def move_and_die(services: Any, *_: Any, **__: Any) -> None:
        with services.store.transaction() as tx:
            delivery = services.deliveries.newest(tx.epoch(), connection)
            places.move_places(tx, places.places_of([delivery], {}), places.Origin(1, 1))
        die()

    return move_and_die
