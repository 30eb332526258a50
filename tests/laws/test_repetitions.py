"""A run that does not compare what was applied already leaves what one leaves that compares everything."""

from __future__ import annotations

import csv
import re
import sqlite3
from collections.abc import Callable, Iterable, Sequence
from itertools import count
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from attrs import define, evolve, field
from hypothesis import given
from hypothesis import strategies as st

from deltamark import (
    Configuration,
    Connector,
    Delete,
    Engine,
    Job,
    JobRun,
    Observer,
    PrepareSynchronizationTask,
    Property,
    PropertyMapping,
    Step,
    SynchronizeTask,
    TaskState,
    Thresholds,
    Upsert,
    UsageError,
)
from deltamark.application.synchronization import repetitions
from deltamark.infrastructure.store.queries.repetitions import RepetitionQueries
from tests.application.synchronization.row_order import configuration
from tests.stores import NewStore
from tests.tiers import law

Step_ = tuple[Any, ...]
TABLES = {"users": ["login"], "groups": ["name", "note"], "many": ["group", "user"]}
NOT_COMPARED = "not compared: "
_TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ")


def two_connectors(*, notes: bool = True) -> Configuration:
    """Users of one connector; groups and their members of another one, which may delete one group at a time."""
    base = configuration(["Many"])
    _, group, user = base.entity_types
    _, groups, users = base.entity_type_mappings
    (members,) = base.association_mappings
    mapped = [*groups.properties, *([PropertyMapping("Note", "note")] if notes else [])]
    return evolve(
        base,
        connectors=[Connector("S"), Connector("G", thresholds=Thresholds(maximum_deleted_lines=1))],
        entity_types=[evolve(group, properties=[*group.properties, Property("Note")]), user],
        entity_type_mappings=[evolve(groups, connector="G", properties=mapped), users],
        association_mappings=[evolve(members, connector="G")],
        jobs=[
            Job("Users", [SynchronizeTask(connector="S", do_not_delete_changes=True)]),
            Job("Discard", [SynchronizeTask(connector="S", identifier="DiscardS")]),
            Job("Groups", [SynchronizeTask(connector="G", do_not_delete_changes=True)]),
            Job("Prepared", [PrepareSynchronizationTask(connector="G"), Step("SynchronizeG")]),
        ],
    )


class Killed(Observer):
    """Breaks a run off as soon as a task has ended."""

    def task_ended(self, run: int, task: object) -> None:
        raise UsageError("killed")


