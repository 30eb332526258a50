"""A function of a user keeps nobody from writing, and what it answers is written only where it is still right."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

import pyarrow as pa
import pytest
from attrs import evolve

from deltamark import (
    ConcurrentRun,
    EntityAssociation,
    EntityAssociationMapping,
    EntityType,
    EntityTypeMapping,
    Job,
    Property,
    PropertyMapping,
    PropertyRef,
    SetRecentlyModifiedFlagTask,
    Step,
    SynchronizeTask,
    TakenOver,
    TaskState,
    UsageError,
    task,
)
from tests.scenarios.staff import by_row, calls, expressions_task, of, people_model

LENGTHS = {"reads": ["Name"], "writes": ["Score"]}


def length(row):
    return {"Score": len(row["Name"]) if row["Name"] else None}


def asking(before_answering, compute=length, **declared):
    """A function that computes each row, and first calls what it is given with the keys; and all keys that it got."""
    given = []

    @task(entity_types=["Person"], version=1, **{**LENGTHS, **declared})
    def rated(batch):
        keys = batch["key"].to_pylist()
        given.append(sorted(keys))
        before_answering(sorted(keys))
        rows = [{"key": row["key"], **compute(row)} for row in batch.to_pylist()]
        return pa.Table.from_pylist(rows, schema=pa.schema([("key", pa.string()), ("Score", pa.int32())]))

    return rated, given


class Beside:
    """Another engine on the store of some staff, which does what it is told whenever the function is called."""

    def __init__(self):
        self.plans = []

    def __call__(self, keys):
        if self.plans:
            self.plans.pop(0)(keys)

    def synchronizes(self, staff):
        """The extract as it is then comes into the store."""
        staff.write()
        with staff._opened(staff.engine.configuration, {}) as other:
            assert other.run_job("Synchronize").state is TaskState.COMPLETED

    def cancels(self, staff):
        """The first run is asked to stop."""
        with staff._opened(staff.engine.configuration, {}) as other:
            other.cancel(1)


@pytest.fixture
def beside():
    return Beside()


@pytest.fixture
def pool():
    with ThreadPoolExecutor(1) as threads:
        yield threads


@pytest.mark.on_every_store
def test_others_write_while_a_function_is_called(new_staff, beside):
    function, given = asking(beside)
    staff = new_staff(people_model([calls(function)])).person("1", "Ann")
    staff.run()
    beside.plans = [lambda keys: beside.synchronizes(staff.person("3", "Robert"))]

    run = staff.person("2", "Bo").run()

    assert [found.number for found in staff.engine.runs()] == [1, 2, 3]
    assert (given, staff.all("Score")) == ([["1"], ["2"]], {"1": 3, "2": 2})
    assert of(run).counts.computed == 1
    staff.run()
    assert (given, staff.all("Score")) == ([["1"], ["2"], ["3"]], {"1": 3, "2": 2, "3": 6})


@pytest.mark.on_every_store
def test_others_write_while_a_function_of_another_thread_waits(new_staff, beside, pool):
    began, may_end = threading.Event(), threading.Event()
    function, _ = asking(lambda keys: (began.set(), may_end.wait(60)))
    staff = new_staff(people_model([calls(function)])).person("1", "Ann")

    run = pool.submit(staff.run)
    assert began.wait(60)
    beside.synchronizes(staff.person("1", "Robert"))
    may_end.set()

    assert run.result().state is TaskState.COMPLETED
    assert staff.all("Score") == {"1": 6}


@pytest.mark.on_every_store
def test_a_function_is_called_again_for_what_changed_meanwhile(new_staff, beside):
    function, given = asking(beside)
    staff = new_staff(people_model([calls(function)])).person("1", "Ann").person("2", "Bo")
    beside.plans = [lambda keys: beside.synchronizes(staff.person("1", "Robert"))]

    run = staff.run()

    assert given == [["1", "2"], ["1"]]
    assert staff.all("Score") == {"1": 6, "2": 2}
    assert of(run).counts.executed == 2
    assert staff.engine.verify_derived().differences == ()


def test_what_changed_over_a_path_meanwhile_counts(new_staff, beside):
    function, given = asking(
        beside, lambda row: {"Score": len(row["Manager.Name"] or "")}, reads=["Manager.Name"], writes=["Score"]
    )
    staff = new_staff(people_model([calls(function)])).person("1", "Ann").person("2", "Bo", manager="1").person("3")
    beside.plans = [lambda keys: beside.synchronizes(staff.person("3", manager="1").person("1", "Anna"))]

    staff.run()

    assert given == [["1", "2", "3"], ["2", "3"]]
    assert staff.all("Score") == {"1": 0, "2": 4, "3": 4}


def test_what_was_deleted_meanwhile_gets_no_value(new_staff, beside):
    function, given = asking(beside)
    staff = new_staff(people_model([calls(function)])).person("1", "Ann").person("2", "Bo")
    beside.plans = [lambda keys: beside.synchronizes(staff.without("1"))]

    run = staff.run()

    assert given == [["1", "2"]]
    assert staff.all("Score") == {"2": 2}
    assert len([c for c in staff.engine.changes(run=run.number) if c.task == "Rate"]) == 1


def test_what_another_task_computed_meanwhile_stays(new_staff, beside):
    function, given = asking(beside)
    again = Job("Beside", [Step("Others"), Step("Expressions")])
    model = people_model(
        [calls(function)], {"Note": "upper(p.Name)"}, tasks=[calls(function, "Others"), expressions_task()]
    )
    staff = new_staff(with_job(model, again)).person("1", "Ann").person("2", "Bo")

    def computes(keys):
        beside.synchronizes(staff.person("1", "Robert"))
        with staff._opened(staff.engine.configuration, {}) as other:
            assert other.run_job("Beside").state is TaskState.COMPLETED

    beside.plans = [computes]

    staff.run()

    assert given == [["1", "2"], ["1", "2"], ["1"]]
    assert staff.all("Score") == {"1": 6, "2": 2}
    assert staff.all("Note") == {"1": "ROBERT", "2": "BO"}
    assert staff.engine.verify_derived().differences == ()


def with_job(model, job):
    return evolve(model, jobs=[*model.jobs, job])


def test_what_was_discarded_meanwhile_counts_as_changed(new_staff, beside):
    function, given = asking(beside)
    derive = Job("Derive", [SetRecentlyModifiedFlagTask(identifier="Flag"), calls(function, "Alone")])
    staff = new_staff(with_job(people_model([]), derive)).person("1", "Ann").person("2", "Bo")
    staff.run()

    def discards(keys):
        beside.synchronizes(staff.person("1", "Robert"))
        assert staff.engine.retain("HR", keep=0, even_unread=True).outgoing

    beside.plans = [discards]

    staff.run("Derive")

    assert given == [["1", "2"], ["1"]]
    assert staff.all("Score") == {"1": 6, "2": 2}


def test_a_resource_is_not_erased_while_a_run_goes_on(new_staff, beside):
    function, _ = asking(beside)
    staff = new_staff(people_model([calls(function)])).person("1", "Ann")

    def erases(keys):
        with pytest.raises(ConcurrentRun):
            staff.engine.erase("Person", "1", reason="as asked for")

    beside.plans = [erases]

    staff.run()

    assert (beside.plans, staff.all("Score")) == ([], {"1": 3})


def test_what_changes_with_every_call_stays_dirty(new_staff, beside):
    function, given = asking(beside)
    staff = new_staff(people_model([calls(function)])).person("1", "Ann").person("2", "Bo")
    names = iter("x" * size for size in range(10, 30))
    beside.plans = [lambda keys: beside.synchronizes(staff.person("1", next(names)))] * 10

    run = staff.run()

    assert given == [["1", "2"], *[["1"]] * 5]
    assert staff.all("Score") == {"2": 2}
    (message,) = [text for text in of(run).messages if "left out" in text]
    assert message.startswith("1 resource was left out, because what ")
    beside.plans = []
    given.clear()

    staff.run()

    assert given == [["1"]]
    assert staff.all("Score") == {"1": 15, "2": 2}
    staff.run()
    assert given == [["1"]]
    assert staff.engine.verify_derived().differences == ()


def test_what_changes_with_every_call_stays_dirty_in_a_later_run_too(new_staff, beside):
    function, given = asking(beside)
    staff = new_staff(people_model([calls(function)])).person("1", "Ann").person("2", "Bo")
    staff.run()
    given.clear()
    names = iter("x" * size for size in range(10, 30))
    beside.plans = [lambda keys: beside.synchronizes(staff.person("1", next(names)))] * 10

    staff.person("1", "Anna").person("2", "Bob").run()

    assert given == [["1", "2"], *[["1"]] * 5]
    assert staff.all("Score") == {"1": 3, "2": 3}
    beside.plans = []
    given.clear()
    staff.run()
    assert given == [["1"]]
    assert staff.all("Score") == {"1": 15, "2": 3}


def test_more_than_fits_into_memory_is_asked_in_turns(new_staff, beside, monkeypatch):
    monkeypatch.setattr("deltamark.application.derivation.user_functions.answers.MOST_BYTES", 1)
    function, given = asking(beside, batch_size=1)
    staff = new_staff(people_model([calls(function)])).person("1", "Ann").person("2", "Bo").person("3", "Cem")
    beside.plans = [lambda keys: beside.synchronizes(staff.person("1", "Robert").person("2", "Bobby"))]

    staff.run()

    assert sorted(given) == [["1"], ["1"], ["2"], ["3"]]
    assert staff.all("Score") == {"1": 6, "2": 5, "3": 3}


def test_a_function_reads_its_own_values_of_other_resources(new_staff, beside):
    given = []

    @task(entity_types=["Person", "Room"], reads=["Above.Note"], writes=["Note"])
    def path(batch):
        kind = batch.schema.metadata[b"entity_type"].decode()
        given.append((kind, sorted(batch["key"].to_pylist())))
        beside(None)
        notes = [
            f"{above or ''}/{key}"
            for key, above in zip(batch["key"].to_pylist(), batch["Above.Note"].to_pylist(), strict=True)
        ]
        return pa.table({"key": batch["key"], "Note": notes})

    staff = new_staff(nested_model(path)).person("1", Room="a").person("2", Room="b")

    staff.run()

    assert staff.all("Note") == {"1": "/a/1", "2": "/b/2"}
    assert given == [("Room", ["a", "b"]), ("Person", ["1", "2"])]
    assert staff.engine.verify_derived().differences == ()
    given.clear()
    beside.plans = [lambda keys: beside.synchronizes(staff.person("2", Room="d"))]

    staff.person("1", Room="c").run()

    assert staff.all("Note") == {"1": "/c/1", "2": "/b/2"}
    staff.run()
    assert staff.all("Note") == {"1": "/c/1", "2": "/d/2"}
    assert staff.engine.verify_derived().differences == ()


def nested_model(function):
    """People in rooms in houses, where there is no house."""
    model = people_model([calls(function)])
    key = Property("Code", is_key=True)
    room = EntityType("Room", [key, Property("Note")])
    house = EntityType("House", [key, Property("Note")])
    return evolve(
        model,
        entity_types=[*model.entity_types, room, house],
        associations=[
            *model.associations,
            EntityAssociation(
                "In", PropertyRef("Person", "Above"), PropertyRef("Room", "People"), is_property2_collection=True
            ),
            EntityAssociation(
                "Of", PropertyRef("Room", "Above"), PropertyRef("House", "Rooms"), is_property2_collection=True
            ),
        ],
        entity_type_mappings=[
            *model.entity_type_mappings,
            EntityTypeMapping("Room", "HR", "people", [PropertyMapping("Code", "room", is_primary_key=True)]),
        ],
        association_mappings=[
            *model.association_mappings,
            EntityAssociationMapping(
                "In", "HR", "people", "number", "room", PropertyRef("Person", "Number"), PropertyRef("Room", "Code")
            ),
        ],
    )


def test_a_run_that_was_taken_over_while_its_function_was_called_writes_nothing(new_staff, beside):
    function, _ = asking(beside)
    staff = new_staff(people_model([calls(function)])).person("1", "Ann")

    def takes_over(keys):
        assert staff.engine._services.store.renew_leases(1, 0.0)
        with staff._opened(staff.engine.configuration, {}) as other:
            assert other.run_job("Daily").state is TaskState.COMPLETED

    beside.plans = [takes_over]

    with pytest.raises(TakenOver):
        staff.tried()

    first, second = staff.engine.runs()
    assert (first.state, second.state) == (TaskState.ABORTED, TaskState.COMPLETED)
    assert {c.run for c in staff.engine.changes() if c.task == "Rate"} == {2}


@pytest.mark.parametrize("of_another_engine", [False, True])
def test_a_function_may_run_other_jobs(new_staff, beside, of_another_engine):
    function, _ = asking(beside)
    staff = new_staff(people_model([calls(function)])).person("1", "Ann")

    def runs(keys):
        if of_another_engine:
            beside.synchronizes(staff)
        else:
            assert staff.engine.run_job("Synchronize").state is TaskState.COMPLETED
        with pytest.raises(ConcurrentRun, match="is already running"):
            staff.engine.run_job("Daily")

    beside.plans = [runs]

    staff.run()

    assert [run.job for run in staff.engine.runs()] == ["Daily", "Synchronize"]
    assert staff.all("Score") == {"1": 3}


@pytest.mark.parametrize("of_another_engine", [False, True])
def test_in_a_dry_run_a_function_that_runs_a_job_is_refused_at_once(new_staff, beside, of_another_engine):
    function, _ = asking(beside)
    staff = new_staff(people_model([calls(function)])).person("1", "Ann")
    refused = []

    def runs(keys):
        engine = staff._opened(staff.engine.configuration, {}) if of_another_engine else staff.engine
        with pytest.raises(UsageError) as e:
            engine.run_job("Synchronize")
        refused.append(str(e.value))

    beside.plans = [runs]

    staff.tried(dry_run=True)

    (message,) = refused
    assert "of a task calls Engine.run_job" in message
    assert "that of a dry run" in message


# Cancelling


released = threading.Event()


def never():
    released.wait()


def busily():
    while True:
        pass


def stubbornly():
    while True:
        try:
            never()
        except Exception as e:
            print(e)


def wrapping():
    try:
        never()
    except BaseException as e:
        raise ValueError("wrapped") from e


@pytest.fixture
def soon(monkeypatch):
    """A cancellation is noticed at once.

    A thread that was left behind ends with the test: while an exception waits for a thread, CPython 3.11 calls the
    profiler of another test again and again (`DO_TRACING` never gets past `RESUME`).
    """
    monkeypatch.setattr("deltamark.application.derivation.user_functions.cancellation.ASK_AGAIN_S", 0.01)
    released.clear()
    yield
    released.set()
    for thread in threading.enumerate():
        if thread.name == "calls a function":
            thread.join()


@pytest.mark.parametrize("wait", [never, busily, stubbornly, wrapping])
def test_a_cancelled_run_ends_its_function(new_staff, beside, soon, pool, wait):
    function, _ = asking(beside)
    staff = new_staff(people_model([calls(function), expressions_task()], {"Note": "p.Score"})).person("1", "Ann")

    beside.plans = [lambda keys: (pool.submit(beside.cancels, staff), wait())]

    run = staff.tried()

    assert run.state is TaskState.CANCELLED
    assert [task.state for task in run.tasks][2:] == [TaskState.CANCELLED, TaskState.SKIPPED]
    assert of(run).messages == (
        f"function {function.name} was ended, because the run was cancelled. Nothing was changed.",
    )
    assert staff.all("Score") == {}
    staff.run()
    assert staff.all("Score") == {"1": 3}


@pytest.mark.parametrize("wait", [never, busily, stubbornly, wrapping])
def test_a_function_in_a_level_of_several_tasks_is_ended_too(new_staff, beside, soon, pool, wait):
    function, _ = asking(beside)
    other_function, _ = by_row(lambda row: {"Label": row["Name"]}, reads=["Name"], writes=["Label"])
    tasks = [calls(function, level=2), calls(other_function, "Others", level=2)]
    staff = new_staff(people_model([]))
    model = staff.engine.configuration
    levelled = Job(
        "Levels",
        [
            SynchronizeTask(identifier="First", connector="HR", level=0),
            SetRecentlyModifiedFlagTask(identifier="Flag", level=1),
            *tasks,
        ],
    )
    staff.configured(with_job(model, levelled)).person("1", "Ann")

    beside.plans = [lambda keys: (pool.submit(beside.cancels, staff), wait())]

    run = staff.tried("Levels")

    assert run.state is TaskState.CANCELLED
    assert of(run).state is TaskState.CANCELLED
    assert staff.all("Score") == {}
    staff.run("Levels")
    assert (staff.all("Score"), staff.all("Label")) == ({"1": 3}, {"1": "Ann"})
