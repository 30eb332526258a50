"""Compares the rows of an extract with a command column with the links of the resources that they name.

A pair holds if no later row takes it back: one that deletes it, one that deletes all pairs of an end, or one that names
another pair of an end that may have only one. So the last row that names a pair, and the last rows that concern its
ends, decide, and all pairs are decided at once.
"""

from __future__ import annotations

import pyarrow as pa
import pyarrow.compute as pc

from deltamark.application.ports.arrow_schemas import LINKS
from deltamark.application.ports.comparer import EarlierPairs, LinkCommandsComparison, LinkSides
from deltamark.application.ports.extracts import LinkExtract
from deltamark.application.ports.records import LinkChanges
from deltamark.domain.configuration.entity_model import EntityAssociation
from deltamark.infrastructure.comparison.links import UNRESOLVED, VALUES
from deltamark.infrastructure.duckdb.connection import Workbench, query_once

FAULTY = pa.schema([("value1", pa.string()), ("line", pa.int64()), ("command", pa.string())])
PAIRS = pa.schema([("value1", pa.string()), ("value2", pa.string())])

_FOUND = pa.schema(
    [("kind", pa.string()), *LINKS, ("value1", pa.string()), ("value2", pa.string()), ("missing", pa.int64())]
)

_COLUMNS = ", ".join(LINKS.names)


def compare_link_commands(
    workbench: Workbench, extract: LinkExtract, earlier: EarlierPairs, sides: LinkSides, association: EntityAssociation
) -> LinkCommandsComparison:
    """Compares rows with commands with links: the result is that of applying the rows one after another.

    ``insert``, ``update`` and ``merge`` add a link, in place of others where only one is allowed; without a second
    value, the first two remove the link where only one is allowed. ``delete`` removes a link; without a second value,
    all links of the first. ``replace`` adds a link, and the first such row of a first value removes all links that the
    value had before; without a second value, each of them does. A row without a first value is the row of a resource at
    the second end, which then has no link.
    """
    faulty = extract.faulty if extract.faulty is not None else FAULTY.empty_table()
    if not any(table.num_rows for table in (extract.rows, faulty, earlier.standing, earlier.ended, sides.links)):
        return _NOTHING
    with workbench.connection(
        incoming=extract.rows,
        faulty=faulty,
        standing=earlier.standing,
        ended=earlier.ended,
        deleted1=earlier.deleted[0],
        deleted2=earlier.deleted[1],
        first=sides.first,
        second=sides.second,
        links=sides.links,
    ) as db:
        found = query_once(db, _query(association, earlier)).cast(_FOUND)

    def of(kind: str, schema: pa.Schema, *order: str) -> pa.Table:
        rows = found.filter(pc.equal(found.column("kind"), kind)).select(schema.names)
        return rows.sort_by([(name, "ascending") for name in order]) if order else rows

    return LinkCommandsComparison(
        changes=LinkChanges(
            linked=of("linked", LINKS, "line", *LINKS.names[:4]),
            unlinked=of("unlinked", LINKS, "source_key", "target_key"),
        ),
        orphans=of("orphan", UNRESOLVED, "line"),
        ambiguous=of("ambiguous", UNRESOLVED, "line"),
        surplus=of("surplus", VALUES, "line", "value1", "value2"),
        waiting=of("waiting", PAIRS),
        doubtful=of("doubtful", VALUES, "line"),
    )


_NOTHING = LinkCommandsComparison(
    changes=LinkChanges(linked=LINKS.empty_table(), unlinked=LINKS.empty_table()),
    orphans=UNRESOLVED.empty_table(),
    ambiguous=UNRESOLVED.empty_table(),
    surplus=VALUES.empty_table(),
    waiting=PAIRS.empty_table(),
    doubtful=VALUES.empty_table(),
)
"""What no row and no earlier pair changes."""


def _replacing_ends(association: EntityAssociation, rows_of: int | None) -> tuple[bool, bool]:
    """For both ends, whether a pair takes the place of all others of that end."""
    return (
        not association.is_property1_collection or rows_of == 0,
        not association.is_property2_collection or rows_of == 1,
    )


def _query(association: EntityAssociation, earlier: EarlierPairs) -> str:
    """The query for everything that is found, as rows of `_FOUND`.

    One query, planned once: planning it costs the same however few the rows are.
    """
    replaces = _replacing_ends(association, earlier.rows_of)
    parts = {
        **_live_links(any_ended=earlier.ended.num_rows > 0),
        "counted": _COUNTED,
        **_judged(replaces, earlier.rows_of),
        **_last_rows(replaces, earlier.rows_of),
        "holding": _HOLDING,
        "staying": _STAYING,
        "resolved": _RESOLVED,
        **_linked(association),
    }
    named = ", ".join(f"{name} AS MATERIALIZED ({sql})" for name, sql in parts.items())
    found = " UNION ALL BY NAME ".join(f"SELECT '{kind}' AS kind, * FROM ({sql})" for kind, sql in _FINDINGS.items())
    return f"WITH {named} SELECT {', '.join(_FOUND.names)} FROM ({found})"


