"""Laws: the stored state equals the replayed log, and so does a store of any kind filled from it."""

from __future__ import annotations

from typing import Any

import orjson
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from deltamark.application.ports.commands import Writing
from deltamark.application.ports.records import Subjects
from deltamark.domain.runs.run import PairsAwaited
from tests.store.builders import (
    GROUP,
    PERSON,
    compute,
    create,
    delete,
    discarded_event,
    end_run,
    link,
    start_run,
    unlink,
    update,
)
from tests.store.tables import EVERYTHING, PROJECTIONS, alter, opened, replayed, replayed_into, tables, verified
from tests.stores import EveryStore, NewStore
from tests.tiers import examples

pytestmark = pytest.mark.law

KEYS = ("A", '"Ä"\n')
# As one JSON writer spells a number and the other does too: a replay may spell it anew, which is no other value.
FLOATS = st.floats(-1e300, 1e300).filter(lambda value: orjson.dumps(value).decode() == repr(value))
VALUES = st.one_of(st.none(), st.booleans(), st.integers(-9, 9), FLOATS, st.sampled_from(["", "x", 'ü"\\\t']))
STATES = st.dictionaries(st.sampled_from(["Name", "Mail", "Ö"]), VALUES.filter(lambda value: value is not None))
PEOPLE = Subjects(connector="HR", task="SynchronizeHR", entity_types=(PERSON,), associations=("Members",))

STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("put"), st.sampled_from([PERSON, GROUP]), st.sampled_from(KEYS), STATES),
        st.tuples(st.just("put"), st.just(PERSON), st.just("A"), STATES),
        st.tuples(st.just("compute"), st.just(PERSON), st.sampled_from(KEYS), STATES),
        st.tuples(st.just("drop"), st.sampled_from([PERSON, GROUP]), st.sampled_from(KEYS)),
        st.tuples(st.just("toggle"), st.sampled_from(KEYS), st.sampled_from(KEYS)),
        st.tuples(st.just("await"), st.sampled_from(KEYS), st.sampled_from(KEYS), st.booleans()),
        st.tuples(st.just("discard")),
    ),
    min_size=8,
    max_size=20,
)


class History:
    """Applies steps to a store, and keeps a model of its content."""

    def __init__(self) -> None:
        self.values: dict[tuple[str, str], dict[str, Any]] = {}
        self.computed: dict[tuple[str, str], dict[str, Any]] = {}
        self.links: set[tuple[str, str]] = set()

    def live(self, url: str, steps: list[Any]) -> None:
        with opened(url) as store:
            with store.transaction() as tx:
                start_run(tx)
            for name, *arguments in steps:
                with store.transaction() as tx:
                    getattr(self, f"_{name}")(tx, *arguments)
            with store.transaction() as tx:
                end_run(tx, 1)

    def _put(self, tx: Writing, kind: str, key: str, state: dict[str, Any]) -> None:
        before = self.values.get((kind, key))
        if before is None:
            create(tx, kind, {key: state})
        elif _texts(before) != _texts(state):
            update(tx, kind, {key: (before, state)})
        self.values[kind, key] = state

    def _compute(self, tx: Writing, kind: str, key: str, state: dict[str, Any]) -> None:
        before = self.computed.get((kind, key), {})
        if (kind, key) in self.values and _texts(before) != _texts(state):
            compute(tx, kind, {key: (before, state)})
            self.computed[kind, key] = state

    def _drop(self, tx: Writing, kind: str, key: str) -> None:
        if (kind, key) in self.values:
            delete(tx, kind, {key: self.values.pop((kind, key))})
            self.computed.pop((kind, key), None)
            self.links = {pair for pair in self.links if pair[0 if kind == GROUP else 1] != key}

    def _toggle(self, tx: Writing, group: str, member: str) -> None:
        if (GROUP, group) in self.values and (PERSON, member) in self.values:
            (unlink if (group, member) in self.links else link)(tx, (group, member))
            self.links ^= {(group, member)}

    def _await(self, tx: Writing, first: str, second: str, settled: bool) -> None:
        pairs = ((first, second),)
        awaited, gone = ((), pairs) if settled else (pairs, ())
        tx.put_waiting_links("Members", awaited, gone)
        tx.append_to_run(
            lambda stream, version, at: PairsAwaited(
                originator_id=stream, originator_version=version, at=at, run=1, task=1, association="Members",
                awaited=awaited, settled=gone,
            ),
            1,
        )  # fmt: skip

    def _discard(self, tx: Writing) -> None:
        tx.discard(PEOPLE, discarded_event(1), 1)


def _texts(values: dict[str, Any]) -> dict[str, tuple[type, Any]]:
    return {name: (type(value), value) for name, value in values.items()}


@settings(max_examples=examples(40), deadline=None, suppress_health_check=list(HealthCheck))
@given(steps=STEPS)
def test_the_stored_state_equals_the_replayed_log(new_store: NewStore, steps: list[Any]) -> None:
    url = new_store()
    History().live(url, steps)
    lived = tables(url, PROJECTIONS)

    assert verified(url).discrepancies == ()
    alter(url, *(f"DELETE FROM {table}" for table in ("links", "resources", "runs", "awaited")))
    replayed(url)

    assert tables(url, PROJECTIONS) == lived
    assert verified(url).is_sound


@settings(max_examples=examples(15), deadline=None, suppress_health_check=list(HealthCheck))
@given(steps=STEPS)
def test_a_new_store_of_the_other_kind_and_back_is_the_same_in_every_table(
    every_store: EveryStore, steps: list[Any]
) -> None:
    first, other = every_store().values()
    back = every_store()["sqlite"]
    History().live(first, steps)

    replayed_into(first, other)
    replayed_into(other, back)

    assert tables(first) == tables(other) == tables(back)
    assert EVERYTHING.keys() == tables(back).keys()
