"""One table of a delta holds resources and pairs: its rows mean what they say one after another."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
from attrs import evolve, frozen

from deltamark import (
    Configuration,
    EntityAssociationMapping,
    EntityType,
    EntityTypeMapping,
    Property,
    PropertyMapping,
    PropertyRef,
)
from tests.application.synchronization.row_order import (
    ENDS,
    LinkRow,
    Pairs,
    Source,
    configuration,
    sequences,
)
from tests.stores import NewStore


@frozen
class MixedRow:
    """A row that is about a group, a pair, or both.

    :param name: the group, which the row creates or deletes; "" if it only has a pair.
    """

    command: str
    name: str = ""
    group: str = ""
    user: str = ""

    @property
    def is_pair(self) -> bool:
        return bool(self.group)


ROWS = [
    *(MixedRow(command, name="G") for command in ("insert", "delete")),
    *(MixedRow("insert", group="G", user=user) for user in "ab"),
    MixedRow("delete", group="G", user="a"),
    MixedRow("delete", group="G"),
    MixedRow("insert", name="H", group="H", user="a"),
    MixedRow("delete", name="H", group="H", user="a"),
    MixedRow("merge", name="H", group="G", user="b"),
]


def mixed(association: str, *, by_mail: bool = False) -> Configuration:
    """Groups and their pairs from one table; pairs name groups by their key, or by another property."""
    made = configuration([association])
    group = [mapping for mapping in made.entity_type_mappings if mapping.entity_type != "Group"]
    properties = [PropertyMapping("Name", "name", is_primary_key=True)]
    if by_mail:
        properties.append(PropertyMapping("Mail", "mail", is_unique_key=True))
    (links,) = made.association_mappings
    ref = PropertyRef("Group", "Mail" if by_mail else "Name")
    return evolve(
        made,
        entity_types=[
            *(kind for kind in made.entity_types if kind.identifier != "Group"),
            EntityType("Group", [Property("Name", is_key=True), Property("Mail")]),
        ],
        entity_type_mappings=[*group, EntityTypeMapping("Group", "S", "mixed", properties)],
        association_mappings=[evolve(links, connection_table="mixed", entity_property_mapping1=ref)],
    )


@pytest.fixture(params=["Many", *(pytest.param(name, marks=pytest.mark.slow) for name in ENDS if name != "Many")])
def association(request: pytest.FixtureRequest) -> str:
    return request.param


class Oracle:
    """Groups and pairs to which rows are applied; G has a before."""

    def __init__(self, association: str) -> None:
        self.groups = {"G"}
        single = (not ENDS[association][0], not ENDS[association][1])
        self.pairs = Pairs(single, [("G", "a")])

    def apply(self, rows: Sequence[MixedRow]) -> None:
        for row in rows:
            if row.name and row.command == "delete":
                self.groups.discard(row.name)
                self.pairs.delete(row.name)
            elif row.name:
                self.groups.add(row.name)
            if row.is_pair:
                self.pairs.apply([LinkRow(row.command, row.group, row.user or None)])


@pytest.mark.parametrize("by_mail", [False, pytest.param(True, marks=pytest.mark.slow)])  # as many runs again
def test_rows_of_resources_and_pairs_of_one_table_are_applied_in_their_order(
    new_store: NewStore, tmp_path: Path, association: str, by_mail: bool
) -> None:
    cases = list(sequences(ROWS, 3))
    ending = "@" if by_mail else ""

    def cells(number: int, row: MixedRow) -> list[str]:
        named = f"{number}-{row.name}" if row.name else ""
        mail = [named and f"{named}@"] if by_mail else []
        pair = [f"{number}-{row.group}{ending}" if row.group else "", f"{number}-{row.user}" if row.user else ""]
        return [named, *mail, *pair]

    links: dict[str, list[str]] = {}
    waiting: set[tuple[str, str]] = set()
    groups: set[str] = set()
    rows: list[list[str]] = []
    for number, case in enumerate(cases):
        oracle = Oracle(association)
        oracle.apply(case)
        groups |= {f"{number}-{name}" for name in oracle.groups}
        for group, user in oracle.pairs.pairs:
            if group in oracle.groups:
                links.setdefault(f"{number}-{group}", []).append(f"{number}-{user}")
            else:
                waiting.add((f"{number}-{group}{ending}", f"{number}-{user}"))
        rows += [[*cells(number, row), row.command] for row in case]
    source = Source(new_store(), tmp_path / "source", mixed(association, by_mail=by_mail))

    with source.engine:
        before = [cells(number, MixedRow("", name="G", group="G", user="a")) for number in range(len(cases))]
        source.run("Load", users=[[f"{number}-{user}"] for number in range(len(cases)) for user in "ab"], mixed=before)
        source.run("Delta", mixed=rows)

        assert set(source.states("Group")) == groups
        assert source.links("Group", association) == {key: sorted(users) for key, users in links.items()}
        assert source.waiting(association) == waiting
        assert source.engine.verify().is_sound


# Pairs that create the resources at both ends


@pytest.fixture
def pairs(new_store: NewStore, tmp_path: Path) -> Iterator[Source]:
    made = configuration(["Many"])
    tables = {"Group": "group", "User": "user"}
    mappings = [
        evolve(
            mapping,
            connection_table="many",
            properties=[evolve(mapping.properties[0], connection_column=tables[mapping.entity_type])],
        )
        for mapping in made.entity_type_mappings
        if mapping.entity_type in tables
    ]
    source = Source(new_store(), tmp_path / "pairs", evolve(made, entity_type_mappings=mappings))
    yield source
    source.engine.close()


def test_pairs_that_create_both_ends_are_no_rows_of_one_of_them(pairs: Source) -> None:
    pairs.run("Delta", many=[["g", "a", "insert"], ["g", "b", "insert"], ["h", "a", "insert"]])

    assert pairs.links("Group", "Many") == {"g": ["a", "b"], "h": ["a"]}
    again = pairs.run("Load", many=[["g", "a"], ["g", "b"], ["h", "a"]])
    assert again.counts.changed == 0


def test_of_two_ends_in_one_table_the_rows_are_those_with_more_columns(new_store: NewStore, tmp_path: Path) -> None:
    # Each row is a user with a mail; that its group is named first makes it no row of the group.
    made = configuration(["Many"])
    user = EntityTypeMapping(
        "User",
        "S",
        "people",
        [PropertyMapping("Login", "login", is_primary_key=True), PropertyMapping("Mail", "mail")],
    )
    group = EntityTypeMapping("Group", "S", "people", [PropertyMapping("Name", "group", is_primary_key=True)])
    links = EntityAssociationMapping(
        "Many", "S", "people", "group", "login", PropertyRef("Group", "Name"), PropertyRef("User", "Login")
    )
    users = EntityType("User", [Property("Login", is_key=True), Property("Mail")])
    configured = evolve(
        made,
        entity_types=[*(kind for kind in made.entity_types if kind.identifier != "User"), users],
        entity_type_mappings=[user, group],
        association_mappings=[links],
    )
    source = Source(new_store(), tmp_path / "source", configured)

    with source.engine:
        source.run("Delta", people=[["a", "a@", "g", "insert"], ["b", "b@", "g", "insert"]])
        assert source.links("Group", "Many") == {"g": ["a", "b"]}

        source.run("Delta", people=[["a", "a@", "h", "insert"]])
        assert source.links("Group", "Many") == {"g": ["b"], "h": ["a"]}
