"""What programs may do wrong: each has its documented outcome, a clear error, and never half a change."""

from __future__ import annotations

import enum
import os
import threading
from contextlib import suppress
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path

import pytest
from attrs import evolve

from deltamark import (
    AlreadyRunning,
    Configuration,
    ConfigurationError,
    Connector,
    Engine,
    EntityType,
    HistoryDiscarded,
    Job,
    Observer,
    Property,
    RunMoment,
    SetRecentlyModifiedFlagTask,
    SynchronizeTask,
    TaskState,
    UsageError,
)
from tests.scenarios.house import configuration, task


@pytest.fixture
def staffed(house):
    """A house in which one run was."""
    house.people({"1": "Ann", "2": "Bob"}).run()
    return house


# Wrong types, None, and what does not exist (149, 150).

CALLS = {
    "run_job": [lambda e, v: e.run_job(v)],
    "an entity type": [
        lambda e, v: e.resource(v, "1"),
        lambda e, v: e.history(v, "1"),
        lambda e, v: e.links(v, "1"),
        lambda e, v: e.export(v),
        lambda e, v: e.export_resources(v),
    ],
    "a key": [
        lambda e, v: e.resource("Person", v),
        lambda e, v: e.history("Person", v),
        lambda e, v: e.links("Person", v),
    ],
    "a run": [lambda e, v: e.run(v)],
}
NO_TEXT = [None, 5, 1.5, True, b"Person", ["Person"], ("Person",), object(), Path("Person"), type]


@pytest.mark.parametrize("value", NO_TEXT, ids=lambda v: type(v).__name__)
@pytest.mark.parametrize("what", ["run_job", "an entity type", "a key"])
def test_what_is_named_by_a_text_is_named_by_nothing_else(staffed, what, value):
    for call in CALLS[what]:
        with pytest.raises(UsageError, match="is given as a text, not as "):
            call(staffed.engine, value)


@pytest.mark.parametrize("value", NO_TEXT[1:], ids=lambda v: type(v).__name__)
def test_names_that_may_be_left_out_are_texts_where_they_are_given(staffed, value):
    engine = staffed.engine
    calls = [
        lambda: engine.changes(entity_type=value),
        lambda: engine.changes(key=value),
        lambda: engine.horizons(value),
        lambda: engine.dirty(value),
        lambda: engine.dirty(task=value),
        lambda: engine.keys(value),
        lambda: engine.matches(value),
    ]

    for call in calls:
        with pytest.raises(UsageError, match="is given as a text"):
            call()


@pytest.mark.parametrize("value", [None, "1", 1.0, True, -1, 10**30, object(), [1]], ids=lambda v: type(v).__name__)
def test_the_number_of_a_run_is_a_whole_number(staffed, value):
    with pytest.raises(UsageError, match="whole number"):
        staffed.engine.run(value)
    if value is not None:
        with pytest.raises(UsageError, match="whole number"):
            staffed.engine.runs(value)
        with pytest.raises(UsageError, match="whole number"):
            staffed.engine.changes(run=value)


@pytest.mark.parametrize(
    "value", [None, "0", 0.0, True, RunMoment(1), datetime.now(UTC)], ids=lambda v: type(v).__name__
)
def test_the_position_after_which_changes_are_asked_for_is_a_whole_number(staffed, value):
    with pytest.raises(UsageError, match="after is a position in the log, a whole number, not "):
        staffed.engine.changes(after=value)


@pytest.mark.parametrize(
    "value", ["2026-01-01", "run:1", 1.5, True, [1], object(), timedelta(1), datetime.now(UTC).date()],
    ids=lambda v: type(v).__name__,
)  # fmt: skip
def test_a_moment_is_a_position_a_time_or_the_end_of_a_run(staffed, value):
    engine = staffed.engine
    calls = [
        lambda: engine.changes(until=value),
        lambda: engine.resource("Person", "1", at=value),
        lambda: engine.links("Person", "1", at=value),
        lambda: engine.export("Person", at=value),
        lambda: engine.export_resources("Person", at=value),
        lambda: engine.position(value),
    ]

    for call in calls:
        with pytest.raises(UsageError, match="is a moment: a position"):
            call()


