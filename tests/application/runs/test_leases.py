"""A task never runs twice at once: leases, and what becomes of runs that die or are taken for dead."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from attrs import evolve

from deltamark import AlreadyRunning, ConcurrentRun, JobRun, Observer, TakenOver, TaskRun, TaskState
from deltamark.application.ports.records import Lease
from deltamark.application.ports.store import Store
from deltamark.application.runs.leases import Heartbeat, naming_the_other_run
from deltamark.domain.next_steps import NextAction, NextStep
from deltamark.infrastructure.store.transactions import StoreWriting
from tests.scenarios.house import House, task
from tests.stores import NewStore

PATIENCE_S = 120
LEASE_S = 3.0
"""Renewed every second: so long the heartbeat may be kept from it by whatever else the machine does."""
HR = "SynchronizeHR"


class Held(Observer):
    """Holds a run at the beginning of its first task until it may go on."""

    def __init__(self) -> None:
        self.reached, self.may_go_on = threading.Event(), threading.Event()

    def task_started(self, run: int, task: TaskRun) -> None:
        self.reached.set()
        assert self.may_go_on.wait(PATIENCE_S)


class Running:
    """A run in a thread of its own, held at the beginning of its first task."""

    def __init__(self, house: House, job: str = "People") -> None:
        self._held = Held()
        self._ended: list[JobRun | BaseException] = []
        self._thread = threading.Thread(target=self._work, args=(house, job))
        self._thread.start()
        assert self._held.reached.wait(PATIENCE_S)

    def _work(self, house: House, job: str) -> None:
        try:
            self._ended.append(house.engine.run_job(job, observer=self._held))
        except BaseException as e:
            self._ended.append(e)

    def goes_on(self) -> JobRun | BaseException:
        """Lets it go on; gives its record, or what came out of it."""
        self._held.may_go_on.set()
        self._thread.join(PATIENCE_S)
        (ended,) = self._ended
        return ended


@pytest.fixture
def house_of(new_store: NewStore, tmp_path: Path, clock: Callable[[], datetime]) -> Iterator[Callable[..., House]]:
    """Gives another house with every call, all over one store and one folder; all are closed after the test."""
    url, houses = new_store(), []

    def new(*, lease_s: float = 60.0, clock: Callable[[], datetime] = clock) -> House:
        house = House(url, tmp_path / "extracts", clock)
        house.engine._services = evolve(house.engine._services, lease_s=lease_s)
        houses.append(house)
        return house

    yield new
    for house in houses:
        house.engine.close()


@pytest.fixture
def two(house_of: Callable[..., House]) -> tuple[House, House]:
    """Two houses over one store, with people and teams to synchronize."""
    one, other = house_of(), house_of()
    one.people({"1": "Ann"}).teams({"A": "Alpha"})
    return one, other


def store_of(house: House) -> Store:
    return house.engine._services.store


def leases_of(house: House, *tasks: str) -> list[Lease]:
    with store_of(house).reading() as reading:
        return reading.leases(tasks or (HR,))


def _refusal(house: House) -> AlreadyRunning:
    with pytest.raises(AlreadyRunning) as refused:
        house.engine.run_job("People")
    return refused.value


def silence(house: House, run: int) -> None:
    """What is left of a run that was not heard from for so long that its leases have expired."""
    assert store_of(house).renew_leases(run, 0.0)


def until(condition: Callable[[], object]) -> None:
    """Waits for something that another thread, or time, brings about."""
    turn = threading.Event()
    for _ in range(PATIENCE_S * 100):
        if condition():
            return
        turn.wait(0.01)
    raise AssertionError("it did not come about")


# Refused


def test_a_second_run_of_a_job_is_refused_and_the_first_is_named(two):
    one, other = two
    first = Running(one)

    with pytest.raises(AlreadyRunning) as refused:
        other.engine.run_job("People")

    error, (run,) = refused.value, other.engine.runs()
    assert (run.number, run.state) == (1, TaskState.RUNNING)
    assert (error.task, error.run, error.job) == (HR, 1, "People")
    assert (error.user, error.host, error.process) == (run.user, run.host, os.getpid())
    assert str(error).startswith("task SynchronizeHR is already running: in run 1 of job People, since 20")
    assert "Nothing was started. Run again when it has ended." in str(error)
    assert error.next_steps == (NextStep(NextAction.SHOW_RUN, 1),)
    assert first.goes_on().state is TaskState.COMPLETED
    assert other.run("People").number == 2


def test_another_job_with_a_task_that_is_running_is_refused(two):
    one, other = two
    first = Running(one)

    with pytest.raises(AlreadyRunning, match=r"in run 1 of job People"):
        other.engine.run_job("Incremental")

    assert leases_of(other, "SetRecentlyModifiedFlag", "Keys") == []
    first.goes_on()


def test_jobs_that_share_no_task_run_at_the_same_time(two):
    one, other = two
    first = Running(one)

    teams = other.run("Teams")

    assert teams.counts.inserted == 1
    assert first.goes_on().counts.inserted == 1
    assert [run.state for run in one.engine.runs()] == [TaskState.COMPLETED] * 2


def test_one_engine_does_not_run_a_task_twice_at_once(two):
    one, _ = two
    first = Running(one)

    with pytest.raises(AlreadyRunning):
        one.engine.run_job("People")

    first.goes_on()


def test_a_dry_run_is_refused_while_a_task_of_it_is_running(two):
    one, other = two
    first = Running(one)

    with pytest.raises(AlreadyRunning):
        other.engine.run_job("People", dry_run=True)

    first.goes_on()


def test_a_dry_run_leaves_no_lease(two):
    one, other = two

    one.run("People", dry_run=True)

    assert leases_of(other) == []
    assert other.run("People").number == 1


def test_a_run_is_refused_at_once_although_the_other_is_writing(two, monkeypatch):
    one, other = two
    inside, may_go_on, refused = threading.Event(), threading.Event(), []
    append = StoreWriting.append_resources

    def held(*arguments: Any) -> int:
        inside.set()
        assert may_go_on.wait(PATIENCE_S)
        return append(*arguments)

    monkeypatch.setattr(StoreWriting, "append_resources", held)
    first = Running(one)
    first._held.may_go_on.set()
    assert inside.wait(PATIENCE_S)

    second = threading.Thread(target=lambda: refused.append(_refusal(other)))
    second.start()
    second.join(PATIENCE_S / 2)  # half of the time for which a writer is waited for

    assert [error.run for error in refused] == [1]
    may_go_on.set()
    second.join()
    assert first.goes_on().state is TaskState.COMPLETED


def test_a_run_that_started_after_the_check_is_refused_in_the_transaction(two, monkeypatch):
    one, other = two
    first = Running(one)
    monkeypatch.setattr("deltamark.application.execution.run_job.refuse_if_running", lambda *arguments: None)

    for job in ("People", "Incremental"):
        with pytest.raises(AlreadyRunning, match="in run 1 of job People"):
            other.engine.run_job(job)

    assert [run.state for run in other.engine.runs()] == [TaskState.RUNNING]
    assert first.goes_on().state is TaskState.COMPLETED


def test_a_run_that_waited_too_long_for_a_writer_names_the_holder_of_its_task(two):
    one, other = two
    first = Running(one)
    silence(other, 1)

    with pytest.raises(AlreadyRunning), naming_the_other_run(store_of(other), [HR]):
        raise ConcurrentRun("another process has been writing to this store for more than 60 seconds")

    first.goes_on()


def test_of_many_runs_that_start_at_once_one_runs_at_a_time(house_of):
    houses = [house_of(clock=lambda: datetime.now(UTC)) for _ in range(4)]
    houses[0].people({"1": "Ann"})
    start, inside, most, refused, ran = threading.Barrier(4), [], [0], [], []

    class Counting(Observer):
        def task_started(self, run: int, task: TaskRun) -> None:
            inside.append(run)
            most[0] = max(most[0], len(inside))

        def task_ended(self, run: int, task: TaskRun) -> None:
            inside.remove(run)

    def work(house: House) -> None:
        for _ in range(8):
            start.wait(PATIENCE_S)
            try:
                ran.append(house.engine.run_job("People", observer=Counting()).number)
            except AlreadyRunning as e:
                refused.append(e.run)

    threads = [threading.Thread(target=work, args=(house,)) for house in houses]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(PATIENCE_S)

    assert most == [1]
    assert len(ran) + len(refused) == 32
    assert sorted(ran) == [run.number for run in houses[0].engine.runs()]


# Given back


def broken(house: House) -> None:
    house.write("people", ["no", "such"], [])


@pytest.mark.parametrize("spoil", [None, broken], ids=["success", "failure"])
def test_the_tasks_are_free_when_a_run_has_ended(two, spoil):
    one, other = two
    if spoil is not None:
        spoil(one)

    run = one.engine.run_job("Incremental")

    assert run.state is (TaskState.COMPLETED if spoil is None else TaskState.FAILED)
    assert leases_of(one, HR, "SetRecentlyModifiedFlag", "Keys") == []
    one.people({"1": "Ann", "2": "Bob"})
    assert other.run("Incremental").counts.inserted == (1 if spoil is None else 2)


@pytest.mark.parametrize("error", [KeyboardInterrupt, RuntimeError])
def test_the_tasks_are_free_when_a_run_was_interrupted(two, error):
    one, other = two

    class Interrupting(Observer):
        def task_started(self, run: int, task: TaskRun) -> None:
            raise error

    with pytest.raises(error):
        one.engine.run_job("People", observer=Interrupting())

    assert leases_of(one) == []
    assert other.run("People").number == 2


def test_a_run_that_could_not_be_recorded_leaves_its_tasks_free(two, monkeypatch):
    one, other = two
    with monkeypatch.context() as patch:
        patch.setattr("deltamark.application.runs.recorder.RunRecorder.task_ended_in", _raising(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            one.engine.run_job("People")

    assert other.run("People").number == 2
    assert one.engine.run(1).state is TaskState.ABORTED


def _raising(error: type[BaseException]) -> Callable[..., None]:
    def method(*arguments: Any) -> None:
        raise error

    return method


# Taken over


def test_the_next_run_records_the_end_of_a_dead_run(two):
    one, other = two
    first = Running(one, "Incremental")
    silence(other, 1)

    second = other.run("People")

    died = other.engine.run(1)
    assert (second.number, second.counts.inserted) == (2, 1)
    assert (died.state, task(died, HR).state) == (TaskState.ABORTED, TaskState.ABORTED)
    (message,) = task(died, HR).messages
    assert message.startswith(f"process {os.getpid()} of {died.user} on {died.host} was not heard from since 20")
    assert task(died, "Keys").state is TaskState.PENDING
    assert died.ended_at < second.started_at or died.ended_at == second.started_at
    assert leases_of(other, HR, "SetRecentlyModifiedFlag", "Keys") == []
    first.goes_on()


def test_a_run_that_was_taken_over_writes_nothing(two):
    one, other = two
    first = Running(one)
    silence(other, 1)
    other.run("People")
    head, before = other.engine.position(), other.engine.runs()
    one.people({"2": "Bob"})

    ended = first.goes_on()

    assert isinstance(ended, TakenOver)
    assert "another run took over the tasks of run 1" in str(ended)
    assert (other.engine.position(), other.engine.runs()) == (head, before)
    assert other.names() == {"1": "Ann"}


def test_a_run_that_was_taken_over_does_not_release_the_tasks_of_its_successor(two):
    one, other = two
    first = Running(one)
    silence(other, 1)
    second = Running(other)

    assert isinstance(first.goes_on(), TakenOver)

    assert [(lease.task, lease.run, lease.is_live) for lease in leases_of(one)] == [(HR, 2, True)]
    assert second.goes_on().state is TaskState.COMPLETED


def test_a_run_with_expired_leases_goes_on_if_no_other_took_over(two):
    one, other = two
    first = Running(one)
    silence(other, 1)

    assert first.goes_on().state is TaskState.COMPLETED
    assert [run.state for run in other.engine.runs()] == [TaskState.COMPLETED]


def test_a_dry_run_does_not_take_tasks_over_permanently(two):
    one, other = two
    first = Running(one)
    silence(other, 1)

    assert other.run("People", dry_run=True).counts.inserted == 1

    assert first.goes_on().counts.inserted == 1


AT_WORK = """
import os, sys, time
from pathlib import Path
from deltamark import Engine, Observer
from deltamark.bootstrap import utc_now
from tests.scenarios.house import configuration

