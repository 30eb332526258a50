"""The counts of `verify`, and the events that a program folds, are those of the state."""

from __future__ import annotations

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
