"""What the processes of a soak do: each opens the store by itself and does one thing again and again.

What a process did, and what went wrong, it leaves in a file for the test to read.
"""

from __future__ import annotations

import json
import traceback
from collections import Counter
from collections.abc import Callable, Iterable
from contextlib import suppress
from multiprocessing.synchronize import Barrier, Event
from pathlib import Path
from random import Random
from time import monotonic
from typing import Any

from attrs import evolve, frozen

from deltamark import (
    AlreadyRunning,
    Configuration,
    Engine,
    EntityPropertyExpression,
    Job,
    LoggedChange,
    Property,
    Step,
    TaskState,
    UpdateEntityPropertyExpressionsTask,
)
from tests.store.company import Company, configuration

PATIENCE_S = 300
TYPES = ("Person", "Department", "Account")

Resources = dict[tuple[str, str], dict[str, object]]
Links = set[tuple[str, str, str]]


def soaked() -> Configuration:
    """Two connectors that can be synchronized side by side, and the work that follows: properties that are computed of
    many others, and keys.
    """
    known = configuration()
    properties = UpdateEntityPropertyExpressionsTask(identifier="Properties", dirty=True, all_entity_type=True)
    keys = known.jobs[0].tasks[3]
    jobs = [
        Job("People", [Step("SynchronizeHR")]),
        Job("Accounts", [Step("SynchronizeDirectory")]),
        Job("Keys", [Step("SetRecentlyModifiedFlag"), Step("Properties"), keys]),
        Job("Complete", [*known.jobs[0].tasks[:3], Step("Properties"), keys]),
    ]
    expressions = {
        "Department.Crew": "SQL:x: array_to_string(x.Workers.Mail, ',')",
        "Person.Office": "SQL:x: x.WorksIn.Crew",
        "Person.Friends": "SQL:x: array_to_string(x.Knows.Office, ' and ')",
    }
    computed = [EntityPropertyExpression(name, *name.split("."), expression=text) for name, text in expressions.items()]
    types = [
        evolve(
            one,
            properties=[*one.properties, *(Property(c.property) for c in computed if c.entity_type == one.identifier)],
        )
        for one in known.entity_types
    ]
    return evolve(
        known,
        entity_types=types,
        property_expressions=computed,
        tasks=[*known.tasks, properties],
        jobs=[*known.jobs[1:], *jobs],
    )


@frozen
class Place:
    """Where a process works, and until when."""

    url: str
    folder: Path
    name: str
    seed: int
    seconds: float
    start: Barrier
    over: Event
    """Nobody writes any more."""

    def engine(self) -> Engine:
        return Engine.open(self.url, configuration=soaked(), export_output=self.folder / self.name)


def writer(place: Place, *jobs: str) -> None:
    """Synchronizes a random day, or does what follows, again and again."""
    with _told(place) as told, place.engine() as engine:
        company, random = Company(place.folder / place.name, place.seed), Random(place.seed)
        runs: list[tuple[int, int]] = []
        refused = 0
        for _ in _until_the_end(place):
            company.complete_day()
            try:
                run = engine.run_job(random.choice(jobs), force=True)
            except AlreadyRunning:
                refused += 1
                continue
            messages = [message for task in run.tasks for message in task.messages]
            assert run.state in (TaskState.COMPLETED, TaskState.WARNING), (run.state, messages)
            runs.append((run.number, run.counts.changed))
        told |= {"runs": runs, "refused": refused}


def reader(place: Place) -> None:
    """Exports the company as it is at some position, and compares with what the log says up to there."""
    with _told(place) as told, place.engine() as engine:
        resources: Resources = {}
        links: Links = set()
        position, compared = 0, 0
        for _ in _until_the_end(place):
            after, position = position, engine.position()
            fold(engine.changes(after=after, until=position), resources, links)
            assert exported(engine, at=position) == (resources, links), f"at position {position}"
            engine.runs()
            compared += 1
        told |= {"compared": compared, "position": position}


def follower(place: Place, *, from_the_beginning: bool) -> None:
    """Follows the log, in several goes, until it has seen the last change."""
    with _told(place) as told, place.engine() as engine:
        start = reached = 0 if from_the_beginning else engine.position()
        seen: list[int] = []
        place.start.wait(PATIENCE_S)
        is_last = False
        while not is_last:
            is_last = place.over.is_set()
            for change in engine.follow(reached, timeout=0.2):
                seen.append(change.position)
                reached = change.position
        told |= {"start": start, "seen": seen}


def fold(changes: Iterable[LoggedChange], resources: Resources, links: Links) -> None:
    """Applies changes as plainly as can be: this is not how Deltamark does it."""
    for change in changes:
        event = change.event
        if change.kind in ("linked", "unlinked"):
            pair = (event.ref.association, event.ref.source.key, event.ref.target.key)
            assert (pair in links) == (change.kind == "unlinked"), change
            (links.add if change.kind == "linked" else links.remove)(pair)
            continue
        who = (event.ref.entity_type, event.ref.key)
        assert (who in resources) == (change.kind != "created"), change
        if change.kind == "deleted":
            del resources[who]
            continue
        values = resources.setdefault(who, {})
        for name, values_of in event.changes.items():
            assert values.get(name) == values_of.before, change
            values[name] = values_of.after
        resources[who] = {name: value for name, value in values.items() if value is not None}


def exported(engine: Engine, **when: Any) -> tuple[Resources, Links]:
    """The company as the engine exports it."""
    resources: Resources = {}
    links: Links = set()
    for name in TYPES:
        for row in engine.export_resources(name, **when):
            resources[name, row.key] = dict(row.values)
            links |= {(association, row.key, other) for association, others in row.links.items() for other in others}
    return resources, links


def _until_the_end(place: Place) -> Iterable[None]:
    place.start.wait(PATIENCE_S)
    end = monotonic() + place.seconds
    while monotonic() < end:
        yield


class _told(dict[str, Any]):  # noqa: N801 (read as a word: with _told(place) as told)
    """What the process tells in the end; an error is told, not raised."""

    def __init__(self, place: Place) -> None:
        self._place = place

    def __enter__(self) -> _told:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: object) -> bool:
        if error is not None:
            self["error"] = "".join(traceback.format_exception(error))
            with suppress(Exception):
                self._place.start.abort()
        (self._place.folder / f"{self._place.name}.json").write_text(json.dumps(self), "utf-8")
        return True


ROLES: tuple[tuple[str, Callable[..., None], tuple[Any, ...], dict[str, Any]], ...] = (
    ("writer-of-people-1", writer, ("People",), {}),
    ("writer-of-people-2", writer, ("People",), {}),
    ("writer-of-accounts", writer, ("Accounts",), {}),
    ("writer-of-keys", writer, ("Keys", "Keys", "Accounts"), {}),
    ("writer-of-everything", writer, ("Complete", "People", "Keys"), {}),
    ("reader", reader, (), {}),
    ("follower-from-the-beginning", follower, (), {"from_the_beginning": True}),
    ("follower-from-now-on", follower, (), {"from_the_beginning": False}),
)


def counted(engine: Engine) -> Counter[int]:
    """Run -> how many changes of it the log holds that were synchronized."""
    return Counter(change.run for change in engine.changes() if change.task != "Properties")