class Waiting(Observer):
    def task_started(self, run, task):
        print("reached", flush=True)
        sys.stdin.read()

Engine.open(sys.argv[1], configuration=configuration(), export_output=sys.argv[2]).run_job(
    "Incremental", observer=Waiting()
)
"""


@contextmanager
def process_at_work(house: House) -> Iterator[subprocess.Popen[bytes]]:
    """A process that runs a job, and waits in its first task until it is ended."""
    with subprocess.Popen(
        [sys.executable, "-c", AT_WORK, house.url, str(house.folder)],
        cwd=Path(__file__).parent.parent.parent.parent,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    ) as process:
        try:
            assert process.stdout.readline() == b"reached\n"
            yield process
        finally:
            process.kill()


def identified_otherwise(house: House, change: Callable[[str], str]) -> None:
    """Alters what the leases hold of their process, as if it ran elsewhere."""
    with store_of(house).transaction() as tx:
        for (process,) in tx._db.all("SELECT DISTINCT process FROM leases"):
            tx._db.execute("UPDATE leases SET process=?1", (change(process),))


@pytest.mark.on_every_store
def test_a_run_whose_process_was_killed_on_this_machine_is_taken_over_at_once(house_of):
    house = house_of(clock=lambda: datetime.now(UTC)).people({"1": "Ann"})
    with (
        process_at_work(house) as process,
        pytest.raises(AlreadyRunning, match=rf"\(process {process.pid}\).* its process is alive"),
    ):
        house.engine.run_job("People")
    assert house.engine.run(1).state is TaskState.ABORTED

    second = house.run("People")

    assert (second.number, second.counts.inserted) == (2, 1)
    died = house.engine.run(1)
    assert [t.state for t in died.tasks] == [TaskState.ABORTED, TaskState.PENDING, TaskState.PENDING]
    assert f"process {process.pid} of" in task(died, HR).messages[0]
    assert "ended before its run did" in task(died, HR).messages[0]


def test_a_killed_process_that_is_not_yet_reaped_is_dead_too(house_of):
    house = house_of(clock=lambda: datetime.now(UTC)).people({"1": "Ann"})
    with process_at_work(house) as process:
        process.send_signal(signal.SIGKILL)
        os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)

        assert house.run("People").number == 2


@pytest.mark.slow  # starts and stops processes
@pytest.mark.parametrize(
    "elsewhere",
    [
        lambda process: process.replace(" ", "-elsewhere ", 1),
        lambda process: process.replace("pid:[", "pid:[9"),
        lambda process: "",
    ],
    ids=["another host", "another container", "not said by its system"],
)
def test_a_run_whose_process_ran_elsewhere_keeps_its_tasks_until_its_leases_expire(house_of, elsewhere):
    house = house_of(clock=lambda: datetime.now(UTC)).people({"1": "Ann"})
    with process_at_work(house):
        pass
    identified_otherwise(house, elsewhere)

    with pytest.raises(AlreadyRunning, match="its tasks are free about a minute after that"):
        house.engine.run_job("People")

    silence(house, 1)
    assert house.run("People").number == 2


def test_a_number_that_another_process_got_does_not_keep_a_run_alive(house_of):
    house = house_of(clock=lambda: datetime.now(UTC)).people({"1": "Ann"})
    with process_at_work(house) as process:
        identified_otherwise(house, lambda text: text.rpartition(" ")[0] + " 1")  # started at another time

        assert process.poll() is None
        assert house.run("People").number == 2


@pytest.mark.slow  # starts and stops processes
@pytest.mark.on_every_store
def test_a_stopped_process_is_named_as_that_and_cancelling_its_run_ends_it(house_of):
    house = house_of(clock=lambda: datetime.now(UTC)).people({"1": "Ann"})
    with process_at_work(house) as process:
        process.send_signal(signal.SIGSTOP)
        os.waitid(os.P_PID, process.pid, os.WSTOPPED | os.WNOWAIT)

        with pytest.raises(AlreadyRunning, match=rf"stopped.*kill -CONT {process.pid}") as refused:
            house.engine.run_job("People")
        assert NextStep(NextAction.END_RUN, 1) in refused.value.next_steps
        cancelled = house.engine.cancel(1)

        assert process.wait(PATIENCE_S) == -signal.SIGKILL
    assert cancelled.state is TaskState.ABORTED
    assert house.run("People").number == 2


def test_cancelling_a_run_never_ends_a_process_that_is_not_stopped(house_of):
    house = house_of(clock=lambda: datetime.now(UTC)).people({"1": "Ann"})
    with process_at_work(house) as process:
        assert house.engine.cancel(1).state is TaskState.RUNNING
        assert process.poll() is None


# Heard from


def test_a_task_that_takes_long_keeps_its_leases(house_of):
    one, other = (house_of(lease_s=LEASE_S, clock=lambda: datetime.now(UTC)) for _ in range(2))
    one.people({"1": "Ann"})
    first = Running(one)
    (taken,) = leases_of(other)

    until(lambda: (leases_of(other)[0].heard_at - taken.taken_at).total_seconds() > 1.1 * LEASE_S)

    with pytest.raises(AlreadyRunning):
        other.engine.run_job("People")
    assert first.goes_on().state is TaskState.COMPLETED


def test_without_renewal_a_lease_expires_and_is_taken_over(house_of, monkeypatch):
    monkeypatch.setattr(Heartbeat, "start", lambda self: None)
    monkeypatch.setattr(Heartbeat, "stop", lambda self: None)
    one, other = (house_of(lease_s=0.05, clock=lambda: datetime.now(UTC)) for _ in range(2))
    one.people({"1": "Ann"})
    first = Running(one)

    until(lambda: not leases_of(other)[0].is_live)

    assert other.run("People").number == 2
    assert isinstance(first.goes_on(), TakenOver)


def test_a_transaction_renews_leases_with_the_time_at_its_end(house_of):
    one, other = (house_of(clock=lambda: datetime.now(UTC)) for _ in range(2))
    one.people({"1": "Ann"})
    first = Running(one)
    store_of(one).renew_leases(1, 0.05)
    (before,) = leases_of(other)

    with store_of(one).transaction() as tx:
        assert tx.extend_leases(1, [HR], 60.0)
        until(lambda: not leases_of(other)[0].is_live)

    (after,) = leases_of(other)
    assert after.is_live
    assert (after.heard_at - before.heard_at).total_seconds() >= 0.05
    first.goes_on()


def test_a_long_write_does_not_let_the_leases_of_others_expire(house_of):
    one, other = (house_of(clock=lambda: datetime.now(UTC)) for _ in range(2))
    one.people({"1": "Ann"})
    first = Running(one)
    store_of(one).renew_leases(1, 1.0)

    with store_of(other).transaction():
        until(lambda: not leases_of(other)[0].is_live)
        store_of(one).renew_leases(1, 1.0)  # which a server does meanwhile, and a file cannot

    assert leases_of(other)[0].is_live
    assert first.goes_on().state is TaskState.COMPLETED


def test_a_renewal_does_not_wait_for_other_writers(two):
    one, other = two
    first = Running(one)
    renewed = threading.Event()

    def renew() -> None:
        store_of(one).renew_leases(1, 60.0)
        renewed.set()

    with store_of(other).transaction():
        thread = threading.Thread(target=renew)
        thread.start()
        assert renewed.wait(PATIENCE_S / 2)  # a writer is waited for twice as long

    thread.join()
    first.goes_on()


def test_a_failed_renewal_is_soon_retried():
    tried, enough = [], threading.Event()

    class Failing:
        def renew_leases(self, run: int, time_to_live_s: float) -> bool:
            tried.append(run)
            if len(tried) == 3:
                enough.set()
            raise RuntimeError("the store has a bad day")

    heartbeat = Heartbeat(Failing(), 7, 0.3)  # type: ignore[arg-type]

    heartbeat.start()

    assert enough.wait(PATIENCE_S)
    heartbeat.stop()
    assert tried[:3] == [7, 7, 7]


def test_nothing_renews_the_leases_of_a_run_that_has_ended(two):
    one, other = two
    before = {*threading.enumerate()}  # of other tests, whose schedulers died

    one.run("People")

    assert not store_of(other).renew_leases(1, 60.0)
    assert [thread for thread in threading.enumerate() if thread not in before and "heartbeat" in thread.name] == []
