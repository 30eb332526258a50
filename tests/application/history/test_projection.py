"""The past by the present model: links of associations that have another shape now are left out and counted."""

from __future__ import annotations

from pathlib import Path

import pytest

from deltamark import (
    Configuration,
    Connector,
    Engine,
    EntityAssociation,
    EntityAssociationMapping,
    EntityType,
    EntityTypeMapping,
    Job,
    Misfit,
    Property,
    PropertyMapping,
    PropertyRef,
    PropertyType,
    SynchronizeTask,
    Thresholds,
)
from tests.stores import NewStore

TYPES = ("Team", "Person", "Office")
LINK = PropertyType.FOREIGN_KEY


def configuration(*, starts: str = "Team", leads: str = "Person", several: bool = True) -> Configuration:
    return Configuration(
        connectors=[Connector("S", thresholds=Thresholds())],
        entity_types=[
            EntityType(name, [Property("K", is_key=True), Property("To", LINK), Property("From", LINK)])
            for name in TYPES
        ],
        associations=[
            EntityAssociation(
                "A",
                PropertyRef(starts, "To"),
                PropertyRef(leads, "From"),
                is_property1_collection=several,
                is_property2_collection=True,
            )
        ],
        entity_type_mappings=[
            EntityTypeMapping(name, "S", name, [PropertyMapping("K", "id", is_primary_key=True)]) for name in TYPES
        ],
        association_mappings=[
            EntityAssociationMapping("A", "S", "pairs", "a", "b", PropertyRef(starts, "K"), PropertyRef(leads, "K"))
        ],
        jobs=[Job("Load", [SynchronizeTask(connector="S", do_not_delete_changes=True)])],
    )


@pytest.mark.parametrize(
    ("now", "of", "reason"),
    [
        (configuration(several=False), "Team", "leads to one resource now"),
        (configuration(leads="Office"), "Team", "leads to Office now"),
        (configuration(starts="Office"), "Team", "does not start at Team now"),
        (configuration(), "Team", None),
    ],
    ids=["several to one", "other end", "other start", "the same"],
)
def test_links_of_another_shape_are_left_out_and_counted(new_store: NewStore, tmp_path: Path, now, of, reason) -> None:
    for name in TYPES:
        (tmp_path / f"{name}.csv").write_text("id\n1\n2\n")
    (tmp_path / "pairs.csv").write_text("a,b\n1,1\n1,2\n")
    url = new_store()
    with Engine.open(url, configuration=configuration(), export_output=tmp_path) as engine:
        engine.run_job("Load")
        at = engine.position()

    with Engine.open(url, configuration=now, export_output=tmp_path) as engine:
        (first, second) = engine.export_resources(of, at, model="now")
        assert engine.misfits(of, at) == ([] if reason is None else [Misfit(name="A", reason=reason, resources=1)])

    assert (first.links, second.links) == ({} if reason else {"A": ["1", "2"]}, {})


def test_links_of_another_type_with_the_same_keys_are_not_taken_for_those_of_a_type(
    new_store: NewStore, tmp_path: Path
) -> None:
    for name in TYPES:
        (tmp_path / f"{name}.csv").write_text("id\n1\n")
    (tmp_path / "pairs.csv").write_text("a,b\n1,1\n")
    url = new_store()
    with Engine.open(url, configuration=configuration(), export_output=tmp_path) as engine:
        engine.run_job("Load")
        at = engine.position()

    with Engine.open(url, configuration=configuration(starts="Office"), export_output=tmp_path) as engine:
        (office,) = engine.export_resources("Office", at, model="now")

    assert office.links == {}
