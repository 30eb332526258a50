"""An event is read as it was written, and a stored row gives nothing but an event."""

from __future__ import annotations

import sys
from datetime import UTC, datetime
from typing import Any

import pytest
from attrs import evolve
from eventsourcing.persistence import StoredEvent

from deltamark.domain.adoption.configuration_adopted import ConfigurationAdopted, FunctionDefinition
from deltamark.domain.adoption.decommission import DecommissionAction, Decommissioned, FedAgain
from deltamark.domain.configuration.jobs import TaskState
from deltamark.domain.errors import StoreError
from deltamark.domain.resources.events import Event, Origin
from deltamark.domain.resources.link import Linked, LinkRef, LinkSnapshot, Unlinked
from deltamark.domain.resources.resource import (
    Change,
    Computed,
    Created,
    Deleted,
    ResourceRef,
    ResourceSnapshot,
    Updated,
)
from deltamark.domain.retention.erasure import Erased
from deltamark.domain.runs.run import (
    CancelRequested,
    ChangesDiscarded,
    Counts,
    ExtractRead,
    PairsAwaited,
    PlannedTask,
    ResourceErased,
    RowsSetAside,
    RunEnded,
    RunResumed,
    RunStarted,
    SetAside,
    TaskEnded,
    TaskProgressed,
    TaskStarted,
    TriggerKind,
)
from deltamark.domain.sources.places import PlaceForgotten, PlaceMoved
from deltamark.infrastructure.store.events.mapper import _BUILDERS, ChangeMapper
from deltamark.infrastructure.store.events.run_events import run_event

AT = datetime(2026, 11, 24, 8, 15, 30, 123456, tzinfo=UTC)
HEAD: dict[str, Any] = {"originator_id": "7", "originator_version": 3, "at": AT}
REF = ResourceRef("HR_Person", 'E"42\u2028\\')
LINK = LinkRef("Members", ResourceRef("Group", "G1"), REF)
VALUES = {"Name": "Zoë 😀\x01", "Level": 3, "Rate": 2.5, "Active": False}

