"""A delta leaves what its rows leave one after another: all short sequences, against plain Python."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import product
from pathlib import Path

import pytest
from attrs import evolve

from deltamark import EntityType, Property, PropertyType
from tests.application.synchronization.row_order import (
    BAD,
    ENDS,
    LinkRow,
    Pairs,
    ResourceRow,
    Resources,
    Source,
    Staff,
    StaffRow,
    configuration,
    sequences,
    staff_configuration,
)
from tests.stores import NewStore


@pytest.fixture
def source(new_store: NewStore, tmp_path: Path) -> Iterator[Source]:
    made = Source(new_store(), tmp_path / "source", configuration(ENDS))
    yield made
    made.engine.close()


# Each sequence has resources of its own, so that thousands of them are one delta.

RESOURCE_ROWS = [
    ResourceRow(key, command, sets)
    for key in (0, 1)
    for command, sets in [
        ("insert", "A"),
        ("update", "B"),
        ("merge", "A"),
        ("merge", "B"),
        ("delete", ""),
        (BAD, "A"),
        ("insert", BAD),
        ("update", BAD),
    ]
]
SPELLINGS = {"insert": ["insert", "ADD", " Insert "], BAD: ["", "remove"]}


def cells(name: str, number: int, row: ResourceRow) -> list[str]:
    spellings = SPELLINGS.get(row.command, [row.command])
    values = {"A": "", "B": "", BAD: ""} | ({row.sets: str(number)} if row.sets else {})
    return [
        f"{name}-{row.key}",
        values["A"],
        values["B"],
        "x" if values[BAD] else "",
        spellings[number % len(spellings)],
    ]


def test_rows_of_resources_are_applied_in_their_order(source: Source) -> None:
    # Of the two resources of a sequence, the first exists before.
    cases = list(sequences(RESOURCE_ROWS, 3))
    source.run("Load", items=[[f"{name}-0", "old", "old", ""] for name in range(len(cases))])
    expected: dict[str, dict[str, str]] = {}
    aside: set[int] = set()
    rows: list[list[str]] = []
    for name, case in enumerate(cases):
        resources = Resources({0: {"A": "old", "B": "old"}})
        resources.apply(case)
        expected |= {f"{name}-{key}": {"Key": f"{name}-{key}", **state} for key, state in resources.states.items()}
        aside |= {len(rows) + number for number in resources.set_aside}
        rows += [cells(str(name), number, row) for number, row in enumerate(case)]

    run = source.run("Delta", items=rows)

    assert source.states("Item") == expected
    assert source.set_aside(run) == {"items": aside}
    changed = run.counts.inserted + run.counts.updated + run.counts.deleted
    assert changed == len(list(source.engine.changes(run=run.number)))
    assert source.engine.verify().is_sound


def link_rows(groups: str, users: str) -> list[LinkRow]:
    rows = []
    for group in groups:
        rows += [LinkRow("insert", group, user) for user in users]
        rows += [LinkRow("update", group), LinkRow("merge", group), LinkRow("delete", group)]
        rows += [LinkRow("delete", group, users[0]), LinkRow(BAD, group, users[0])]
    return rows


# The groups G and H and the users a and b exist; m does not. G has a.
LINK_ROWS = link_rows("GH", "abm")


REPLACING_ROWS = [
    *(LinkRow("replace", "G", user) for user in ("a", "b", "m", None)),
    LinkRow("insert", "G", "b"),
    LinkRow("delete", "G"),
    LinkRow(BAD, "G", "a"),
    LinkRow("replace", "H", "a"),
]


@pytest.mark.slow  # runs a job for each sequence of rows
@pytest.mark.parametrize(
    ("association", "rows_of_links"),
    [
        pytest.param(name, rows, id=f"{name}-{what}", marks=[] if name == "Many" else pytest.mark.slow)
        for what, rows, names in (("added", LINK_ROWS, ENDS), ("replaced", REPLACING_ROWS, ("Many", "OneOfOne")))
        for name in names  # thousands of sequences
    ],
)
def test_rows_of_links_are_applied_in_their_order(
    source: Source, association: str, rows_of_links: list[LinkRow]
) -> None:
    cases = list(sequences(rows_of_links, 3))
    single = (not ENDS[association][0], not ENDS[association][1])
    names = [str(number) for number in range(len(cases))]
    groups = [[f"{name}-{end}"] for name in names for end in "GH"]
    users = [[f"{name}-{end}"] for name in names for end in "ab"]
    table = association.lower()
    source.run("Load", groups=groups, users=users, **{table: [[f"{name}-G", f"{name}-a"] for name in names]})
    links: dict[str, list[str]] = {}
    waiting: set[tuple[str, str]] = set()
    aside: set[int] = set()
    rows: list[list[str]] = []
    for name, case in zip(names, cases, strict=True):
        pairs = Pairs(single, [("G", "a")])
        pairs.apply(case)
        for first, second in pairs.pairs:
            if second == "m":
                waiting.add((f"{name}-{first}", f"{name}-{second}"))
                aside |= {len(rows) + max(n for n, row in enumerate(case) if (row.first, row.second) == (first, "m"))}
            else:
                links.setdefault(f"{name}-{first}", []).append(f"{name}-{second}")
        aside |= {len(rows) + number for number in pairs.set_aside}
        rows += [
            [f"{name}-{row.first}", f"{name}-{row.second}" if row.second else "", "?" if row.is_bad else row.command]
            for row in case
        ]

    run = source.run("Delta", **{table: rows})

    assert source.links("Group", association) == {group: sorted(users) for group, users in links.items()}
    assert source.waiting(association) == waiting
    assert source.set_aside(run) == {table: aside}
    again = source.run("Delta", **{table: rows})
    assert again.counts.changed == 0
    assert source.engine.verify().is_sound


@pytest.mark.parametrize(
    ("rows", "expected"),
    [
        ([("x", "replace"), ("2", "replace")], ["1", "2"]),  # the first row may be one of its links
        ([("2", "replace"), ("x", "insert")], ["1", "2"]),
        ([("x", "insert"), ("2", "replace")], ["2"]),  # whatever it was, what replaces comes later
    ],
)
@pytest.mark.parametrize("new_store", ["sqlite"], indirect=True)
def test_what_replaces_removes_nothing_where_a_row_of_it_cannot_be_read(
    new_store: NewStore, tmp_path: Path, rows: list[tuple[str, str]], expected: list[str]
) -> None:
    made = configuration(["Many"])
    numbered = EntityType("User", [Property("Login", PropertyType.INT32, is_key=True)])
    others = [kind for kind in made.entity_types if kind.identifier != "User"]
    source = Source(new_store(), tmp_path / "source", evolve(made, entity_types=[*others, numbered]))
    with source.engine:
        source.run("Load", groups=[["G"]], users=[["1"], ["2"]], many=[["G", "1"]])

        source.run("Delta", many=[["G", *row] for row in rows])

        assert source.links("Group", "Many") == {"G": expected}


# Rows of resources that name their link in the same extract


@pytest.fixture
def staff(new_store: NewStore, tmp_path: Path) -> Iterator[Source]:
    made = Source(new_store(), tmp_path / "staff", staff_configuration())
    yield made
    made.engine.close()


STAFF_ROWS = [
    StaffRow(key, command, manager)
    for key in "pq"
    for command, manager in [
        ("insert", "pq".replace(key, "")),
        ("insert", ""),
        ("update", "z"),
        ("merge", "pq".replace(key, "")),
        ("merge", ""),
        ("delete", ""),
        ("delete", "z"),
    ]
]


@pytest.mark.slow  # thousands of sequences
def test_rows_of_resources_that_name_a_link_are_applied_in_their_order(staff: Source) -> None:
    # p, whose manager is q, exists before; q and z do not.
    cases = list(sequences(STAFF_ROWS, 3))
    staff.run("Load", people=[[f"{name}-p", *[f"{name}-q"] * 3] for name in range(len(cases))])
    links: dict[str, list[str]] = {}
    waiting, keys, aside = set(), set(), set()
    rows: list[list[str]] = []
    for name, case in enumerate(cases):
        people = Staff({"p": "q"})
        aside |= {len(rows) + number for number in people.apply(case)}
        keys |= {f"{name}-{key}" for key in people.managers}
        links |= {f"{name}-{key}": [f"{name}-{manager}"] for key, manager in people.links().items()}
        waiting |= {(f"{name}-{key}", f"{name}-{manager}") for key, manager in people.waiting().items()}
        rows += [
            [f"{name}-{row.key}", *[f"{name}-{row.manager}" if row.manager else ""] * 3, row.command] for row in case
        ]

    run = staff.run("Delta", people=rows)

    assert set(staff.states("Person")) == keys
    for association in ("Manager", "Team"):
        assert staff.links("Person", association) == links
        assert staff.waiting(association) == waiting
    # The same links the other way round: here rows name the manager first.
    assert staff.links("Person", "Boss") == {manager: [key] for key, (manager,) in links.items()}
    assert staff.waiting("Boss") == {(manager, key) for key, manager in waiting}
    assert aside <= staff.set_aside(run)["people"]
    assert staff.engine.verify().is_sound


# Resources and a table of pairs in one delta: the resources come first.

WORLD_ROWS = [(table, command) for table in ("group", "user") for command in ("delete", "insert")]
MEMBER_ROWS = [
    LinkRow("insert", "G", "a"),
    LinkRow("insert", "G", "b"),
    LinkRow("delete", "G", "a"),
    LinkRow("delete", "G"),
]


@pytest.mark.slow  # runs a job for each sequence of rows
@pytest.mark.parametrize("association", ["Many", "One"])
def test_resources_that_are_deleted_take_their_links_with_them(source: Source, association: str) -> None:
    cases = list(product(sequences(WORLD_ROWS, 3), [(), *sequences(MEMBER_ROWS, 1)]))
    names = [str(number) for number in range(len(cases))]
    table = association.lower()
    held = [[f"{n}-G", f"{n}-{end}"] for n in names for end in ("am" if association == "Many" else "a")]
    source.run(
        "Load",
        groups=[[f"{n}-G"] for n in names],
        users=[[f"{n}-{end}"] for n in names for end in "ab"],
        **{table: held},
    )
    groups, users, rows = [], [], []
    links: dict[str, list[str]] = {}
    waiting = set()
    for name, (world, members) in zip(names, cases, strict=True):
        there = {"G", "a", "b"}
        pairs = Pairs(
            (association == "One", False), [("G", "a"), ("G", "m")] if association == "Many" else [("G", "a")]
        )
        for kind, command in world:
            key = "G" if kind == "group" else "a"
            (groups if kind == "group" else users).append([f"{name}-{key}", command])
            there = there - {key} if command == "delete" else there | {key}
            if command == "delete":
                pairs.delete(key)
        pairs.apply(members)
        rows += [[f"{name}-G", f"{name}-{row.second}" if row.second else "", row.command] for row in members]
        for first, second in pairs.pairs:
            if {first, second} <= there:
                links.setdefault(f"{name}-{first}", []).append(f"{name}-{second}")
            else:
                waiting.add((f"{name}-{first}", f"{name}-{second}"))

    source.run("Delta", groups=groups, users=users, **{table: rows})

    assert source.links("Group", association) == {key: sorted(ends) for key, ends in links.items()}
    assert source.waiting(association) == waiting
    assert source.engine.verify().is_sound
