"""PostgreSQL: settings of the server, and poolers in front of it, never give a wrong result or wrong advice."""

from __future__ import annotations

from collections.abc import Iterator
from urllib.parse import parse_qs, urlsplit

import psycopg
import pytest

from tests.cases.conftest import NewCase
from tests.postgresql import running
from tests.store.postgresql.pooler import pooling

STRINGS, POOLED = "33-strings-of-old-servers", "34-pooled-transactions"


@pytest.fixture(scope="module")
def database() -> Iterator[str]:
    """A database of these tests alone, whose settings they change."""
    with running() as server:
        yield server.url("postgres")


@pytest.fixture(params=["postgresql"])
def new_store(database: str, request: pytest.FixtureRequest) -> Iterator[object]:
    schema = f"s{abs(hash(request.node.name)) % 10**9}"
    with psycopg.connect(database, autocommit=True) as connection:
        yield lambda: f"{database}&schema={schema}"
        connection.execute("ALTER DATABASE postgres RESET ALL")


@pytest.mark.on_every_store
@pytest.mark.parametrize(
    "setting", ["standard_conforming_strings = off", "bytea_output = escape", "DateStyle = 'German, DMY'"]
)
def test_settings_of_a_database_do_not_reach_a_run(case: NewCase, database: str, setting: str) -> None:
    with psycopg.connect(database, autocommit=True) as connection:
        connection.execute(f"ALTER DATABASE postgres SET {setting}".encode())
    reported = case(STRINGS)

    answers = [reported.run(1), reported.run(2)]

    assert [answer.status for answer in answers] == [0, 0], answers
    assert {row["key"]: row["properties"]["L"] for row in reported.exported("P")}["1"] == "anne"


@pytest.mark.on_every_store
@pytest.mark.parametrize("resets", [True, False])
def test_a_pool_of_transactions_is_refused_by_name(case: NewCase, database: str, resets: bool) -> None:
    reported = case(POOLED)
    direct = reported.store
    assert reported.run(1).status == 0

    with pooling(database, resets=resets) as pooler:
        schema = parse_qs(urlsplit(direct).query)["schema"][0]
        reported.store = f"postgresql://deltamark@127.0.0.1:{pooler.port}/postgres?schema={schema}"
        answers = [reported.run(2), reported.run(1), reported.command("export", "P"), reported.command("verify")]

    assert [answer.status for answer in answers] == [2] * 4
    for answer in answers:
        assert "pooled by transactions" in answer.err
        assert "backup" not in answer.err
    reported.store = direct
    assert reported.command("verify").status == 0
