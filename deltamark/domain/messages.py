"""Phrases that messages share, and reserved names of jobs."""

from __future__ import annotations

RETAIN = "*retain*"
"""The job name of runs that discard changes. The names of their tasks, and of no others, begin with it."""

ERASE = "*erase*"
"""The job name of runs that erase a resource, and the name of their task."""

ADOPT = "*adopt*"
"""The job name of runs that only adopt a configuration; the name of their task, and of any adoption as a cause."""

DECOMMISSION = "*decommission*"
"""The job name of runs that decommission what nothing feeds any more, and the name of their task."""

FORGET_PLACE = "*forget place*"
"""The job name of runs that forget the place in a source, and the name of their task."""

REPLAY = "*replay*"
"""The job name of the run that a replay up to a moment ends with, where discards and erasures of later had removed
something of the log up to there."""

_RECORDING = "*record:"


def recording_of(connector: str) -> str:
    """Returns the job name of runs that record single changes of a connector."""
    return f"{_RECORDING}{connector}*"


def is_recording(job: str) -> bool:
    """Whether a job name is that of runs that record single changes."""
    return job.startswith(_RECORDING)


def how_many(count: int, noun: str) -> str:
    """Returns a count with its noun: `1 row`, `2,000 rows`."""
    return f"{count:,} {noun}{'' if count == 1 else 's'}"


def discarded_by(task: str, run: int) -> str:
    """Returns what discarded changes, and why, for messages that end with `discarded by …`."""
    if task.startswith(RETAIN):
        return f"a retention in run {run}"
    return f"task {task} in run {run} (DoNotDeleteChanges is false there)"
