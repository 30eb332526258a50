"""What tests of several faults begin with."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.conftest import NewStore
from tests.crash.second_day import Second


@pytest.fixture
def second(new_store: NewStore, tmp_path: Path) -> Second:
    return Second(new_store, tmp_path)
