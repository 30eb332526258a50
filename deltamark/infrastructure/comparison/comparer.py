"""Compares extracts with the stored state.

One join finds what differs, and only that is examined further.

Both sides of resources are JSON texts in one canonical form: equal texts are equal values of equal types, and unequal
texts are a change. So a state always holds what its events say, also after the type of a property was changed.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from itertools import chain

import duckdb
import pyarrow as pa
import pyarrow.compute as pc
from attrs import evolve

from deltamark.application.ports.arrow_schemas import RESOURCES, UPDATES
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
from deltamark.application.ports.extracts import LinkExtract, ResourceExtract
from deltamark.application.ports.records import ResourceChanges
from deltamark.domain.configuration.entity_model import EntityAssociation, EntityType
from deltamark.domain.errors import store_damaged
from deltamark.domain.values import shown
from deltamark.infrastructure.comparison.link_commands import compare_link_commands
from deltamark.infrastructure.comparison.links import compare_links
from deltamark.infrastructure.comparison.pair_changes import pair_changes
from deltamark.infrastructure.comparison.row_order import fold_repeated_keys
from deltamark.infrastructure.comparison.state_differences import property_names, updated_rows
from deltamark.infrastructure.comparison.values_read_anew import values_read_anew
from deltamark.infrastructure.duckdb.connection import Workbench, arrow
from deltamark.infrastructure.duckdb.json_values import json_paths

NOT_APPLIED = pa.schema([("key", pa.string()), ("line", pa.int64())])
ENDED = pa.schema([*NOT_APPLIED, ("state", pa.string())])
FAULTY = pa.schema([*NOT_APPLIED, ("command", pa.string())])

_FEW = 10_000
"""Rows that one thread compares fastest: planning takes more time for two threads."""

_FEW_STATES = 1_000
"""States whose properties are found fastest without a query."""


class DuckComparer:
    """Compares Arrow tables with DuckDB, in memory."""

    def __init__(self, workbench: Workbench | None = None) -> None:
        self._workbench = workbench or Workbench()
        self._for_few = workbench or Workbench(threads=1)

    def resources(
        self, extract: ResourceExtract, stored: Iterable[pa.Table], entity_type: EntityType, *, complete: bool
    ) -> ResourceComparison:
        with _damaged_states_as_store_errors(entity_type.identifier):
            return _compare_all(self._workbench, extract, stored, complete=complete)

    def commands(self, extract: ResourceExtract, stored: pa.Table, entity_type: EntityType) -> ResourceComparison:
        with _damaged_states_as_store_errors(entity_type.identifier):
            return _compare_commands(self._workbench_for(extract.rows, stored), extract, stored)

    def links(
        self,
        extract: LinkExtract,
        sides: LinkSides,
        association: EntityAssociation,
        *,
        complete: bool,
    ) -> LinkComparison:
        workbench = self._workbench_for(extract.rows, sides.first, sides.second, sides.links)
        return compare_links(workbench, extract, sides, association, complete=complete)

    def link_commands(
        self, extract: LinkExtract, earlier: EarlierPairs, sides: LinkSides, association: EntityAssociation
    ) -> LinkCommandsComparison:
        workbench = self._workbench_for(extract.rows, sides.first, sides.second, sides.links, earlier.standing)
        return compare_link_commands(workbench, extract, earlier, sides, association)

    def _workbench_for(self, *tables: pa.Table) -> Workbench:
        return self._for_few if sum(table.num_rows for table in tables) <= _FEW else self._workbench

    def read_anew(self, stored: pa.Table, reading: NewReading) -> ValuesReadAnew:
        with _damaged_states_as_store_errors(reading.entity_type):
            return values_read_anew(self._workbench, stored, reading)

    def pairs(self, links: pa.Table, kept: KeptPairs) -> PairChanges:
        return pair_changes(self._workbench, links, kept)


@contextmanager
def _damaged_states_as_store_errors(entity_type: str) -> Iterator[None]:
    """Blames the store for JSON that cannot be parsed.

    The JSON of an extract was written by this run.
    """
    try:
        yield
    except duckdb.InvalidInputException as e:
        raise store_damaged(f"the state of a {entity_type} cannot be read ({shown(str(e))})") from e


def _compare_all(
    workbench: Workbench, extract: ResourceExtract, stored: Iterable[pa.Table], *, complete: bool
) -> ResourceComparison:
    """Compares an extract with all live resources of an entity type.

    :param stored: portions of them, of which one is in memory at a time.
    :param complete: deletes the resources that are missing in the extract.
    """
    portions = (portion for portion in stored if portion.num_rows)
    first = next(portions, None)
    if first is None:
        created = extract.rows.select(["key", "line", "state"]).cast(RESOURCES)
        changes = ResourceChanges(created=created, updated=UPDATES.empty_table(), deleted=RESOURCES.empty_table())
        return _all_applied(changes)
    kept = pa.table({"key": extract.kept})
    incomplete = extract.cleansed.incomplete is not None
    missing = f"""SELECT key, line, before AS state FROM differing
        WHERE after IS NULL AND {complete} AND key NOT IN (SELECT key FROM kept) ORDER BY key"""
    with workbench.connection(incoming=extract.rows, kept=kept) as db:
        _find_differences(db, chain([first], portions))
        created = "SELECT key, line, after AS state FROM differing WHERE before IS NULL ORDER BY line"
        gone = arrow(db, missing, RESOURCES)
        changes = ResourceChanges(
            created=arrow(db, created, RESOURCES),
            updated=updated_rows(db),
            deleted=RESOURCES.empty_table() if incomplete else gone,
        )
    return evolve(_all_applied(changes), spared=gone if incomplete else None)


def _find_differences(db: duckdb.DuckDBPyConnection, portions: Iterator[pa.Table]) -> None:
    """Creates the table of what differs: ``key``, ``line``, ``after``, ``before``."""
    first = next(portions)
    second = next(portions, None)
    if second is None:
        db.register("stored", first)
        db.execute(
            """CREATE TEMP TABLE differing AS
            SELECT key, i.line, i.state AS after, s.state AS before
            FROM incoming i FULL JOIN stored s USING (key) WHERE i.state IS DISTINCT FROM s.state"""
        )
        return
    db.execute("CREATE TEMP TABLE differing (key VARCHAR, line BIGINT, after VARCHAR, before VARCHAR)")
    portions, keys = chain([first, second], portions), []
    del first, second
    for portion in portions:
        db.register("stored", portion)
        db.execute(
            """INSERT INTO differing SELECT s.key, i.line, i.state, s.state
            FROM stored s LEFT JOIN incoming i ON i.key = s.key WHERE i.state IS DISTINCT FROM s.state"""
        )
        keys.append(portion.select(["key"]))
    db.register("known", pa.concat_tables(keys))
    db.execute(
        """INSERT INTO differing SELECT i.key, i.line, i.state, NULL
        FROM incoming i ANTI JOIN known k ON k.key = i.key"""
    )


def _all_applied(changes: ResourceChanges) -> ResourceComparison:
    none = NOT_APPLIED.empty_table()
    return ResourceComparison(changes=changes, unknown=none, doubtful=none, ended=ENDED.empty_table())


def _compare_commands(workbench: Workbench, extract: ResourceExtract, stored: pa.Table) -> ResourceComparison:
    """Compares an extract with a command column with the live resources that it names.

    ``insert`` of an existing resource updates it. ``update`` sets every mapped property. ``merge`` sets those that have
    a value, and creates the resource if it is missing. ``delete`` of a missing resource does nothing. Several rows of
    one key have the effect that they have one after another.
    """
    if extract.rows.num_rows == 0:
        return _all_applied(
            ResourceChanges(
                created=RESOURCES.empty_table(), updated=UPDATES.empty_table(), deleted=RESOURCES.empty_table()
            )
        )
    faulty = extract.faulty if extract.faulty is not None else FAULTY.empty_table()
    with workbench.connection(incoming=extract.rows, faulty=faulty, stored=stored) as db:
        is_repeated = _repeats_keys(extract.rows, faulty)
        if is_repeated:
            fold_repeated_keys(db)
        db.execute(
            f"""CREATE TEMP TABLE commanded AS
            SELECT i.key, i.line, i.command, i.state AS after, s.state AS before
            FROM {"folded" if is_repeated else "incoming"} i LEFT JOIN stored s USING (key)"""
        )
        names = _names_of_few(extract.rows["state"], stored["state"])
        if pc.any(pc.equal(extract.rows["command"], "merge")).as_py():
            _merge(db, names)
        # Few queries: with few rows, planning them takes all of the time.
        rows = arrow(db, "SELECT key, line, command, before, after FROM commanded ORDER BY line", _COMMANDED)
        is_there, is_deleted = pc.is_valid(rows["before"]), pc.equal(rows["command"], "delete")
        is_update = pc.equal(rows["command"], "update")
        differs = pc.and_(is_there, pc.and_(pc.invert(is_deleted), pc.not_equal(rows["before"], rows["after"])))
        updated = UPDATES.empty_table()
        if pc.any(differs).as_py():
            db.register("differing", rows.filter(differs))
            updated = updated_rows(db, names)
        changes = ResourceChanges(
            created=_states(
                rows.filter(pc.and_(pc.invert(is_there), pc.invert(pc.or_(is_deleted, is_update)))), "after"
            ),
            updated=updated,
            deleted=_states(rows.filter(pc.and_(is_there, is_deleted)), "before").sort_by("key"),
        )
        unknown = rows.filter(pc.and_(pc.invert(is_there), is_update)).select(NOT_APPLIED.names)
        if not is_repeated:
            ended = _states(rows.filter(is_deleted), "before")
            return ResourceComparison(
                changes=changes, unknown=unknown, doubtful=NOT_APPLIED.empty_table(), ended=ended.select(ENDED.names)
            )
        all_unknown = pa.concat_tables([arrow(db, "SELECT key, line FROM unknown", NOT_APPLIED), unknown])
        return ResourceComparison(
            changes=changes,
            unknown=all_unknown.sort_by("line"),
            doubtful=arrow(db, "SELECT key, line FROM doubtful ORDER BY line", NOT_APPLIED),
            ended=arrow(db, "SELECT key, ended.line, s.state FROM ended LEFT JOIN stored s USING (key)", ENDED),
        )


_COMMANDED = pa.schema([*NOT_APPLIED, *((name, pa.string()) for name in ("command", "before", "after"))])


def _repeats_keys(rows: pa.Table, faulty: pa.Table) -> bool:
    """Whether several rows name one key."""
    keys = pa.concat_arrays([table["key"].combine_chunks().cast(pa.string()) for table in (rows, faulty)])
    return bool(pc.count_distinct(keys, mode="all").as_py() < len(keys))


def _states(rows: pa.Table, name: str) -> pa.Table:
    return rows.select(["key", "line", name]).rename_columns(RESOURCES.names).cast(RESOURCES)


def _names_of_few(*states: pa.ChunkedArray) -> list[str] | None:
    """The properties that occur in these states, sorted; None where there are many, or where one cannot be read."""
    if sum(map(len, states)) > _FEW_STATES:
        return None
    try:
        return sorted({name for column in states for state in column.to_pylist() for name in json.loads(state or "{}")})
    except ValueError:
        return None


def _merge(db: duckdb.DuckDBPyConnection, names: list[str] | None) -> None:
    """Completes the states of merged rows with the stored values that they do not set.

    The order is canonical.

    :param names: the properties that occur; None where they are to be found out.
    """
    names = property_names(db, "commanded") if names is None else names
    if not names:
        return
    paths = json_paths(names)
    members = ", ".join(
        f"""'"{name}":' || coalesce(list_extract(a, {n}), list_extract(b, {n}))""" for n, name in enumerate(names, 1)
    )
    db.execute(
        f"""UPDATE commanded SET after = merged.state FROM (
            SELECT key, '{{' || concat_ws(',', {members}) || '}}' AS state FROM (
                SELECT key, json_extract(after, {paths}) AS a, json_extract(before, {paths}) AS b
                FROM commanded WHERE command = 'merge' AND before IS NOT NULL)
        ) AS merged WHERE commanded.key = merged.key"""
    )
