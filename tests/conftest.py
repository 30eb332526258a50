"""What all tests share: a store of every kind, and time that goes on by itself."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from itertools import count
from pathlib import Path

import pytest
from hypothesis import settings

from tests.laws import SOAK

settings.register_profile("soak", max_examples=4_000, deadline=None, print_blob=True)
if SOAK:
    settings.load_profile("soak")

STORES = ("sqlite",)
"""Every kind of store: a test that asks for one runs on each."""

NewStore = Callable[[], str]


@contextmanager
def stores(kind: str, folder: Path) -> Iterator[NewStore]:
    """A block in which there can be any number of new stores of a kind; they are gone after it."""
    assert kind in STORES
    numbers = count(1)
    yield lambda: f"sqlite:///{folder}/store-{next(numbers)}.db"


@pytest.fixture(params=STORES)
def new_store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[NewStore]:
    """Gives the URL of another new store with every call; all are gone after the test."""
    with stores(request.param, tmp_path) as new:
        yield new


@pytest.fixture(scope="module", params=STORES)
def lasting_store_url(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The URL of a new store that all tests of a module share: for tests that only read."""
    with stores(request.param, tmp_path_factory.mktemp("lasting")) as new:
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
