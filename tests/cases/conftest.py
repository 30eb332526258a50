from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.cases.case import FOLDER, Case
from tests.cli.conftest import SETTINGS
from tests.stores import NewStore

NewCase = Callable[[str], Case]


@pytest.fixture
def case(
    tmp_path: Path,
    new_store: NewStore,
    capsysbinary: pytest.CaptureFixture[bytes],
    monkeypatch: pytest.MonkeyPatch,
) -> NewCase:
    """Gives the case of a name, in a copy of its folder and with a new store of each kind."""
    for name in SETTINGS:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("COLUMNS", "2000")  # each row of a table in one line

    def new(name: str) -> Case:
        folder = tmp_path / name
        shutil.copytree(FOLDER / name, folder, symlinks=True)
        monkeypatch.chdir(folder)
        return Case(folder, new_store(), capsysbinary)

    return new
