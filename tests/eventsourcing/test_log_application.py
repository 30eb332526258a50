"""The log as an application of the event-sourcing library: aggregates, notifications, gaps, and what it refuses."""

from __future__ import annotations

import subprocess
import sys
import threading
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from eventsourcing.application import AggregateNotFoundError
from eventsourcing.domain import Aggregate
from eventsourcing.persistence import ProgrammingError
from eventsourcing.projection import ApplicationSubscription

from deltamark import (
    Deleted,
    HistoryDiscarded,
    LinkRef,
    ResourceRef,
    StoreError,
    StoreMissing,
    StoreUnreachable,
    UsageError,
)
from deltamark.domain.resources.link import fold_link
from deltamark.domain.resources.resource import fold
from deltamark.eventsourcing import (
    ChangesDiscarded,
    ConfigurationAdopted,
    Created,
    Erased,
    Event,
    JobRun,
    Link,
    LinkEvent,
    LinkSnapshot,
    LogApplication,
    NotificationsDiscarded,
    Resource,
    ResourceErased,
    ResourceEvent,
    ResourceSnapshot,
    RunEvent,
    Updated,
    application,
    topics_of,
)
from deltamark.infrastructure.store.events.mapper import TOPICS
from tests.scenarios.house import House
from tests.store.tables import alter

MEMBER = LinkRef("Members", ResourceRef("Team", "T"), ResourceRef("Person", "1"))


def events_of(log: LogApplication, topics: tuple[str, ...] = ()) -> list[tuple[int, Event]]:
    """All events that a subscription gives up to the end of the log."""
    last = log.recorder.select_notifications(1, 10_000, topics=topics)[-1].id
    events = []
    with ApplicationSubscription(log, topics=topics) as subscription:
        for event, tracking in subscription:
            events.append((tracking.notification_id, event))
            if tracking.notification_id == last:
                return events
    raise AssertionError("the subscription ended")


def rebuilt(events: list[tuple[int, Event]]) -> dict[str, Resource | Link]:
    """What a view would hold that folds what it is given, by stream."""
    streams: dict[str, list[Event]] = {}
    for _, event in events:
        if isinstance(event, ResourceErased):
            for stream in event.streams:
                streams.pop(str(stream), None)
        elif isinstance(event, ResourceEvent | ResourceSnapshot | LinkEvent | LinkSnapshot):
            streams.setdefault(event.originator_id, []).append(event)
    return {
        stream: fold(facts) if isinstance(facts[0], ResourceEvent | ResourceSnapshot) else fold_link(facts)  # type: ignore
        for stream, facts in streams.items()
    }


def stored(house: House) -> dict[str, Resource]:
    """The resources that exist, by stream."""
    engine = house.engine
    found = [engine.resource(kind, row.key) for kind in ("Person", "Team") for row in engine.export_resources(kind)]
    return {resource.originator_id: resource for resource in found if resource is not None}


@pytest.mark.on_every_store
def test_a_stream_folds_into_what_the_engine_shows(lasting: House, log: LogApplication) -> None:
    engine, get = lasting.engine, log.repository.get

    for key in ("1", "2"):
        assert get(log.resource_id("Person", key)) == engine.resource("Person", key)
    assert {resource.id: get(resource.id) for resource in stored(lasting).values()} == stored(lasting)
    assert get(log.link_id(engine.links("Person", "1")[0])).ref == MEMBER
    assert [get(log.run_id(run.number)) for run in engine.runs()] == [engine.run(run.number) for run in engine.runs()]


def test_what_is_gone_is_not_live_and_keeps_its_stream(lasting: House, log: LogApplication) -> None:
    cid = log.repository.get(log.resource_id("Person", "3"))
    left = log.repository.get(log.link_id(LinkRef("Members", ResourceRef("Team", "T"), ResourceRef("Person", "3"))))

    assert lasting.engine.resource("Person", "3") is None
    assert (cid.live, cid.values, cid.version) == (False, {}, 2)
    assert (left.live, left.version) == (False, 2)


def test_an_aggregate_of_an_earlier_version_is_what_it_was(lasting: House, log: LogApplication) -> None:
    ann = log.resource_id("Person", "1")

    names = [log.repository.get(ann, version=version).values["Name"] for version in (1, 2, 3)]

    assert names == ["Ann", "Anna", "Annabel"]
    assert log.repository.get(ann).version == 3
    assert [log.repository.get(log.link_id(MEMBER), version=n).live for n in (1, 2, 3)] == [True, False, True]


