"""The effect of several commands for one resource: that of applying their rows in order.

Set-wise: only the rows of keys that several rows name are looked at, all of them at once.
"""

from __future__ import annotations

import duckdb

from deltamark.infrastructure.duckdb.json_values import json_paths


def fold_repeated_keys(db: duckdb.DuckDBPyConnection) -> None:
    """Fills `folded` with one row a key, `unknown` and `doubtful` with rows that are not applied, and `ended`.

    Reads the tables `incoming`, `faulty` and `stored`. The row of a repeated key has the effect of all its rows:
    ``insert`` sets the whole state, ``merge`` some of its values, ``delete`` removes it. `unknown` has the rows that
    update a resource that does not exist then, but only those of repeated keys. `doubtful` has the deletions before a
    row of the same key that was set aside: that row may have created the resource again. `ended` has the keys of
    resources that a row deletes, and the last such line, whatever later rows do.
    """
    db.execute(
        """CREATE TEMP TABLE repeated AS SELECT key FROM
            (SELECT key FROM incoming UNION ALL SELECT key FROM faulty) GROUP BY key HAVING count(*) > 1"""
    )
    db.execute(
        "CREATE TEMP TABLE folded AS SELECT key, line, command, state FROM incoming ANTI JOIN repeated USING (key)"
    )
    db.execute("CREATE TEMP TABLE ended AS SELECT key, line FROM folded WHERE command = 'delete'")
    _judge(db)
    db.execute("CREATE TEMP VIEW unknown AS SELECT key, line FROM judged WHERE is_unknown")
    db.execute("CREATE TEMP VIEW doubtful AS SELECT key, line FROM judged WHERE is_doubtful")
    _fold(db)


def _judge(db: duckdb.DuckDBPyConnection) -> None:
    """Fills `judged` with the rows of repeated keys, and whether each is applied."""
    db.execute(
        """CREATE TEMP TABLE judged AS
        WITH named AS (
            SELECT key, line, command, state, TRUE AS is_readable FROM incoming SEMI JOIN repeated USING (key)
            UNION ALL
            SELECT key, line, command, NULL, FALSE FROM faulty SEMI JOIN repeated USING (key)
        ), trusted AS (
            SELECT *, is_readable AND command = 'delete' AND coalesce(
                line < max(line) FILTER (NOT is_readable) OVER (PARTITION BY key), FALSE) AS is_doubtful
            FROM named
        ), placed AS (
            SELECT *, last_value(CASE
                    WHEN command IN ('insert', 'merge') THEN TRUE
                    WHEN command = 'delete' AND is_readable AND NOT is_doubtful THEN FALSE END IGNORE NULLS) OVER (
                PARTITION BY key ORDER BY line ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING) AS exists_by_rows
            FROM trusted
        )
        SELECT p.key, p.line, p.command, p.state, p.is_readable, p.is_doubtful,
            p.is_readable AND p.command = 'update' AND NOT coalesce(p.exists_by_rows, s.key IS NOT NULL) AS is_unknown
        FROM placed p LEFT JOIN stored s USING (key)"""
    )


def _fold(db: duckdb.DuckDBPyConnection) -> None:
    """Adds a row for each repeated key to `folded`: what its last whole state and the merges after it give."""
    db.execute(
        """CREATE TEMP TABLE effective AS
        SELECT *, max(line) FILTER (command <> 'merge') OVER (PARTITION BY key) AS whole FROM judged
        WHERE is_readable AND NOT is_doubtful AND NOT is_unknown"""
    )
    db.execute("INSERT INTO ended SELECT key, max(line) FROM effective WHERE command = 'delete' GROUP BY key")
    db.execute("DELETE FROM effective WHERE line < whole")
    db.execute(
        """INSERT INTO folded SELECT key, max(line), CASE
            WHEN any_value(whole) IS NULL THEN 'merge'
            WHEN arg_max(command, line) = 'delete' THEN 'delete'
            ELSE 'insert' END, arg_max(state, line)
        FROM effective GROUP BY key"""
    )
    names = db.execute(
        """SELECT DISTINCT unnest(json_keys(state)) AS name FROM effective
        WHERE key IN (SELECT key FROM effective WHERE command = 'merge') ORDER BY name"""
    ).fetchall()
    if not names:
        return
    members = ", ".join(
        f"""'"{name}":' || arg_max(list_extract(stated, {n}), line)""" for n, (name,) in enumerate(names, 1)
    )
    db.execute(
        f"""UPDATE folded SET state = merged.state FROM (
            SELECT key, '{{' || concat_ws(',', {members}) || '}}' AS state FROM (
                SELECT key, line, json_extract(state, {json_paths([name for (name,) in names])}) AS stated
                FROM effective WHERE key IN (SELECT key FROM effective WHERE command = 'merge'))
            GROUP BY key
        ) AS merged WHERE folded.key = merged.key"""
    )
