"""The library's runner follows a log into views of every kind, each event once, whatever happens to its process."""

from __future__ import annotations

import random
import subprocess
import sys
import threading
from collections.abc import Callable
from itertools import count
from pathlib import Path
from time import monotonic, sleep
from typing import Any
from uuid import NAMESPACE_URL, UUID, uuid5

import psycopg
import pytest
from eventsourcing.application import AggregateNotFoundError
from eventsourcing.domain import Aggregate, event
from eventsourcing.persistence import TrackingRecorder, WaitInterruptedError
from eventsourcing.projection import (
    ApplicationSubscription,
    EventSourcedProjection,
    EventSourcedProjectionRunner,
    ProjectionRunner,
)
from eventsourcing.sqlite import SQLiteDatastore

from deltamark.eventsourcing import (
    LogApplication,
    NotificationsDiscarded,
    ResourceEvent,
    RunStarted,
    application,
)
from tests.docs.pages import ROOT
from tests.eventsourcing.views import (
    InAFile,
    InMemory,
    OnAServer,
    OutOfOrder,
    Seen,
    SeenResources,
    in_a_file,
    on_a_server,
)
from tests.scenarios.house import House

PATIENCE_S = 60

_schemas = count(1)


def following(house: House, view: type[TrackingRecorder], projection: type[Seen] = Seen, **env: str) -> Any:
    return ProjectionRunner(
        application_class=LogApplication,
        projection_class=projection,
        view_class=view,
        env={"DELTAMARK_STORE": house.url, **env},
    )


def all_of(house: House) -> list[tuple[int, str]]:
    """Every event of the log, by position and class."""
    with application(house.url) as log:
        notifications = log.recorder.select_notifications(1, 100_000)
        return [(n.id, type(log.mapper.to_domain_event(n)).__name__) for n in notifications]


@pytest.fixture(params=[InMemory, InAFile, OnAServer])
def view(request: pytest.FixtureRequest, tmp_path: Path) -> Callable[[], tuple[type[TrackingRecorder], dict[str, str]]]:
    """A kind of view, and the environment of a new one."""
    match request.param:
        case kind if kind is OnAServer:
            schema, url = f"view_{next(_schemas)}", request.getfixturevalue("postgresql_database")
            with psycopg.connect(url, autocommit=True) as connection:
                connection.execute(f"CREATE SCHEMA {schema}".encode())
            return lambda: (OnAServer, on_a_server(url, schema))
        case kind if kind is InAFile:
            return lambda: (InAFile, in_a_file(tmp_path / "view.db"))
    return lambda: (InMemory, {})


def test_a_projection_follows_a_log_as_it_grows(lived: House, view) -> None:
    kind, env = view()
    with following(lived, kind, **env) as runner:
        runner.wait(lived.engine.position(), PATIENCE_S)
        assert runner.view.seen() == all_of(lived)
        lived.people({"9": "Zoe"}).run("People", force=True)
        runner.wait(lived.engine.position(), PATIENCE_S)
        seen = runner.view.seen()

    assert seen == all_of(lived)


def test_a_projection_goes_on_from_its_place(lived: House, tmp_path: Path) -> None:
    for name in ("Zoe", "Zoey"):
        with following(lived, InAFile, **in_a_file(tmp_path / "view.db")) as runner:
            runner.wait(lived.engine.position(), PATIENCE_S)
            seen = runner.view.seen()
        assert seen == all_of(lived)
        lived.people({"9": name}).run("People", force=True)


def test_a_projection_by_topics_gets_only_those(lived: House) -> None:
    changes = [change.position for change in lived.engine.changes() if isinstance(change.event, ResourceEvent)]

    with following(lived, InMemory, SeenResources) as runner:
        runner.wait(changes[-1], PATIENCE_S)
        assert [position for position, _ in runner.view.seen()] == changes


def test_an_error_of_a_projection_ends_it_and_leaves_its_place(lived: House) -> None:
    with following(lived, InMemory, OutOfOrder) as runner:
        with pytest.raises(ZeroDivisionError):
            runner.run_forever(PATIENCE_S)
        assert runner.view.max_tracking_id("Deltamark") is None


def test_a_projection_is_told_what_was_discarded_and_goes_on_with_snapshots(lived: House, tmp_path: Path) -> None:
    lived.engine.retain("HR", keep=0, even_unread=True)
    place = in_a_file(tmp_path / "view.db")

    with following(lived, InAFile, **place) as runner:
        with pytest.raises(NotificationsDiscarded) as error:
            runner.run_forever(PATIENCE_S)
        before = runner.view.seen()
    with following(lived, InAFile, DELTAMARK_SNAPSHOTS="y", **place) as runner:
        runner.wait(lived.engine.position(), PATIENCE_S)
        seen = runner.view.seen()

    assert [position for position, _ in before] == list(range(1, error.value.first))
    assert len(dict(seen)) == len(seen)
    snapshots = [position for position, kind in seen if kind == "ResourceSnapshot"]
    assert snapshots
    assert set(seen) >= set(all_of_kept(lived))


