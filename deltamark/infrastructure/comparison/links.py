"""Compares the pairs of an extract with the live links of an association."""

from __future__ import annotations

import duckdb
import pyarrow as pa

from deltamark.application.ports.arrow_schemas import LINKS
from deltamark.application.ports.comparer import LinkComparison, LinkSides
from deltamark.application.ports.extracts import LinkExtract
from deltamark.application.ports.records import LinkChanges
from deltamark.domain.configuration.entity_model import EntityAssociation
from deltamark.infrastructure.duckdb.connection import Workbench, arrow

VALUES = pa.schema([("line", pa.int64()), ("value1", pa.string()), ("value2", pa.string())])
UNRESOLVED = pa.schema([*VALUES, ("missing", pa.int64())])


def compare_links(
    workbench: Workbench,
    extract: LinkExtract,
    sides: LinkSides,
    association: EntityAssociation,
    *,
    complete: bool,
) -> LinkComparison:
    """Compares all pairs with all live links of an association.

    If an extract gives several links to an end that may have only one, the one with the smallest key is kept, so that
    the order of rows never decides. A row that was set aside, and a row with a value that several resources have,
    remove no link of the resources that the first value may refer to. At an end that may have only one link, such a
    spared link takes precedence over those of the extract.
    """
    kept = pa.table({"value": extract.kept})
    with workbench.connection(
        incoming=extract.rows, first=sides.first, second=sides.second, stored=sides.links, kept=kept
    ) as db:
        _resolve(db)
        everything = extract.cleansed.incomplete is not None
        which = _spared(association, complete=complete, everything=everything, unnamed=extract.spared_ends)
        _spare(db, which)
        surplus = _keep_single(db, association)
        return LinkComparison(
            changes=LinkChanges(
                linked=arrow(db, _LINKED, LINKS),
                unlinked=arrow(db, _unlinked(association), LINKS),
            ),
            orphans=arrow(db, _unresolved("= 0"), UNRESOLVED),
            ambiguous=arrow(db, _unresolved("> 1"), UNRESOLVED),
            surplus=surplus,
        )


_COLUMNS = ", ".join(LINKS.names)
_LINKED = f"""SELECT {_COLUMNS} FROM (
    SELECT p.* FROM pairs p ANTI JOIN stored l ON p.source = l.source AND p.target = l.target)
    ORDER BY line, {_COLUMNS}"""


def _unlinked(association: EntityAssociation) -> str:
    """SQL for the links to remove, with the line of the row that gives their only link to another at an end."""
    single = {
        "source": not association.is_property1_collection,
        "target": not association.is_property2_collection,
    }
    lines = [
        f"(SELECT min(p.line) FROM pairs p WHERE p.{end} = gone.{end})"
        for end, is_single in single.items()
        if is_single
    ]
    line = f"coalesce({', '.join([*lines, 'NULL::BIGINT'])})"
    return f"""SELECT {_COLUMNS} FROM (SELECT gone.*, {line} AS line FROM (
        SELECT l.* FROM stored l
        ANTI JOIN pairs p ON p.source = l.source AND p.target = l.target
        ANTI JOIN spared s ON s.source = l.source AND s.target = l.target) gone) ORDER BY source_key, target_key"""


def _resolve(db: duckdb.DuckDBPyConnection) -> None:
    """Fills `counted` and `resolved`.

    `counted` has the number of resources with each value, `resolved` pairs of streams.
    """
    db.execute(
        """CREATE TEMP TABLE counted AS
        SELECT i.*, coalesce(a.n, 0) AS n1, coalesce(b.n, 0) AS n2 FROM incoming i
        LEFT JOIN (SELECT value, count(*) AS n FROM first GROUP BY value) a ON a.value = i.value1
        LEFT JOIN (SELECT value, count(*) AS n FROM second GROUP BY value) b ON b.value = i.value2"""
    )
    db.execute(
        """CREATE TEMP TABLE resolved AS
        SELECT f.stream AS source, s.stream AS target, f.key AS source_key, s.key AS target_key,
            c.line, c.value1, c.value2
        FROM counted c JOIN first f ON f.value = c.value1 JOIN second s ON s.value = c.value2
        WHERE c.n1 = 1 AND c.n2 = 1"""
    )


def _spare(db: duckdb.DuckDBPyConnection, which: str) -> None:
    """Fills `spared` with the links that stay, whatever the readable rows say."""
    db.execute(f"CREATE TEMP TABLE spared AS SELECT l.* FROM stored l WHERE {which}")


def _spared(association: EntityAssociation, *, complete: bool, everything: bool, unnamed: frozenset[int]) -> str:
    """The condition for spared links `l`.

    :param everything: whether the extract cannot show that a link is missing.
    :param unnamed: the ends (0, 1) at which resources that no row can name keep their links.
    """
    if everything:
        return "TRUE"
    doubtful = """l.source IN (SELECT f.stream FROM kept k JOIN first f ON f.value = k.value
        UNION ALL SELECT f.stream FROM counted c JOIN first f ON f.value = c.value1 WHERE c.n1 > 1 OR c.n2 > 1)"""
    for end, (name, side) in enumerate((("source", "first"), ("target", "second"))):
        if end in unnamed:
            doubtful += f" OR l.{name} NOT IN (SELECT stream FROM {side})"
    if complete:
        return doubtful
    single = {
        "source": not association.is_property1_collection,
        "target": not association.is_property2_collection,
    }
    replaced = [f"l.{end} IN (SELECT {end} FROM resolved)" for end, is_single in single.items() if is_single]
    return f"{doubtful} OR NOT ({' OR '.join(replaced) or 'FALSE'})"


def _keep_single(db: duckdb.DuckDBPyConnection, association: EntityAssociation) -> pa.Table:
    """Fills `pairs` with the links that are allowed, and returns the surplus ones."""
    db.execute(
        """CREATE TEMP TABLE pairs AS
        SELECT source, target, any_value(source_key) AS source_key, any_value(target_key) AS target_key,
            min(line) AS line, arg_min(value1, line) AS value1, arg_min(value2, line) AS value2,
            bool_or(is_spared) AS is_spared
        FROM (SELECT *, FALSE AS is_spared FROM resolved
            UNION ALL BY NAME SELECT *, TRUE AS is_spared FROM spared)
        GROUP BY source, target"""
    )
    surplus = [VALUES.empty_table()]
    for single, end, by in (
        (not association.is_property1_collection, "source", "target_key"),
        (not association.is_property2_collection, "target", "source_key"),
    ):
        if single:
            ranked = f"row_number() OVER (PARTITION BY {end} ORDER BY is_spared DESC, {by}) > 1"
            db.execute(f"CREATE OR REPLACE TEMP TABLE ranked AS SELECT *, {ranked} AS surplus FROM pairs")
            surplus.append(
                arrow(
                    db,
                    "SELECT line, value1, value2 FROM ranked WHERE surplus AND line IS NOT NULL ORDER BY line",
                    VALUES,
                )
            )
            db.execute("CREATE OR REPLACE TEMP TABLE pairs AS SELECT * EXCLUDE surplus FROM ranked WHERE NOT surplus")
    return pa.concat_tables(surplus)


def _unresolved(matches: str) -> str:
    """SQL for the rows with a value that no resource has, or more than one.

    :param matches: a condition on the number of resources, such as ``= 0``.
    """
    return f"""SELECT line, value1, value2, CASE WHEN n1 {matches} THEN 1 ELSE 2 END AS missing FROM counted
        WHERE n1 {matches} OR n2 {matches} ORDER BY line"""
