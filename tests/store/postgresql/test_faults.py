"""PostgreSQL: a failure during a run leaves the store as it was before or after a task, and it continues."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from threading import Thread
from urllib.parse import quote

import psycopg
import pytest

from deltamark import Engine, JobRun, Observer, StoreError, StoreUnreachable, TaskState
from deltamark.bootstrap import utc_now
from deltamark.domain.resources.resource import ResourceRef, fold
from deltamark.infrastructure.store.postgresql.database import PostgreSQLDatabase
from deltamark.infrastructure.store.postgresql.store import PostgreSQLStore
from tests.postgresql import PASSWORD, USER, Server, running
from tests.store.company import KEYS, Company, configuration
from tests.store.postgresql.proxy import Proxy
from tests.store.queries.test_follow import following


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    """A server for these tests alone, which they kill."""
    with running() as server:
        yield server


@pytest.fixture
def url(server: Server, request: pytest.FixtureRequest) -> str:
    return server.url("postgres", schema=f"s{abs(hash(request.node.name)) % 10**9}")


@pytest.fixture
def company(tmp_path: Path) -> Company:
    return Company(tmp_path / "exports", seed=3)


def opened(url: str, tmp_path: Path) -> Engine:
    return Engine.open(url, configuration=configuration(), export_output=tmp_path / "exports")


def assert_log_folds_to_state(url: str) -> None:
    """Asserts that every resource equals its folded events, and that no events are without resource."""
    store = PostgreSQLStore(url, utc_now)
    with store.reading() as view:
        for entity_type, keys in (("Person", KEYS), ("Account", KEYS), ("Department", ("Sales", "IT", "Ärzte", "a b"))):
            for key in keys:
                ref = ResourceRef(entity_type, key)
                assert view.resource(ref) == fold(fact for _, fact in view.facts(ref))
            exported = [key for key, _ in view.states_at(entity_type, None)]
            assert exported == [key for key, _ in view.states_at(entity_type, view.head())]
        for association in ("Works", "Knows"):
            assert list(view.links_from(association)) == list(view.links_at(association, view.head()))
    store.close()


def ran(engine: Engine) -> JobRun | StoreError:
    try:
        return engine.run_job("Complete", force=True)
    except StoreError as e:
        return e


class At:
    """Calls a function at the n-th statement of the store, or before rows are inserted into one of its tables."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self._n = 0
        self._table = ""
        self._what = lambda _: None
        self.happened = True
        cursor, insert = PostgreSQLDatabase._cursor, PostgreSQLDatabase.insert

        def counted_cursor(database: PostgreSQLDatabase, *arguments: object, **options: object) -> object:
            self._count(database)
            return cursor(database, *arguments, **options)  # type: ignore[arg-type]

        def counted_insert(database: PostgreSQLDatabase, table: str, *arguments: object) -> None:
            self._count(database)
            if table == self._table:
                self._table = ""
                self.happened = True
                self._what(database)  # type: ignore[no-untyped-call]
            insert(database, table, *arguments)  # type: ignore[arg-type]

        monkeypatch.setattr(PostgreSQLDatabase, "_cursor", counted_cursor)
        monkeypatch.setattr(PostgreSQLDatabase, "insert", counted_insert)

    def statement(self, n: int, what: object) -> None:
        self._n, self._what, self.happened = n, what, False  # type: ignore[assignment]

    def insertion_into(self, table: str, what: object) -> None:
        self._table, self._what, self.happened = table, what, False  # type: ignore[assignment]

    def _count(self, database: PostgreSQLDatabase) -> None:
        self._n -= 1
        if self._n == 0:
            self.happened = True
            self._what(database)  # type: ignore[no-untyped-call]


STRIDE = 17
"""All statements of a run would take minutes; this stride, which is no period of a run, meets all its parts."""


