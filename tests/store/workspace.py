"""A small company with extracts and a configuration, and all queries of a user to its engine."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path

from deltamark import (
    ComputeCorrelationKeysTask,
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
    ResourceCorrelationRule,
    ResourceType,
    SetRecentlyModifiedFlagTask,
    SynchronizeTask,
    Thresholds,
)

PERSON, GROUP = "Person", "Group"
START = datetime(2026, 1, 1, tzinfo=UTC)


def configuration(*, keep: bool = True) -> Configuration:
    """People, groups and memberships; a nightly job that synchronizes, flags and computes keys."""
    return Configuration(
        connectors=[Connector("HR", thresholds=Thresholds())],
        entity_types=[
            EntityType(
                PERSON,
                [Property("Number", is_key=True), Property("Name"), Property("Groups", PropertyType.FOREIGN_KEY)],
            ),
            EntityType(GROUP, [Property("Number", is_key=True), Property("People", PropertyType.FOREIGN_KEY)]),
        ],
        associations=[
            EntityAssociation("Members", PropertyRef(GROUP, "People"), PropertyRef(PERSON, "Groups"), True, True)
        ],
        entity_type_mappings=[
            EntityTypeMapping(
                PERSON,
                "HR",
                "people",
                [PropertyMapping("Number", "id", is_primary_key=True), PropertyMapping("Name", "name")],
            ),
            EntityTypeMapping(GROUP, "HR", "groups", [PropertyMapping("Number", "id", is_primary_key=True)]),
        ],
        association_mappings=[
            EntityAssociationMapping(
                "Members",
                "HR",
                "members",
                "group",
                "person",
                PropertyRef(GROUP, "Number"),
                PropertyRef(PERSON, "Number"),
            )
        ],
        resource_types=[ResourceType("Account", PERSON, PERSON)],
        correlation_rules=[ResourceCorrelationRule("Account", source_binding="Name", target_binding="Number")],
        jobs=[
            Job(
                "Nightly",
                [
                    SynchronizeTask(connector="HR", do_not_delete_changes=keep),
                    SetRecentlyModifiedFlagTask(),
                    ComputeCorrelationKeysTask(dirty=True, all_entity_type=True),
                ],
            )
        ],
    )


class Workspace:
    """A folder with extracts and a store."""

    def __init__(self, folder: Path, url: str | None = None) -> None:
        self.folder = folder
        self.path = folder / "store.db"
        self.url = url or f"sqlite:///{self.path}"
        self.now = START
        self.between_looks = timedelta(seconds=1)

    def later(self) -> Workspace:
        """The same workspace on the next day, when the leases of a killed run have expired."""
        self.now += timedelta(days=1)
        return self

    def engine(self, *, keep: bool = True, create: bool = True) -> Engine:
        """The engine, with a clock that advances by a second with every reading."""
        start, looks = self.now, iter(range(10**9))
        return Engine.open(
            self.url,
            configuration=configuration(keep=keep),
            export_output=self.folder,
            create=create,
            clock=lambda: start + next(looks) * self.between_looks,
        )

    def extract(self, people: Mapping[str, str], members: Mapping[str, str]) -> None:
        """Writes the extracts: key -> name, and person -> group."""
        self._write("people", "id,name", people.items())
        self._write("groups", "id", [(group,) for group in dict.fromkeys(members.values())])
        self._write("members", "person,group", members.items())

    def _write(self, table: str, header: str, rows: object) -> None:
        lines = [header, *(",".join(row) for row in rows)]  # type: ignore[attr-defined]
        (self.folder / f"{table}.csv").write_text("\n".join(lines) + "\n", "utf-8")

    def first_day(self, people: int = 12) -> None:
        """Writes this number of people, every second one in one of three groups."""
        names = {f"P{n}": f"Name {n}" for n in range(people)}
        self.extract(names, {key: f"G{n % 3}" for n, key in enumerate(names) if n % 2})

    def second_day(self, people: int = 12) -> None:
        """Writes a second day: some people deleted, created or renamed, and other groups."""
        names = {f"P{n}": f"Name {n % 7}" for n in range(people // 4, people + people // 4)}
        self.extract(names, {key: f"G{n % 4}" for n, key in enumerate(names) if n % 3})

    def run(self, *, keep: bool = True):
        """Runs the job."""
        with self.engine(keep=keep) as engine:
            return engine.run_job("Nightly")


def everything(engine: Engine) -> tuple[object, ...]:
    """All that a user can see of the company but its runs, whose number depends on failures."""
    changes = list(engine.changes(kept_only=True)) if _has_horizon(engine) else list(engine.changes())
    return (
        [(c.kind, c.event.ref, getattr(c.event, "changes", None), c.file, c.event.cause.line) for c in changes],
        [list(engine.export_resources(name)) for name in (PERSON, GROUP)],
        [sorted(engine.links(PERSON, row.key)) for row in engine.export_resources(PERSON)],
        list(engine.keys()),
        list(engine.matches()),
        engine.dirty(),
    )


def _has_horizon(engine: Engine) -> bool:
    return any(engine.horizons())


def ask_everything(engine: Engine) -> None:
    """Makes all queries, also about the past, whatever their results."""
    found = everything(engine)
    head = engine.position()
    for position in {head, head // 2, max(head - 1, 0)}:
        for name in (PERSON, GROUP):
            engine.export(name, at=position)
    for row in list(engine.export_resources(PERSON)):
        engine.history(PERSON, row.key)
        engine.resource(PERSON, row.key)
        engine.resource(PERSON, row.key, at=head)
        engine.links(PERSON, row.key, at=head)
    for run in engine.runs():
        list(engine.changes(run=engine.run(run.number).number))
    engine.position(START + timedelta(days=1))
    assert found
