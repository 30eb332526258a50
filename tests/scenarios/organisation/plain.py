"""Extracts and a comparer of plain Python, for small organisations: a run takes a fraction of what files take."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa

from deltamark import EntityAssociation, EntityAssociationMapping, EntityType, EntityTypeMapping, PropertyType
from deltamark.application.ports.applied_rows import RowDigests
from deltamark.application.ports.comparer import (
    EarlierPairs,
    KeptPairs,
    LinkCommandsComparison,
    LinkComparison,
    LinkSides,
    NewReading,
    PairChanges,
    ResourceComparison,
    ValuesReadAnew,
)
from deltamark.application.ports.extracts import Cleansed, LinkExtract, ResourceExtract, Transformation
from deltamark.application.ports.records import LinkChanges, ResourceChanges
from deltamark.domain.runs.run import ExtractRead
from deltamark.infrastructure.comparison.comparer import DuckComparer
from deltamark.infrastructure.duckdb.connection import Workbench
from tests.scenarios.organisation.extracts import Extracts

TEXT, NUMBER = pa.string(), pa.int64()
ROWS = pa.schema([("key", TEXT), ("line", NUMBER), ("state", TEXT)])
UPDATES = pa.schema([*ROWS, ("changes", TEXT)])
PAIRS = pa.schema(
    [("source", NUMBER), ("target", NUMBER), ("source_key", TEXT), ("target_key", TEXT), ("line", NUMBER)]
)
UNRESOLVED = pa.schema([("line", NUMBER), ("value1", TEXT), ("value2", TEXT), ("missing", NUMBER)])
VALUES = UNRESOLVED.remove(3)
NOT_APPLIED = pa.schema([("key", TEXT), ("line", NUMBER)])
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

    reader = None

    def resources(
        self,
        mapping: EntityTypeMapping,
        entity_type: EntityType,
        command_column: str | None,
        *,
        is_shared: bool = False,
        transformation: Transformation | None = None,
        digests: RowDigests | None = None,
    ) -> ResourceExtract:
        assert transformation is None, "plain extracts know none"
        assert digests is None, "few rows are not compared by digests"
        names = sorted(mapped.identifier for mapped in mapping.properties)
        rows = []
        for line, row in enumerate(self._tables[mapping.connection_table], 2):
            state = {name: row[name] for name in names if row[name] not in (None, "")}
            command = [] if command_column is None else [row[command_column]]
            rows.append((row[mapping.primary_key.identifier], line, dumped(state), *command))
        schema = ROWS if command_column is None else pa.schema([*ROWS, ("command", TEXT)])
        return ResourceExtract(rows=table(rows, schema), kept=NO_TEXTS, cleansed=_read(mapping.entity_type, len(rows)))

    def links(
        self,
        mapping: EntityAssociationMapping,
        types: tuple[PropertyType, PropertyType],
        command_column: str | None,
        *,
        may_lack_first: bool = False,
        is_shared: bool = False,
        transformation: Transformation | None = None,
    ) -> LinkExtract:
        assert transformation is None, "plain extracts know none"
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
    """Compares one row after the other; what an adoption changes is found as in a real run."""

    _real = DuckComparer(Workbench(threads=1))

    def read_anew(self, stored: pa.Table, reading: NewReading) -> ValuesReadAnew:
        return self._real.read_anew(stored, reading)

    def pairs(self, links: pa.Table, kept: KeptPairs) -> PairChanges:
        return self._real.pairs(links, kept)

    def resources(
        self, extract: ResourceExtract, held: Iterable[pa.Table], entity_type: EntityType, *, complete: bool
    ) -> ResourceComparison:
        assert complete
        before, after = _states(pa.concat_tables(held)), {row["key"]: row["state"] for row in extract.rows.to_pylist()}
        return _compared(before, after, [], [])

    def commands(self, extract: ResourceExtract, held: pa.Table, entity_type: EntityType) -> ResourceComparison:
        before = _states(held)
        after, unknown, ended = dict(before), [], {}
        for row in extract.rows.to_pylist():
            key = row["key"]
            if row["command"] == "delete":
                after.pop(key, None)
                ended[key] = before.get(key)
            elif row["command"] == "update" and key not in after:
                unknown.append((key, row["line"]))
            elif row["command"] == "merge" and key in after:
                after[key] = dumped({**json.loads(after[key]), **json.loads(row["state"])})
            else:
                after[key] = row["state"]
        return _compared(before, after, unknown, ended.items())

    def links(
        self, extract: LinkExtract, sides: LinkSides, association: EntityAssociation, *, complete: bool
    ) -> LinkComparison:
        assert complete
        ends = _Ends(sides)
        before = {(row["source"], row["target"]) for row in sides.links.to_pylist()}
        after, orphans = {}, []
        for row in extract.rows.to_pylist():
            missing, link = ends.resolved(row["value1"], row["value2"])
            if missing:
                orphans.append((row["line"], row["value1"], row["value2"], missing))
            else:
                after[link] = row["line"]
        return LinkComparison(
            changes=ends.changes(before, after),
            orphans=table(orphans, UNRESOLVED),
            ambiguous=UNRESOLVED.empty_table(),
            surplus=VALUES.empty_table(),
        )

    def link_commands(
        self, extract: LinkExtract, earlier: EarlierPairs, sides: LinkSides, association: EntityAssociation
    ) -> LinkCommandsComparison:
        ends = _Ends(sides)
        rows = [*sides.links.to_pylist(), *earlier.ended.to_pylist()]
        before = {(row["source"], row["target"]) for row in rows}
        ends.keys |= {row["source"]: row["source_key"] for row in rows}
        ends.keys |= {row["target"]: row["target_key"] for row in rows}
        single = (
            not association.is_property1_collection or earlier.rows_of == 0,
            not association.is_property2_collection or earlier.rows_of == 1,
        )
        ended = {(row["source"], row["target"]) for row in earlier.ended.to_pylist()}
        # Links whose ends no row names are no pairs of values here: they stay.
        pairs: dict[tuple[str, str], int | None] = {pair: None for pair in map(ends.values, before - ended) if pair}
        unnamed = {link for link in before - ended if not ends.values(link)}
        for row in earlier.standing.to_pylist():
            if not any(single[end] and any(p[end] == row[f"value{end + 1}"] for p in pairs) for end in (0, 1)):
                pairs[row["value1"], row["value2"]] = None
        for row in extract.rows.to_pylist():
            pair = row["value1"], row["value2"]
            deletes = row["command"] == "delete"
            empties = single[0] and pair[1] is None and row["command"] in ("insert", "update")
            gone = [(0, deletes and pair[1] is None), (0, empties), (0, deletes and earlier.rows_of == 0)]
            gone += [(1, deletes and earlier.rows_of == 1)]
            gone += [(end, single[end] and not deletes and pair[1] is not None) for end in (0, 1)]
            for end, is_so in gone:
                if is_so:
                    pairs = {p: line for p, line in pairs.items() if p[end] != pair[end]}
                    unnamed = {link for link in unnamed if ends.value(end, link[end]) != pair[end]}
            if deletes:
                pairs.pop(pair, None)
            elif pair[1] is not None:
                pairs[pair] = row["line"]
        after = dict.fromkeys(unnamed)
        after |= {link: pairs[pair] for pair in pairs for missing, link in [ends.resolved(*pair)] if not missing}
        unlinked = [(*pair, missing) for pair in pairs for missing, _ in [ends.resolved(*pair)] if missing]
        return LinkCommandsComparison(
            changes=ends.changes(before, after),
            orphans=table([(pairs[a, b], a, b, missing) for a, b, missing in unlinked if pairs[a, b]], UNRESOLVED),
            ambiguous=UNRESOLVED.empty_table(),
            surplus=VALUES.empty_table(),
            waiting=table([(a, b) for a, b, _ in unlinked], pa.schema([("value1", TEXT), ("value2", TEXT)])),
            doubtful=VALUES.empty_table(),
        )


class _Ends:
    """The resources at both ends of links, by value."""

    def __init__(self, sides: LinkSides) -> None:
        self._streams = [
            {row["value"]: row["stream"] for row in side.to_pylist()} for side in (sides.first, sides.second)
        ]
        self._values = [{stream: value for value, stream in streams.items()} for streams in self._streams]
        self.keys = {row["stream"]: row["key"] for side in (sides.first, sides.second) for row in side.to_pylist()}
        for row in sides.links.to_pylist():
            self.keys |= {row["source"]: row["source_key"], row["target"]: row["target_key"]}

    def resolved(self, first: str, second: str) -> tuple[int | None, tuple[int, int]]:
        """The end that no resource has, or None, and the streams of both."""
        source, target = self._streams[0].get(first), self._streams[1].get(second)
        missing = 1 if source is None else 2 if target is None else None
        return missing, (source or 0, target or 0)

    def value(self, end: int, stream: int) -> str | None:
        return self._values[end].get(stream)

    def values(self, link: tuple[int, int]) -> tuple[str, str] | None:
        first, second = self.value(0, link[0]), self.value(1, link[1])
        return None if first is None or second is None else (first, second)

    def changes(self, before: set[tuple[int, int]], after: Mapping[tuple[int, int], int | None]) -> LinkChanges:
        return LinkChanges(
            linked=_pairs([link for link in after if link not in before], self.keys, after),
            unlinked=_pairs([link for link in before if link not in after], self.keys, dict.fromkeys(before)),
        )


def _states(held: pa.Table) -> dict[str, str]:
    return dict(zip(held["key"].to_pylist(), held["state"].to_pylist(), strict=True))


def _compared(
    before: Mapping[str, str],
    after: Mapping[str, str],
    unknown: Sequence[tuple[str, int]],
    ended: Iterable[tuple[str, str | None]],
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
    return ResourceComparison(
        changes=changes,
        unknown=table(unknown, NOT_APPLIED),
        doubtful=NOT_APPLIED.empty_table(),
        ended=table(ended, pa.schema([("key", TEXT), ("state", TEXT)])),
    )


def _changes(before: Mapping[str, Any], after: Mapping[str, Any]) -> str:
    names = [name for name in sorted(before.keys() | after.keys()) if before.get(name) != after.get(name)]
    return dumped({name: [before.get(name), after.get(name)] for name in names})


def _pairs(
    pairs: Iterable[tuple[int, int]], keys: Mapping[int, str], lines: Mapping[tuple[int, int], int | None]
) -> pa.Table:
    ordered = sorted((keys[source], keys[target], source, target) for source, target in pairs)
    return table([(s, t, source, target, lines[s, t]) for source, target, s, t in ordered], PAIRS)
