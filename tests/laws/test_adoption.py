"""Model edits: a plan is what an adoption does, and the store is what its log says and what a new one would hold."""

from __future__ import annotations

import csv
from collections import Counter
from collections.abc import Callable
from itertools import count, pairwise
from pathlib import Path
from typing import Any

import pytest
from attrs import evolve, frozen
from hypothesis import given
from hypothesis import strategies as st

from deltamark import (
    AdoptionPlan,
    Configuration,
    Connector,
    Engine,
    EntityAssociation,
    EntityAssociationMapping,
    EntityPropertyExpression,
    EntityType,
    EntityTypeMapping,
    Job,
    PrepareSynchronizationTask,
    Property,
    PropertyMapping,
    PropertyRef,
    PropertyType,
    SetRecentlyModifiedFlagTask,
    Step,
    SynchronizationMode,
    SynchronizeTask,
    TaskState,
    Thresholds,
    UpdateEntityPropertyExpressionsTask,
)
from deltamark.application.adoption.plan import adoption_waits_because
from tests.stores import NewStore
from tests.tiers import law

FILLED = ("A", "B")
"""The properties whose mapping, type and expression are edited."""

KINDS = (PropertyType.STRING, PropertyType.INT32, PropertyType.INT64, PropertyType.BYTE)
"""Types of which the texts of the extracts are the canonical ones: what was read as one is read as another."""


@frozen
class Filled:
    """How a property is filled: from the extract, by an expression over the other one, or not at all."""

    how: str
    kind: PropertyType = PropertyType.STRING


@frozen
class Kind:
    """An entity type: its key, and its other properties; those that are missing are not there."""

    key: str = "No"
    properties: Any = ()


@frozen
class Model:
    """A model: entity types by name, and whether each end of the association has several links; None without it."""

    types: Any
    ends: tuple[bool, bool] | None


HOW = st.sampled_from(["mapped", "mapped", "computed", "unfilled"])
FILLINGS = st.builds(Filled, HOW, st.sampled_from(KINDS))
TYPES = st.builds(
    lambda key, properties: Kind(key, tuple(sorted(properties.items()))),
    st.sampled_from(["No", "No", "Alt"]),
    st.dictionaries(st.sampled_from(FILLED), FILLINGS),
)
ENDS = st.none() | st.tuples(st.booleans(), st.booleans())
MODELS = st.builds(
    lambda person, team, ends: Model({"Person": person, **({"Team": team} if team else {})}, ends if team else None),
    TYPES,
    st.none() | TYPES | TYPES,
    ENDS,
)
VALUES = st.sampled_from(["", "1", "2", "30"])
ROWS = st.lists(st.tuples(VALUES, VALUES), max_size=4)
LINKS = st.sets(st.tuples(st.integers(0, 3), st.integers(0, 3)), max_size=6)


def configuration(model: Model) -> Configuration:
    types, mappings, expressions = [], [], []
    for name, kind in model.types.items():
        filled = dict(kind.properties)
        computed = {p for p in filled if filled[p].how == "computed"}
        own = [Property("No", is_key=kind.key == "No"), Property("Alt", is_key=kind.key == "Alt")]
        types.append(EntityType(name, [*own, *(Property(p, filled[p].kind) for p in filled)]))
        columns = [
            PropertyMapping("No", "no", is_primary_key=kind.key == "No", is_unique_key=kind.key != "No"),
            PropertyMapping("Alt", "alt", is_primary_key=kind.key == "Alt"),
            *(PropertyMapping(p, p.lower()) for p in filled if filled[p].how == "mapped"),
        ]
        mappings.append(EntityTypeMapping(name, "HR", name, columns))
        expressions += [EntityPropertyExpression(f"{name}{p}", name, p, expression="SQL:p: 7") for p in computed]
    ends = model.ends
    return Configuration(
        connectors=[Connector("HR", thresholds=Thresholds())],
        entity_types=types,
        entity_type_mappings=mappings,
        property_expressions=expressions,
        associations=[] if ends is None else [
            EntityAssociation("Membership", PropertyRef("Person", "Teams"), PropertyRef("Team", "Members"), *ends)
        ],
        association_mappings=[] if ends is None else [
            EntityAssociationMapping(
                "Membership", "HR", "Members", "p", "t", PropertyRef("Person", "No"), PropertyRef("Team", "No")
            )
        ],
        tasks=DERIVING,
        jobs=[
            Job(
                "Complete",
                [SynchronizeTask(identifier="Read", connector="HR", do_not_delete_changes=True), *STEPS],
            ),
            Job(
                "Delta",
                [
                    PrepareSynchronizationTask(
                        connector="HR", synchronization_mode=SynchronizationMode.INCREMENTAL, column_name="command"
                    ),
                    SynchronizeTask(identifier="Follow", connector="HR", do_not_delete_changes=True),
                    *STEPS,
                ],
                is_incremental=True,
            ),
            Job("Derive", STEPS),
        ],
    )  # fmt: skip


DERIVING = (
    SetRecentlyModifiedFlagTask(),
    UpdateEntityPropertyExpressionsTask(all_entity_type=True, dirty=True),
)
STEPS = [Step(task.identifier) for task in DERIVING]


