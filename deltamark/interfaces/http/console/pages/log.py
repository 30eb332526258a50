"""Log: all changes, newest first, by filters."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Iterable
from datetime import date
from typing import Any

from attrs import evolve, field, frozen
from litestar import Request, get
from litestar.params import FromQuery
from litestar.response import Stream, Template

from deltamark.domain.configuration.configuration import Configuration
from deltamark.domain.errors import UsageError
from deltamark.domain.fields import as_tuple
from deltamark.domain.history.changes import ChangeKind, Position
from deltamark.domain.history.pages import ChangePage
from deltamark.domain.runs.run import JobRun
from deltamark.domain.values import shown
from deltamark.engine import Engine
from deltamark.interfaces.http.authentication import ROLE
from deltamark.interfaces.http.console.pages.answers import (
    BUDGET_S,
    ROWS,
    moment,
    number_in,
    page,
    refuse_partial_sight,
)
from deltamark.interfaces.http.console.rendering import render
from deltamark.interfaces.http.dependencies import TheEngine, TheHub, TheUser
from deltamark.interfaces.http.live import appended
from deltamark.interfaces.http.users import Role


@frozen(kw_only=True)
class LogFilter:
    """What the log is searched for; what is empty admits everything."""

    type: str = ""
    key: str = ""
    kind: str = ""
    run: int | None = None
    task: str = ""
    property_name: str = ""
    connector: str = ""
    user: str = ""

    @property
    def is_empty(self) -> bool:
        """Whether it admits every change."""
        return self == LogFilter()

    @property
    def named(self) -> dict[str, Any]:
        """The filter as the engine takes it."""
        return {
            "entity_type": self.type or None,
            "key": self.key or None,
            "kind": self.kind or None,
            "run": self.run,
            "task": self.task or None,
            "property_name": self.property_name or None,
            "connector": self.connector or None,
            "user": self.user or None,
        }

    @property
    def query(self) -> dict[str, Any]:
        """The filter as addresses hold it."""
        return {
            "type": self.type,
            "key": self.key,
            "kind": self.kind,
            "run": self.run,
            "task": self.task,
            "property": self.property_name,
            "connector": self.connector,
            "operator": self.user,
        }


COUNTED_RUNS = 30
"""Where no run is asked for, the changes of so many are counted."""


@frozen(kw_only=True)
class ChangeCounts:
    """How many changes runs made, by kind, and by task with the connector that it synchronizes, if any.

    They are on record with the runs, so the log is not read for them.
    """

    runs: int
    kinds: tuple[tuple[str, int], ...] = field(converter=as_tuple)
    tasks: tuple[tuple[str, str, int], ...] = field(converter=as_tuple)


def counts_of(runs: Iterable[JobRun], configuration: Configuration) -> ChangeCounts:
    """How many changes some runs made."""
    connectors = {task.identifier: task.synchronizes or "" for task in configuration.all_tasks()}
    kinds: Counter[ChangeKind] = Counter()
    tasks: Counter[str] = Counter()
    counted = list(runs)
    for run in counted:
        for task in run.tasks:
            tasks[task.identifier] += task.counts.changed + task.counts.written
        kinds.update(
            {
                ChangeKind.CREATED: run.counts.inserted,
                ChangeKind.UPDATED: run.counts.updated + run.counts.written,
                ChangeKind.COMPUTED: run.counts.written,
                ChangeKind.DELETED: run.counts.deleted,
                ChangeKind.LINKED: run.counts.linked,
                ChangeKind.UNLINKED: run.counts.unlinked,
            }
        )
    return ChangeCounts(
        runs=len(counted),
        kinds=[(kind.value, kinds[kind]) for kind in ChangeKind if kinds[kind]],
        tasks=[(task, connectors.get(task, ""), count) for task, count in sorted(tasks.items()) if count],
    )


@frozen(kw_only=True)
class Log:
    """A part of the log, and the names that its filters may have.

    :param day: shows it as it was at the end of this day, in UTC; empty shows it as it is.
    :param counts: of the run that is asked for, or of the newest runs; None where changes are asked for by what no
        counts are on record of.
    """

    changes: ChangePage
    filter: LogFilter
    before: Position | None
    day: str
    is_live: bool
    counts: ChangeCounts | None
    types: tuple[str, ...] = field(converter=as_tuple)
    tasks: tuple[str, ...] = field(converter=as_tuple)
    connectors: tuple[str, ...] = field(converter=as_tuple)
    kinds: tuple[str, ...] = tuple(kind.value for kind in ChangeKind)


def log_of(
    engine: Engine, admitted: LogFilter, before: Position | None = None, *, day: str = "", is_live: bool = False
) -> Log:
    """The newest changes that a filter admits, or those below a position, or up to the end of a day."""
    configuration = engine.configuration
    if day and before is None:
        before = _end_of(engine, day)
    counts = None
    if evolve(admitted, kind="", run=None, task="").is_empty:
        runs = engine.runs(limit=COUNTED_RUNS) if admitted.run is None else [engine.run(admitted.run, with_rows=False)]
        counts = counts_of(runs, configuration)
    return Log(
        changes=engine.changes_page(before=before, limit=ROWS, budget_s=BUDGET_S, **admitted.named),
        filter=admitted,
        before=before,
        day=day,
        is_live=is_live,
        counts=counts,
        types=[entity_type.identifier for entity_type in configuration.entity_types],
        tasks=sorted({task.identifier for task in configuration.all_tasks()}),
        connectors=[connector.identifier for connector in configuration.connectors],
    )


def _end_of(engine: Engine, day: str) -> Position:
    """The position below which the changes up to the end of a day are.

    :raises UsageError: if it is no day.
    """
    try:
        date.fromisoformat(day)
    except ValueError:
        raise UsageError(f"{shown(day)} is no day. Write one such as 2026-11-24.") from None
    return engine.position(moment(day)) + 1


MOST_AT_ONCE = 20
"""So many new changes come onto the page at once; of more it says how many positions they are."""


def rows_beyond(engine: Engine, admitted: LogFilter, after: Position) -> tuple[str, Position]:
    """The changes beyond a position as rows, newest first, and the position that they reach.

    Where there are too many, one row says so, with a link.
    """
    found = engine.changes_page(after=after, limit=MOST_AT_ONCE, budget_s=BUDGET_S, **admitted.named)
    head = engine.position() if found.more else found.scanned_to
    if not found.changes:
        return "", head
    return (
        render("_log_rows.html", changes=found.changes[::-1], more=found.more, after=after, head=head, f=admitted),
        head,
    )


def _filter(run: str, **named: str) -> LogFilter:
    return LogFilter(run=number_in(run, "the number of a run"), **named)


@get("/log", opt={ROLE: Role.READER}, sync_to_thread=True)
def log(
    engine: TheEngine,
    user: TheUser,
    type: FromQuery[str] = "",  # noqa: A002, the name in the address
    key: FromQuery[str] = "",
    kind: FromQuery[str] = "",
    run: FromQuery[str] = "",
    task: FromQuery[str] = "",
    property: FromQuery[str] = "",  # noqa: A002
    connector: FromQuery[str] = "",
    operator: FromQuery[str] = "",
    before: FromQuery[str] = "",
    day: FromQuery[str] = "",
    live: FromQuery[str] = "",
) -> Template:
    """The log.

    :param day: shows the changes up to the end of this day, in UTC, where `before` is left out.
    :param live: whether new changes come onto the page.
    """
    admitted = _filter(
        run,
        type=type,
        key=key,
        kind=kind,
        task=task,
        property_name=property,
        connector=connector,
        user=operator,
    )
    place = number_in(before, "a position")
    return page(
        "log.html", engine, user, "Log", shown=log_of(engine, admitted, place, day=day.strip(), is_live=live == "1")
    )


@get("/log/live", opt={ROLE: Role.READER})
async def tail(
    request: Request[Any, Any, Any],
    engine: TheEngine,
    user: TheUser,
    hub: TheHub,
    type: FromQuery[str] = "",  # noqa: A002, the name in the address
    key: FromQuery[str] = "",
    kind: FromQuery[str] = "",
    run: FromQuery[str] = "",
    task: FromQuery[str] = "",
    property: FromQuery[str] = "",  # noqa: A002
    connector: FromQuery[str] = "",
    operator: FromQuery[str] = "",
    after: FromQuery[str] = "",
) -> Stream:
    """New changes as rows, from a position on: that of the last message that the browser has, if it says so."""
    refuse_partial_sight(user)
    admitted = _filter(
        run,
        type=type,
        key=key,
        kind=kind,
        task=task,
        property_name=property,
        connector=connector,
        user=operator,
    )
    place = number_in(request.headers.get("last-event-id") or after, "a position") or 0
    await asyncio.to_thread(lambda: engine.changes_page(after=place, limit=1, budget_s=0, **admitted.named))
    return appended(hub, place, lambda reached: rows_beyond(engine, admitted, reached))


ROUTES = (log, tail)
