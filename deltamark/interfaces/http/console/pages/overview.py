"""Overview: what waits for a person, how the store is, and what the runs did."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, date, datetime, timedelta

from attrs import field, frozen
from litestar import get
from litestar.response import Template

from deltamark.application.scheduling.health import Health
from deltamark.domain.configuration.configuration import Configuration
from deltamark.domain.configuration.jobs import TaskState
from deltamark.domain.fields import as_tuple
from deltamark.domain.integrity.verification import VerificationRecord, newest_of_each_part
from deltamark.domain.runs.run import JobRun, LeftOut
from deltamark.engine import Engine
from deltamark.interfaces.http.authentication import ROLE
from deltamark.interfaces.http.console.charts import BarChart, Sample, bar_chart
from deltamark.interfaces.http.console.pages.answers import page
from deltamark.interfaces.http.console.rendering import log_url
from deltamark.interfaces.http.dependencies import TheEngine, TheUser
from deltamark.interfaces.http.users import Role

DAYS = 28
LAST_RUNS = 12
_CHARTED_RUNS = 30
_READ_RUNS = 3_000
_OTHER = "computed"


@frozen(kw_only=True)
class HeldBack:
    """A connector whose changes wait for a decision, and what its task says about them."""

    left_out: LeftOut
    messages: tuple[str, ...] = field(converter=as_tuple)


@frozen(kw_only=True)
class Overview:
    """What the first page shows.

    :param problems: those of the schedule and of what is stored, but for what is held back.
    :param verified: the newest verifications on record of the log and of derived values as a whole.
    :param dirty: task -> how many resources it would compute.
    """

    held_back: tuple[HeldBack, ...] = field(converter=as_tuple)
    health: Health
    problems: tuple[str, ...] = field(converter=as_tuple)
    runs: tuple[JobRun, ...] = field(converter=as_tuple)
    verified: tuple[VerificationRecord, ...] = field(converter=as_tuple)
    dirty: Mapping[str, int]
    size: int
    changes: BarChart
    computed: BarChart
    durations: BarChart


def overview_of(engine: Engine, now: datetime) -> Overview:
    """What the first page shows at a time."""
    health = engine.health()
    since = now - timedelta(days=DAYS)
    runs = list(engine.runs(limit=_CHARTED_RUNS))
    said = {f"{left_out.reason}. It {left_out.advice}" for left_out in health.held_back}
    return Overview(
        held_back=[HeldBack(left_out=one, messages=why_held_back(engine, one.run)) for one in health.held_back],
        health=health,
        problems=[problem for problem in health.problems if problem not in said],
        runs=runs[:LAST_RUNS],
        verified=newest_of_each_part(engine.verifications()),
        dirty=_dirty(engine),
        size=engine.space().size,
        changes=changes_a_day(
            engine.runs(since=since, limit=_READ_RUNS), engine.configuration, now.astimezone(UTC).date()
        ),
        computed=_computed(runs),
        durations=_durations(runs),
    )


def _dirty(engine: Engine) -> Mapping[str, int]:
    counts: Counter[str] = Counter()
    for each in engine.dirty_counts():
        counts[each.task] += each.count
    return +counts


def why_held_back(engine: Engine, run: int) -> tuple[str, ...]:
    """What the tasks of a run say that held changes back."""
    tasks = engine.run(run, with_rows=False).tasks
    return tuple(line for task in tasks if task.state is TaskState.BLOCKED for line in task.messages)


def changes_a_day(runs: Iterable[JobRun], configuration: Configuration, today: date) -> BarChart:
    """The changes of the last days, by connector; those that no connector made are computed values."""
    connectors = {task.identifier: task.synchronizes for task in configuration.all_tasks() if task.synchronizes}
    first = today - timedelta(days=DAYS - 1)
    amounts: dict[date, dict[str, int]] = defaultdict(lambda: defaultdict(int))
    for run in runs:
        day = run.started_at.astimezone(UTC).date()
        if day < first:
            continue
        for task in run.tasks:
            amounts[day][connectors.get(task.identifier, _OTHER)] += task.counts.changed + task.counts.written
    names = sorted({name for day in amounts.values() for name in day}, key=lambda name: (name == _OTHER, name))
    days = [first + timedelta(days=number) for number in range(DAYS)]
    samples = [
        Sample(
            name=f"{day:%a} {day.isoformat()}",
            under=f"{day:%a %m-%d}",
            address=log_url(day=day.isoformat()) if amounts[day] else None,
            amounts=[amounts[day][name] for name in names] or [0],
        )
        for day in days
    ]
    return bar_chart("Day (UTC)", names or [_OTHER], samples, unit=" changes", every=7)


def _computed(newest: Sequence[JobRun]) -> BarChart:
    samples = [
        Sample(
            name=f"run {run.number}",
            under=str(run.number),
            address=f"/runs/{run.number}",
            amounts=[run.counts.necessary, run.counts.executed - run.counts.necessary],
        )
        for run in reversed(newest)
    ]
    return bar_chart("Run", ("came out differently", "came out the same"), samples, unit=" values computed", every=5)


def _durations(newest: Sequence[JobRun]) -> BarChart:
    samples = [
        Sample(
            name=f"run {run.number}",
            under=str(run.number),
            address=f"/runs/{run.number}",
            amounts=[round(sum(task.seconds for task in run.tasks), 2)],
        )
        for run in reversed(newest)
    ]
    return bar_chart("Run", ("seconds of its tasks",), samples, unit=" seconds", every=5)


@get("/", opt={ROLE: Role.READER}, sync_to_thread=True)
def overview(engine: TheEngine, user: TheUser) -> Template:
    """The first page."""
    return page("overview.html", engine, user, "Overview", shown=overview_of(engine, datetime.now(UTC)), most=LAST_RUNS)


ROUTES = (overview,)
