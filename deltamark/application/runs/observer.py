"""Observers of a run."""

from __future__ import annotations

from collections.abc import Callable
from threading import Lock

from attrs import evolve

from deltamark.application.runs.recorder import RunRecorder
from deltamark.application.services import TaskProgress
from deltamark.domain.errors import UsageError
from deltamark.domain.runs.run import TaskRun


class Observer:
    """Receives what a run does.

    This one ignores it.

    Tasks that run at the same time call it from threads of their own, one after another: never two calls at once.
    """

    def task_started(self, run: int, task: TaskRun) -> None:
        """Called when a task begins."""

    def task_progressed(self, run: int, task: TaskRun) -> None:
        """Called when a task reports progress: see `task.progress` and `task.counts`."""

    def task_ended(self, run: int, task: TaskRun) -> None:
        """Called when a task ended or was skipped."""


def checked(observer: Observer | None) -> Observer:
    """The observer of a caller, or one that does nothing.

    :raises UsageError: if it lacks a method of `Observer`.
    """
    if observer is None:
        return Observer()
    methods = [name for name in vars(Observer) if name.startswith("task_")]
    if not all(callable(getattr(observer, name, None)) for name in methods):
        raise UsageError(f"an observer has the methods of deltamark.Observer; {type(observer).__name__} has not.")
    return observer


class GuardedObserver:
    """Calls an observer until it raises, and keeps what it raised."""

    def __init__(self, observer: Observer, record: RunRecorder) -> None:
        self._observer = observer
        self._record = record
        self._turn = Lock()
        self._known: dict[int, TaskRun] = {}
        self._is_observed = type(observer) is not Observer
        self.error: BaseException | None = None
        """The error that the observer raised."""

    def started(self, ordinal: int) -> BaseException | None:
        """Reports that a task begins, and returns the error that the observer raised."""
        return self._call(self._observer.task_started, lambda: self._looked_up(ordinal))

    def progressed(self, ordinal: int, progress: TaskProgress) -> None:
        """A task reports progress. Does not read the store: it may be called inside a transaction."""
        if ordinal in self._known:
            task = evolve(self._known[ordinal], progress=progress.words, counts=progress.counts)
            self._call(self._observer.task_progressed, lambda: task)

    def ended(self, ordinal: int) -> None:
        """A task ended."""
        self._call(self._observer.task_ended, lambda: self._looked_up(ordinal))

    def _looked_up(self, ordinal: int) -> TaskRun:
        self._known[ordinal] = self._record.task(ordinal)
        return self._known[ordinal]

    def _call(self, method: Callable[[int, TaskRun], None], task: Callable[[], TaskRun]) -> BaseException | None:
        with self._turn:
            if self._is_observed:
                try:
                    method(self._record.number, task())
                except BaseException as e:
                    self._is_observed = False
                    self.error = e
                    return e
        return None
