"""What all tests share: a store of every kind, and time that goes on by itself."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime, timedelta
from itertools import count
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit
from uuid import uuid4

import psycopg
import pytest
from hypothesis import settings

from tests.postgresql import running
from tests.tiers import SOAK

pytest_plugins = ["tests.scenarios.fixtures"]

settings.register_profile("soak", max_examples=4_000, deadline=None, print_blob=True)
if SOAK:
    settings.load_profile("soak")

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


@contextmanager
def stores(kind: str, folder: Path, database: Callable[[], str]) -> Iterator[NewStore]:
    """A block in which there can be any number of new stores of a kind; they are gone after it.

    :param database: gives the URL of a PostgreSQL database to keep them in; called only if need be.
    """
    assert kind in STORES
    if kind == "postgresql":
        with _new_schemas(database()) as new:
            yield new
        return
    numbers = count(1)
    yield lambda: f"sqlite:///{folder}/store-{next(numbers)}.db"


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


def _database_for(request: pytest.FixtureRequest) -> Callable[[], str]:
    return lambda: request.getfixturevalue("postgresql_database")


@pytest.fixture(params=STORES)
def new_store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[NewStore]:
    """Gives the URL of another new store with every call; all are gone after the test."""
    with stores(request.param, tmp_path, _database_for(request)) as new:
        yield new


@pytest.fixture(scope="module", params=STORES)
def lasting_store_url(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The URL of a new store that all tests of a module share: for tests that only read."""
    with stores(request.param, tmp_path_factory.mktemp("lasting"), _database_for(request)) as new:
        yield new()


@pytest.fixture
def every_store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[EveryStore]:
    """Gives the URLs of new stores, one of each kind, by kind."""
    with ExitStack() as stack:
        kinds = {kind: stack.enter_context(stores(kind, tmp_path, _database_for(request))) for kind in STORES}
        yield lambda: {kind: new() for kind, new in kinds.items()}


@pytest.fixture
def postgresql_url(postgresql_database: str) -> Iterator[str]:
    """The URL of a new store in PostgreSQL, for tests about PostgreSQL itself."""
    with _new_schemas(postgresql_database) as new:
        yield new()


@pytest.fixture
def store_url(new_store: NewStore) -> str:
    """The URL of a new store."""
    return new_store()


@pytest.fixture
def clock() -> Callable[[], datetime]:
    """A clock that goes on one second with every look at it, from 2026-01-01 on."""
    start, seconds = datetime(2026, 1, 1, tzinfo=UTC), count()
    return lambda: start + timedelta(seconds=next(seconds))