@pytest.mark.parametrize("value", [None, "", "yes", 1, 0])
@pytest.mark.parametrize("name", ["force", "dry_run"])
def test_a_claim_is_true_or_false_and_no_text_that_counts_as_true(staffed, name, value):
    before = staffed.engine.position()

    with pytest.raises(UsageError, match=f"{name} is True or False, not "):
        staffed.engine.run_job("People", **{name: value})

    assert staffed.engine.position() == before


@pytest.mark.parametrize(
    ("call", "told"),
    [
        (lambda e: e.run_job("Poeple"), 'there is no job "Poeple"; did you mean "People"?'),
        (lambda e: e.resource("Persn", "1"), 'there is no entity type "Persn"; did you mean "Person"?'),
        (lambda e: e.history("Person", "9"), 'there never was a Person with the key "9".'),
        (lambda e: e.run(99), "there is no run 99."),
        (lambda e: list(e.changes(run=99)), "there is no run 99. The newest is run 1."),
        (lambda e: e.position(RunMoment(99)), "there is no run 99. The newest is run 1."),
        (lambda e: e.position(10**30), "is not in the log, which ends at"),
        (lambda e: list(e.changes(after=-1)), "position -1 is not in the log"),
        (lambda e: e.dirty(task="Kyes"), 'there is no task "Kyes" with Dirty="true"; did you mean "Keys"?'),
        (lambda e: list(e.keys("Owner")), 'there is no correlation rule "Owner"; did you mean "Owner_1"?'),
        (lambda e: e.run_job("a\x1b[31m\nb"), 'there is no job "a\\x1b[31m\\x0ab"'),
        (lambda e: e.run_job("J" * 500), f'there is no job "{"J" * 80}"…'),
    ],
)
def test_what_does_not_exist_is_told_with_the_nearest_name_on_one_line(staffed, call, told):
    with pytest.raises(UsageError) as refused:
        call(staffed.engine)

    assert told in str(refused.value)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize("text", ["\ud800", "a\udcffb"])
def test_half_a_character_names_nothing(staffed, text):
    for call in (
        lambda: staffed.engine.resource("Person", text),
        lambda: staffed.engine.run_job(text),
        lambda: staffed.engine.changes(key=text),
    ):
        with pytest.raises(UsageError, match="is no Unicode text"):
            call()


def test_a_value_that_cannot_even_be_shown_is_refused(staffed):
    class Hostile:
        def __repr__(self):
            raise RuntimeError("not to be shown")

    with pytest.raises(UsageError, match="<cannot be shown>"):
        staffed.engine.resource("Person", Hostile())


class Name(str):
    """A text of a class of its own (161)."""


class Jobs(enum.StrEnum):
    """Texts as members of an enumeration."""

    PEOPLE = "People"


def test_texts_of_other_classes_are_texts(staffed):
    assert staffed.engine.resource(Name("Person"), Name("1")).values["Name"] == "Ann"
    assert staffed.engine.run_job(Jobs.PEOPLE).job == "People"
    assert [c.event.ref.key for c in staffed.engine.changes(key=Name("2"))] == ["2"]


@pytest.mark.parametrize(
    "key", ["", " ", "1 ", "01", "%", "_", "' OR 1=1 --", "\x00", "1\x00", "x" * 100_000, "\N{SNOWMAN}"]
)
def test_any_other_text_is_the_key_of_nobody(staffed, key):
    assert staffed.engine.resource("Person", key) is None
    assert staffed.engine.links("Person", key) == []
    assert list(staffed.engine.changes(entity_type="Person", key=key)) == []


# Times (151).


def test_a_time_without_a_zone_is_refused(staffed):
    with pytest.raises(UsageError, match=r"2026-01-01T00:00:05 has no time zone. Write 2026-01-01T00:00:05Z for UTC"):
        staffed.engine.resource("Person", "1", at=datetime(2026, 1, 1, 0, 0, 5))


