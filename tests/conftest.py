"""What all tests share: a store of every kind, and time that goes on by itself."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from itertools import count
from pathlib import Path

import pytest

STORES = ("sqlite",)
"""Every kind of store: a test that asks for one runs on each."""

NewStore = Callable[[], str]


@pytest.fixture(params=STORES)
def new_store(request: pytest.FixtureRequest, tmp_path: Path) -> NewStore:
    """Gives the URL of another new store with every call; all are gone after the test."""
    numbers = count(1)

    def new() -> str:
        return f"sqlite:///{tmp_path}/store-{next(numbers)}.db"

    return new


@pytest.fixture
def store_url(new_store: NewStore) -> str:
    """The URL of a new store."""
    return new_store()


@pytest.fixture
def clock() -> Callable[[], datetime]:
    """A clock that goes on one second with every look at it, from 2026-01-01 on."""
    start, seconds = datetime(2026, 1, 1, tzinfo=UTC), count()
    return lambda: start + timedelta(seconds=next(seconds))
