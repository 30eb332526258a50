"""A run that was blocked, failed or died goes on under its own number, from its first unfinished task."""

from __future__ import annotations

import threading

import pytest
from attrs import evolve

from deltamark import (
    AlreadyRunning,
    Job,
    Observer,
    PrepareSynchronizationTask,
    Step,
    SynchronizationMode,
    SynchronizeTask,
    TaskOverride,
    TaskState,
    Thresholds,
    UsageError,
)
from deltamark.application.runs.recorder import RunRecorder
from deltamark.domain.errors import CannotCancel, CannotResume
from tests.application.runs.test_leases import Running, silence
from tests.scenarios.house import task

DONE, WARNED, FAILED, SKIPPED = TaskState.COMPLETED, TaskState.WARNING, TaskState.FAILED, TaskState.SKIPPED
ABORTED, BLOCKED, CANCELLED, PENDING = TaskState.ABORTED, TaskState.BLOCKED, TaskState.CANCELLED, TaskState.PENDING

BOTH = Job(
    "Both",
    [Step("SynchronizeHR"), Step("SynchronizeTeams"), Step("SetRecentlyModifiedFlag"), Step("Keys")],
)
DELTA = Job("Delta", [Step("PrepareSynchronizationHR"), Step("SynchronizeHR"), Step("SynchronizeTeams")])
PATIENCE_S = 120


def states(run):
    return [t.state for t in run.tasks]


@pytest.fixture
def both(new_house):
    """A house with people and teams that are synchronized, flagged and computed by one job."""
    house = new_house(more_jobs=[BOTH, DELTA], flag_parents=["SynchronizeHR", "SynchronizeTeams"])
    return house.people({"1": "Ann", "2": "Bob"}).teams({"A": "Alpha"}, ("A", "1"))


def broken(house, table="teams"):
    return house.write(table, ["no", "such"], [])


class Told(Observer):
    """Remembers which tasks ran."""

    def __init__(self):
        self.ran = []

    def task_started(self, run, task):
        self.ran.append(task.identifier)


# From the first unfinished task


def test_a_failed_run_resumes_where_it_failed(both):
    broken(both)
    failed = both.engine.run_job("Both")
    assert states(failed) == [DONE, FAILED, SKIPPED, SKIPPED]
    both.teams({"A": "Alpha"}, ("A", "1"))
    told = Told()

    resumed = both.engine.resume(failed.number, observer=told)

    assert (resumed.number, resumed.state) == (failed.number, DONE)
    assert told.ran == ["SynchronizeTeams", "SetRecentlyModifiedFlag", "Keys"]
    assert states(resumed) == [DONE] * 4
    assert [t.counts.inserted for t in resumed.tasks] == [2, 1, 0, 0]
    assert both.pairs() == {("A", "1")}


def test_a_resumption_is_recorded(both):
    broken(both)
    run = both.engine.run_job("Both")
    both.teams({"A": "Alpha"}, ("A", "1"))

    both.engine.resume(run.number)

    (found,) = both.engine.runs()
    (resumption,) = found.resumed
    assert resumption.again == (2, 3, 4)
    assert (resumption.operator, found.operator) == (both.engine._services.operator,) * 2
    assert run.ended_at < resumption.at < found.ended_at


def test_a_run_may_fail_and_be_resumed_repeatedly(both):
    broken(both)
    run = both.engine.run_job("Both")

    again = both.engine.resume(run.number)
    both.teams({"A": "Alpha"}, ("A", "1"))
    at_last = both.engine.resume(run.number)

    assert (again.state, at_last.state) == (FAILED, DONE)
    assert len(at_last.resumed) == 2


@pytest.mark.parametrize("error", [KeyboardInterrupt, RuntimeError])
def test_an_interrupted_run_resumes_with_the_interrupted_task(both, error):
    class Interrupting(Observer):
        def task_started(self, run, task):
            if task.identifier == "SynchronizeTeams":
                raise error

    with pytest.raises(error):
        both.engine.run_job("Both", observer=Interrupting())

    resumed = both.engine.resume(1)

    assert states(resumed) == [DONE] * 4


def died(house, job, at):
    """A run whose process dies before it can put on record that a task ended."""

    class Dead(BaseException):
        pass

    def task_ended_in(self, tx, ordinal, ended):
        if ordinal == at:
            raise Dead
        return original(self, tx, ordinal, ended)

    original = RunRecorder.task_ended_in
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(RunRecorder, "task_ended_in", task_ended_in)
        with pytest.raises(Dead):
            house.engine.run_job(job)
    return house