def test_a_time_in_any_zone_is_the_moment_that_it_is(staffed):
    ended_at = staffed.engine.runs()[0].ended_at
    staffed.people({"1": "Anna"}).run()
    there = timezone(timedelta(hours=-9, minutes=-30))

    assert staffed.engine.resource("Person", "1", at=ended_at.astimezone(there)).values["Name"] == "Ann"
    assert staffed.engine.resource("Person", "1", at=ended_at - timedelta(days=1)) is None
    with pytest.raises(UsageError, match="is in the future"):
        staffed.engine.resource("Person", "1", at=datetime.max.replace(tzinfo=UTC))
    assert staffed.engine.resource("Person", "1", at=datetime.min.replace(tzinfo=UTC)) is None


@pytest.mark.parametrize("now", [datetime(2026, 1, 1), None, "2026-01-01", 1_767_225_600])
def test_a_clock_that_gives_no_time_in_a_zone_is_refused_and_nothing_is_written(store_url, tmp_path, now):
    with Engine.open(store_url, configuration=configuration(), export_output=tmp_path, clock=lambda: now) as engine:
        with pytest.raises(UsageError, match="It must give a datetime with a time zone"):
            engine.run_job("People")
        assert engine.position() == 0


# Opening.


@pytest.mark.parametrize(
    ("wrong", "told"),
    [
        ({"store": None}, "store, a URL such as sqlite:///deltamark.db, is given as a text, not as None"),
        ({"store": Path("a.db")}, "store, a URL such as sqlite:///deltamark.db, is given as a text, not as"),
        ({"configuration": None}, "configuration is a Configuration or a path, not NoneType"),
        ({"configuration": 5}, "configuration is a Configuration or a path, not int"),
        ({"configuration": b"a"}, "configuration is a Configuration or a path, not bytes"),
        ({"configuration": Configuration}, "configuration is a Configuration or a path, not type"),
        ({"export_output": None}, "export_output is a path, not NoneType"),
        ({"export_output": 5}, "export_output is a path, not int"),
        ({"create": None}, "create is True or False, not None"),
        ({"clock": None}, "clock is a function"),
        ({"clock": datetime.now(UTC)}, "clock is a function"),
    ],
)
def test_an_engine_is_not_opened_with_arguments_of_wrong_types(store_url, tmp_path, wrong, told):
    right = {"store": store_url, "configuration": configuration(), "export_output": tmp_path}
    arguments = {**right, **wrong}

    with pytest.raises(UsageError) as refused:
        Engine.open(arguments.pop("store"), **arguments)

    assert told in str(refused.value)


def test_a_configuration_of_wrong_types_is_refused_with_every_fault(store_url, tmp_path):
    wrong = Configuration(
        connectors=[Connector(5)],
        entity_types=[EntityType("Person", [Property("Number", "String")])],
        jobs=[Job("J", [SynchronizeTask(connector=None)])],
    )

    with pytest.raises(ConfigurationError) as refused:
        Engine.open(store_url, configuration=wrong, export_output=tmp_path)

    assert [fault.message for fault in refused.value.faults] == [
        'Connector: identifier is "5" (int), not a text',
        'Property "Number": type is "String" (str), not PropertyType; write PropertyType.STRING',
        'SynchronizeTask "SynchronizeNone": connector is None, not a text',
    ]


def test_a_text_where_a_sequence_is_wanted_is_refused_at_once():
    with pytest.raises(TypeError, match="a text is not a sequence here"):
        Job("J", "SynchronizeHR")
    with pytest.raises(TypeError, match="a text is not a sequence here"):
        SetRecentlyModifiedFlagTask(parents="SynchronizeHR")


