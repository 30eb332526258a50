"""What all tests share: a store of every kind, and time that goes on by itself."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from datetime import UTC, datetime, timedelta
from itertools import count
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit
from uuid import uuid4

import psycopg
import pytest

from tests.postgresql import running

STORES = ("sqlite", "postgresql")
"""Every kind of store: a test that asks for one runs on each."""

NewStore = Callable[[], str]
EveryStore = Callable[[], dict[str, str]]

_schemas = count(1)


@pytest.fixture(scope="session")
def postgresql_database() -> Iterator[str]:
    """The URL of a database of the tests' own.

    `DELTAMARK_TEST_POSTGRESQL` names a server to create it on; without that a server is started.
    """
    given = os.environ.get("DELTAMARK_TEST_POSTGRESQL")
    if given:
        with _new_database(given) as url:
            yield url
    else:
        with running() as server, _new_database(server.url("postgres")) as url:
            yield url


@contextmanager
def _new_database(url: str) -> Iterator[str]:
    name = f"deltamark_test_{uuid4().hex[:12]}"
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name} TEMPLATE template0 ENCODING 'UTF8'".encode())
        try:
            yield urlunsplit(urlsplit(url)._replace(path=f"/{name}"))
        finally:
            connection.execute(f"DROP DATABASE {name} WITH (FORCE)".encode())


@pytest.fixture(params=STORES)
def new_store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[NewStore]:
    """Gives the URL of another new store with every call; all are gone after the test."""
    if request.param == "sqlite":
        place: AbstractContextManager[NewStore] = nullcontext(_new_files(tmp_path))
    else:
        place = _new_schemas(request.getfixturevalue("postgresql_database"))
    with place as new:
        yield new


def _new_files(folder: Path) -> NewStore:
    numbers = count(1)
    return lambda: f"sqlite:///{folder}/store-{next(numbers)}.db"


@pytest.fixture
def every_store(tmp_path: Path, postgresql_database: str) -> Iterator[EveryStore]:
    """Gives the URLs of new stores, one of each kind, by kind."""
    files = _new_files(tmp_path)
    with _new_schemas(postgresql_database) as schemas:
        yield lambda: {"sqlite": files(), "postgresql": schemas()}


@pytest.fixture
def postgresql_url(postgresql_database: str) -> Iterator[str]:
    """The URL of a new store in PostgreSQL, for tests about PostgreSQL itself."""
    with _new_schemas(postgresql_database) as new:
        yield new()


@contextmanager
def _new_schemas(database: str) -> Iterator[NewStore]:
    """Stores side by side in one database, each in a schema: much quicker than a database each."""
    made = []

    def new() -> str:
        made.append(f"test_{next(_schemas)}")
        mark = "&" if "?" in database else "?"
        return f"{database}{mark}schema={made[-1]}"

    yield new
    with psycopg.connect(database, autocommit=True) as connection:
        for name in made:
            connection.execute(f"DROP SCHEMA IF EXISTS {name} CASCADE".encode())


@pytest.fixture
def store_url(new_store: NewStore) -> str:
    """The URL of a new store."""
    return new_store()


@pytest.fixture
def clock() -> Callable[[], datetime]:
    """A clock that goes on one second with every look at it, from 2026-01-01 on."""
    start, seconds = datetime(2026, 1, 1, tzinfo=UTC), count()
    return lambda: start + timedelta(seconds=next(seconds))
