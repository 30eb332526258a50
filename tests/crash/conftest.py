"""What tests of several faults begin with."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.crash.second_day import Second
from tests.stores import NewStore


@pytest.fixture
def second(new_store: NewStore, tmp_path: Path) -> Second:
    return Second(new_store, tmp_path)
