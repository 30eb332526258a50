"""Jobs and tasks that a program gives to one run: checked, recorded with it, resumed, replayed."""

from __future__ import annotations

from pathlib import Path

import pytest

from deltamark import (
    CannotResume,
    ComputeCorrelationKeysTask,
    Configuration,
    ConfigurationError,
    Engine,
    Job,
    PrepareSynchronizationTask,
    Step,
    SynchronizationMode,
    SynchronizeTask,
    TaskState,
    Thresholds,
    UsageError,
)
from tests.scenarios.fixtures import NewHouse
from tests.scenarios.house import House, configuration
from tests.stores import NewStore

NOW = SynchronizeTask(connector="HR", identifier="HR now", do_not_delete_changes=True)
ONCE = Job("Once", [NOW, Step("SetRecentlyModifiedFlag"), ComputeCorrelationKeysTask(all_entity_type=True)])
ONE_MORE = Thresholds(maximum_inserted_lines=1)


@pytest.mark.on_every_store
def test_a_job_that_the_configuration_does_not_have_is_run_and_recorded(house: House) -> None:
    house.people({"1": {"name": "Ada", "mail": "ada@x"}})

    run = house.engine.run_job(ONCE)

    assert run.state is TaskState.COMPLETED
    assert house.names() == {"1": "Ada"}
    assert house.keys() == {("source", "1"): "ada@x", ("target", "1"): "ADA"}
    recorded = house.engine.run(run.number)
    assert (recorded.job, [task.identifier for task in recorded.tasks]) == (
        "Once",
        ["HR now", "SetRecentlyModifiedFlag", "ComputeCorrelationKeys"],
    )
    assert 'Identifier="HR now"' in (recorded.definition or "")
    assert [change.task for change in house.engine.changes()] == ["HR now"]
    assert house.engine.verify().is_sound
    assert house.engine.plan().effects == ()


def test_a_job_of_the_configuration_may_be_given_as_it_is(house: House) -> None:
    house.people({"1": "Ada"})
    job = configuration().job("People")
    assert job is not None

    run = house.engine.run_job(job)

    assert (run.job, run.definition) == ("People", None)


def test_a_given_delta_deletes_nothing(house: House) -> None:
    house.people({"1": "Ada", "2": "Bea"}).run()
    house.people_commands({"number": "3", "name": "Cleo", "Command": "insert"})
    preparation = PrepareSynchronizationTask(
        connector="HR",
        identifier="Delta",
        synchronization_mode=SynchronizationMode.INCREMENTAL,
        column_name="Command",
    )

    house.engine.run_job(Job("Delta", [preparation, NOW])).raise_for_state()

    assert house.names() == {"1": "Ada", "2": "Bea", "3": "Cleo"}


def test_a_dry_run_of_a_given_job_leaves_nothing(house: House) -> None:
    house.people({"1": "Ada"})

    run = house.engine.run_job(ONCE, dry_run=True)

    assert run.is_dry_run
    assert (run.counts.inserted, house.engine.runs(), house.names()) == (1, [], {})


def test_one_task_of_the_configuration_runs_without_its_parents(house: House) -> None:
    house.people({"1": "Ada"}).run()

    run = house.engine.run_task("SetRecentlyModifiedFlag", by="Ada", reason="try it")

    assert (run.job, run.state, run.by, run.reason) == (
        "*task:SetRecentlyModifiedFlag*",
        TaskState.COMPLETED,
        "Ada",
        "try it",
    )
    assert house.engine.unflagged_after() is None


def test_one_given_task_is_a_run(house: House) -> None:
    house.people({"1": "Ada"})

    run = house.engine.run_task(NOW)

    assert (run.job, run.counts.inserted) == ("*task:HR now*", 1)
    assert house.engine.run_task(configuration().task("SynchronizeHR")).state is TaskState.COMPLETED


@pytest.mark.on_every_store
@pytest.mark.parametrize("given", [ONCE, NOW])
def test_what_a_given_job_held_back_is_applied_when_another_process_resumes_it(
    new_house: NewHouse, given: Job | SynchronizeTask
) -> None:
    house = new_house(limits=ONE_MORE)
    house.people({"1": "Ada"}).run()
    house.people({"1": "Ada", "2": "Bea", "3": "Cleo"})
    run = house.engine.run_job(given) if isinstance(given, Job) else house.engine.run_task(given)
    assert run.state is TaskState.BLOCKED
    house.configured(limits=ONE_MORE)

    resumed = house.engine.resume(run.number)

    assert resumed.state is TaskState.COMPLETED
    assert house.names() == {"1": "Ada", "2": "Bea", "3": "Cleo"}
    assert resumed.definition == run.definition


