"""Functions by which the owner of a store lets others discard and erase.

They remove only what a record allows.
"""

from __future__ import annotations

from deltamark.infrastructure.store.events import payload
from deltamark.infrastructure.store.events.mapper import CHANGE_TOPICS, ERASED
from deltamark.infrastructure.store.events.run_events import CHANGES_DISCARDED, ERASABLE_RECORDS, RESOURCE_ERASED

DISCARD_EVENTS, ERASE_EVENTS = "discard_events", "erase_events"

_LEFT = payload.sql_object(
    {
        name: "coalesce(" + ", ".join(f"w.state ->> '{old}'" for old in olds) + ")"
        for name, olds in payload.LEFT_BY_ERASURE.items()
    }
)
_TOPICS = ", ".join(f"'{topic}'" for topic in CHANGE_TOPICS)
_ERASABLE = ", ".join(f"'{topic}'" for topic in (*CHANGE_TOPICS, *ERASABLE_RECORDS))

# It runs with the rights of the owner, so it checks everything: this transaction must have written the record; only
# changes are deleted that lie between the positions of the record, are covered by a snapshot and lie below a horizon,
# and only if there are as many as the record says. Otherwise nothing is deleted. Events of runs, and so the records,
# never are.
#
# The body is parsed once, when it is created (BEGIN ATOMIC): its tables and operators do not depend on the search_path
# of the caller, and stay right when the schema is renamed.
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

# The same for an erasure: this transaction must have written the record, and its positions must be changes, rows set
# aside or links that wait, with stubs, as many as it says. Their time and origin remain. Snapshots of its streams are
# deleted, unless a resource or link has them.
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
            WHERE e.topic IN ({_ERASABLE})
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
