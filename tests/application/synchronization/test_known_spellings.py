"""Keys and names that count as one in several spellings: the spelling that the store knows stays."""

from __future__ import annotations

from pathlib import Path
from random import Random

import pytest
from attrs import evolve

from deltamark import Configuration, Engine, Thresholds
from deltamark.domain.configuration.value_formats import Comparison
from tests.application.synchronization import test_waiting_links as plain
from tests.stores import NewStore
from tests.tiers import examples

NAMES = ("ann", "bob", "cid")
TEAMS = ("red", "blue")


def ignoring_case(configuration: Configuration) -> Configuration:
    mappings = [
        evolve(m, properties=[evolve(item, comparison=Comparison.IGNORE_CASE) for item in m.properties])
        for m in configuration.entity_type_mappings
    ]
    return evolve(configuration, entity_type_mappings=mappings)


class House(plain.House):
    """A house in which letter case does not count."""

    def __init__(self, url: str, folder: Path) -> None:
        folder.mkdir(exist_ok=True)
        self._folder = folder
        self.engine = Engine.open(
            url, configuration=ignoring_case(plain.configuration(Thresholds())), export_output=folder
        )


@pytest.fixture
def house(store_url: str, tmp_path: Path):
    house = House(store_url, tmp_path / "extracts")
    yield house
    house.engine.close()


def test_a_delta_finds_resources_in_every_spelling(house):
    house.complete({"Ann": ("B1", "", ""), "Bob": ("B2", "ANN", "b1")}, {("Red", "ann"), ("RED", "BOB")}, {"Red"})

    house.delta(people=[("ANN", "b1", "bob", "B2", "update"), ("bOB", "b2", "", "", "merge")])

    assert house.links()["Person"] == {
        "Ann": {"Manager": ["Bob"], "Substitute": ["Bob"]},
        "Bob": {"Manager": ["Ann"], "Substitute": ["Ann"]},
    }
    assert house.links()["Team"] == {"Red": {"Member": ["Ann", "Bob"]}}
    (ann, _) = house.engine.export_resources("Person")
    assert dict(ann.values) == {"Number": "Ann", "Badge": "B1"}

    house.delta(people=[("aNN", "", "", "", "delete")])

    assert list(house.links()["Person"]) == ["Bob"]


def test_a_name_that_gets_another_value_is_updated_and_one_in_another_spelling_is_not(house):
    house.complete({"Ann": ("B1", "", "")}, set(), set())

    house.complete({"ann": ("b1", "", "")}, set(), set())
    house.complete({"ANN": ("b7", "", "")}, set(), set())

    (ann,) = house.engine.export_resources("Person")
    assert dict(ann.values) == {"Number": "Ann", "Badge": "b7"}
    changes = [change.event for change in house.engine.changes()]
    assert [type(event).__name__ for event in changes] == ["Created", "Updated"]


def test_a_waiting_link_finds_the_resource_in_another_spelling(house):
    house.delta(people=[("Bob", "B2", "ANN", "b1", "insert")], members=[("red", "ann", "insert")])

    house.delta(people=[("Ann", "B1", "", "", "insert")], teams=[("RED", "insert")])

    (bob,) = (links for key, links in house.links()["Person"].items() if key.lower() == "bob")
    assert {name: [key.lower() for key in keys] for name, keys in bob.items()} == {
        "Manager": ["ann"],
        "Substitute": ["ann"],
    }
    assert [key.lower() for links in house.links()["Team"].values() for key in links["Member"]] == ["ann"]
    assert not house.waiting("Manager") | house.waiting("Substitute") | house.waiting("Member")


def test_a_key_of_which_rows_differ_keeps_its_resource(house):
    house.complete({"Ann": ("B1", "", "")}, set(), set())

    house.complete({"ann": ("B1", "", ""), "ANN": ("B2", "", "")}, set(), set())

    (ann,) = house.engine.export_resources("Person")
    assert dict(ann.values) == {"Number": "Ann", "Badge": "B1"}
    reasons = [row.reason for row in house.engine.run(2).set_aside]
    assert reasons == [
        "the key also occurs in line 3, in another spelling",
        "the key also occurs in line 2, in another spelling",
    ]


@pytest.mark.slow  # runs jobs for each example
@pytest.mark.law
@pytest.mark.parametrize("seed", range(examples(10)))
def test_law_the_spelling_of_keys_and_names_makes_no_difference(seed: int, new_store: NewStore, tmp_path: Path) -> None:
    random = Random(seed)
    exact, spelled = plain.House(new_store(), tmp_path / "a"), House(new_store(), tmp_path / "b")
    for _ in range(3):
        if random.random() < 0.3:
            people, members, teams = _complete(random)
            exact.complete(people, members, teams, force=True)
            spelled.complete(
                {_spelled(random, n): tuple(_spelled(random, v) for v in p) for n, p in people.items()},
                {tuple(_spelled(random, v) for v in pair) for pair in members},
                {_spelled(random, team) for team in teams},
                force=True,
            )
        else:
            people, members, teams = _delta(random)
            exact.delta(people, members, teams)
            spelled.delta(
                *(
                    [(*(_spelled(random, v) for v in row[:-1]), row[-1]) for row in rows]
                    for rows in (people, members, teams)
                )
            )

        assert _folded(spelled) == _folded(exact)
    exact.engine.close()
    spelled.engine.close()


def _in_other_spellings(random: Random, rows: list[tuple[str, ...]]) -> list[tuple[str, ...]]:
    return [(*(_spelled(random, value) for value in row[:-1]), row[-1]) for row in rows]


def _complete(random: Random):
    there = [name for name in NAMES if random.random() < 0.7]
    people = {name: (f"b{name}", *(_maybe(random, prefix) for prefix in ("", "b"))) for name in there}
    teams = {team for team in TEAMS if random.random() < 0.7}
    members = {(team, name) for team in TEAMS for name in NAMES if random.random() < 0.4}
    return people, members, teams


def _delta(random: Random):
    commands = ("insert", "update", "merge", "delete")
    people = [
        (name, f"b{name}", _maybe(random, ""), _maybe(random, "b"), random.choice(commands))
        for name in NAMES
        if random.random() < 0.5
    ]
    members = [
        (team, name, random.choice(("insert", "delete"))) for team in TEAMS for name in NAMES if random.random() < 0.3
    ]
    return people, members, [(team, random.choice(commands)) for team in TEAMS if random.random() < 0.4]


def _maybe(random: Random, prefix: str) -> str:
    return prefix + random.choice(NAMES) if random.random() < 0.5 else ""


def _spelled(random: Random, text: str) -> str:
    return "".join(random.choice((char.lower(), char.upper())) for char in text)


def _folded(house: plain.House):
    return {
        kind: {
            row.key.lower(): (
                {name: str(value).lower() for name, value in row.values.items()},
                {name: sorted(key.lower() for key in keys) for name, keys in row.links.items() if keys},
            )
            for row in house.engine.export_resources(kind)
        }
        for kind in ("Person", "Team")
    }