def _live_links(*, any_ended: bool) -> dict[str, str]:
    """All live links that are compared, `live`, and those that a pair still names, `named`."""
    live, named = "SELECT * FROM links", "SELECT * FROM links"
    if any_ended:
        live, named = f"{live} UNION SELECT * FROM ended", f"{named} EXCEPT SELECT * FROM ended"
    return {"live": live, "named": named}


_COUNTED = """SELECT i.*, CASE WHEN i.value1 IS NULL THEN 1 ELSE coalesce(a.n, 0) END AS n1,
        CASE WHEN i.value2 IS NULL THEN 1 ELSE coalesce(b.n, 0) END AS n2
    FROM (
        SELECT line, value1, value2, command FROM incoming
        UNION ALL SELECT DISTINCT 0, value1, value2, 'insert' FROM standing) i
    LEFT JOIN (SELECT value, count(*) AS n FROM first GROUP BY value) a ON a.value = i.value1
    LEFT JOIN (SELECT value, count(*) AS n FROM second GROUP BY value) b ON b.value = i.value2"""
"""The rows, and the number of resources that have their values.

Pairs that stand from earlier have the line 0: they come before all rows.
"""


def _judged(replaces: tuple[bool, bool], rows_of: int | None) -> dict[str, str]:
    """The rows that name at most one resource at each end, `judged`, and those among them that have an effect.

    Those that remove links before a row of the same first value that was set aside are doubtful. `restarts` marks the
    first ``replace`` of a value; it removes nothing where a row that was set aside may belong to what replaces.
    """
    lacking = [*(["value2 IS NULL"] if replaces[0] else []), *(["value1 IS NULL"] if rows_of == 1 else [])]
    empties = f"(command IN ('insert', 'update') AND ({' OR '.join(lacking) or 'FALSE'}))"
    judged = f"""WITH last_faults AS (
            SELECT value1, max(line) AS line, bool_or(coalesce(command, 'replace') = 'replace') AS may_replace FROM (
                SELECT value1, line, command FROM faulty
                UNION ALL SELECT value1, line, command FROM counted WHERE n1 > 1 OR n2 > 1) GROUP BY value1
        ), first_replaced AS (
            SELECT value1, min(line) AS line FROM counted WHERE command = 'replace' GROUP BY value1
        ), marked AS (
            SELECT *, command = 'delete' OR (command = 'replace' AND value2 IS NULL) AS deletes, {empties} AS empties
            FROM counted WHERE (n1 <= 1 AND n2 <= 1) OR line = 0)
        SELECT m.*, (deletes OR empties) AND coalesce(m.line < f.line, FALSE) AS is_doubtful,
            command = 'replace' AND NOT deletes AND m.line = r.line
                AND NOT coalesce(f.may_replace OR m.line < f.line, FALSE) AS restarts
        FROM marked m LEFT JOIN last_faults f USING (value1) LEFT JOIN first_replaced r USING (value1)"""
    return {"judged": judged, "effective": "SELECT * FROM judged WHERE NOT is_doubtful"}


def _last_rows(replaces: tuple[bool, bool], rows_of: int | None) -> dict[str, str]:
    """The last rows that concern pairs and ends: `pairs`, `cleared1` and `cleared2`.

    `pairs` has the last row that adds a pair, and the last that deletes it. `cleared…` has the last row that removes
    the other pairs of an end (`line`), and the last one that removes all of them (`whole`): that of a row which
    deletes the resource, too.
    """
    parts = {
        "pairs": """SELECT value1, value2, max(line) FILTER (NOT deletes) AS line,
            max(line) FILTER (deletes) AS deleted, any_value(n1) AS n1, any_value(n2) AS n2
        FROM effective WHERE value1 IS NOT NULL AND value2 IS NOT NULL GROUP BY value1, value2"""
    }
    for end in (0, 1):
        clears = ["deletes AND value2 IS NULL", "restarts"] if end == 0 else []
        clears += ["deletes"] if rows_of == end else []
        clears += ["empties", "NOT deletes AND value1 IS NOT NULL AND value2 IS NOT NULL"] if replaces[end] else []
        value = f"value{end + 1}"
        parts[f"cleared{end + 1}"] = f"""
            SELECT {value}, max(line) AS line, coalesce(max(line) FILTER (is_whole), -1) AS whole FROM (
                SELECT {value}, line, deletes OR value1 IS NULL OR value2 IS NULL AS is_whole FROM effective
                WHERE {" OR ".join(f"({clear})" for clear in clears) or "FALSE"}
                UNION ALL SELECT value, line, TRUE FROM deleted{end + 1}) GROUP BY {value}"""
    return parts


_NOT_CLEARED = """
    LEFT JOIN cleared1 a ON a.value1 = p.value1
    LEFT JOIN cleared2 b ON b.value2 = p.value2
    WHERE coalesce(a.line <= p.line AND a.whole < p.line, TRUE)
        AND coalesce(b.line <= p.line AND b.whole < p.line, TRUE)"""
