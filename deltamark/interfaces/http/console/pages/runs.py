"""Runs: the list, and one run with its tasks in time and as a picture, its messages and the rows it set aside."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime

from attrs import field, fields, frozen
from litestar import get, post
from litestar.params import FromPath, FromQuery
from litestar.response import Redirect, Stream, Template

from deltamark.domain.configuration.configuration import Configuration
from deltamark.domain.configuration.jobs import TaskState
from deltamark.domain.errors import UsageError
from deltamark.domain.fields import as_tuple
from deltamark.domain.runs.run import Counts, ExtractRead, JobRun, SetAside, TaskRun
from deltamark.domain.runs.task_calls import Group, all_calls, call_groups
from deltamark.engine import Engine
from deltamark.interfaces.http.authentication import ROLE
from deltamark.interfaces.http.console.charts import TaskInTime, tasks_in_time
from deltamark.interfaces.http.console.pages.answers import ROWS, Form, number_in, page, refuse_partial_sight
from deltamark.interfaces.http.console.pictures import Box, Graph, task_arrows
from deltamark.interfaces.http.console.rendering import render
from deltamark.interfaces.http.dependencies import TheEngine, TheHub, TheRuns, TheUser
from deltamark.interfaces.http.live import followed
from deltamark.interfaces.http.users import Role

_COUNTS = tuple(attribute.name for attribute in fields(Counts))
AT_WORK = (TaskState.PENDING, TaskState.RUNNING)

_LIST_LOOK_S = 5.0
"""How often a list is made anew though nothing was written: a run whose process is gone writes nothing."""


@frozen(kw_only=True)
class Runs:
    """A part of the list of runs, newest first.

    :param older: the number below which the next part begins; None at the end.
    :param startable: the jobs that users may start.
    """

    runs: tuple[JobRun, ...] = field(converter=as_tuple)
    older: int | None
    jobs: tuple[str, ...] = field(converter=as_tuple)
    startable: tuple[str, ...] = field(converter=as_tuple)
    job: str
    state: str
    states: tuple[str, ...] = tuple(state.value for state in TaskState)


@frozen(kw_only=True)
class Run:
    """What the page of one run shows.

    :param counts: the columns of the table of tasks: those that are not 0 in every task.
    :param in_time: the tasks that began, and `taken`, the seconds from the first to the last.
    :param waits: a task, and one that it waits for.
    :param more_set_aside: where the next rows begin; None at the end.
    """

    run: JobRun
    tasks: tuple[TaskRun, ...] = field(converter=as_tuple)
    counts: tuple[str, ...] = field(converter=as_tuple)
    in_time: tuple[TaskInTime, ...] = field(converter=as_tuple)
    taken: float
    picture: Graph
    waits: tuple[tuple[str, str], ...] = field(converter=as_tuple)
    extracts: tuple[ExtractRead, ...] = field(converter=as_tuple)
    set_aside: tuple[SetAside, ...] = field(converter=as_tuple)
    more_set_aside: int | None

    @property
    def is_going_on(self) -> bool:
        """Whether the run has not ended."""
        return self.run.state in AT_WORK


def runs_of(engine: Engine, *, before: int | None = None, job: str = "", state: str = "", limit: int = ROWS) -> Runs:
    """A part of the runs."""
    found = list(engine.runs(before=before, job=job or None, state=state or None, limit=limit + 1))
    shown = found[:limit]
    return Runs(
        runs=shown,
        older=shown[-1].number if len(found) > limit else None,
        jobs=sorted({job.identifier for job in engine.configuration.jobs} | {run.job for run in shown}),
        startable=[job.identifier for job in engine.configuration.jobs if not job.user_start_denied],
        job=job,
        state=state,
    )


def run_of(engine: Engine, number: int, now: datetime, after: int = 0) -> Run:
    """One run, as it is at a time.

    :param after: shows the rows set aside from there on, as the page before says.
    """
    run = engine.run(number, with_rows=False)
    tasks = run.tasks if run.adoption is None else (run.adoption, *run.tasks)
    placed, taken = tasks_in_time(run, now)
    rows = engine.set_aside(number, after=after, limit=ROWS) if run.counts.set_aside else None
    groups = _groups(run, engine.configuration)
    names = {call.ordinal: call.task.identifier for call in all_calls(groups)}
    return Run(
        run=run,
        tasks=tasks,
        counts=[name for name in _COUNTS if any(getattr(task.counts, name) for task in tasks)],
        in_time=placed,
        taken=taken,
        picture=Graph(
            boxes=[
                Box(name=str(task.ordinal), label=task.identifier, below=_in_brief(task), kind=task.state.value)
                for task in run.tasks
            ],
            arrows=list(task_arrows(groups)),
        ),
        waits=[(names[call.ordinal], names[parent]) for call in all_calls(groups) for parent in call.parents],
        extracts=[extract for task in tasks for extract in task.extracts],
        set_aside=[row.row for row in rows.rows] if rows is not None else (),
        more_set_aside=None if rows is None else rows.next,
    )


def _groups(run: JobRun, configuration: Configuration) -> tuple[Group, ...]:
    """The calls of its job, where the present configuration has the same ones; none where it was changed since."""
    job = configuration.job(run.job)
    groups = () if job is None else call_groups(configuration.called_by(job))
    called = [call.task.identifier for call in all_calls(groups)]
    return groups if called == [task.identifier for task in run.tasks] else ()


def _in_brief(task: TaskRun) -> str:
    return f"{task.state.value}, {task.counts.changed:,} changes" if task.counts.changed else task.state.value


@get("/runs", opt={ROLE: Role.READER}, sync_to_thread=True)
def runs(
    engine: TheEngine,
    user: TheUser,
    before: FromQuery[str | None] = None,
    job: FromQuery[str] = "",
    run_state: FromQuery[str] = "",
) -> Template:
    """The runs, newest first."""
    place = number_in(before, "the number of a run")
    shown = runs_of(engine, before=place, job=job, state=run_state)
    return page("runs.html", engine, user, "Runs", shown=shown, is_newest=place is None)


@get("/runs/live", opt={ROLE: Role.READER})
async def live_list(
    engine: TheEngine,
    user: TheUser,
    hub: TheHub,
    job: FromQuery[str] = "",
    run_state: FromQuery[str] = "",
    limit: FromQuery[str] = "",
) -> Stream:
    """The newest runs as a list, whenever it changed.

    :param limit: how many at most, up to those of a page.
    """
    refuse_partial_sight(user)
    most = min(max(number_in(limit, "the limit") or ROWS, 1), ROWS)
    await asyncio.to_thread(runs_of, engine, job=job, state=run_state, limit=1)  # refuses what does not exist

    def part() -> tuple[str, bool]:
        shown = runs_of(engine, job=job, state=run_state, limit=most)
        return render("_runs.html", shown=shown, user=user), False

    return followed(hub, part, _LIST_LOOK_S)


@get("/runs/{number:int}", opt={ROLE: Role.READER}, sync_to_thread=True)
def run(engine: TheEngine, user: TheUser, number: FromPath[int], after: FromQuery[str] = "") -> Template:
    """One run."""
    shown = run_of(engine, number, datetime.now(UTC), number_in(after, "the number of a row") or 0)
    return page("run.html", engine, user, "Runs", shown=shown)


@get("/runs/{number:int}/live", opt={ROLE: Role.READER})
async def live(engine: TheEngine, user: TheUser, hub: TheHub, number: FromPath[int]) -> Stream:
    """One run as it goes on: its page without the head, whenever that changed, until it has ended."""
    refuse_partial_sight(user)
    await asyncio.to_thread(engine.run, number, with_rows=False)  # refuses what does not exist before it begins

    def part() -> tuple[str, bool]:
        shown = run_of(engine, number, datetime.now(UTC))
        return render("_run.html", shown=shown, user=user), not shown.is_going_on

    return followed(hub, part)


@post("/runs", opt={ROLE: Role.OPERATOR}, sync_to_thread=True)
def start(user: TheUser, runs: TheRuns, data: Form) -> Redirect:
    """Starts a job, and goes to its run."""
    refuse_partial_sight(user)
    begun = runs.start(data.get("job", ""), user, reason=data.get("reason", "").strip() or None)
    return Redirect(f"/runs/{begun.number}", status_code=303)


@post("/runs/{number:int}", opt={ROLE: Role.OPERATOR}, sync_to_thread=True)
def decide(engine: TheEngine, user: TheUser, runs: TheRuns, number: FromPath[int], data: Form) -> Redirect:
    """Cancels a run that goes on, or resumes one that failed or was interrupted."""
    refuse_partial_sight(user)
    if engine.run(number, with_rows=False).state is TaskState.BLOCKED:
        raise UsageError(f"run {number} holds changes back: a reviewer accepts or drops them.")
    do = runs.cancel if data.get("deed") == "cancel" else runs.resume
    do(number, user, reason=data.get("reason", "").strip() or None)
    return Redirect(f"/runs/{number}", status_code=303)


ROUTES = (runs, live_list, run, live, start, decide)
