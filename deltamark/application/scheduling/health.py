"""Health: whether the schedule is kept, no connector is left out and what is stored is fed, for monitoring."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime, timedelta

from attrs import field, frozen

from deltamark.application.adoption.unfed import unfed
from deltamark.application.ports.queries import Reading
from deltamark.application.ports.records import Schedule
from deltamark.application.runs.named_lease import SCHEDULER
from deltamark.application.scheduling.due import next_due, scheduled_jobs, timing_of
from deltamark.application.services import Services
from deltamark.application.synchronization.hold_back import held_back_connectors
from deltamark.domain.adoption.unfed import Unfed, undecided
from deltamark.domain.configuration.jobs import Job, TaskState
from deltamark.domain.errors import to_the_second
from deltamark.domain.fields import as_tuple
from deltamark.domain.next_steps import NextAction, NextStep, waiting_adoption_steps
from deltamark.domain.runs.outcomes import decisions_about
from deltamark.domain.runs.run import JobRun, LeftOut

OVERDUE = timedelta(minutes=1)
"""A job that was due so long ago, while nothing else ran, is overdue."""

_SEARCHED = 100
"""How many runs are searched for the last one of each job, besides those that the schedule started."""

_BAD_ENDS = (TaskState.FAILED, TaskState.BLOCKED, TaskState.ABORTED)


@frozen(kw_only=True)
class JobHealth:
    """The state of a job that has a schedule.

    :param last: its last run; None before the first.
    :param next_at: when it is due, or was due and did not start; None where it never is.
    """

    job: str
    last: JobRun | None
    next_at: datetime | None


@frozen(kw_only=True)
class Health:
    """Whether the schedule is kept, no connector is left out, and what is stored is fed.

    `problems` is empty where all is well.

    :param has_scheduler: whether some scheduler is at work.
    :param held_back: the connectors whose changes a run holds back until a person decides: incremental jobs leave them
        out.
    :param unfed: what the store holds and nothing feeds any more; what is frozen on purpose is no problem.
    :param next_steps: what may be done about the problems.
    """

    has_scheduler: bool
    jobs: tuple[JobHealth, ...] = field(converter=as_tuple)
    problems: tuple[str, ...] = field(converter=as_tuple)
    next_steps: tuple[NextStep, ...] = field(converter=as_tuple, default=())
    held_back: tuple[LeftOut, ...] = field(converter=as_tuple, default=())
    unfed: tuple[Unfed, ...] = field(converter=as_tuple, default=())

    @property
    def is_well(self) -> bool:
        """Whether nothing is wrong."""
        return not self.problems


def health(services: Services, *, writable: bool) -> Health:
    """The state of the schedule, of the connectors whose changes are held back, and of what nothing feeds any more.

    :param writable: whether to check that the store can be written; nothing is written.
    :raises StoreError: if it cannot be written.
    """
    from deltamark.application.adoption.plan import adoption_waits_because  # with pyarrow, which help does not need

    if writable:
        services.store.renew_leases(0, 0.0)  # there is no run 0; does not wait for other writers
    scheduled, now = scheduled_jobs(services.configuration), services.clock()
    with services.store.reading() as reading:
        leads = any(lease.is_live for lease in reading.leases([SCHEDULER]))
        schedules = {schedule.job: schedule for schedule in reading.schedules()}
        last, is_running = _last_runs(reading, scheduled, schedules)
        held_back = held_back_connectors(reading, services.configuration)
        waits_because = adoption_waits_because(services, reading)
        no_longer_fed = unfed(reading, services)
    jobs = [_job_health(services, job, schedules.get(job.identifier), last, now) for job in scheduled]
    problems = [] if leads or not scheduled else ["no scheduler is at work"]
    for job in jobs:
        problems += _problems(job, now, may_wait=is_running or not leads)
    problems += [f"{left_out.reason}. It {left_out.advice}" for left_out in held_back]
    problems += [
        f"{group.text}. Feed it again, delete it, or freeze it on purpose" for group in undecided(no_longer_fed)
    ]
    if waits_because is not None:
        problems.append(f"the configuration was changed, and no run starts until a person adopts it: {waits_because}")
    return Health(
        has_scheduler=leads,
        jobs=jobs,
        problems=problems,
        next_steps=(
            *_next_steps(jobs, held_back, leads=leads),
            *(waiting_adoption_steps() if waits_because is not None else ()),
            *(NextStep(NextAction.DECOMMISSION, group.name) for group in undecided(no_longer_fed)),
        ),
        held_back=held_back,
        unfed=no_longer_fed,
    )


def overdue_jobs(services: Services, reading: Reading) -> list[tuple[str, datetime]]:
    """The jobs that were due and not started while nothing else ran, each with when it was due."""
    scheduled, now = scheduled_jobs(services.configuration), services.clock()
    schedules = {schedule.job: schedule for schedule in reading.schedules()}
    if not schedules or any(run > 0 for run in reading.live_runs()):
        return []
    found = []
    for job in scheduled:
        due_at = _due_at(services, job, schedules.get(job.identifier), now)
        if _is_overdue(due_at, now):
            assert due_at is not None, "it has a time"
            found.append((job.identifier, due_at))
    return found


def _is_overdue(due_at: datetime | None, now: datetime) -> bool:
    return due_at is not None and now - due_at > OVERDUE


def _next_steps(jobs: Sequence[JobHealth], held_back: Sequence[LeftOut], *, leads: bool) -> Iterator[NextStep]:
    if jobs and not leads:
        yield NextStep(NextAction.START_SCHEDULER)
    for job in jobs:
        if job.last is not None and job.last.state in _BAD_ENDS:
            yield NextStep(NextAction.SHOW_RUN, job.last.number)
    yield from decisions_about(held_back)


def _last_runs(
    reading: Reading, jobs: Sequence[Job], schedules: Mapping[str, Schedule]
) -> tuple[dict[str, JobRun], bool]:
    """The last run of each job, and whether some run is going on."""
    newest = [summary.run for summary in reading.runs(_SEARCHED)]
    last = {run.job: run for run in newest}
    for job in jobs:
        schedule = schedules.get(job.identifier)
        if job.identifier not in last and schedule is not None and schedule.run is not None:
            summary = reading.run(schedule.run, with_rows=False)
            if summary is not None:
                last[job.identifier] = summary.run
    return last, any(run.state is TaskState.RUNNING for run in newest)


def _job_health(
    services: Services, job: Job, schedule: Schedule | None, last: Mapping[str, JobRun], now: datetime
) -> JobHealth:
    return JobHealth(job=job.identifier, last=last.get(job.identifier), next_at=_due_at(services, job, schedule, now))


def _due_at(services: Services, job: Job, schedule: Schedule | None, now: datetime) -> datetime | None:
    is_known = schedule is not None and schedule.timing == timing_of(job)
    handled_to = schedule.handled_to if schedule is not None and is_known else now
    return next_due(job, handled_to, services.local_zone)


def _problems(job: JobHealth, now: datetime, *, may_wait: bool) -> Iterator[str]:
    if job.last is not None and job.last.state in _BAD_ENDS:
        number, state = job.last.number, job.last.state.value
        yield f"the last run of job {job.job}, {number}, is {state}"
    if job.next_at is not None and not may_wait and _is_overdue(job.next_at, now):
        yield (
            f"job {job.job} was due at {to_the_second(job.next_at)} and was not started. See what the scheduler says; "
            "does it run this configuration?"
        )
