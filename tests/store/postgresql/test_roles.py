"""PostgreSQL: the owner of a store, the writing role and the reading role, each with only its rights."""

from __future__ import annotations

import shlex
import traceback
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from urllib.parse import quote

import psycopg
import pytest
from psycopg import errors
from psycopg.sql import SQL, Identifier, Literal

from deltamark import Engine, ErasedResource, StoreError, UsageError
from deltamark.application.retention.chosen import Chosen
from deltamark.application.retention.retain import retain
from deltamark.bootstrap import utc_now
from deltamark.domain.adoption.decommission import NameKind
from deltamark.eventsourcing import application
from deltamark.infrastructure.store.migrations import STEPS, Step
from deltamark.infrastructure.store.postgresql import statistics
from deltamark.infrastructure.store.postgresql.store import PostgreSQLStore, grants_for
from tests.docs.pages import ROOT, blocks_of
from tests.postgresql import Server, running
from tests.store.company import KEYS, Company, configuration
from tests.store.test_stores_agree import answers, ticking

OWNER, WRITER, READER, STRANGER = "owner", 'jobs "at night"', "Audit-Team", "stranger"
SECRET = "s3cret/päss word"
DATABASE = 'The "directory"'
SCHEMA = "deltamark"

Connection = psycopg.Connection[tuple[object, ...]]
As = Callable[[str], Connection]


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    """A server with four roles that have a password and no rights, not even those that everybody has.

    By itself it looks at no table: what it knows of them, a role has had it look at.
    """
    with running({"autovacuum": "off"}) as server:
        with psycopg.connect(server.url("postgres"), autocommit=True) as admin:
            for role in (OWNER, WRITER, READER, STRANGER):
                admin.execute(SQL("CREATE ROLE {} LOGIN PASSWORD {}").format(Identifier(role), Literal(SECRET)))
        yield server


@contextmanager
def new_database(server: Server, template: str = "template0") -> Iterator[None]:
    """A database of the owner in which no other role has rights."""
    name = Identifier(DATABASE)
    with psycopg.connect(server.url("postgres"), autocommit=True) as admin:
        made = SQL("CREATE DATABASE {} OWNER {} TEMPLATE {}")
        admin.execute(made.format(name, Identifier(OWNER), Identifier(template)))
        admin.execute(SQL("REVOKE ALL ON DATABASE {} FROM PUBLIC").format(name))
        yield
        admin.execute(SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(name))


@pytest.fixture
def database(server: Server) -> Iterator[None]:
    """An empty database."""
    with new_database(server):
        yield


def url_of(server: Server, role: str, schema: str = SCHEMA) -> str:
    return (
        f"postgresql://{quote(role)}:{quote(SECRET, safe='')}@127.0.0.1:{server.port}/{quote(DATABASE)}?schema={schema}"
    )


def connected(server: Server, role: str) -> Connection:
    """A connection of a role to the tables of the store, past Deltamark."""
    connection = psycopg.connect(url_of(server, role).split("?")[0], autocommit=True)
    connection.execute(f"SET search_path TO {SCHEMA}".encode())
    return connection


@pytest.fixture
def as_role(server: Server) -> Iterator[As]:
    """Gives connections of roles."""
    with ExitStack() as stack:
        yield lambda role: stack.enter_context(closing(connected(server, role)))


def let_in(server: Server) -> None:
    """The owner creates the store and executes its grants for the two roles."""
    statements = grants_for(url_of(server, OWNER), utc_now, writer=WRITER, reader=READER)
    with closing(connected(server, OWNER)) as owner:
        owner.execute(statements.encode())