def test_a_later_job_of_the_same_name_and_other_tasks_keeps_no_run_from_going_on(house: House) -> None:
    failed = house.engine.run_job(Job("Once", [NOW]))
    assert failed.state is TaskState.FAILED, "there is no extract yet"
    house.people({"1": "Ada"})
    house.engine.run_job(Job("Once", [Step("SetRecentlyModifiedFlag")])).raise_for_state()

    assert house.engine.resume(failed.number).state is TaskState.COMPLETED
    assert house.names() == {"1": "Ada"}


def test_a_given_job_that_no_longer_fits_the_configuration_is_not_resumed(house: House) -> None:
    run = house.engine.run_job(Job("Once", [NOW, Step("Keys")]))
    assert run.state is TaskState.FAILED
    house.engine.close()
    other = Configuration(jobs=[Job("Nothing")])

    with (
        Engine.open(house.url, configuration=other, export_output=house.folder) as engine,
        pytest.raises(CannotResume, match="its job does not fit the configuration any more: "),
    ):
        engine.resume(run.number)


def test_a_store_of_the_past_knows_what_given_jobs_computed(house: House, new_store: NewStore) -> None:
    house.people({"1": {"name": "Ada", "mail": "ada@x"}, "2": {"name": "Bea", "mail": "bea@x"}})
    house.engine.run_job(ONCE).raise_for_state()
    house.people({"1": {"name": "Ada", "mail": "ada@y"}}).run("Incremental")
    until, keys = house.engine.position(), house.keys()
    house.people({"3": "Cleo"}).run("Incremental")
    into = new_store()

    house.engine.replay(into, until=until)

    with Engine.open(into, configuration=configuration()) as past:
        assert {(k.side, k.key): k.value for k in past.keys(None) if k.rule == "Owner_1"} == keys
        assert past.verify().is_sound


@pytest.mark.parametrize(
    ("job", "problem"),
    [
        (
            Job("Once", [SynchronizeTask(connector="HT")]),
            'unknown connector "HT" in SynchronizeTask "SynchronizeHT"; there is "HR"',
        ),
        (Job("Once", [Step("SynchronizHR")]), 'unknown task "SynchronizHR".* did you mean "SynchronizeHR"'),
        (Job("a/b", [NOW]), 'job "a/b" contains "/"'),
    ],
)
def test_the_faults_of_a_given_job_are_told(house: House, job: Job, problem: str) -> None:
    with pytest.raises(ConfigurationError, match=f"of the job that was given: .*{problem}"):
        house.engine.run_job(job)
    assert house.engine.runs() == []


@pytest.mark.parametrize(
    ("given", "problem"),
    [
        (Job("People", [NOW]), "the configuration has another job People"),
        (Job("*retain*", [NOW]), "begin with \\* are Deltamark's own"),
        (
            Job("Once", [SynchronizeTask(connector="HR")]),
            "another task SynchronizeHR: there it has do_not_delete_changes=True; here do_not_delete_changes=False",
        ),
        (
            SynchronizeTask(connector="HR", identifier="Keys"),
            "another task Keys: it is a ComputeCorrelationKeysTask there, not a SynchronizeTask",
        ),
        ("SynchronizHR", 'there is no (job|task) "SynchronizHR"'),
        (7, r'(a job|a task), if it is no (Job|task), is given as a text, not as "7"'),
    ],
)
def test_what_would_be_mistaken_for_something_else_is_refused(house: House, given: object, problem: str) -> None:
    run = house.engine.run_job if isinstance(given, Job) else house.engine.run_task

    with pytest.raises(UsageError, match=problem):
        run(given)
    assert house.engine.runs() == []


def test_the_run_of_a_given_job_is_copied_with_its_log(house: House, new_store: NewStore, tmp_path: Path) -> None:
    house.people({"1": "Ada"})
    run = house.engine.run_job(ONCE)
    into = new_store()

    house.engine.replay(into)

    with Engine.open(into, configuration=configuration()) as copy:
        assert copy.run(run.number).definition == run.definition
