"""PostgreSQL: statements use indexes, in a store just filled and in one used for long."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from contextlib import closing
from typing import Any

import pyarrow as pa
import pytest
from psycopg import Connection
from psycopg.rows import DictRow

from deltamark.bootstrap import utc_now
from deltamark.infrastructure.store.events.mapper import ChangeMapper
from deltamark.infrastructure.store.postgresql import statistics
from deltamark.infrastructure.store.postgresql.address import address_of
from deltamark.infrastructure.store.postgresql.connection import Pool
from deltamark.infrastructure.store.postgresql.database import PostgreSQLDatabase
from deltamark.infrastructure.store.postgresql.statistics import FEWEST, renew_statistics
from deltamark.infrastructure.store.postgresql.store import PostgreSQLStore
from deltamark.infrastructure.store.transactions import StoreReading, StoreWriting
from tests.store.builders import PERSON, create, update
from tests.store.organization import existence, value

MANY = FEWEST
FEW = FEWEST - 1
"""So few rows that the store leaves statistics to the server, which makes none during these tests."""

NEVER_LOOKED_AT = -1


@pytest.fixture
def store(postgresql_url: str) -> Iterator[PostgreSQLStore]:
    with closing(PostgreSQLStore(postgresql_url, utc_now)) as store:
        with closing(Pool(address_of(postgresql_url))) as pool, pool.connection() as connection:
            for table in ("stored_events", "resources"):
                connection.execute(f"ALTER TABLE {table} SET (autovacuum_enabled = off)".encode())
        yield store


@pytest.fixture
def connection(store: PostgreSQLStore, postgresql_url: str) -> Iterator[Connection[DictRow]]:
    """A connection with the settings of the store."""
    with closing(Pool(address_of(postgresql_url))) as pool, pool.connection() as connection:
        yield connection


def people(count: int, first: int = 0) -> dict[str, dict[str, str]]:
    return {f"E{number:06}": {"Mail": f"{number}@b.example"} for number in range(first, first + count)}


def load(store: PostgreSQLStore, count: int, first: int = 0) -> None:
    with store.transaction() as tx:
        create(tx, PERSON, people(count, first))


def known_tables(connection: Connection[DictRow]) -> set[str]:
    """The tables of the store that have statistics."""
    found = connection.execute(
        """SELECT tablename FROM pg_tables t WHERE schemaname = current_schema() AND EXISTS (
            SELECT FROM pg_stats s WHERE s.schemaname = t.schemaname AND s.tablename = t.tablename)"""
    )
    return {row["tablename"] for row in found}


def rows_expected(connection: Connection[DictRow], table: str) -> int:
    """The number of rows that the planner expects in a table."""
    row = connection.execute("SELECT reltuples::bigint AS rows FROM pg_class WHERE oid = %s::regclass", (table,))
    return row.fetchone()["rows"]


class Explained(PostgreSQLDatabase):
    """Records the plan of every query."""

    def __init__(self, connection: Connection[DictRow]) -> None:
        super().__init__(connection)
        self.plan = ""
        self.inserts: list[str] = []

    def _explain(self, sql: str, parameters: Sequence[Any]) -> None:
        self.plan = "\n".join(line for (line,) in super().all(f"EXPLAIN {sql}", parameters))

    def table(self, sql: str, parameters: Sequence[Any], schema: pa.Schema) -> pa.Table:
        self._explain(sql, parameters)
        with self._connection.transaction():
            return super().table(sql, parameters, schema)

    def row(self, sql: str, parameters: Sequence[Any] = ()) -> tuple[Any, ...] | None:
        self._explain(sql, parameters)
        return super().row(sql, parameters)

    def all(self, sql: str, parameters: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        self._explain(sql, parameters)
        return super().all(sql, parameters)

    def execute(self, sql: str, parameters: Sequence[Any] = ()) -> int:
        if sql.startswith("INSERT"):
            self._explain(sql, parameters)
            self.inserts.append(self.plan)
        return super().execute(sql, parameters)


def test_the_planner_knows_the_tables_as_soon_as_a_first_load_is_committed(store, connection):
    load(store, MANY)

    assert known_tables(connection) == {"stored_events", "resources"}
    assert rows_expected(connection, "resources") == MANY


def test_a_load_that_doubles_a_table_renews_the_statistics(store, connection):
    load(store, MANY)
    load(store, MANY, first=MANY)

    assert rows_expected(connection, "resources") == 2 * MANY


def test_many_updates_renew_the_statistics(store, connection):
    load(store, FEW)
    load(store, 1, first=FEW)
    was_known = known_tables(connection)

    with store.transaction() as tx:
        update(tx, PERSON, {key: (values, {"Mail": "same@b.example"}) for key, values in people(MANY).items()})

    assert was_known == set()
    assert known_tables(connection) == {"stored_events", "resources"}


def test_small_tasks_renew_no_statistics(store, connection):
    load(store, FEW)

    assert known_tables(connection) == set()


def test_statistics_are_renewed_when_a_tenth_of_a_table_is_new(store, connection, monkeypatch):
    monkeypatch.setattr(statistics, "FEWEST", 1)

    load(store, 100)
    load(store, 9, first=100)
    after_nine = rows_expected(connection, "resources")
    load(store, 10, first=109)

    assert after_nine == 100
    assert rows_expected(connection, "resources") == 119


def test_only_tables_of_the_store_get_statistics(store, connection):
    connection.execute("CREATE TEMP TABLE staged AS SELECT 1 AS number")

    renew_statistics(connection, {"staged": MANY, "nowhere": MANY})

    assert rows_expected(connection, "staged") == NEVER_LOOKED_AT


def test_a_failing_renewal_of_statistics_does_not_fail_the_task(connection):
    connection.close()

    renew_statistics(connection, {"resources": MANY})


def test_keys_are_looked_up_by_every_column_of_their_index(store, connection):
    load(store, FEW)
    database = Explained(connection)
    reading = StoreReading(database, ChangeMapper(), utc_now)

    found = reading.live_resources_among(PERSON, pa.array(["E000001", "E000002", "X"]))

    assert found.column("key").to_pylist() == ["E000001", "E000002"]
    condition = next(line for line in database.plan.splitlines() if "Index Cond" in line)
    assert all(column in condition for column in ("entity_type", "left", "md5"))


def test_keys_are_looked_up_by_their_index_without_statistics(store, connection):
    load(store, MANY)
    with connection.transaction():
        database = Explained(connection)
        writing = StoreWriting(database, ChangeMapper(), utc_now)
        create(writing, "Account", people(FEW))
        keys = pa.array(list(people(FEW)))

        assert writing.identities("Account", None, keys).num_rows == FEW
        plans = [database.plan]
        assert writing.live_resources_among("Account", keys).num_rows == FEW
        plans.append(database.plan)
        assert len(writing._stored(writing._type_id("Account"), keys).streams) == FEW
        plans.append(database.plan)

    for plan in plans:
        (condition,) = (line for line in plan.splitlines() if "Index Cond" in line)
        assert all(column in condition for column in ("entity_type", "left", "md5"))


def test_whether_anything_changed_is_read_from_the_end_of_the_log(store, connection):
    load(store, FEW)
    with connection.transaction():
        database = Explained(connection)
        reading = StoreReading(database, ChangeMapper(), utc_now)

        assert not reading.changed_since(reading.head())
        assert "Index Scan using stored_events_pkey" in database.plan
        assert reading.changed_since(reading.head() - 1)


def test_flagging_does_not_read_the_log_before_its_changes(store, connection):
    load(store, FEW)
    with connection.transaction():
        database = Explained(connection)
        writing = StoreWriting(database, ChangeMapper(), utc_now)
        writing.watch([existence(PERSON), value(PERSON, "Mail"), value(PERSON, "Department.Name")])
        head = writing.head()
        update(writing, PERSON, {key: (values, {"Mail": "same"}) for key, values in people(10).items()})

        assert writing.flag_changes(head) == 10

    plans = [plan for plan in database.inserts if "stored_events" in plan]
    assert len(plans) == 3
    expected = [int(rows) for plan in plans for rows in re.findall(r"stored_events_pkey.* rows=(\d+)", plan)]
    assert len(expected) == 3
    assert max(expected) < FEW / 50


def test_a_statement_is_planned_for_its_parameters(store, connection):
    database = PostgreSQLDatabase(connection)

    for position in range(20):
        database.one("SELECT count(*) FROM stored_events WHERE notification_id>?1", (position,))

    assert set(database.all("SELECT generic_plans FROM pg_prepared_statements")) == {(0,)}
