"""People, their team and their tags, all of which transformations make of two raw tables; and an oracle in Python."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import date, timedelta
from typing import Any

from attrs import define, field

from deltamark import (
    Configuration,
    ConnectionTransformation,
    Connector,
    EntityAssociation,
    EntityAssociationMapping,
    EntityType,
    EntityTypeMapping,
    Job,
    PrepareSynchronizationTask,
    Property,
    PropertyMapping,
    PropertyRef,
    PropertyType,
    SynchronizationMode,
    SynchronizeTask,
)

Row = Mapping[str, str | None]

PEOPLE = (
    "select 'P-' || Id as Id, upper(Name) || coalesce(' (' || Status || ')', '') as Label, "
    "cast(Start as date) + interval 1 day as Start from Raw where coalesce(Status, '') <> 'left'"
)
TAGS = "select 'P-' || Id as Person, unnest([Tag1, lower(Tag2)]) as Tag from Raw where coalesce(Status, '') <> 'left'"
TEAMS = "select 'P-' || Id as Person, lower(Team) as Team from Raw where coalesce(Status, '') <> 'left'"
RIGHTS = "select Id || '' as Owner, Tag from RawRight where Until is null or Until > '2024'"

COLUMNS = ("Id", "Name", "Status", "Start", "Tag1", "Tag2", "Team")
RIGHT_COLUMNS = ("Id", "Tag", "Until")
TAG_KEYS = ("a", "b", "c")


def configuration(people: str = PEOPLE) -> Configuration:
    """Jobs that read everything (`Complete`), and what changed (`Incremental`)."""
    person, tag = PropertyRef("Person", "Key"), PropertyRef("Tag", "Key")
    incremental = PrepareSynchronizationTask(
        identifier="Prepare",
        connector="HR",
        synchronization_mode=SynchronizationMode.INCREMENTAL,
        column_name="command",
    )
    synchronize = SynchronizeTask(identifier="Synchronize", connector="HR", do_not_delete_changes=True)
    key = PropertyMapping("Key", "Id", is_primary_key=True)

    def transformation(name: str, query: str, table: str = "Raw") -> ConnectionTransformation:
        return ConnectionTransformation(name, "HR", table, query)

    return Configuration(
        connectors=[Connector("HR")],
        transformations=[
            transformation("People", people),
            transformation("Tags", TAGS),
            transformation("Teams", TEAMS),
            transformation("Rights", RIGHTS, "RawRight"),
        ],
        entity_types=[
            EntityType(
                "Person", [Property("Key", is_key=True), Property("Label"), Property("Start", type=PropertyType.DATE)]
            ),
            EntityType("Tag", [Property("Key", is_key=True)]),
        ],
        associations=[
            EntityAssociation(
                "PersonTags",
                property1=PropertyRef("Person", "Tags"),
                property2=PropertyRef("Tag", "People"),
                is_property1_collection=True,
                is_property2_collection=True,
            ),
            EntityAssociation(
                "PersonTeam",
                property1=PropertyRef("Person", "Team"),
                property2=PropertyRef("Tag", "Members"),
                is_property2_collection=True,
            ),
            EntityAssociation(
                "Implied",
                property1=PropertyRef("Tag", "Implies"),
                property2=PropertyRef("Tag", "ImpliedBy"),
                is_property1_collection=True,
                is_property2_collection=True,
            ),
        ],
        entity_type_mappings=[
            EntityTypeMapping(
                "Person", "HR", "People", [key, PropertyMapping("Label", "Label"), PropertyMapping("Start", "Start")]
            ),
            EntityTypeMapping("Tag", "HR", "TagList", [key], always_complete=True),
        ],
        association_mappings=[
            EntityAssociationMapping("PersonTags", "HR", "Tags", "Person", "Tag", person, tag),
            EntityAssociationMapping("PersonTeam", "HR", "Teams", "Person", "Team", person, tag),
            EntityAssociationMapping("Implied", "HR", "Rights", "Owner", "Tag", tag, tag),
        ],
        jobs=[
            Job("Complete", [synchronize]),
            Job("Incremental", [incremental, SynchronizeTask(identifier="Apply", connector="HR")], is_incremental=True),
        ],
    )


@define
class RawTables:
    """The raw tables as they are, and the rows of the next delta."""

    people: dict[str, Row] = field(factory=dict)
    rights: dict[tuple[str, str], Row] = field(factory=dict)
    changed: list[Row] = field(factory=list)
    changed_rights: list[Row] = field(factory=list)

    def put(self, row: Row) -> None:
        """Writes a person."""
        key = str(row["Id"])
        self.changed.append({"command": "update" if key in self.people else "insert", **row})
        self.people[key] = row

    def remove(self, key: str) -> None:
        """Removes a person: only the key is said."""
        self.people.pop(key, None)
        self.changed.append({"command": "delete", **dict.fromkeys(COLUMNS), "Id": key})

    def grant(self, row: Row) -> None:
        """Writes a right."""
        self.rights[str(row["Id"]), str(row["Tag"])] = row
        self.changed_rights.append({"command": "insert", **row})

    def revoke(self, key: str, tag: str) -> None:
        """Removes a right."""
        self.rights.pop((key, tag), None)
        self.changed_rights.append({"command": "delete", "Id": key, "Tag": tag, "Until": None})

    def expected(self) -> tuple[dict[str, dict[str, Any]], set[tuple[str, str, str]]]:
        """The people that there must be, and the links: by association, person and tag."""
        people, links = {}, set()
        for key, row in self.people.items():
            if row["Status"] == "left":
                continue
            name, status = row["Name"], row["Status"]
            values: dict[str, Any] = {"Key": f"P-{key}"}
            if name:
                values["Label"] = name.upper() + (f" ({status})" if status else "")
            if row["Start"]:
                values["Start"] = (date.fromisoformat(str(row["Start"])) + timedelta(days=1)).isoformat()
            people[f"P-{key}"] = values
            links |= {("PersonTags", f"P-{key}", tag) for tag in (row["Tag1"], (row["Tag2"] or "").lower()) if tag}
            if row["Team"]:
                links.add(("PersonTeam", f"P-{key}", row["Team"].lower()))
        for (key, tag), row in self.rights.items():
            if row["Until"] is None or row["Until"] > "2024":
                links.add(("Implied", key, tag))
        return people, links


def table(rows: Iterable[Row], columns: Sequence[str]) -> list[dict[str, str | None]]:
    """Rows with all columns; at least one, so that the columns are known."""
    return [{name: row.get(name) for name in columns} for row in rows]
