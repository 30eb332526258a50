"""Computed values: stored beside synchronized ones, changes like any other, deleted with their resource."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from datetime import datetime

import pyarrow as pa
import pytest

from deltamark.application.ports.records import ComputedChanges, Subjects
from deltamark.application.ports.store import Store
from deltamark.bootstrap import open_store
from deltamark.domain.errors import ConcurrentRun
from deltamark.domain.resources.resource import (
    Change,
    Computed,
    Created,
    Deleted,
    Resource,
    ResourceSnapshot,
    Updated,
    fold,
)
from deltamark.domain.values import Values
from deltamark.infrastructure.store import arrow_rows
from tests.store.builders import (
    CAUSE,
    GROUP,
    PERSON,
    changes,
    compute,
    create,
    delete,
    discarded_event,
    held,
    log,
    person,
    start_run,
    streams,
    update,
    visible,
)

ANN, BOB = {"Name": "Ann"}, {"Name": "Bob", "Level": 2}
TEAM, MORE = {"Team": "Sales"}, {"Mail": "a@b", "Name": "Ann B.", "Team": "Research"}
PEOPLE = Subjects(connector="HR", task="T", entity_types=(PERSON,), associations=())


@pytest.fixture
def store(store_url: str, clock: Callable[[], datetime]) -> Iterator[Store]:
    """Ann and Bob; the team of Ann is a computed value."""
    store = open_store(store_url, clock)
    with store.transaction() as tx:
        start_run(tx)
        create(tx, PERSON, {"1": ANN, "2": BOB})
        create(tx, GROUP, {"1": {}})
        compute(tx, PERSON, {"1": ({}, TEAM)})
    yield store
    store.close()


def found(store: Store, key: str = "1") -> Resource:
    """A resource from the state; checks that folding its stream gives the same."""
    with store.reading() as reading:
        resource = reading.resource(person(key))
        assert resource == fold(fact for _, fact in reading.facts(person(key)))
    assert resource is not None
    return resource


def states(store: Store, at: int | None = None) -> Mapping[str, Values]:
    with store.reading() as reading:
        return dict(reading.states_at(PERSON, at))


def test_a_computed_value_is_stored_beside_the_synchronized_ones(store: Store) -> None:
    ann = found(store)

    assert (ann.values, ann.synchronized, ann.computed, ann.version) == (ANN | TEAM, ANN, TEAM, 2)
    assert states(store) == {"1": ANN | TEAM, "2": BOB}
    with store.reading() as reading:
        assert held(reading) == {"1": ANN, "2": BOB}
        assert reading.live_resources_among(PERSON, pa.array(["1"])).column("state").to_pylist() == ['{"Name":"Ann"}']
        _, event = log(reading)[-1]
        assert isinstance(event, Computed)
        assert (event.ref, event.originator_version, event.cause) == (person("1"), 2, CAUSE)
        assert event.updates == {"Team": Change(None, "Sales")}


def test_computed_values_are_replaced_and_removed(store: Store) -> None:
    with store.transaction() as tx:
        first = tx.head()
        compute(tx, PERSON, {"1": (TEAM, MORE), "2": ({}, TEAM)})
        second = tx.head()
        compute(tx, PERSON, {"1": (MORE, {"Mail": "a@b"})})

    assert found(store).values == ANN | {"Mail": "a@b"}
    assert states(store) == {"1": ANN | {"Mail": "a@b"}, "2": BOB | TEAM}
    assert states(store, second) == {"1": MORE, "2": BOB | TEAM}
    assert states(store, first) == {"1": ANN | TEAM, "2": BOB}
    assert states(store, first - 1) == {"1": ANN, "2": BOB}


def test_synchronization_neither_reads_nor_changes_computed_values(store: Store) -> None:
    with store.transaction() as tx:
        compute(tx, PERSON, {"1": (TEAM, MORE)})

        update(tx, PERSON, {"1": (ANN, {"Level": 1})})

    assert found(store).synchronized == {"Level": 1}
    assert found(store).values == MORE | {"Level": 1}
    with store.reading() as reading:
        _, event = log(reading)[-1]
        assert isinstance(event, Updated)
        assert event.updates == {"Name": Change("Ann", None), "Level": Change(None, 1)}


def test_deleting_a_resource_records_and_clears_both_kinds_of_values(store: Store) -> None:
    with store.transaction() as tx:
        delete(tx, PERSON, {"2": BOB, "1": ANN})

    ann = found(store)
    assert (ann.values, ann.computed, ann.live, ann.version) == ({}, {}, False, 3)
    with store.reading() as reading:
        recorded = {event.ref.key: event for _, event in log(reading)[-2:] if isinstance(event, Deleted)}
    assert (recorded["1"].values, recorded["1"].computed) == (ANN, TEAM)
    assert (recorded["2"].values, recorded["2"].computed) == (BOB, {})


def test_a_resource_that_is_created_again_has_no_computed_values(store: Store) -> None:
    with store.transaction() as tx:
        delete(tx, PERSON, {"1": ANN})
        create(tx, PERSON, {"1": BOB})

    assert found(store).values == BOB
    assert found(store).computed == {}
    with store.reading() as reading:
        kinds = [type(fact) for _, fact in reading.facts(person("1"))]
    assert kinds == [Created, Computed, Deleted, Created]


def test_any_computed_value_is_read_as_it_was_written(store: Store) -> None:
    odd = {'a"b\\': "\\u0000\x01\u2028😀", "Flag": False, "None": 0, "Rate": 0.5, "é": ""}
    with store.transaction() as tx:
        compute(tx, PERSON, {"2": ({}, odd)})

    assert found(store, "2").computed == odd
    with store.transaction() as tx:
        delete(tx, PERSON, {"2": BOB})
        assert log(tx)[-1][1].changes == {name: Change(value, None) for name, value in (BOB | odd).items()}


def test_many_values_are_written_in_chunks(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(arrow_rows.chunks, "__defaults__", (3,))
    keys = [f"K{number}" for number in range(8)]
    with store.transaction() as tx:
        create(tx, PERSON, dict.fromkeys(keys, ANN))
        before = tx.head()
        compute(tx, PERSON, {key: ({}, {"Team": key}) for key in keys})

        assert tx.head() == before + 8

    assert states(store) == {"1": ANN | TEAM, "2": BOB} | {key: ANN | {"Team": key} for key in keys}


def test_no_computed_values_write_nothing(store: Store) -> None:
    before = visible(store)

    with store.transaction() as tx:
        compute(tx, PERSON, {})

    assert visible(store) == before


@pytest.mark.parametrize("what", ["deleted", "of another entity type", "unheard of"])
def test_values_of_missing_resources_are_refused_as_a_whole(store: Store, what: str) -> None:
    with store.transaction() as tx:
        numbers = streams(tx, PERSON)
        wrong = {"deleted": numbers["2"], "of another entity type": streams(tx, GROUP)["1"], "unheard of": 999}[what]
        if what == "deleted":
            delete(tx, PERSON, {"2": BOB})
    before = visible(store)
    rows = pa.table(
        {
            "stream": pa.array([numbers["1"], wrong], pa.int64()),
            "computed": ["{}", '{"Team":"x"}'],
            "changes": ['{"Team":["Sales",null]}', '{"Team":[null,"x"]}'],
        }
    )

    with pytest.raises(ConcurrentRun, match=r"Nothing was changed\. Run again"), store.transaction() as tx:
        tx.put_computed(ComputedChanges(entity_type=PERSON, rows=rows), CAUSE)

    assert visible(store) == before


def test_computed_values_are_changes_since_a_position(store: Store) -> None:
    with store.transaction() as tx:
        head = tx.head()
        compute(tx, PERSON, {"2": ({}, TEAM)})

        assert tx.changed_since(head)
        assert [event.kind for _, event in tx.changes(head, None)] == ["updated"]


def test_discarded_computed_values_are_in_the_snapshot(store: Store) -> None:
    with store.transaction() as tx:
        compute(tx, PERSON, {"1": (TEAM, MORE), "2": ({}, TEAM)})
        delete(tx, PERSON, {"2": BOB})
    expected = [found(store, key) for key in "12"]

    with store.transaction() as tx:
        discarded = tx.discard(PEOPLE, discarded_event(1), 1)

    assert discarded is not None
    assert discarded.count == 2 + 3 + 1
    assert [found(store, key) for key in "12"] == expected
    with store.reading() as reading:
        ((_, snapshot),) = reading.facts(person("1"))
        assert isinstance(snapshot, ResourceSnapshot)
        assert (snapshot.values, snapshot.computed) == (ANN, MORE)
        assert [event.ref.entity_type for _, event in log(reading)] == [GROUP]


def test_folding_continues_from_a_snapshot_with_computed_values(store: Store) -> None:
    with store.transaction() as tx:
        tx.discard(PEOPLE, discarded_event(1), 1)
        horizon = tx.head()
    with store.transaction() as tx:
        compute(tx, PERSON, {"1": (TEAM, MORE)})
        tx.append_resources(PERSON, changes(updated={"1": (ANN, BOB)}), CAUSE)
        compute(tx, PERSON, {"1": (MORE, {})})

    assert [states(store, horizon + n)["1"] for n in range(4)] == [ANN | TEAM, MORE, BOB | MORE, BOB]
    assert found(store).values == BOB
