"""Of one connector, some tables hold everything and others hold changes, in the same run."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from attrs import evolve

from deltamark import Connector, TaskState, Thresholds
from tests.application.synchronization.row_order import Source, configuration, with_complete_tables
from tests.stores import NewStore

NO_LIMITS = Thresholds()
NewSource = Callable[..., Source]


@pytest.fixture
def new_source(new_store: NewStore, tmp_path: Path) -> Iterator[NewSource]:
    """Gives a source of groups, users and members of which these tables are always complete."""
    made: list[Source] = []

    def new(
        *complete: str,
        limits: Thresholds = NO_LIMITS,
        of_items: Thresholds = NO_LIMITS,
    ) -> Source:
        configured = with_complete_tables(configuration(["Many"]), complete)
        item, *others = configured.entity_type_mappings
        configured = evolve(
            configured,
            connectors=[Connector("S", thresholds=limits)],
            entity_type_mappings=[evolve(item, thresholds=of_items), *others],
        )
        made.append(Source(new_store(), tmp_path / f"source{len(made)}", configured))
        made[-1].run("Load", groups=[["G"], ["H"]], users=[["a"], ["b"]], many=[["G", "a"], ["H", "b"]])
        return made[-1]

    yield new
    for source in made:
        source.engine.close()


@pytest.mark.on_every_store
def test_what_is_missing_is_deleted_in_whole_tables_alone(new_source: NewSource) -> None:
    source = new_source("users")

    source.run("Delta", groups=[["K", "insert"]], users=[["b"], ["c"]], many=[["G", "c", "insert"]])

    assert set(source.states("Group")) == {"G", "H", "K"}
    assert set(source.states("User")) == {"b", "c"}
    assert source.links("Group", "Many") == {"G": ["c"], "H": ["b"]}
    assert source.engine.verify().is_sound


@pytest.mark.on_every_store
def test_whole_links_of_resources_that_a_delta_changes(new_source: NewSource) -> None:
    source = new_source("many")

    run = source.run(
        "Delta", groups=[["G", "delete"], ["K", "insert"]], many=[["K", "a"], ["H", "b"], ["H", "c"], ["G", "b"]]
    )

    assert source.links("Group", "Many") == {"K": ["a"], "H": ["b"]}
    assert source.waiting("Many") == {("H", "c"), ("G", "b")}
    assert source.set_aside(run) == {"many": {2, 3}}
    source.run("Delta", groups=[["G", "insert"]], users=[["c", "insert"]], many=[["H", "b"], ["H", "c"], ["G", "b"]])
    assert source.links("Group", "Many") == {"G": ["b"], "H": ["b", "c"]}
    assert source.waiting("Many") == set()


def test_a_link_of_a_delta_waits_for_a_resource_of_a_whole_table(new_source: NewSource) -> None:
    source = new_source("users")

    source.run("Delta", users=[["a"], ["b"]], many=[["G", "c", "insert"], ["H", "a", "insert"]])
    assert source.waiting("Many") == {("G", "c")}
    source.run("Delta", users=[["b"], ["c"]])

    assert source.links("Group", "Many") == {"G": ["c"], "H": ["b"]}
    # As with a row that deletes a, its links are gone, also when it is created again.
    source.run("Delta", users=[["a"], ["b"], ["c"]])
    assert source.links("Group", "Many") == {"G": ["c"], "H": ["b"]}
    assert source.waiting("Many") == set()


def test_a_whole_table_without_rows_is_held_back(new_source: NewSource) -> None:
    source = new_source("users")

    run = source.attempt("Delta", groups=[["K", "insert"]])

    assert run.state is TaskState.BLOCKED
    assert "users.csv holds a header and no row, which would remove all 2 resources of User" in run.tasks[1].messages[0]
    assert set(source.states("Group")) == {"G", "H"}


@pytest.mark.on_every_store
def test_thresholds_count_whole_tables_and_deltas_together(new_source: NewSource) -> None:
    source = new_source("users", limits=Thresholds(maximum_deleted_lines=1))

    run = source.attempt("Delta", groups=[["H", "delete"]], users=[["b"]])

    assert run.state is TaskState.BLOCKED
    assert "2 resources would be deleted" in run.tasks[1].messages[0]
    source.engine.resume(run.number)
    assert (set(source.states("Group")), set(source.states("User"))) == ({"G"}, {"b"})


@pytest.mark.parametrize(
    "command", ["delete", *(pytest.param(name, marks=pytest.mark.slow) for name in ("insert", "update"))]
)
def test_the_percentage_of_a_delta_is_of_what_the_store_holds_of_the_type(new_source: NewSource, command: str) -> None:
    done = {"insert": "inserted", "update": "updated", "delete": "deleted"}[command]
    source = new_source("users", of_items=Thresholds(**{f"max_percentage_{done}_lines": 10}))
    source.run("Load", items=[[f"{number:02}", "", "", ""] for number in range(50)], users=[["a"]])
    keys = [f"new {number}" for number in range(6)] if command == "insert" else [f"{number:02}" for number in range(6)]
    rows = [[key, "A", "", "", command] for key in keys]

    held = source.attempt("Delta", items=rows, users=[["a"]])

    assert held.state is TaskState.BLOCKED
    assert f"6 {'of the 50 ' if command != 'insert' else ''}resources of Item" in held.tasks[1].messages[0]
    source.engine.cancel(held.number)
    source.run("Load", items=[[f"{number:02}", "", "", ""] for number in range(50)], users=[["a"]])
    assert source.attempt("Delta", items=rows[:5], users=[["a"]]).state is TaskState.COMPLETED


def test_only_complete_extracts_end_a_block_after_a_delta_was_dropped(new_source: NewSource) -> None:
    source = new_source("users", limits=Thresholds(maximum_deleted_lines=1))
    run = source.attempt("Delta", groups=[["H", "delete"]], users=[["b"]])
    source.engine.cancel(run.number)

    left_out = source.attempt("Delta", users=[["a"], ["b"]])
    assert left_out.state is TaskState.WARNING
    assert [item.connector for item in left_out.left_out] == ["S"]
    source.run("Load", groups=[["G"]], users=[["a"], ["b"]])

    assert source.attempt("Delta", users=[["a"], ["b"]], groups=[["K", "insert"]]).state is TaskState.COMPLETED
    assert set(source.states("Group")) == {"G", "K"}


def test_a_block_ends_with_a_delta_without_rows(new_source: NewSource) -> None:
    # Nothing of the deltas was lost: the next whole table repeats the rest.
    source = new_source("users", limits=Thresholds(maximum_deleted_lines=1))
    run = source.attempt("Delta", users=[["c"], ["d"]])
    assert run.state is TaskState.BLOCKED
    source.engine.cancel(run.number)

    assert source.attempt("Delta", users=[["a"], ["b"], ["c"]]).state is TaskState.COMPLETED
    assert set(source.states("User")) == {"a", "b", "c"}


def test_a_dry_run_shows_what_the_run_does(new_source: NewSource) -> None:
    source = new_source("users")
    rows = {"groups": [["G", "delete"]], "users": [["b"], ["c"]], "many": [["H", "c", "insert"]]}

    shown = source.attempt("Delta", dry_run=True, **rows)

    assert set(source.states("User")) == {"a", "b"}
    assert shown.counts == source.attempt("Delta", **rows).counts
    assert (set(source.states("Group")), set(source.states("User"))) == ({"H"}, {"b", "c"})
    assert source.links("Group", "Many") == {"H": ["b", "c"]}


def test_a_whole_table_with_the_command_column_is_refused(new_source: NewSource) -> None:
    source = new_source("users")
    source.complete = set()

    run = source.attempt("Delta", users=[["b", "insert"]])

    assert run.state is TaskState.FAILED
    assert "AlwaysComplete" in run.tasks[0].messages[0]
    assert set(source.states("User")) == {"a", "b"}
