"""A company whose job has everything in it: a load, a delta, flags, computed properties and keys; and what must hold of
its store whatever happened to the process.
"""

from __future__ import annotations

import csv
import sqlite3
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import closing
from datetime import datetime
from itertools import cycle
from pathlib import Path
from random import Random
from threading import Event
from typing import Any

from attrs import evolve, field, frozen

from deltamark import (
    Configuration,
    Engine,
    Job,
    JobRun,
    Observer,
    PrepareSynchronizationTask,
    PropertyType,
    Step,
    SynchronizationMode,
    TaskState,
)
from deltamark.bootstrap import utc_now
from deltamark.domain.errors import CannotResume
from tests.soak.roles import exported, fold, soaked
from tests.store.company import ACCOUNT, KEYS, TEXTS, Company

JOB, PEOPLE = "Everything", "OnlyPeople"
TASKS = ("SynchronizeHR", "SynchronizeDirectory", "SetRecentlyModifiedFlag", "Properties", "ComputeCorrelationKeys")
PARENTS = {
    "SetRecentlyModifiedFlag": ("SynchronizeHR", "SynchronizeDirectory"),
    "Properties": ("SetRecentlyModifiedFlag",),
    "ComputeCorrelationKeys": ("SetRecentlyModifiedFlag", "Properties"),
}
"""So that what a run left undone when it died is found by the next, whose own synchronizations change nothing."""

PATIENCE_S = 300
ENDED_WELL = (TaskState.COMPLETED, TaskState.WARNING)


EDITED = "edited"
"""The file that lies among the extracts on days on which the configuration is another one."""
_ONLY_BEFORE = "Friends"


def configuration(*, is_edited: bool = False) -> Configuration:
    """People are loaded whole, of accounts only what happened; then flags, properties over links, keys.

    :param is_edited: whether the level of people is a text, and nobody knows anybody: to adopt it converts values,
        removes links, and drops a computed property.
    """
    known = _edited(soaked()) if is_edited else soaked()
    delta = PrepareSynchronizationTask(
        connector="Directory", synchronization_mode=SynchronizationMode.INCREMENTAL, column_name="Command"
    )
    hr, *after = TASKS
    return evolve(
        known,
        jobs=[Job(JOB, [Step(name) for name in (hr, delta.identifier, *after)]), Job(PEOPLE, [Step(hr)])],
        tasks=[*(evolve(task, parents=PARENTS.get(task.identifier, ())) for task in known.tasks), delta],
    )


def _edited(known: Configuration) -> Configuration:
    person, *others = known.entity_types
    kept = [
        evolve(one, type=PropertyType.STRING) if one.identifier == "Level" else one
        for one in person.properties
        if one.identifier != _ONLY_BEFORE
    ]
    return evolve(
        known,
        entity_types=[evolve(person, properties=kept), *others],
        associations=[one for one in known.associations if one.identifier != "Knows"],
        association_mappings=[one for one in known.association_mappings if one.association != "Knows"],
        property_expressions=[one for one in known.property_expressions if one.property != _ONLY_BEFORE],
    )


class Days:
    """Writes a new day's extracts with every call; the same seed gives the same days.

    :param edits: whether the configuration is the edited one on every second day, so that each run begins with an
        adoption.
    """

    def __init__(self, folder: Path, seed: int, *, edits: bool = False) -> None:
        self._folder = folder
        self._is_edited = cycle([False, edits])
        self._company = Company(folder, seed)
        self._random = Random(seed)

    def next(self) -> None:
        """Everybody who is there now, and what happened to accounts. To apply that twice changes nothing."""
        self._company.complete_day()
        if next(self._is_edited):
            (self._folder / EDITED).touch()
        else:
            (self._folder / EDITED).unlink(missing_ok=True)
        logins = self._random.sample(KEYS, self._random.randint(2, 12))
        rows = [
            (login, self._random.choice(TEXTS), self._random.choice(("merge", "merge", "delete"))) for login in logins
        ]
        with (self._folder / "Account.csv").open("w", encoding="utf-8", newline="") as file:
            csv.writer(file).writerows([(*ACCOUNT, "Command"), *rows])


def opened(url: str, folder: Path, *, lease_s: float = 60.0, clock: Callable[[], datetime] = utc_now) -> Engine:
    """The engine over the company's extracts, with leases of that many seconds."""
    chosen = configuration(is_edited=(folder / EDITED).exists())
    engine = Engine.open(url, configuration=chosen, export_output=folder, clock=clock)
    engine._services = evolve(engine._services, lease_s=lease_s, adoption_limit=10**6)
    return engine


@frozen
class Seen:
    """All that a user can see of the company; how often one tried is no part of it, nor are times and positions."""

    state: Any
    derived: Any
    log: Any
    counts: Any = field(repr=False)
    """What each task changed, all runs together."""


def seen(engine: Engine) -> Seen:
    """The company as it is now."""
    log = [
        (c.kind, str(c.event.ref), getattr(c.event, "changes", None), c.task, c.file, c.event.cause.line)
        for c in engine.changes()
    ]
    return Seen(
        state=exported(engine),
        derived=(list(engine.keys()), list(engine.matches()), engine.dirty()),
        log=log,
        counts=changed(engine),
    )


