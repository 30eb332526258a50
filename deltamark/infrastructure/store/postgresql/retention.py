"""Retention as the owner of a store lets others do it: a function that deletes what a record allows, nothing else."""

from __future__ import annotations

from deltamark.infrastructure.store.mapper import CHANGE_TOPICS
from deltamark.infrastructure.store.run_payload import CHANGES_DISCARDED

DISCARD_EVENTS = "discard_events"

_TOPICS = ", ".join(f"'{topic}'" for topic in CHANGE_TOPICS)

# It runs with the rights of the owner, so it takes nothing on trust: the record must be in the log by this very
# transaction; what goes must be changes, lie between the positions in the record, be covered by a snapshot, lie below
# a horizon, and be as many as the record says. Otherwise nothing goes. Events of runs, and so the records, never do.
#
# The body is parsed once, when it is made (BEGIN ATOMIC): which tables and operators it means does not depend on
# anybody's search_path, and goes on being right when the schema is renamed.
CREATE_DISCARD_EVENTS = (
    f"""CREATE OR REPLACE FUNCTION {DISCARD_EVENTS}(record bigint) RETURNS bigint
    LANGUAGE sql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
    BEGIN ATOMIC
        WITH
        said AS MATERIALIZED (
            SELECT (written ->> 'first')::bigint AS first, (written ->> 'up_to')::bigint AS up_to,
                (written ->> 'count')::bigint AS count
            FROM (SELECT convert_from(r.state, 'UTF8')::json AS written FROM stored_events r
                WHERE r.notification_id = record AND r.topic = '{CHANGES_DISCARDED}'
                AND r.xmin = pg_current_xact_id()::xid) r
        ),
        subjects AS (
            SELECT r.stream, h.position FROM resources r
            JOIN entity_types t ON t.id = r.entity_type JOIN horizons h ON h.subject = t.name
            UNION ALL
            SELECT l.stream, h.position FROM links l
            JOIN associations a ON a.id = l.association JOIN horizons h ON h.subject = a.name
        ),
        allowed AS MATERIALIZED (
            SELECT DISTINCT e.notification_id FROM stored_events e
            JOIN snapshots s ON s.stream = e.originator_id AND e.notification_id <= s.position
            JOIN subjects p ON p.stream = e.originator_id AND e.notification_id <= p.position
            WHERE e.topic IN ({_TOPICS}) AND e.notification_id >= (SELECT first FROM said)
            AND e.notification_id <= (SELECT up_to FROM said)
        ),
        gone AS (
            DELETE FROM stored_events WHERE notification_id IN (SELECT notification_id FROM allowed)
            AND (SELECT count(*) FROM allowed) = (SELECT count FROM said)
            RETURNING 1
        )
        SELECT count(*) FROM gone;
    END""",
    f"REVOKE ALL ON FUNCTION {DISCARD_EVENTS}(bigint) FROM PUBLIC",
)