@pytest.mark.on_every_store
def test_notifications_are_the_events_by_position(lasting: House, log: LogApplication) -> None:
    changes = {change.position: change.event for change in lasting.engine.changes()}
    everything = events_of(log)

    assert [position for position, _ in everything] == list(range(1, lasting.engine.position() + 1))
    assert log.recorder.max_notification_id() == lasting.engine.position()
    found = {position: event for position, event in everything if isinstance(event, ResourceEvent | LinkEvent)}
    assert found == changes
    assert {type(event) for _, event in everything} >= {ConfigurationAdopted}
    assert rebuilt(everything).items() >= stored(lasting).items()


def test_sections_of_the_notification_log_lead_to_its_end(log: LogApplication) -> None:
    section, ids = log.notification_log["1,10"], list[int]()
    while True:
        ids += [notification.id for notification in section.items]
        if section.next_id is None:
            break
        section = log.notification_log[section.next_id]

    assert ids == list(range(1, len(ids) + 1))
    assert len(ids) == log.recorder.max_notification_id()


def test_topics_choose_events_with_what_stands_for_those_that_are_gone(lasting: House, log: LogApplication) -> None:
    people = events_of(log, topics_of(Created, Deleted))

    assert {type(event) for _, event in people} == {Created, Deleted}
    assert topics_of(Updated) == ("u1", "p1", "s1", "er1")
    assert topics_of(LinkEvent) == ("l1", "x1", "sl1", "er1")
    assert topics_of(ResourceErased) == ("er1",)
    assert set(topics_of(Event)) == set(TOPICS)
    assert all(isinstance(event, RunEvent) for _, event in events_of(log, topics_of(RunEvent)))


@pytest.mark.parametrize(
    ("topics", "message"),
    [
        (["deltamark.domain.resources.resource:Created"], "is no topic of the log"),
        (["c2"], r"\"c2\" is no topic of the log.*topics_of"),
        (["c1", "s1"], "leave out er1, the erasures of resources: a view would keep what was erased"),
    ],
)
def test_topics_that_would_find_nothing_or_keep_what_was_erased_are_refused(log, topics, message) -> None:
    for read in (
        lambda: log.recorder.subscribe(topics=topics),
        lambda: log.notification_log.select(1, 5, topics=topics),
    ):
        with pytest.raises(UsageError, match=message):
            read()


def test_only_classes_of_events_have_topics() -> None:
    for wrong in (Resource, str, JobRun, "c1"):
        with pytest.raises(UsageError, match="is no class of events of the log"):
            topics_of(wrong)  # type: ignore[arg-type]


@pytest.mark.on_every_store
def test_writing_is_refused_with_the_reason(lasting: House, log: LogApplication) -> None:
    before, ann = lasting.engine.position(), log.repository.get(log.resource_id("Person", "1"))
    event = next(log.events.get(ann.id))
    writes = (
        lambda: log.save(),
        lambda: log.save(Aggregate()),
        lambda: log.save(event),
        lambda: log.events.put([event]),
        lambda: log.recorder.insert_events([log.mapper.to_stored_event(event)]),
        lambda: log.take_snapshot(ann.id),
    )

    for write in writes:
        with pytest.raises(ProgrammingError, match=r"needs a seal.*Nothing was written\. Change resources with a job"):
            write()

    for place in (log.factory.tracking_recorder, log.factory.process_recorder):
        with pytest.raises(ProgrammingError, match="Give the view a store of the library's own"):
            place()
    assert lasting.engine.position() == before
    assert lasting.engine.verify().discrepancies == ()


def test_a_topic_that_is_not_known_is_refused_and_nothing_is_imported(lived: House) -> None:
    alter(lived.url, "UPDATE stored_events SET topic='antigravity:geohash' WHERE notification_id=3")

    with application(lived.url) as log, pytest.raises(StoreError, match=r"unknown topic \"antigravity:geohash\""):
        events_of(log)
    assert "antigravity" not in sys.modules


