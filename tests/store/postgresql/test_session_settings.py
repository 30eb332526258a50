"""PostgreSQL: what the server, the database or the role set for sessions changes no result."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
from attrs import evolve

from deltamark import Engine, StoreError
from deltamark.bootstrap import utc_now
from deltamark.infrastructure.store.postgresql.store import PostgreSQLStore
from tests.postgresql import Server, running
from tests.store.company import Company, configuration
from tests.store.postgresql.pooler import pooling
from tests.store.test_stores_agree import ticking

HOSTILE = {
    "standard_conforming_strings": "off",
    "escape_string_warning": "on",
    "backslash_quote": "on",
    "array_nulls": "off",
    "transform_null_equals": "on",
    "quote_all_identifiers": "on",
    "idle_session_timeout": "'500ms'",
    "idle_in_transaction_session_timeout": "'500ms'",
    "statement_timeout": "'5ms'",
    "lock_timeout": "'1ms'",
    "default_transaction_isolation": "serializable",
    "default_transaction_deferrable": "on",
    "search_path": "pg_catalog",
    "DateStyle": "'German, DMY'",
    "IntervalStyle": "sql_standard",
    "TimeZone": "'Asia/Kathmandu'",
    "bytea_output": "escape",
    "extra_float_digits": "'-15'",
    "client_encoding": "LATIN1",
    "client_min_messages": "debug5",
    "row_security": "on",
    "session_replication_role": "replica",
    "check_function_bodies": "off",
    "synchronous_commit": "off",
    "exit_on_error": "on",
    "jit": "on",
    "jit_above_cost": "0",
    "plan_cache_mode": "force_generic_plan",
    "work_mem": "'64kB'",
    "join_collapse_limit": "1",
    "enable_indexscan": "off",
    "enable_hashjoin": "off",
    "enable_nestloop": "off",
    "enable_seqscan": "off",
    "enable_sort": "off",
}


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    """A server for these tests alone, whose settings they change."""
    with running() as server:
        yield server


@pytest.fixture
def administrator(server: Server) -> Iterator[psycopg.Connection[tuple[object, ...]]]:
    """A session that may set everything for others; nothing of it stays."""
    with psycopg.connect(server.url("postgres"), autocommit=True) as connection:
        yield connection
        connection.execute("ALTER DATABASE postgres RESET ALL")
        connection.execute("ALTER ROLE deltamark RESET ALL")


@pytest.fixture(scope="module")
def expected(server: Server, tmp_path_factory: pytest.TempPathFactory) -> list[object]:
    """The log on a server as it is installed."""
    return log_of_two_days(server.url("postgres", schema="expected"), tmp_path_factory.mktemp("expected"))


def log_of_two_days(url: str, folder: Path) -> list[object]:
    company = Company(folder / "exports", seed=3)
    with Engine.open(url, configuration=configuration(), export_output=folder / "exports", clock=ticking()) as engine:
        for _ in range(2):
            company.complete_day()
            engine.run_job("Complete", force=True)
        assert engine.verify().is_sound
        return [evolve(change, file=None) for change in engine.changes()]


@pytest.mark.slow  # runs jobs under each setting
@pytest.mark.parametrize("whole", ["DATABASE postgres", "ROLE deltamark"])
def test_what_is_set_for_sessions_does_not_reach_the_log(
    administrator: psycopg.Connection[tuple[object, ...]],
    server: Server,
    tmp_path: Path,
    expected: list[object],
    whole: str,
) -> None:
    for name, value in HOSTILE.items():
        administrator.execute(f"ALTER {whole} SET {name} = {value}".encode())
    if server_version(administrator) >= 17:
        administrator.execute(f"ALTER {whole} SET transaction_timeout = '5ms'".encode())

    log = log_of_two_days(server.url("postgres", schema=whole.split()[0].lower()), tmp_path)

    assert log == expected


@pytest.mark.parametrize("name", [name for name in HOSTILE if not name.endswith("timeout")])
def test_each_hostile_value_reaches_a_session_that_pins_nothing(
    administrator: psycopg.Connection[tuple[object, ...]], server: Server, name: str
) -> None:
    """The control: without pinning, the values of the test above are in effect."""
    administrator.execute(f"ALTER DATABASE postgres SET {name} = {HOSTILE[name]}".encode())

    with psycopg.connect(server.url("postgres")) as plain:
        source = plain.execute("SELECT source FROM pg_settings WHERE name = %s", [name]).fetchone()

    assert source == ("database",)


def test_sessions_and_transactions_may_take_any_time(
    administrator: psycopg.Connection[tuple[object, ...]], server: Server
) -> None:
    limits = [name for name in HOSTILE if name.endswith("timeout") and name != "lock_timeout"]
    for name in limits:
        administrator.execute(f"ALTER DATABASE postgres SET {name} = '1min'".encode())
    store = PostgreSQLStore(server.url("postgres", schema="patient"), utc_now)

    with store._connection("BEGIN") as connection:
        shown = [connection.execute(f"SHOW {name}".encode()).fetchone() for name in limits]

    store.close()
    assert shown == [{name: "0"} for name in limits]


def test_a_commit_is_acknowledged_only_when_it_is_on_disk(
    administrator: psycopg.Connection[tuple[object, ...]], server: Server
) -> None:
    administrator.execute("ALTER ROLE deltamark SET synchronous_commit = off")
    store = PostgreSQLStore(server.url("postgres", schema="acknowledged"), utc_now)

    with store._connection("BEGIN") as connection:
        shown = connection.execute("SHOW synchronous_commit").fetchone()

    store.close()
    assert shown == {"synchronous_commit": "on"}


def test_a_database_that_is_set_to_read_only_is_named_as_that(
    administrator: psycopg.Connection[tuple[object, ...]], server: Server
) -> None:
    administrator.execute("ALTER DATABASE postgres SET default_transaction_read_only = on")

    with pytest.raises(StoreError, match="default_transaction_read_only"):
        PostgreSQLStore(server.url("postgres", schema="read_only"), utc_now)


def test_a_setting_that_the_user_may_not_change_is_named(
    administrator: psycopg.Connection[tuple[object, ...]], server: Server
) -> None:
    administrator.execute("DROP ROLE IF EXISTS plain")
    administrator.execute("CREATE ROLE plain LOGIN")
    administrator.execute("ALTER ROLE plain SET session_replication_role = replica")
    url = server.url("postgres", schema="plain").replace("deltamark@", "plain@")

    with pytest.raises(StoreError, match=r"session_replication_role is replica .* RESET session_replication_role"):
        PostgreSQLStore(url, utc_now)


def test_a_pool_of_sessions_can_be_used_and_keeps_no_setting(
    server: Server, tmp_path: Path, expected: list[object]
) -> None:
    with pooling(server.url("postgres"), by="session") as pooler:
        log = log_of_two_days(f"postgresql://deltamark@127.0.0.1:{pooler.port}/postgres?schema=pooled", tmp_path)
        left = [pooler.settings(name) for name in ("deltamark.session", "search_path")]

    assert log == expected
    assert set(left[0]) <= {None, ""}
    assert set(left[1]) == {'"$user", public'}


@pytest.mark.parametrize("resets", [True, False])
def test_a_pool_of_transactions_is_refused_before_anything_is_set(server: Server, resets: bool) -> None:
    with pooling(server.url("postgres"), resets=resets) as pooler:
        with pytest.raises(StoreError, match="pooled by transactions"):
            PostgreSQLStore(f"postgresql://deltamark@127.0.0.1:{pooler.port}/postgres?schema=pooled_t", utc_now)
        left = pooler.settings("search_path")

    assert set(left) == {'"$user", public'}


def test_a_session_that_is_exchanged_later_is_refused_at_the_next_transaction(server: Server) -> None:
    store = PostgreSQLStore(server.url("postgres", schema="exchanged"), utc_now)
    with store._connection("") as connection:
        connection.execute("DISCARD ALL")

    with pytest.raises(StoreError, match="pooled by transactions"), store.reading():
        pass
    store.close()


def server_version(connection: psycopg.Connection[tuple[object, ...]]) -> int:
    return connection.info.server_version // 10_000