def test_a_dead_run_is_shown_as_aborted_without_a_write(both):
    died(both, "Both", at=2)
    head = both.engine.position()

    (run,) = both.engine.runs()

    assert (run.state, run.ended_at) == (ABORTED, None)
    assert states(both.engine.run(1)) == [DONE, ABORTED, PENDING, PENDING]
    assert both.engine.position() == head


def test_a_dead_run_resumes_where_it_died(both):
    died(both, "Both", at=2)

    resumed = both.engine.resume(1)

    assert states(resumed) == [DONE] * 4
    assert [t.counts.inserted for t in resumed.tasks] == [2, 1, 0, 0]


def test_a_live_run_cannot_be_resumed(both):
    running = Running(both, "Both")

    with pytest.raises(CannotResume, match=r"run 1 cannot be resumed: it is still running, by .* \(process \d+\)"):
        both.engine.resume(1)

    assert running.goes_on().state is DONE
    assert both.engine.run(1).resumed == ()


def test_a_run_cannot_be_resumed_while_another_runs_its_tasks(both):
    broken(both, "people")
    both.engine.run_job("Both")
    both.people({"1": "Ann"})
    running = Running(both, "People")

    with pytest.raises(AlreadyRunning, match="in run 2 of job People"):
        both.engine.resume(1)

    running.goes_on()
    assert both.engine.resume(1).state is DONE