def test_sequences_of_every_kind_are_taken_and_later_changes_of_them_are_not(store_url, tmp_path):
    tasks = [SynchronizeTask(connector="HR")]
    job = Job("J", (t for t in tasks))
    connectors = [Connector("HR")]
    configured = Configuration(connectors=connectors, jobs=[job])

    connectors.append(Connector(None))
    tasks.clear()

    with Engine.open(store_url, configuration=configured, export_output=tmp_path) as engine:
        assert engine.run_job("J").state is TaskState.COMPLETED


# The life of an engine (164).


def test_after_close_everything_is_refused(staffed):
    engine = staffed.engine
    engine.close()
    calls = [
        lambda: engine.run_job("People"),
        lambda: engine.changes(),
        lambda: engine.history("Person", "1"),
        lambda: engine.resource("Person", "1"),
        lambda: engine.links("Person", "1"),
        lambda: engine.export("Person"),
        lambda: engine.export_resources("Person"),
        lambda: engine.dirty(),
        lambda: engine.keys(),
        lambda: engine.matches(),
        lambda: engine.runs(),
        lambda: engine.run(1),
        lambda: engine.position(),
        lambda: engine.horizons(),
    ]

    for call in calls:
        with pytest.raises(UsageError, match="this engine is closed"):
            call()


def test_closing_twice_is_closing_once(staffed):
    staffed.engine.close()
    staffed.engine.close()

    assert staffed.configured().names() == {"1": "Ann", "2": "Bob"}


def test_a_block_that_fails_closes_the_engine(store_url, tmp_path):
    with (
        pytest.raises(ZeroDivisionError),
        Engine.open(store_url, configuration=configuration(), export_output=tmp_path) as engine,
    ):
        raise ZeroDivisionError
    with pytest.raises(UsageError, match="closed"):
        engine.position()


def test_an_iteration_that_is_given_up_keeps_nothing_busy(staffed):
    for _ in range(50):
        next(staffed.engine.changes())
        next(staffed.engine.export_resources("Person"))

    staffed.people({"1": "Anna"}).run()

    assert staffed.names() == {"1": "Anna"}


def test_an_iteration_sees_the_store_as_it_was_when_it_began(staffed):
    changes = staffed.engine.changes()
    first = next(changes)

    staffed.people({"3": "Cem"}).run()

    assert [first.event.ref.key, *(c.event.ref.key for c in changes)] == ["1", "2"]


def test_iterations_may_be_nested(staffed):
    pairs = [(a.position, b.key) for a in staffed.engine.changes() for b in staffed.engine.export_resources("Person")]

    assert len(pairs) == 4


def test_an_engine_works_in_other_threads_at_the_same_time(staffed):
    found, errors, ran = [], [], [1]

    def work():
        try:
            for _ in range(5):
                with suppress(AlreadyRunning):  # of several runs of a task, one at a time
                    run = staffed.engine.run_job("People")
                    ran.append(run.number)
                    assert run.counts.changed == 0
                found.append(len(list(staffed.engine.changes())) - 2)
        except BaseException as e:
            errors.append(e)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert (errors, found) == ([], [0] * 20)
    assert [run.number for run in staffed.engine.runs()] == sorted(ran)


def test_two_engines_on_one_store_see_what_the_other_did(staffed, clock):
    with Engine.open(
        staffed.url, configuration=configuration(), export_output=staffed.folder, clock=clock
    ) as other:  # fmt: skip
        staffed.people({"1": "Anna"}).run()
        assert other.resource("Person", "1").values["Name"] == "Anna"

        staffed.people({"1": "Anne"})
        assert other.run_job("People").counts.updated == 1

        assert staffed.names() == {"1": "Anne"}
        assert staffed.run().counts.changed == 0
        assert [run.number for run in other.runs()] == [1, 2, 3, 4]


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork here")
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_a_forked_process_is_told_to_open_its_own_engine(staffed):
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            staffed.engine.position()
        except UsageError as e:
            os.write(writing, str(e).encode())
        except BaseException as e:
            os.write(writing, repr(e).encode())
        finally:
            staffed.engine.close()
            os._exit(0)
    os.close(writing)
    os.waitpid(child, 0)
    with os.fdopen(reading) as told:
        assert f"this engine was opened by process {os.getpid()}, of which this one ({child}) was forked" in told.read()

    assert staffed.people({"1": "Anna"}).run().counts.updated == 1


