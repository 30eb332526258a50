"""Processes that run jobs."""

from __future__ import annotations

from enum import Enum


class ProcessState(Enum):
    """What is known about the process of a run.

    Nothing is known of one on another machine or in another container, or where the system does not say it.
    """

    UNKNOWN = "unknown"
    RUNNING = "running"
    STOPPED = "stopped"
    ENDED = "ended"
