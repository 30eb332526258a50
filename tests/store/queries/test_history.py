"""The log, the state and the past of a store agree with plain Python over the log."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from deltamark.application.ports.commands import Writing
from deltamark.application.ports.queries import Reading
from deltamark.application.ports.records import Subjects
from deltamark.application.ports.store import Store
from deltamark.bootstrap import open_store
from deltamark.domain.resources.link import Linked
from deltamark.domain.resources.resource import Created, Deleted, Updated, fold
from tests.store.builders import (
    GROUP,
    PERSON,
    create,
    delete,
    discarded_event,
    held,
    link,
    membership,
    person,
    start_run,
    unlink,
    update,
)
from tests.tiers import examples

PEOPLE, GROUPS = ("1", "2", "é"), ("G", "H")
NAMES = st.sampled_from(["Ann", "Bob", 'E"ve'])
STEPS = st.one_of(
    st.tuples(st.just("put"), st.sampled_from(PEOPLE), st.dictionaries(st.sampled_from("ab"), NAMES)),
    st.tuples(st.just("drop"), st.sampled_from(PEOPLE)),
    st.tuples(st.just("toggle"), st.sampled_from(GROUPS), st.sampled_from(PEOPLE)),
    st.tuples(st.just("fail")),
    st.tuples(st.just("discard people")),
    st.tuples(st.just("discard members")),
)
LIVES = st.lists(st.lists(STEPS, max_size=4), max_size=7)

Moment = tuple[dict[str, dict[str, Any]], set[tuple[str, str]]]
"""People with their values, and who is in which group."""


class Model:
    """The expected content: dictionaries and sets, now and at each recorded position."""

    def __init__(self) -> None:
        self.people: dict[str, dict[str, Any]] = {}
        self.members: set[tuple[str, str]] = set()
        self.moments: dict[int, Moment] = {}
        self.times: list[tuple[datetime, int]] = []
        self.horizon = 0

    def apply(self, tx: Writing, step: tuple[Any, ...]) -> None:
        """Applies a step to a store and to the model."""
        match step:
            case ("put", key, values) if key not in self.people:
                create(tx, PERSON, {key: values})
                self.people[key] = values
            case ("put", key, values) if values != self.people[key]:
                update(tx, PERSON, {key: (self.people[key], values)})
                self.people[key] = values
            case ("drop", key) if key in self.people:
                gone = {pair for pair in self.members if pair[1] == key}
                assert delete(tx, PERSON, {key: self.people.pop(key)}) == len(gone)
                self.members -= gone
            case ("toggle", *pair) if pair[1] in self.people:
                (unlink if tuple(pair) in self.members else link)(tx, tuple(pair))
                self.members ^= {tuple(pair)}
            case ("discard people",):
                self._discard(tx, Subjects(connector="C", task="T", entity_types=(PERSON,), associations=()))
            case ("discard members",):
                self._discard(tx, Subjects(connector="C", task="T", entity_types=(), associations=("Members",)))
        self.remember(tx)

    def _discard(self, tx: Writing, subjects: Subjects) -> None:
        discarded = tx.discard(subjects, discarded_event(1), 1)
        if discarded is not None:
            self.horizon = max(self.horizon, discarded.last)

    def remember(self, tx: Reading) -> None:
        """Records the content at the newest position."""
        self.moments[tx.head()] = ({key: dict(values) for key, values in self.people.items()}, set(self.members))

    @contextmanager
    def undone(self) -> Iterator[None]:
        """Rolls back the model after the block."""
        kept = dict(self.people), set(self.members), dict(self.moments), self.horizon
        yield
        self.people, self.members, self.moments, self.horizon = kept


def _interrupted(store: Store, model: Model, steps: list[tuple[Any, ...]]) -> None:
    with store.transaction() as tx:
        for step in steps:
            model.apply(tx, step)
        raise InterruptedError


def lived(store: Store, life: list[list[tuple[Any, ...]]]) -> Model:
    """A store after a list of transactions."""
    model = Model()
    with store.transaction() as tx:
        start_run(tx)
        create(tx, GROUP, {key: {} for key in GROUPS})
        model.remember(tx)
        model.times.append((tx.now(), tx.head()))
    for steps in life:
        if ("fail",) in steps:
            with model.undone(), pytest.raises(InterruptedError):
                _interrupted(store, model, steps)
            continue
        with store.transaction() as tx:
            for step in steps:
                model.apply(tx, step)
            model.times.append((tx.now(), tx.head()))
    return model


def folded(reading: Reading, until: int) -> Moment:
    """Plain Python over the log up to a position; correct only if nothing was discarded."""
    people: dict[str, dict[str, Any]] = {}
    members: set[tuple[str, str]] = set()
    for position, event in reading.changes(0, until):
        assert position <= until
        match event:
            case Created() if event.ref.entity_type == PERSON:
                assert event.ref.key not in people
                people[event.ref.key] = dict(event.values)
            case Updated():
                for name, change in event.updates.items():
                    assert people[event.ref.key].pop(name, None) == change.before
                    assert change.before != change.after
                    if change.after is not None:
                        people[event.ref.key][name] = change.after
            case Deleted():
                assert people.pop(event.ref.key) == dict(event.values)
            case Linked():
                members.add((event.ref.source.key, event.ref.target.key))
            case _ if event.ref != person("") and hasattr(event.ref, "target"):
                members.remove((event.ref.source.key, event.ref.target.key))
    return people, members


@settings(max_examples=examples(40), deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(LIVES)
@example(
    [[("put", "1", {"a": "Ann"}), ("toggle", "G", "1")], [("drop", "1")], [("put", "1", {})], [("toggle", "G", "1")]]
)
@example([[("put", "1", {"a": "Ann"})], [("discard people",), ("put", "1", {"b": "Bob"})], [("drop", "1"), ("fail",)]])
@example([[("put", "1", {}), ("toggle", "G", "1"), ("discard members",)], [("discard people",)], [("drop", "1")]])
@example(
    [[("put", "1", {"a": "Ann"}), ("drop", "1"), ("discard people",), ("put", "1", {"a": "Bob"})], [("put", "1", {})]]
)
def test_the_past_at_every_position_is_unchanged(new_store: Callable[[], str], clock: Callable, life: list) -> None:
    store = open_store(new_store(), clock)
    model = lived(store, life)

    with store.reading() as reading:
        for position, (people, members) in model.moments.items():
            if position < model.horizon:
                continue
            assert dict(reading.states_at(PERSON, position)) == people
            assert list(reading.links_at("Members", position)) == sorted(members)
            for key in PEOPLE:
                found = fold(fact for _, fact in reading.facts(person(key), position))
                assert (dict(found.values) if found and found.live else None) == people.get(key)
                mine = sorted(membership(*pair) for pair in members if pair[1] == key)
                assert sorted(reading.links_of_at(person(key), position)) == mine
    store.close()


@settings(max_examples=examples(40), deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(LIVES)
def test_the_state_equals_the_folded_log(new_store: Callable[[], str], clock: Callable, life: list) -> None:
    store = open_store(new_store(), clock)
    kept = [[step for step in steps if "discard" not in step[0]] for steps in life]
    model = lived(store, kept)

    with store.reading() as reading:
        assert folded(reading, reading.head()) == (model.people, model.members)
        assert held(reading) == dict(reading.states_at(PERSON, None)) == model.people
        assert list(reading.links_from("Members")) == sorted(model.members)
        for position, moment in model.moments.items():
            assert folded(reading, position) == moment
        positions = [position for position, _ in reading.changes(0, None)]
        assert positions == sorted(set(positions))
        for key in PEOPLE:
            versions = [fact.originator_version for _, fact in reading.facts(person(key))]
            assert versions == list(range(1, len(versions) + 1))
    store.close()


@settings(max_examples=examples(25), deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(LIVES, st.integers(-1, 20), st.sampled_from([-1, 0, 1]))
def test_a_moment_is_the_newest_position_not_after_it(
    new_store: Callable[[], str], clock: Callable, life: list, index: int, micros: int
) -> None:
    store = open_store(new_store(), clock)
    model = lived(store, life)
    moment = model.times[min(index, len(model.times) - 1)][0] + timedelta(microseconds=micros)

    with store.reading() as reading:
        assert reading.position_at(moment) == max((head for at, head in model.times if at <= moment), default=0)
    store.close()
