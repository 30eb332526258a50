"""Extracts and a comparer of plain Python, for small organisations: a run takes a fraction of what files take."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa

from deltamark import EntityAssociation, EntityAssociationMapping, EntityType, EntityTypeMapping, PropertyType
from deltamark.application.ports.comparer import LinkComparison, LinkSides, ResourceComparison
from deltamark.application.ports.extracts import Cleansed, LinkExtract, ResourceExtract
from deltamark.application.ports.records import LinkChanges, ResourceChanges
from deltamark.domain.runs.run import ExtractRead
from tests.scenarios.organisation.extracts import Extracts

TEXT, NUMBER = pa.string(), pa.int64()
ROWS = pa.schema([("key", TEXT), ("line", NUMBER), ("state", TEXT)])
UPDATES = pa.schema([*ROWS, ("changes", TEXT)])
PAIRS = pa.schema(
    [("source", NUMBER), ("target", NUMBER), ("source_key", TEXT), ("target_key", TEXT), ("line", NUMBER)]
)
UNRESOLVED = pa.schema([("line", NUMBER), ("value1", TEXT), ("value2", TEXT), ("missing", NUMBER)])
NO_TEXTS = pa.array([], TEXT)


def dumped(values: Mapping[str, Any]) -> str:
    return json.dumps(values, separators=(",", ":"), sort_keys=True, ensure_ascii=False)


def table(rows: Iterable[tuple[Any, ...]], schema: pa.Schema) -> pa.Table:
    columns = list(zip(*rows, strict=True)) or [()] * len(schema)
    return pa.table([pa.array(c, f.type) for c, f in zip(columns, schema, strict=True)], schema=schema)


class PlainExtracts(Extracts):
    """What would stand in files, and what reading them would give."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._tables: dict[str, list[dict[str, Any]]] = {}

    def _write(self, name: str, columns: list[str], rows: Iterable[Mapping[str, Any]]) -> None:
        self._tables[name] = [{column: row.get(column) for column in columns} for row in rows]

    def resources(
        self, mapping: EntityTypeMapping, entity_type: EntityType, command_column: str | None
    ) -> ResourceExtract:
        names = sorted(mapped.identifier for mapped in mapping.properties)
        rows = []
        for line, row in enumerate(self._tables[mapping.connection_table], 2):
            state = {name: row[name] for name in names if row[name] not in (None, "")}
            command = [] if command_column is None else [row[command_column]]
            rows.append((row[mapping.primary_key.identifier], line, dumped(state), *command))
        schema = ROWS if command_column is None else pa.schema([*ROWS, ("command", TEXT)])
        return ResourceExtract(rows=table(rows, schema), kept=NO_TEXTS, cleansed=_read(mapping.entity_type, len(rows)))

    def links(
        self, mapping: EntityAssociationMapping, types: tuple[PropertyType, PropertyType], command_column: str | None
    ) -> LinkExtract:
        rows = []
        for line, row in enumerate(self._tables[mapping.connection_table], 2):
            command = [] if command_column is None else [row[command_column]]
            rows.append((line, row["source"], row["target"] or None, *command))
        schema = pa.schema([("line", NUMBER), ("value1", TEXT), ("value2", TEXT)])
        schema = schema if command_column is None else pa.schema([*schema, ("command", TEXT)])
        return LinkExtract(rows=table(rows, schema), kept=NO_TEXTS, cleansed=_read(mapping.association, len(rows)))


def _read(subject: str, rows: int) -> Cleansed:
    return Cleansed(read=ExtractRead(subject=subject, file=f"{subject}.csv", rows=rows, digest=""))


