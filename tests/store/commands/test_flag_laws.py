"""Law: whatever changes, every resource whose value over a path is another one is flagged, and properties flag nothing
without need.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from deltamark.application.ports.commands import Writing
from deltamark.application.ports.records import LinkEnds
from deltamark.application.ports.store import Store
from deltamark.bootstrap import open_store
from deltamark.domain.derivation.dependency_paths import Dependency, Hop
from tests.store.builders import compute, create, delete, link, start_run, unlink, update
from tests.store.organization import (
    ASSOCIATIONS,
    DEPARTMENT,
    PERSON,
    SITE,
    TYPES,
    flagged,
    needs,
    value,
)
from tests.tiers import examples

pytestmark = pytest.mark.law

KEYS = ("A", "B", "C")
ENDS = {ends.association: ends for ends in ASSOCIATIONS}

READS = {
    (PERSON, "Name"),
    (PERSON, "Team"),
    (PERSON, "Manager.Name"),
    (PERSON, "Manager.Manager.Team"),
    (PERSON, "Reports.Department.Name"),
    (PERSON, "Department.Site.Name"),
    (DEPARTMENT, "Members.Manager.Name"),
    (DEPARTMENT, "Site.Departments.Members.Team"),
    (SITE, "Departments.Members.Reports.Name"),
}

Values = dict[str, Any]
Way = tuple[str, str]
"""A resource: its entity type and key."""


class Picture:
    """The content of the store, in plain Python."""

    def __init__(self) -> None:
        self.values: dict[Way, Values] = {}
        self.computed: dict[Way, Values] = {}
        self.links: set[tuple[str, str, str]] = set()
        self.touched: dict[str, set[Way]] = {"Name": set(), "Team": set()}

    def over(self, hop: Hop, near: Way) -> Iterator[Way]:
        ends = ENDS[hop.association]
        for association, source, target in self.links:
            one, other = (ends.source, source), (ends.target, target)
            here, there = (one, other) if hop.forward else (other, one)
            if association == hop.association and here == near:
                yield there

    def reached(self, near: Way, hops: tuple[Hop, ...]) -> set[Way]:
        found = {near}
        for hop in hops:
            found = {far for one in found for far in self.over(hop, one)}
        return found

    def read(self, dependency: Dependency) -> Mapping[str, object]:
        """Key -> what a reader of this sees: the resources at the end of the path, and their values."""
        return {
            key: sorted(
                (far, str(self.values[far].get(dependency.property)), str(self.computed[far].get(dependency.property)))
                for far in self.reached((kind, key), dependency.hops)
            )
            for kind, key in self.values
            if kind == dependency.entity_type
        }


class World:
    """Changes a store and its model in the same way."""

    def __init__(self, tx: Writing, picture: Picture) -> None:
        self._tx, self._now = tx, picture

    def apply(self, step: tuple[Any, ...]) -> None:
        match step:
            case ("put", kind, key, values):
                self._put(kind, key, values)
            case ("compute", kind, key, values) if (kind, key) in self._now.values:
                self._compute(kind, key, values)
            case ("drop", kind, key) if (kind, key) in self._now.values:
                self._drop(kind, key)
            case ("toggle", name, source, target):
                self._toggle(ENDS[name], source, target)

    def _put(self, kind: str, key: str, values: Values) -> None:
        was = self._now.values.get((kind, key))
        if was is None:
            create(self._tx, kind, {key: values})
            self._now.computed[kind, key] = {}
        elif was != values:
            update(self._tx, kind, {key: (was, values)})
            self._touch(kind, key, was, values)
        self._now.values[kind, key] = values

    def _compute(self, kind: str, key: str, values: Values) -> None:
        was = self._now.computed[kind, key]
        if was != values:
            compute(self._tx, kind, {key: (was, values)})
            self._touch(kind, key, was, values)
            self._now.computed[kind, key] = values

    def _touch(self, kind: str, key: str, was: Values, now: Values) -> None:
        for name, touched in self._now.touched.items():
            if was.get(name) != now.get(name):
                touched.add((kind, key))

    def _drop(self, kind: str, key: str) -> None:
        delete(self._tx, kind, {key: self._now.values.pop((kind, key))})
        del self._now.computed[kind, key]
        self._now.links = {
            (name, source, target)
            for name, source, target in self._now.links
            if (ENDS[name].source, source) != (kind, key) and (ENDS[name].target, target) != (kind, key)
        }

    def _toggle(self, ends: LinkEnds, source: str, target: str) -> None:
        if {(ends.source, source), (ends.target, target)} <= self._now.values.keys():
            pair = (ends.association, source, target)
            (unlink if pair in self._now.links else link)(self._tx, (source, target), ends=ends)
            self._now.links ^= {pair}


VALUES = st.dictionaries(st.sampled_from(["Name", "Team"]), st.sampled_from("xy"))
STEPS = st.one_of(
    st.tuples(st.just("put"), st.sampled_from(TYPES), st.sampled_from(KEYS), VALUES),
    st.tuples(st.just("compute"), st.sampled_from(TYPES), st.sampled_from(KEYS), VALUES),
    st.tuples(st.just("drop"), st.sampled_from(TYPES), st.sampled_from(KEYS)),
    st.tuples(st.just("toggle"), st.sampled_from(sorted(ENDS)), st.sampled_from(KEYS), st.sampled_from(KEYS)),
)
FIRST = [("put", kind, key, {"Name": "x"}) for kind in TYPES for key in KEYS]


def chain(*pairs: tuple[str, str, str]) -> list[tuple[Any, ...]]:
    return [("toggle", *pair) for pair in pairs]


@settings(max_examples=examples(40), deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(STEPS, max_size=12), st.lists(st.lists(STEPS, min_size=1, max_size=5), min_size=1, max_size=4))
@example(chain(("Manages", "A", "B"), ("Manages", "B", "C")), [[*chain(("Manages", "A", "B"), ("Manages", "B", "C"))]])
@example(
    chain(("Staff", "A", "A"), ("Seat", "A", "A")),
    [[("drop", SITE, "A"), ("put", SITE, "A", {}), *chain(("Seat", "A", "A"))], [("drop", DEPARTMENT, "A")]],
)
@example(chain(("Manages", "A", "A")), [[("compute", PERSON, "A", {"Team": "y"})]])
def test_every_resource_that_reads_another_value_than_before_is_flagged(
    new_store: Callable[[], str], clock: Callable, before: list, rounds: list
) -> None:
    store, picture = open_store(new_store(), clock), Picture()
    with store.transaction() as tx:
        start_run(tx)
        world = World(tx, picture)
        for step in [*FIRST, *before]:
            world.apply(step)
        tx.move_flags(tx.head())
        tx.watch({dependency for read in READS for dependency in needs(*read)})

    for steps in rounds:
        seen = {read: picture.read(value(*read)) for read in READS}
        picture.touched = {"Name": set(), "Team": set()}
        newest = changed(store, picture, steps)

        with store.reading() as reading:
            for read in READS:
                marked = flagged(reading, *needs(*read), after=newest)
                now = picture.read(value(*read))
                differs = {key for key in seen[read].keys() | now.keys() if seen[read].get(key) != now.get(key)}
                assert differs <= marked, f"{read}: {differs - marked} not flagged"

                by_value = flagged(reading, value(*read), after=newest)
                touched = picture.touched[value(*read).property]
                hops = value(*read).hops
                reaching = {key for key in now if picture.reached((read[0], key), hops) & touched}
                gone = {key for kind, key in touched if not hops and (kind, key) not in picture.values}
                assert reaching <= by_value <= reaching | gone, f"{read}: {by_value - reaching} flagged without need"
    store.close()


def changed(store: Store, picture: Picture, steps: list[tuple[Any, ...]]) -> int:
    """Applies some steps and flags their changes; returns the number of the newest flag before."""
    with store.transaction() as tx:
        head, newest = tx.head(), tx.newest_flag()
        world = World(tx, picture)
        for step in steps:
            world.apply(step)
        tx.flag_changes(head)
        tx.move_flags(tx.head())
    return newest
