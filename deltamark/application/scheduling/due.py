"""Due times: which jobs have a schedule, and when they start next."""

from __future__ import annotations

from datetime import UTC, datetime

from deltamark.application.services import LocalZone
from deltamark.domain.configuration.configuration import Configuration
from deltamark.domain.configuration.cron import next_firing
from deltamark.domain.configuration.jobs import Job


def scheduled_jobs(configuration: Configuration) -> tuple[Job, ...]:
    """The jobs that have a schedule, in document order."""
    return tuple(job for job in configuration.jobs if job.cron_tab_expression is not None)


def timing_of(job: Job) -> str:
    """The schedule of a job as text: its expression and its time zone."""
    return f"{job.cron_tab_expression} {'server time' if job.cron_time_zone else 'UTC'}"


def next_due(job: Job, after: datetime, local: LocalZone) -> datetime | None:
    """The first due time of a job after a time, in UTC, or None where there is none.

    :param local: the time zone of this machine, asked for only where the job uses it.
    :raises UsageError: if the job uses the time zone of this machine, and that cannot be determined.
    """
    if job.cron_tab_expression is None:
        return None
    return next_firing(job.cron_tab_expression, after, local() if job.cron_time_zone else UTC)
