from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import datetime
from itertools import count
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import NewStore
from tests.engine.house import House, configuration

NewHouse = Callable[..., House]


@pytest.fixture
def new_house(new_store: NewStore, tmp_path: Path, clock: Callable[[], datetime]) -> Iterator[NewHouse]:
    """Gives another house with every call, with a store and a folder of its own; all are closed after the test."""
    numbers, houses = count(1), []

    def new(**configured: Any) -> House:
        house = House(new_store(), tmp_path / f"extracts-{next(numbers)}", clock, configuration(**configured))
        houses.append(house)
        return house

    yield new
    for house in houses:
        house.engine.close()


@pytest.fixture
def house(new_house: NewHouse) -> House:
    """A house that keeps all changes."""
    return new_house()