class PlainComparer:
    """Compares one row after the other."""

    def resources(
        self, extract: ResourceExtract, held: pa.Table, entity_type: EntityType, *, complete: bool
    ) -> ResourceComparison:
        assert complete
        before, after = _states(held), {row["key"]: row["state"] for row in extract.rows.to_pylist()}
        return _compared(before, after, [])

    def commands(self, extract: ResourceExtract, held: pa.Table, entity_type: EntityType) -> ResourceComparison:
        before = _states(held)
        after, unknown = dict(before), []
        for row in extract.rows.to_pylist():
            if row["command"] == "delete":
                after.pop(row["key"], None)
            elif row["command"] == "update" and row["key"] not in before:
                unknown.append((row["key"], row["line"]))
            else:
                after[row["key"]] = row["state"]
        return _compared(before, after, unknown)

    def links(
        self,
        extract: LinkExtract,
        sides: LinkSides,
        association: EntityAssociation,
        *,
        complete: bool,
        keeps_missing: bool = False,
    ) -> LinkComparison:
        assert not keeps_missing
        first, second = (
            {row["value"]: row["stream"] for row in side.to_pylist()} for side in (sides.first, sides.second)
        )
        keys = {row["stream"]: row["key"] for side in (sides.first, sides.second) for row in side.to_pylist()}
        before: dict[tuple[int, int], int | None] = {}
        for row in sides.links.to_pylist():
            before[row["source"], row["target"]] = None
            keys |= {row["source"]: row["source_key"], row["target"]: row["target_key"]}
        after = {} if complete else dict(before)
        orphans = []
        for row in extract.rows.to_pylist():
            source, target = first.get(row["value1"]), second.get(row["value2"])
            missing = 1 if source is None else 2 if row["value2"] is not None and target is None else None
            command = row.get("command", "insert")
            if missing:
                orphans.append((row["line"], row["value1"], row["value2"], missing))
            if source is None:
                continue
            if command == "delete":
                after = {pair: line for pair, line in after.items() if pair != (source, target)}
                continue
            if command == "update" and not association.is_property1_collection:
                after = {pair: line for pair, line in after.items() if pair[0] != source}
            if target is not None:
                after[source, target] = row["line"]
        return LinkComparison(
            changes=LinkChanges(
                linked=_pairs([pair for pair in after if pair not in before], keys, after),
                unlinked=_pairs([pair for pair in before if pair not in after], keys, before),
            ),
            orphans=table(orphans, UNRESOLVED),
            ambiguous=UNRESOLVED.empty_table(),
            surplus=UNRESOLVED.empty_table().select(["line", "value1", "value2"]),
        )


def _states(held: pa.Table) -> dict[str, str]:
    return dict(zip(held["key"].to_pylist(), held["state"].to_pylist(), strict=True))


def _compared(
    before: Mapping[str, str], after: Mapping[str, str], unknown: Sequence[tuple[str, int]]
) -> ResourceComparison:
    updated = [
        (key, 2, after[key], _changes(json.loads(before[key]), json.loads(after[key])))
        for key in sorted(before)
        if key in after and before[key] != after[key]
    ]
    changes = ResourceChanges(
        created=table([(key, 2, state) for key, state in sorted(after.items()) if key not in before], ROWS),
        updated=table(updated, UPDATES),
        deleted=table([(key, 2, state) for key, state in sorted(before.items()) if key not in after], ROWS),
    )
    return ResourceComparison(changes=changes, unknown=table(unknown, pa.schema([("key", TEXT), ("line", NUMBER)])))


def _changes(before: Mapping[str, Any], after: Mapping[str, Any]) -> str:
    names = [name for name in sorted(before.keys() | after.keys()) if before.get(name) != after.get(name)]
    return dumped({name: [before.get(name), after.get(name)] for name in names})


def _pairs(
    pairs: Iterable[tuple[int, int]], keys: Mapping[int, str], lines: Mapping[tuple[int, int], int | None]
) -> pa.Table:
    ordered = sorted((keys[source], keys[target], source, target) for source, target in pairs)
    return table([(s, t, source, target, lines[s, t]) for source, target, s, t in ordered], PAIRS)
