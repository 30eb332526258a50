"""The past of a log in which no configuration was kept: what the present one lacks is shown all the same."""

from __future__ import annotations

from pathlib import Path

import pytest

from deltamark import (
    Configuration,
    Connector,
    Engine,
    EntityType,
    EntityTypeMapping,
    Property,
    PropertyMapping,
    UsageError,
)
from tests.store.released import bring_back

BEFORE_ADOPTIONS = 10

OTHER = Configuration(
    connectors=[Connector("S")],
    entity_types=[EntityType("Person", [Property("Number", is_key=True)])],
    entity_type_mappings=[
        EntityTypeMapping("Person", "S", "people", [PropertyMapping("Number", "number", is_primary_key=True)])
    ],
)
"""Without the type Team, and without all properties of a person but the key."""


@pytest.fixture
def engine(store_url: str, tmp_path: Path):
    bring_back(BEFORE_ADOPTIONS, store_url)
    with Engine.open(store_url, configuration=OTHER, export_output=tmp_path) as opened:
        yield opened


def test_values_of_properties_that_nothing_describes_are_shown(engine: Engine) -> None:
    for at in (None, max(horizon.position for horizon in engine.horizons())):
        table = engine.export("Person", at)
        shown = dict(zip(*(table.column(name).to_pylist() for name in ("Number", "Name")), strict=True))
        assert shown == {row.key: row.values.get("Name") for row in engine.export_resources("Person", at)}
        assert shown["1"] in ("Anna", "Anne")
        assert {name for row in engine.export_resources("Person", at) for name in row.values} <= set(table.column_names)


def test_a_type_that_nothing_describes_is_shown_with_its_links(engine: Engine) -> None:
    teams = list(engine.export_resources("Team"))

    assert teams
    assert {name for team in teams for name in team.links} == {
        association.identifier for association in engine.type_model("Team").associations
    }
    assert any(team.links for team in teams)


def test_an_audit_reads_what_nothing_describes(engine: Engine) -> None:
    held = list(engine.audit("Person", "Age", 0, engine.position(), key="1"))

    assert [value.value for value in held] == [40]
    with pytest.raises(UsageError, match="Agee"):
        engine.audit("Person", "Agee", 0, engine.position())
