"""Links compared before the lock leave what links compared under it leave, whoever joins and leaves."""

from __future__ import annotations

import csv
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from attrs import define
from hypothesis import given
from hypothesis import strategies as st

from deltamark import (
    Configuration,
    Connector,
    Engine,
    EntityAssociation,
    EntityAssociationMapping,
    EntityType,
    EntityTypeMapping,
    Job,
    Property,
    PropertyMapping,
    PropertyRef,
    PropertyType,
    SynchronizeTask,
    Thresholds,
)
from deltamark.application.synchronization import link_comparisons, synchronize
from deltamark.application.synchronization.link_comparisons import ComparedLinks
from tests.stores import NewStore
from tests.tiers import law

Day = dict[str, list[tuple[str, str]]]
_LINK = PropertyType.FOREIGN_KEY
_KEY = PropertyRef("Person", "Name")


def people_with_managers(*, single: bool = False) -> Configuration:
    """People, each with managers who are people, too; and with teams.

    :param single: whether a person has one subordinate at most, so that rows compete.
    """
    team = PropertyRef("Team", "Name")
    links = [Property("Managers", _LINK), Property("Reports", _LINK), Property("Teams", _LINK)]
    return Configuration(
        connectors=[Connector("HR", thresholds=Thresholds())],
        entity_types=[
            EntityType("Person", [Property("Name", is_key=True), *links]),
            EntityType("Team", [Property("Name", is_key=True), Property("Members", _LINK)]),
        ],
        associations=[
            EntityAssociation(
                "Managed", PropertyRef("Person", "Managers"), PropertyRef("Person", "Reports"),
                is_property1_collection=True, is_property2_collection=not single,
            ),
            EntityAssociation(
                "InTeam", PropertyRef("Person", "Teams"), PropertyRef("Team", "Members"),
                is_property1_collection=True, is_property2_collection=True,
            ),
        ],
        entity_type_mappings=[
            EntityTypeMapping("Person", "HR", "people", [PropertyMapping("Name", "id", is_primary_key=True)]),
            EntityTypeMapping("Team", "HR", "teams", [PropertyMapping("Name", "id", is_primary_key=True)]),
        ],
        association_mappings=[
            EntityAssociationMapping("Managed", "HR", "managed", "id", "other", _KEY, _KEY),
            EntityAssociationMapping("InTeam", "HR", "members", "id", "other", _KEY, team),
        ],
        jobs=[Job("All", [SynchronizeTask(connector="HR", do_not_delete_changes=True)])],
    )  # fmt: skip


@define
class Stores:
    """Two stores with the same extracts; the second compares links under the lock."""

    engines: list[Engine]
    folder: Path

    def day(self, people: str, teams: str, managed: list[str], members: list[str]) -> None:
        for table, header, rows in (
            ("people", ["id"], [[name] for name in people]),
            ("teams", ["id"], [[name] for name in teams]),
            ("managed", ["id", "other"], [list(pair) for pair in managed]),
            ("members", ["id", "other"], [list(pair) for pair in members]),
        ):
            with (self.folder / f"{table}.csv").open("w", newline="") as file:
                csv.writer(file).writerows([header, *rows])
        runs = []
        for number, engine in enumerate(self.engines):
            with under_the_lock() if number else during():
                runs.append(engine.run_job("All", force=True, force_read=True))
        first, second = ([(task.state, task.counts, task.set_aside) for task in run.tasks] for run in runs)
        assert first == second
        assert told(self.engines[0]) == told(self.engines[1])
        assert self.engines[0].verify().is_sound


@contextmanager
def during() -> Iterator[None]:
    """Nothing is altered."""
    yield


@contextmanager
def under_the_lock() -> Iterator[None]:
    """No links are compared before the transaction."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(synchronize, "compared_before", lambda *_: {})
        yield


def told(engine: Engine) -> list[Any]:
    with engine._services.store.reading() as reading:
        log = [
            (position, type(event).__name__, event.originator_id, event.originator_version, event.ref, event.cause)
            for position, event in reading.changes(0, None)
        ]
        waiting = [sorted(reading.waiting_links(name)) for name in ("Managed", "InTeam")]
    states = [[(row.key, row.links) for row in engine.export_resources(name)] for name in ("Person", "Team")]
    return [log, waiting, states]


@pytest.fixture
def new_stores(new_store: NewStore, tmp_path: Path) -> Iterator[Callable[..., Stores]]:
    made: list[Stores] = []

    def new(*, single: bool = False) -> Stores:
        folder = tmp_path / str(len(made))
        folder.mkdir(exist_ok=True)
        definition = people_with_managers(single=single)
        engines = [Engine.open(new_store(), configuration=definition, export_output=folder) for _ in range(2)]
        made.append(Stores(engines, folder))
        return made[-1]

    yield new
    for stores in made:
        for engine in stores.engines:
            engine.close()


_people = st.lists(st.sampled_from("edcba"), unique=True, min_size=1).map("".join)
_pairs = st.lists(st.tuples(st.sampled_from("eabcd"), st.sampled_from("badce")).map("".join), max_size=6)
_members = st.lists(st.tuples(st.sampled_from("abcde"), st.sampled_from("xyz")).map("".join), max_size=4)
_day = st.tuples(_people, st.sampled_from(["x", "yx", "zxy", "z"]), _pairs, _members)


@law(15)
@given(days=st.lists(_day, min_size=2, max_size=4), single=st.booleans())
def test_links_compared_before_the_lock_leave_the_same(
    new_stores: Callable[..., Stores], days: list[tuple[str, str, list[str], list[str]]], single: bool
) -> None:
    stores = new_stores(single=single)
    for day in days:
        stores.day(*day)


DAYS = [("ab", "x", ["ab"], ["ax"]), ("ca", "xy", ["ca", "ac"], ["cy", "ax", "cx"]), ("bca", "y", ["bc", "cb"], ["by"])]


@pytest.mark.on_every_store
def test_who_joins_leaves_and_returns_has_the_same_links(new_stores: Callable[..., Stores]) -> None:
    stores = new_stores()
    for day in DAYS:
        stores.day(*day)
    people = {row.key: row.links for row in stores.engines[0].export_resources("Person")}
    assert {key: list(links["Managed"]) for key, links in people.items() if "Managed" in links} == {
        "b": ["c"],
        "c": ["b"],
    }


def test_provisional_streams_that_are_kept_are_found(
    new_stores: Callable[..., Stores], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ComparedLinks, "written", lambda self, *_: self)
    with pytest.raises(AssertionError):
        test_who_joins_leaves_and_returns_has_the_same_links(new_stores)


def test_links_of_who_leaves_that_are_compared_as_they_were_are_found(
    new_stores: Callable[..., Stores], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(link_comparisons, "_as_changed", lambda sides, changes: sides)
    with pytest.raises(AssertionError):
        test_who_joins_leaves_and_returns_has_the_same_links(new_stores)