# Observers, and calls from inside (163).


class Failing(Observer):
    """Raises when a task begins, or when it ended."""

    def __init__(self, error, *, at):
        self.error, self.at, self.told = error, at, []

    def task_started(self, run, task):
        self.told.append(("started", task.identifier))
        if self.at == ("started", task.identifier):
            raise self.error

    def task_ended(self, run, task):
        self.told.append(("ended", task.identifier))
        if self.at == ("ended", task.identifier):
            raise self.error


@pytest.mark.parametrize("error", [ValueError("odd"), UsageError("odd"), SystemExit(3), KeyboardInterrupt()], ids=repr)
def test_an_observer_that_raises_when_a_task_begins_fails_it_on_record_and_comes_out(staffed, error):
    staffed.people({"1": "Anna"})
    observer = Failing(error, at=("started", "SynchronizeHR"))

    with pytest.raises(type(error)) as raised:
        staffed.engine.run_job("Incremental", observer=observer)

    assert raised.value is error
    run = staffed.engine.run(2)
    assert run.state is TaskState.FAILED
    assert [t.state for t in run.tasks] == [TaskState.FAILED, TaskState.SKIPPED, TaskState.SKIPPED]
    assert staffed.names() == {"1": "Ann", "2": "Bob"}
    assert observer.told == [("started", "SynchronizeHR")]  # it is told nothing more


def test_an_observer_that_raises_when_a_task_ended_leaves_what_that_task_did(staffed):
    staffed.run("Incremental")
    staffed.people({"1": "Anna"})

    with pytest.raises(ValueError, match="odd"):
        staffed.engine.run_job("Incremental", observer=Failing(ValueError("odd"), at=("ended", "SynchronizeHR")))

    run = staffed.engine.run(3)
    assert (run.state, run.ended_at is not None) == (TaskState.FAILED, True)
    assert [t.state for t in run.tasks] == [TaskState.COMPLETED, TaskState.SKIPPED, TaskState.SKIPPED]
    assert run.tasks[1].messages == ("skipped: the observer of the run failed (internal error: ValueError: odd)",)
    assert staffed.names() == {"1": "Anna"}
    after = staffed.run("Incremental")
    assert task(after, "Keys").counts.computed == 2  # nothing was lost


def test_an_observer_is_told_of_skipped_tasks_too(staffed):
    observer = Failing(None, at=None)
    (staffed.folder / "people.csv").unlink()

    staffed.engine.run_job("Incremental", observer=observer)

    assert observer.told == [
        ("started", "SynchronizeHR"),
        ("ended", "SynchronizeHR"),
        ("ended", "SetRecentlyModifiedFlag"),
        ("ended", "Keys"),
    ]


@pytest.mark.parametrize("observer", [5, "loud", object(), lambda run, task: None, True])
def test_what_is_no_observer_is_refused_before_anything_runs(staffed, observer):
    before = staffed.engine.position()

    with pytest.raises(UsageError, match=r"an observer has the methods of deltamark\.Observer"):
        staffed.engine.run_job("People", observer=observer)

    assert staffed.engine.position() == before


class Calling(Observer):
    """Calls the engine from inside its run."""

    def __init__(self, call):
        self.call, self.results = call, []

    def task_started(self, run, task):
        self.results.append(self.call())

    def task_ended(self, run, task):
        self.results.append(self.call())


def test_an_observer_may_ask_the_engine_while_it_runs(staffed):
    observer = Calling(lambda: staffed.engine.resource("Person", "1").values["Name"])

    staffed.people({"1": "Anna"}).run(observer=observer)

    assert observer.results == ["Ann", "Anna"]


