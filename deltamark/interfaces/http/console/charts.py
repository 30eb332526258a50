"""Charts: the heights of bars and the places of tasks in time, with the same numbers for the table beside them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime
from statistics import median

from attrs import field, frozen

from deltamark.domain.fields import as_tuple
from deltamark.domain.runs.run import JobRun, TaskRun

HEIGHT = 100
"""The height of the highest bar, in units of its drawing."""

BEYOND = 4
"""A bar of more than so many times the median is cut: one initial load would make all others invisible."""

_ROOM = 1000
"""The width of the time of a run, in units of its drawing."""
_LEAST = 6


@frozen
class Part:
    """A part of a bar: the number of its series, its upper edge and its height."""

    series: int
    y: float
    height: float


@frozen(kw_only=True)
class Bar:
    """A bar of a chart.

    :param name: in the table; `under` what is written below the bar, and `figure` above it, both empty for most.
    :param amounts: of each series.
    """

    name: str
    under: str
    figure: str
    title: str
    address: str | None
    amounts: tuple[float, ...]
    parts: tuple[Part, ...] = field(converter=as_tuple)
    is_cut: bool


@frozen(kw_only=True)
class BarChart:
    """Bars beside each other, each with the parts of its series on top of each other.

    :param what: the title of the first column of the table.
    """

    what: str
    series: tuple[str, ...] = field(converter=as_tuple)
    bars: tuple[Bar, ...] = field(converter=as_tuple)

    @property
    def is_empty(self) -> bool:
        """Whether there is nothing to draw."""
        return not any(amount for bar in self.bars for amount in bar.amounts)


@frozen(kw_only=True)
class Sample:
    """What a bar shows.

    :param under: what is written below it, where that is not too often.
    """

    name: str
    amounts: tuple[float, ...] = field(converter=as_tuple)
    under: str = ""
    address: str | None = None


def bar_chart(
    what: str, series: Iterable[str], samples: Sequence[Sample], *, unit: str = "", every: int = 1
) -> BarChart:
    """The bars of samples. Those far beyond the others are cut, and say how high they are.

    :param unit: follows the amounts in words.
    :param every: writes below every so many bars, counted from the last.
    """
    names = tuple(series)
    totals = [sum(sample.amounts) for sample in samples]
    top = _top(totals)
    bars = []
    for number, (sample, total) in enumerate(zip(samples, totals, strict=True)):
        is_cut = total > top
        scale = HEIGHT / total if is_cut else HEIGHT / top
        is_highest = total and total == max((other for other in totals if other <= top), default=0)
        bars.append(
            Bar(
                name=sample.name,
                under=sample.under if (len(samples) - 1 - number) % every == 0 else "",
                figure=_short(total) if is_cut or (is_highest and totals.index(total) == number) else "",
                title=f"{sample.name}: {_short(total)}{unit}",
                address=sample.address,
                amounts=sample.amounts,
                parts=_parts(sample.amounts, scale),
                is_cut=is_cut,
            )
        )
    return BarChart(what=what, series=names, bars=bars)


def _top(totals: Sequence[float]) -> float:
    positive = [total for total in totals if total]
    if not positive:
        return 1
    limit = BEYOND * median(positive)
    return max(total for total in positive if total <= limit)


def _parts(amounts: Iterable[float], scale: float) -> list[Part]:
    parts: list[Part] = []
    y = float(HEIGHT)
    for number, amount in enumerate(amounts):
        if amount:
            height = max(amount * scale, 1)
            y -= height
            parts.append(Part(number, round(y, 2), round(height, 2)))
    return parts


def _short(amount: float) -> str:
    return f"{amount:,.0f}" if amount == int(amount) else f"{amount:,.2f}"


@frozen(kw_only=True)
class TaskInTime:
    """When a task of a run was at work, in thousandths of the time of the run."""

    task: TaskRun
    x: float
    width: float
    seconds: float


def tasks_in_time(run: JobRun, now: datetime) -> tuple[list[TaskInTime], float]:
    """The tasks of a run that began, each with its place in the time of the run, and the seconds of that time."""
    began = [(task, task.started_at) for task in run.tasks if task.started_at is not None]
    if not began:
        return [], 0.0
    first = min(started for _, started in began)
    last = max((task.ended_at or now for task, _ in began), default=now)
    whole = max((last - first).total_seconds(), 1e-6)
    placed = []
    for task, started in began:
        taken = ((task.ended_at or now) - started).total_seconds()
        width = max(_ROOM * taken / whole, _LEAST)
        x = min(_ROOM * (started - first).total_seconds() / whole, _ROOM - width)
        placed.append(TaskInTime(task=task, x=round(x, 1), width=round(width, 1), seconds=taken))
    return placed, whole
