"""Tasks of one level run at the same time; what they leave is what they leave one after another."""

from __future__ import annotations

import threading

import pytest
from attrs import evolve

from deltamark import Job, Observer, SetRecentlyModifiedFlagTask, Step, SynchronizeTask, TaskState
from deltamark.application.execution import parallel as levels
from tests.scenarios.house import task

PATIENCE_S = 120
LEVELS = Job(
    "Levels",
    [
        Step("SynchronizeHR", level=0),
        Step("SynchronizeTeams", level=0),
        Step("SetRecentlyModifiedFlag", level=1),
        Step("Keys", level=2),
    ],
)
IN_ORDER = Job("InOrder", [Step("SynchronizeHR"), Step("SynchronizeTeams")])


class Meeting:
    """Extracts in which whoever reads one waits until somebody else reads another one at the same time."""

    reader = None

    def __init__(self, extracts, patience_s=PATIENCE_S):
        self._extracts = extracts
        self._barrier = threading.Barrier(2, timeout=patience_s)
        self._met = set()
        self.threads = set()

    def resources(self, mapping, *arguments, **options):
        self.threads.add(threading.current_thread().name)
        if mapping.connector not in self._met:
            self._met.add(mapping.connector)
            self._barrier.wait()
        return self._extracts.resources(mapping, *arguments, **options)

    def links(self, *arguments, **options):
        return self._extracts.links(*arguments, **options)


def meeting(house, **patience):
    """Has those who read the extracts of this house meet."""
    services = house.engine._services
    extracts = Meeting(services.extracts, **patience)
    house.engine._services = evolve(services, extracts=extracts)
    return extracts


@pytest.fixture
def levelled(new_house):
    """A house whose connectors are synchronized in one level, with people and a team of them."""

    def new():
        house = new_house(more_jobs=[LEVELS, IN_ORDER], flag_parents=["SynchronizeHR", "SynchronizeTeams"])
        return house.people({"1": "Ann", "2": "Bob"}).teams({"A": "Alpha"}, ("A", "1"))

    return new


def test_tasks_of_one_level_run_at_the_same_time(levelled):
    house = levelled()
    extracts = meeting(house)

    run = house.run("Levels")

    assert len(extracts.threads) == 2
    assert [t.counts.inserted for t in run.tasks[:2]] == [2, 1]


def test_tasks_without_a_level_run_in_sequence(levelled):
    house = levelled()
    meeting(house, patience_s=0.2)

    with pytest.raises(threading.BrokenBarrierError):  # the control: nobody else comes
        house.engine.run_job("InOrder")

    assert [t.state for t in house.engine.run(1).tasks] == [TaskState.FAILED, TaskState.SKIPPED]


def log_of(house):
    """The changes with their positions counted from the first, and who made them."""
    return [(c.kind, str(c.event.ref), c.task) for c in house.engine.changes()]


def test_a_level_has_the_result_of_its_tasks_in_sequence(levelled):
    together, one_after_another = levelled(), levelled()
    meeting(together)

    together.run("Levels")
    one_after_another.run("InOrder")
    one_after_another.run("Flags")

    assert log_of(together)[:4] == log_of(one_after_another)[:4]
    assert together.pairs() == one_after_another.pairs() == {("A", "1")}
    assert together.keys() == one_after_another.keys() != {}


class Slow(Observer):
    """Keeps the first task of a level until the second one has nothing left to do but to write."""

    def __init__(self, house):
        self.compared = threading.Event()
        comparer = house.engine._services.comparer
        slow = self

        class Comparing:
            def resources(self, extract, stored, entity_type, **options):
                if entity_type.identifier == "Person":
                    assert slow.compared.wait(PATIENCE_S)
                found = comparer.resources(extract, stored, entity_type, **options)
                if entity_type.identifier == "Team":
                    slow.compared.set()
                return found

            links = staticmethod(comparer.links)

        house.engine._services = evolve(house.engine._services, comparer=Comparing())


def test_a_task_that_is_ready_early_waits_for_its_turn_to_write(levelled):
    house = levelled()
    Slow(house)

    run = house.run("Levels")

    # Had the teams been written first, the person in the team would not have been there yet.
    assert task(run, "SynchronizeTeams").counts.linked == 1
    assert [change.task for change in house.engine.changes()][:3] == [
        "SynchronizeHR",
        "SynchronizeHR",
        "SynchronizeTeams",
    ]


@pytest.mark.parametrize("discards", [False, True])
def test_parallel_changes_of_other_entity_types_need_no_second_comparison(new_house, discards):
    house = new_house(more_jobs=[LEVELS], keep_people=not discards, flag_parents=["SynchronizeHR", "SynchronizeTeams"])
    house.people({"1": "Ann"}).teams({"A": "Alpha"}, ("A", "1"))
    meeting(house)
    comparer, compared = house.engine._services.comparer, []

    class Counting:
        def resources(self, extract, stored, entity_type, **options):
            compared.append(entity_type.identifier)
            return comparer.resources(extract, stored, entity_type, **options)

        links = staticmethod(comparer.links)

    house.engine._services = evolve(house.engine._services, comparer=Counting())

    run = house.run("Levels")

    assert [t.counts.inserted for t in run.tasks[:2]] == [1, 1]
    # Discarded changes may have been of any entity type.
    assert sorted(compared) == ["Person", *["Team"] * (2 if discards else 1)]


