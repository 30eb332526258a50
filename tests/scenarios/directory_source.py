"""Accounts, groups and members of a directory, which a connection reads."""

from __future__ import annotations

from typing import Any

from attrs import evolve

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
    Property,
    PropertyMapping,
    PropertyRef,
    Step,
    SynchronizeTask,
    TaskOverride,
    Thresholds,
)
from deltamark.domain.configuration.value_formats import Comparison


def configuration(package: str, key: str, *, user: str, group: str, name: str, named_by: str) -> Configuration:
    """Accounts, groups, and members.

    :param named_by: the property that values of links hold.
    """
    export = ExportTask(identifier="Read", connection="Source")
    synchronization = SynchronizeTask(identifier="Synchronize", connector="AD", do_not_delete_changes=True)
    steps = [Step(export.identifier), Step(synchronization.identifier)]

    def properties() -> list[Property]:
        return [Property("Guid", is_key=True), Property("Name"), Property("Mail"), Property("Dn")]

    def mapping(table: str) -> EntityTypeMapping:
        columns = {"Guid": key, "Name": name, "Mail": "mail", "Dn": "dn"}
        return EntityTypeMapping(
            table,
            connector="AD",
            connection_table=table,
            properties=[
                PropertyMapping(
                    name_of,
                    column,
                    is_primary_key=name_of == "Guid",
                    is_unique_key=name_of == "Dn",
                    comparison=Comparison.DIRECTORY if name_of == "Dn" else Comparison.EXACT,
                )
                for name_of, column in columns.items()
            ],
        )

    return Configuration(
        connectors=[Connector("AD", thresholds=Thresholds())],
        connections=[
            Connection(
                "Source",
                "AD",
                package,
                tables=[
                    ConnectionTable("Account", {"ObjectClass": user, "Filter": "(cn=*)"}),
                    ConnectionTable("Group", {"ObjectClass": group}),
                    ConnectionTable("Member", {"Links": "Group", "Attribute": "member"}),
                ],
            )
        ],
        entity_types=[EntityType("Account", properties()), EntityType("Group", properties())],
        entity_type_mappings=[mapping("Account"), mapping("Group")],
        associations=[
            EntityAssociation(
                "Member",
                PropertyRef("Group", "Members"),
                PropertyRef("Account", "MemberOf"),
                is_property1_collection=True,
                is_property2_collection=True,
            )
        ],
        association_mappings=[
            EntityAssociationMapping(
                "Member",
                connector="AD",
                connection_table="Member",
                column1="owner",
                column2="value",
                entity_property_mapping1=PropertyRef("Group", "Guid"),
                entity_property_mapping2=PropertyRef("Account", named_by),
            )
        ],
        tasks=[export, synchronization],
        jobs=[
            Job("Changes", steps, is_incremental=True),
            Job("Everything", [TaskOverride(export.kind, "Read", {"ignore_cookie_file": True}), steps[1]]),
        ],
    )


def in_files(configured: Configuration) -> Configuration:
    """The same tables, of LDIF files: content, and what changed since."""
    files = {"File": "content.ldif", "ChangeFiles": "changes*.ldif"}
    connection = configured.connections[0]
    tables = [
        table if "Links" in table.options else evolve(table, options={**files, **table.options})
        for table in connection.tables
    ]
    return evolve(configured, connections=[evolve(connection, tables=tables)])


def held(engine: Engine) -> Any:
    """All resources with their links."""
    return [engine.export(name).to_pylist() for name in ("Account", "Group")]
