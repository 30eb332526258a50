"""A group with as many members as there are people: one comes in, one goes out, in a complete extract or in a delta."""

from __future__ import annotations

import time
from pathlib import Path

from benchmarks.figures import Bench, Goal
from benchmarks.measure import WorkFailed, measure, report_samples
from deltamark import (
    Configuration,
    Connector,
    Engine,
    EntityAssociation,
    EntityAssociationMapping,
    EntityType,
    EntityTypeMapping,
    Job,
    PrepareSynchronizationTask,
    Property,
    PropertyMapping,
    PropertyRef,
    Step,
    SynchronizationMode,
    SynchronizeTask,
)

PART = "group"


def measure_part(bench: Bench) -> None:
    """Measures the CPU of the whole run: opening the store, the job, closing it."""
    for store in bench.stores:
        count = bench.people
        folder = bench.folder / f"group-{count}"
        folder.mkdir(exist_ok=True)
        _write(folder / "people.csv", "key", [_key(n) for n in range(count + 1)])
        _write(folder / "groups.csv", "name", ["All"])
        members = folder / "members.csv"
        _write(members, "group,person", [f"All,{_key(n)}" for n in range(count)])
        store.empty()
        measure("group", store.url, str(folder), "People", "0", "0", rounds=1)
        measure("group", store.url, str(folder), "Members", str(count), "0", rounds=1)
        store.save()
        goal = Goal("value", at_most=max(1.0, count / 100_000))
        for name, job, header, rows in (
            ("in a complete extract", "Members", "group,person", [f"All,{_key(n)}" for n in range(1, count + 1)]),
            ("in a delta", "Delta", "command,group,person", [f"delete,All,{_key(0)}", f"insert,All,{_key(count)}"]),
        ):
            _write(members, header, rows)
            measured = measure("group", store.url, str(folder), job, "1", "1", str(count), before=store.restore)
            bench.add(
                PART, f"CPU of one member in and one out, {name}", measured, store=store.kind, goal=goal,
                parameters={"members": count},
            )  # fmt: skip


def job(store: str, exports: str, name: str, linked: str, unlinked: str, members: str = "") -> None:
    """Runs a job, and prints its CPU seconds, from opening the store to closing it.

    :param members: how many the group has after one came in and one went out.
    :raises WorkFailed: if it did not link and unlink so many, or the group has others than it should have.
    """
    definition = configuration()
    started = time.process_time()
    with Engine.open(store, configuration=definition, export_output=exports) as engine:
        run = engine.run_job(name)
    seconds = time.process_time() - started
    counted = (run.counts.linked, run.counts.unlinked)
    if counted != (int(linked), int(unlinked)):
        raise WorkFailed(f"{name} linked and unlinked {counted}; the files say {(int(linked), int(unlinked))}")
    if members:
        with Engine.open(store, configuration=definition, export_output=exports) as engine:
            held = {link.target.key for link in engine.links("Group", "All")}
        if held != {_key(n) for n in range(1, int(members) + 1)}:
            raise WorkFailed(f"the group has {len(held)} members, and not those of the files")
    report_samples([seconds])


def configuration() -> Configuration:
    """People, groups and their members, with jobs for complete extracts and for a delta of members."""
    delta = PrepareSynchronizationTask(
        connector="Members", synchronization_mode=SynchronizationMode.INCREMENTAL, column_name="command"
    )
    return Configuration(
        connectors=[Connector("People"), Connector("Members")],
        entity_types=[
            EntityType("Person", [Property("Key", is_key=True)]),
            EntityType("Group", [Property("Name", is_key=True)]),
        ],
        associations=[
            EntityAssociation(
                "Members",
                PropertyRef("Group", "Members"),
                PropertyRef("Person", "Groups"),
                is_property1_collection=True,
                is_property2_collection=True,
            )
        ],
        entity_type_mappings=[
            EntityTypeMapping("Person", "People", "people", [PropertyMapping("Key", "key", is_primary_key=True)]),
            EntityTypeMapping("Group", "People", "groups", [PropertyMapping("Name", "name", is_primary_key=True)]),
        ],
        association_mappings=[
            EntityAssociationMapping(
                "Members",
                "Members",
                "members",
                "group",
                "person",
                PropertyRef("Group", "Name"),
                PropertyRef("Person", "Key"),
            )
        ],
        tasks=[SynchronizeTask(connector="People"), SynchronizeTask(connector="Members"), delta],
        jobs=[
            Job("People", [Step("SynchronizePeople")]),
            Job("Members", [Step("SynchronizeMembers")]),
            Job("Delta", [Step("PrepareSynchronizationMembers"), Step("SynchronizeMembers")]),
        ],
    )


def _key(number: int) -> str:
    return f"P{number:08}"


def _write(path: Path, header: str, rows: list[str]) -> None:
    path.write_text("\n".join([header, *rows, ""]))
