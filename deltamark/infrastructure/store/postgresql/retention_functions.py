"""Retention and erasure as the owner of a store lets others do it: functions that remove what a record allows, nothing
else."""

from __future__ import annotations

from deltamark.infrastructure.store.events import payload
from deltamark.infrastructure.store.events.mapper import CHANGE_TOPICS, ERASED
from deltamark.infrastructure.store.events.run_events import CHANGES_DISCARDED, RESOURCE_ERASED

DISCARD_EVENTS, ERASE_EVENTS = "discard_events", "erase_events"

_LEFT = payload.sql_object({name: f"(w.state ->> '{name}')" for name in payload.LEFT_BY_ERASURE})
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
            SELECT (written ->> '{payload.FIRST}')::bigint AS first, (written ->> '{payload.UP_TO}')::bigint AS up_to,
                (written ->> '{payload.COUNT}')::bigint AS count
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

# Likewise for an erasure: the record must be in the log by this very transaction, the positions that it names must be
# changes whose leaves were kept, and as many as it says. What is left of them is their time and cause. Snapshots go of
# the streams that it names, if no resource or link has them any more.
CREATE_ERASE_EVENTS = (
    f"""CREATE OR REPLACE FUNCTION {ERASE_EVENTS}(record bigint) RETURNS bigint
    LANGUAGE sql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
    BEGIN ATOMIC
        WITH
        said AS MATERIALIZED (
            SELECT convert_from(r.state, 'UTF8')::json AS written FROM stored_events r
            WHERE r.notification_id = record AND r.topic = '{RESOURCE_ERASED}'
            AND r.xmin = pg_current_xact_id()::xid
        ),
        named AS (
            SELECT (r.value ->> 0)::bigint AS first, (r.value ->> 1)::bigint AS last
            FROM said, json_array_elements(said.written -> '{payload.RANGES}') r
        ),
        allowed AS MATERIALIZED (
            SELECT e.notification_id, e.originator_id, convert_from(e.state, 'UTF8')::json AS state
            FROM named n JOIN stored_events e ON e.notification_id BETWEEN n.first AND n.last
            JOIN stubs s ON s.position = e.notification_id
            WHERE e.topic IN ({_TOPICS})
        ),
        whole AS MATERIALIZED (
            SELECT a.* FROM allowed a
            WHERE (SELECT count(*) FROM allowed) = (SELECT (written ->> '{payload.COUNT}')::bigint FROM said)
        ),
        unkept AS (
            DELETE FROM snapshots WHERE stream IN (SELECT s.value::bigint FROM said, json_array_elements_text(
                said.written -> '{payload.STREAMS}') s)
            AND (SELECT count(*) FROM whole) = (SELECT (written ->> '{payload.COUNT}')::bigint FROM said)
            AND NOT EXISTS (SELECT 1 FROM resources r WHERE r.stream = snapshots.stream)
            AND NOT EXISTS (SELECT 1 FROM links l WHERE l.stream = snapshots.stream)
            RETURNING 1
        ),
        emptied AS (
            UPDATE stored_events e SET topic = '{ERASED}', seal = NULL, state = convert_to(
                {_LEFT},
                'UTF8')
            FROM whole w WHERE e.notification_id = w.notification_id RETURNING 1
        )
        SELECT count(*) FROM emptied;
    END""",
    f"REVOKE ALL ON FUNCTION {ERASE_EVENTS}(bigint) FROM PUBLIC",
)
