"""No second resource that looks the same as another: its row is set aside. Characters that a script needs are kept."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import product
from pathlib import Path

import pytest
from attrs import evolve

from deltamark import JobRun, PrepareSynchronizationTask, Step, SynchronizationMode, TaskState
from deltamark.domain.configuration.jobs import Job
from tests.application.synchronization.row_order import Source, configuration
from tests.stores import NewStore

pytestmark = pytest.mark.on_every_store


@pytest.fixture
def source(new_store: NewStore, tmp_path: Path) -> Iterator[Source]:
    configured = configuration(["Many"])
    initial = Job(
        "Initial",
        [
            PrepareSynchronizationTask(
                identifier="Fill", connector="S", synchronization_mode=SynchronizationMode.INITIAL
            ),
            Step("SynchronizeS"),
        ],
    )
    made = Source(new_store(), tmp_path / "source", evolve(configured, jobs=[*configured.jobs, initial]))
    yield made
    made.engine.close()


def reasons(source: Source, run: JobRun) -> list[tuple[int | None, str]]:
    return [(row.line, row.reason) for row in source.engine.run(run.number).set_aside]


def names(source: Source) -> dict[str, str | None]:
    return {key: state.get("A") for key, state in source.states("Item").items()}


WITHIN = ("\u200b", "\ufeff", "\u00ad", "\u200e", "\u200d", "\u2060", "\t")
COMMANDS = ("insert", "merge", "update", "delete")


def test_rows_of_a_delta_whose_key_only_looks_like_another_are_set_aside(source: Source) -> None:
    signs = list(product(WITHIN, COMMANDS))
    people = [f"A{number} b" if sign == "\t" else f"A{number}b" for number, (sign, _) in enumerate(signs)]
    source.run("Load", items=[[name, "old", "", ""] for name in people])

    keys = [f"A{number}{sign}b" for number, (sign, _) in enumerate(signs)]
    run = source.run("Delta", items=[[key, "new", "", "", signs[n][1]] for n, key in enumerate(keys)])

    assert names(source) == dict.fromkeys(people, "old")
    assert reasons(source, run) == [
        (line, f'the key, "{ascii(key)[1:-1]}", looks the same as "{name}", which is another')
        for line, (key, name) in enumerate(zip(keys, people, strict=True), 2)
    ]
    assert run.state is TaskState.WARNING


def test_blanks_of_other_kinds_and_accents_composed_otherwise_look_the_same(source: Source) -> None:
    source.run("Load", items=[["Jo Ann", "1", "", ""], ["Zo\u00eb", "2", "", ""]])

    run = source.run("Delta", items=[["Jo\u00a0Ann", "x", "", "", "insert"], ["Zoe\u0308", "x", "", "", "insert"]])

    assert names(source) == {"Jo Ann": "1", "Zo\u00eb": "2"}
    assert [line for line, _ in reasons(source, run)] == [2, 3]


def test_a_resource_is_not_deleted_before_a_row_that_may_be_about_it(source: Source) -> None:
    source.run("Load", items=[["Anna", "old", "", ""]])

    run = source.run("Delta", items=[["Anna", "", "", "", "delete"], ["An\u200bna", "new", "", "", "insert"]])

    assert names(source) == {"Anna": "old"}
    assert sorted(line for line, _ in reasons(source, run)) == [2, 3]


@pytest.mark.parametrize("job", ["Delta", "Initial"])
def test_of_two_new_keys_that_look_the_same_the_plain_one_is_taken(source: Source, job: str) -> None:
    command = ["insert"] if job == "Delta" else []

    run = source.run(job, items=[["An\u200bna", "odd", "", "", *command], ["Anna", "plain", "", "", *command]])

    assert names(source) == {"Anna": "plain"}
    assert [line for line, _ in reasons(source, run)] == [2]


def test_a_complete_extract_with_both_keys_says_that_both_are_resources(source: Source) -> None:
    source.run("Load", items=[["Anna", "old", "", ""], ["Bob", "", "", ""]])

    rows = [["Anna", "new", "", ""], ["Bob", "", "", ""], ["B\u200bob", "", "", ""]]
    run, again = source.run("Load", items=rows), source.run("Load", items=rows)

    assert names(source) == {"Anna": "new", "Bob": None, "B\u200bob": None}
    message = (
        'items.csv: the new key "B\\u200bob" looks the same as "Bob"; the extract holds both, so each is a resource'
    )
    assert run.tasks[0].messages == (message,)
    assert (again.state, again.tasks[0].messages) == (TaskState.COMPLETED, ())


def test_an_initial_load_sets_aside_what_looks_like_a_resource_that_is_there(source: Source) -> None:
    source.run("Load", items=[["Anna", "old", "", ""]])

    run = source.run("Initial", items=[["An\u200bna", "new", "", ""]])

    assert names(source) == {"Anna": "old"}
    assert [line for line, _ in reasons(source, run)] == [2]


def test_a_key_that_no_other_looks_like_is_the_spelling_of_its_source(source: Source) -> None:
    source.run("Delta", items=[["An\u200bna", "1", "", "", "insert"], ["Jo\u00a0Ann", "1", "", "", "insert"]])

    run = source.run("Delta", items=[["An\u200bna", "2", "", "", "update"], ["Jo\u00a0Ann", "", "", "", "delete"]])

    assert names(source) == {"An\u200bna": "2"}
    assert (run.state, reasons(source, run)) == (TaskState.COMPLETED, [])


SCRIPTS = [
    ("\u0645\u06cc\u200c\u062e\u0648\u0627\u0647\u0645", "\u0645\u06cc\u062e\u0648\u0627\u0647\u0645"),  # Persian
    ("\u0938\u094d\u200d\u092f", "\u0938\u094d\u092f"),  # Devanagari
    ("\U0001f468\u200d\U0001f469\u200d\U0001f467", "\U0001f468\U0001f469\U0001f467"),  # a family of emoji
]


def test_joiners_of_scripts_that_need_them_make_another_key(source: Source) -> None:
    source.run("Load", items=[[apart, "1", "", ""] for _, apart in SCRIPTS])

    run = source.run("Delta", items=[[joined, "2", "", "", "insert"] for joined, _ in SCRIPTS])

    assert names(source) == {**{apart: "1" for _, apart in SCRIPTS}, **{joined: "2" for joined, _ in SCRIPTS}}
    assert run.state is TaskState.COMPLETED


def test_links_of_a_value_that_only_looks_like_a_resource_are_reported(source: Source) -> None:
    source.run("Load", groups=[["g"]], users=[["Anna"], ["Bob"]], many=[["g", "Anna"]])

    run = source.run(
        "Delta", many=[["g", "An\u200bna", "delete"], ["g", "B\u00a0ob", "delete"], ["g", "Bo\u00adb", "insert"]]
    )

    assert source.links("Group", "Many") == {"g": ["Anna"]}
    assert reasons(source, run) == [
        (2, 'no User has this Login; it differs from "Anna" in invisible characters'),
        (4, 'no User has this Login; it differs from "Bob" in invisible characters'),
    ]


def test_links_in_the_row_of_a_look_alike_are_not_made(new_store: NewStore, tmp_path: Path) -> None:
    made = configuration(["Many"])
    group = next(mapping for mapping in made.entity_type_mappings if mapping.entity_type == "Group")
    others = [mapping for mapping in made.entity_type_mappings if mapping.entity_type != "Group"]
    own = evolve(group, connection_table="many", properties=[evolve(group.properties[0], connection_column="group")])
    source = Source(new_store(), tmp_path / "source", evolve(made, entity_type_mappings=[*others, own]))

    with source.engine:
        source.run("Load", users=[["a"], ["b"]], many=[["g", "a"]])
        run = source.run("Delta", many=[["g\u200b\u2060g", "b", "insert"], ["g\u200bg", "a", "insert"]])
        assert source.links("Group", "Many") == {"g": ["a"], "g\u200b\u2060g": ["b"]}
        assert [row.line for row in source.engine.run(run.number).set_aside] == [3]


def test_keys_without_such_characters_are_not_looked_at(source: Source, tmp_path: Path) -> None:
    rows = [[f"{name}{number}", "", "", ""] for name in ("Zo\u00eb ", "J\u00fcrgen-", "\u6c34") for number in range(3)]

    run = source.run("Load", items=rows)

    assert (run.state, len(names(source))) == (TaskState.COMPLETED, 9)