def test_a_run_inside_a_run_is_a_run_of_its_own(staffed):
    staffed.teams({"T": "Team"}, ("T", "1"))
    observer = Calling(lambda: staffed.engine.run_job("Teams").counts.changed)

    staffed.people({"1": "Anna"}).run(observer=observer)

    assert observer.results == [2, 0]
    assert [(run.job, run.state) for run in staffed.engine.runs()] == [
        ("People", TaskState.COMPLETED),
        ("People", TaskState.COMPLETED),
        ("Teams", TaskState.COMPLETED),
        ("Teams", TaskState.COMPLETED),
    ]


@pytest.mark.parametrize("inner", [{}, {"dry_run": True}])
def test_nothing_runs_inside_a_dry_run_for_it_would_be_undone(staffed, inner):
    before = staffed.engine.position()
    observer = Calling(lambda: staffed.engine.run_job("People", **inner))

    with pytest.raises(UsageError, match="a dry run is going on in this thread"):
        staffed.engine.run_job("People", dry_run=True, observer=observer)

    assert staffed.engine.position() == before
    assert staffed.run().counts.changed == 0


def test_what_is_shown_the_changes_of_a_dry_run_may_fail(staffed):
    staffed.people({"1": "Anna"})

    def fails(changes):
        assert [c.kind for c in changes] == ["deleted", "updated"]
        raise ValueError("odd")

    with pytest.raises(ValueError, match="odd"):
        staffed.engine.run_job("People", dry_run=True, rehearsed=fails)

    assert staffed.names() == {"1": "Ann", "2": "Bob"}
    assert staffed.run().counts.updated == 1


def test_the_changes_of_a_dry_run_are_gone_with_it(staffed):
    kept = []
    staffed.people({"1": "Anna"}).run(dry_run=True, rehearsed=kept.append)

    assert list(staffed.engine.changes(run=1)) != []
    with pytest.raises(UsageError, match="there is no run 2"):
        list(kept[0])


def test_another_thread_takes_no_part_in_a_dry_run(staffed):
    staffed.people({"1": "Anna"})
    seen = []

    class Looking(Observer):
        def task_ended(self, run, task):
            thread = threading.Thread(target=lambda: seen.append(staffed.names()))
            thread.start()
            thread.join()

    staffed.run(dry_run=True, observer=Looking())

    assert seen == [{"1": "Ann", "2": "Bob"}]


# Values (157, 158, 160).


@pytest.mark.parametrize("number", ["NaN", "nan", "inf", "-Infinity", "1e999", "0x10", "1_000", "½"])
def test_what_is_no_finite_number_never_enters_the_state(house, number):
    house.people({"1": {"Weight": number}, "2": {"Weight": "1"}})

    runs = [house.engine.run_job("People") for _ in range(2)]

    assert [run.state for run in runs] == [TaskState.WARNING] * 2
    assert [run.counts.changed for run in runs] == [1, 0]
    assert house.state() == {"2": {"Weight": 1.0}}


def test_a_large_value_is_a_value(house):
    text = "é" * 400_000

    house.people({"1": text}).run()

    assert house.names() == {"1": text}
    assert house.people({"1": text}).run().counts.changed == 0
    assert [c.event.changes["Name"].after for c in house.engine.history("Person", "1")] == [text]


def test_discarded_history_is_an_error_that_programs_can_act_on(new_house):
    house = new_house(keep_people=False).people({"1": "Ann"})
    house.run()

    with pytest.raises(HistoryDiscarded) as refused:
        list(house.engine.changes())

    assert list(house.engine.changes(after=refused.value.horizon)) == []


@pytest.mark.parametrize("value", ["monday.json", 7, True, {}])
def test_a_checkpoint_is_what_the_engine_gave(staffed, value):
    with pytest.raises(UsageError, match=r"checkpoint is what Engine\.checkpoint gave, not "):
        staffed.engine.verify(checkpoint=value)


@pytest.mark.parametrize("value", [None, "7", 0, 2**63, True])
def test_the_position_of_a_checkpoint_is_a_whole_number(staffed, value):
    with pytest.raises(UsageError, match="the position of a checkpoint is"):
        staffed.engine.verify(evolve(staffed.engine.checkpoint(), position=value))
