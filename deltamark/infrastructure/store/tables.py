"""The tables that a new store has today, and what each of them holds.

The columns are not listed here: they are read from an empty database after all migrations. This module has the phrases:
one for each table, and one for each group of columns.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping, Sequence
from contextlib import closing

from attrs import frozen

from deltamark.infrastructure.store.migrations import STEPS, Types
from deltamark.infrastructure.store.postgresql.recorder import CREATE_LOG_END
from deltamark.infrastructure.store.postgresql.schema import CREATE_SCHEMA_VERSION
from deltamark.infrastructure.store.postgresql.schema import TYPES as POSTGRESQL_TYPES
from deltamark.infrastructure.store.sqlite.definitions import TYPES as SQLITE_TYPES
from deltamark.infrastructure.store.sqlite.recorder import CREATE_EVENTS

_PLAIN = Types(
    number="number",
    text="text",
    flag="flag",
    bytes="bytes",
    numbered="number PRIMARY KEY",
    clustered="",
    indexed=lambda column: column,
    indexed_pair=lambda column, other: f"{column}, {other}",
    found_exactly=lambda column: column,
    refers_to=lambda table: f" REFERENCES {table}",
)
"""Types by the names that `Types` gives them, which SQLite takes like any other name."""

_OF_RECORDERS = {"": "number", "INTEGER": "number", "BIGINT": "number", "TEXT": "text", "BLOB": "bytes"}
"""The types of the tables that the recorders create in the words of one database."""

_CREATE_TRACKING = (
    "CREATE TABLE tracking (application_name text, notification_id number, PRIMARY KEY (application_name))"
)
"""Made by the eventsourcing library."""

_SEAL = "check value of the row, by which `deltamark verify` finds altered rows"

PHRASES: Mapping[str, tuple[str, Mapping[str, str]]] = {
    "stored_events": (
        "The log: one row for each event, in the order of positions.",
        {
            "notification_id": "position in the log: unique, increasing, never reused",
            "originator_id, originator_version": (
                "stream of the resource, link or run (0: adoptions of configurations), and the event's number in it"
            ),
            "topic": "type of the event, with its version",
            "state": "payload, JSON",
            "seal": "salt and check digits of the event, by which `deltamark verify` finds altered events",
        },
    ),
    "moments": (
        "One row for each transaction that wrote to the log.",
        {
            "position": "newest position that the transaction wrote",
            "at": "time of the transaction",
            "segments, digest": "digests of its events, and the digest that chains it to the transaction before",
        },
    ),
    "configurations": (
        "Adopted configurations: one row for each, however often it was adopted.",
        {
            "digest": "SHA-256 of the canonical XML, as the events of adoptions have it",
            "xml": "canonical XML, compressed with zlib",
        },
    ),
    "stubs": (
        "What is left of discarded or erased events while other events of their segment remain.",
        {
            "position, stream, version, topic": "which event it was",
            "leaf": "digest of the event, which its segment is checked with",
        },
    ),
    "snapshots": (
        "State of a resource or link after its newest discarded change: its history begins there.",
        {
            "stream, version, position": "which resource or link, and its newest discarded change",
            "topic, state": "type and payload, as in `stored_events`",
            "seal": _SEAL,
        },
    ),
    "horizons": (
        "How far the changes of an entity type or association were discarded.",
        {
            "subject": "entity type or association",
            "connector, run, task": "whose changes they were, and the run and task that discarded them",
            "position": "position up to which changes are gone",
            "seal": _SEAL,
        },
    ),
    "resources": (
        "Current state: one row for each resource, kept after its deletion.",
        {
            "stream": "stream of its events",
            "entity_type, key": "which resource it is",
            "version, position": "its newest event",
            "live": "whether it exists now",
            "state": "values from its source, JSON",
            "computed": "computed values, JSON",
        },
    ),
    "links": (
        "Current links: one row for each pair, kept after its removal.",
        {
            "stream": "stream of its events",
            "association, source, target": "which link it is; the ends are streams of resources",
            "version, position": "its newest event",
            "live": "whether it exists now",
        },
    ),
    "entity_types": (
        "Names of entity types.",
        {
            "id, name": "number used in other tables, and the name",
            "seal": _SEAL,
        },
    ),
    "associations": (
        "Names of associations.",
        {
            "id, name": "number used in other tables, and the name",
            "seal": _SEAL,
        },
    ),
    "applied_rows": (
        "Rows of the newest complete extract of an entity type, which the next one is compared with.",
        {
            "entity_type": "entity type",
            "piece": "0: all rows of an extract; 1: what differs from that in the newest one",
            "basis": "digest of the configuration and of what read the extract",
            "position": "position in the log after it was applied; resources changed since are compared",
            "digest, content": "check digits, and the salted digest and key of each row (Arrow IPC stream)",
        },
    ),
    "awaited": (
        "Links to resources that do not exist yet.",
        {"association": "association of the link", "first, second": "values that identify its two ends"},
    ),
    "dependencies": (
        "Dependency paths that changes are flagged for.",
        {
            "id": "number used in `flags`",
            "entity_type": "entity type of the dependent resources",
            "hops, path": "associations from the dependent resource to what it reads, JSON",
            "property, leads_to": "property that it reads there (null: links and existence), and the entity type there",
            "since": "every change beyond this position was flagged",
            "seal": _SEAL,
        },
    ),
    "flags": (
        "Dirty flags: a resource depends on something that changed.",
        {
            "number": "number of the flag, increasing",
            "position, newest": "its first and its newest change",
            "resource, dependency": "the flagged resource, and the dependency that led to it",
            "seal": _SEAL,
        },
    ),
    "places": (
        "How far changes were flagged, and up to where a replay corrected the state.",
        {
            "consumer, position, digest": "`*flags*` or `*corrected*`, its position, and an empty digest",
            "seal": _SEAL,
        },
    ),
    "consumed": (
        "How far each consumer has read flags, for each derivation.",
        {
            "consumer, rule": "the task, and the derivation in `rules`",
            "flag, position": "newest flag and position that it has handled",
            "digest": "digest of the definition that it computed with",
            "seal": _SEAL,
        },
    ),
    "rules": (
        "Derivations: correlation rules, classifications and computed properties.",
        {
            "id": "number used in other tables",
            "name, side, entity_type": "which derivation it is; `side` is its kind",
            "digest": "digest of the definition that all resources were last computed with; empty before",
            "seal": _SEAL,
        },
    ),
    "correlation_keys": (
        "Correlation keys of resources.",
        {
            "rule, resource": "the correlation rule and the resource",
            "value": "the key",
            "seal": _SEAL,
        },
    ),
    "classifications": (
        "Classifications that hold for resources.",
        {
            "rule, resource": "the classification and the resource",
            "seal": _SEAL,
        },
    ),
    "runs": (
        "Runs of jobs.",
        {
            "number": "number of the run",
            "stream, version": "stream of its events, and how many there are",
            "first, last": "positions of its first and newest event",
        },
    ),
    "leases": (
        "Tasks that are running now.",
        {
            "task, run": "the task, and the run that holds it",
            "taken_at, heard_at, until": "when the lease was taken, last renewed, and when it expires",
            "process": "what identifies the process of the run on its machine; empty where the system does not say it",
        },
    ),
    "schedules": (
        "How far the schedule of each job was handled.",
        {
            "job, timing": "the job, and its schedule as text",
            "handled_to, run": "time up to which due runs were started, and the newest of them",
            "seal": _SEAL,
        },
    ),
    "consumers": (
        "Programs that read the log, each with its place.",
        {
            "name, position": "the program, and the position up to which it has acknowledged the changes",
            "began_at, moved_at": "when its place was made, and when it was last moved",
            "moves": "how often it was moved: whoever moves it must know the number",
            "seal": _SEAL,
        },
    ),
    "dead_letters": (
        "Changes that a sink refused for good.",
        {
            "sink, position, part": "the sink, the position of the change, and, for a gap, what is missing",
            "state": "`open`, `stopping` (the sink takes no more), `released`, `delivered` or `dropped`",
            "refused_at, tries, problem": "when it was refused first, how often it was tried, and the last answer",
            "decided_at, decided_by, reason": "when it was delivered or dropped, by whom and why; 0 and empty before",
            "seal": _SEAL,
        },
    ),
    "channels": (
        "Channels by which people are told how runs ended.",
        {
            "name, position, since": "the channel, how far the log was read for it, and since when it is known",
            "seal": _SEAL,
        },
    ),
    "notifications": (
        "What channels were told, or are to be told.",
        {
            "channel, id": "the channel, and the identifier under which it is sent, each time the same",
            "delivery, tries, problem": "`due`, `sent` or `failed`; how often it was tried, and what went wrong last",
            "noted_at, tried_at": "when it was put on record, and when it was sent last; 0 before",
            "document": "what it says, as JSON",
            "seal": _SEAL,
        },
    ),
    "verifications": (
        "What came of verifications whose results were to be kept, the newest hundred.",
        {
            "number, at": "counted from 1, and when it was put on record",
            "part, sample": "`log` or `derived`; of each entity type so many resources at most, 0 for all",
            "position, faults": "the end of the log that was read, and how many faults were found",
            "seal": _SEAL,
        },
    ),
    "blocked": (
        "Connectors that a threshold blocked.",
        {
            "connector": "the connector",
            "run, task, since": "the run and task (by its place in the run) that blocked it, and when",
            "needs_complete": "whether only a complete synchronization ends the block",
            "seal": _SEAL,
        },
    ),
    "pending": (
        "Changes that a threshold held back.",
        {
            "run, task, part": "the run and task that held them back; a task's changes fill several parts",
            "head, digest, content": "what the part holds (JSON), its digest, and the rows (Arrow IPC stream)",
            "seal": _SEAL,
        },
    ),
    "store": (
        "One row about the store itself.",
        {
            "one": "always 1",
            "epoch, log": "identifiers of this store, and of its log",
            "last_at": "time of the newest transaction: time in a store never runs backwards",
            "next_stream, next_run, next_flag": "the next numbers to assign",
            "forgotten_flag": "newest flag that was removed after every consumer had read it",
            "seal": _SEAL,
        },
    ),
    "table_seals": (
        "Sums of the seals of rows, by which `deltamark verify` finds rows that were removed or added.",
        {"name": "the table", "rows, total": "the number of its rows, and the sum of their seals"},
    ),
    "log_end": (
        "One row: the newest position ever assigned. SQLite keeps it itself, in `sqlite_sequence`.",
        {"one": "always 1", "position": "the position"},
    ),
    "schema_version": (
        "One row: the version of the tables. SQLite keeps it in `PRAGMA user_version`.",
        {"version": "number of the newest migration"},
    ),
    "tracking": (
        "Positions of projections that use the `eventsourcing` library; empty otherwise. PostgreSQL calls it "
        "`notification_tracking`.",
        {"application_name, notification_id": "the projection, and the newest position that it has processed"},
    ),
}
"""What each table and each group of its columns holds; groups are column names with commas between them."""

_ONLY_POSTGRESQL = ("log_end", "schema_version")


@frozen(kw_only=True)
class TableColumn:
    """A column of a table.

    :param sqlite: its type in SQLite; empty where the column has none.
    :param postgresql: its type in PostgreSQL.
    :param default: as SQL; None where there is none.
    :param refers_to: the table whose `id` stands in it. SQLite checks that.
    """

    name: str
    sqlite: str
    postgresql: str
    is_nullable: bool
    default: str | None
    refers_to: str | None


@frozen(kw_only=True)
class TableIndex:
    """An index besides the primary key.

    In PostgreSQL it holds the first 600 characters of long texts.
    """

    name: str
    columns: tuple[str, ...]
    is_unique: bool


@frozen(kw_only=True)
class Table:
    """A table of a store.

    :param columns: group of columns -> what it holds, and the columns.
    :param primary_key: the columns of the primary key, in its order.
    :param only_postgresql: whether SQLite has no such table.
    """

    name: str
    phrase: str
    columns: Mapping[str, tuple[str, Sequence[TableColumn]]]
    primary_key: tuple[str, ...]
    indexes: Sequence[TableIndex]
    only_postgresql: bool


def present_tables() -> list[Table]:
    """The tables of a new store, in the order of `PHRASES`.

    :raises RuntimeError: if a table or column has no phrase, or a phrase no column.
    """
    with closing(sqlite3.connect(":memory:")) as connection:
        for statement in (CREATE_EVENTS, _CREATE_TRACKING, CREATE_LOG_END, CREATE_SCHEMA_VERSION):
            connection.execute(statement)
        for step in STEPS:
            for statement in step.statements(_PLAIN):
                connection.execute(statement)
        names = {name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type='table'")}
        _check_phrases("the tables", names - {"sqlite_sequence"}, PHRASES)
        return [_table(connection, name) for name in PHRASES]


def _table(connection: sqlite3.Connection, name: str) -> Table:
    phrase, groups = PHRASES[name]
    references = {row[3]: row[2] for row in connection.execute(f"PRAGMA foreign_key_list({name})")}
    columns: dict[str, TableColumn] = {}
    key: dict[int, str] = {}
    for _, column, declared, is_required, default, place in connection.execute(f"PRAGMA table_info({name})"):
        kind = _OF_RECORDERS.get(declared, declared)
        columns[column] = TableColumn(
            name=column,
            sqlite="" if not declared else getattr(SQLITE_TYPES, kind),
            postgresql=getattr(POSTGRESQL_TYPES, kind),
            is_nullable=not is_required and not place,
            default=default,
            refers_to=references.get(column),
        )
        if place:
            key[place] = column
    grouped = {group: group.split(", ") for group in groups}
    _check_phrases(f"the columns of {name}", columns, [column for group in grouped.values() for column in group])
    return Table(
        name=name,
        phrase=phrase,
        columns={group: (groups[group], [columns[column] for column in members]) for group, members in grouped.items()},
        primary_key=tuple(key[place] for place in sorted(key)),
        indexes=_indexes(connection, name),
        only_postgresql=name in _ONLY_POSTGRESQL,
    )


def _indexes(connection: sqlite3.Connection, table: str) -> list[TableIndex]:
    return [
        TableIndex(
            name="" if origin == "u" else name,
            columns=tuple(column for _, _, column in connection.execute(f"PRAGMA index_info({name})")),
            is_unique=bool(is_unique),
        )
        for _, name, is_unique, origin, _ in sorted(connection.execute(f"PRAGMA index_list({table})"), reverse=True)
        if origin != "pk"
    ]


def _check_phrases(
    what: str, present: Mapping[str, object] | set[str], phrases: Mapping[str, object] | list[str]
) -> None:
    if sorted(present) != sorted(phrases):
        odd = ", ".join(sorted(set(present) ^ set(phrases)))
        raise RuntimeError(f"{what} and their phrases differ: {odd}. Correct PHRASES in {__name__}.")
