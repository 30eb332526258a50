"""What a user was told of must never be gone."""

from __future__ import annotations

from typing import Any

from deltamark import Engine, Observer, TaskRun
from tests.crash.company import ENDED_WELL

Kept = list[tuple[Any, ...]]


class Told(Observer):
    """Keeps the log as it is whenever a user is told that a task is completed."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._log: Kept = []

    def task_ended(self, run: int, task: TaskRun) -> None:
        if task.state in ENDED_WELL:
            self._log = _logged(self._engine)

    def lost_in(self, engine: Engine) -> Kept:
        """What somebody was told of that is not in the log, or not as it was."""
        found = _logged(engine)
        return [change for number, change in enumerate(self._log) if found[number : number + 1] != [change]]


def _logged(engine: Engine) -> Kept:
    return [(c.position, c.kind, str(c.event.ref), c.run, c.task) for c in engine.changes()]
