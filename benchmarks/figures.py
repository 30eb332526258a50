"""Figures: what was measured, beside its own limit from the same run, as lines on the screen and as JSON."""

from __future__ import annotations

import json
import os
import platform
import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path
from statistics import median
from typing import Any

from attrs import asdict, define, field, frozen

from benchmarks.measure import ROUNDS, Measure
from benchmarks.stores import BenchmarkStore


@frozen
class Goal:
    """What a figure is to reach.

    :param of: ``value``, ``rate`` or ``ratio`` of the figure.
    """

    of: str
    at_most: float | None = None
    at_least: float | None = None

    def is_met_by(self, number: float) -> bool:
        """Whether a number reaches it."""
        return (self.at_most is None or number <= self.at_most) and (self.at_least is None or number >= self.at_least)

    def __str__(self) -> str:
        return f"at least {self.at_least:,g}" if self.at_most is None else f"at most {self.at_most:,g}"


@frozen(kw_only=True)
class Figure:
    """One figure: the median of some rounds with their minimum and maximum.

    :param unit: of the value: ``s``, ``ms``, ``bytes``, ``MB`` or ``rows``.
    :param count: how many things were done in that time; `rate` is so many a second.
    :param limit: the work that this one cannot be faster than, done in the same run; `ratio` is how many times as long
        this one took.
    """

    part: str
    name: str
    store: str | None
    unit: str
    value: float
    minimum: float
    maximum: float
    rounds: int
    count: int | None = None
    things: str | None = None
    rate: float | None = None
    megabytes: float | None = None
    disk_bytes: int | None = None
    limit: str | None = None
    limit_value: float | None = None
    ratio: float | None = None
    goal: Goal | None = None
    is_met: bool | None = None
    parameters: Mapping[str, Any] = field(factory=dict)

    def __str__(self) -> str:
        words = [f"{self.name}: {_number(self.value)} {self.unit}"]
        if self.rounds > 1:
            words[0] += f" ({_number(self.minimum)} to {_number(self.maximum)})"
        if self.rate is not None:
            words.append(f"{self.rate:,.0f} {self.things}/s")
        if self.ratio is not None:
            words.append(f"{self.ratio:.2f} times {self.limit} ({_number(self.limit_value or 0)} {self.unit})")
        if self.megabytes:
            words.append(f"peak {self.megabytes:,.0f} MB")
        if self.disk_bytes:
            words.append(f"{self.disk_bytes / 1e6:,.0f} MB on disk")
        if self.goal is not None:
            words.append(f"goal: {self.goal}{', MISSED' if self.is_met is False else ''}")
        return ", ".join(words)


def _number(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:,.2f}" if value >= 1 else f"{value:.3g}"


@frozen
class Failure:
    """A part, or one thing in it, that was not measured."""

    part: str
    name: str | None
    reason: str


@define
class Bench:
    """One run of the benchmarks: how large it is, on which stores, and the figures so far."""

    people: int
    folder: Path
    stores: Sequence[BenchmarkStore]
    largest: int
    path: Path | None = None
    """The file that the figures are written to after each one: a run that is ended leaves what it measured."""
    figures: list[Figure] = field(factory=list)
    failures: list[Failure] = field(factory=list)

    @contextmanager
    def attempt(self, part: str, name: str | None = None) -> Iterator[None]:
        """Notes an error of a part, or of one thing in it, and lets the others go on."""
        try:
            yield
        except Exception as e:
            self.fail(part, name, f"{type(e).__name__}: {e}".strip())

    def fail(self, part: str, name: str | None, reason: str) -> None:
        """Notes that something was not measured, and why; prints it."""
        self.failures.append(Failure(part, name, reason))
        print(f"  FAILED, {name or part}: {reason}", flush=True)
        if self.path is not None:
            self.write(self.path)

    def add(
        self,
        part: str,
        name: str,
        measured: Measure | Sequence[float],
        *,
        store: str | None = None,
        unit: str = "s",
        count: int | None = None,
        things: str = "rows",
        limit: tuple[str, Measure] | None = None,
        goal: Goal | None = None,
        disk_bytes: int | None = None,
        parameters: Mapping[str, Any] | None = None,
    ) -> Figure:
        """Adds a figure, and prints it."""
        samples = measured.samples if isinstance(measured, Measure) else measured
        value = median(samples)
        rate = None if count is None else count / value
        ratio = None if limit is None else value / limit[1].seconds
        numbers = {"value": value, "rate": rate, "ratio": ratio}
        number = None if goal is None else numbers[goal.of]
        figure = Figure(
            part=part,
            name=name,
            store=store,
            unit=unit,
            value=value,
            minimum=min(samples),
            maximum=max(samples),
            rounds=len(samples),
            count=count,
            things=None if count is None else things,
            rate=rate,
            megabytes=measured.megabytes or None if isinstance(measured, Measure) else None,
            disk_bytes=disk_bytes,
            limit=None if limit is None else limit[0],
            limit_value=None if limit is None else limit[1].seconds,
            ratio=ratio,
            goal=goal,
            is_met=None if goal is None or number is None or ROUNDS == 1 else goal.is_met_by(number),
            parameters=parameters or {},
        )
        self.figures.append(figure)
        if self.path is not None:
            self.write(self.path)
        print(f"  {'' if store is None else f'{store}: '}{figure}", flush=True)
        return figure

    def written(self) -> dict[str, Any]:
        """Everything as plain data, the only form in which figures are kept."""
        return {
            "people": self.people,
            "rounds": ROUNDS,
            "machine": {
                "processors": os.cpu_count(),
                "system": platform.system(),
                "architecture": platform.machine(),
                "python": platform.python_version(),
                "sqlite": sqlite3.sqlite_version,
                **{name: version(name) for name in ("deltamark", "duckdb", "pyarrow")},
            },
            "figures": [_plain(figure) for figure in self.figures],
            "failures": [asdict(failure) for failure in self.failures],
        }

    def write(self, path: Path) -> None:
        """Writes the figures as JSON."""
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(self.written(), indent=1) + "\n")


def _plain(figure: Figure) -> dict[str, Any]:
    """A figure without what it does not have, and with four significant digits."""
    members = asdict(figure, filter=lambda _, value: value is not None and value != {})
    return {name: float(f"{value:.4g}") if isinstance(value, float) else value for name, value in members.items()}