def all_of_kept(house: House) -> list[tuple[int, str]]:
    with application(house.url, snapshots=True) as log:
        notifications = log.recorder.select_notifications(1, 100_000)
        return [(n.id, type(log.mapper.to_domain_event(n)).__name__) for n in notifications]


class Counter(Aggregate):
    """An aggregate of the library's own kind."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.count = 0

    @classmethod
    def create_id(cls, name: str) -> UUID:
        return uuid5(NAMESPACE_URL, name)

    @event("Incremented")
    def increment(self) -> None:
        self.count += 1


class CountedByClass(EventSourcedProjection[UUID]):
    """Keeps aggregates of its own, in a store of its own: a counter for each class of events."""

    name = "counted"

    def policy(self, domain_event: Any, processing_event: Any) -> None:
        number = Counter.create_id(type(domain_event).__name__)
        try:
            counter = self.repository.get(number)
        except AggregateNotFoundError:
            counter = Counter(type(domain_event).__name__)
        counter.increment()
        processing_event.collect_events(counter)


def test_an_event_sourced_projection_keeps_its_place_in_its_own_store(lived: House, tmp_path: Path) -> None:
    with EventSourcedProjectionRunner(
        application_class=LogApplication,
        projection_class=CountedByClass,
        env={"DELTAMARK_STORE": lived.url, **in_a_file(tmp_path / "own.db")},
    ) as runner:
        runner.wait(lived.engine.position(), PATIENCE_S)
        counted = runner.projection.repository.get(Counter.create_id("RunStarted")).count

    assert counted == len(lived.engine.runs())


@pytest.mark.on_every_store
def test_what_a_writer_has_not_committed_is_not_skipped(house: House) -> None:
    """A transaction has its positions, and another one waits behind it: a follower sees neither, then both."""
    first, may_commit, told = house.engine.position() + 1, threading.Event(), threading.Event()
    store = house.engine._services.store

    def started(stream: str, number: int, at: Any) -> RunStarted:
        return RunStarted(
            originator_id=stream, originator_version=1, at=at, run=number, job="J", configuration_digest="",
            user="", host="", process=0,
        )  # fmt: skip

    def write_slowly() -> None:
        with store.transaction() as tx:
            tx.start_run(started)
            told.set()
            may_commit.wait(PATIENCE_S)

    def write() -> None:
        with store.transaction() as tx:
            tx.start_run(started)

    threads = [threading.Thread(target=write_slowly), threading.Thread(target=write)]
    with application(house.url, poll_interval=0.001) as log, ApplicationSubscription(log, gt=first - 1) as subscription:
        threads[0].start()
        assert told.wait(PATIENCE_S)
        threads[1].start()
        newest = log.recorder.max_notification_id()
        threading.Timer(0.05, may_commit.set).start()
        positions = [next(subscription)[1].notification_id for _ in range(2)]
    for thread in threads:
        thread.join()

    assert newest is None
    assert positions == [first, first + 1]


def killed_at_random(house: House, path: Path, kills: int, seed: int, grow: bool) -> None:
    """A process that follows is killed again and again; the view must hold every event once."""
    moments = random.Random(seed)
    for number in range(kills):
        with subprocess.Popen(
            [sys.executable, "-m", "tests.eventsourcing.children", house.url, str(path)], cwd=ROOT
        ) as child:
            known, deadline = len(seen_in(path)), monotonic() + PATIENCE_S
            while len(seen_in(path)) == known and not grow and monotonic() < deadline:
                sleep(0.001)
            if grow:
                house.people({str(n): f"{number}" for n in range(40)}).run("People", force=True)
            sleep(moments.uniform(0, 0.05))
            child.kill()
    seen = seen_in(path)
    assert [position for position, _ in seen] == list(range(1, len(seen) + 1))
    with following(house, InAFile, **in_a_file(path)) as runner:
        runner.wait(house.engine.position(), PATIENCE_S)
        assert runner.view.seen() == all_of(house)


def seen_in(path: Path) -> list[tuple[int, str]]:
    if not path.exists():
        return []
    recorder = InAFile(SQLiteDatastore(str(path)))
    try:
        return recorder.seen()
    except Exception:
        return []  # the table is not there yet
    finally:
        recorder.datastore.close()


@pytest.mark.parametrize("new_store", ["sqlite"], indirect=True)
def test_a_projection_that_is_killed_goes_on_without_loss_or_double(lived: House, tmp_path: Path) -> None:
    lived.people({str(n): f"Person {n}" for n in range(60)}).run("People", force=True)

    killed_at_random(lived, tmp_path / "view.db", kills=1, seed=1, grow=False)


@pytest.mark.slow  # starts many processes
def test_a_projection_that_is_killed_while_the_log_grows_goes_on(lived: House, tmp_path: Path) -> None:
    killed_at_random(lived, tmp_path / "view.db", kills=6, seed=2, grow=True)


def test_a_runner_that_is_stopped_ends(lived: House) -> None:
    with following(lived, InMemory) as runner:
        runner.wait(lived.engine.position(), PATIENCE_S)
        runner.stop()
        with pytest.raises((WaitInterruptedError, TimeoutError)):
            TrackingRecorder.wait(runner.view, "Deltamark", lived.engine.position() + 1, 5, runner.is_interrupted)
