"""A row that is set aside leaves its resource as it is, and its links too."""

from __future__ import annotations

from collections.abc import Callable, Iterator
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
    Property,
    PropertyMapping,
    PropertyRef,
    PropertyType,
    SynchronizeTask,
    TaskState,
    Thresholds,
)

Synchronize = Callable[..., TaskState]


@pytest.fixture
def engine(store_url: str, tmp_path: Path) -> Iterator[Engine]:
    number = PropertyRef("Person", "Number")
    configuration = Configuration(
        connectors=[Connector("HR", thresholds=Thresholds())],
        entity_types=[
            EntityType("Person", [Property("Number", is_key=True), Property("Hired", PropertyType.DATE_TIME)])
        ],
        associations=[
            EntityAssociation(
                "Manager",
                PropertyRef("Person", "Manager"),
                PropertyRef("Person", "Reports"),
                is_property2_collection=True,
            )
        ],
        entity_type_mappings=[
            EntityTypeMapping(
                "Person",
                "HR",
                "people",
                [PropertyMapping("Number", "number", is_primary_key=True), PropertyMapping("Hired", "hired")],
            )
        ],
        association_mappings=[EntityAssociationMapping("Manager", "HR", "people", "number", "manager", number, number)],
        jobs=[Job("Load", [SynchronizeTask(connector="HR", do_not_delete_changes=True)])],
    )
    with Engine.open(store_url, configuration=configuration, export_output=tmp_path) as opened:
        yield opened


@pytest.fixture
def synchronize(engine: Engine, tmp_path: Path) -> Synchronize:
    def run(*rows: str) -> TaskState:
        (tmp_path / "people.csv").write_text("\n".join(["number,hired,manager", *rows, ""]))
        return engine.run_job("Load").state

    return run


def managers(engine: Engine) -> dict[str, list[str]]:
    return {row.key: row.links.get("Manager", []) for row in engine.export_resources("Person")}


FIRST_DAY = ("1,2020-01-01,", "2,2020-01-01,1", "3,2020-01-01,1", "4,2020-01-01,1")


@pytest.mark.parametrize(
    "rows",
    [
        pytest.param(("3,soon,2",), id="a value that cannot be converted"),
        pytest.param(("3,soon,",), id="a value that cannot be converted, and no manager"),
        pytest.param(("3,2020-01-01,2", "3,2021-01-01,4"), id="a key that stands in two rows"),
    ],
)
def test_a_resource_whose_row_is_set_aside_keeps_its_links(
    engine: Engine, synchronize: Synchronize, rows: tuple[str, ...]
) -> None:
    synchronize(*FIRST_DAY)

    state = synchronize(*FIRST_DAY[:2], *rows, "4,2020-01-01,2")

    assert state is TaskState.WARNING
    assert managers(engine) == {"1": [], "2": ["1"], "3": ["1"], "4": ["2"]}


def test_a_duplicate_row_still_changes_the_link(engine: Engine, synchronize: Synchronize) -> None:
    synchronize(*FIRST_DAY)

    state = synchronize(*FIRST_DAY[:2], "3,2020-01-01,2", "3,2020-01-01,2", FIRST_DAY[3])

    assert state is TaskState.WARNING
    assert managers(engine)["3"] == ["2"]


def test_a_link_kept_for_a_row_set_aside_keeps_the_only_place_at_its_end(store_url: str, tmp_path: Path) -> None:
    """A head of one department may not become the head of another while nobody can say that the first lets go."""
    code, number = PropertyRef("Department", "Code"), PropertyRef("Person", "Number")
    configuration = Configuration(
        connectors=[Connector("HR", thresholds=Thresholds())],
        entity_types=[
            EntityType("Person", [Property("Number", is_key=True)]),
            EntityType("Department", [Property("Code", is_key=True), Property("Since", PropertyType.DATE_TIME)]),
        ],
        associations=[EntityAssociation("Head", PropertyRef("Department", "Head"), PropertyRef("Person", "HeadOf"))],
        entity_type_mappings=[
            EntityTypeMapping("Person", "HR", "people", [PropertyMapping("Number", "number", is_primary_key=True)]),
            EntityTypeMapping(
                "Department",
                "HR",
                "departments",
                [PropertyMapping("Code", "code", is_primary_key=True), PropertyMapping("Since", "since")],
            ),
        ],
        association_mappings=[EntityAssociationMapping("Head", "HR", "departments", "code", "head", code, number)],
        jobs=[Job("Load", [SynchronizeTask(connector="HR", do_not_delete_changes=True)])],
    )
    (tmp_path / "people.csv").write_text("number\n1\n2\n")
    with Engine.open(store_url, configuration=configuration, export_output=tmp_path) as engine:
        (tmp_path / "departments.csv").write_text("code,since,head\nB,2020-01-01,1\nA,2020-01-01,2\n")
        engine.run_job("Load")
        (tmp_path / "departments.csv").write_text("code,since,head\nB,soon,2\nA,2020-01-01,1\n")

        run = engine.run_job("Load")

        heads = {row.key: row.links.get("Head") for row in engine.export_resources("Department")}
        assert heads == {"A": None, "B": ["1"]}
        reasons = [row.reason for row in engine.run(run.number).set_aside]
        assert len(reasons) == 2
        assert reasons[0].startswith("the date is not written as expected: yyyy-MM-dd")
        assert reasons[1] == "Head allows one link here and another one was kept"
