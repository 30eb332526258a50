"""The contract of every store, run on each kind."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from itertools import pairwise
from threading import Event, Thread

import pyarrow as pa
import pytest
from attrs import evolve
from eventsourcing.persistence import ProgrammingError, StoredEvent

from deltamark.application.ports.records import DerivedRule, Place, Subjects
from deltamark.application.ports.store import Store
from deltamark.bootstrap import open_store
from deltamark.domain.configuration.jobs import TaskState
from deltamark.domain.configuration.rules import DerivationKind
from deltamark.domain.derivation.dependency_paths import Hop
from deltamark.domain.errors import ConcurrentRun, StoreError
from deltamark.domain.history.changes import CorrelationKey
from deltamark.domain.resources.link import Linked, Unlinked
from deltamark.domain.resources.resource import Created, Deleted, ResourceSnapshot, Updated, fold
from tests.store.builders import (
    CAUSE,
    GROUP,
    PERSON,
    changes,
    classified_as,
    compute,
    create,
    delete,
    discarded_event,
    end_run,
    held,
    keys_of,
    link,
    log,
    membership,
    person,
    start_run,
    streams,
    unlink,
    update,
    visible,
)
from tests.store.organization import existence

pytestmark = pytest.mark.on_every_store

ANN, BOB = {"Name": "Ann"}, {"Name": "Bob", "Level": 2, "Active": True, "Rate": 0.5}
PEOPLE = Subjects(connector="HR", task="SynchronizeHR", entity_types=(PERSON,), associations=("Members",))


@pytest.fixture
def store(store_url: str, clock: Callable[[], datetime]) -> Iterator[Store]:
    store = open_store(store_url, clock)
    yield store
    store.close()


@pytest.fixture
def company(store: Store) -> Store:
    """Two people, a group with Ann as its member, and a recorded run."""
    with store.transaction() as tx:
        start_run(tx)
        create(tx, PERSON, {"1": ANN, "2": BOB})
        create(tx, GROUP, {"G": {}})
        link(tx, ("G", "1"))
    return store


# Resources


def test_an_empty_store_gives_empty_results(store: Store) -> None:
    with store.reading() as reading:
        assert reading.head() == 0
        assert log(reading) == []
        assert held(reading) == {}
        assert reading.live_resource_count(PERSON) == reading.live_link_count("Members") == 0
        assert reading.live_resources_among(PERSON, pa.array(["1"])).num_rows == 0
        assert reading.live_links("Members").num_rows == 0
        assert reading.resource(person("1")) is None
        assert list(reading.facts(person("1"))) == list(reading.link_changes_of(person("1"))) == []
        assert reading.links_of(person("1")) == reading.links_of_at(person("1"), 0) == []
        assert list(reading.states_at(PERSON, None)) == list(reading.links_at("Members", 0)) == []
        assert reading.run(1) is None
        assert reading.runs() == reading.runs(newest=3) == reading.horizons() == reading.discards(0) == []
        assert reading.places("anyone") == reading.watched() == {}
        assert reading.flagged_to() == reading.newest_flag() == 0
        assert list(reading.classifications(PERSON)) == []
        assert reading.states(PERSON).num_rows == reading.names(pa.array([1], pa.int64())).num_rows == 0
        assert reading.ends(Hop("Members", True)).num_rows == 0
        assert list(reading.correlation_keys(None)) == list(reading.matching_keys(["R"])) == []
        assert reading.flagged([existence(PERSON)], 0, 0).num_rows == 0
        assert not reading.changed_since(0)


def test_created_resources_are_in_state_and_log_with_their_lines(company: Store) -> None:
    with company.reading() as reading:
        events = [event for _, event in log(reading) if isinstance(event, Created) and event.ref.entity_type == PERSON]

        assert held(reading) == {"1": ANN, "2": BOB}
        assert [(e.ref, dict(e.values), e.originator_version, e.cause.line) for e in events] == [
            (person("1"), ANN, 1, 2),
            (person("2"), BOB, 1, 3),
        ]
        assert reading.live_resource_count(PERSON) == 2
        assert reading.live_resources_among(PERSON, pa.array(["2", "3"])).column("key").to_pylist() == ["2"]


def test_an_update_records_only_the_differences(company: Store) -> None:
    after = {"Name": "Bob", "Level": 3, "Rate": 0.5}

    with company.transaction() as tx:
        update(tx, PERSON, {"2": (BOB, after)})

    with company.reading() as reading:
        _, event = log(reading)[-1]
        assert isinstance(event, Updated)
        assert {name: (c.before, c.after) for name, c in event.updates.items()} == {
            "Active": (True, None),
            "Level": (2, 3),
        }
        found = reading.resource(person("2"))
        assert found is not None
        assert (dict(found.values), found.version, found.live) == (after, 2, True)


def test_a_deleted_resource_leaves_the_state_and_keeps_its_history(company: Store) -> None:
    with company.transaction() as tx:
        delete(tx, PERSON, {"2": BOB})

    with company.reading() as reading:
        found = reading.resource(person("2"))
        assert held(reading) == {"1": ANN}
        assert found is not None
        assert (dict(found.values), found.version, found.live) == ({}, 2, False)
        assert [type(fact) for _, fact in reading.facts(person("2"))] == [Created, Deleted]
        assert streams(reading, PERSON).keys() == {"1"}


def test_a_resource_created_again_continues_its_stream(company: Store) -> None:
    with company.transaction() as tx:
        delete(tx, PERSON, {"2": BOB})

    with company.transaction() as tx:
        create(tx, PERSON, {"2": {"Name": "Bobby"}, "3": ANN})

    with company.reading() as reading:
        facts = [fact for _, fact in reading.facts(person("2"))]
        assert [(type(fact), fact.originator_version) for fact in facts] == [(Created, 1), (Deleted, 2), (Created, 3)]
        assert len({fact.originator_id for fact in facts}) == 1
        assert held(reading) == {"1": ANN, "2": {"Name": "Bobby"}, "3": ANN}


def test_one_call_may_delete_create_and_update(company: Store) -> None:
    both = changes(created={"3": ANN}, updated={"2": (BOB, ANN)}, deleted={"1": ANN})

    with company.transaction() as tx:
        assert tx.append_resources(PERSON, both, CAUSE) == {"Members": 1}  # Ann's

    with company.reading() as reading:
        assert held(reading) == {"2": ANN, "3": ANN}
        assert sorted(type(event).__name__ for _, event in log(reading)[-4:]) == [
            "Created",
            "Deleted",
            "Unlinked",
            "Updated",
        ]


@pytest.mark.parametrize(
    "key",
    [
        '"',
        "\\",
        "'; DROP TABLE resources; --",
        "é",
        "e\u0301",
        "\u2028",
        "😀",
        " ",
        "%s",
        "$1",
        "\x01",
        "\x1e",
        "\x1f",
        "K" * 5000,
    ],
)
def test_any_key_and_value_is_read_as_it_was_written(store: Store, key: str) -> None:
    values = {"Name": key, 'a"b': key}
    with store.transaction() as tx:
        create(tx, PERSON, {key: values, key + "x": {}})
        delete(tx, PERSON, {key + "x": {}})
        create(tx, GROUP, {key: {}})
        link(tx, (key, key))

    with store.reading() as reading:
        assert held(reading) == {key: values}
        assert list(reading.links_from("Members")) == [(key, key)]
        assert reading.links_of(person(key)) == [membership(key, key)]
        assert fold(fact for _, fact in reading.facts(person(key))) == reading.resource(person(key))
        assert log(reading)[0][1].ref == person(key)


def test_identities_are_found_by_key_and_by_property(company: Store) -> None:
    with company.reading() as reading:
        numbers = streams(reading, PERSON)
        by_name = reading.identities(PERSON, "Name", None).to_pylist()
        some = reading.identities(PERSON, "Name", pa.array(["Bob", "Eve"])).to_pylist()
        by_key = reading.identities(PERSON, None, pa.array(["1", "1", "9"])).to_pylist()

        assert sorted(row["value"] for row in by_name) == ["Ann", "Bob"]
        assert some == [{"value": "Bob", "stream": numbers["2"], "key": "2"}]
        assert by_key == [{"value": "1", "stream": numbers["1"], "key": "1"}]
        assert reading.identities(PERSON, "Level", None).column("value").to_pylist() == ["2"]


# Conflicts


@pytest.mark.parametrize("what", ["create", "delete", "revive", "update of what is gone", "link", "unlink", "relink"])
def test_the_second_of_two_tasks_that_compared_the_same_state_is_refused(company: Store, what: str) -> None:
    if what == "revive":
        with company.transaction() as tx:
            delete(tx, PERSON, {"2": BOB})
    if what == "relink":
        with company.transaction() as tx:
            unlink(tx, ("G", "1"))
    first, second = {
        "create": 2 * (lambda tx: create(tx, PERSON, {"3": ANN}),),
        "delete": 2 * (lambda tx: delete(tx, PERSON, {"2": BOB}),),
        "revive": 2 * (lambda tx: create(tx, PERSON, {"2": BOB}),),
        "update of what is gone": (
            lambda tx: delete(tx, PERSON, {"2": BOB}),
            lambda tx: update(tx, PERSON, {"2": (BOB, ANN)}),
        ),
        "link": 2 * (lambda tx: link(tx, ("G", "2")),),
        "unlink": 2 * (lambda tx: unlink(tx, ("G", "1")),),
        "relink": 2 * (lambda tx: link(tx, ("G", "1")),),
    }[what]
    with company.transaction() as tx:
        first(tx)
    before = visible(company)

    def too_late() -> None:
        with company.transaction() as tx:
            create(tx, PERSON, {"8": ANN, "9": BOB})
            second(tx)

    with pytest.raises(ConcurrentRun, match=r"Nothing was changed\. Run again"):
        too_late()

    assert visible(company) == before


def test_changes_since_a_position_are_seen_inside_the_transaction(company: Store) -> None:
    with company.reading() as reading:
        compared_at = reading.head()
    with company.transaction() as tx:
        run = start_run(tx)
        assert not tx.changed_since(compared_at)  # the record of runs is no change
        update(tx, PERSON, {"2": (BOB, ANN)})
        end_run(tx, run)

    with company.transaction() as tx:
        assert tx.changed_since(compared_at)
        assert not tx.changed_since(tx.head())
        assert tx.entity_types_changed_since(compared_at) == {PERSON}
        assert tx.entity_types_changed_since(tx.head()) == set()


def test_creating_a_key_twice_in_one_call_is_refused_as_a_whole(company: Store) -> None:
    before = visible(company)
    twice = pa.concat_tables([changes(created={"7": ANN}).created] * 2)

    with pytest.raises((ConcurrentRun, StoreError)), company.transaction() as tx:
        tx.append_resources(PERSON, type(changes())(created=twice, updated=changes().updated, deleted=twice[:0]), CAUSE)

    assert visible(company) == before


# Links


def test_links_are_linked_unlinked_and_linked_again_in_one_stream(company: Store) -> None:
    with company.transaction() as tx:
        unlink(tx, ("G", "1"))
    with company.transaction() as tx:
        link(tx, ("G", "1"), ("G", "2"))

    with company.reading() as reading:
        events = [event for _, event in reading.link_changes_of(person("1"))]
        assert [(type(e), e.originator_version) for e in events] == [(Linked, 1), (Unlinked, 2), (Linked, 3)]
        assert list(reading.links_from("Members")) == [("G", "1"), ("G", "2")]
        assert reading.live_link_count("Members") == 2
        assert reading.links_of(person("2")) == [membership("G", "2")]


def test_links_are_found_by_the_streams_at_their_ends(company: Store) -> None:
    with company.transaction() as tx:
        create(tx, GROUP, {"H": {}})
        link(tx, ("G", "2"), ("H", "2"))
    with company.reading() as reading:
        people, groups = streams(reading, PERSON), streams(reading, GROUP)

        def held(**ends: list[int]) -> list[tuple[str, str]]:
            found = reading.live_links("Members", **{end: pa.array(each, pa.int64()) for end, each in ends.items()})
            return sorted((row["source_key"], row["target_key"]) for row in found.to_pylist())

        assert held(targets=[people["2"]]) == [("G", "2"), ("H", "2")]
        assert held(sources=[groups["G"]]) == [("G", "1"), ("G", "2")]
        assert held(sources=[groups["G"]], targets=[people["2"]]) == [("G", "1"), ("G", "2"), ("H", "2")]
        assert held(sources=[people["2"]]) == held(targets=[]) == []


@pytest.mark.parametrize(("entity_type", "states"), [(PERSON, {"1": ANN}), (GROUP, {"G": {}})])
def test_deleting_a_resource_at_either_end_unlinks_it(company: Store, entity_type: str, states: dict) -> None:
    with company.transaction() as tx:
        assert delete(tx, entity_type, states) == 1

    with company.reading() as reading:
        assert list(reading.links_from("Members")) == []
        assert [type(event) for _, event in log(reading)[-2:]] == [Unlinked, Deleted]


def test_a_link_between_two_resources_deleted_together_is_unlinked_once(company: Store) -> None:
    with company.transaction() as tx:
        assert delete(tx, PERSON, {"1": ANN, "2": BOB}) + delete(tx, GROUP, {"G": {}}) == 1


# Keys and classifications


SOURCE, TARGET, CLASSES = (
    DerivedRule(kind=kind, name="R", entity_type=PERSON, digest="d")
    for kind in (DerivationKind.SOURCE_KEY, DerivationKind.TARGET_KEY, DerivationKind.CLASSIFICATION)
)


def test_only_keys_that_differ_are_written(company: Store) -> None:
    with company.transaction() as tx:
        ann, bob = (streams(tx, PERSON)[key] for key in "12")

        assert tx.put_keys(SOURCE, keys_of({ann: "a", bob: "b"}), everything=False) == 2
        assert tx.put_keys(SOURCE, keys_of({ann: "a", bob: "b"}), everything=False) == 0
        assert tx.put_keys(SOURCE, keys_of({ann: "a", bob: "c"}), everything=False) == 1
        assert tx.put_keys(SOURCE, keys_of({bob: None}), everything=False) == 1
        assert tx.put_keys(SOURCE, keys_of({bob: None}), everything=False) == 0
        assert tx.put_keys(SOURCE, keys_of({}), everything=False) == 0

    with company.reading() as reading:
        expected = [CorrelationKey(rule="R", side="source", entity_type=PERSON, key="1", value="a")]
        assert list(reading.correlation_keys(None)) == list(reading.correlation_keys(["R", "S"])) == expected
        assert list(reading.correlation_keys(["S"])) == []


def test_matching_keys_are_those_of_both_sides(company: Store) -> None:
    with company.transaction() as tx:
        ann, bob = (streams(tx, PERSON)[key] for key in "12")
        tx.put_keys(SOURCE, keys_of({ann: "x", bob: "y"}), everything=False)
        tx.put_keys(TARGET, keys_of({ann: "z", bob: "x"}), everything=False)
        tx.put_keys(evolve(TARGET, name="S"), keys_of({ann: "y"}), everything=False)

    with company.reading() as reading:
        matching = [(k.rule, k.value, k.side, k.key) for k in reading.matching_keys(["R", "S"])]
        assert matching == [("R", "x", "source", "1"), ("R", "x", "target", "2")]


def test_keys_computed_for_all_are_those_of_live_resources_alone(company: Store) -> None:
    with company.transaction() as tx:
        create(tx, GROUP, {"3": {}})
        create(tx, PERSON, {"3": ANN})
        ann, bob, eve = (streams(tx, PERSON)[key] for key in "123")
        tx.put_keys(SOURCE, keys_of({ann: "a", bob: "b", eve: "e"}), everything=False)
        tx.put_keys(TARGET, keys_of({bob: "b"}), everything=False)
        delete(tx, PERSON, {"2": BOB})

        assert tx.put_keys(SOURCE, keys_of({ann: "a", eve: None}), everything=True) == 2

        assert [(k.side, k.key) for k in tx.correlation_keys(None)] == [("source", "1"), ("target", "2")]
        assert tx.stored_keys(evolve(SOURCE, digest="e")).to_pylist() == [{"stream": ann, "value": "a"}]
        assert tx.stored_keys(evolve(SOURCE, name="S")).num_rows == 0


def test_only_classifications_that_differ_are_written(company: Store) -> None:
    other = evolve(CLASSES, name="Q")
    with company.transaction() as tx:
        ann, bob = (streams(tx, PERSON)[key] for key in "12")

        assert tx.put_classifications(CLASSES, classified_as({ann: True, bob: False}), everything=False) == 1
        assert tx.put_classifications(CLASSES, classified_as({ann: True, bob: True}), everything=False) == 1
        assert tx.put_classifications(CLASSES, classified_as({bob: None}), everything=False) == 1
        assert tx.put_classifications(CLASSES, classified_as({}), everything=False) == 0
        assert tx.put_classifications(other, classified_as({ann: True, bob: True}), everything=False) == 2

    with company.reading() as reading:
        assert list(reading.classifications(PERSON)) == [("1", ["Q", "R"]), ("2", ["Q"])]
        assert list(reading.classifications(GROUP)) == list(reading.classifications("Unheard")) == []
        assert reading.classified(evolve(CLASSES, digest="e")).to_pylist() == [ann]
        assert reading.classified(evolve(CLASSES, kind=DerivationKind.SOURCE_KEY)).to_pylist() == []


def test_classifications_computed_for_all_are_those_of_live_resources_alone(company: Store) -> None:
    with company.transaction() as tx:
        ann, bob = (streams(tx, PERSON)[key] for key in "12")
        tx.put_classifications(CLASSES, classified_as({ann: True, bob: True}), everything=False)
        delete(tx, PERSON, {"2": BOB})

        assert tx.put_classifications(CLASSES, classified_as({ann: True}), everything=True) == 1

        assert list(tx.classifications(PERSON)) == [("1", ["R"])]
        assert tx.rules_computed() == {CLASSES}


def test_rules_are_removed_with_their_values_and_positions_of_consumers(company: Store) -> None:
    with company.transaction() as tx:
        ann, bob = (streams(tx, PERSON)[key] for key in "12")
        tx.put_keys(SOURCE, keys_of({ann: "a", bob: "b"}), everything=True)
        tx.put_keys(TARGET, keys_of({ann: "a"}), everything=True)
        tx.put_classifications(CLASSES, classified_as({ann: True}), everything=True)
        tx.move_place("task", [SOURCE, TARGET, CLASSES], Place(flag=0, position=1))

        assert tx.remove_rules([evolve(SOURCE, digest="another"), CLASSES, evolve(SOURCE, name="unheard")]) == 3
        assert tx.remove_rules([SOURCE, CLASSES]) == 0

    with company.reading() as reading:
        assert [(k.side, k.key) for k in reading.correlation_keys(None)] == [("target", "1")]
        assert list(reading.classifications(PERSON)) == []
        assert reading.rules_computed() == {TARGET}
        assert reading.places("task").keys() == {TARGET}


def test_completely_computed_rules_are_identified_by_their_definition(company: Store) -> None:
    changed = evolve(SOURCE, digest="e")
    name = DerivedRule(kind=DerivationKind.PROPERTY, name="Mail", entity_type=PERSON, digest="f")
    with company.transaction() as tx:
        tx.put_keys(SOURCE, keys_of({}), everything=True)
        tx.put_keys(TARGET, keys_of({}), everything=False)
        assert tx.rules_computed() == {SOURCE}

        tx.put_keys(changed, keys_of({}), everything=False)
        assert tx.rules_computed() == {SOURCE}
        tx.put_keys(changed, keys_of({}), everything=True)
        assert tx.rules_computed() == {changed}

        tx.mark_complete([name, SOURCE])
        assert tx.rules_computed() == {SOURCE, name}


# Runs


def test_runs_are_numbered_from_one_and_read_with_their_positions(store: Store) -> None:
    for _ in range(3):
        with store.transaction() as tx:
            run = start_run(tx)
        with store.transaction() as tx:
            end_run(tx, run)

    with store.reading() as reading:
        runs = reading.runs()
        assert [(s.run.number, s.first, s.last, s.run.state) for s in runs] == [
            (n, 2 * n - 1, 2 * n, TaskState.COMPLETED) for n in (1, 2, 3)
        ]
        assert reading.runs(newest=2) == runs[1:]
        assert reading.runs(newest=0) == []
        assert reading.run(2) == runs[1]


# Retention


def test_discarded_changes_are_replaced_by_snapshots(company: Store) -> None:
    with company.transaction() as tx:
        delete(tx, PERSON, {"2": BOB})
        unlink(tx, ("G", "1"))
    with company.reading() as reading:
        head = reading.head()

    with company.transaction() as tx:
        discarded = tx.discard(PEOPLE, discarded_event(1), 1)

    assert discarded is not None
    assert (discarded.first, discarded.last, discarded.count) == (2, head, 5)
    with company.reading() as reading:
        assert [event.ref.entity_type for _, event in log(reading)] == [GROUP]
        assert {(h.subject, h.position, h.run, h.task) for h in reading.horizons()} == {
            (subject, head, 1, "SynchronizeHR") for subject in (PERSON, "Members")
        }
        ((position, fact),) = reading.facts(person("2"))
        assert isinstance(fact, ResourceSnapshot)
        assert (position, fact.live, fact.originator_version) == (head - 1, False, 2)
        assert fold([fact]) == reading.resource(person("2"))
        assert held(reading) == dict(reading.states_at(PERSON, head)) == {"1": ANN}
        assert list(reading.links_at("Members", head)) == []
        ((at, event),) = reading.discards(0)
        assert (at, event.count, event.digest) == (head + 1, 5, discarded.digest)


def test_folding_continues_from_a_snapshot(company: Store) -> None:
    with company.transaction() as tx:
        tx.discard(PEOPLE, discarded_event(1), 1)
        horizon = tx.head()
    with company.transaction() as tx:
        update(tx, PERSON, {"1": (ANN, BOB)})
        unlink(tx, ("G", "1"))
    with company.transaction() as tx:
        delete(tx, PERSON, {"1": BOB})

    with company.reading() as reading:
        states = [dict(reading.states_at(PERSON, horizon + n)).get("1") for n in range(4)]
        assert states == [ANN, BOB, BOB, None]
        assert [list(reading.links_at("Members", horizon + n)) for n in (0, 1, 2)] == [[("G", "1")], [("G", "1")], []]
        assert reading.links_of_at(person("1"), horizon) == [membership("G", "1")]
        assert fold(fact for _, fact in reading.facts(person("1"))) == reading.resource(person("1"))


def test_nothing_is_discarded_twice(company: Store) -> None:
    with company.transaction() as tx:
        assert tx.discard(PEOPLE, discarded_event(1), 1) is not None

    before = visible(company)
    with company.transaction() as tx:
        assert tx.discard(PEOPLE, discarded_event(1), 1) is None
    assert visible(company) == before

    with company.transaction() as tx:
        create(tx, PERSON, {"3": ANN})
        again = tx.discard(PEOPLE, discarded_event(1), 1)
    assert again is not None
    assert again.count == 1


def test_the_digest_of_a_discard_depends_on_what_was_discarded(new_store: Callable[[], str], clock: Callable) -> None:
    def digest(name: str) -> str:
        frozen_at = clock()
        store = open_store(new_store(), lambda: frozen_at)
        with store.transaction() as tx:
            start_run(tx)
            create(tx, PERSON, {"1": {"Name": name}})
            found = tx.discard(PEOPLE, discarded_event(1), 1)
        store.close()
        assert found is not None
        return found.digest

    assert digest("Ann") != digest("Eve")


# Transactions


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt, ConcurrentRun], ids=lambda e: e.__name__)
def test_a_transaction_that_raises_leaves_no_trace(company: Store, error: type[BaseException]) -> None:
    before = visible(company)

    def interrupted() -> None:
        with company.transaction() as tx:
            run = start_run(tx)
            create(tx, PERSON, {"3": ANN})
            update(tx, PERSON, {"2": (BOB, ANN)})
            link(tx, ("G", "2"))
            delete(tx, PERSON, {"1": ANN})
            tx.put_keys(SOURCE, keys_of({streams(tx, PERSON)["2"]: "x"}), everything=False)
            compute(tx, PERSON, {"2": ({}, {"Mail": "x"})})
            tx.watch([existence(PERSON)])
            assert tx.flag_changes(0) > 0
            tx.move_flags(tx.head())
            tx.move_place("task", [SOURCE], Place(flag=1, position=1))
            tx.discard(PEOPLE, discarded_event(run), run)
            raise error("in the middle")

    with pytest.raises(error):
        interrupted()

    assert visible(company) == before
    with company.transaction() as tx:
        assert tx.places("task") == {}
        assert tx.flagged_to() == tx.newest_flag() == 0
        assert start_run(tx) == 2
        create(tx, PERSON, {"3": ANN})


def test_a_view_does_not_change_while_others_commit(company: Store) -> None:
    with company.reading() as reading:
        before = held(reading), log(reading), reading.head()
        with company.transaction() as tx:
            create(tx, PERSON, {"3": ANN})
            update(tx, PERSON, {"2": (BOB, ANN)})

        assert (held(reading), log(reading), reading.head()) == before

    with company.reading() as reading:
        assert held(reading).keys() == {"1", "2", "3"}


def test_a_writer_waits_for_the_other_so_that_positions_appear_in_order(
    company: Store, store_url: str, clock: Callable[[], datetime]
) -> None:
    started = Event()

    def second() -> None:
        other = open_store(store_url, clock)
        started.set()
        with other.transaction() as tx:
            create(tx, PERSON, {"4": ANN})
        other.close()

    before = visible(company)
    thread = Thread(target=second)
    with company.transaction() as tx:
        create(tx, PERSON, {"3": ANN})
        thread.start()
        assert started.wait(30)
        thread.join(0.2)  # it waits, or would be seen with a higher position than what is not yet there
        assert visible(company) == before
    thread.join(30)

    with company.reading() as reading:
        assert [event.ref for _, event in log(reading)[-2:]] == [person("3"), person("4")]


def test_uncommitted_changes_are_visible_only_in_their_transaction(company: Store) -> None:
    before = visible(company)

    with company.transaction() as tx:
        create(tx, PERSON, {"3": ANN})
        assert held(tx).keys() == {"1", "2", "3"}
        assert visible(company) == before


def test_opening_a_store_twice_gives_the_same_data(
    company: Store, store_url: str, clock: Callable[[], datetime]
) -> None:
    other = open_store(store_url, clock)
    with other.transaction() as tx:
        create(tx, PERSON, {"3": ANN})
    with company.transaction() as tx:
        create(tx, PERSON, {"4": ANN})

    assert visible(company) == visible(other)
    other.close()
    with open_store(store_url, clock, create=False).reading() as reading:
        assert held(reading).keys() == {"1", "2", "3", "4"}


# Time


def test_the_time_of_a_store_never_goes_back_even_if_the_clock_does(
    store_url: str, clock: Callable[[], datetime]
) -> None:
    start = clock()
    times = iter([start, start - timedelta(days=400), start, start + timedelta(seconds=1), start - timedelta(days=1)])
    store = open_store(store_url, lambda: next(times))
    told = []
    for key in "12345":
        with store.transaction() as tx:
            told.append(tx.now())
            create(tx, PERSON, {key: ANN})
    with store.reading() as reading:
        written = [event.at for _, event in log(reading)]
        found = [reading.position_at(at) for at in told]
    store.close()

    assert written == told
    assert all(earlier < later for earlier, later in pairwise(told))
    assert found == [1, 2, 3, 4, 5]


def test_a_time_means_the_newest_event_not_after_it(store: Store) -> None:
    with store.transaction() as tx:
        first = tx.now()
        create(tx, PERSON, {"1": ANN, "2": BOB})
    with store.transaction() as tx:
        tx.move_place("task", [SOURCE], Place(flag=0, position=2))  # no event, no position
    with store.transaction() as tx:
        second = tx.now()
        create(tx, PERSON, {"3": ANN})

    tick = timedelta(microseconds=1)
    with store.reading() as reading:
        moments = [first - tick, first, second - tick, second, second + timedelta(days=9999)]
        assert [reading.position_at(at) for at in moments] == [0, 2, 2, 3, 3]


# Rehearsals


def deleted_and_undone(store: Store) -> None:
    with store.transaction() as tx:
        delete(tx, PERSON, {"2": BOB})
        raise ValueError("undone")


def test_a_dry_run_shows_its_result_and_leaves_no_trace(company: Store) -> None:
    before = visible(company)

    with company.dry_run():
        with company.transaction() as tx:
            run = start_run(tx)
            create(tx, PERSON, {"3": ANN})
        with company.transaction() as tx:
            update(tx, PERSON, {"3": (ANN, BOB)})
            assert tx.discard(PEOPLE, discarded_event(run), run) is None  # it is still to be shown
        with pytest.raises(ValueError, match="undone"):
            deleted_and_undone(company)
        with company.reading() as reading:
            assert held(reading) == {"1": ANN, "2": BOB, "3": BOB}
            assert [event.ref for _, event in log(reading)][-2:] == [person("3")] * 2
        assert visible(company) != before

    assert visible(company) == before
    with company.transaction() as tx:
        assert start_run(tx) == 2
        create(tx, PERSON, {"3": ANN})


def test_a_dry_run_that_raises_leaves_no_trace(company: Store) -> None:
    before = visible(company)

    def interrupted() -> None:
        with company.dry_run():
            with company.transaction() as tx:
                create(tx, PERSON, {"3": ANN})
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()

    assert visible(company) == before


def test_a_dry_run_whose_transaction_the_database_ended_says_so_and_leaves_no_trace(company: Store) -> None:
    before = visible(company)

    def ended_while_reading() -> None:
        with company.dry_run():
            with company.reading() as reading:
                reading._db.execute("ROLLBACK")
            with company.transaction() as tx:
                create(tx, PERSON, {"3": ANN})

    with pytest.raises(StoreError, match="the database ended the transaction of this dry run"):
        ended_while_reading()

    assert visible(company) == before


def test_other_threads_take_no_part_in_a_dry_run(company: Store) -> None:
    before = visible(company)
    seen: list[object] = []
    reading_done, about_to_write = Event(), Event()

    def other() -> None:
        seen.append(visible(company))
        reading_done.set()
        about_to_write.set()
        with company.transaction() as tx:
            create(tx, PERSON, {"4": ANN})

    thread = Thread(target=other)
    with company.dry_run():
        with company.transaction() as tx:
            create(tx, PERSON, {"3": ANN})
        thread.start()
        assert reading_done.wait(30)
        assert about_to_write.wait(30)
        thread.join(0.2)  # it waits for the end of the dry run, or has taken part in it wrongly
    thread.join(30)

    assert seen == [before]
    with company.reading() as reading:
        assert held(reading).keys() == {"1", "2", "4"}


def test_the_recorder_of_a_store_refuses_events_without_seals(store):
    event = StoredEvent("1", 1, "c1", b"{}")

    with pytest.raises(ProgrammingError, match="events are written and sealed by"):
        store.recorder.insert_events([event])

    assert store.recorder.max_notification_id() is None
