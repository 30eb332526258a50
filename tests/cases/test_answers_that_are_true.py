"""The counts of `verify`, and the events that a program folds, are those of the state."""

from __future__ import annotations

import shutil
from typing import Any

import deltamark
from deltamark import Created, Deleted, Engine, Updated
from tests.cases.case import Case
from tests.cases.conftest import NewCase


def test_verify_and_replay_count_the_resources_that_exist(case: NewCase) -> None:
    store = case("32-count-of-the-deleted")
    store.run(1)
    store.run(2)

    for command in (["verify"], ["replay"], ["replay", "--into", f"sqlite:///{store.folder}/other.db"]):
        answer = store.command(*command)

        assert answer.status == 0
        assert "2 resources (1 deleted), 0 links, 2 runs" in answer.err


def test_a_resource_that_was_created_again_is_counted_as_one(case: NewCase) -> None:
    store = case("32-count-of-the-deleted")
    for step in (1, 2, 1):
        store.run(step)

    assert "3 resources, 0 links, 3 runs" in store.command("verify").err


def folded(store: Case) -> dict[str, dict[str, Any]]:
    """The state that a program makes of the events, by their public classes alone."""
    state: dict[str, dict[str, Any]] = {}
    with Engine.open(store.store, configuration=store.configuration(1)) as engine:
        for change in engine.changes():
            event = change.event
            assert getattr(deltamark, type(event).__name__) is type(event)
            match event:
                case Created():
                    state[event.ref.key] = dict(event.values)
                case Updated():
                    assert change.kind == "updated"
                    after = {name: values.after for name, values in event.changes.items()}
                    state[event.ref.key] = {
                        name: value for name, value in {**state[event.ref.key], **after}.items() if value is not None
                    }
                case Deleted():
                    del state[event.ref.key]
                case _:
                    raise AssertionError(f"{type(event).__name__} is none of the classes")
    return state


def exported(store: Case) -> dict[str, dict[str, Any]]:
    return {row["key"]: row["properties"] for row in store.exported("P")}


def test_folding_events_by_their_public_classes_gives_the_state(case: NewCase) -> None:
    store = case("52-events-of-computed-values")
    store.run(1)

    assert folded(store) == exported(store)


def test_computed_values_that_change_and_go_are_updates(case: NewCase) -> None:
    store = case("52-events-of-computed-values")
    store.run(1)
    store.extract(2, p="id,name\n1,Bob\n2,\n")
    store.run(2)
    store.extract(3, p="id,name\n2,Eve\n")
    store.run(3)

    assert folded(store) == exported(store)
    assert exported(store) == {"2": {"K": "2", "L": "eve", "N": "Eve"}}


def exported_bytes(store: Case, step: int) -> bytes:
    """The state as it is printed, after what must hold in any store was checked."""
    for command in (["verify"], ["verify", "--derived"]):
        answer = store.command(*command, step=step)
        assert answer.status == 0, answer.err
    assert "Nothing had to be written" in store.command("replay", step=step).err
    return store.command("export", "P", "--format", "jsonl", step=step).out


def of_new_store(store: Case, step: int) -> bytes:
    """What a new store prints with the configuration and the extracts of a step."""
    new = Case(store.folder, f"sqlite:///{store.folder}/new-{step}.db", store._capture)
    assert new.run(step).status == 0
    return exported_bytes(new, step)


def test_a_type_that_changes_beside_another_value_is_a_change(case: NewCase) -> None:
    store = case("20-type-changed-beside-another")
    store.run(1)
    store.run(2)

    assert exported_bytes(store, 2) == of_new_store(store, 2)
    assert [(row["properties"]["V"], row["properties"]["C"]) for row in store.exported("P")] == [(3, "v=3"), (4, "v=4")]
    changes = store.command("changes", "--run", "2", "--format", "jsonl").documents
    assert {row["key"]: row["changes"]["V"]["after"] for row in changes if "V" in row["changes"]} == {"1": 3, "2": 4}


def test_a_type_that_changes_alone_is_a_change(case: NewCase) -> None:
    store = case("21-type-changed-alone")
    shutil.copytree(store.exports(1), store.exports(2))
    shutil.copytree(store.exports(1), store.exports(3))
    store.run(1)

    for step, value in ((2, b'"V":3,'), (3, b'"V":3.0,')):
        store.run(step)

        assert exported_bytes(store, step) == of_new_store(store, step)
        assert value in exported_bytes(store, step)
