"""Phrases that messages share, and reserved names of jobs."""

from __future__ import annotations

RETAIN = "*retain*"
"""The job name of runs that discard changes. The names of their tasks, and of no others, begin with it."""

ERASE = "*erase*"
"""The job name of runs that erase a resource, and the name of their task."""


def how_many(count: int, noun: str) -> str:
    """Returns a count with its noun: `1 row`, `2,000 rows`."""
    return f"{count:,} {noun}{'' if count == 1 else 's'}"


def discarded_by(task: str, run: int) -> str:
    """Returns what discarded changes, and why, for messages that end with `discarded by …`."""
    if task.startswith(RETAIN):
        return f"a retention in run {run}"
    return f"task {task} in run {run} (DoNotDeleteChanges is false there)"
