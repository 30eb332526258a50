"""What is deleted because nothing feeds it leaves what a store would hold that never read it."""

from __future__ import annotations

import csv
from itertools import count
from pathlib import Path
from typing import Any

import pytest
from attrs import frozen
from hypothesis import given
from hypothesis import strategies as st

from deltamark import (
    ComputeCorrelationKeysTask,
    Configuration,
    Connector,
    Engine,
    EntityAssociation,
    EntityAssociationMapping,
    EntityPropertyExpression,
    EntityType,
    EntityTypeMapping,
    Job,
    Property,
    PropertyMapping,
    PropertyRef,
    ResourceCorrelationRule,
    ResourceType,
    SetRecentlyModifiedFlagTask,
    Step,
    SynchronizeTask,
    TaskState,
    Thresholds,
    UpdateEntityPropertyExpressionsTask,
)
from tests.store.tables import tables
from tests.stores import NewStore
from tests.tiers import law

DERIVING = (
    SetRecentlyModifiedFlagTask(),
    UpdateEntityPropertyExpressionsTask(all_entity_type=True, dirty=True),
    ComputeCorrelationKeysTask(all_entity_type=True, dirty=True),
)
CONNECTORS = ("HR", "Badges", "Links")
READING = {
    name: SynchronizeTask(identifier=f"Read{name}", connector=name, do_not_delete_changes=True) for name in CONNECTORS
}


def configuration(fed: set[str], links_of: str) -> Configuration:
    """People and badges, and who carries which; no job synchronizes the connectors that are not fed.

    :param links_of: the connector of the links.
    """
    deriving = [Step(task.identifier) for task in DERIVING]
    return Configuration(
        connectors=[Connector(name, thresholds=Thresholds()) for name in CONNECTORS],
        entity_types=[
            EntityType("Person", [Property("No", is_key=True), Property("Name"), Property("Codes")]),
            EntityType("Badge", [Property("No", is_key=True), Property("Code"), Property("Owner")]),
        ],
        entity_type_mappings=[
            EntityTypeMapping(
                "Person", "HR", "people",
                [PropertyMapping("No", "no", is_primary_key=True), PropertyMapping("Name", "v")],
            ),
            EntityTypeMapping(
                "Badge", "Badges", "badges",
                [PropertyMapping("No", "no", is_primary_key=True), PropertyMapping("Code", "v")],
            ),
        ],
        associations=[
            EntityAssociation(
                "Carries", PropertyRef("Person", "Badges"), PropertyRef("Badge", "People"),
                is_property1_collection=True, is_property2_collection=True,
            )
        ],
        association_mappings=[
            EntityAssociationMapping(
                "Carries", links_of, "links", "p", "b", PropertyRef("Person", "No"), PropertyRef("Badge", "No")
            )
        ],
        property_expressions=[
            EntityPropertyExpression("C", "Person", "Codes", expression="SQL:p: list_string_agg(p.Badges.Code, '/')"),
            EntityPropertyExpression("O", "Badge", "Owner", expression="SQL:b: list_string_agg(b.People.Name, '/')"),
        ],
        resource_types=[ResourceType("Owner", "Person", "Badge")],
        correlation_rules=[ResourceCorrelationRule("Owner", source_binding="Codes", target_binding="Code")],
        tasks=[*DERIVING, *READING.values()],
        jobs=[
            Job("Complete", [*(Step(f"Read{name}") for name in CONNECTORS if name in fed), *deriving]),
            Job("Derive", deriving, is_incremental=True),
        ],
    )  # fmt: skip


@frozen
class Data:
    """What the extracts hold: the value of each resource, and who carries which badge, also badges that are not."""

    people: Any
    badges: Any
    links: Any

    def write(self, folder: Path) -> None:
        folder.mkdir()
        for name, rows in (("people", self.people), ("badges", self.badges)):
            write(folder / f"{name}.csv", ["no", "v"], [[str(number), value] for number, value in enumerate(rows)])
        write(folder / "links.csv", ["p", "b"], [[str(person), str(badge)] for person, badge in sorted(self.links)])


def write(file: Path, header: list[str], rows: list[list[str]]) -> None:
    with file.open("w", newline="") as stream:
        csv.writer(stream).writerows([header, *rows])


ROWS = st.lists(st.sampled_from(["a", "b", "c"]), max_size=4)
DATA = st.builds(Data, ROWS, ROWS, st.sets(st.tuples(st.integers(0, 4), st.integers(0, 4)), max_size=6))

_folders = count(1)


def run(engine: Engine, job: str) -> None:
    done = engine.run_job(job, force=True)
    assert done.state in (TaskState.COMPLETED, TaskState.WARNING), [task.messages for task in done.tasks]


def held(url: str, engine: Engine) -> dict[str, Any]:
    """What a store holds: values, links, keys, and which links wait."""
    found: dict[str, Any] = {
        name: {row.key: (dict(row.values), dict(row.links)) for row in engine.export_resources(name)}
        for name in ("Person", "Badge")
    }
    found["keys"] = sorted((key.rule, key.side, key.key, key.value) for key in engine.keys(None))
    found["waiting"] = tables(url)["awaited"]
    assert engine.verify().is_sound
    assert not engine.verify_derived().differences
    return found


@pytest.mark.slow  # runs jobs for each example
@law(6)
@given(
    data=DATA,
    gone=st.sets(st.sampled_from(CONNECTORS), min_size=1, max_size=2),
    links_of=st.sampled_from(["Badges", "Links"]),
    flags_first=st.booleans(),
)
def test_what_is_decommissioned_is_as_if_it_never_was(
    new_store: NewStore, tmp_path: Path, data: Data, gone: set[str], links_of: str, flags_first: bool
) -> None:
    folder, url = tmp_path / f"files-{next(_folders)}", new_store()
    data.write(folder)
    whole, left = configuration(set(CONNECTORS), links_of), configuration(set(CONNECTORS) - gone, links_of)
    with Engine.open(url, configuration=whole, export_output=folder) as engine:
        run(engine, "Complete")
        everything = held(url, engine)

    with Engine.open(url, configuration=left, export_output=folder) as engine:
        engine.adopt()
        if flags_first:
            run(engine, "Derive")
        for connector in sorted(gone):
            engine.decommission(connector, "delete", reason="it is gone", force=True)
            assert engine.verify().is_sound
        assert engine.health().unfed == ()
        run(engine, "Derive")
        after = held(url, engine)

    fresh = new_store()
    with Engine.open(fresh, configuration=left, export_output=folder) as engine:
        run(engine, "Complete")
        assert after == held(fresh, engine)

    with Engine.open(url, configuration=whole, export_output=folder) as engine:
        run(engine, "Complete")
        assert held(url, engine) == everything