def changed(engine: Engine) -> dict[str, tuple[int, ...]]:
    """Task -> how much it inserted, updated, deleted, linked, unlinked and wrote, all runs together."""
    found: dict[str, tuple[int, ...]] = {}
    for run in engine.runs():
        for task in (*run.tasks, *([run.adoption] if run.adoption else [])):
            c = task.counts
            each = (c.inserted, c.updated, c.deleted, c.linked, c.unlinked, c.written)
            found[task.identifier] = tuple(map(sum, zip(found.get(task.identifier, (0,) * 6), each, strict=True)))
    return found


def harm_in(engine: Engine) -> list[str]:
    """What must never be found: damage, a state that is not its log, a task half done, time that went backwards."""
    looks = (_harm_in_log, _harm_in_state, _half_done, _harm_in_file, _harm_that_verify_finds)
    return [harm for look in looks for harm in look(engine)]


def _harm_in_log(engine: Engine) -> Iterator[str]:
    """Positions increase, the versions of each stream are contiguous, and no time is before the one before it."""
    events = engine._services.store.recorder.select_notifications(None, 10**6)  # type: ignore[attr-defined]
    positions = [event.id for event in events]
    if positions != sorted(set(positions)):
        yield "positions do not increase"
    versions: dict[Any, list[int]] = {}
    for event in events:
        versions.setdefault(event.originator_id, []).append(event.originator_version)
    for stream, found in versions.items():
        if found != list(range(1, len(found) + 1)):
            yield f"stream {stream} has the versions {found}"
    times = [change.event.at for change in engine.changes()]
    if times != sorted(times):
        yield "times in the log go backwards"


def _harm_in_state(engine: Engine) -> Iterator[str]:
    resources: dict[Any, Any] = {}
    links: set[Any] = set()
    try:
        fold(engine.changes(), resources, links)
    except (AssertionError, KeyError) as wrong:
        yield f"the log contradicts itself: {wrong}"
    if exported(engine) != (resources, links):
        yield "the state is not its log"


def _half_done(engine: Engine) -> Iterator[str]:
    made = Counter((change.run, change.event.cause.task) for change in engine.changes())
    for run in engine.runs():
        yield from _wrong_record(run)
        for task in (*run.tasks, *([run.adoption] if run.adoption else [])):
            counted = task.counts.changed or task.counts.written * (task.identifier == "Properties")
            if made.pop((run.number, task.ordinal), 0) != counted:
                yield f"run {run.number}, {task.identifier}: {counted} changes counted, others are in the log"
    if made:
        yield f"changes of tasks that no run has: {made}"


def _wrong_record(run: JobRun) -> Iterator[str]:
    if run.ended_at is not None and run.ended_at < run.started_at:
        yield f"run {run.number} ended before it started"
    for task in run.tasks:
        if task.seconds is not None and task.seconds < 0:
            yield f"run {run.number}, {task.identifier} took {task.seconds} seconds"


def _harm_in_file(engine: Engine) -> Iterator[str]:
    path = getattr(engine._services.store, "_path", None)
    if path is not None:
        with closing(sqlite3.connect(path)) as db:
            yield from (row[0] for row in db.execute("PRAGMA integrity_check") if row[0] != "ok")
            yield from (f"violated: {row}" for row in db.execute("PRAGMA foreign_key_check"))


def _harm_that_verify_finds(engine: Engine) -> Iterator[str]:
    """What `deltamark verify` says: a broken chain of digests, a state that replaying the log does not give."""
    yield from (f"verify: {found}" for found in engine.verify().discrepancies)


def continued(engine: Engine, observer: Observer | None = None) -> JobRun:
    """Goes on with the run that did not end, once it is taken for dead; runs the job where nothing is left."""
    newest = once_dead(engine)
    if newest is None or newest.state in ENDED_WELL:
        return engine.run_job(JOB, observer=observer)
    assert newest.state in (TaskState.ABORTED, TaskState.FAILED), newest.state
    try:
        return engine.resume(newest.number, observer=observer)
    except CannotResume as error:  # it died when only its end was not yet on record
        if "none of its tasks is left to run" not in str(error):
            raise
        return engine.run_job(JOB, observer=observer)


def once_dead(engine: Engine) -> JobRun | None:
    """The newest run, once nobody takes it for alive any more."""
    turn = Event()
    for _ in range(100 * PATIENCE_S):
        newest = next(iter(engine.runs(1)), None)
        if newest is None or newest.state is not TaskState.RUNNING:
            return newest
        turn.wait(0.01)
    raise AssertionError("the leases of a killed run did not expire")


def lives(seed: int, days: int, folder: Path, *, edits: bool = False) -> list[Seen]:
    """What is seen after each day of a company to which nothing happens."""
    extracts = Days(folder / "exports", seed, edits=edits)
    found = []
    for _ in range(days):
        extracts.next()
        with opened(f"sqlite:///{folder}/undisturbed.db", folder / "exports") as engine:
            run = engine.run_job(JOB)
            assert run.state in ENDED_WELL, [task.messages for task in run.tasks]
            assert harm_in(engine) == []
            assert engine.verify_derived().differences == ()
            found.append(seen(engine))
    return found
