"""`verify` finds an altered column of any table, and names the table; `replay` puts it right or is refused.

What is altered follows from the tables that a store has, so that a new table needs its own check.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any

import pytest

from deltamark.application.ports.commands import Writing
from deltamark.application.ports.records import DerivedRule, Schedule
from deltamark.application.ports.store import Store
from deltamark.domain.adoption.configuration_adopted import ConfigurationAdopted, xml_digest
from deltamark.domain.configuration.rules import DerivationKind
from deltamark.domain.errors import StoreError
from deltamark.domain.history.consumer import ConsumerPlace
from deltamark.domain.integrity.verification import LogVerification, VerificationRecord, VerifiedPart
from deltamark.domain.notifications.notification import schedule_not_kept
from deltamark.domain.notifications.record import ChannelPlace, NotificationRecord
from deltamark.domain.runs.run import PairsAwaited
from deltamark.domain.sinks.dead_letters import DeadLetter, LetterState
from deltamark.infrastructure.store.integrity.table_repair import DERIVED
from deltamark.infrastructure.store.row_seals import SEALED
from deltamark.infrastructure.store.tables import Table, present_tables
from tests.store.builders import classified_as, start_run
from tests.store.released import bring_back
from tests.store.tables import nobody, opened

FORMAT = 10
"""The format of the store that is upgraded and altered: it has pending changes, snapshots, stubs and flags."""

UNPROVEN = {
    "leases": "a lease ends or delays a run, and is no part of any answer; a run that lost its lease writes nothing",
    "applied_rows": "an altered row of it is not used: everything is compared, as after every other doubt",
    "tracking": "it belongs to projections of the eventsourcing library, which Deltamark neither writes nor reads",
    "schema_version": "a store with another version is upgraded, which fails, or refused: it is not opened",
}
"""Tables that are not looked at, each with the reason."""

ROWS = 2
"""So many rows of each table are altered: the first and the last."""

TABLES = [table for table in present_tables() if table.name not in UNPROVEN]
COLUMNS = [(table, column.name) for table in TABLES for _, columns in table.columns.values() for column in columns]


class TakenBack(Exception):
    """Rolls back an alteration after it was checked."""


def fill(tx: Writing) -> None:
    """Adds rows to tables that the released store leaves empty."""
    pairs = (("T", "later"), ("U", "later"))
    run = start_run(tx)
    tx.append_to_run(
        lambda stream, version, at: PairsAwaited(
            originator_id=stream,
            originator_version=version,
            at=at,
            run=run,
            task=1,
            association="Members",
            awaited=pairs,
        ),
        run,
    )
    tx.put_waiting_links("Members", pairs, ())
    tx.append_adoption(
        lambda stream, version, at: ConfigurationAdopted(
            originator_id=stream,
            originator_version=version,
            at=at,
            digest=xml_digest("<a/>"),
            configuration_digest="d",
            run=run,
            by="u",
        ),
        "<a/>",
    )
    rule = DerivedRule(kind=DerivationKind.CLASSIFICATION, name="Old", entity_type="Person", digest="d")
    streams = [stream for (stream,) in tx._db.all("SELECT stream FROM resources ORDER BY stream")]
    tx.put_classifications(rule, classified_as(dict.fromkeys(streams, True)), everything=True)
    for job, run in (("Complete", 1), ("Incremental", None)):
        tx.put_schedule(Schedule(job=job, timing="0 6 * * *", handled_to=datetime(2026, 11, 1, tzinfo=UTC), run=run))
    for name, position in (("billing", 3), ("search", 5)):
        tx.put_consumer(
            ConsumerPlace(name=name, position=position, began_at=tx.now(), moved_at=tx.now(), moves=position)
        )

    for position, state in ((3, LetterState.OPEN), (5, LetterState.DROPPED)):
        tx.put_dead_letter(
            DeadLetter(sink="hook", position=position, state=state, refused_at=tx.now(), problem="it answered 422")
        )

    for name, position in (("mail", 3), ("pager", 5)):
        tx.put_channel_place(ChannelPlace(name=name, position=position, since=tx.now()))
        notification = schedule_not_kept(f"Job{position}", tx.now(), tx.now(), "store")
        record = NotificationRecord(channel=name, notification=notification, noted_at=tx.now())
        tx.put_notification(record.not_sent(tx.now(), f"status {position}", for_good=position == 5))

    for part, faults in ((VerifiedPart.LOG, 0), (VerifiedPart.DERIVED, 2)):
        tx.put_verification(VerificationRecord(part=part, at=tx.now(), position=4 + faults, faults=faults))


@pytest.fixture(scope="module")
def lived(lasting_store_url: str) -> Iterator[Store]:
    """The store in which every alteration is made and rolled back."""
    bring_back(FORMAT, lasting_store_url)
    with opened(lasting_store_url) as store:
        with store.transaction() as tx:
            fill(tx)
        yield store


def other_values(value: Any, column: Sequence[Any]) -> Iterator[Any]:
    """Other values of the same type, the likeliest to be valid first: one of another row, then a flipped bit."""
    yield from dict.fromkeys(other for other in column if other != value and other is not None)
    match value:
        case bool():
            yield not value
        case int():
            yield from (value ^ 1, value ^ 1 << 33)
        case str():
            yield value[:-1] + chr(ord(value[-1]) ^ 1) if value else "x"
        case bytes():
            yield bytes([value[0] ^ 4]) + value[1:] if value else b"x"


def alterations(store: Store, table: Table, column: str) -> Iterator[tuple[str, list[Any]]]:
    """Statements that alter a column of the first and the last row: with one of other rows, and with a flipped bit."""
    names = [c.name for _, columns in table.columns.values() for c in columns]
    keys = table.primary_key or names
    with store.reading() as reading:
        rows = [dict(zip(names, row, strict=True)) for row in reading._db.all(_query(table, names))]
    assert rows, f"no row of {table.name} to alter: add one in `fill`"
    for row in {id(row): row for row in (rows[0], rows[-1])[:ROWS]}.values():
        values = list(other_values(_bytes(row[column]), [_bytes(other[column]) for other in rows]))
        condition = " AND ".join(f"{key}=?{number}" for number, key in enumerate(keys, 2))
        for value in {repr(value): value for value in (*values[:1], *values[-2:])}.values():
            yield f"UPDATE {table.name} SET {column}=?1 WHERE {condition}", [value, *(row[key] for key in keys)]


def _query(table: Table, names: Sequence[str]) -> str:
    return f"SELECT {', '.join(names)} FROM {table.name} ORDER BY {', '.join(table.primary_key) or names[0]}"


def _bytes(value: Any) -> Any:
    return bytes(value) if isinstance(value, memoryview) else value


def altered(store: Store, statement: str, parameters: Sequence[Any]) -> LogVerification | None:
    """The faults after a statement; None if the database refuses it."""
    found = None
    with suppress(TakenBack), store.transaction() as tx:
        if not _is_postgresql(store):
            tx._db.execute("PRAGMA defer_foreign_keys=ON")  # a bit on the disk flips whatever refers to the row
        try:
            count = tx._db.execute(statement, parameters)
        except Exception as e:
            raise TakenBack from e
        assert count == 1, (statement, parameters)
        found = tx.verify(nobody)
        raise TakenBack
    return found


def is_named(found: LogVerification, table: str, column: str = "") -> bool:
    """Whether faults were found, and they name the table.

    What the log proves is named as a resource, link, run or position.
    """
    said = " ".join(f"{fault.subject}: {fault.problem}" for fault in found.discrepancies)
    by_log = table not in {*SEALED, "table_seals", "log_end"} or (table == "snapshots" and column in ("topic", "state"))
    return not found.is_sound and (by_log or table in said)


@pytest.mark.many
@pytest.mark.on_every_store
@pytest.mark.parametrize(("table", "column"), COLUMNS, ids=[f"{table.name}.{column}" for table, column in COLUMNS])
def test_another_value_is_found(lived: Store, table: Table, column: str) -> None:
    if table.only_postgresql and not _is_postgresql(lived):
        pytest.skip("SQLite has no such table")
    found = {
        repr((statement, parameters)): result
        for statement, parameters in alterations(lived, table, column)
        if (result := altered(lived, statement, parameters)) is not None
    }

    assert found or column == "one", "the database refuses all of the values: alter it otherwise"
    assert [what for what, result in found.items() if not is_named(result, table.name, column)] == []


def _is_postgresql(store: Store) -> bool:
    return type(store).__name__ == "PostgreSQLStore"


@pytest.mark.many
@pytest.mark.parametrize(
    ("table", "column"),
    [pair for pair in COLUMNS if pair[0].name in {*SEALED, "table_seals"} - {"snapshots"} and pair[1] != "one"],
    ids=lambda part: part if isinstance(part, str) else part.name,
)
def test_a_replay_puts_it_right(lived: Store, table: Table, column: str) -> None:
    tried = list(alterations(lived, table, column))[-1:]
    if (table.name, column) == ("store", "last_at"):  # whichever way a flipped bit moves it, it is put right
        (statement, (newest, *row)) = tried[0]
        tried = [(statement, [newest + hours * 3_600_000_000, *row]) for hours in (-9, 9)]
    for statement, parameters in tried:
        with suppress(TakenBack), lived.transaction() as tx:
            if not _is_postgresql(lived):
                tx._db.execute("PRAGMA defer_foreign_keys=ON")
            tx._db.execute(statement, parameters)
            before = tx.verify(nobody)
            done = tx.replay(nobody)
            after = tx.verify(nobody)
            raise TakenBack

        if any(fault.in_log for fault in before.discrepancies):
            return  # the identifier of the log begins its chain of digests
        assert after.discrepancies == ()
        assert done.recomputes or table.name not in DERIVED


def test_tables_that_are_not_looked_at_exist() -> None:
    assert set(UNPROVEN) <= {table.name for table in present_tables()}


def test_control_without_the_check_of_tables_flags_may_be_altered(
    lived: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("deltamark.infrastructure.store.integrity.state_check.table_faults", lambda db: ())

    found = altered(lived, "UPDATE flags SET newest=newest+1 WHERE number=(SELECT min(number) FROM flags)", ())

    assert found is not None
    assert found.is_sound


REMOVED = ("flags", "dependencies", "consumed", "rules", "correlation_keys", "classifications", "schedules", "blocked",
           "places", "horizons", "table_seals", "entity_types", "associations", "consumers",
           "dead_letters", "channels", "notifications", "verifications")  # fmt: skip


@pytest.mark.on_every_store
@pytest.mark.parametrize("table", REMOVED)
def test_a_removed_row_is_found(lived: Store, table: str) -> None:
    key = {**{name: sealed.key for name, sealed in SEALED.items()}, "table_seals": ("name",)}[table]
    with suppress(TakenBack), lived.transaction() as tx:
        row = tx._db.row(f"SELECT {', '.join(key)} FROM {table} ORDER BY 1 DESC, {len(key)} DESC")
        assert row is not None
        if table in ("rules", "entity_types", "associations") and not _is_postgresql(lived):
            tx._db.execute("PRAGMA defer_foreign_keys=ON")
        condition = " AND ".join(f"{name}=?{number}" for number, name in enumerate(key, 1))
        assert tx._db.execute(f"DELETE FROM {table} WHERE {condition}", row) == 1
        found = tx.verify(nobody)
        raise TakenBack

    assert is_named(found, table)


@pytest.mark.on_every_store
def test_the_end_of_the_log_is_compared_with_it(store_url: str) -> None:
    bring_back(FORMAT, store_url)
    with opened(store_url) as store:
        with suppress(TakenBack), store.transaction() as tx:
            tx._db.set_log_end(tx._db.log_end() + 5)
            assert "log_end" in tx.verify(nobody).discrepancies[0].subject
            raise TakenBack
        with store.transaction() as tx:
            tx._db.set_log_end(tx._db.log_end() + 5)

        with pytest.raises(StoreError, match="the newest position of the store is"), store.transaction() as tx:
            start_run(tx)
        with store.transaction() as tx:
            tx.replay(nobody)
        with store.reading() as reading:
            assert reading.verify(nobody).is_sound
