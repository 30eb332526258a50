"""A store that is rebuilt as it was at a moment has the tables that the store had then."""

from __future__ import annotations

from collections.abc import Iterator
from random import Random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.laws.machine import EDITS, begun, lived
from tests.scenarios.organisation.formulas import CLASSES, KEYS, PROPERTIES
from tests.scenarios.organisation.running import Known, Organisation
from tests.scenarios.organisation.setting import CONNECTORS, everything
from tests.store.tables import EVERYTHING, tables, verified
from tests.stores import STORES, stores
from tests.tiers import law

KNOWN = Known()
JOBS = [
    "Incremental",
    "Incremental",
    "Complete",
    "Commands",
    "Flags",
    "Compute",
    "Follow",
    "Weekly",
    "People",
    *CONNECTORS,
]
CHANGES = st.one_of(
    *3 * [st.none()],
    st.tuples(st.just("property"), st.sampled_from([*PROPERTIES, "Person.Nick"]), st.integers(0, 3)),
    st.tuples(st.just("key"), st.sampled_from([*KEYS]), st.integers(0, 3)),
    st.tuples(st.just("class"), st.sampled_from([*CLASSES]), st.just(0)),
)
LIFE = st.lists(st.tuples(st.lists(EDITS, max_size=6), st.sampled_from(JOBS), CHANGES), min_size=2, max_size=5)


@pytest.fixture(params=STORES)
def places(memory, clock, request) -> Iterator[Any]:
    """Gives the URL of another store with every call."""
    with stores(request.param, memory, lambda: request.getfixturevalue("postgresql_database")) as new:
        yield new


def changed(organisation: Organisation, change: tuple[str, str, int]) -> None:
    """The same store under an edited configuration."""
    what, name, number = change
    setting = organisation.setting
    if what == "property":
        formulas = [None, *PROPERTIES[name]]
        organisation.computing(**{name.replace(".", "_"): formulas[number % len(formulas)]})
    elif what == "key":
        chosen = [None, *KEYS.values()][number % (len(KEYS) + 1)]
        keys = {other: formula for other, formula in setting.keys.items() if other != name}
        organisation.edited(keys={**keys, **({name: chosen} if chosen else {})})
    else:
        classes = {other: rule for other, rule in setting.classes.items() if other != name}
        organisation.edited(classes=classes if name in setting.classes else {**classes, name: CLASSES[name]})


def as_they_were(organisation: Organisation) -> dict[str, Any]:
    return tables(organisation.url, EVERYTHING)


@pytest.mark.slow  # lives of several runs, and every table of each day
@law(4)
@given(life=LIFE, at=st.randoms(use_true_random=False))
def test_each_table_is_what_it_was(places, memory, clock, life: list[Any], at: Random) -> None:
    organisation = Organisation(places(), memory, clock, everything(), plain=KNOWN)
    begun(organisation.world)
    moments = {}
    for edits, job, change in life:
        lived(organisation.world, edits)
        if change is not None:
            changed(organisation, change)
        organisation.attempt(job)
        moments[organisation.engine.position()] = as_they_were(organisation)

    for position in at.sample(sorted(moments), min(2, len(moments))):
        target = places()
        done = organisation.engine.replay(into=target, until=position)
        assert done.notes == ()
        found = tables(target, EVERYTHING)
        assert {name: rows for name, rows in found.items() if rows != moments[position][name]} == {}
        assert verified(target).is_sound
    organisation.engine.close()