@pytest.mark.slow  # two runs for every seventeenth statement of a run
def test_a_backend_terminated_at_any_statement_leaves_the_state_before_or_after_the_task(
    server: Server, url: str, company: Company, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    at = At(monkeypatch)

    def terminate(database: PostgreSQLDatabase) -> None:
        with psycopg.connect(server.url("postgres"), autocommit=True) as other:
            other.execute("SELECT pg_terminate_backend(%s, 5000)", [database._connection.info.backend_pid])

    with opened(url, tmp_path) as engine:
        n, failed = 1, 0
        while at.happened:
            company.complete_day()
            at.statement(n, terminate)

            outcome = ran(engine)

            if at.happened:
                failed += isinstance(outcome, StoreError) or outcome.state is not TaskState.COMPLETED
                at.statement(0, None)
                at.happened = True
                assert engine.run_job("Complete", force=True).state in (TaskState.COMPLETED, TaskState.WARNING)
            n += STRIDE
        at.statement(0, None)
        assert n > 100
        assert failed > 5
    assert_log_folds_to_state(url)


@pytest.mark.slow  # stops a server
def test_a_server_killed_during_a_synchronization_loses_nothing(
    server: Server, url: str, company: Company, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with opened(url, tmp_path) as engine:
        company.complete_day()
        engine.run_job("Complete")
        before, acknowledged = engine.position(), list(engine.changes())
        company.complete_day()
        at = At(monkeypatch)

        def kill(_: PostgreSQLDatabase) -> None:
            server.kill()
            Thread(target=server.start).start()

        at.insertion_into("links", kill)
        run = engine.run_job("Complete", force=True)

        assert at.happened
        assert TaskState.FAILED in {task.state for task in run.tasks}
        assert engine.position() > before
        assert list(engine.changes())[: len(acknowledged)] == acknowledged
        assert_log_folds_to_state(url)
        assert engine.run_job("Complete", force=True).state in (TaskState.COMPLETED, TaskState.WARNING)
    assert_log_folds_to_state(url)


def test_a_store_that_stays_unreachable_is_reported(url: str, server: Server, company: Company, tmp_path: Path) -> None:
    company.complete_day()
    with opened(url, tmp_path) as engine:
        engine.run_job("Complete")
    store = PostgreSQLStore(url, utc_now, reconnect_s=0)
    server.stop()
    try:
        with (
            pytest.raises(StoreUnreachable, match="cannot be reached, or the connection to it was lost"),
            store.reading(),
        ):
            pass
    finally:
        server.start()
    with store.reading() as view:
        assert view.head() > 0
    store.close()


def test_a_follower_continues_after_its_connections_were_terminated(
    server: Server, url: str, company: Company, tmp_path: Path
) -> None:
    with opened(url, tmp_path) as engine, following(engine) as follower:
        for _ in range(3):
            before = engine.position()
            company.complete_day()
            engine.run_job("Complete", force=True)
            new = list(engine.changes(after=before))

            assert follower.next(len(new)) == new
            with psycopg.connect(server.url("postgres"), autocommit=True) as other:
                other.execute(
                    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name LIKE 'deltamark %'"
                )
    assert follower.rest() == []


@pytest.mark.slow  # stops a server
def test_a_follower_continues_after_the_server_was_restarted(
    server: Server, url: str, company: Company, tmp_path: Path
) -> None:
    with opened(url, tmp_path) as engine, following(engine) as follower:
        for restart in (server.stop, server.kill):
            before = engine.position()
            company.complete_day()
            engine.run_job("Complete", force=True)
            new = list(engine.changes(after=before))

            assert follower.next(len(new)) == new
            restart()
            server.start()
        before = engine.position()
        company.complete_day()
        engine.run_job("Complete", force=True)
        assert follower.next(1) == list(engine.changes(after=before))[:1]


def test_a_follower_is_woken_by_the_commit(
    url: str, company: Company, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("deltamark.application.history.follow._POLL_S", 3_600.0)
    with opened(url, tmp_path) as engine:
        company.complete_day()
        with following(engine) as follower:
            engine.run_job("Complete")

            there = list(engine.changes())
            assert follower.next(len(there)) == there


@pytest.mark.parametrize("pass_on", [True, False], ids=["after the server had it", "before the server had it"])
def test_a_connection_lost_during_a_commit_never_leaves_a_run_in_doubt(
    server: Server, url: str, company: Company, tmp_path: Path, pass_on: bool
) -> None:
    company.complete_day()
    proxy = Proxy(server.port)
    proxy.pass_on = pass_on
    schema = url.rsplit("=", 1)[1]
    through = f"postgresql://{USER}:{quote(PASSWORD, safe='')}@127.0.0.1:{proxy.port}/postgres?schema={schema}"
    with opened(url, tmp_path) as engine:
        engine.run_job("Complete")

    with opened(through, tmp_path) as engine:
        before = engine.position()
        company.complete_day()
        run = engine.run_job("Complete", force=True, observer=Cutting(proxy))

        assert proxy.cuts == 1
        states = {task.identifier: task.state for task in run.tasks}
        succeeded = states["SynchronizeHR"] in (TaskState.COMPLETED, TaskState.WARNING)
        assert succeeded == pass_on
        assert bool(list(engine.changes(after=before))) == pass_on
        assert len(engine.runs()) == 2
    proxy.close()
    assert_log_folds_to_state(url)


class Cutting(Observer):
    """Cuts at the next commit once the first task has started: that of the task itself."""

    def __init__(self, proxy: Proxy) -> None:
        self._proxy = proxy

    def task_started(self, run: int, task: object) -> None:
        if not self._proxy.cuts:
            self._proxy.cut_at = b"COMMIT\0"  # not `ON COMMIT DROP`

    def task_ended(self, run: int, task: object) -> None:
        self._proxy.cut_at = None


def test_a_statement_timeout_fails_the_task_and_names_the_setting(
    server: Server, url: str, company: Company, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    company.complete_day()
    at = At(monkeypatch)

    def slow(database: PostgreSQLDatabase) -> None:
        database._connection.execute("SET LOCAL statement_timeout = 20")
        database._connection.execute("SELECT pg_sleep(60)")

    with opened(url, tmp_path) as engine:
        at.insertion_into("links", slow)
        run = engine.run_job("Complete")

        (failed,) = [task for task in run.tasks if task.state is TaskState.FAILED]
        assert "statement_timeout" in failed.messages[0]
        assert at.happened
        assert engine.run_job("Complete", force=True).state in (TaskState.COMPLETED, TaskState.WARNING)
    assert_log_folds_to_state(url)
