"""What must make no difference to derived values: the order of rows, how changes are cut into runs, names of keys, …"""

from __future__ import annotations

from collections.abc import Mapping
from copy import deepcopy
from random import Random
from typing import Any

import pytest
from attrs import evolve
from hypothesis import given
from hypothesis import strategies as st

from deltamark.application.derivation import inputs
from deltamark.infrastructure.evaluation.evaluator import DuckEvaluator
from tests.laws.machine import EDITS, begun, lived
from tests.scenarios.organisation.formulas import ASSOCIATIONS, KEY_OF
from tests.scenarios.organisation.running import Known, Organisation
from tests.scenarios.organisation.setting import CONNECTORS, Setting, everything
from tests.scenarios.organisation.world import World
from tests.stores import STORES, stores
from tests.tiers import examples, law

KNOWN = Known()
DAYS = st.lists(st.lists(EDITS, min_size=1, max_size=6), min_size=1, max_size=4)
A_DAY = st.lists(EDITS, min_size=1, max_size=10)


@pytest.fixture(params=STORES)
def new_plain(memory, clock, request):
    """Gives another organisation with every call, of plain extracts, where some people are already."""
    opened: list[Organisation] = []
    with stores(request.param, memory, lambda: request.getfixturevalue("postgresql_database")) as new:

        def organisation(setting: Setting | None = None) -> Organisation:
            while len(opened) > 2:
                opened.pop(0).engine.close()
            opened.append(Organisation(new(), memory, clock, setting or everything(), plain=KNOWN))
            begun(opened[-1].world)
            return opened[-1]

        yield organisation
        for one in opened:
            one.engine.close()


def dirty(organisation: Organisation) -> set[tuple[str, str, str]]:
    return {(found.task, found.entity_type, found.key) for found in organisation.engine.dirty()}


def logged(organisation: Organisation, after: int = 0) -> list[tuple[Any, ...]]:
    """The log without times, positions and streams."""
    found = []
    for change in organisation.engine.changes(after=after):
        ref, changes = change.event.ref, getattr(change.event, "changes", {})
        found.append((change.kind, ref, {name: (c.before, c.after) for name, c in changes.items()}))
    return found


