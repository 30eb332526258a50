"""An index that lacks a row of its table: `verify` finds it, with and without amcheck, and a replay builds it again."""

from __future__ import annotations

import psycopg
import pytest

from deltamark.bootstrap import open_store
from deltamark.infrastructure.store.postgresql import integrity
from deltamark.infrastructure.store.postgresql.store import PostgreSQLStore
from tests.scenarios.house import House
from tests.store.tables import replayed, verified


@pytest.mark.on_every_store
@pytest.mark.parametrize("with_amcheck", [True, False])
def test_an_index_without_a_row_is_found_and_built_again(
    with_amcheck: bool, house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not house.url.startswith("postgresql"):
        pytest.skip("the catalogue of PostgreSQL is altered")
    if not with_amcheck:
        monkeypatch.setattr(integrity, "_problem_by_amcheck", lambda *_: None)
    house.people({"1": "Ann", "2": "Bob"}).run()
    assert verified(house.url).is_sound
    store = open_store(house.url)
    assert isinstance(store, PostgreSQLStore)
    try:
        with store._connection("BEGIN") as connection:
            if with_amcheck:
                try:
                    connection.execute("CREATE EXTENSION IF NOT EXISTS amcheck")
                except psycopg.Error as e:
                    pytest.skip(f"the server has no amcheck: {e}")
            ready = "UPDATE pg_index SET indisready={} WHERE indexrelid = 'resources_by_key'::regclass"
            connection.execute(ready.format("false").encode())
            connection.execute("UPDATE resources SET key = '2x' WHERE key = '2'")
            connection.execute("UPDATE resources SET key = '2' WHERE key = '2x'")
            connection.execute(ready.format("true").encode())
            connection.execute("COMMIT")
    finally:
        store.close()

    faults = verified(house.url).discrepancies

    assert [fault.subject for fault in faults if fault.in_database] == ["the index resources_by_key"]
    replayed(house.url)
    assert verified(house.url).is_sound