def test_a_dry_run_of_a_level_counts_the_same_and_writes_nothing(levelled):
    house = levelled()

    rehearsed = house.run("Levels", dry_run=True)
    run = house.run("Levels")

    assert [(t.identifier, t.state, t.counts) for t in rehearsed.tasks] == [
        (t.identifier, t.state, t.counts) for t in run.tasks
    ]
    assert run.number == 1


def test_a_failure_lets_its_level_finish_and_starts_no_other_level(levelled):
    house = levelled()
    house.write("people", ["no", "such"], [])

    run = house.engine.run_job("Levels")

    assert [t.state for t in run.tasks] == [
        TaskState.FAILED,
        TaskState.WARNING,  # nobody is there who could be linked
        TaskState.SKIPPED,
        TaskState.SKIPPED,
    ]
    assert run.state is TaskState.FAILED
    assert task(run, "Keys").messages == ("skipped: task SynchronizeHR failed before it",)
    assert house.state("Team") == {"A": {"Title": "Alpha"}}


def test_an_allowed_failure_stops_nothing_and_the_other_changes_are_flagged(new_house):
    job = Job(
        "Levels",
        [
            SynchronizeTask(identifier="HRWhateverHappens", connector="HR", level=0, continue_on_error=True),
            Step("SynchronizeTeams", level=0),
            SetRecentlyModifiedFlagTask(identifier="Flags", level=1, parents=["HRWhateverHappens", "SynchronizeTeams"]),
        ],
    )
    house = new_house(more_jobs=[job]).teams({"A": "Alpha"})
    house.write("people", ["no", "such"], [])

    run = house.engine.run_job("Levels")

    assert [t.state for t in run.tasks] == [TaskState.FAILED, TaskState.COMPLETED, TaskState.COMPLETED]
    assert run.state is TaskState.WARNING


def test_the_ends_of_a_level_are_recorded_in_the_order_of_its_calls(levelled):
    house, told = levelled(), []
    comparer, failed = house.engine._services.comparer, threading.Event()

    class Comparing:
        def resources(self, extract, *arguments, **options):
            if extract.cleansed.read.subject == "Person":
                assert failed.wait(PATIENCE_S)
                threading.Event().wait(0.05)
                return comparer.resources(extract, *arguments, **options)
            failed.set()
            raise RuntimeError("odd")

        links = staticmethod(comparer.links)

    class Listening(Observer):
        def task_ended(self, run, task):
            told.append((task.identifier, task.state))

    house.engine._services = evolve(house.engine._services, comparer=Comparing())
    with pytest.raises(RuntimeError):
        house.engine.run_job("Levels", observer=Listening())

    assert told[:2] == [("SynchronizeHR", TaskState.COMPLETED), ("SynchronizeTeams", TaskState.FAILED)]


def test_the_observer_is_called_by_one_thread_at_a_time(levelled):
    house, inside, told = levelled(), [], []

    class Careful(Observer):
        def task_started(self, run, task):
            inside.append(task)
            told.append((task.identifier, len(inside)))
            threading.Event().wait(0.01)
            inside.pop()

        task_ended = task_started

    meeting(house)
    house.run("Levels", observer=Careful())

    assert sorted(told) == sorted((name, 1) for name in [t.identifier for t in house.engine.run(1).tasks] * 2)


@pytest.mark.parametrize("error", [KeyboardInterrupt, RuntimeError])
def test_an_error_of_the_observer_is_raised_when_the_level_has_ended(levelled, error):
    house = levelled()

    class Raising(Observer):
        def task_started(self, run, task):
            if task.identifier == "SynchronizeHR":
                raise error("odd")

    with pytest.raises(error):
        house.engine.run_job("Levels", observer=Raising())

    run = house.engine.run(1)
    assert [t.state for t in run.tasks] == [
        TaskState.FAILED,
        TaskState.WARNING,
        TaskState.SKIPPED,
        TaskState.SKIPPED,
    ]
    assert run.state is TaskState.FAILED
    assert house.run("Levels").number == 2


def test_an_interrupted_level_writes_nothing_more_and_is_recorded(levelled, monkeypatch):
    house = levelled()
    comparer, interrupted = house.engine._services.comparer, threading.Event()

    class Comparing:
        def resources(self, *arguments, **options):
            assert interrupted.wait(PATIENCE_S)
            return comparer.resources(*arguments, **options)

        links = staticmethod(comparer.links)

    def interrupt(futures):
        raise KeyboardInterrupt

    def hear(turns):
        hears(turns)
        interrupted.set()

    hears = levels.Turns.interrupt
    house.engine._services = evolve(house.engine._services, comparer=Comparing())
    with monkeypatch.context() as patch:
        patch.setattr(levels, "wait", interrupt)
        patch.setattr(levels.Turns, "interrupt", hear)
        with pytest.raises(KeyboardInterrupt):
            house.engine.run_job("Levels")

    run = house.engine.run(1)
    assert run.state is TaskState.FAILED
    assert {message for t in run.tasks[:2] for message in t.messages} <= {
        "interrupted",
        "skipped: the run was interrupted",  # its thread had not begun
    }
    assert house.names() == {}
    assert house.engine.resume(1).state is TaskState.COMPLETED