class Days:
    """The same days for every role that runs the jobs: changes of people are discarded, others kept."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder / "exports"
        self._company = Company(self.folder, seed=5)

    def engine(self, url: str) -> Engine:
        return Engine.open(url, configuration=configuration(keep=False), export_output=self.folder, clock=ticking())

    def run(self, *engines: Engine) -> None:
        for job in ("Complete", "Incremental", "Complete"):
            (self._company.complete_day if job == "Complete" else self._company.incremental_day)()
            for engine in engines:
                assert engine.run_job(job, force=True).state.value in ("completed", "warning")


@pytest.fixture
def days(tmp_path: Path) -> Days:
    return Days(tmp_path)


@pytest.fixture(scope="module")
def template(server: Server, tmp_path_factory: pytest.TempPathFactory) -> str:
    """The name of a database with a store in which the writer has run jobs."""
    days = Days(tmp_path_factory.mktemp("past"))
    with new_database(server):
        let_in(server)
        with days.engine(url_of(server, WRITER)) as writer:
            days.run(writer)
        with psycopg.connect(server.url("postgres"), autocommit=True) as admin:
            admin.execute(SQL("ALTER DATABASE {} RENAME TO past").format(Identifier(DATABASE)))
    return "past"


@pytest.fixture
def past(server: Server, template: str) -> Iterator[None]:
    """A store in which the writer has run its jobs, of its own for a test."""
    with new_database(server, template):
        let_in(server)
        yield


def rows_of_the_log(connection: Connection) -> list[tuple[object, ...]]:
    return connection.execute(f"SELECT * FROM {SCHEMA}.stored_events ORDER BY 1".encode()).fetchall()


@pytest.mark.slow  # runs every job
@pytest.mark.usefixtures("database")
def test_the_writer_runs_every_job_with_retention_as_the_owner_does(server: Server, as_role: As, days: Days) -> None:
    let_in(server)
    with days.engine(url_of(server, OWNER, "of_the_owner")) as owner, days.engine(url_of(server, WRITER)) as writer:
        days.run(owner, writer)

        by_owner, by_writer = answers(owner, KEYS[:5]), answers(writer, KEYS[:5])

    assert by_writer == by_owner
    assert by_writer["horizons"]
    assert by_writer["keys"]


@pytest.mark.usefixtures("past")
def test_the_writer_discards_what_is_older_than_what_is_kept(server: Server, as_role: As, days: Days) -> None:
    kept_by_all = len(rows_of_the_log(as_role(OWNER)))
    with days.engine(url_of(server, WRITER)) as writer:
        changes = list(writer.changes(kept_only=True))
        last = Chosen(NameKind.CONNECTOR, writer.configuration.connectors[-1].identifier)

        found = retain(writer._services, last, 2, even_unread=True, progress=lambda done, total: None, at_a_time=3)

        assert found.count > 3
        assert len([*writer.changes(kept_only=True)]) == len(changes) - found.count
        records = len(writer.run(found.run or 0).tasks[0].discarded)
    assert records == -(-found.count // 3)
    # Start and end of the run, and of its task, are in the log too.
    assert len(rows_of_the_log(as_role(OWNER))) == kept_by_all - found.count + records + 4


@pytest.mark.usefixtures("past")
def test_the_writer_continues_although_only_the_owner_may_renew_statistics(
    server: Server, as_role: As, days: Days, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(statistics, "FEWEST", 1)

    with days.engine(url_of(server, WRITER)) as writer:
        days.run(writer)

    known = as_role(OWNER).execute("SELECT count(*) FROM pg_stats WHERE schemaname = %s", (SCHEMA,)).fetchone()
    assert known == (0,)


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE stored_events SET topic = 'u1' WHERE notification_id = 1",
        "DELETE FROM stored_events",
        "TRUNCATE stored_events",
        "DROP TABLE stored_events",
        "ALTER TABLE stored_events ADD COLUMN mine int",
        "CREATE TRIGGER t BEFORE INSERT ON stored_events EXECUTE FUNCTION suppress_redundant_updates_trigger()",
        "INSERT INTO stored_events SELECT * FROM stored_events ON CONFLICT (notification_id) DO UPDATE SET topic='u1'",
        "UPDATE schema_version SET version = 0",
        "DELETE FROM horizons",
        "DELETE FROM snapshots",
        "DELETE FROM runs",
        "CREATE TABLE deltamark.mine (id int)",
        "CREATE FUNCTION deltamark.mine() RETURNS int LANGUAGE sql AS 'SELECT 1'",
        "ALTER FUNCTION discard_events RENAME TO mine",
        "ALTER FUNCTION erase_events RENAME TO mine",
        "SET ROLE owner",
    ],
)
@pytest.mark.usefixtures("past")
def test_the_server_refuses_the_writer_to_alter_the_log(as_role: As, statement: str) -> None:
    before = rows_of_the_log(as_role(OWNER))

    with pytest.raises(errors.InsufficientPrivilege):
        as_role(WRITER).execute(statement.encode())

    assert rows_of_the_log(as_role(OWNER)) == before


RECORD = """INSERT INTO stored_events (notification_id, originator_id, originator_version, topic, state)
    SELECT max(notification_id) + 1, 1000000, 1, '{topic}', convert_to(json_build_object('first', {first}, 'up_to',
    max(notification_id), 'count', {count})::text, 'UTF8') FROM stored_events"""
DISCARD = "SELECT discard_events(max(notification_id)) FROM stored_events"
COVER = """INSERT INTO snapshots SELECT stream, version, position, 's1', convert_to(state, 'UTF8'), 0 FROM resources
    ON CONFLICT (stream) DO UPDATE SET position = excluded.position"""
BELOW = """INSERT INTO horizons SELECT name, 'HR', {position}, 1, 'T', 0 FROM entity_types
    ON CONFLICT (subject) DO UPDATE SET position = excluded.position"""
COUNT_OF_RESOURCES = "(SELECT count(*) FROM stored_events JOIN resources ON stream = originator_id)"
TRUE_RECORD = RECORD.format(topic="cd1", first=1, count=COUNT_OF_RESOURCES)


@pytest.mark.parametrize(
    "statements",
    [
        [DISCARD],
        ["SELECT discard_events(notification_id) FROM stored_events WHERE topic = 'cd1' LIMIT 1"],
        [COVER, BELOW.format(position=2**40)],
        [TRUE_RECORD],
        [TRUE_RECORD, COVER],
        [TRUE_RECORD, BELOW.format(position=2**40)],
        [COVER, BELOW.format(position=2), TRUE_RECORD],
        [COVER, BELOW.format(position=2**40), "UPDATE snapshots SET position = 1", TRUE_RECORD],
        [COVER, BELOW.format(position=2**40), RECORD.format(topic="te1", first=1, count=COUNT_OF_RESOURCES)],
        [COVER, BELOW.format(position=2**40), RECORD.format(topic="cd1", first=2**40, count=COUNT_OF_RESOURCES)],
        [COVER, BELOW.format(position=2**40), RECORD.format(topic="cd1", first=1, count=1)],
        ["CREATE TEMP TABLE stored_events AS SELECT * FROM deltamark.stored_events", DISCARD],
    ],
    ids=[
        "no record", "an old record", "no record, all else", "neither snapshot nor horizon", "no horizon",
        "no snapshot", "a horizon too low", "snapshots too old", "another event", "other positions",
        "another count", "tables of one's own",
    ],
)  # fmt: skip
@pytest.mark.usefixtures("past")
def test_only_what_record_snapshots_and_horizon_cover_is_discarded(as_role: As, statements: list[str]) -> None:
    before = rows_of_the_log(as_role(OWNER))
    writer = as_role(WRITER)

    with writer.transaction():
        for statement in statements:
            writer.execute(statement.encode())
        discarded = writer.execute(b"SELECT deltamark.discard_events(max(notification_id)) FROM stored_events")
        assert discarded.fetchone() == (0,)

    assert rows_of_the_log(as_role(OWNER))[: len(before)] == before


@pytest.mark.usefixtures("past")
def test_an_earlier_record_allows_no_discard(as_role: As) -> None:
    before = rows_of_the_log(as_role(OWNER))
    writer = as_role(WRITER)
    writer.execute(TRUE_RECORD.encode())

    for statement in (COVER, BELOW.format(position=2**40)):
        writer.execute(statement.encode())

    assert writer.execute(DISCARD.encode()).fetchone() == (0,)
    assert rows_of_the_log(as_role(OWNER))[: len(before)] == before


@pytest.mark.usefixtures("past")
def test_control_with_all_three_the_same_changes_are_discarded_and_the_record_stays(as_role: As) -> None:
    writer = as_role(WRITER)

    with writer.transaction():
        for statement in (COVER, BELOW.format(position=2**40), TRUE_RECORD):
            writer.execute(statement.encode())
        discarded = writer.execute(DISCARD.encode()).fetchone()

    kept = writer.execute(f"SELECT {COUNT_OF_RESOURCES}, count(*) FROM stored_events WHERE topic='cd1'".encode())
    assert discarded is not None
    assert discarded > (0,)
    assert kept.fetchone() == (0, 4)


@pytest.mark.usefixtures("database")
def test_a_discard_refused_by_the_server_rolls_back_the_task(server: Server, as_role: As, days: Days) -> None:
    let_in(server)
    as_role(OWNER).execute(
        b"""CREATE OR REPLACE FUNCTION deltamark.discard_events(record bigint) RETURNS bigint LANGUAGE sql
        AS 'SELECT 0::bigint'"""
    )
    with days.engine(url_of(server, WRITER)) as writer:
        days._company.complete_day()

        run = writer.run_job("Complete", force=True)

        assert run.state.value == "failed"
        assert any("Nothing was discarded" in message for task in run.tasks for message in task.messages)
        assert not writer.horizons()
        assert not list(writer.export_resources("Person"))


@pytest.mark.usefixtures("past")
def test_the_reader_gets_every_answer_that_the_owner_gets(server: Server, days: Days) -> None:
    with days.engine(url_of(server, OWNER)) as owner, days.engine(url_of(server, READER)) as reader:
        assert answers(reader, KEYS[:5]) == answers(owner, KEYS[:5])
        assert reader.export("Person").num_rows
        assert [run.number for run in reader.runs()] == [1, 2, 3]
        assert reader.checkpoint() == owner.checkpoint()
        assert reader.verify(owner.checkpoint()).is_sound
        with application(url_of(server, READER), snapshots=True) as log, log.recorder.subscribe() as subscription:
            assert [next(subscription).id for _ in range(3)] == [1, 2, 3]


@pytest.mark.parametrize("decide", [Engine.resume, Engine.cancel])
@pytest.mark.usefixtures("past")
def test_the_writer_holds_back_and_decides_and_the_reader_sees_pending_changes(
    server: Server, days: Days, decide: Callable[[Engine, int], object]
) -> None:
    with days.engine(url_of(server, WRITER)) as writer, days.engine(url_of(server, READER)) as reader:
        days._company.complete_day()
        people = days.folder / "Person.csv"
        people.write_text(people.read_text("utf-8").splitlines()[0] + "\n", "utf-8")

        run = writer.run_job("Complete")

        assert run.state.value == "blocked"
        assert [change.event for change in reader.pending(run.number)] != []
        decide(writer, run.number)
        with pytest.raises(UsageError, match="has no pending changes"):
            next(reader.pending(run.number))


@pytest.mark.parametrize("dry_run", [False, True])
@pytest.mark.usefixtures("past")
def test_a_reader_that_runs_a_job_is_refused_as_read_only(server: Server, days: Days, dry_run: bool) -> None:
    with days.engine(url_of(server, READER)) as reader:
        with pytest.raises(StoreError) as caught:
            reader.run_job("Complete", dry_run=dry_run)

        assert "the user may read it, but not write to it" in str(caught.value)
        assert "deltamark grants" in str(caught.value)
        assert SECRET not in told(caught.value)
        assert len(reader.runs()) == 3


@pytest.mark.usefixtures("past")
def test_the_server_refuses_the_reader_every_change_of_every_table(as_role: As) -> None:
    tables = as_role(OWNER).execute(b"SELECT tablename FROM pg_tables WHERE schemaname = 'deltamark'").fetchall()
    reader = as_role(READER)

    assert len(tables) > 10
    for (table,) in tables:
        for statement in (f"INSERT INTO {table} DEFAULT VALUES", f"DELETE FROM {table}", f"TRUNCATE {table}"):
            with pytest.raises(errors.InsufficientPrivilege):
                reader.execute(statement.encode())
    with pytest.raises(errors.InsufficientPrivilege):
        reader.execute(DISCARD.encode())


@pytest.mark.usefixtures("database")
def test_a_listening_reader_is_notified_of_commits_of_the_writer(server: Server, as_role: As, days: Days) -> None:
    let_in(server)
    reader = as_role(READER)
    reader.execute(b"LISTEN deltamark_deltamark")
    with days.engine(url_of(server, WRITER)) as writer, days.engine(url_of(server, READER)) as following:
        days.run(writer)

        assert next(reader.notifies(timeout=60, stop_after=1)).channel == "deltamark_deltamark"
        assert next(following.follow(0, kept_only=True, timeout=60)).position > 0


@pytest.mark.usefixtures("database")
def test_a_role_without_grants_learns_whom_to_ask(server: Server, as_role: As, days: Days) -> None:
    let_in(server)
    as_role(OWNER).execute(SQL("GRANT CONNECT ON DATABASE {} TO stranger").format(Identifier(DATABASE)))

    with pytest.raises(StoreError, match=r"permission denied for schema deltamark.*`deltamark grants`") as caught:
        days.engine(url_of(server, STRANGER))

    assert SECRET not in told(caught.value)


def told(error: Exception) -> str:
    return "".join(traceback.format_exception(error)) + repr(error)


@pytest.mark.usefixtures("database")
def test_granting_again_revokes_all_other_rights_of_the_roles(server: Server, as_role: As) -> None:
    let_in(server)
    owner = as_role(OWNER)
    for role in map(Identifier, (WRITER, READER)):
        owner.execute(SQL("GRANT ALL ON ALL TABLES IN SCHEMA deltamark TO {}").format(role))
        owner.execute(SQL("GRANT ALL ON SCHEMA deltamark TO {}").format(role))
        owner.execute(SQL("GRANT ALL ON FUNCTION deltamark.discard_events TO {}, PUBLIC").format(role))

    let_in(server)

    for role, statement in (
        (WRITER, "DELETE FROM stored_events"),
        (WRITER, "CREATE TABLE deltamark.mine (id int)"),
        (READER, "DELETE FROM links"),
        (READER, "SELECT discard_events(1)"),
    ):
        with pytest.raises(errors.InsufficientPrivilege):
            as_role(role).execute(statement.encode())


@pytest.mark.usefixtures("past")
def test_retention_works_after_the_schema_was_renamed(server: Server, as_role: As, days: Days) -> None:
    as_role(OWNER).execute(b"ALTER SCHEMA deltamark RENAME TO renamed")

    with days.engine(url_of(server, WRITER, "renamed")) as writer:
        before = writer.horizons()[0].position
        days.run(writer)

        assert writer.horizons()[0].position > before


@pytest.mark.parametrize(
    ("writer", "reader", "words"),
    [
        (None, None, "no role was named"),
        (WRITER, WRITER, "cannot both write and only read"),
        (
            "nobody here",
            None,
            'the role .nobody here. does not exist. Create it first: CREATE ROLE "nobody here" LOGIN',
        ),
        (None, "public", "is not the name of a role"),
        (None, "", "is not the name of a role"),
        ("x" * 64, None, "is not the name of a role"),
        (OWNER, None, "the owner of the store: grants cannot restrict it"),
        (None, "deltamark", "is a superuser: grants cannot restrict it"),
        ("pg_write_all_data", None, "is a predefined role of PostgreSQL"),
        (None, "pg_read_all_data", "is a predefined role of PostgreSQL"),
        (None, "PUBLIC", "the role .PUBLIC. does not exist"),
    ],
)
@pytest.mark.usefixtures("database")
def test_roles_that_cannot_be_granted_are_refused(
    server: Server, writer: str | None, reader: str | None, words: str
) -> None:
    with pytest.raises(UsageError, match=words):
        grants_for(url_of(server, OWNER), utc_now, writer=writer, reader=reader)


@pytest.mark.usefixtures("database")
def test_a_role_that_may_act_as_the_owner_is_refused(server: Server) -> None:
    with psycopg.connect(server.url("postgres"), autocommit=True) as admin:
        admin.execute(b"GRANT owner TO stranger")
        try:
            with pytest.raises(UsageError, match="may act as"):
                grants_for(url_of(server, OWNER), utc_now, writer=STRANGER, reader=None)
        finally:
            admin.execute(b"REVOKE owner FROM stranger")


@pytest.mark.parametrize(
    ("given", "taken", "words"),
    [
        (
            "GRANT pg_write_all_data TO stranger",
            "REVOKE pg_write_all_data FROM stranger",
            "is a member of pg_write_all",
        ),
        (
            "GRANT pg_execute_server_program TO stranger",
            "REVOKE pg_execute_server_program FROM stranger",
            "is a member of pg_execute_server_program: grants cannot restrict it",
        ),
    ],
)
@pytest.mark.usefixtures("database")
def test_a_member_of_a_role_that_may_write_everything_is_refused(
    server: Server, given: str, taken: str, words: str
) -> None:
    with psycopg.connect(server.url("postgres"), autocommit=True) as admin:
        admin.execute(given.encode())
        try:
            for writer, reader in ((STRANGER, None), (None, STRANGER)):
                with pytest.raises(UsageError, match=words):
                    grants_for(url_of(server, OWNER), utc_now, writer=writer, reader=reader)
        finally:
            admin.execute(taken.encode())


@pytest.mark.usefixtures("past")
def test_rights_that_a_role_has_by_way_of_others_are_named(server: Server, as_role: As) -> None:
    owner = as_role(OWNER)
    owner.execute(b"GRANT UPDATE ON stored_events TO PUBLIC")
    with pytest.raises(UsageError, match=r"has UPDATE on stored_events like everybody \(PUBLIC\)"):
        grants_for(url_of(server, OWNER), utc_now, writer=WRITER, reader=None)
    owner.execute(b"REVOKE UPDATE ON stored_events FROM PUBLIC")
    owner.execute(b"GRANT TRUNCATE ON links TO stranger")
    with psycopg.connect(server.url("postgres"), autocommit=True) as admin:
        admin.execute(SQL("GRANT stranger TO {}").format(Identifier(READER)))
        try:
            with pytest.raises(UsageError, match='has TRUNCATE on links as a member of "stranger"'):
                grants_for(url_of(server, OWNER), utc_now, writer=None, reader=READER)
        finally:
            admin.execute(SQL("REVOKE stranger FROM {}").format(Identifier(READER)))


@pytest.mark.usefixtures("database")
def test_a_reader_that_is_a_member_of_the_writer_is_refused(server: Server) -> None:
    with psycopg.connect(server.url("postgres"), autocommit=True) as admin:
        admin.execute(SQL("GRANT {} TO {}").format(Identifier(WRITER), Identifier(READER)))
        try:
            with pytest.raises(UsageError, match="so it could write"):
                grants_for(url_of(server, OWNER), utc_now, writer=WRITER, reader=READER)
        finally:
            admin.execute(SQL("REVOKE {} FROM {}").format(Identifier(WRITER), Identifier(READER)))


@pytest.mark.usefixtures("past")
def test_the_reader_may_make_the_backup_and_the_copy_has_the_same_rights(
    server: Server, days: Days, tmp_path: Path, as_role: As
) -> None:
    with days.engine(url_of(server, READER)) as reader:
        expected = answers(reader, KEYS[:5])
        with pytest.raises(UsageError, match="pg_dump") as caught:
            reader.backup(tmp_path / "copy.dump")
    server.run(*shlex.split(str(caught.value).splitlines()[-1]), PGPASSWORD=SECRET)
    as_role(OWNER).execute(b"DROP SCHEMA deltamark CASCADE")

    database = url_of(server, OWNER).split("?")[0]
    server.run("pg_restore", "--exit-on-error", "--single-transaction", f"--dbname={database}", f"{tmp_path}/copy.dump")

    with days.engine(url_of(server, READER)) as reader, days.engine(url_of(server, WRITER)) as writer:
        assert answers(reader, KEYS[:5]) == expected
        days.run(writer)
    with pytest.raises(errors.InsufficientPrivilege):
        as_role(WRITER).execute(b"DELETE FROM stored_events")


def test_the_statements_are_those_that_the_documentation_shows(server: Server) -> None:
    page = (ROOT / "docs" / "how-to" / "let-one-role-write-and-one-read.md").read_text("utf-8")
    made, shown = (block.text for block in blocks_of(page) if block.language == "sql")
    with psycopg.connect(server.url("postgres"), autocommit=True) as admin:
        for statement in made.splitlines():
            admin.execute(statement.encode())

        printed = grants_for(
            f"postgresql://keeper:…@127.0.0.1:{server.port}/directory", utc_now, writer="jobs", reader="audit"
        )

        assert printed == shown
        admin.execute(b"DROP DATABASE directory WITH (FORCE)")


@pytest.mark.usefixtures("past")
@pytest.mark.parametrize("role", [WRITER, READER])
def test_after_an_upgrade_other_roles_must_wait_for_the_owner(server: Server, role: str) -> None:
    steps = [*STEPS, Step(STEPS[-1].version + 1, lambda t: [f"CREATE TABLE newer (id {t.number})"])]

    with pytest.raises(StoreError, match=r"The owner of the store creates and upgrades it, .*`deltamark grants`"):
        PostgreSQLStore(url_of(server, role), utc_now, steps=steps)
    PostgreSQLStore(url_of(server, OWNER), utc_now, steps=steps).close()
    PostgreSQLStore(url_of(server, role), utc_now, steps=steps).close()


@pytest.mark.usefixtures("past")
def test_the_writer_erases_a_resource_and_the_log_verifies(server: Server, as_role: As, days: Days) -> None:
    entity_type, key = _somebody(as_role(OWNER))
    with days.engine(url_of(server, WRITER)) as writer:
        done = writer.erase(entity_type, key, reason="request 17")

        with pytest.raises(ErasedResource):
            writer.history(entity_type, key, kept_only=True)
        assert writer.verify().is_sound
    of_runs = {stream for (stream,) in as_role(OWNER).execute("SELECT stream FROM runs").fetchall()}
    emptied = [row for row in rows_of_the_log(as_role(OWNER)) if row[3] == "e1"]
    assert done.events == sum(row[1] not in of_runs for row in emptied) > 0
    assert as_role(OWNER).execute("SELECT count(*) FROM resources WHERE key = %s", (key,)).fetchone() == (0,)


def _somebody(owner: Connection) -> tuple[str, str]:
    """A live resource with changes in the log, whose key no other entity type has."""
    found = owner.execute(
        b"""SELECT min(t.name), r.key FROM resources r JOIN entity_types t ON t.id = r.entity_type
        GROUP BY r.key HAVING count(*) = 1 AND bool_and(r.live) ORDER BY r.key LIMIT 1"""
    ).fetchone()
    assert found is not None
    return str(found[0]), str(found[1])


STUB = """INSERT INTO stubs (position, stream, version, topic, leaf)
    SELECT notification_id, originator_id, originator_version, topic, seal FROM stored_events
    WHERE notification_id IN ({positions}) ON CONFLICT DO NOTHING"""
ERASURE = """INSERT INTO stored_events (notification_id, originator_id, originator_version, topic, state)
    SELECT max(notification_id) + 1, 1000000, 1, '{topic}',
    convert_to('{{"ranges":{ranges},"count":{count},"streams":{streams}}}', 'UTF8') FROM stored_events"""
ERASE = b"SELECT deltamark.erase_events(max(notification_id)) FROM deltamark.stored_events"


def _first_changes(owner: Connection) -> tuple[int, int]:
    """The positions of the first two changes in the log, which are of resources."""
    rows = owner.execute(
        b"SELECT notification_id FROM stored_events WHERE topic IN ('c1', 'u1') ORDER BY 1 LIMIT 2"
    ).fetchall()
    first, second = (int(str(position)) for (position,) in rows)
    return first, second


@pytest.mark.parametrize(
    ("topic", "ranges", "count", "kept"),
    [
        (None, "[[{0},{0}]]", 1, "{0}"),
        ("te1", "[[{0},{0}]]", 1, "{0}"),
        ("cd1", "[[{0},{0}]]", 1, "{0}"),
        ("er1", "[[{0},{0}]]", 1, None),
        ("er1", "[[{0},{0}]]", 1, "{1}"),
        ("er1", "[[{0},{0}],[{1},{1}]]", 2, "{0}"),
        ("er1", "[[{0},{0}]]", 2, "{0},{1}"),
        ("er1", "[[{0},{0}],[{1},{1}]]", 1, "{0},{1}"),
        ("er1", "[[{1},{0}]]", 1, "{0}"),
        ("er1", "[]", 0, "{0}"),
        ("er1", "[[1,1]]", 1, "1"),
        ("er1", "[[1,{0}]]", 2, "1,{0}"),
    ],
    ids=[
        "no record", "another event", "the record of a discard", "no leaf kept", "another's leaf kept",
        "one leaf kept of two", "count too high", "count too low", "range upside down", "nothing named",
        "the record of a run", "the record of a run among others",
    ],
)  # fmt: skip
@pytest.mark.usefixtures("past")
def test_only_recorded_events_with_kept_digests_are_emptied(
    as_role: As, topic: str | None, ranges: str, count: int, kept: str | None
) -> None:
    positions = _first_changes(as_role(OWNER))
    before = rows_of_the_log(as_role(OWNER))
    writer = as_role(WRITER)

    with writer.transaction():
        if kept is not None:
            writer.execute(STUB.format(positions=kept.format(*positions)).encode())
        if topic is not None:
            named = ranges.format(*positions)
            writer.execute(ERASURE.format(topic=topic, ranges=named, count=count, streams=[]).encode())
        assert writer.execute(ERASE).fetchone() == (0,)

    assert rows_of_the_log(as_role(OWNER))[: len(before)] == before


@pytest.mark.usefixtures("past")
def test_an_earlier_record_allows_no_erasure(as_role: As) -> None:
    (position, _) = _first_changes(as_role(OWNER))
    before = rows_of_the_log(as_role(OWNER))
    writer = as_role(WRITER)
    writer.execute(STUB.format(positions=position).encode())
    writer.execute(ERASURE.format(topic="er1", ranges=f"[[{position},{position}]]", count=1, streams=[]).encode())

    assert writer.execute(ERASE).fetchone() == (0,)
    assert rows_of_the_log(as_role(OWNER))[: len(before)] == before


@pytest.mark.usefixtures("past")
def test_control_with_record_and_leaf_the_same_change_is_emptied_and_nothing_else(as_role: As) -> None:
    (position, _) = _first_changes(as_role(OWNER))
    before = rows_of_the_log(as_role(OWNER))
    writer = as_role(WRITER)

    with writer.transaction():
        writer.execute(STUB.format(positions=position).encode())
        writer.execute(ERASURE.format(topic="er1", ranges=f"[[{position},{position}]]", count=1, streams=[]).encode())
        assert writer.execute(ERASE).fetchone() == (1,)

    after = rows_of_the_log(as_role(OWNER))[: len(before)]
    (emptied,) = (new for old, new in zip(before, after, strict=True) if old != new)
    assert (emptied[0], emptied[3], emptied[5]) == (position, "e1", None)


@pytest.mark.usefixtures("past")
def test_the_reader_erases_nothing(server: Server, as_role: As, days: Days) -> None:
    before = rows_of_the_log(as_role(OWNER))
    with pytest.raises(errors.InsufficientPrivilege):
        as_role(READER).execute(ERASE)

    with days.engine(url_of(server, READER)) as reader, pytest.raises(StoreError):
        reader.erase(*_somebody(as_role(OWNER)), reason="request 17")

    assert rows_of_the_log(as_role(OWNER)) == before


@pytest.mark.usefixtures("past")
def test_an_erasure_refused_by_the_server_is_rolled_back(server: Server, as_role: As, days: Days) -> None:
    before = rows_of_the_log(as_role(OWNER))
    as_role(OWNER).execute(
        b"""CREATE OR REPLACE FUNCTION deltamark.erase_events(record bigint) RETURNS bigint LANGUAGE sql
        AS 'SELECT 0::bigint'"""
    )

    with days.engine(url_of(server, WRITER)) as writer, pytest.raises(StoreError, match="Nothing was erased"):
        writer.erase(*_somebody(as_role(OWNER)), reason="request 17")

    assert rows_of_the_log(as_role(OWNER)) == before


@pytest.mark.slow  # runs every job
@pytest.mark.parametrize("count", [0, 1])
@pytest.mark.usefixtures("past")
def test_snapshots_are_deleted_only_of_deleted_resources_and_links_with_recorded_changes(
    as_role: As, count: int
) -> None:
    snapshots = "SELECT stream FROM deltamark.snapshots ORDER BY 1"
    before = [int(str(stream)) for (stream,) in as_role(OWNER).execute(snapshots.encode()).fetchall()]
    assert before
    writer = as_role(WRITER)

    with writer.transaction():
        if count:
            writer.execute(b"DELETE FROM resources")
        writer.execute(ERASURE.format(topic="er1", ranges="[]", count=count, streams=before).encode())
        assert writer.execute(ERASE).fetchone() == (0,)

    assert [stream for (stream,) in as_role(OWNER).execute(snapshots.encode()).fetchall()] == before
