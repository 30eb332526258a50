"""PostgreSQL: the backup command that Deltamark names makes a complete copy while jobs run."""

from __future__ import annotations

import shlex
from collections import Counter
from collections.abc import Iterator
from contextlib import closing
from itertools import count
from pathlib import Path

import psycopg
import pytest

from deltamark import Engine, UsageError
from tests.postgresql import PASSWORD, Server, running
from tests.store.nights import nights
from tests.store.sqlite.test_faults import folded
from tests.store.workspace import GROUP, PERSON, Workspace, everything

_databases = count(1)


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    """A server with its own programs."""
    with running() as server:
        yield server


@pytest.fixture
def space(server: Server, tmp_path: Path) -> Workspace:
    """A company after its first job, in a schema of its own."""
    (tmp_path / "company").mkdir()
    space = Workspace(tmp_path / "company", server.url(new_database(server), schema="company"))
    space.first_day()
    space.run()
    space.second_day()
    return space


def new_database(server: Server) -> str:
    name = f"directory_{next(_databases)}"
    with psycopg.connect(server.url("postgres"), autocommit=True) as admin:
        admin.execute(f"CREATE DATABASE {name} TEMPLATE template0 ENCODING 'UTF8'".encode())
    return name


def dump(server: Server, engine: Engine, file: Path) -> None:
    """Executes the command in the message."""
    with pytest.raises(UsageError, match="PostgreSQL's own program makes the backup") as caught:
        engine.backup(file)
    program, *arguments = shlex.split(str(caught.value).splitlines()[-1])
    arguments[-1] += f"?host={server.url('').split('host=')[1]}"  # the tests come through a socket in a folder
    assert program == "pg_dump"
    server.run(program, *arguments)


def restored(server: Server, file: Path, into: Path) -> Workspace:
    """Restores the copy in a new database."""
    database = new_database(server)
    server.run("pg_restore", "--exit-on-error", "--single-transaction", f"--dbname={server.url(database)}", str(file))
    into.mkdir()
    return Workspace(into, server.url(database, schema="company"))


def rows_of_the_log(space: Workspace) -> list[tuple[int, ...]]:
    url = space.url.split("&schema")[0]
    with closing(psycopg.connect(url)) as connection:
        return connection.execute(b"SELECT * FROM company.stored_events ORDER BY 1").fetchall()


def test_a_copy_made_while_jobs_run_is_consistent_and_has_all_acknowledged_changes(
    server: Server, space: Workspace, tmp_path: Path
) -> None:
    made = []
    with nights(space) as others, space.engine() as engine:
        for number in range(3):
            acknowledged = others.wait()
            dump(server, engine, tmp_path / f"{number}.dump")
            made.append(acknowledged)

    log = rows_of_the_log(space)
    for number, acknowledged in enumerate(made):
        copied = restored(server, tmp_path / f"{number}.dump", tmp_path / str(number))
        held = rows_of_the_log(copied)
        assert held == log[: len(held)]
        assert held[-1][0] >= acknowledged
        with copied.engine(create=False) as engine:
            assert engine.position() == held[-1][0]
            assert not half_done(engine)
            for name in (PERSON, GROUP):
                state = {row.key: dict(row.values) for row in engine.export_resources(name)}
                assert state == folded(engine, name)


def half_done(engine: Engine) -> list[str]:
    """The tasks whose counts differ from the log."""
    made = Counter((change.run, change.event.cause.task) for change in engine.changes())
    tasks = [(run.number, task) for run in engine.runs() for task in run.tasks]
    return [task.identifier for run, task in tasks if made[run, task.ordinal] != task.counts.changed]


def test_a_copy_is_an_independent_store(server: Server, space: Workspace, tmp_path: Path) -> None:
    with space.engine() as engine:
        before, position = everything(engine), engine.position()
        dump(server, engine, tmp_path / "one.dump")
        engine.run_job("Nightly")
        after, newest = everything(engine), engine.position()

    copied = restored(server, tmp_path / "one.dump", tmp_path / "restored")
    with copied.engine(create=False, keep=False) as engine:
        assert everything(engine) == before
        with pytest.raises(UsageError, match=f"position {newest} is not in the log, which ends at {position}"):
            next(engine.follow(newest, timeout=0))
        copied.second_day()
        with copied.engine(create=False) as again:
            again.run_job("Nightly")
            assert everything(again) == after
        run = engine.run_job("Nightly", force=True)
        assert run.state.value == "completed"
        assert engine.horizons()


def test_the_command_names_the_store_and_not_the_password(server: Server, space: Workspace) -> None:
    url = f"postgresql://deltamark:s3cret%2Fp%C3%A4ss%20word@127.0.0.1:{server.port}/{space.url.split('/')[3].split('?')[0]}"
    with (
        Engine.open(f"{url}?schema=company", configuration=space.engine().configuration) as engine,
        pytest.raises(UsageError) as caught,
    ):
        engine.backup("two words.dump")

    said = str(caught.value)
    assert PASSWORD not in said
    assert "s3cret" not in said
    assert said.endswith(
        "  pg_dump --format=custom --schema=company '--file=two words.dump' "
        f"postgresql://deltamark@127.0.0.1:{server.port}/{space.url.split('/')[3].split('?')[0]}"
    )
