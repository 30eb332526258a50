"""A small company whose values are computed in parts, and its log."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from attrs import evolve

from deltamark import (
    Configuration,
    Connector,
    Engine,
    EntityAssociation,
    EntityAssociationMapping,
    EntityPropertyExpression,
    EntityType,
    EntityTypeMapping,
    Job,
    JobRun,
    Property,
    PropertyMapping,
    PropertyRef,
    PropertyType,
    SetRecentlyModifiedFlagTask,
    Step,
    SynchronizeTask,
    TaskState,
    UpdateEntityPropertyExpressionsTask,
)

PEOPLE = 24
EPOCH = datetime.fromtimestamp(0, UTC)
EXPRESSIONS = {"Twice": "p.Name || p.Name", "Boss": "p.Manager.Twice", "Number": "CAST(p.Name AS INTEGER) / 2"}


def configuration(**expressions: str) -> Configuration:
    """People, of whom each but the first has a manager; of their values, one reads that of the manager."""
    names = ["Code", "Name", *EXPRESSIONS]
    link = EntityAssociation(
        "Leads", PropertyRef("Person", "Manager"), PropertyRef("Person", "Team"), is_property2_collection=True
    )
    key = PropertyRef("Person", "Code")
    return Configuration(
        connectors=[Connector("HR")],
        entity_types=[
            EntityType(
                "Person",
                [
                    *(Property(name, is_key=name == "Code") for name in names),
                    *(Property(name, PropertyType.FOREIGN_KEY) for name in ("Manager", "Team")),
                ],
            )
        ],
        associations=[link],
        entity_type_mappings=[
            EntityTypeMapping(
                "Person",
                "HR",
                "people",
                [PropertyMapping("Code", "Code", is_primary_key=True), PropertyMapping("Name", "Name")],
            )
        ],
        association_mappings=[
            EntityAssociationMapping(
                "Leads", "HR", "people", PropertyRef("Person", "Code").property, "Manager", key, key
            )
        ],
        property_expressions=[
            EntityPropertyExpression(f"Person_{name}", "Person", name, expression=f"SQL:p: {text}")
            for name, text in {**EXPRESSIONS, **expressions}.items()
        ],
        tasks=[
            SynchronizeTask(connector="HR", do_not_delete_changes=True),
            SetRecentlyModifiedFlagTask(),
            UpdateEntityPropertyExpressionsTask(dirty=False, all_entity_type=True),
        ],
        jobs=[
            Job("Load", [Step("SynchronizeHR")]),
            Job("Compute", [Step("UpdateEntityPropertyExpressions")]),
        ],
    )


def opened(store: str, folder: Path, clock: Callable[[], datetime], **options: Any) -> Engine:
    """The company, synchronized."""
    exports = folder / "exports"
    exports.mkdir(exist_ok=True)
    rows = (f"p{n:02},{'x' if n == 17 else n},{'' if n == 1 else f'p{n // 2:02}'}" for n in range(1, PEOPLE + 1))
    (exports / "people.csv").write_text("".join(f"{row}\n" for row in ("Code,Name,Manager", *rows)))
    engine = Engine.open(
        store,
        configuration=options.pop("configuration", configuration()),
        export_output=exports,
        clock=clock,
        **options,
    )
    assert engine.run_job("Load").state is TaskState.COMPLETED
    return engine


def computed(engine: Engine) -> tuple[JobRun, list[tuple[Any, ...]]]:
    """A complete computation, and the log that it left, without its times: positions, resources, what changed, why."""
    run = engine.run_job("Compute", force=True)
    return run, [(c.position, c.kind, evolve(c.event, at=EPOCH)) for c in engine.changes()]
