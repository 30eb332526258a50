"""What all tests share: a store of every kind, time that goes on by itself, and which tests a tier runs."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime, timedelta
from itertools import count
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit, urlunsplit
from uuid import uuid4
from zlib import crc32

import psycopg
import pytest
from hypothesis import settings

from deltamark import bootstrap
from tests.memory import folder_in_memory
from tests.postgresql import running
from tests.signals import answer_signals
from tests.stores import STORES, EveryStore, NewStore, new_schemas, stores
from tests.tiers import ALL, REST, TIER

pytest_plugins = ["tests.scenarios.fixtures"]

answer_signals()
bootstrap.WAIT = lambda seconds: None  # a source whose failure may pass is read again at once
os.environ.pop("COLUMNS", None)  # pytest sets it in workers; what a user sees is what a terminal or a pipe gives
for name, number in (("quick", 25), ("rest", 100), ("all", 100), ("soak", 4_000)):
    settings.register_profile(name, max_examples=number, deadline=None, print_blob=True)
settings.load_profile(TIER)

_servers = ExitStack()
_server_of_all_workers: list[str] = []


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leaves out what the tier does not run; what is named by itself always runs. Slow tests come first.

    A slow test that comes last would keep one worker busy when the others have nothing left to do.
    """
    items.sort(key=lambda item: item.get_closest_marker("slow") is None)
    if (ALL and not REST) or any("::" in argument for argument in config.args):
        return
    quick = _quick(items)
    chosen = _rest(items, quick) if REST else quick
    kept = set(chosen)
    config.hook.pytest_deselected(items=[item for item in items if item not in kept])
    items[:] = chosen


MANY = 4
"""Of the cases of a test that is marked `many`, one in so many is quick."""

FOLDERS_OF_STORES = ("tests/store/", "tests/crash/", "tests/eventsourcing/")
"""Where all tests run on PostgreSQL in `rest`: they are about what a store does."""

ONE_IN = {"tests/laws/": 2, "tests/application/": 5}
"""Of the other tests, one in so many runs on PostgreSQL in `rest`, by folder; all of them run on SQLite."""
ELSEWHERE = 10

FEW = 3
"""Of a test with more cases than this on PostgreSQL, one in so many of them runs there in `rest`."""


def _quick(items: list[pytest.Item]) -> list[pytest.Item]:
    cases: Counter[str] = Counter()
    chosen = []
    for item in items:
        if item.get_closest_marker("slow") or item.get_closest_marker("soak"):
            continue
        if _is_on_postgresql(item) and item.get_closest_marker("on_every_store") is None:
            continue
        if item.get_closest_marker("many"):
            cases[_function(item)] += 1
            if cases[_function(item)] % MANY != 1:
                continue
        chosen.append(item)
    return chosen


def _rest(items: list[pytest.Item], quick: list[pytest.Item]) -> list[pytest.Item]:
    """What `quick` has not shown, or with fewer examples; of what is left for PostgreSQL, some: all in `all`."""
    shown = {item for item in quick if not _tries_more(item)}
    cases: dict[str, list[pytest.Item]] = {}
    for item in items:
        if _is_on_postgresql(item) and item not in shown:
            cases.setdefault(_function(item), []).append(item)
    left_out = {item for found in cases.values() if len(found) > FEW for item in set(found) - set(found[::FEW])}
    left_out |= {item for name, found in cases.items() if not _is_for_postgresql(name) for item in found}
    left_out |= {item for found in cases.values() for item in found if item.get_closest_marker("soak")}
    return [item for item in items if item not in shown and item not in left_out]


def _function(item: pytest.Item) -> str:
    return item.nodeid.partition("[")[0]


def _tries_more(item: pytest.Item) -> bool:
    return bool(item.get_closest_marker("law") or getattr(getattr(item, "obj", None), "is_hypothesis_test", False))


def _is_for_postgresql(function: str) -> bool:
    """Whether `rest` runs a test on PostgreSQL: chosen by its name, whatever other tests there are."""
    if function.startswith(FOLDERS_OF_STORES):
        return True
    one_in = next((number for folder, number in ONE_IN.items() if function.startswith(folder)), ELSEWHERE)
    return crc32(function.encode()) % one_in == 0


def _is_on_postgresql(item: pytest.Item) -> bool:
    parameters: dict[str, Any] = item.callspec.params if hasattr(item, "callspec") else {}
    return any(value == "postgresql" for value in parameters.values() if isinstance(value, str))


@pytest.hookimpl(optionalhook=True)
def pytest_configure_node(node: Any) -> None:
    """Starts one PostgreSQL server for all workers of pytest-xdist, and names it to each."""
    if not os.environ.get("DELTAMARK_TEST_POSTGRESQL"):
        if not _server_of_all_workers:
            _server_of_all_workers.append(_servers.enter_context(running()).url("postgres"))
        node.workerinput["postgresql"] = _server_of_all_workers[0]


def pytest_unconfigure() -> None:
    _servers.close()


@pytest.fixture(scope="session")
def postgresql_database(request: pytest.FixtureRequest) -> Iterator[str]:
    """The URL of a database of the tests' own.

    `DELTAMARK_TEST_POSTGRESQL` names a server to create it on; without that a server is started.
    """
    server = os.environ.get("DELTAMARK_TEST_POSTGRESQL")
    server = server or getattr(request.config, "workerinput", {}).get("postgresql")
    if server:
        with _new_database(server) as url:
            yield url
    else:
        with running() as own, _new_database(own.url("postgres")) as url:
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


def _database_for(request: pytest.FixtureRequest) -> Callable[[], str]:
    return lambda: request.getfixturevalue("postgresql_database")


@pytest.fixture
def memory(tmp_path: Path) -> Iterator[Path]:
    """A folder in memory, where there is such a thing."""
    with folder_in_memory(tmp_path) as folder:
        yield folder


@pytest.fixture(params=STORES)
def new_store(request: pytest.FixtureRequest, memory: Path) -> Iterator[NewStore]:
    """Gives the URL of another new store with every call; all are gone after the test."""
    with stores(request.param, memory, _database_for(request)) as new:
        yield new


@pytest.fixture(scope="module", params=STORES)
def lasting_store_url(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The URL of a new store that all tests of a module share: for tests that only read."""
    with (
        folder_in_memory(tmp_path_factory.mktemp("lasting")) as folder,
        stores(request.param, folder, _database_for(request)) as new,
    ):
        yield new()


@pytest.fixture
def every_store(request: pytest.FixtureRequest, memory: Path) -> Iterator[EveryStore]:
    """Gives the URLs of new stores, one of each kind, by kind."""
    with ExitStack() as stack:
        kinds = {kind: stack.enter_context(stores(kind, memory, _database_for(request))) for kind in STORES}
        yield lambda: {kind: new() for kind, new in kinds.items()}


@pytest.fixture
def postgresql_url(postgresql_database: str) -> Iterator[str]:
    """The URL of a new store in PostgreSQL, for tests about PostgreSQL itself."""
    with new_schemas(postgresql_database) as new:
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
