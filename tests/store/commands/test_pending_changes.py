"""Pending changes are read as they were written, or refused."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import Any

import pyarrow as pa
import pytest
from attrs import evolve

from deltamark import StoreError
from deltamark.application.ports.arrow_schemas import PENDING_ROWS
from deltamark.application.ports.pending_changes import CREATED, LINKED, UPDATED, Block, Part, PendingChanges
from deltamark.application.ports.store import Store
from deltamark.bootstrap import open_store
from deltamark.domain.runs.run import ExtractRead
from deltamark.infrastructure.store.events import pending_payloads as pending_rows
from deltamark.infrastructure.store.migrations import STEPS
from tests.store.test_schema_versions import opened

AT = datetime(2026, 3, 1, 12, 30, 0, 123456, tzinfo=UTC)


def table(kind: str, *rows: tuple[Any, ...]) -> pa.Table:
    return pa.Table.from_arrays(
        [pa.array(c, f.type) for c, f in zip(zip(*rows, strict=True), PENDING_ROWS[kind], strict=True)],
        schema=PENDING_ROWS[kind],
    )


PENDING = PendingChanges(
    connector="HR",
    task="SynchronizeHR",
    job="Nightly",
    at=AT,
    is_delta=True,
    read=4,
    set_aside=1,
    warned=True,
    extracts=[ExtractRead(subject="Person", file="people.csv", rows=4, digest="ab")],
    parts=[
        Part(kind=CREATED, subject="Person", rows=table(CREATED, ("é\n'", 2, '{"Name":"Ann"}'), ("2", None, "{}"))),
        Part(kind=UPDATED, subject="Person", rows=table(UPDATED, ("3", 4, "{}", '{"Name":["Bob",null]}'))),
        Part(kind=LINKED, subject="Members", ends=("Team", "Person"), rows=table(LINKED, ("T", "2", None))),
    ],
)
BLOCK = Block(connector="HR", run=3, task=2, since=AT, needs_complete=True)


@pytest.fixture
def store(store_url: str) -> Iterator[Store]:
    found = open_store(store_url)
    yield found
    found.close()


def kept(store: Store, pending: PendingChanges = PENDING) -> None:
    with store.transaction() as tx:
        tx.keep_pending(3, 2, pending)
        tx.block(BLOCK)


def read(store: Store) -> PendingChanges | None:
    with store.reading() as reading:
        return reading.pending(3, 2)


def altered(store: Store, sql: str, *given: Any) -> None:
    """Writes into the tables past Deltamark."""
    with store.transaction() as tx:
        assert tx._db.execute(sql, given) > 0  # type: ignore[attr-defined]


def test_pending_changes_are_read_as_they_were_written(store: Store) -> None:
    kept(store)

    assert read(store) == PENDING
    with store.reading() as reading:
        assert reading.pending_tasks(3) == [2]
        assert reading.block_of("HR") == BLOCK
        assert reading.blocks() == [BLOCK]


def test_without_pending_changes_nothing_is_read(store: Store) -> None:
    kept(store)

    with store.reading() as reading:
        assert reading.pending(3, 1) is None
        assert reading.pending_tasks(2) == []
        assert reading.block_of("AD") is None


def test_dropped_changes_are_removed_and_a_connector_can_be_unblocked(store: Store) -> None:
    kept(store)

    with store.transaction() as tx:
        tx.drop_pending(3, 2)
        tx.unblock("HR")

    assert read(store) is None
    with store.reading() as reading:
        assert reading.block_of("HR") is None


def test_a_task_has_one_set_of_pending_changes_and_a_connector_one_block(store: Store) -> None:
    kept(store)
    fewer = evolve(PENDING, parts=PENDING.parts[:1])

    kept(store, fewer)

    assert read(store) == fewer


def test_many_pending_changes_are_stored_in_portions(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pending_rows, "_PORTION_BYTES", 1_000)
    rows = table(CREATED, *((str(n), n, '{"Name":"Ann"}') for n in range(500)))
    many = evolve(PENDING, parts=[Part(kind=CREATED, subject="Person", rows=rows)])

    kept(store, many)

    found = read(store)
    assert found is not None
    assert len(found.parts) > 10
    assert pa.concat_tables(part.rows for part in found.parts) == rows


def other_bytes(store: Store) -> None:
    good = pending_rows._bytes_of(PENDING.parts[0].rows)
    half = len(good) // 2
    bad = good[:half] + bytes([good[half] ^ 0xFF]) + good[half + 1 :]
    altered(store, "UPDATE pending SET content=?1 WHERE part=1", bad)


def other_columns_with_a_digest(store: Store) -> None:
    """Alters a row and its digest consistently."""
    content = pending_rows._bytes_of(pa.table({"key": ["1"]}))
    head = '{"kind":"created","subject":"Person","ends":[]}'
    digest = pending_rows._digest(head, content)
    altered(store, "UPDATE pending SET content=?1, head=?2, digest=?3 WHERE part=1", content, head, digest)


def no_arrow_with_a_digest(store: Store) -> None:
    head = '{"kind":"created","subject":"Person","ends":[]}'
    digest = pending_rows._digest(head, b"\0" * 100)
    altered(store, "UPDATE pending SET content=?1, head=?2, digest=?3 WHERE part=1", b"\0" * 100, head, digest)


def another_head_with_a_digest(head: str) -> Callable[[Store], None]:
    def alter(store: Store) -> None:
        altered(store, "UPDATE pending SET head=?1, digest=?2 WHERE part=0", head, pending_rows._digest(head, b""))

    return alter


@pytest.mark.parametrize(
    "alter",
    [
        other_bytes,
        other_columns_with_a_digest,
        no_arrow_with_a_digest,
        another_head_with_a_digest("[]"),
        another_head_with_a_digest("{"),
        another_head_with_a_digest('{"parts":3}'),
        another_head_with_a_digest('{"parts":3,"at":1e300,"extracts":[]}'),
        lambda store: altered(store, "DELETE FROM pending WHERE part=2"),
        lambda store: altered(store, "DELETE FROM pending WHERE part=0"),
        lambda store: altered(store, "UPDATE pending SET head='{}' WHERE part=0"),
        lambda store: altered(store, "UPDATE pending SET digest='' WHERE part=3"),
    ],
)
def test_altered_pending_changes_are_refused(store: Store, alter: Callable[[Store], None]) -> None:
    kept(store)
    alter(store)

    with pytest.raises(StoreError, match=r"the pending changes of run 3 cannot be read\. The store was altered"):
        read(store)


def test_a_block_that_cannot_be_read_raises_store_error(store: Store) -> None:
    kept(store)
    altered(store, "UPDATE blocked SET since=?1", 2**62)

    with store.reading() as reading, pytest.raises(StoreError, match='the table blocked: the row of connector "HR" is'):
        reading.block_of("HR")


def test_a_store_from_before_thresholds_can_hold_back_changes(store_url: str) -> None:
    opened(store_url, STEPS[:4]).close()

    store = opened(store_url)

    with store.reading() as reading:
        assert reading.block_of("HR") is None
    with store.transaction() as tx:
        tx.keep_pending(3, 2, PENDING)
    with store.reading() as reading:
        assert reading.pending(3, 2) == PENDING
    store.close()
