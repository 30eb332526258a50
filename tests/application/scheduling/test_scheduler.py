"""Jobs run when they are due, each due time once, whatever becomes of clocks and schedulers."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from attrs import evolve

from deltamark import Job, Observer, Step, StoreError, TaskState, Thresholds, UsageError
from deltamark.application.runs.named_lease import SCHEDULER
from deltamark.domain.configuration.names import identifier_problem
from tests.scenarios.house import House, configuration
from tests.scenarios.timeline import Time, Timekeeper, due_times, hourly, moment
from tests.stores import NewStore

A_DAY_S = 86_400.0
ENOUGH_RUNS, LOOKS_AT_MOST = 12, 5_000
NewHouse = Callable[..., House]


@pytest.fixture
def time(monkeypatch: pytest.MonkeyPatch) -> Time:
    """Half past twelve on the first of January 2026. Schedulers look again every ten minutes: hours go by quickly."""
    monkeypatch.setattr("deltamark.application.scheduling.scheduler.LOOK_AGAIN_S", 600.0)
    return Time()


@pytest.fixture
def new_house(new_store: NewStore, tmp_path: Path, time: Time) -> Iterator[NewHouse]:
    """Gives another house with every call, all over one store and one folder; with an hourly job by default."""
    url, houses = new_store(), []

    def new(*jobs: Job) -> House:
        configured = configuration(more_jobs=jobs or [hourly()])
        house = House(url, tmp_path / "extracts", time, configured)
        house.engine._services = evolve(house.engine._services, lease_s=A_DAY_S)  # a file has the time of the test
        houses.append(house)
        return house.people({"1": "Ann"}).teams({"A": "Alpha"})

    yield new
    for house in houses:
        house.engine.close()


def test_a_job_runs_at_each_of_its_times(new_house, time):
    house = new_house()

    Timekeeper(house, time).works_until("15:10")

    assert due_times(house) == ["01 13:00:00", "01 14:00:00", "01 15:00:00"]
    assert [f"{run.started_at:%H:%M:%S}" for run in house.engine.runs()] == ["13:00:00", "14:00:00", "15:00:00"]


def test_a_job_is_due_from_when_it_was_first_seen(new_house, time):
    house = new_house(Job("Rare", [Step("SynchronizeHR")], cron_tab_expression="0 0 0 1 1 *"), hourly())

    keeper = Timekeeper(house, time).works_until("12:59")

    assert house.engine.runs() == []
    assert [f"{n.job} {n.due_at:%Y-%m-%d %H:%M}" for n in keeper.notices if n.kind.value == "next"] == [
        "Hourly 2026-01-01 13:00",
        "Rare 2027-01-01 00:00",
    ]


def test_jobs_without_a_schedule_are_left_alone(new_house, time):
    house = new_house()

    Timekeeper(house, time).works_until("14:10")

    assert {run.job for run in house.engine.runs()} == {"Hourly"}


def test_a_job_that_users_may_not_start_is_started(new_house, time):
    house = new_house(hourly(user_start_denied=True))

    Timekeeper(house, time).works_until("13:10")

    assert due_times(house) == ["01 13:00:00"]


def test_what_was_missed_while_no_scheduler_was_at_work_runs_once_late(new_house, time):
    house = new_house()
    Timekeeper(house, time).works_until("12:45").scheduler.resign()

    time.becomes("17:20")
    Timekeeper(house, time).works_until("18:10")

    assert due_times(house) == ["01 13:00:00 late", "01 18:00:00"]
    assert house.engine.runs()[0].started_at.replace(microsecond=0) == moment("17:20")


def test_what_was_missed_while_the_machine_was_asleep_runs_once_late(new_house, time):
    house = new_house()
    keeper = Timekeeper(house, time).works_until("12:45")

    time.becomes("03 08:30")
    keeper.works_until("03 09:10")

    assert due_times(house) == ["01 13:00:00 late", "03 09:00:00"]


def test_what_was_missed_while_the_job_was_running_runs_once_late(new_house, time):
    house = new_house()
    keeper = Timekeeper(house, time, observer=Slow(time, hours=2, minutes=30))

    keeper.works_until("16:10")

    assert due_times(house) == ["01 13:00:00", "01 14:00:00 late", "01 16:00:00"]


class Slow(Observer):
    """The first task takes its time."""

    def __init__(self, time: Time, **span: int) -> None:
        self._time, self._spans = time, [timedelta(**span)]

    def task_started(self, run: int, task: object) -> None:
        self._time.now += self._spans.pop() if self._spans else timedelta(0)


def test_jobs_that_are_due_at_the_same_instant_run_one_after_the_other(new_house, time):
    house = new_house(hourly("A"), hourly("B"), hourly("C", "SynchronizeTeams"))

    Timekeeper(house, time).works_until("13:10")

    assert [(run.job, run.trigger.due_at) for run in house.engine.runs()] == [
        (job, moment("13:00")) for job in ("A", "B", "C")
    ]


def test_what_is_due_first_runs_first(new_house, time):
    quarters = Job("Quarters", [Step("SynchronizeTeams")], cron_tab_expression="0 */15 * * * *")
    house = new_house(hourly(), quarters)
    Timekeeper(house, time).works_until("12:31").scheduler.resign()

    time.becomes("14:01")
    Timekeeper(house, time).looks()

    assert [(run.job, run.trigger.due_at) for run in house.engine.runs()] == [
        ("Quarters", moment("12:45")),
        ("Hourly", moment("13:00")),
    ]


def test_a_job_whose_task_another_run_has_is_tried_until_it_is_free_and_is_late_then(new_house, time):
    house, other = new_house(), new_house()
    held = Held()
    user = threading.Thread(target=other.engine.run_job, args=("People",), kwargs={"observer": held})
    user.start()
    assert held.reached.wait(60)

    keeper = Timekeeper(house, time).works_until("13:10")
    assert due_times(house) == []
    held.may_go_on.set()
    user.join(60)
    keeper.works_until("13:11")

    assert due_times(house) == ["01 13:00:00 late"]
    assert keeper.told() == ["leads", "refused", "started", "ended"]
    assert "is already running: in run 1 of job People" in keeper.words("refused")[0]


class Held(Observer):
    """Holds a run at the beginning of its first task until it may go on."""

    def __init__(self) -> None:
        self.reached, self.may_go_on = threading.Event(), threading.Event()

    def task_started(self, run: int, task: object) -> None:
        self.reached.set()
        assert self.may_go_on.wait(60)


def test_a_job_that_cannot_start_does_not_keep_others_from_running(new_house, time):
    house, other = (new_house(hourly(), hourly("Teams2", "SynchronizeTeams")) for _ in range(2))
    held = Held()
    user = threading.Thread(target=other.engine.run_job, args=("People",), kwargs={"observer": held})
    user.start()
    assert held.reached.wait(60)

    Timekeeper(house, time).works_until("14:10")
    held.may_go_on.set()
    user.join(60)

    assert due_times(house, "Teams2") == ["01 13:00:00", "01 14:00:00"]


@pytest.mark.parametrize("back_to", ["12:00", "12:59:59", "13:00", "13:04"])
def test_nothing_runs_twice_when_the_clock_is_put_back(back_to, new_house, time):
    house = new_house()
    keeper = Timekeeper(house, time).works_until("13:05")

    time.becomes(back_to)
    keeper.works_until("14:05")

    assert due_times(house) == ["01 13:00:00", "01 14:00:00"]


def test_a_time_that_does_not_exist_on_the_clock_of_the_machine_is_not_missed(new_house, time):
    night = Job("Night", [Step("SynchronizeHR")], cron_tab_expression="0 30 2 * * *", cron_time_zone=1)
    house = new_house(night)
    keeper = Timekeeper(house, time, local_zone=lambda: ZoneInfo("Europe/Berlin"))
    time.now = moment("12:00").replace(month=3, day=28)
    keeper.looks()

    time.now = moment("01:00").replace(month=3, day=29)
    keeper.looks()

    assert due_times(house, "Night") == ["29 01:00:00"]


def test_a_run_that_failed_keeps_nothing_from_running(new_house, time):
    house = new_house(hourly(), hourly("Teams2", "SynchronizeTeams"))
    (house.folder / "people.csv").unlink()

    keeper = Timekeeper(house, time).works_until("14:10")

    assert [(run.job, run.state) for run in house.engine.runs()] == [
        ("Hourly", TaskState.FAILED),
        ("Teams2", TaskState.COMPLETED),
    ] * 2
    assert "people" in keeper.words("ended")[0]


def test_an_error_that_nobody_foresaw_is_told_and_keeps_nothing_from_running(new_house, time, monkeypatch):
    house = new_house(hourly(), hourly("Teams2", "SynchronizeTeams"))
    keeper = Timekeeper(house, time, observer=Broken())

    keeper.works_until("13:10")

    assert [run.state for run in house.engine.runs()] == [TaskState.FAILED, TaskState.COMPLETED]
    assert keeper.words("trouble") == ["an error inside Deltamark: ZeroDivisionError: oh"]


class Broken(Observer):
    """Fails at the first task."""

    def __init__(self) -> None:
        self._errors = [ZeroDivisionError("oh")]

    def task_started(self, run: int, task: object) -> None:
        if self._errors:
            raise self._errors.pop()


def test_a_store_that_cannot_be_used_is_told_of_once_and_tried_again(new_house, time, monkeypatch):
    house = new_house()
    keeper = Timekeeper(house, time).works_until("12:45")
    with monkeypatch.context() as patch:
        patch.setattr(type(keeper.services.store), "reading", _unreachable)
        keeper.works_until("13:30")

    keeper.works_until("14:10")

    assert keeper.words("trouble") == ["the server is away"]
    assert due_times(house) == ["01 13:00:00 late", "01 14:00:00"]


def _unreachable(store: object) -> None:
    raise StoreError("the server is away")


def test_without_a_schedule_there_is_nothing_to_do(new_house):
    house = new_house(Job("Never", [Step("SynchronizeHR")]))

    with pytest.raises(UsageError, match="no job has a CronTabExpression"):
        house.engine.schedule()


def test_a_schedule_is_not_kept_inside_a_dry_run(new_house):
    house = new_house()

    with pytest.raises(UsageError, match="a dry run is going on"):
        house.engine.run_job("People", dry_run=True, rehearsed=lambda changes: house.engine.schedule())


@pytest.mark.parametrize("wrong", [{"stop": 1}, {"told": 1}, {"observer": 1}])
def test_what_cannot_be_meant_is_refused(wrong, new_house):
    with pytest.raises(UsageError):
        new_house().engine.schedule(**wrong)


# Stopping


def test_a_scheduler_that_is_told_to_stop_ends_and_lets_another_lead(new_house, time):
    house, other = new_house(), new_house()
    stop = threading.Event()

    house.engine.schedule(stop, told=lambda notice: stop.set())

    assert Timekeeper(other, time).works_until("12:40").told() == ["leads"]


def test_a_run_that_is_going_on_finishes_what_it_is_doing_and_is_cancelled(new_house, time):
    two_tasks = Job("Two", [Step("SynchronizeHR"), Step("SynchronizeTeams")], cron_tab_expression="0 0 * * * *")
    house = new_house(two_tasks)
    stop = threading.Event()
    keeper = Timekeeper(house, time, observer=StopsAt(stop, "SynchronizeHR"), stop=stop)

    keeper.works_until("15:00")

    (run,) = house.engine.runs()
    assert [task.state for task in run.tasks] == [TaskState.COMPLETED, TaskState.SKIPPED]
    assert run.state is TaskState.CANCELLED
    assert run.tasks[0].counts.inserted == 1


class StopsAt(Observer):
    """Wants the scheduler to stop while a task runs."""

    def __init__(self, stop: threading.Event, task: str) -> None:
        self._stop, self._task = stop, task

    def task_started(self, run: int, task: Any) -> None:
        if task.identifier == self._task:
            self._stop.set()


# Several schedulers


def test_of_two_schedulers_one_leads_and_the_other_takes_over_when_it_ends(new_house, time):
    one, other = (Timekeeper(new_house(), time) for _ in range(2))

    for clock in ("12:40", "12:50", "13:10"):
        time.becomes(clock)
        one.looks()
        other.looks()
    one.scheduler.resign()
    time.becomes("14:00")
    other.looks()

    house = new_house()
    assert due_times(house) == ["01 13:00:00 late", "01 14:00:00"]
    assert one.told() == ["leads", "started", "ended"]
    assert other.told() == ["waits", "leads", "started", "ended"]


def test_another_takes_over_from_a_scheduler_that_was_killed(new_house, time):
    one, other = (Timekeeper(new_house(), time) for _ in range(2))
    one.works_until("13:10")
    other.works_until("13:20")
    one.killed()

    other.works_until("14:10")

    assert other.told() == ["waits", "leads", "started", "ended"]
    assert due_times(new_house()) == ["01 13:00:00", "01 14:00:00"]


def test_a_scheduler_that_was_stopped_for_long_and_comes_back_starts_nothing(new_house, time):
    house = new_house()
    one, other = Timekeeper(house, time), Timekeeper(new_house(), time)
    one.works_until("12:50")
    time.becomes("13:00")

    def overtaken() -> None:  # between its look at the store and the transaction in which it would start the run
        one.killed()
        other.looks()

    time.on_next_look.append(overtaken)
    one.looks()

    assert due_times(house) == ["01 13:00:00"]
    assert [keeper.told() for keeper in (one, other)] == [["leads", "waits"], ["leads", "started", "ended"]]


@pytest.mark.slow  # many schedulers race
def test_schedulers_that_race_handle_each_time_once(new_house, time):
    """Four threads look again and again while time goes on by leaps, and each makes the lead of another expire.

    They go on until enough runs have ended, however the machine lets them take turns.
    """
    every = Job("Often", [Step("SynchronizeHR")], cron_tab_expression="* * * * * *")
    keepers = [Timekeeper(new_house(every), time) for _ in range(4)]
    keepers[0].looks()
    errors, going_on, enough = list[BaseException](), threading.Lock(), threading.Event()

    def ended() -> int:
        return sum(keeper.told().count("ended") for keeper in keepers)

    def work(keeper: Timekeeper, victim: Timekeeper) -> None:
        try:
            for n in range(LOOKS_AT_MOST):
                with going_on:  # a time that goes back is for another test
                    time.now += timedelta(seconds=0.3)
                keeper.scheduler.step()
                if n % 5 == 0:
                    victim.services.store.renew_leases(victim.scheduler._leadership._holder, 0.0)
                if enough.is_set() or ended() >= ENOUGH_RUNS:
                    break
        except BaseException as e:
            errors.append(e)
        finally:
            enough.set()

    threads = [threading.Thread(target=work, args=(keepers[n], keepers[n - 1])) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    runs = new_house().engine.runs()
    assert errors == []
    assert len(runs) >= ENOUGH_RUNS
    assert Counter(run.trigger.due_at for run in runs).most_common(1)[0][1] == 1
    assert sorted(run.trigger.due_at for run in runs) == [run.trigger.due_at for run in runs]


# Another configuration


def test_a_job_with_another_timing_is_due_from_when_that_was_seen(new_house, time):
    Timekeeper(new_house(), time).works_until("12:45").scheduler.resign()

    time.becomes("15:40")
    house = new_house(Job("Hourly", [Step("SynchronizeHR")], cron_tab_expression="0 30 * * * *"))
    Timekeeper(house, time).works_until("16:35")

    assert due_times(house) == ["01 16:30:00"]


def test_a_job_that_was_away_is_due_from_when_it_came_back(new_house, time):
    Timekeeper(new_house(), time).works_until("12:45").scheduler.resign()
    Timekeeper(new_house(hourly("Other")), time).works_until("12:50").scheduler.resign()

    time.becomes("15:40")
    house = new_house()
    Timekeeper(house, time).works_until("16:10")

    assert due_times(house) == ["01 16:00:00"]


def test_the_lead_cannot_be_held_under_the_name_of_a_task(new_house):
    assert identifier_problem(SCHEDULER)


def test_each_scheduled_run_that_leaves_a_connector_out_says_so(new_house, time):
    house = new_house()
    few = Thresholds(maximum_deleted_lines=1)
    nightly = Job("Hourly", [Step("SynchronizeHR")], is_incremental=True, cron_tab_expression="0 0 * * * *")
    house.configured(limits=few, more_jobs=[nightly])
    house.engine._services = evolve(house.engine._services, lease_s=A_DAY_S)
    house.people({"1": "Ann", "2": "Bob", "3": "Cem"}).engine.run_job("Hourly")
    house.people({"1": "Ann"})

    keeper = Timekeeper(house, time).works_until("15:10")

    states = [notice.state for notice in keeper.notices if notice.kind.value == "ended"]
    assert states == [TaskState.BLOCKED, TaskState.WARNING, TaskState.WARNING]
    left_out = [words for words in keeper.words("ended") if "skipped: connector HR is blocked by run 2 since " in words]
    assert len(left_out) == 2
    health = house.engine.health()
    assert [(found.connector, found.run) for found in health.held_back] == [("HR", 2)]
    assert not health.is_well