@pytest.mark.slow  # runs jobs for each example
def test_the_order_of_rows_makes_no_difference(new_organisation):
    organisation = new_organisation(everything())
    begun(organisation.world)
    lived(organisation.world, [("set", "Person", str(n), "Name", f"P{n % 7}") for n in range(4, 16)])
    lived(organisation.world, [("refer", "Manager", str(n), str(n // 2)) for n in range(4, 16)])
    organisation.run()
    derived, head = organisation.derived(), organisation.engine.position()
    assert derived == organisation.by_hand()

    for number in range(5):
        shuffled(organisation.world, Random(number))
        organisation.run()

    assert [*organisation.engine.changes(after=head)] == []
    assert organisation.derived() == derived


@pytest.mark.slow  # many runs
def test_many_orders_of_rows_give_the_same_store(new_plain):
    orders = examples(160)
    first = new_plain()
    crowded(first.world)
    first.run()
    expected, head = first.derived(), first.engine.position()
    assert expected == first.by_hand()

    for number in range(orders):
        shuffled(first.world, Random(number))
        assert first.run().counts.changed == 0
    assert [*first.engine.changes(after=head)] == []

    for number in range(orders, orders + 8):
        organisation = new_plain()
        crowded(organisation.world)
        shuffled(organisation.world, Random(number))
        organisation.run()
        assert organisation.derived() == expected


def crowded(world: World) -> None:
    """More people, each led by the one with half the number."""
    lived(world, [("set", "Person", str(n), "Name", f"P{n % 7}") for n in range(4, 9)])
    lived(world, [("refer", "Manager", str(n), str(n // 2)) for n in range(4, 9)])


def shuffled(world: World, random: Random) -> None:
    for name, resources in world.resources.items():
        rows = list(resources.items())
        random.shuffle(rows)
        world.resources[name] = dict(rows)


@pytest.mark.slow  # runs jobs for each example
@law(6)
@given(days=DAYS)
def test_one_run_for_many_days_leaves_what_a_run_for_each_day_leaves(new_plain, days):
    daily, once = new_plain(), new_plain()
    for organisation in (daily, once):
        organisation.run()

    for day in days:
        lived(daily.world, day)
        daily.run()
        lived(once.world, day)
    once.run()

    assert once.derived() == daily.derived() == once.by_hand()


@pytest.mark.slow  # runs jobs for each example
@law(5)
@given(days=DAYS, cut=st.integers(1, 6))
def test_how_a_day_is_cut_into_commands_makes_no_difference(new_plain, days, cut):
    whole, in_parts = new_plain(), new_plain()
    for organisation in (whole, in_parts):
        organisation.run()

    for day in days:
        lived(whole.world, day)
        whole.run()
        for start in range(0, len(day), cut):
            lived(in_parts.world, day[start : start + cut])
            in_parts.run("Commands")
    in_parts.run()

    assert in_parts.derived() == whole.derived()


@pytest.mark.slow  # runs jobs for each example
@law(5)
@given(day=A_DAY)
def test_renaming_all_keys_renames_what_is_derived_and_changes_no_value(new_plain, day):
    one, other = new_plain(), new_plain()
    lived(one.world, day)
    # Backwards, so that an order by key would show.
    names = {
        "Person": {str(n): f"p{9 - n}" for n in range(10)},
        "Department": {"A": "z", "B": "y", "C": "x"},
        "Account": {},
    }
    other.world = renamed(one.world, names)

    for organisation in (one, other):
        organisation.run()

    assert renamed_state(one.state(), names) == other.state()
    assert {(r, names["Person"].get(p, p), a) for r, p, a in one.pairs()} == other.pairs()
    assert one.classes() == other.classes()


def renamed(world: World, names: Mapping[str, Mapping[str, str]]) -> World:
    return World(
        {name: {names[name].get(k, k): dict(v) for k, v in found.items()} for name, found in world.resources.items()},
        {
            name: {(names[ends.source].get(s, s), names[ends.target].get(t, t)) for s, t in world.links[name]}
            for name, ends in ASSOCIATIONS.items()
        },
    )


def renamed_state(state: Any, names: Mapping[str, Mapping[str, str]]) -> Any:
    return {
        name: {(new := names[name].get(key, key)): {**values, KEY_OF[name]: new} for key, values in found.items()}
        for name, found in state.items()
    }


@pytest.mark.slow  # runs jobs for each example
@law(7)
@given(day=A_DAY, job=st.sampled_from(["Incremental", "Commands"]))
def test_a_day_and_its_inverse_leave_what_was_there_and_the_log_tells_of_both(new_plain, day, job):
    organisation = new_plain()
    organisation.run()
    derived, world = organisation.derived(), deepcopy(organisation.world)
    head = organisation.engine.position()

    lived(organisation.world, day)
    organisation.run(job)
    changes = len([*organisation.engine.changes(after=head)])
    organisation.world = world
    organisation.run(job)
    organisation.run()  # what a command does not speak of: the links of others to somebody who came back

    assert organisation.derived() == derived
    assert bool(changes) == bool(len([*organisation.engine.changes(after=head)]))
    assert len([*organisation.engine.changes(after=head)]) >= 2 * bool(changes)


@pytest.mark.slow  # runs jobs for each example
@law(5)
@given(days=DAYS, discarding=st.sets(st.sampled_from(CONNECTORS), min_size=1))
def test_discarding_changes_makes_no_difference_to_what_is_held_derived_or_dirty(new_plain, days, discarding):
    keeping, forgetting = new_plain(), new_plain()
    for organisation in (keeping, forgetting):
        organisation.run()
    forgetting.edited(discarding=frozenset(discarding))

    for day in days:
        for organisation in (keeping, forgetting):
            lived(organisation.world, day)
            for connector in CONNECTORS:
                # Flagged before they are discarded, as a job should do it.
                organisation.edited(discarding=frozenset())
                organisation.run(connector)
            organisation.run("Flags")
        forgetting.edited(discarding=frozenset(discarding))
        for connector in CONNECTORS:
            forgetting.run(connector)
        assert dirty(forgetting) == dirty(keeping)
        assert forgetting.state() == keeping.state()
        for organisation in (keeping, forgetting):
            organisation.run("Compute")

    assert forgetting.derived() == keeping.derived() == keeping.by_hand()
    assert dirty(forgetting) == dirty(keeping)


@pytest.mark.slow  # runs jobs for each example
@law(6)
@given(days=DAYS)
def test_both_kinds_of_store_hold_the_same_log_and_the_same_values(every_store, memory, clock, days):
    both = [Organisation(url, memory, clock, everything(), plain=KNOWN) for url in every_store().values()]
    try:
        for organisation in both:
            begun(organisation.world)
            organisation.run()
            for day in days:
                lived(organisation.world, day)
                organisation.run()
        assert both[0].derived() == both[1].derived()
        assert logged(both[0]) == logged(both[1])
        assert dirty(both[0]) == dirty(both[1])
    finally:
        for organisation in both:
            organisation.engine.close()


@pytest.mark.slow  # runs jobs for each example
@law(6)
@given(days=DAYS, at_once=st.sampled_from([1, 2, 7]))
def test_how_many_resources_are_worked_on_at_once_makes_no_difference(new_plain, days, at_once):
    one, other = new_plain(), new_plain()
    services = other.engine._services
    other.engine._services = evolve(services, evaluator=DuckEvaluator(services.configuration, at_once=at_once))
    for organisation in (one, other):
        organisation.run()
        for day in days:
            lived(organisation.world, day)
            organisation.run()

    assert other.derived() == one.derived()
    assert logged(other) == logged(one)


@pytest.mark.slow  # runs jobs for each example
@law(3)
@given(days=DAYS, at_once=st.sampled_from([1, 2, 7]))
def test_whether_all_resources_are_in_memory_makes_no_difference(new_plain, days, at_once):
    one, other = new_plain(), new_plain()
    for organisation, few, portion in ((one, inputs.FEW, inputs.AT_ONCE), (other, 0, at_once)):
        with pytest.MonkeyPatch.context() as patched:
            patched.setattr(inputs, "FEW", few)
            patched.setattr(inputs, "AT_ONCE", portion)
            organisation.run("Complete")
            for day in days:
                lived(organisation.world, day)
                organisation.run("Complete")

    assert other.derived() == one.derived()
    assert logged(other) == logged(one)
