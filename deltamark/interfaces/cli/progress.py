"""Progress of runs and copies on standard error."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from time import monotonic
from types import TracebackType
from typing import Self

from attrs import asdict
from rich.progress import BarColumn, Progress, SpinnerColumn, TaskID, TextColumn, TimeElapsedColumn
from rich.table import Column

from deltamark.application.runs.observer import Observer
from deltamark.domain.configuration.jobs import TaskState
from deltamark.domain.runs.run import TaskRun
from deltamark.interfaces.cli.streams import is_quiet, one_line, say
from deltamark.interfaces.cli.styles import with_sign
from deltamark.interfaces.cli.terminal import can_redraw, drawing_on

_LINES_S = 0.5
_PATIENCE_S = 1.0
"""Copies that take no longer show no progress."""


def line_of(task: TaskRun, name: str) -> str:
    """How a task ended, in one line.

    :param name: the name by which it is shown.
    """
    if task.state is TaskState.SKIPPED:
        return with_sign(f"{name}: {'; '.join(task.messages)}", task.state.value)
    return with_sign(f"{name}: {task.state.value} ({task.seconds:.2f} s)", task.state.value)


class RunProgress(Observer):
    """Shows each running task in a live line on a terminal.

    In a pipe, one line when it has ended.

    All of it goes to standard error: standard output is for results. Where standard error was closed, the run
    continues without it. Used in a `with` block, it leaves no half line behind, however the run ends.

    :param name_of: the name by which a task of that identifier is shown.
    :param announce: is given the number of the run when its first task begins or is skipped.
    """

    def __init__(self, name_of: Callable[[str], str], announce: Callable[[int], None] | None = None) -> None:
        self._name_of = name_of
        self._announce = announce
        self._is_quiet = is_quiet()  # now: tasks of one level end on threads of their own, which do not know it
        self._live: Progress | None = None
        self._lines: dict[int, TaskID] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._stop()

    def _say_number(self, run: int) -> None:
        announce, self._announce = self._announce, None
        if announce is not None:
            announce(run)

    def task_started(self, run: int, task: TaskRun) -> None:
        self._say_number(run)
        if self._is_quiet or not can_redraw(sys.stderr):
            return
        with suppress(OSError, ValueError):
            if self._live is None:
                self._live = self._begun()
            self._lines[task.ordinal] = self._live.add_task(one_line(self._name_of(task.identifier)), total=None)
            if not self._live.live.is_started:
                self._live.start()

    def task_progressed(self, run: int, task: TaskRun) -> None:
        if self._live is not None and task.ordinal in self._lines:
            with suppress(OSError, ValueError):
                self._live.update(self._lines[task.ordinal], description=one_line(self._description(task)))

    def task_ended(self, run: int, task: TaskRun) -> None:
        self._say_number(run)
        self._remove(task.ordinal)
        if self._is_quiet and task.state in (TaskState.COMPLETED, TaskState.SKIPPED):
            return
        with self._undisturbed():
            say(line_of(task, self._name_of(task.identifier)), task.state.value)
            if task.state is not TaskState.SKIPPED:
                for message in task.messages:
                    say("\n".join(f"  {line}" for line in message.split("\n")))

    def _begun(self) -> Progress:
        return Progress(
            SpinnerColumn(),
            TextColumn("{task.description}", markup=False, table_column=Column(no_wrap=True, overflow="ellipsis")),
            TimeElapsedColumn(),
            console=drawing_on(sys.stderr),
            transient=True,
            redirect_stdout=False,
            redirect_stderr=False,
        )

    def _description(self, task: TaskRun) -> str:
        """A task with its progress and its counts, in one line."""
        counts = ", ".join(
            f"{count:,} {name.replace('_', ' ')}" for name, count in asdict(task.counts).items() if count
        )
        return f"{self._name_of(task.identifier)}: {task.progress}" + (f" ({counts})" if counts else "")

    @contextmanager
    def _undisturbed(self) -> Iterator[None]:
        """A block that prints lines above those of the tasks that are running."""
        live = self._live
        if live is None:
            yield
            return
        with suppress(OSError, ValueError):
            live.stop()
        yield
        with suppress(OSError, ValueError):
            live.start()

    def _remove(self, ordinal: int) -> None:
        """Removes the line of a task.

        With the last one, the whole display.
        """
        line = self._lines.pop(ordinal, None)
        if not self._lines:
            self._stop()
        elif line is not None and self._live is not None:
            with suppress(OSError, ValueError):
                self._live.remove_task(line)

    def _stop(self) -> None:
        live, self._live = self._live, None
        self._lines.clear()
        if live is not None:
            with suppress(OSError, ValueError):
                live.stop()


class CopyProgress:
    """Shows a bar on a terminal for what takes longer than a second, and nothing in a pipe.

    :param as_lines: prints a line for programs in its place, at most twice a second: `progress: 1200 of 5000`.
    """

    def __init__(self, what: str, *, as_lines: bool = False) -> None:
        self._what = what
        self._as_lines = as_lines
        self._spoke_at = float("-inf")
        self._begun_at = monotonic()
        self._live: Progress | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        live, self._live = self._live, None
        if live is not None:
            with suppress(OSError, ValueError):
                live.stop()

    def __call__(self, done: int, total: int) -> None:
        """Updates the bar."""
        if self._as_lines:
            if monotonic() - self._spoke_at >= _LINES_S:
                self._spoke_at = monotonic()
                say(f"progress: {done} of {total}")
            return
        with suppress(OSError, ValueError):
            is_late = monotonic() - self._begun_at > _PATIENCE_S
            if self._live is None and is_late and not is_quiet() and can_redraw(sys.stderr):
                self._live = self._bar()
            if self._live is not None:
                self._live.update(self._live.task_ids[0], completed=done, total=total)

    def _bar(self) -> Progress:
        columns = (TextColumn("{task.description}", markup=False), BarColumn(), TimeElapsedColumn())
        bar = Progress(
            *columns,
            console=drawing_on(sys.stderr),
            transient=True,
            redirect_stdout=False,
            redirect_stderr=False,
        )
        bar.add_task(one_line(self._what))
        bar.start()
        return bar
