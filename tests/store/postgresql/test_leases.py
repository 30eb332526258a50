"""Leases in PostgreSQL use the time of the server, and are renewed beside transactions of any isolation."""

from __future__ import annotations

from contextlib import closing
from datetime import UTC, datetime, timedelta
from urllib.parse import quote

import pytest

from deltamark.infrastructure.store.postgresql.store import PostgreSQLStore
from tests.store.postgresql.test_positions import started

SYNCHRONIZE = "Synchronize"


def opened(url: str, clock=lambda: datetime.now(UTC), **options: str) -> PostgreSQLStore:
    settings = " ".join(f"-c {name}={value}" for name, value in options.items())
    return PostgreSQLStore(f"{url}&options={quote(settings)}", clock)


def with_a_lease(store: PostgreSQLStore) -> int:
    with store.transaction() as tx:
        run = tx.start_run(started)
        tx.take_leases(run, [SYNCHRONIZE], 60.0)
    return run


@pytest.mark.parametrize("level", ["serializable", r"repeatable\ read", r"read\ committed"])
def test_a_heartbeat_does_not_disturb_a_long_transaction_in_any_isolation(postgresql_url, level):
    with closing(opened(postgresql_url, default_transaction_isolation=level)) as store:
        run = with_a_lease(store)

        with store.transaction() as tx:
            assert tx.extend_leases(run, [SYNCHRONIZE], 60.0)
            assert store.renew_leases(run, 60.0)

        with store.transaction() as tx:
            assert tx.extend_leases(run, [SYNCHRONIZE], 60.0)


def test_leases_use_the_time_of_the_server(postgresql_url):
    def years_ahead() -> datetime:
        return datetime.now(UTC) + timedelta(days=3_650)

    with closing(opened(postgresql_url)) as ours, closing(opened(postgresql_url, years_ahead)) as theirs:
        run = with_a_lease(ours)

        with theirs.transaction() as tx:
            assert tx.drop_expired_leases([SYNCHRONIZE]) == []
            (lease,) = tx.leases([SYNCHRONIZE])

    assert (lease.run, lease.is_live) == (run, True)