def test_two_cannot_resume_one_run_at_once(both):
    broken(both)
    both.engine.run_job("Both")
    both.teams({"A": "Alpha"})
    start, ended = threading.Barrier(2, timeout=PATIENCE_S), []

    def resume():
        start.wait()
        try:
            ended.append(both.engine.resume(1).state)
        except (CannotResume, AlreadyRunning) as e:
            ended.append(type(e))

    threads = [threading.Thread(target=resume) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(PATIENCE_S)

    assert DONE in ended
    assert {CannotResume, AlreadyRunning} & set(ended)
    assert len(both.engine.run(1).resumed) == 1


# Refused


def test_a_completed_run_cannot_be_resumed(both):
    both.run("Both")

    with pytest.raises(CannotResume, match="none of its tasks is left to run"):
        both.engine.resume(1)


def test_a_run_cannot_be_resumed_after_a_later_one_did_its_work(both):
    broken(both)
    both.engine.run_job("Both")
    both.teams({"A": "Alpha"})
    both.run("Both")

    with pytest.raises(CannotResume, match="run 2 of the same job has done its work since"):
        both.engine.resume(1)


def test_a_run_of_a_changed_job_cannot_be_resumed(both):
    broken(both)
    both.engine.run_job("Both")
    both.configured(more_jobs=[evolve(BOTH, tasks=BOTH.tasks[:-1])])

    with pytest.raises(CannotResume, match="job Both calls other tasks than"):
        both.engine.resume(1)


def test_a_run_of_a_removed_job_cannot_be_resumed(both):
    broken(both)
    both.engine.run_job("Both")
    both.configured()

    with pytest.raises(CannotResume, match="the configuration no longer has a job Both"):
        both.engine.resume(1)


@pytest.mark.parametrize("method", ["resume", "cancel"])
@pytest.mark.parametrize("run", ["1", None, True, 7, -1])
def test_an_unknown_run_is_refused(both, method, run):
    with pytest.raises(UsageError):
        getattr(both.engine, method)(run)


# A delta is never read as everything there is


def inserting(number, name):
    return {"Command": "insert", "number": number, "name": name}


def test_a_resumed_synchronization_prepares_again(both):
    both.run("People")
    both.people_commands(inserting("3", "Cid"))
    died(both, "Delta", at=2)

    resumed = both.engine.resume(2)

    assert states(resumed) == [DONE] * 3
    assert both.names() == {"1": "Ann", "2": "Bob", "3": "Cid"}


def test_an_applied_delta_is_not_prepared_again(both):
    both.run("People")
    both.people_commands(inserting("3", "Cid"))
    broken(both)
    assert states(both.engine.run_job("Delta")) == [DONE, DONE, FAILED]
    both.teams({"A": "Alpha"})
    told = Told()

    both.engine.resume(2, observer=told)

    assert told.ran == ["SynchronizeTeams"]
    assert both.names() == {"1": "Ann", "2": "Bob", "3": "Cid"}


def test_a_second_synchronization_does_not_read_the_delta_as_complete(new_house):
    twice = Job("Twice", [Step("PrepareSynchronizationHR"), Step("SynchronizeHR"), Step("SynchronizeHR")])
    house = new_house(more_jobs=[twice]).people({"1": "Ann", "2": "Bob"})
    house.run("People")
    house.people_commands(inserting("3", "Cid"))

    run = house.engine.run_job("Twice")

    assert states(run) == [DONE, DONE, SKIPPED]
    assert "was synchronized already, and its extracts hold only changes" in run.tasks[2].messages[0]
    assert house.names() == {"1": "Ann", "2": "Bob", "3": "Cid"}


def test_after_a_failed_preparation_the_delta_is_not_read_as_complete(new_house):
    carefree = PrepareSynchronizationTask(
        identifier="Prepare",
        connector="HR",
        synchronization_mode=SynchronizationMode.INCREMENTAL,
        column_name="NoSuchColumn",
        continue_on_error=True,
    )
    house = new_house(more_jobs=[Job("Carefree", [carefree, Step("SynchronizeHR")])]).people({"1": "Ann", "2": "Bob"})
    house.run("People")
    house.people({"1": "Ann"})

    run = house.engine.run_job("Carefree")

    assert states(run) == [FAILED, SKIPPED]
    assert run.tasks[1].messages[0].startswith("skipped: Prepare failed, and its extracts hold only changes")
    assert house.names() == {"1": "Ann", "2": "Bob"}


# What was held back

FEW = Thresholds(maximum_inserted_lines=2)


@pytest.fixture
def blocked(new_house):
    """A house in which three new people were held back, and teams were not."""
    house = new_house(more_jobs=[BOTH], limits=FEW, flag_parents=["SynchronizeHR", "SynchronizeTeams"])
    house.people({"1": "Ann"}).teams({"A": "Alpha"}).run("Both")
    house.people({"1": "Ann", "2": "Bob", "3": "Cid", "4": "Dan"}).teams({"A": "Alpha", "B": "Beta"})
    run = house.engine.run_job("Both")
    assert run.state is BLOCKED
    assert states(run) == [BLOCKED, DONE, DONE, DONE]
    return house


def test_a_resumed_blocked_run_applies_and_flags_what_was_held_back(blocked):
    blocked.people({"1": "Anna"})

    resumed = blocked.engine.resume(2)

    assert states(resumed) == [DONE] * 4
    assert blocked.names() == {"1": "Ann", "2": "Bob", "3": "Cid", "4": "Dan"}
    assert task(resumed, "SetRecentlyModifiedFlag").counts.flagged == 3
    assert blocked.engine.dirty() == []


def test_a_blocked_run_resumes_after_later_incremental_runs(blocked):
    blocked.people({"9": "Zoe"})
    blocked.run("Teams")

    assert blocked.engine.resume(2).state is DONE


def test_a_resumed_blocked_run_reports_the_rows_set_aside_once(new_house):
    house = new_house(limits=FEW).people({"1": "Ann"})
    house.run("People")
    house.people({str(n): "x" for n in range(1, 5)} | {"5": {"Name": "x", "Age": "old"}})
    assert house.engine.run_job("People").state is BLOCKED

    resumed = house.engine.resume(2)

    assert len(resumed.set_aside) == 1
    assert (resumed.state, resumed.counts.set_aside, resumed.counts.inserted) == (WARNED, 1, 3)


# Cancelled


def test_a_cancelled_run_finishes_its_task_and_starts_no_other(both):
    running = Running(both, "Both")

    asked = both.engine.cancel(1)
    run = running.goes_on()

    assert (asked.state, asked.cancelled_by) == (TaskState.RUNNING, both.engine._services.operator)
    assert (run.state, states(run)) == (CANCELLED, [DONE, SKIPPED, SKIPPED, SKIPPED])
    by = run.cancelled_by
    assert run.tasks[1].messages == (f"skipped: the run was cancelled by {by.user} on {by.host}",)
    assert both.names() == {"1": "Ann", "2": "Bob"}


def test_a_run_cancelled_in_its_last_task_is_complete(both):
    running = Running(both, "People")

    both.engine.cancel(1)

    assert running.goes_on().state is DONE


def test_a_cancelled_run_cannot_be_resumed(both):
    running = Running(both, "Both")
    both.engine.cancel(1)
    running.goes_on()

    with pytest.raises(CannotResume, match="it was cancelled"):
        both.engine.resume(1)

    assert both.run("Both").number == 2


def test_cancelling_a_blocked_run_drops_what_it_held_back(blocked):
    run = blocked.engine.cancel(2)

    assert (run.state, states(run)) == (CANCELLED, [CANCELLED, DONE, DONE, DONE])
    assert "dropped what was held back of HR" in run.tasks[0].messages[-1]
    assert blocked.names() == {"1": "Ann"}
    with pytest.raises(CannotResume):
        blocked.engine.resume(2)
    blocked.people({"1": "Ann", "2": "Bob"})
    assert blocked.run("Both").counts.inserted == 1


@pytest.mark.parametrize("how", [DONE, FAILED])
def test_an_ended_run_that_holds_nothing_back_cannot_be_cancelled(both, how):
    if how is FAILED:
        broken(both)
    both.engine.run_job("Both")
    head = both.engine.position()

    with pytest.raises(CannotCancel, match=rf"run 1 cannot be cancelled: it has ended \({how.value}\)"):
        both.engine.cancel(1)

    assert both.engine.position() == head


def test_cancelling_a_dead_run_records_it_as_aborted(both):
    died(both, "Both", at=2)

    run = both.engine.cancel(1)

    assert (run.state, states(run)) == (ABORTED, [DONE, ABORTED, PENDING, PENDING])
    assert run.ended_at is not None


def test_a_cancelled_run_frees_its_tasks_when_its_leases_expire(both):
    running = Running(both, "Both")
    silence(both, 1)

    assert both.engine.cancel(1).state is ABORTED

    assert both.run("Both").number == 2
    running.goes_on()


# The same task twice


def test_a_task_called_twice_has_separate_counts(new_house):
    job = Job(
        "Twice",
        [
            Step("SynchronizeHR"),
            Step("SetRecentlyModifiedFlag"),
            Step("Keys"),
            Step("SynchronizeTeams"),
            Step("SynchronizeHR"),
            Step("SetRecentlyModifiedFlag"),
            Step("Keys"),
        ],
    )
    house = new_house(more_jobs=[job]).people({"1": {"Name": "Ann", "Mail": "a@b"}}).teams({"A": "Alpha"})

    class Hiring(Observer):
        def task_ended(self, run, task):
            if task.ordinal == 4:
                house.people({"1": {"Name": "Ann", "Mail": "a@b"}, "2": {"Name": "Bob", "Mail": "b@b"}})

    run = house.run("Twice", observer=Hiring())

    assert [t.counts.inserted for t in run.tasks] == [1, 0, 0, 1, 1, 0, 0]
    assert [t.counts.computed for t in run.tasks if t.identifier == "Keys"] == [1, 1]
    assert house.engine.dirty() == []


def test_a_child_depends_on_the_nearest_earlier_call_of_its_parent(new_house):
    job = Job(
        "Twice",
        [
            Step("SynchronizeHR"),
            Step("SetRecentlyModifiedFlag"),
            Step("SynchronizeHR"),
            Step("SetRecentlyModifiedFlag"),
        ],
    )
    house = new_house(more_jobs=[job]).people({"1": "Ann"})

    run = house.run("Twice")

    assert states(run) == [DONE, DONE, DONE, SKIPPED]
    assert run.tasks[3].messages == ("skipped: its parent task SynchronizeHR changed nothing",)


def test_an_override_changes_one_call_and_replaces_lists(new_house):
    job = Job(
        "Overridden",
        [
            TaskOverride("SynchronizeTask", "SynchronizeHR", {"continue_on_error": True}),
            TaskOverride("SetRecentlyModifiedFlagTask", "SetRecentlyModifiedFlag", {"parents": ()}),
        ],
    )
    house = new_house(more_jobs=[job])
    broken(house, "people")

    run = house.engine.run_job("Overridden")

    assert (run.state, states(run)) == (WARNED, [FAILED, DONE])
    assert house.engine.run_job("Incremental").state is FAILED


def test_each_call_of_a_synchronization_has_its_own_ordinal(new_house):
    again = SynchronizeTask(identifier="Again", connector="HR", do_not_delete_changes=True)
    house = new_house(more_jobs=[Job("Twice", [Step("SynchronizeHR"), again])]).people({"1": "Ann"})

    assert [t.counts.inserted for t in house.run("Twice").tasks] == [1, 0]
