"""What others made in the schema of a store is refused when the store is opened, before anything is read or written."""

from contextlib import closing
from urllib.parse import parse_qs, urlsplit

import psycopg
import pytest

from deltamark import StoreError
from deltamark.bootstrap import open_store

FUNCTION = "CREATE FUNCTION public.swallow() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END'"

OBJECTS = {
    "a trigger": (
        [
            FUNCTION,
            "CREATE TRIGGER swallow BEFORE INSERT ON stored_events FOR EACH ROW EXECUTE FUNCTION public.swallow()",
        ],
        "the trigger swallow on stored_events",
    ),
    "a trigger for statements": (
        [FUNCTION, "CREATE TRIGGER late AFTER UPDATE ON resources EXECUTE FUNCTION public.swallow()"],
        "the trigger late on resources",
    ),
    "a trigger that is switched off": (
        [
            FUNCTION,
            "CREATE TRIGGER off BEFORE DELETE ON links EXECUTE FUNCTION public.swallow()",
            "ALTER TABLE links DISABLE TRIGGER off",
        ],
        "the trigger off on links",
    ),
    "a rule": (["CREATE RULE nothing AS ON INSERT TO flags DO INSTEAD NOTHING"], "the rule nothing on flags"),
    "row-level security": (["ALTER TABLE resources ENABLE ROW LEVEL SECURITY"], "row-level security on resources"),
    "a table that inherits": (
        ["CREATE TABLE public.more () INHERITS (resources)"],
        "the table public.more that inherits from resources",
    ),
    "a table that is inherited from": (
        ["CREATE TABLE public.base (live boolean)", "ALTER TABLE links INHERIT public.base"],
        "the table public.base that links inherits from",
    ),
    "a view": (["CREATE VIEW mine AS SELECT * FROM resources"], "the view mine"),
    "a view in place of a table": (
        ["ALTER TABLE flags RENAME TO kept", "CREATE VIEW flags AS SELECT * FROM kept"],
        "the view flags",
    ),
    "a materialized view": (
        ["CREATE MATERIALIZED VIEW mine AS SELECT * FROM links"],
        "the materialized view mine",
    ),
    "a function like one of PostgreSQL": (
        ["CREATE FUNCTION octet_length(integer) RETURNS integer LANGUAGE sql AS 'SELECT 1'"],
        "the function octet_length(integer)",
    ),
    "a function like one of the store": (
        ["CREATE FUNCTION discard_events(text) RETURNS bigint LANGUAGE sql AS 'SELECT 1::bigint'"],
        "the function discard_events(text)",
    ),
    "an operator": (
        ["CREATE OPERATOR === (LEFTARG = text, RIGHTARG = integer, FUNCTION = pg_catalog.repeat)"],
        "the operator ===",
    ),
    "a foreign key": (
        [
            "CREATE TABLE public.known (position bigint PRIMARY KEY)",
            "ALTER TABLE flags ADD CONSTRAINT k FOREIGN KEY (position) REFERENCES public.known ON DELETE CASCADE",
        ],
        "the foreign key k of flags",
    ),
    "a table without a write-ahead log": (["ALTER TABLE flags SET UNLOGGED"], "the table flags, which is not logged"),
}
pytestmark = [pytest.mark.parametrize("new_store", ["postgresql"], indirect=True), pytest.mark.on_every_store]


def execute(store, *statements):
    parts = urlsplit(store)
    schema = parse_qs(parts.query)["schema"][0]
    kept = "&".join(part for part in parts.query.split("&") if not part.startswith("schema="))
    with psycopg.connect(parts._replace(query=kept).geturl(), autocommit=True) as connection:
        connection.execute(f"SET search_path TO {schema}".encode())
        for statement in statements:
            connection.execute(statement.encode())


@pytest.fixture
def clean(new_store):
    store = new_store()
    open_store(store).close()
    yield store
    execute(
        store,
        "DROP FUNCTION IF EXISTS public.swallow CASCADE",
        "DROP TABLE IF EXISTS public.more CASCADE",
        "DROP TABLE IF EXISTS public.known CASCADE",
        "ALTER TABLE links NO INHERIT public.base" if exists(store, "public.base") else "SELECT 1",
        "DROP TABLE IF EXISTS public.base",
    )


def exists(store, table):
    parts = urlsplit(store)
    kept = "&".join(part for part in parts.query.split("&") if not part.startswith("schema="))
    with psycopg.connect(parts._replace(query=kept).geturl()) as connection:
        return connection.execute("SELECT to_regclass(%s)", (table,)).fetchone() != (None,)


@pytest.mark.parametrize("name", OBJECTS)
def test_what_others_made_is_refused_by_name(clean, name):
    statements, described = OBJECTS[name]
    execute(clean, *statements)

    with pytest.raises(StoreError) as refused:
        open_store(clean)

    assert "its schema holds what Deltamark did not make" in str(refused.value)
    assert described in str(refused.value)


def test_the_store_opens_again_when_it_is_removed(clean):
    execute(clean, *OBJECTS["a rule"][0])
    execute(clean, "DROP RULE nothing ON flags")

    open_store(clean, create=False).close()


def test_tables_of_others_beside_it_and_indexes_and_statistics_are_no_fault(clean):
    execute(
        clean,
        "CREATE TABLE notes (about text)",
        "CREATE INDEX more ON resources (version)",
        "CREATE STATISTICS mine ON entity_type, live FROM resources",
    )

    open_store(clean, create=False).close()


def test_a_new_store_in_a_database_with_objects_of_others_elsewhere_is_made(clean, new_store):
    execute(clean, FUNCTION)

    with closing(open_store(new_store())):
        pass
