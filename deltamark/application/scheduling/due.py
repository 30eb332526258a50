"""Which jobs have a schedule, and when they are due."""

from __future__ import annotations

from datetime import UTC, datetime

from deltamark.application.services import LocalZone
from deltamark.domain.configuration.configuration import Configuration
from deltamark.domain.configuration.cron import next_firing
from deltamark.domain.configuration.jobs import Job

"""Gives the time zone of this machine; asked only for jobs that go by it."""


def scheduled_jobs(configuration: Configuration) -> tuple[Job, ...]:
    """The jobs that a schedule starts, in document order."""
    return tuple(job for job in configuration.jobs if job.cron_tab_expression is not None)


def timing_of(job: Job) -> str:
    """What says when a job is due: the expression, and whose clock it speaks of."""
    return f"{job.cron_tab_expression} {'server time' if job.cron_time_zone else 'UTC'}"


def next_due(job: Job, after: datetime, local: LocalZone) -> datetime | None:
    """When a job is due first, later than a time; UTC. None where it never is.

    :raises UsageError: if it goes by the time zone of this machine, and that cannot be told.
    """
    if job.cron_tab_expression is None:
        return None
    return next_firing(job.cron_tab_expression, after, local() if job.cron_time_zone else UTC)