def test_discarded_changes_are_told_by_an_error_after_everything_before_them(lived: House) -> None:
    lived.engine.retain("HR", keep=2, even_unread=True)
    with application(lived.url) as log:
        given = []
        with pytest.raises(NotificationsDiscarded) as error, ApplicationSubscription(log) as subscription:
            given.extend(tracking.notification_id for _, tracking in subscription)

        (record,) = [event for _, event in events_of(log, topics_of(ChangesDiscarded))]
        first = error.value.first
        assert given == list(range(1, first))
        assert first == record.first
        assert isinstance(error.value, HistoryDiscarded)
        assert f"no event at position {first} any more: the changes of connector HR up to position" in str(error.value)
        assert "snapshots=True" in str(error.value)
        for range_ in ((1, 5_000), (first, 1), (first, 5_000, first)):
            with pytest.raises(NotificationsDiscarded):
                log.recorder.select_notifications(*range_)
        assert [n.id for n in log.recorder.select_notifications(1, 5_000, first - 1)] == given
        # What was never discarded, and what lies beyond, can be read.
        assert log.recorder.select_notifications(1, 5_000, topics=topics_of(RunEvent))
        assert log.recorder.select_notifications(error.value.horizon, 5_000, inclusive_of_start=False)


def test_snapshots_stand_for_discarded_changes(lived: House) -> None:
    lived.engine.retain("HR", keep=2, even_unread=True)
    lived.engine.retain("Teams", keep=0, even_unread=True)
    with application(lived.url, snapshots=True) as log:
        everything = events_of(log)

        assert [position for position, _ in everything] == sorted({position for position, _ in everything})
        assert {ResourceSnapshot, LinkSnapshot} <= {type(event) for _, event in everything}
        folded = rebuilt(everything)
        assert folded.items() >= stored(lived).items()
        assert {stream: log.repository.get(stream) for stream in folded} == folded
        # Page by page, whatever their size, it is the same.
        for size in (1, 3):
            positions, last = list[int](), 0
            while page := log.recorder.select_notifications(last, size, inclusive_of_start=False):
                assert len(page) <= size
                positions += [notification.id for notification in page]
                last = positions[-1]
            assert positions == [position for position, _ in everything]


def test_topics_without_snapshots_do_not_hide_what_was_discarded(lived: House) -> None:
    lived.engine.retain("HR", keep=0, even_unread=True)
    with application(lived.url, snapshots=True) as log:
        with pytest.raises(NotificationsDiscarded):
            log.recorder.select_notifications(1, 5_000, topics=["c1", "er1"])
        assert ResourceSnapshot in {type(event) for _, event in events_of(log, topics_of(Created))}


def test_a_stream_whose_beginning_was_discarded_folds_from_its_snapshot(lived: House) -> None:
    lived.engine.retain("HR", keep=2, even_unread=True)
    with application(lived.url) as log:
        ann = log.resource_id("Person", "1")
        first, *_ = log.events.get(ann)

        assert isinstance(first, ResourceSnapshot)
        assert log.repository.get(ann) == lived.engine.resource("Person", "1")
        assert log.repository.get(ann, version=first.originator_version).version == first.originator_version
        with pytest.raises(HistoryDiscarded, match="changes of connector HR"):
            log.repository.get(ann, version=first.originator_version - 1)
        assert [e.originator_version for e in log.events.get(ann, desc=True)][-1] == first.originator_version


def test_erased_events_are_told_with_their_streams(lived: House) -> None:
    with application(lived.url) as log:
        ann, member = log.resource_id("Person", "1"), log.link_id(MEMBER)
        before = log.recorder.max_notification_id()
        lived.engine.erase("Person", "1", reason="request 17")
        everything = events_of(log)

        erased = [event.originator_id for _, event in everything if isinstance(event, Erased)]
        (record,) = [event for position, event in everything if isinstance(event, ResourceErased)]
        assert {ann, member} <= set(erased)
        assert {ann, member} == set(map(str, record.streams))
        assert rebuilt(everything).items() >= stored(lived).items()
        assert not {ann, member} & rebuilt(everything).keys()
        for stream in (ann, member):
            with pytest.raises(AggregateNotFoundError, match="was erased"):
                log.repository.get(stream)
        with pytest.raises(AggregateNotFoundError):
            log.resource_id("Person", "1")
        # A follower that had seen the person is told, also by topics.
        topics = topics_of(Created, Deleted)
        told = log.recorder.select_notifications(before, 100, topics=topics, inclusive_of_start=False)
        assert [n.topic for n in told] == ["er1"]


@pytest.mark.on_every_store
def test_what_never_was_is_not_found(log: LogApplication) -> None:
    nowhere = LinkRef("Members", ResourceRef("Team", "T"), ResourceRef("Person", "2"))
    for search in (
        lambda: log.resource_id("Person", "4711"),
        lambda: log.resource_id("Nobody", "1"),
        lambda: log.link_id(nowhere),
        lambda: log.run_id(4711),
        *(lambda stream=stream: log.repository.get(stream) for stream in ("4711", "x", str(uuid4()), "9" * 30, "-1")),
    ):
        with pytest.raises(AggregateNotFoundError):
            search()
    assert log.resource_id("Person", "1") in log.repository
    assert "4711" not in log.repository


