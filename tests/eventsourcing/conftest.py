"""A house with a past: one for all tests of a module that only read, and one for each that goes on with it."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from itertools import count
from pathlib import Path

import pytest

from deltamark.eventsourcing import LogApplication, application
from deltamark.infrastructure.store.sqlite.address import path_of
from tests.scenarios.house import House
from tests.stores import NewStore


def seconds() -> Callable[[], datetime]:
    """A clock that goes on one second with every look at it."""
    numbers = count()
    return lambda: datetime(2026, 1, 1, tzinfo=UTC) + timedelta(seconds=next(numbers))


def lives(house: House) -> House:
    """Ann is updated twice, Bob deleted and created again, Cid deleted; a link ends and begins again."""
    house.people({"1": "Ann", "2": "Bob", "3": "Cid"}).run("Complete")
    house.teams({"T": "Team"}, ("T", "1"), ("T", "3")).run("Teams")
    house.people({"1": "Anna", "3": "Cid"}).members(("T", "3")).run("Incremental", force=True)
    house.run("Teams", force=True)
    house.people({"1": "Annabel", "2": "Bob"}).members(("T", "1")).run("Incremental", force=True)
    house.run("Teams", force=True)
    return house


@pytest.fixture(scope="module")
def lasting(lasting_store_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    """A house for tests that only read."""
    house = House(lasting_store_url, tmp_path_factory.mktemp("lasting-house"), seconds())
    yield lives(house)
    house.engine.close()


@pytest.fixture
def log(lasting: House) -> Iterator[LogApplication]:
    """The log of that house."""
    with application(lasting.url) as opened:
        yield opened


@pytest.fixture(scope="session")
def lived_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The store of such a house, in a file to copy."""
    folder = tmp_path_factory.mktemp("lived")
    house = lives(House(f"sqlite:///{folder}/store.db", folder, seconds()))
    house.engine.close()
    return folder / "store.db"


@pytest.fixture
def lived(new_store: NewStore, tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[House]:
    """A house of a test alone."""
    url = new_store()
    is_file = url.startswith("sqlite")
    if is_file:
        shutil.copy(request.getfixturevalue("lived_file"), path_of(url))
    clock = seconds()
    house = House(url, tmp_path / "extracts", lambda: clock() + timedelta(days=1))
    yield house if is_file else lives(house)
    house.engine.close()
