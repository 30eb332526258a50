"""Schedule: when jobs are due next, how their last runs ended, and whether the schedule is kept."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime

from attrs import field, frozen
from litestar import get
from litestar.response import Template

from deltamark.application.scheduling.health import Health, JobHealth
from deltamark.domain.configuration.cron import next_firing
from deltamark.domain.configuration.jobs import Job
from deltamark.domain.fields import as_tuple
from deltamark.engine import Engine
from deltamark.interfaces.http.authentication import ROLE
from deltamark.interfaces.http.console.pages.answers import page
from deltamark.interfaces.http.dependencies import TheEngine, TheUser
from deltamark.interfaces.http.users import Role

NEXT = 5


@frozen(kw_only=True)
class ScheduledJob:
    """A job that has a schedule, with its next due times.

    :param times: empty where its zone is that of the machine of the scheduler: only the next one is known then.
    """

    job: Job
    health: JobHealth
    times: tuple[datetime, ...] = field(converter=as_tuple)


@frozen(kw_only=True)
class SchedulePage:
    """The jobs that have a schedule, and the others."""

    health: Health
    jobs: tuple[ScheduledJob, ...] = field(converter=as_tuple)
    others: tuple[Job, ...] = field(converter=as_tuple)


def schedule_of(engine: Engine, now: datetime) -> SchedulePage:
    """The schedule from a time on."""
    health = engine.health()
    by_name = {job.identifier: job for job in engine.configuration.jobs}
    return SchedulePage(
        health=health,
        jobs=[
            ScheduledJob(job=by_name[each.job], health=each, times=list(_next_times(by_name[each.job], each, now)))
            for each in health.jobs
        ],
        others=[job for job in by_name.values() if job.cron_tab_expression is None],
    )


def _next_times(job: Job, health: JobHealth, now: datetime) -> Iterator[datetime]:
    if health.next_at is not None:
        yield health.next_at
    if job.cron_tab_expression is None or job.cron_time_zone:
        return
    after = max(now, health.next_at or now)
    for _ in range(NEXT - 1):
        following = next_firing(job.cron_tab_expression, after, UTC)
        if following is None:
            return
        yield following
        after = following


@get("/schedule", opt={ROLE: Role.READER}, sync_to_thread=True)
def schedule(engine: TheEngine, user: TheUser) -> Template:
    """When jobs are due."""
    return page("schedule.html", engine, user, "Schedule", shown=schedule_of(engine, datetime.now(UTC)))


ROUTES = (schedule,)