@define
class Twins:
    """Two stores with the same life; the runs of the second compare everything."""

    engines: list[Engine]
    urls: list[str]
    folder: Path
    skipped: int = 0
    notes: bool = True
    runs: list[list[JobRun]] = field(factory=lambda: [[], []])

    @classmethod
    def new(cls, new_store: NewStore, folder: Path) -> Twins:
        folder.mkdir(parents=True)
        urls = [new_store(), new_store()]
        twins = cls([cls._open(url, folder, notes=True) for url in urls], urls, folder)
        for table in TABLES:
            twins.step(("write", table, [["x", "1"]] if table == "groups" else []))
        return twins

    @staticmethod
    def _open(url: str, folder: Path, *, notes: bool) -> Engine:
        return Engine.open(url, configuration=two_connectors(notes=notes), export_output=folder)

    def step(self, step: Step_) -> None:
        """Does the same to both, and compares them."""
        match step:
            case ("write", table, rows):
                with (self.folder / f"{table}.csv").open("w", newline="") as file:
                    csv.writer(file).writerows([TABLES[table], *rows])
                return
            case ("parquet", table, columns):
                (self.folder / f"{table}.csv").unlink(missing_ok=True)
                pq.write_table(pa.table(columns, TABLES[table]), self.folder / f"{table}.parquet")
                return
            case ("configure",):
                self.notes = not self.notes
                for number, url in enumerate(self.urls):
                    self.engines[number].close()
                    self.engines[number] = self._open(url, self.folder, notes=self.notes)
                return
        for number, engine in enumerate(self.engines):
            self._do(engine, self.runs[number], step, compares=number == 1)
        self.compare()

    def _do(self, engine: Engine, runs: list[JobRun], step: Step_, *, compares: bool) -> None:
        known = len(runs)
        try:
            match step:
                case ("run", job, force):
                    runs.append(engine.run_job(job, force=force, force_read=compares))
                case ("kill", job):
                    engine.run_job(job, force_read=compares, observer=Killed())
                case ("delete", key):
                    runs.append(engine.record("S", [Delete("User", key)], force=True))
                case ("given", job, table):
                    runs.append(engine.run_job(job, force=True, force_read=compares, extracts={"groups": table}))
                case ("record", key, note):
                    change = Delete("Group", key) if note is None else Upsert("Group", {"Name": key, "Note": note})
                    runs.append(engine.record("G", [change], force=True))
                case ("erase", key):
                    engine.erase("User", key, reason="asked for")
                case ("retain",):
                    engine.retain("G", keep="0d", even_unread=True)
                case ("resume" | "cancel" as decision,) if runs and runs[-1].state is TaskState.BLOCKED:
                    runs.append(getattr(engine, decision)(runs[-1].number))
                case ("replay",):
                    engine.replay()
        except UsageError:
            pass  # both refuse it, or are killed
        if len(runs) > known:
            self.skipped += any(m.startswith(NOT_COMPARED) for task in runs[-1].tasks for m in task.messages)

    def compare(self) -> None:
        """The logs, the states, the waiting links and the records of both are the same."""
        one, other = (self._told(engine) for engine in self.engines)
        assert one == other
        assert [self._record(run) for run in self.runs[0]] == [self._record(run) for run in self.runs[1]]

    @staticmethod
    def _told(engine: Engine) -> dict[str, Any]:
        with engine._services.store.reading() as reading:
            log = [
                (position, type(event).__name__, event.ref, getattr(event, "changes", None))
                for position, event in reading.changes(0, None)
            ]
            blocks = [(block.connector, block.run, block.needs_complete) for block in reading.blocks()]
            waiting = reading.waiting_links("Many")
        states = {
            name: [(row.key, row.values, row.links) for row in engine.export_resources(name)]
            for name in ("User", "Group")
        }
        return {"log": log, "blocks": blocks, "waiting": waiting, "states": states, "head": engine.position()}

    @staticmethod
    def _record(run: JobRun) -> list[Any]:
        return [
            (
                task.identifier,
                task.state,
                task.effect,
                task.counts,
                task.set_aside,
                [_TIME.sub("a time", m) for m in task.messages if not m.startswith(NOT_COMPARED)],
            )
            for task in run.tasks
        ]

    def close(self) -> None:
        for engine in self.engines:
            assert engine.verify().is_sound
            engine.close()


@pytest.fixture
def new_twins(new_store: NewStore, tmp_path: Path) -> Callable[[], Twins]:
    numbers = count()
    return lambda: Twins.new(new_store, tmp_path / str(next(numbers)))


USERS = [["a"], ["b"]]
"""Extracts of which the second of each is the first with an edit: a fault, an orphan, a resource less or more."""
EXTRACTS = {
    "users": [USERS, [["a"]], [["a"], ["b"], ["b"]], [["b"], ["c"]]],
    "groups": [
        [["x", "1"], ["y", "2"]],
        [["x", "1"], ["y", "3"]],
        [["x", "1"]],
        [["y", "1"], ["y", "2"], ["", ""]],
        [],
    ],
    "many": [[["x", "a"], ["y", "b"]], [["x", "a"], ["x", "gone"]], [["y", "a"], ["", "b"]], [["z", "c"]]],
}
GROUPS: Step_ = ("run", "Groups", False)
RUNS = st.tuples(st.just("run"), st.sampled_from(["Users", "Discard", "Groups", "Groups", "Prepared"]), st.just(False))
STEPS = st.one_of(
    *(st.tuples(st.just("write"), st.just(table), st.sampled_from(rows)) for table, rows in EXTRACTS.items()),
    *3 * [RUNS],
    st.tuples(st.just("run"), st.just("Groups"), st.just(True)),
    st.tuples(st.just("kill"), st.just("Groups")),
    st.tuples(st.sampled_from(["delete", "erase"]), st.sampled_from(["a", "b"])),
    st.sampled_from([("retain",), ("resume",), ("cancel",), ("replay",), ("configure",)]),
)
BEGINNING: Sequence[Step_] = (
    *(("write", table, rows[0]) for table, rows in EXTRACTS.items()),
    ("run", "Users", False),
    ("run", "Discard", False),
    ("run", "Groups", True),
    GROUPS,
)


