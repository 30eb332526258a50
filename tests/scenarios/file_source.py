"""People and the groups that they are in, in files of a folder, which a connection reads."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from deltamark import (
    Configuration,
    Connection,
    ConnectionTable,
    Connector,
    Engine,
    EntityAssociation,
    EntityAssociationMapping,
    EntityType,
    EntityTypeMapping,
    ExportTask,
    Job,
    JobRun,
    Property,
    PropertyMapping,
    PropertyRef,
    Step,
    SynchronizeTask,
    TaskOverride,
    Thresholds,
)

PERSON, GROUP, MEMBER = "HR_Person", "HR_Group", "HR_Member"
NAMES = {PERSON: ("id", "name"), GROUP: ("id", "name")}


def configuration(
    package: str, tables: Mapping[str, Mapping[str, str]], columns: Mapping[str, Sequence[str]] = NAMES
) -> Configuration:
    """A job that reads and applies what changed (`Changes`), and one that reads everything (`Everything`).

    :param tables: table -> its options. A table of links leads from groups (`owner`) to people (`value`).
    :param columns: table -> the columns of the key and of the name.
    """
    export = ExportTask(identifier="Read", connection="HR_Source")
    synchronization = SynchronizeTask(identifier="Synchronize", connector="HR", do_not_delete_changes=True)
    read_all = TaskOverride(export.kind, export.identifier, {"ignore_cookie_file": True})
    types = [name for name in (PERSON, GROUP) if name in tables]
    has_links = MEMBER in tables
    return Configuration(
        connectors=[Connector("HR", thresholds=Thresholds())],
        connections=[
            Connection(
                "HR_Source", "HR", package, tables=[ConnectionTable(name, options) for name, options in tables.items()]
            )
        ],
        entity_types=[EntityType(name, [Property("Key", is_key=True), Property("Name")]) for name in types],
        entity_type_mappings=[
            EntityTypeMapping(
                name,
                connector="HR",
                connection_table=name,
                properties=[
                    PropertyMapping("Key", columns[name][0], is_primary_key=True),
                    PropertyMapping("Name", columns[name][1]),
                ],
            )
            for name in types
        ],
        associations=[
            EntityAssociation(
                MEMBER,
                property1=PropertyRef(GROUP, "Members"),
                property2=PropertyRef(PERSON, "Groups"),
                is_property1_collection=True,
                is_property2_collection=True,
            )
        ]
        if has_links
        else [],
        association_mappings=[
            EntityAssociationMapping(
                MEMBER,
                connector="HR",
                connection_table=MEMBER,
                column1="owner",
                column2="value",
                entity_property_mapping1=PropertyRef(GROUP, "Key"),
                entity_property_mapping2=PropertyRef(PERSON, "Key"),
            )
        ]
        if has_links
        else [],
        tasks=[export, synchronization],
        jobs=[
            Job("Changes", [Step("Read"), Step("Synchronize")], is_incremental=True),
            Job("Everything", [read_all, Step("Synchronize")]),
        ],
    )


class FileSource:
    """A folder of files, a store, and an engine between them."""

    def __init__(self, store: str, folder: Path, configured: Configuration) -> None:
        self.files = folder / "files"
        self.exports = folder / "exports"
        self.files.mkdir(parents=True, exist_ok=True)
        self.engine = Engine.open(
            store,
            configuration=configured,
            export_output=self.exports,
            connections={"HR_Source": {"folder": str(self.files)}},
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.engine.close()

    def write(self, name: str, content: bytes | str) -> Path:
        """Writes a file."""
        path = self.files / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        return path

    def run(self, job: str = "Changes", **arguments: Any) -> JobRun:
        """Runs a job."""
        return self.engine.run_job(job, **arguments)

    def stored(self, entity_type: str = PERSON) -> dict[str, Any]:
        """The resources of the store: key -> name."""
        return {item.key: item.values.get("Name") for item in self.engine.export_resources(entity_type)}

    def members(self) -> set[tuple[str, str]]:
        """The links of the store, from groups to people."""
        return {
            (item.key, person) for item in self.engine.export_resources(GROUP) for person in item.links.get(MEMBER, ())
        }
