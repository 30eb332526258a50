"""A folder of extracts for tests, and mappings to read them."""

from __future__ import annotations

import json
from pathlib import Path

from deltamark.application.ports.extracts import LinkColumn
from deltamark.domain.configuration.entity_model import (
    EntityAssociationMapping,
    EntityType,
    EntityTypeMapping,
    Property,
    PropertyMapping,
    PropertyRef,
)
from deltamark.domain.configuration.value_formats import AS_IT_IS
from deltamark.domain.values import PropertyType
from deltamark.infrastructure.extracts.decode import UnpackLimits
from deltamark.infrastructure.extracts.folder import FolderExtracts

STRING = PropertyType.STRING


class Folder:
    def __init__(self, path: Path) -> None:
        self.path = path
        self.limits = UnpackLimits()

    def write(self, name: str, content: bytes | str) -> Path:
        path = self.path / name
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        return path

    def read(
        self, content=None, /, file="people.csv", command=None, pattern=None, options=None, key_options=None, **types
    ):
        """Reads `people` with these columns; the first is the key.

        The options are those of the mapping of the key, and of all other properties.
        """
        if content is not None:
            self.write(file, content)
        types = types or {"id": STRING, "name": STRING}
        options = {"format": pattern, **(options or {})}
        return self.read_mapped(types, command=command, options=options, key_options=key_options)

    def read_mapped(self, types, command=None, options=None, key_options=None, table="people", **dialect):
        entity_type = EntityType("Person", [Property(f"P{i}", kind) for i, kind in enumerate(types.values())])
        mapping = EntityTypeMapping(
            "Person",
            "HR",
            table,
            [
                PropertyMapping(f"P{i}", column, is_primary_key=i == 0, **((options if i else key_options) or {}))
                for i, column in enumerate(types)
            ],
            **dialect,
        )
        return FolderExtracts(self.path, self.limits).resources(mapping, entity_type, command)

    def read_three_columns(self, text):
        return self.read(text, id=STRING, a=STRING, b=STRING)

    def links(
        self, content, types=(STRING, STRING), command=None, separators=(None, None), written=AS_IT_IS, **dialect
    ):
        self.write("members.csv", content)
        group, person = PropertyRef("Group", "Id"), PropertyRef("Person", "Id")
        mapping = EntityAssociationMapping("Members", "HR", "members", "group", "member", group, person, **dialect)
        first, second = (
            LinkColumn(kind=kind, separator=separator, written=written)
            for kind, separator in zip(types, separators, strict=True)
        )
        return FolderExtracts(self.path).links(mapping, (first, second), command)


def states(extract):
    """Key -> values, by property."""
    return {row["key"]: json.loads(row["state"]) for row in extract.rows.to_pylist()}


def lines(extract):
    return extract.rows["line"].to_pylist()


def aside(extract):
    """(line, column, reason, value) of the rows set aside."""
    return [(s.line, s.column, s.reason, s.value) for s in extract.cleansed.set_aside]


def pairs(extract):
    return [tuple(row.values())[1:] for row in extract.rows.to_pylist()]
