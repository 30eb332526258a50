"""A house to test in: people of one connector, teams and their members of another, and an engine over them."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Iterable, Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

import pyarrow as pa

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
    JobRun,
    PrepareSynchronizationTask,
    Property,
    PropertyMapping,
    PropertyRef,
    PropertyType,
    ResourceCorrelationRule,
    ResourceRef,
    ResourceType,
    SetRecentlyModifiedFlagTask,
    Step,
    SynchronizationMode,
    SynchronizeTask,
    TaskRun,
    TaskState,
    Thresholds,
)
from deltamark.application.ports.records import DerivedRule
from deltamark.domain.configuration.rules import DerivationKind

PROPERTIES = {
    "Number": PropertyType.STRING,
    "Name": PropertyType.STRING,
    "Mail": PropertyType.STRING,
    "Age": PropertyType.INT32,
    "Weight": PropertyType.DOUBLE,
    "Born": PropertyType.DATE_TIME,
    "Token": PropertyType.GUID,
    "Active": PropertyType.BOOL,
}
RULES = (
    ResourceCorrelationRule(
        "Owner", source_binding="Mail", source_expression="ToLower", target_binding="Name", target_expression="ToUpper"
    ),
)

NO_LIMITS = Thresholds()


def configuration(
    *,
    keep_people: bool = True,
    keep_teams: bool = True,
    rules: Iterable[ResourceCorrelationRule] = RULES,
    team_has_one: bool = False,
    person_has_one: bool = False,
    members_by: tuple[str, str] = ("Code", "Number"),
    orphans: bool = False,
    force: bool = False,
    limits: Thresholds = NO_LIMITS,
    person_limits: Thresholds = NO_LIMITS,
    teams_limits: Thresholds = NO_LIMITS,
    member_limits: Thresholds = NO_LIMITS,
    flag_parents: Iterable[str] = ("SynchronizeHR",),
    more_tasks: Iterable[Any] = (),
    more_jobs: Iterable[Job] = (),
) -> Configuration:
    """HR feeds people; Teams feeds teams and members. Jobs: see `jobs` below.

    :param limits: of the connector HR; `person_limits` are those of its only mapping.
    """
    tasks = [
        SynchronizeTask(connector="HR", do_not_delete_changes=keep_people, force_synchronization=force),
        SynchronizeTask(connector="Teams", do_not_delete_changes=keep_teams, orphans=orphans),
        PrepareSynchronizationTask(
            connector="HR", synchronization_mode=SynchronizationMode.INCREMENTAL, column_name="Command"
        ),
        PrepareSynchronizationTask(
            connector="Teams", synchronization_mode=SynchronizationMode.INCREMENTAL, column_name="Command"
        ),
        SetRecentlyModifiedFlagTask(parents=flag_parents),
        ComputeCorrelationKeysTask(
            identifier="Keys", dirty=True, entity_types=["Person"], parents=["SetRecentlyModifiedFlag"]
        ),
        ComputeCorrelationKeysTask(identifier="AllKeys", all_entity_type=True),
        *more_tasks,
    ]
    return Configuration(
        connectors=[Connector("HR", thresholds=limits), Connector("Teams", thresholds=teams_limits)],
        entity_types=[
            EntityType("Person", [Property(n, kind, is_key=n == "Number") for n, kind in PROPERTIES.items()]),
            EntityType("Team", [Property("Code", is_key=True), Property("Title")]),
        ],
        associations=[
            EntityAssociation(
                "Members",
                PropertyRef("Team", "People"),
                PropertyRef("Person", "Teams"),
                is_property1_collection=not team_has_one,
                is_property2_collection=not person_has_one,
            )
        ],
        entity_type_mappings=[
            EntityTypeMapping(
                "Person",
                "HR",
                "people",
                [
                    PropertyMapping(n, n.lower(), is_primary_key=n == "Number", is_unique_key=n == "Mail")
                    for n in PROPERTIES
                ],
                person_limits,
            ),
            EntityTypeMapping(
                "Team",
                "Teams",
                "teams",
                [PropertyMapping("Code", "code", is_primary_key=True), PropertyMapping("Title", "title")],
            ),
        ],
        association_mappings=[
            EntityAssociationMapping(
                "Members",
                "Teams",
                "members",
                "team",
                "person",
                PropertyRef("Team", members_by[0]),
                PropertyRef("Person", members_by[1]),
                member_limits,
            )
        ],
        resource_types=[ResourceType("Owner", "Person", "Person")],
        correlation_rules=rules,
        tasks=tasks,
        jobs=[
            Job("People", [Step("SynchronizeHR")]),
            Job("Teams", [Step("SynchronizeTeams")]),
            Job("Flags", [Step("SetRecentlyModifiedFlag"), Step("Keys")]),
            Job("Complete", [Step("SynchronizeHR"), Step("AllKeys")]),
            Job("Incremental", [Step("SynchronizeHR"), Step("SetRecentlyModifiedFlag"), Step("Keys")]),
            Job("PeopleCommands", [Step("PrepareSynchronizationHR"), Step("SynchronizeHR")]),
            Job("TeamsCommands", [Step("PrepareSynchronizationTeams"), Step("SynchronizeTeams")]),
            *more_jobs,
        ],
    )


Values = Mapping[str, object]


class House:
    """The extracts as they are today, and the engine that reads them. Close it, or use the fixture `house`."""

    def __init__(
        self, url: str, folder: Path, clock: Callable[[], datetime], configured: Configuration | None = None
    ) -> None:
        self.url, self.folder, self._clock = url, folder, clock
        folder.mkdir(exist_ok=True)
        self.engine = self._opened(configured or configuration())

    def _opened(self, configured: Configuration) -> Engine:
        return Engine.open(self.url, configuration=configured, export_output=self.folder, clock=self._clock)

    def configured(self, **changes: Any) -> House:
        """The same store and folder under another configuration."""
        self.engine.close()
        self.engine = self._opened(configuration(**changes))
        return self

    def people(self, people: Mapping[str, str | Values], **columns: str) -> House:
        """Today's people: number -> name, or the values by property (in any case)."""
        rows = [{"number": number, **_named(said)} for number, said in people.items()]
        return self.write("people", [name.lower() for name in PROPERTIES], rows)

    def people_commands(self, *rows: Mapping[str, object]) -> House:
        """Today's people as an extract with a command column."""
        return self.write("people", [*(name.lower() for name in PROPERTIES), "Command"], rows)

    def teams(self, teams: Mapping[str, str], *members: tuple[str, str]) -> House:
        """Today's teams (code -> title) and their members."""
        self.write("teams", ["code", "title"], [{"code": c, "title": t} for c, t in teams.items()])
        return self.members(*members)

    def members(self, *members: tuple[str, str]) -> House:
        """Today's members: team, person."""
        return self.write("members", ["team", "person"], [{"team": t, "person": p} for t, p in members])

    def write(self, table: str, columns: Iterable[str], rows: Iterable[Mapping[str, object]]) -> House:
        """An extract."""
        text = io.StringIO(newline="")
        writer = csv.DictWriter(text, list(columns), restval="", lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
        (self.folder / f"{table}.csv").write_bytes(text.getvalue().encode())
        return self

    def run(self, job: str = "People", **options: Any) -> JobRun:
        """The record of a run that ended well."""
        run = self.engine.run_job(job, **options)
        assert run.state is TaskState.COMPLETED, [task.messages for task in run.tasks]
        return self.engine.run(run.number) if not options.get("dry_run") else run

    def state(self, entity_type: str = "Person", **when: Any) -> dict[str, dict[str, object]]:
        """Key -> values, without the key."""
        return {
            row.key: {name: value for name, value in row.values.items() if name not in ("Number", "Code")}
            for row in self.engine.export_resources(entity_type, **when)
        }

    def names(self, **when: Any) -> dict[str, object]:
        """Number -> name."""
        return {key: values.get("Name") for key, values in self.state(**when).items()}

    def pairs(self, **when: Any) -> set[tuple[str, str]]:
        """The members: team, person."""
        teams = self.engine.export_resources("Team", **when)
        return {(team.key, person) for team in teams for person in team.links.get("Members", ())}

    def keys(self) -> dict[tuple[str, str], str]:
        """(side, number) -> value, of the rule `Owner_1`."""
        return {(key.side, key.key): key.value for key in self.engine.keys(None) if key.rule == "Owner_1"}

    def plant_key(self, side: str, number: str, value: str) -> None:
        """Writes a key into the store that no task computed."""
        store = self.engine._services.store
        with store.transaction() as tx:
            person = tx.resource(ResourceRef("Person", number))
            assert person is not None
            values = pa.table({"stream": pa.array([int(person.originator_id)], pa.int64()), "value": [value]})
            rule = DerivedRule(kind=DerivationKind(side), name="Owner_1", entity_type="Person", digest="")
            assert tx.put_keys(rule, values, everything=False) == 1

    def changes(self, **asked: Any) -> list[tuple[str, str]]:
        """(kind, key) of the changes asked for; of links, the keys of both ends."""
        return [
            (c.kind, c.event.ref.key if hasattr(c.event.ref, "key") else _ends(c)) for c in self.engine.changes(**asked)
        ]


def task(run: JobRun, identifier: str) -> TaskRun:
    """The task of a run by its identifier."""
    return next(task for task in run.tasks if task.identifier == identifier)


def _ends(change: Any) -> str:
    return f"{change.event.ref.source.key}-{change.event.ref.target.key}"


def _named(said: str | Values) -> dict[str, object]:
    return {"name": said} if isinstance(said, str) else {name.lower(): value for name, value in said.items()}
