"""Processes that run the job and are killed, or race for it."""

from __future__ import annotations

import os
import signal
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from deltamark.infrastructure.store.views import StoreWriting
from tests.crash.company import JOB, continued, opened
from tests.crash.statements import Count, every_statement

PATIENCE_S = 60
LEASE_S = 0.2
"""So short that nobody has to wait until a killed run is taken for dead."""


def die(*_: object) -> None:
    """Nothing is closed, flushed or given back."""
    os.kill(os.getpid(), signal.SIGKILL)


def run(url: str, folder: Path, at_statement: int, told: Connection) -> None:
    """Says that it begins, runs the job, or goes on with it, and says that it ended.

    Dies at the statement of that number, if it is not 0.
    """
    with every_statement(Count(at_statement, die)), opened(url, folder, lease_s=LEASE_S) as engine:
        engine.position()
        told.send("begins")
        continued(engine)
        told.send("ended")


def run_and_commit_half(url: str, folder: Path) -> None:
    """A run of a store that commits in the midst of a task, and dies there: what must never happen."""
    append = StoreWriting.append_links

    def commit_and_die(self: StoreWriting, *arguments: Any) -> None:
        append(self, *arguments)
        self._db.execute("COMMIT")
        die()

    StoreWriting.append_links = commit_and_die  # type: ignore[method-assign]
    with opened(url, folder) as engine:
        engine.run_job(JOB)
