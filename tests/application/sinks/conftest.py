from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import count
from pathlib import Path
from typing import Any

import pytest

from deltamark import Connection
from tests.scenarios.sinks import SinkHouse
from tests.stores import NewStore

NewSinkHouse = Callable[..., SinkHouse]


@pytest.fixture
def new_sink_house(new_store: NewStore, tmp_path: Path, clock: Any) -> Iterator[NewSinkHouse]:
    """Gives a house with sinks; all are closed after the test."""
    numbers, houses = count(1), []

    def new(*sinks: Connection, **options: Any) -> SinkHouse:
        houses.append(SinkHouse(new_store(), tmp_path / f"extracts-{next(numbers)}", clock, *sinks, **options))
        return houses[-1]

    yield new
    for house in houses:
        house.engine.close()