@frozen
class Data:
    """What the extracts hold: the values of each resource, and which are linked."""

    rows: Any
    links: Any

    def write(self, folder: Path, command: str = "insert") -> None:
        folder.mkdir(exist_ok=True)
        for name, rows in self.rows.items():
            table = [[str(n), f"{name[0]}{9 - n}", *values, command] for n, values in enumerate(rows)]
            write(folder / f"{name}.csv", ["no", "alt", "a", "b", "command"], table)
        write(folder / "Members.csv", ["p", "t", "command"], [[*pair, command] for pair in sorted(self.links)])


def write(file: Path, header: list[str], rows: list[Any]) -> None:
    with file.open("w", newline="") as stream:
        csv.writer(stream).writerows([header, *rows])


DATA = st.builds(lambda people, teams, links: Data({"Person": people, "Team": teams}, links), ROWS, ROWS, LINKS)

_folders = count(1)


def opened(url: str, model: Model, folder: Path, **others: Any) -> Engine:
    return Engine.open(url, configuration=configuration(model), export_output=folder, **others)


def run(engine: Engine, job: str) -> None:
    done = engine.run_job(job, force=True)
    assert done.state in (TaskState.COMPLETED, TaskState.WARNING), [task.messages for task in done.tasks]


def state(engine: Engine) -> dict[Any, Any]:
    return {
        (kind.identifier, row.key): (dict(row.values), dict(row.links))
        for kind in engine.configuration.entity_types
        for row in engine.export_resources(kind.identifier)
    }


def planned(plan: AdoptionPlan) -> Counter[Any]:
    """What a plan says: resources and links by kind of change, and values by property."""
    said: Counter[Any] = Counter()
    for effect in plan.effects:
        for name in ("created", "deleted", "linked", "unlinked"):
            said[name] += getattr(effect, name)
        said["values"] += effect.converted + effect.removed + effect.unreadable
    said["updated"] = plan.updated
    return +said


def done(engine: Engine, after: int) -> Counter[Any]:
    """What the log says that an adoption did."""
    log: Counter[Any] = Counter()
    for change in engine.changes(after=after):
        log[change.kind] += 1
        if change.kind == "updated":
            log["values"] += len(change.event.changes)
        assert change.task == "*adopt*"
    return log


LIMITS = (0, 1, 5, 20, 30, 1000)


def waits(engine: Engine, limit: int) -> bool:
    """Whether the short way says that no run adopts the configuration of an engine by itself."""
    services = evolve(engine._services, adoption_limit=limit)
    with services.store.reading() as reading:
        return adoption_waits_because(services, reading) is not None


def with_rekeyed(model: Model, other: Model) -> bool:
    return any(kind.key != other.types[name].key for name, kind in model.types.items() if name in other.types)


def known(before: Model, after: Model) -> Callable[[dict[Any, Any]], dict[Any, Any]]:
    """Leaves of a state what can be known without reading extracts: what was filled before, or is computed."""
    was = {
        (name, item)
        for name, kind in before.types.items()
        for item, filled in kind.properties
        if filled.how == "mapped"
    }
    unknown = {
        (name, item)
        for name, kind in after.types.items()
        for item, filled in kind.properties
        if filled.how == "mapped" and (name, item) not in was
    }
    no_links = before.ends is None or any(
        now and not old for old, now in zip(before.ends, after.ends or (), strict=False)
    )

    def of(found: dict[Any, Any]) -> dict[Any, Any]:
        return {
            (name, key): ({p: v for p, v in values.items() if (name, p) not in unknown}, {} if no_links else links)
            for (name, key), (values, links) in found.items()
            if name in before.types
        }

    return of


@pytest.mark.slow  # runs jobs for each example
@law(6)
@given(models=st.lists(MODELS, min_size=2, max_size=3), data=DATA, delta=DATA)
def test_a_plan_is_what_an_adoption_does_and_what_a_new_store_holds(
    new_store: NewStore, tmp_path: Path, models: list[Model], data: Data, delta: Data
) -> None:
    folder, url = tmp_path / f"files-{next(_folders)}", new_store()
    data.write(folder)
    with opened(url, models[0], folder) as engine:
        run(engine, "Complete")
    for before, after in pairwise(models):
        with opened(url, after, folder, adoption=0) as engine:
            plan, head = engine.plan(), engine.position()
            assert [waits(engine, limit) for limit in LIMITS] == [
                evolve(plan, limit=limit).waits_because is not None for limit in LIMITS
            ]
            engine.adopt()
            said, happened = planned(plan), done(engine, head)
            if with_rekeyed(before, after):  # values of resources that are created under new keys are no updates
                said["values"] = happened["values"] = 0
            assert +said == +happened
            assert engine.plan().is_in_force
            run(engine, "Derive")
            assert not engine.verify().differences
            found = state(engine)
            assert not engine.verify_derived().faults
        with opened(new_store(), after, folder) as fresh:
            run(fresh, "Complete")
            expected = state(fresh)
        of = known(before, after)
        assert of(found) == of(expected)
        with opened(url, after, folder) as engine:
            run(engine, "Complete")
            assert state(engine) == expected
    delta.write(folder)
    with opened(url, models[-1], folder) as engine:
        run(engine, "Delta")
        found = state(engine)
    data.write(folder)
    with opened(new_store(), models[-1], folder) as fresh:
        run(fresh, "Complete")
        delta.write(folder)
        run(fresh, "Delta")
        assert found == state(fresh)
