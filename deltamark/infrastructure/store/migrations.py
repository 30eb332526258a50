"""The migrations that create the tables of a store, and upgrade those of older stores.

Written once for every database; `Types` has the SQL in which their definitions differ. See `tables` for the result.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

from attrs import frozen

from deltamark.domain.errors import StoreError
from deltamark.infrastructure.store.database import Database
from deltamark.infrastructure.store.integrity.seal_existing_log import seal_log
from deltamark.infrastructure.store.row_seals import seal_rows


@frozen(kw_only=True)
class Types:
    """How a database writes column types and keys.

    :param number: whole numbers of 64 bits.
    :param text: texts, ordered by their bytes in UTF-8.
    :param numbered: a primary key that the database assigns.
    :param clustered: follows a table that is only searched by its primary key.
    :param indexed: a text in an index, which may have only its beginning.
    :param indexed_pair: two texts, both maybe long, in an index, which may have only the beginning of the first.
    :param found_exactly: a text in a unique index, as index expressions.
    :param refers_to: follows a column that refers to the primary key of another table.
    """

    number: str
    text: str
    flag: str
    bytes: str
    numbered: str
    clustered: str
    indexed: Callable[[str], str]
    indexed_pair: Callable[[str, str], str]
    found_exactly: Callable[[str], str]
    refers_to: Callable[[str], str]


@frozen
class Step:
    """A migration from the version before to `version`.

    :param fill: what statements alone cannot do; runs after them.
    """

    version: int
    statements: Callable[[Types], Sequence[str]]
    fill: Callable[[Database], None] | None = None


def _first(t: Types) -> Sequence[str]:
    return (
        # One row: which store this is, and the newest time in its log. Time in a store never runs backwards.
        f"""CREATE TABLE store (
            one {t.number} PRIMARY KEY CHECK (one = 1),
            epoch {t.text} NOT NULL,
            last_at {t.number} NOT NULL,
            next_stream {t.number} NOT NULL,
            next_run {t.number} NOT NULL
        )""",
        f"CREATE TABLE entity_types (id {t.numbered}, name {t.text} NOT NULL UNIQUE)",
        f"CREATE TABLE associations (id {t.numbered}, name {t.text} NOT NULL UNIQUE)",
        # The current state: one row for each resource, kept after its deletion, because its stream may continue.
        f"""CREATE TABLE resources (
            stream {t.number} PRIMARY KEY,
            entity_type {t.number} NOT NULL{t.refers_to("entity_types")},
            key {t.text} NOT NULL,
            version {t.number} NOT NULL,
            position {t.number} NOT NULL,
            live {t.flag} NOT NULL,
            state {t.text} NOT NULL
        )""",
        f"CREATE UNIQUE INDEX resources_by_key ON resources (entity_type, {t.found_exactly('key')})",
        f"""CREATE TABLE links (
            stream {t.number} PRIMARY KEY,
            association {t.number} NOT NULL{t.refers_to("associations")},
            source {t.number} NOT NULL,
            target {t.number} NOT NULL,
            version {t.number} NOT NULL,
            position {t.number} NOT NULL,
            live {t.flag} NOT NULL
        )""",
        "CREATE UNIQUE INDEX links_by_source ON links (association, source, target)",
        "CREATE INDEX links_by_target ON links (target, association)",
        "CREATE INDEX links_of_source ON links (source)",
        # Dirty resources: the change at `position` concerns the resource.
        f"""CREATE TABLE flags (
            position {t.number} NOT NULL,
            resource {t.number} NOT NULL,
            PRIMARY KEY (position, resource)
        ){t.clustered}""",
        f"CREATE TABLE places (consumer {t.text} PRIMARY KEY, position {t.number} NOT NULL, digest {t.text} NOT NULL)",
        # `digest`: of the definition with which the keys of all resources were last computed; empty before.
        f"""CREATE TABLE rules (
            id {t.numbered},
            name {t.text} NOT NULL,
            side {t.text} NOT NULL,
            entity_type {t.text} NOT NULL,
            digest {t.text} NOT NULL,
            UNIQUE (name, side, entity_type)
        )""",
        f"""CREATE TABLE correlation_keys (
            rule {t.number} NOT NULL{t.refers_to("rules")},
            resource {t.number} NOT NULL,
            value {t.text} NOT NULL,
            PRIMARY KEY (rule, resource)
        ){t.clustered}""",
        f"CREATE INDEX correlation_keys_by_value ON correlation_keys (rule, {t.indexed('value')})",
        f"""CREATE TABLE runs (
            number {t.number} PRIMARY KEY,
            stream {t.number} NOT NULL UNIQUE,
            version {t.number} NOT NULL,
            first {t.number} NOT NULL,
            last {t.number} NOT NULL
        )""",
        # When the log grew: no position up to `position` is newer than `at`.
        f"CREATE TABLE moments (position {t.number} PRIMARY KEY, at {t.number} NOT NULL)",
        "CREATE INDEX moments_by_time ON moments (at)",
        # `subject`: the entity type or association whose changes were discarded up to `position`.
        f"""CREATE TABLE horizons (
            subject {t.text} PRIMARY KEY,
            connector {t.text} NOT NULL,
            position {t.number} NOT NULL,
            run {t.number} NOT NULL,
            task {t.text} NOT NULL
        )""",
        # The state after the discarded events of a stream, where folding starts. `position`: all events of the stream
        # up to it were discarded.
        f"""CREATE TABLE snapshots (
            stream {t.number} PRIMARY KEY,
            version {t.number} NOT NULL,
            position {t.number} NOT NULL,
            topic {t.text} NOT NULL,
            state {t.bytes} NOT NULL
        )""",
    )


def _leases(t: Types) -> Sequence[str]:
    return (
        # Which run may run a task, and until when. Not in the log, because leases are no history.
        f"""CREATE TABLE leases (
            task {t.text} PRIMARY KEY,
            run {t.number} NOT NULL,
            taken_at {t.number} NOT NULL,
            heard_at {t.number} NOT NULL,
            until {t.number} NOT NULL
        )""",
    )


def _derived(t: Types) -> Sequence[str]:
    return (
        # Computed values of a resource, apart from the values of its source.
        f"ALTER TABLE resources ADD COLUMN computed {t.text} NOT NULL DEFAULT '{{}}'",
        # The number of the next flag, and that of the newest dropped flag. Like streams, flags get their numbers in the
        # transaction itself: a reader never sees a number without its flags.
        f"ALTER TABLE store ADD COLUMN next_flag {t.number} NOT NULL DEFAULT 1",
        f"ALTER TABLE store ADD COLUMN forgotten_flag {t.number} NOT NULL DEFAULT 0",
        # The dependencies that changes are flagged for. `hops` and `path` are JSON arrays; `property` is null for links
        # and existence. `since`: every change above that position was flagged.
        f"""CREATE TABLE dependencies (
            id {t.numbered},
            entity_type {t.text} NOT NULL,
            hops {t.text} NOT NULL,
            path {t.text} NOT NULL,
            property {t.text},
            leads_to {t.text} NOT NULL,
            since {t.number} NOT NULL
        )""",
        # Dirty resources: a dependency of the resource was changed, first at `position`. Flags are read from a number
        # on, and dropped up to a number.
        "DROP TABLE flags",
        f"""CREATE TABLE flags (
            number {t.number} PRIMARY KEY,
            position {t.number} NOT NULL,
            resource {t.number} NOT NULL,
            dependency {t.number} NOT NULL
        )""",
        # `places` keeps how far changes were flagged. Consumers start again, and compute everything once.
        "DELETE FROM places WHERE consumer<>'*flags*'",
        f"""CREATE TABLE consumed (
            consumer {t.text} NOT NULL,
            rule {t.number} NOT NULL{t.refers_to("rules")},
            flag {t.number} NOT NULL,
            position {t.number} NOT NULL,
            digest {t.text} NOT NULL,
            PRIMARY KEY (consumer, rule)
        ){t.clustered}""",
        f"""CREATE TABLE classifications (
            rule {t.number} NOT NULL{t.refers_to("rules")},
            resource {t.number} NOT NULL,
            PRIMARY KEY (rule, resource)
        ){t.clustered}""",
    )


def _newest(t: Types) -> Sequence[str]:
    return (
        # A consumer that computed everything at a position has seen the changes up to there, but not later ones that
        # have the same flag. So a flag has its first and its newest change. The newest change of older flags is
        # unknown, and not above the position up to which changes were flagged.
        f"ALTER TABLE flags ADD COLUMN newest {t.number} NOT NULL DEFAULT 0",
        "UPDATE flags SET newest = (SELECT position FROM places WHERE consumer='*flags*')",
    )


def _held_back(t: Types) -> Sequence[str]:
    return (
        # Connectors that incremental jobs skip, and the run and task (by its place) that blocked them.
        f"""CREATE TABLE blocked (
            connector {t.text} PRIMARY KEY,
            run {t.number} NOT NULL,
            task {t.number} NOT NULL,
            since {t.number} NOT NULL,
            needs_complete {t.flag} NOT NULL
        )""",
        # What such a task would have changed. Not in the log, because it did not happen.
        f"""CREATE TABLE pending (
            run {t.number} NOT NULL,
            task {t.number} NOT NULL,
            part {t.number} NOT NULL,
            head {t.text} NOT NULL,
            digest {t.text} NOT NULL,
            content {t.bytes} NOT NULL,
            PRIMARY KEY (run, task, part)
        )""",
    )


def _schedules(t: Types) -> Sequence[str]:
    return (
        # How far the schedule of each job was handled. Not in the log: the record of a run says when it was due.
        f"""CREATE TABLE schedules (
            job {t.text} PRIMARY KEY,
            timing {t.text} NOT NULL,
            handled_to {t.number} NOT NULL,
            run {t.number}
        )""",
    )


def _awaited(t: Types) -> Sequence[str]:
    return (
        # Links to resources that do not exist yet, by the values that identify their ends.
        f"""CREATE TABLE awaited (
            association {t.number} NOT NULL{t.refers_to("associations")},
            first {t.text} NOT NULL,
            second {t.text} NOT NULL
        )""",
        f"CREATE INDEX awaited_by_first ON awaited (association, {t.indexed('first')})",
        f"CREATE INDEX awaited_by_second ON awaited (association, {t.indexed('second')})",
    )


def _sealed(t: Types) -> Sequence[str]:
    return (
        # Which log this is: another store that is filled with it keeps the identifier.
        f"ALTER TABLE store ADD COLUMN log {t.text} NOT NULL DEFAULT ''",
        "UPDATE store SET log = epoch",
        # See the module `seals`.
        f"ALTER TABLE stored_events ADD COLUMN seal {t.bytes}",
        f"ALTER TABLE moments ADD COLUMN segments {t.bytes}",
        f"ALTER TABLE moments ADD COLUMN digest {t.bytes}",
        # The remains of events without payload, while other events of their segment exist.
        f"""CREATE TABLE stubs (
            position {t.number} PRIMARY KEY,
            stream {t.number} NOT NULL,
            version {t.number} NOT NULL,
            topic {t.text} NOT NULL,
            leaf {t.bytes} NOT NULL
        )""",
    )


def _awaited_by_pair(t: Types) -> Sequence[str]:
    return (
        # Thousands of pairs may have one group: a pair must be found by both of its values, and by either.
        "DROP INDEX awaited_by_first",
        "DROP INDEX awaited_by_second",
        f"CREATE INDEX awaited_by_first ON awaited (association, {t.indexed_pair('first', 'second')})",
        f"CREATE INDEX awaited_by_second ON awaited (association, {t.indexed_pair('second', 'first')})",
    )


def _processes(t: Types) -> Sequence[str]:
    return (
        # What identifies the process of the run: on the same machine it is known whether it has ended.
        f"ALTER TABLE leases ADD COLUMN process {t.text} NOT NULL DEFAULT ''",
    )


def _configurations(t: Types) -> Sequence[str]:
    return (
        # The canonical XML of adopted configurations, compressed. The events of adoptions (stream 0) have the digest.
        f"CREATE TABLE configurations (digest {t.text} PRIMARY KEY, xml {t.bytes} NOT NULL)",
    )


_ROWS_SEALED = (
    "store", "entity_types", "associations", "dependencies", "places", "rules", "consumed", "horizons", "blocked",
    "schedules", "pending", "flags", "classifications", "correlation_keys", "snapshots",
)  # fmt: skip


def _sealed_rows(t: Types) -> Sequence[str]:
    return (
        # See the module `row_seals`.
        *(f"ALTER TABLE {table} ADD COLUMN seal {t.number} NOT NULL DEFAULT 0" for table in _ROWS_SEALED),
        f"""CREATE TABLE table_seals (
            name {t.text} PRIMARY KEY,
            rows {t.number} NOT NULL,
            total {t.number} NOT NULL
        )""",
    )


def _consumers(t: Types) -> Sequence[str]:
    return (
        # How far programs have read the log, as they said themselves. Not in the log: reading is no change.
        f"""CREATE TABLE consumers (
            name {t.text} PRIMARY KEY,
            position {t.number} NOT NULL,
            began_at {t.number} NOT NULL,
            moved_at {t.number} NOT NULL,
            moves {t.number} NOT NULL,
            seal {t.number} NOT NULL DEFAULT 0
        )""",
    )


def _snapshots_in_order(t: Types) -> Sequence[str]:
    return (
        # Readers of the log that take snapshots for discarded changes read them by position, some at a time.
        "CREATE INDEX snapshots_by_position ON snapshots (position)",
    )


def _dead_letters(t: Types) -> Sequence[str]:
    return (
        # Changes that a sink refused for good, by their position; see ADR 0073. What they are is in the log.
        f"""CREATE TABLE dead_letters (
            sink {t.text} NOT NULL,
            position {t.number} NOT NULL,
            part {t.text} NOT NULL,
            state {t.text} NOT NULL,
            refused_at {t.number} NOT NULL,
            tries {t.number} NOT NULL,
            problem {t.text} NOT NULL,
            decided_at {t.number} NOT NULL,
            decided_by {t.text} NOT NULL,
            reason {t.text} NOT NULL,
            seal {t.number} NOT NULL DEFAULT 0,
            PRIMARY KEY (sink, position, part)
        ){t.clustered}""",
    )


def _notifications(t: Types) -> Sequence[str]:
    return (
        # Up to which position of the log a channel was told how runs ended. Not in the log: telling is no change.
        f"""CREATE TABLE channels (
            name {t.text} PRIMARY KEY,
            position {t.number} NOT NULL,
            since {t.number} NOT NULL,
            seal {t.number} NOT NULL DEFAULT 0
        )""",
        # What a channel was told or is to be told, by the identifier under which it is sent; see ADR 0095.
        f"""CREATE TABLE notifications (
            channel {t.text} NOT NULL,
            id {t.text} NOT NULL,
            delivery {t.text} NOT NULL,
            tries {t.number} NOT NULL,
            noted_at {t.number} NOT NULL,
            tried_at {t.number} NOT NULL,
            problem {t.text} NOT NULL,
            document {t.text} NOT NULL,
            seal {t.number} NOT NULL DEFAULT 0,
            PRIMARY KEY (channel, id)
        ){t.clustered}""",
    )


def _applied_rows(t: Types) -> Sequence[str]:
    return (
        # What the newest complete extract of an entity type had, to compare the next one with. Not in the log, and
        # trusted only while the log says that nothing else changed these resources: see ADR 0089.
        f"""CREATE TABLE applied_rows (
            entity_type {t.number} PRIMARY KEY{t.refers_to("entity_types")},
            basis {t.text} NOT NULL,
            position {t.number} NOT NULL,
            digest {t.text} NOT NULL,
            content {t.bytes} NOT NULL
        )""",
    )


def _applied_rows_in_pieces(t: Types) -> Sequence[str]:
    return (
        # What was kept is of no use to this version: the next extracts are compared with the resources. A row of many
        # megabytes is written anew with each of its columns, so what changes each day is in a row beside it.
        "DROP TABLE applied_rows",
        f"""CREATE TABLE applied_rows (
            entity_type {t.number} NOT NULL{t.refers_to("entity_types")},
            piece {t.number} NOT NULL,
            basis {t.text} NOT NULL,
            position {t.number} NOT NULL,
            digest {t.text} NOT NULL,
            content {t.bytes} NOT NULL,
            PRIMARY KEY (entity_type, piece)
        )""",
    )


def _verifications(t: Types) -> Sequence[str]:
    return (
        # What came of verifications whose results were to be kept. Not in the log: looking is no change.
        f"""CREATE TABLE verifications (
            number {t.number} PRIMARY KEY,
            part {t.text} NOT NULL,
            at {t.number} NOT NULL,
            position {t.number} NOT NULL,
            faults {t.number} NOT NULL,
            sample {t.number} NOT NULL,
            seal {t.number} NOT NULL DEFAULT 0
        )""",
    )


SEALED = 8
"""The first version in which events are sealed and may be erased."""

STEPS: Sequence[Step] = (
    Step(1, _first),
    Step(2, _leases),
    Step(3, _derived),
    Step(4, _newest),
    Step(5, _held_back),
    Step(6, _schedules),
    Step(7, _awaited),
    Step(SEALED, _sealed, fill=seal_log),
    Step(9, _awaited_by_pair),
    Step(10, _processes),
    Step(11, _configurations),
    Step(12, _sealed_rows, fill=partial(seal_rows, tables=_ROWS_SEALED)),
    Step(13, _consumers, fill=partial(seal_rows, tables=("consumers",))),
    Step(14, _snapshots_in_order),
    Step(15, _dead_letters, fill=partial(seal_rows, tables=("dead_letters",))),
    Step(16, _notifications, fill=partial(seal_rows, tables=("channels", "notifications"))),
    Step(17, _applied_rows),
    Step(18, _applied_rows_in_pieces),
    Step(19, _verifications, fill=partial(seal_rows, tables=("verifications",))),
)
"""All migrations, in order. A released one is never changed."""

NEW_STORE = "INSERT INTO store (one, epoch, last_at, next_stream, next_run) VALUES (1, ?1, 0, 1, 1)"


def steps_from(version: int, steps: Sequence[Step], name: str) -> Sequence[Step]:
    """Returns the migrations that a store of some version needs, in order.

    :param name: the name of the store in messages.
    :raises StoreError: if it was written by a newer Deltamark.
    """
    newest = steps[-1].version
    if version > newest:
        raise StoreError(
            f"{name} was written by a newer version of Deltamark (store version {version}; this one knows {newest}). "
            "Upgrade Deltamark."
        )
    return [step for step in steps if step.version > version]
