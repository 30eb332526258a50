"""Laws of history: a diff turns one past state into another, an audit gives what held at every moment."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from datetime import datetime
from typing import Any

from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from deltamark import EntityAssociation, LinkDelta, PropertyRef, ResourceDelta
from deltamark.application.history.audit import Span, links_between, values_between
from deltamark.application.history.diff import deltas
from deltamark.application.ports.queries import Reading
from deltamark.bootstrap import open_store
from deltamark.domain.resources.link import Linked, Unlinked
from deltamark.domain.resources.resource import Created, Deleted, Updated
from tests.store.builders import PERSON, compute, create, start_run, update
from tests.store.queries.test_history import LIVES, Moment, lived
from tests.tiers import examples

MEMBERS = EntityAssociation(
    "Members",
    PropertyRef("Group", "People"),
    PropertyRef(PERSON, "Groups"),
    is_property1_collection=True,
    is_property2_collection=True,
)
FOR_EVERY_LIFE = settings(
    max_examples=examples(40), deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
EVENTFUL = [
    [("put", "1", {"a": "Ann"}), ("put", "2", {"a": "Bob", "b": "Ann"}), ("toggle", "G", "1")],
    [("drop", "1"), ("put", "2", {"b": "Bob"})],
    [("put", "1", {"a": "Ann"}), ("toggle", "G", "1"), ("toggle", "H", "2")],
    [("drop", "1"), ("put", "1", {"a": "Bob"}), ("toggle", "H", "2"), ("toggle", "H", "2")],
]
FORGETFUL = [
    [("put", "1", {"a": "Ann"}), ("put", "2", {"b": "Bob"}), ("toggle", "G", "1")],
    [("discard people",), ("discard members",), ("put", "1", {"a": "Bob"})],
    [("drop", "1"), ("put", "2", {"b": "Bob", "a": "Ann"})],
]

Clock = Callable[[], datetime]


def applied(found: Iterable[ResourceDelta | LinkDelta], moment: Moment) -> Moment:
    """Applies a diff to the state of a moment, in plain Python; checks that it applies."""
    people, members = {key: dict(values) for key, values in moment[0].items()}, set(moment[1])
    for delta in found:
        if isinstance(delta, LinkDelta):
            pair = (delta.ref.source.key, delta.ref.target.key)
            assert (pair in members) == (delta.kind == "unlinked")
            members ^= {pair}
            continue
        key = delta.ref.key
        assert (key in people) == (delta.kind != "created")
        values = people.setdefault(key, {})
        for name, change in delta.changes.items():
            assert values.pop(name, None) == change.before != change.after
            if change.after is not None:
                values[name] = change.after
        if delta.kind == "deleted":
            assert people.pop(key) == {}
        elif delta.kind == "updated":
            assert delta.changes
    return people, members


@FOR_EVERY_LIFE
@given(LIVES)
@example(EVENTFUL)
@example(FORGETFUL)
def test_a_diff_turns_the_state_of_one_moment_into_that_of_another(
    new_store: Callable[[], str], clock: Clock, life: list
) -> None:
    store = open_store(new_store(), clock)
    model = lived(store, life)
    moments = {position: moment for position, moment in model.moments.items() if position >= model.horizon}

    with store.reading() as reading:
        for start, before in moments.items():
            for end, after in moments.items():
                found = list(deltas(reading, PERSON, start, end))
                assert applied(found, before) == after
                assert len({(type(delta), delta.ref) for delta in found}) == len(found)
                resources = [delta.ref.key.encode() for delta in found if isinstance(delta, ResourceDelta)]
                assert resources == sorted(resources)
    store.close()


def intervals(reading: Reading, name: str) -> set[tuple[Any, ...]]:
    """By plain Python over the log: (key, value, position from, position until) of one property, and of members."""
    found, holding = set(), dict[Any, tuple[Any, int]]()

    def becomes(what: Any, value: Any, position: int) -> None:
        held = holding.pop(what, None)
        if held is not None and held[0] != value:
            found.add((what, *held, position))
            held = None
        if value is not None:
            holding[what] = held or (value, position)

    for position, event in reading.changes(0, None):
        match event:
            case Linked() | Unlinked():
                pair = (event.ref.source.key, event.ref.target.key)
                becomes(pair, True if isinstance(event, Linked) else None, position)
            case Created() if event.ref.entity_type == PERSON:
                becomes(event.ref.key, event.values.get(name), position)
            case Updated() if name in event.updates:
                becomes(event.ref.key, event.updates[name].after, position)
            case Deleted():
                becomes(event.ref.key, None, position)
    return found | {(what, *held, None) for what, held in holding.items()}


def audited(reading: Reading, span: Span) -> Iterator[tuple[Any, ...]]:
    """The result of audits, in the form of `intervals`."""
    for value in values_between(reading, PERSON, "a", span, None):
        yield value.ref.key, value.value, *_positions(value)
    for link in links_between(reading, MEMBERS, span, None):
        yield (link.ref.source.key, link.ref.target.key), True, *_positions(link)


def _positions(held: Any) -> tuple[int | None, int | None]:
    return held.since and held.since.position, held.until and held.until.position


@FOR_EVERY_LIFE
@given(LIVES, st.integers(0, 40), st.integers(0, 40))
@example(EVENTFUL, 3, 9)
@example(EVENTFUL, 5, 5)
@example(EVENTFUL, 0, 40)
def test_an_audit_gives_the_intervals_of_the_log(
    new_store: Callable[[], str], clock: Clock, life: list, one: int, other: int
) -> None:
    store = open_store(new_store(), clock)
    lived(store, [[step for step in steps if "discard" not in step[0]] for steps in life])

    with store.reading() as reading:
        first, last = sorted((one % (reading.head() + 1), other % (reading.head() + 1)))
        found = list(audited(reading, Span(first, last)))
        assert len(set(found)) == len(found)
        assert set(found) == {
            held for held in intervals(reading, "a") if held[2] <= last and (held[3] is None or held[3] > first)
        }
    store.close()


@FOR_EVERY_LIFE
@given(LIVES)
@example(FORGETFUL)
def test_an_audit_of_a_moment_gives_the_state_of_that_moment(
    new_store: Callable[[], str], clock: Clock, life: list
) -> None:
    store = open_store(new_store(), clock)
    model = lived(store, life)

    with store.reading() as reading:
        for position, (people, members) in model.moments.items():
            if position < model.horizon:
                continue
            held = {what: value for what, value, *_ in audited(reading, Span(position, position))}
            assert {key: value for key, value in held.items() if isinstance(key, str)} == {
                key: values["a"] for key, values in people.items() if "a" in values
            }
            assert {pair for pair in held if isinstance(pair, tuple)} == members
    store.close()


def test_an_audit_includes_computed_values(store_url: str, clock: Clock) -> None:
    store = open_store(store_url, clock)
    with store.transaction() as tx:
        start_run(tx)
        create(tx, PERSON, {"1": {"a": "Ann"}})
        compute(tx, PERSON, {"1": ({}, {"Initial": "A"})})
        update(tx, PERSON, {"1": ({"a": "Ann"}, {"a": "Bob"})})
        compute(tx, PERSON, {"1": ({"Initial": "A"}, {"Initial": "B"})})

    with store.reading() as reading:
        head = reading.head()
        found = list(values_between(reading, PERSON, "Initial", Span(0, head), "1"))
        changed = list(deltas(reading, PERSON, head - 1, head))

    assert [(held.value, *_positions(held)) for held in found] == [("A", 3, 5), ("B", 5, None)]
    assert [list(delta.changes) for delta in changed] == [["Initial"]]
    store.close()