EVENTS: list[Event] = [
    Created(**HEAD, cause=Origin(1, 2, 3), ref=REF, values=VALUES),
    Created(**HEAD, cause=Origin(1, 2), ref=REF, values={}),
    Updated(**HEAD, cause=Origin(1, 2, 3), ref=REF, updates={"Name": Change(None, "x"), "Level": Change(3, None)}),
    Computed(**HEAD, cause=Origin(1, 2), ref=REF, updates={"Name": Change(None, "x"), "Level": Change(3, None)}),
    Deleted(**HEAD, cause=Origin(1, 2), ref=REF, values=VALUES),
    Deleted(**HEAD, cause=Origin(1, 2), ref=REF, values=VALUES, computed={"Team": "x", "Name": "y"}),
    Linked(**HEAD, cause=Origin(1, 2, 3), ref=LINK),
    Unlinked(**HEAD, cause=Origin(1, 2), ref=LINK),
    ResourceSnapshot(**HEAD, ref=REF, values=VALUES, live=True),
    ResourceSnapshot(**HEAD, ref=REF, values=VALUES, computed={"Team": "x", "Name": "y"}, live=True),
    LinkSnapshot(**HEAD, ref=LINK, live=False),
    RunStarted(
        **HEAD,
        run=1,
        job="Nightly",
        configuration_digest="ab",
        user="u",
        host="h",
        process=4,
        forced=True,
        tasks=[PlannedTask(ordinal=1, identifier="T", kind="SynchronizeTask")],
    ),
    RunStarted(
        **HEAD,
        run=1,
        job="Nightly",
        configuration_digest="ab",
        user="u",
        host="h",
        process=4,
        trigger=TriggerKind.SCHEDULE,
        due_at=AT,
        late=True,
    ),
    RunResumed(**HEAD, run=1, configuration_digest="ab", user="u", host="h", process=4, again=[2, 3], pending=[3]),
    CancelRequested(**HEAD, run=1, user="u", host="h", process=4),
    TaskStarted(**HEAD, run=1, task=1),
    TaskProgressed(**HEAD, run=1, task=1, counts=Counts(read=4), words="read"),
    RowsSetAside(
        **HEAD,
        run=1,
        task=1,
        rows=[
            SetAside(file="a.csv", line=2, column="c", reason="r", value="v", key="k"),
            SetAside(file="a.csv", line=None, reason="r"),
        ],
    ),
    ChangesDiscarded(
        **HEAD,
        run=1,
        task=1,
        connector="HR",
        entity_types=["HR_Person"],
        first=1,
        up_to=9,
        count=9,
        digest="ab",
        unread=True,
        ranges=[(1, 4), (7, 9)],
    ),
    ResourceErased(
        **HEAD,
        run=1,
        task=1,
        entity_type="HR_Person",
        streams=[1, 4],
        salt="ab",
        key_digest="cd",
        reason="r",
        count=3,
        ranges=[(1, 2), (5, 5)],
    ),
    Erased(**HEAD, cause=Origin(1, 2)),
    PairsAwaited(**HEAD, run=1, task=1, association="Manager", awaited=[("1", "9")], settled=[("2", "é")]),
    TaskEnded(
        **HEAD,
        run=1,
        task=1,
        state=TaskState.WARNING,
        effect=True,
        counts=Counts(read=4, inserted=1),
        seconds=0.25,
        extracts=[ExtractRead(subject="HR_Person", file="a.csv", rows=4, digest="ab")],
        messages=["look"],
    ),
    RunEnded(**HEAD, run=1, state=TaskState.BLOCKED),
    ConfigurationAdopted(**HEAD, digest="ab", configuration_digest="cd", run=1, by="u"),
    ConfigurationAdopted(
        **HEAD,
        digest="ab",
        previous="ef",
        configuration_digest="cd",
        run=1,
        by="u",
        reason="r",
        differences=["Property Name of Person: added"],
        functions=[
            FunctionDefinition(
                name="m:f",
                entity_types=["Person"],
                reads=None,
                writes=["Name"],
                dirty=False,
                batch_size=5,
                version="2",
                deterministic=True,
                source="ab",
            )
        ],
    ),
    Decommissioned(
        **HEAD, name="AD", entity_types=["User"], action=DecommissionAction.DELETE, run=4, by="u", reason="r"
    ),
    Decommissioned(
        **HEAD, name="Members", associations=["Members"], action=DecommissionAction.FREEZE, run=4, by="u", reason="é"
    ),
    PlaceMoved(
        **HEAD,
        connection="AD",
        cookie="AAE=",
        guard={"id": "é"},
        scope="ab",
        delivery="delta",
        rows=2,
        made="3-1",
        run=3,
        task=2,
        newest={"HR": 1},
    ),
    PlaceForgotten(**HEAD, connection="AD", run=4, by="u", reason="r", newest={"AD": 2, "HR": 1}),
    FedAgain(**HEAD, entity_types=["User"], associations=["Members"], run=5),
]


@pytest.fixture
def mapper() -> ChangeMapper:
    return ChangeMapper()


@pytest.mark.parametrize("event", EVENTS, ids=lambda event: type(event).__name__)
def test_an_event_is_read_as_it_was_written(mapper: ChangeMapper, event: Event) -> None:
    stored = mapper.to_stored_event(event)

    assert mapper.to_domain_event(stored) == event
    assert (stored.originator_id, stored.originator_version) == ("7", 3)
    assert len(stored.topic) <= 3


def test_every_topic_of_the_registry_has_an_event_here(mapper: ChangeMapper) -> None:
    assert {mapper.to_stored_event(event).topic for event in EVENTS} == set(_BUILDERS)


def test_a_run_from_before_schedules_was_started_by_a_user(mapper: ChangeMapper) -> None:
    by_user = next(event for event in EVENTS if isinstance(event, RunStarted))
    stored = mapper.to_stored_event(by_user)
    payload = mapper.transcoder.decode(stored.state)

    old = {name: value for name, value in payload.items() if name not in ("trigger", "due_at", "late")}

    assert set(payload) - set(old) == {"trigger", "late"}
    assert run_event(stored.topic, "7", 3, AT, old) == by_user


@pytest.mark.parametrize("event", [Deleted(**HEAD, cause=Origin(1, 2), ref=REF, values=VALUES)])
def test_a_payload_without_computed_values_has_its_old_form(mapper: ChangeMapper, event: Event) -> None:
    payload = mapper.transcoder.decode(mapper.to_stored_event(event).state)

    assert payload.keys() == {"a", "r", "t", "e", "k", "v"}


@pytest.mark.parametrize(
    "at",
    [
        datetime(1, 1, 1, tzinfo=UTC),
        datetime(1969, 12, 31, 23, 59, 59, 999999, tzinfo=UTC),
        datetime.max.replace(tzinfo=UTC),
    ],
    ids=str,
)
def test_no_microsecond_is_lost_in_any_year(mapper: ChangeMapper, at: datetime) -> None:
    event = evolve(EVENTS[0], at=at)

    assert mapper.to_domain_event(mapper.to_stored_event(event)) == event


