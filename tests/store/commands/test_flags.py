"""Flags: which resources a change flags, over which links, and how long flags are kept."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import datetime

import pyarrow as pa
import pytest
from attrs import evolve

from deltamark.application.ports.commands import Writing
from deltamark.application.ports.records import DerivedRule, Place
from deltamark.application.ports.store import Store
from deltamark.bootstrap import open_store
from deltamark.domain.configuration.rules import DerivationKind
from deltamark.domain.errors import ConcurrentRun, StoreError
from tests.store.builders import compute, create, delete, link, start_run, streams, unlink, update
from tests.store.organization import (
    DEPARTMENT,
    MANAGES,
    PERSON,
    SEAT,
    SITE,
    STAFF,
    existence,
    flagged,
    flags,
    links,
    needs,
    value,
)

SOME = {"Name": "n"}
RULE = DerivedRule(kind=DerivationKind.PROPERTY, name="Mail", entity_type=PERSON, digest="d")

NAME = value(PERSON, "Name")
DEPARTMENT_NAME = value(PERSON, "Department.Name")
SITE_NAME = value(PERSON, "Department.Site.Name")
EVERYTHING = tuple(
    {
        *needs(PERSON, "Name"),
        *needs(PERSON, "Mail"),
        *needs(PERSON, "Department.Site.Name"),
        *needs(PERSON, "Department.Name"),
        *needs(PERSON, "Manager.Name"),
        *needs(SITE, "Departments.Members.Name"),
    }
)


@pytest.fixture
def store(store_url: str, clock: Callable[[], datetime]) -> Iterator[Store]:
    """Ann and Bob in Sales, Eve in Research, Zoe in none; Ann manages the others. Sales sits in Rome, Research in Oslo.

    Everything up to here is flagged and read.
    """
    store = open_store(store_url, clock)
    with store.transaction() as tx:
        start_run(tx)
        create(tx, PERSON, dict.fromkeys(("Ann", "Bob", "Eve", "Zoe"), SOME))
        create(tx, DEPARTMENT, dict.fromkeys(("Sales", "Research"), SOME))
        create(tx, SITE, dict.fromkeys(("Rome", "Oslo"), SOME))
        link(tx, ("Ann", "Bob"), ("Ann", "Eve"), ("Ann", "Zoe"), ends=MANAGES)
        link(tx, ("Sales", "Ann"), ("Sales", "Bob"), ("Research", "Eve"), ends=STAFF)
        link(tx, ("Sales", "Rome"), ("Research", "Oslo"), ends=SEAT)
        tx.move_flags(tx.head())
        tx.watch(EVERYTHING)
    yield store
    store.close()


def after(store: Store, *changes: Callable[[Writing], object]) -> int:
    """Flags the resources that some changes affect, and returns their number."""
    with store.transaction() as tx:
        head = tx.head()
        for change in changes:
            change(tx)
        return tx.flag_changes(head)


def renamed(entity_type: str, *keys: str) -> Callable[[Writing], None]:
    return lambda tx: update(tx, entity_type, {key: (SOME, {"Name": "other"}) for key in keys})


def nothing_but(store: Store, expected: dict) -> None:
    """Asserts that only these resources are flagged, each for exactly these dependencies."""
    with store.reading() as reading:
        assert {dependency: set(keys) for dependency, keys in flags(reading, *EVERYTHING).items() if keys} == expected


# What is flagged


def test_a_changed_property_flags_its_readers_and_no_others(store: Store) -> None:
    assert after(store, lambda tx: update(tx, PERSON, {"Zoe": (SOME, {"Name": "n", "Mail": "z"})})) == 1

    nothing_but(store, {value(PERSON, "Mail"): {"Zoe"}})


def test_a_property_without_readers_flags_nothing(store: Store) -> None:
    assert after(store, lambda tx: update(tx, PERSON, {"Ann": (SOME, {"Name": "n", "Age": 3})})) == 0

    nothing_but(store, {})


def test_properties_of_the_same_name_of_different_entity_types_differ(store: Store) -> None:
    after(store, renamed(SITE, "Oslo"))

    nothing_but(store, {SITE_NAME: {"Eve"}})


def test_a_computed_value_flags_like_a_synchronized_one(store: Store) -> None:
    assert after(store, lambda tx: compute(tx, DEPARTMENT, {"Sales": ({}, {"Name": "x"})})) == 2

    nothing_but(store, {DEPARTMENT_NAME: {"Ann", "Bob"}})


def test_flags_are_propagated_over_several_links_in_both_directions(store: Store) -> None:
    after(store, renamed(PERSON, "Ann"))

    nothing_but(
        store,
        {
            NAME: {"Ann"},
            value(PERSON, "Manager.Name"): {"Bob", "Eve", "Zoe"},
            value(SITE, "Departments.Members.Name"): {"Rome"},
        },
    )


def test_a_created_resource_is_flagged_with_those_linked_to_it(store: Store) -> None:
    after(store, lambda tx: create(tx, PERSON, {"Kim": SOME}), lambda tx: link(tx, ("Sales", "Kim"), ends=STAFF))

    nothing_but(
        store,
        {
            existence(PERSON): {"Kim"},
            links(PERSON, "Department"): {"Kim"},
            links(SITE, "Departments.Members"): {"Rome"},
        },
    )


def test_a_deleted_resource_is_flagged_with_those_that_were_linked_to_it(store: Store) -> None:
    after(store, lambda tx: delete(tx, DEPARTMENT, {"Sales": SOME}))

    nothing_but(
        store,
        {
            links(PERSON, "Department"): {"Ann", "Bob"},
            links(SITE, "Departments"): {"Rome"},
        },
    )


def test_resources_deleted_together_with_their_path_are_flagged(store: Store) -> None:
    after(
        store,
        lambda tx: delete(tx, SITE, {"Rome": SOME}),
        lambda tx: delete(tx, DEPARTMENT, {"Sales": SOME}),
    )

    with store.reading() as reading:
        assert flagged(reading, *needs(PERSON, "Department.Site.Name")) == {"Ann", "Bob"}
        assert flagged(reading, *needs(SITE, "Departments.Members.Name")) == {"Rome"}


def test_a_resource_deleted_and_created_again_is_flagged_once_at_the_first_change(store: Store) -> None:
    with store.reading() as reading:
        head = reading.head()
    after(
        store,
        lambda tx: delete(tx, PERSON, {"Zoe": SOME}),
        lambda tx: create(tx, PERSON, {"Zoe": {"Name": "again"}}),
    )

    with store.reading() as reading:  # the link to her manager goes first
        assert flags(reading, existence(PERSON)) == {existence(PERSON): {"Zoe": head + 2}}
        assert flagged(reading, links(PERSON, "Manager")) == {"Zoe"}


@pytest.mark.parametrize("change", [link, unlink])
def test_an_added_or_removed_link_flags_those_that_read_over_it(store: Store, change: Callable) -> None:
    pair = ("Sales", "Oslo") if change is link else ("Sales", "Rome")

    assert after(store, lambda tx: change(tx, pair, ends=SEAT)) == 3

    nothing_but(store, {links(PERSON, "Department.Site"): {"Ann", "Bob"}, links(SITE, "Departments"): {pair[1]}})


def test_a_moved_resource_is_flagged_with_its_old_and_its_new_target(store: Store) -> None:
    after(
        store,
        lambda tx: unlink(tx, ("Sales", "Bob"), ends=STAFF),
        lambda tx: link(tx, ("Research", "Bob"), ends=STAFF),
    )

    nothing_but(store, {links(PERSON, "Department"): {"Bob"}, links(SITE, "Departments.Members"): {"Rome", "Oslo"}})


def test_flags_are_propagated_over_a_link_only_while_it_exists(store: Store) -> None:
    after(store, lambda tx: unlink(tx, ("Sales", "Bob"), ends=STAFF))

    after(store, renamed(DEPARTMENT, "Sales"))

    with store.reading() as reading:
        assert flagged(reading, DEPARTMENT_NAME) == {"Ann"}


def test_a_resource_is_flagged_once_for_a_dependency_at_the_first_of_many_changes(store: Store) -> None:
    with store.reading() as reading:
        head, newest = reading.head(), reading.newest_flag()
    reads = value(SITE, "Departments.Members.Name")

    after(store, renamed(PERSON, "Bob"), renamed(PERSON, "Ann"), lambda tx: link(tx, ("Sales", "Zoe"), ends=STAFF))

    with store.reading() as reading:
        assert flags(reading, reads) == {reads: {"Rome": head + 1}}
        # Two names; the three whose manager Ann is; the department of Zoe; for Rome, members and their names.
        assert reading.newest_flag() == newest + 2 + 3 + 1 + 2


def test_a_property_that_changed_and_changed_again_flags_at_the_first_change(store: Store) -> None:
    with store.reading() as reading:
        head = reading.head()

    after(store, renamed(PERSON, "Zoe"), lambda tx: update(tx, PERSON, {"Zoe": ({"Name": "other"}, SOME)}))

    with store.reading() as reading:
        assert flags(reading, NAME) == {NAME: {"Zoe": head + 1}}


def test_only_changes_after_a_position_are_flagged(store: Store) -> None:
    with store.transaction() as tx:
        renamed(PERSON, "Bob")(tx)
        head = tx.head()
        renamed(PERSON, "Eve")(tx)

        tx.flag_changes(head)

        assert flagged(tx, NAME) == {"Eve"}
        assert tx.flag_changes(tx.head()) == 0


def test_flagging_can_be_limited_to_some_dependencies(store: Store) -> None:
    unwatched = value(PERSON, "Age")
    with store.transaction() as tx:
        head = tx.head()
        renamed(PERSON, "Ann")(tx)
        assert tx.flag_changes(head, only=[]) == 0

        assert tx.flag_changes(head, only=[NAME, unwatched]) == 1

    nothing_but(store, {NAME: {"Ann"}})


def test_changed_properties_are_found_whatever_their_values_contain(store: Store) -> None:
    odd = {"Name": 'Na\\u0000me\x00"\\', 'a"b': "\x1f", "v": "\u2028"}

    after(store, lambda tx: compute(tx, PERSON, {"Zoe": ({}, odd)}))

    nothing_but(store, {NAME: {"Zoe"}})


def test_an_association_with_other_ends_before_flags_no_other_entity_type(store: Store) -> None:
    ends = evolve(STAFF, target=SITE)

    after(store, lambda tx: link(tx, ("Sales", "Oslo"), ends=ends), renamed(DEPARTMENT, "Sales"))

    with store.reading() as reading:
        assert flagged(reading, *needs(PERSON, "Department.Name")) == {"Ann", "Bob"}


def test_all_resources_of_an_entity_type_can_be_flagged_including_deleted_ones(store: Store) -> None:
    with store.transaction() as tx:
        delete(tx, PERSON, {"Zoe": SOME})
        head = tx.head()

        assert tx.flag_all([NAME, DEPARTMENT_NAME, value(PERSON, "Age")], head) == 4

        assert flags(tx, NAME, links(PERSON, "Manager")) == {
            NAME: dict.fromkeys(("Ann", "Bob", "Eve", "Zoe"), head),
            links(PERSON, "Manager"): {},
        }
        assert flagged(tx, DEPARTMENT_NAME) == {"Ann", "Bob", "Eve", "Zoe"}
        assert tx.flag_all([], head) == 0


def test_single_resources_can_be_flagged(store: Store) -> None:
    with store.transaction() as tx:
        numbers = streams(tx, PERSON)
        some = pa.array([numbers["Ann"], numbers["Eve"], numbers["Eve"]], pa.int64())

        tx.flag(some, NAME, 5)
        tx.flag(some, value(PERSON, "Age"), 5)

        assert flags(tx, NAME) == {NAME: {"Ann": 5, "Eve": 5}}
        assert tx.flagged([NAME], 0, 0).num_rows == 2


# What is read of flags


def test_flags_are_read_from_a_number_and_after_a_position(store: Store) -> None:
    with store.reading() as reading:
        first = reading.newest_flag()
    after(store, renamed(PERSON, "Zoe"))
    with store.reading() as reading:
        second, head = reading.newest_flag(), reading.head()
    after(store, renamed(PERSON, "Bob"))

    with store.reading() as reading:
        assert flagged(reading, NAME, after=first) == {"Zoe", "Bob"}
        assert flagged(reading, NAME, after=second) == {"Bob"}
        assert flagged(reading, NAME, beyond=head) == {"Bob"}
        assert flagged(reading, NAME, beyond=head - 1) == {"Zoe", "Bob"}
        assert flagged(reading, NAME, after=reading.newest_flag()) == set()


def test_flags_name_their_dependency_by_its_index_in_the_query(store: Store) -> None:
    after(store, renamed(PERSON, "Ann"))

    with store.reading() as reading:
        (zoe,) = (row for row in reading.names(pa.array(range(99), pa.int64())).to_pylist() if row["key"] == "Zoe")
        asked = [value(PERSON, "Age"), NAME, value(PERSON, "Manager.Name"), NAME]
        found = {(row["stream"], row["dependency"]) for row in reading.flagged(asked, 0, 0).to_pylist()}
        assert (zoe["stream"], 2) in found
        assert {place for _, place in found} == {1, 2}


def test_a_rolled_back_transaction_leaves_no_flags_and_no_numbers(store: Store) -> None:
    with store.reading() as reading:
        newest = reading.newest_flag()

    def undone() -> None:
        with store.transaction() as tx:
            head = tx.head()
            renamed(PERSON, "Ann")(tx)
            assert tx.flag_changes(head) > 0
            assert tx.newest_flag() > newest
            raise InterruptedError

    with pytest.raises(InterruptedError):
        undone()

    with store.reading() as reading:
        assert reading.newest_flag() == newest
        assert flagged(reading, *EVERYTHING) == set()


def test_a_reader_sees_no_flag_number_without_its_flags(store: Store) -> None:
    with store.reading() as reading:
        newest = reading.newest_flag()
        after(store, renamed(PERSON, "Ann"))

        assert reading.newest_flag() == newest
        assert flagged(reading, *EVERYTHING) == set()


def test_flag_numbers_are_never_reused(store: Store, store_url: str, clock: Callable) -> None:
    after(store, renamed(PERSON, "Ann"))
    with store.transaction() as tx:
        newest = tx.newest_flag()
        tx.move_place("task", [RULE], Place(flag=newest, position=1))
        tx.drop_read_flags()
        assert flagged(tx, *EVERYTHING) == set()
    store.close()

    again = open_store(store_url, clock)
    after(again, renamed(SITE, "Oslo"))

    with again.reading() as reading:
        assert flagged(reading, SITE_NAME, after=newest) == {"Eve"}
        assert reading.newest_flag() == newest + 1
    again.close()


# What is watched


def test_watched_dependencies_are_read_with_their_start_positions(store: Store) -> None:
    with store.reading() as reading:
        assert reading.watched() == dict.fromkeys(EVERYTHING, reading.flagged_to())
        assert reading.flagged_to() == reading.head()


def test_new_dependencies_start_at_the_flagged_position_and_old_ones_continue(store: Store) -> None:
    new = value(PERSON, "Age")
    with store.transaction() as tx:
        began = tx.flagged_to()
        renamed(PERSON, "Ann")(tx)
        tx.move_flags(tx.head())
        tx.watch([new, NAME])
        assert tx.watched() == {NAME: began, new: began + 1}

        tx.watch([new, NAME])
        assert tx.watched() == {NAME: began, new: began + 1}


def test_dependencies_no_longer_watched_lose_their_flags_and_start_again(store: Store) -> None:
    after(store, renamed(PERSON, "Ann"))
    with store.transaction() as tx:
        began = tx.flagged_to()
        tx.watch(set(EVERYTHING) - {NAME})
        tx.move_flags(tx.head())
        assert flagged(tx, NAME) == set()

        tx.watch(EVERYTHING)

        assert flagged(tx, NAME) == set()
        assert flagged(tx, value(PERSON, "Manager.Name")) == {"Bob", "Eve", "Zoe"}
        assert tx.watched() == {**dict.fromkeys(EVERYTHING, began), NAME: tx.head()}


def test_another_path_or_target_is_another_dependency(store: Store) -> None:
    other = evolve(DEPARTMENT_NAME, path=("Team",))
    with store.transaction() as tx:
        tx.watch([other])

        assert tx.watched().keys() == {other}


def test_unknown_entity_types_and_properties_flag_nothing(store: Store) -> None:
    with store.transaction() as tx:
        tx.watch(
            [
                existence("Unheard"),
                evolve(NAME, entity_type="Unheard"),
                evolve(DEPARTMENT_NAME, hops=(evolve(DEPARTMENT_NAME.hops[0], association="Unheard"),)),
            ]
        )
        head = tx.head()
        renamed(PERSON, "Ann")(tx)
        renamed(DEPARTMENT, "Sales")(tx)

        assert tx.flag_changes(head) == 0


# Places


def place(flag: int, position: int) -> Place:
    return Place(flag=flag, position=position)


def test_a_position_is_stored_for_each_derivation_and_its_definition(store: Store) -> None:
    key = evolve(RULE, kind=DerivationKind.TARGET_KEY)
    changed = evolve(RULE, digest="e")
    with store.transaction() as tx:
        tx.move_place("task", [RULE, key], place(0, 3))
        tx.move_place("task", [changed], place(0, 5))
        tx.move_place("other", [RULE], place(0, 1))
        tx.move_place("none", [], place(0, 1))

    with store.reading() as reading:
        assert reading.places("task") == {changed: place(0, 5), key: place(0, 3)}
        assert reading.places("other") == {RULE: place(0, 1)}
        assert reading.places("none") == {}


def test_positions_are_kept_only_for_given_consumers_and_derivations(store: Store) -> None:
    key = evolve(RULE, kind=DerivationKind.TARGET_KEY)
    with store.transaction() as tx:
        for consumer in ("one", "two", "three"):
            tx.move_place(consumer, [RULE, key], place(0, 1))

        assert tx.keep_consumers({"one": [evolve(RULE, digest="e")], "two": [], "four": [RULE]}) == ["three", "two"]
        assert tx.keep_consumers({"one": [RULE]}) == []

    with store.reading() as reading:
        assert {name: set(reading.places(name)) for name in ("one", "two", "three")} == {
            "one": {RULE},
            "two": set(),
            "three": set(),
        }


def test_flags_that_all_consumers_and_derivations_have_read_are_deleted(store: Store) -> None:
    key = evolve(RULE, kind=DerivationKind.TARGET_KEY)
    with store.transaction() as tx:
        head = tx.head()
        renamed(PERSON, "Zoe")(tx)
        tx.flag_changes(head)
        first, head = tx.newest_flag(), tx.head()
        renamed(PERSON, "Bob")(tx)
        tx.flag_changes(head)
        newest = tx.newest_flag()

        tx.drop_read_flags()
        assert flagged(tx, NAME) == {"Zoe", "Bob"}  # no consumer yet: nobody has read them
        tx.move_place("quick", [RULE], place(newest, 1))
        tx.move_place("slow", [RULE], place(newest, 1))
        tx.move_place("slow", [key], place(first, 1))
        tx.drop_read_flags()
        assert flagged(tx, NAME) == {"Bob"}

        tx.keep_consumers({"quick": [RULE]})
        tx.drop_read_flags()
        assert flagged(tx, *EVERYTHING) == set()


def test_a_consumer_does_not_skip_flags_deleted_while_it_worked(store: Store) -> None:
    with store.reading() as reading:
        before = place(reading.newest_flag(), reading.head())
    after(store, renamed(PERSON, "Zoe"))
    with store.transaction() as tx:
        tx.move_place("another", [RULE], place(tx.newest_flag(), tx.head()))
        tx.drop_read_flags()

    with pytest.raises(ConcurrentRun, match=r"flags that task has not read yet were dropped .* Run again"):
        move(store, before)


def move(store: Store, to: Place) -> None:
    with store.transaction() as tx:
        tx.move_place("task", [RULE], to)


@pytest.mark.parametrize(("flag", "position"), [(0, 10**6), (10**6, 0)])
def test_a_position_beyond_the_log_or_the_flags_is_reported_as_damage(store: Store, flag: int, position: int) -> None:
    move(store, place(flag, position))

    with store.reading() as reading, pytest.raises(StoreError, match=r"task is at .*, but the .* Verify it"):
        reading.places("task")


def test_a_flagged_position_beyond_the_log_is_reported_as_damage(store: Store) -> None:
    with store.transaction() as tx:
        tx.move_flags(tx.head() + 1)

    with store.reading() as reading, pytest.raises(StoreError, match=r"flagging is at .*, but the log ends at"):
        reading.flagged_to()


# What is computed from


def test_states_are_those_of_live_resources_or_of_given_streams(store: Store) -> None:
    with store.transaction() as tx:
        numbers = {key: number for name in (PERSON, SITE) for key, number in streams(tx, name).items()}
        compute(tx, PERSON, {"Ann": ({}, {"Mail": "a"})})
        delete(tx, PERSON, {"Zoe": SOME, "Eve": SOME})

    with store.reading() as reading:
        live = {row["stream"]: (row["state"], row["computed"]) for row in reading.states(PERSON).to_pylist()}
        asked = pa.array([numbers[key] for key in ("Ann", "Zoe", "Rome", "Zoe")] + [10**6], pa.int64())
        some = sorted(tuple(row.values()) for row in reading.states(PERSON, asked).to_pylist())

    name = '{"Name":"n"}'
    assert live == {numbers["Ann"]: (name, '{"Mail":"a"}'), numbers["Bob"]: (name, "{}")}
    assert some == [(numbers["Ann"], name, '{"Mail":"a"}'), (numbers["Zoe"], None, "{}"), (numbers["Rome"], name, "{}")]


def test_streams_are_named_in_order(store: Store) -> None:
    with store.transaction() as tx:
        delete(tx, PERSON, {"Zoe": SOME})

    with store.reading() as reading:
        found = [tuple(row.values())[1:] for row in reading.names(pa.array(range(10**3), pa.int64())).to_pylist()]

    assert found == [
        *((DEPARTMENT, key, True) for key in ("Research", "Sales")),
        *((PERSON, key, True) for key in ("Ann", "Bob", "Eve")),
        (PERSON, "Zoe", False),
        *((SITE, key, True) for key in ("Oslo", "Rome")),
    ]


def test_links_are_given_in_the_direction_of_a_hop(store: Store) -> None:
    (department,), (members,) = links(PERSON, "Department").hops, links(DEPARTMENT, "Members").hops
    with store.transaction() as tx:
        unlink(tx, ("Research", "Eve"), ends=STAFF)

    with store.reading() as reading:
        number = streams(reading, PERSON) | streams(reading, DEPARTMENT)
        sales, ann, bob, zoe = (number[key] for key in ("Sales", "Ann", "Bob", "Zoe"))

        def pairs(hop: object, *near: int) -> list[tuple[int, int]]:
            found = reading.ends(hop, pa.array(near, pa.int64()) if near else None)
            return sorted(zip(found.column("near").to_pylist(), found.column("far").to_pylist(), strict=True))

        assert pairs(department) == sorted([(ann, sales), (bob, sales)])
        assert pairs(members) == sorted([(sales, ann), (sales, bob)])
        assert pairs(department, bob, zoe, bob) == [(bob, sales)]
        assert pairs(members, sales) == pairs(members)
        assert pairs(members, number["Research"]) == []


def test_changes_are_found_by_the_changed_property(store: Store) -> None:
    (manager,) = links(PERSON, "Manager").hops
    with store.transaction() as tx:
        head, number = tx.head(), streams(tx, PERSON)
        renamed(PERSON, "Ann", "Bob", "Zoe")(tx)
        unlink(tx, ("Ann", "Bob"), ("Ann", "Zoe"), ends=MANAGES)

    def positions(found: Iterator) -> list[tuple[int, str]]:
        return [(position, event.kind) for position, event in found]

    some = pa.array([number["Bob"], number["Ann"]], pa.int64())
    with store.reading() as reading:
        assert positions(reading.changes_of(some, head)) == [(head + 1, "updated"), (head + 2, "updated")]
        assert [kind for _, kind in positions(reading.changes_of(some, 0))] == ["created"] * 2 + ["updated"] * 2
        assert positions(reading.link_changes_at(manager, some, head)) == [(head + 4, "unlinked")]
        reports = evolve(manager, forward=True)
        assert positions(reading.link_changes_at(reports, some, head)) == [(head + n, "unlinked") for n in (4, 5)]
