from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from itertools import count
from pathlib import Path
from typing import Any

import pytest

from deltamark import Configuration
from tests.scenarios.house import House, configuration
from tests.scenarios.organisation.running import Organisation
from tests.scenarios.organisation.setting import Setting
from tests.scenarios.shop import Shop
from tests.scenarios.staff import Staff
from tests.stores import NewStore

NewHouse = Callable[..., House]
NewOrganisation = Callable[..., Organisation]


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


@pytest.fixture
def new_organisation(new_store: NewStore, tmp_path: Path, clock: Callable[[], datetime]) -> Iterator[NewOrganisation]:
    """Gives another organisation with every call; all are closed after the test."""
    numbers, made = count(1), []

    def new(setting: Setting | None = None, **said: Any) -> Organisation:
        folder = tmp_path / f"organisation-{next(numbers)}"
        made.append(Organisation(new_store(), folder, clock, setting or Setting(**said)))
        return made[-1]

    yield new
    for one in made:
        one.engine.close()


@pytest.fixture
def new_staff(new_store: NewStore, tmp_path: Path, clock: Callable[[], datetime]) -> Iterator[Callable[..., Staff]]:
    """Gives other staff with every call, with a store of its own; all are closed after the test."""
    numbers, made = count(1), []

    def new(configured: Configuration, **opened: Any) -> Staff:
        made.append(Staff(new_store(), tmp_path / f"staff-{next(numbers)}", clock, configured, **opened))
        return made[-1]

    yield new
    for one in made:
        one.engine.close()


@pytest.fixture
def new_shop(new_store: NewStore, tmp_path: Path) -> Iterator[Callable[..., Shop]]:
    """Gives another shop with every call, with a store of its own and a clock that starts anew; all are closed."""
    numbers, made = count(1), []

    def new(**opened: Any) -> Shop:
        seconds, start = count(), datetime(2026, 1, 1, tzinfo=UTC)
        made.append(
            Shop(
                new_store(),
                tmp_path / f"shop-{next(numbers)}",
                lambda: start + timedelta(seconds=next(seconds)),
                **opened,
            )
        )
        return made[-1]

    yield new
    for one in made:
        one.engine.close()
