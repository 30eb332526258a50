"""Words that messages share."""

from __future__ import annotations

RETAIN = "*retain*"
"""The job under which retentions stand among the runs; so begin the names of their tasks, and no others."""

ERASE = "*erase*"
"""The job under which erasures stand among the runs, and the name of its task."""


def how_many(count: int, noun: str) -> str:
    """A count with its noun: `1 row`, `2,000 rows`."""
    return f"{count:,} {noun}{'' if count == 1 else 's'}"


def discarded_by(task: str, run: int) -> str:
    """Who discarded changes, and why: after `discarded by`."""
    if task.startswith(RETAIN):
        return f"a retention in run {run}"
    return f"task {task} in run {run} (DoNotDeleteChanges is false there)"