@pytest.mark.slow  # runs jobs for each example
@law(24)
@given(steps=st.lists(STEPS, min_size=4, max_size=12))
def test_runs_that_compare_less_leave_the_same(new_twins: Callable[[], Twins], steps: list[Step_]) -> None:
    assert lived(new_twins(), [*BEGINNING, *steps, GROUPS, GROUPS]).skipped


def lived(twins: Twins, steps: Iterable[Step_]) -> Twins:
    """A life to its end; the last run of all may repeat the one before."""
    try:
        for step in steps:
            twins.step(step)
    finally:
        twins.close()
    return twins


CAUSES: dict[str, Sequence[Step_]] = {
    "another connector deletes an end": (("write", "users", [["b"]]), ("run", "Users", True)),
    "a recorded change": (("delete", "a"),),
    "an erasure": (("erase", "a"),),
    "a change of the same that was discarded": (
        ("write", "groups", [["x", "9"], ["y", "2"]]),
        GROUPS,
        ("retain",),
        ("write", "groups", EXTRACTS["groups"][0]),
    ),
    "another configuration": (("configure",),),
    "links that wait": (
        ("write", "many", [["x", "a"], ["y", "b"], ["y", "gone"]]),
        GROUPS,
        ("write", "many", EXTRACTS["many"][0]),
    ),
    "changes that are held back": (
        ("write", "groups", [["z", ""]]),
        GROUPS,
        ("write", "groups", EXTRACTS["groups"][0]),
    ),
}


@pytest.mark.many
@pytest.mark.parametrize("cause", CAUSES)
def test_what_something_else_changed_is_compared(cause: str, new_twins: Callable[[], Twins]) -> None:
    twins = new_twins()
    for step in (*BEGINNING, *CAUSES[cause]):
        twins.step(step)
    before = twins.skipped

    twins.step(GROUPS)

    assert twins.skipped == before
    twins.step(GROUPS)
    assert twins.skipped == before + 1
    twins.close()


@pytest.mark.parametrize("cause", ["another connector deletes an end", "an erasure", "links that wait"])
def test_without_a_look_at_the_log_the_difference_is_found(
    cause: str, new_twins: Callable[[], Twins], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(RepetitionQueries, "_touches", lambda *_: False)
    with pytest.raises(AssertionError):
        lived(new_twins(), (*BEGINNING, *CAUSES[cause], GROUPS))


def test_without_the_configuration_the_difference_is_found(
    new_twins: Callable[[], Twins], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(repetitions, "digest_of", lambda plain: str(plain[2:]))
    monkeypatch.setattr(RepetitionQueries, "_touches", lambda *_: False)
    with pytest.raises(AssertionError):
        lived(new_twins(), (*BEGINNING, ("configure",), GROUPS, ("configure",), GROUPS))


def test_a_state_that_a_replay_corrected_is_compared(new_twins: Callable[[], Twins], memory: Path) -> None:
    twins = new_twins()
    for step in BEGINNING:
        twins.step(step)
    for url in twins.urls:
        with sqlite3.connect(url.removeprefix("sqlite:///")) as store:
            store.execute("UPDATE resources SET state='{\"Name\":\"x\"}' WHERE key='x'")
        store.close()
    before = twins.skipped
    for step in (("replay",), GROUPS):
        twins.step(step)
    assert twins.skipped == before
    twins.close()
