"""What others put into a store is refused when it is opened, whatever keeps the store."""

import sqlite3
from contextlib import closing
from urllib.parse import parse_qs, urlsplit

import psycopg
import pytest

SWALLOW = {
    "sqlite": ["CREATE TRIGGER swallow BEFORE INSERT ON stored_events BEGIN SELECT RAISE(IGNORE); END"],
    "postgresql": [
        "CREATE FUNCTION public.swallow_event() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END'",
        "CREATE TRIGGER swallow BEFORE INSERT ON stored_events FOR EACH ROW EXECUTE FUNCTION public.swallow_event()",
    ],
}
REMOVE = {"sqlite": "DROP TRIGGER swallow", "postgresql": "DROP FUNCTION public.swallow_event CASCADE"}


def execute(store, *statements):
    parts = urlsplit(store)
    if parts.scheme == "sqlite":
        with closing(sqlite3.connect(parts.path[1:], isolation_level=None)) as connection:
            for statement in statements:
                connection.execute(statement)
        return
    schema = parse_qs(parts.query)["schema"][0]
    kept = "&".join(part for part in parts.query.split("&") if not part.startswith("schema="))
    with psycopg.connect(parts._replace(query=kept).geturl(), autocommit=True) as connection:
        connection.execute(f"SET search_path TO {schema}".encode())
        for statement in statements:
            connection.execute(statement.encode())


@pytest.mark.on_every_store
def test_a_trigger_is_named_before_anything_is_written(case):
    case = case("35-trigger-on-the-server")
    kind = urlsplit(case.store).scheme
    assert case.run(1).status == 0
    execute(case.store, *SWALLOW[kind])

    for command in (["run", "Load"], ["runs"], ["verify"]):
        refused = case.command(*command, step=2)
        assert refused.status == 2
        assert "swallow" in refused.err
        assert "error inside" not in refused.err

    execute(case.store, REMOVE[kind])
    assert case.command("verify", step=2).status == 0
    assert case.run(2).status == 0