@pytest.mark.parametrize(
    "topic",
    [
        "os:system",
        "this:s",
        "",
        "c" * 10_240,
        "c2",
        "C1",
        "c1 ",
        "deltamark.domain.resources.resource:Created",
        "builtins:eval",
    ],
    ids=lambda topic: topic[:40] or "empty",
)
def test_an_unknown_topic_is_refused_and_imports_nothing(mapper: ChangeMapper, topic: str) -> None:
    sys.modules.pop("this", None)
    before = set(sys.modules)

    with pytest.raises(StoreError, match=r"event 3 of stream 7 has the unknown topic .*Upgrade Deltamark, or verify"):
        mapper.to_domain_event(StoredEvent("7", 3, topic, b"{}"))

    assert set(sys.modules) == before


def test_a_message_about_a_long_topic_is_readable(mapper: ChangeMapper) -> None:
    with pytest.raises(StoreError) as caught:
        mapper.event("7", 3, "c\n\x1b[31m" * 2000, b"{}")

    assert len(str(caught.value)) < 400
    assert "\n" not in str(caught.value)
    assert "\x1b" not in str(caught.value)


def test_control_the_mapper_of_the_library_imports_what_a_row_names() -> None:
    from eventsourcing.persistence import JSONTranscoder, Mapper

    sys.modules.pop("this", None)

    with pytest.raises(Exception):  # noqa: B017, PT011 - whatever it raises, the harm is done before
        Mapper(JSONTranscoder()).to_domain_event(StoredEvent("7", 3, "this:s", b"{}"))

    assert "this" in sys.modules


GOOD_HEAD = b'"a":1,"r":1,"t":1,"e":"P","k":"1"'


@pytest.mark.parametrize(
    ("topic", "state"),
    [
        ("c1", b""),
        ("c1", b"{"),
        ("c1", b"\xff\xfe"),
        ("c1", b"null"),
        ("c1", b"[]"),
        ("c1", b"7"),
        ("c1", b'"c1"'),
        ("c1", b"{}"),
        ("c1", b"[" * 100_000),
        ("c1", b"{" + GOOD_HEAD + b"}"),
        ("c1", b"{" + GOOD_HEAD + b',"v":7}'),
        ("c1", b"{" + GOOD_HEAD + b',"v":[1,2]}'),
        ("c1", b"{" + GOOD_HEAD + b',"v":NaN}'),
        ("c1", b'{"a":"yesterday","r":1,"t":1,"e":"P","k":"1","v":{}}'),
        ("c1", b'{"a":1e300,"r":1,"t":1,"e":"P","k":"1","v":{}}'),
        ("c1", b'{"a":-99999999999999999,"r":1,"t":1,"e":"P","k":"1","v":{}}'),
        ("u1", b"{" + GOOD_HEAD + b',"v":{"Name":"x"}}'),
        ("u1", b"{" + GOOD_HEAD + b',"v":{"Name":[1]}}'),
        ("u1", b"{" + GOOD_HEAD + b',"v":{"Name":[1,2,3]}}'),
        ("p1", b"{" + GOOD_HEAD + b',"v":{"Name":"x"}}'),
        ("d1", b"{" + GOOD_HEAD + b',"v":{},"c":7}'),
        ("l1", b"{" + GOOD_HEAD + b"}"),
        ("s1", b"{" + GOOD_HEAD + b',"v":{}}'),
        ("rs1", b'{"a":1,"run":1}'),
        ("te1", b'{"a":1,"run":1,"task":1,"state":"sleeping"}'),
        ("te1", b'{"a":1,"run":1,"task":1,"state":"completed","counts":{"eaten":1}}'),
        ("te1", b'{"a":1,"run":1,"task":1,"state":"completed","extracts":[1]}'),
        ("sa1", b'{"a":1,"run":1,"task":1,"rows":7}'),
    ],
)
def test_a_damaged_payload_is_refused_with_its_stream_and_version(
    mapper: ChangeMapper, topic: str, state: bytes
) -> None:
    with pytest.raises(StoreError, match=rf"event 3 of stream 7 \({topic}\) cannot be read: .*Verify it") as caught:
        mapper.event("7", 3, topic, state)

    assert len(str(caught.value)) < 400