"""The conditions under which no later row about an end of the pair `p` takes it back."""

_HOLDING = f"""SELECT p.* FROM pairs p {_NOT_CLEARED}
    AND p.line IS NOT NULL AND coalesce(p.deleted < p.line, TRUE)"""
"""The pairs that hold after the last row."""

_STAYING = f"""SELECT source, target, source_key, target_key FROM (
        SELECT l.*, f.value AS value1, s.value AS value2, 0 AS line FROM named l
        LEFT JOIN first f ON f.stream = l.source LEFT JOIN second s ON s.stream = l.target) p
    ANTI JOIN (SELECT value1, value2 FROM pairs WHERE deleted IS NOT NULL) d
    ON d.value1 = p.value1 AND d.value2 = p.value2 {_NOT_CLEARED}"""
"""The links that hold after the last row."""

_RESOLVED = """SELECT f.stream AS source, s.stream AS target, f.key AS source_key, s.key AS target_key, h.line,
        h.value1, h.value2
    FROM holding h JOIN first f ON f.value = h.value1 JOIN second s ON s.value = h.value2
    WHERE h.n1 = 1 AND h.n2 = 1"""


def _linked(association: EntityAssociation) -> dict[str, str]:
    """The links after the last row, `linked`, and pairs beyond the one that an end may have, `surplus`.

    A pair that stands from earlier gives way to a link. Of several that one row names, the smallest key is kept.
    """
    linked = """SELECT r.*, s.source IS NOT NULL AS stays
        FROM resolved r LEFT JOIN staying s ON s.source = r.source AND s.target = r.target
        UNION ALL
        SELECT s.*, -1, NULL, NULL, TRUE
        FROM staying s ANTI JOIN resolved r ON r.source = s.source AND r.target = s.target"""
    parts, surplus = {}, ["SELECT line, value1, value2 FROM resolved WHERE FALSE"]
    for single, end, other in (
        (not association.is_property1_collection, "source", "target_key"),
        (not association.is_property2_collection, "target", "source_key"),
    ):
        if single:
            parts[f"linked_by_{end}"] = linked
            parts[f"surplus_of_{end}"] = f"""SELECT line, value1, value2, source, target FROM (
                    SELECT *, row_number() OVER (PARTITION BY {end}
                        ORDER BY line > 0 DESC, stays DESC, {other}) > 1 AS is_surplus FROM linked_by_{end})
                WHERE is_surplus AND (line > 0 OR NOT stays)"""
            surplus.append(f"SELECT line, value1, value2 FROM surplus_of_{end}")
            linked = f"""SELECT l.* FROM linked_by_{end} l
                ANTI JOIN surplus_of_{end} s ON s.source = l.source AND s.target = l.target"""
    return {**parts, "linked": linked, "surplus": " UNION ALL ".join(surplus)}


_FINDINGS = {
    "linked": f"""SELECT {_COLUMNS} FROM (
        SELECT n.* REPLACE (nullif(n.line, 0) AS line) FROM linked n
        ANTI JOIN live l ON l.source = n.source AND l.target = n.target)""",
    # With the line of the last row that removes the link.
    "unlinked": f"""SELECT {_COLUMNS} FROM (
        SELECT gone.source, gone.target, gone.source_key, gone.target_key,
            max(greatest(p.deleted, a.line, b.line)) AS line
        FROM (SELECT l.* FROM live l ANTI JOIN linked n ON l.source = n.source AND l.target = n.target) gone
        LEFT JOIN first f ON f.stream = gone.source LEFT JOIN second s ON s.stream = gone.target
        LEFT JOIN pairs p ON p.value1 = f.value AND p.value2 = s.value
        LEFT JOIN cleared1 a ON a.value1 = f.value LEFT JOIN cleared2 b ON b.value2 = s.value
        GROUP BY ALL)""",
    "surplus": "SELECT line, value1, value2 FROM surplus WHERE line > 0",
    "waiting": """SELECT value1, value2 FROM holding h
        ANTI JOIN linked n ON n.value1 = h.value1 AND n.value2 = h.value2
        ANTI JOIN (SELECT * FROM surplus WHERE line > 0) o ON o.value1 = h.value1 AND o.value2 = h.value2""",
    "orphan": """SELECT line, value1, value2, CASE WHEN n1 = 0 THEN 1 ELSE 2 END AS missing FROM holding
        WHERE line > 0 AND (n1 = 0 OR n2 = 0)""",
    "ambiguous": """SELECT line, value1, value2, CASE WHEN n1 > 1 THEN 1 ELSE 2 END AS missing FROM counted
        WHERE line > 0 AND (n1 > 1 OR n2 > 1)""",
    "doubtful": "SELECT line, value1, value2 FROM judged WHERE is_doubtful",
}
"""What is found, by its kind."""
