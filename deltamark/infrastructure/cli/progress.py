"""What a run shows while it goes on."""

from __future__ import annotations

import sys

from rich.console import Console
from rich.progress import Progress, SpinnerColumn, TaskID, TextColumn, TimeElapsedColumn
from rich.text import Text

from deltamark.application.run_job import Observer
from deltamark.domain.job import TaskState
from deltamark.domain.run import Counts, TaskRun

_STYLES = {
    TaskState.COMPLETED: "green",
    TaskState.WARNING: "yellow",
    TaskState.SKIPPED: "dim",
    TaskState.BLOCKED: "magenta",
    TaskState.FAILED: "red",
}


def counted(counts: Counts) -> str:
    """What a task did, in words: only what is not zero."""
    words = (
        (counts.read, "read"),
        (counts.inserted, "inserted"),
        (counts.updated, "updated"),
        (counts.deleted, "deleted"),
        (counts.linked, "linked"),
        (counts.unlinked, "unlinked"),
        (counts.set_aside, "set aside"),
        (counts.flagged, "flagged"),
        (counts.computed, "computed"),
        (counts.written, "written"),
    )
    return ", ".join(f"{number:,} {word}" for number, word in words if number) or "nothing to do"


def line_of(task: TaskRun) -> str:
    """How a task ended, in one line."""
    if task.state is TaskState.SKIPPED:
        return f"{task.identifier}: {'; '.join(task.messages)}"
    return f"{task.identifier}: {task.state.value}, {counted(task.counts)} ({task.seconds:.2f} s)"


class RunProgress(Observer):
    """On a terminal a line that lives while a task runs; in a pipe a line when it has ended.

    Everything goes to standard error: standard output is for results.
    """

    def __init__(self) -> None:
        self._console = Console(file=sys.stderr, highlight=False)
        self._live: Progress | None = None
        self._id: TaskID | None = None

    def task_started(self, run: int, task: TaskRun) -> None:
        """See `Observer.task_started`."""
        if not self._console.is_terminal:
            return
        self._live = Progress(
            SpinnerColumn(),
            TextColumn("{task.description}", markup=False),
            TimeElapsedColumn(),
            console=self._console,
            transient=True,
        )
        self._live.start()
        self._id = self._live.add_task(task.identifier, total=None)

    def task_ended(self, run: int, task: TaskRun) -> None:
        """See `Observer.task_ended`."""
        if self._live is not None:
            self._live.stop()
            self._live = None
        if self._console.is_terminal:
            self._console.print(Text(line_of(task), style=_STYLES.get(task.state, "")), soft_wrap=True)
            if task.state is not TaskState.SKIPPED:
                for message in task.messages:
                    self._console.print(Text(f"  {message}"), soft_wrap=True)
            return
        sys.stderr.write(line_of(task) + "\n")
        if task.state is not TaskState.SKIPPED:
            for message in task.messages:
                sys.stderr.write(f"  {message}\n")
        sys.stderr.flush()