def test_adoptions_are_no_aggregate_and_can_be_read(log: LogApplication) -> None:
    with pytest.raises(AggregateNotFoundError, match=r"adoptions of configurations.*application\.events\.get\('0'\)"):
        log.repository.get("0")
    assert {type(event) for event in log.events.get("0")} == {ConfigurationAdopted}


def test_a_place_beyond_the_end_of_the_log_is_refused(log: LogApplication) -> None:
    with pytest.raises(UsageError, match=r"is not in the log.*followed another store"):
        log.recorder.subscribe(gt=4711)


@pytest.mark.parametrize("new_store", ["sqlite"], indirect=True)
def test_an_event_that_is_missing_without_a_discard_is_a_fault(lived: House) -> None:
    alter(lived.url, "DELETE FROM stored_events WHERE notification_id=4")

    missing = "no event at position 4, and no discard of it is on record"
    with application(lived.url) as log, pytest.raises(StoreError, match=missing):
        log.recorder.select_notifications(1, 100)


@pytest.mark.parametrize("lasting_store_url", ["sqlite"], indirect=True)
def test_settings_are_checked(lasting: House, tmp_path: Path) -> None:
    for url, named, message in (
        (lasting.url, {"snapshots": "yes"}, "snapshots"),
        (lasting.url, {"poll_interval": -1}, "poll_interval"),
        (lasting.url, {"poll_interval": 0}, "number of seconds above 0"),
        (7, {}, "url, the URL of a store"),
    ):
        with pytest.raises(UsageError, match=message):
            application(url, **named)  # type: ignore[arg-type]
    with pytest.raises(StoreMissing):
        application(f"sqlite:///{tmp_path}/nowhere.db")
    with pytest.raises(UsageError, match="DELTAMARK_STORE"):
        LogApplication({"DELTAMARK_STORE": ""})
    with pytest.raises(UsageError, match=r"DELTAMARK_SNAPSHOTS is .*; write y or n"):
        LogApplication({"DELTAMARK_STORE": lasting.url, "DELTAMARK_SNAPSHOTS": "perhaps"})


def test_a_class_can_name_its_store_and_the_name_of_its_places(lasting: House) -> None:
    class People(LogApplication):
        env = {"DELTAMARK_STORE": lasting.url}  # noqa: RUF012

    with People() as people, ApplicationSubscription(people) as subscription:
        _, tracking = next(subscription)

    assert tracking.application_name == "People"
    people.close()  # again


@pytest.mark.on_every_store
@pytest.mark.parametrize("poll_interval", [None, 0.01])
def test_a_subscription_that_waits_can_be_stopped_by_another_thread(lasting: House, poll_interval) -> None:
    with application(lasting.url, poll_interval=poll_interval) as log:
        subscription = log.recorder.subscribe(gt=lasting.engine.position())
        threading.Timer(0.05, subscription.stop).start()
        with subscription:
            assert list(subscription) == []
        with pytest.raises(StopIteration):
            next(subscription)


@pytest.mark.parametrize("lasting_store_url", ["sqlite"], indirect=True)
def test_a_subscription_survives_a_server_that_is_away_for_some_time(lasting: House, monkeypatch) -> None:
    with application(lasting.url) as log, log.recorder.subscribe() as subscription:
        store, away = log.recorder.store, iter([True, True, False, True])
        reading = store.reading

        def reading_or_not() -> Any:
            if next(away, False):
                raise StoreUnreachable("the server is away")
            return reading()

        monkeypatch.setattr(store, "reading", reading_or_not)
        ids = [next(subscription).id for _ in range(lasting.engine.position())]

        assert ids == list(range(1, lasting.engine.position() + 1))
        monkeypatch.setattr("deltamark.application.history.follow.PATIENCE_S", 0.0)
        away = iter(lambda: True, False)
        with pytest.raises(StoreUnreachable):
            next(subscription)


def test_importing_deltamark_does_not_import_the_library() -> None:
    code = "import sys, deltamark; deltamark.Resource; print('eventsourcing' in sys.modules)"

    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert done.stdout == "False\n"


def test_an_application_opens_no_store_in_memory() -> None:
    with pytest.raises(StoreError, match=r"sqlite:// is a store in memory"):
        LogApplication({"DELTAMARK_STORE": "sqlite://"})
