from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tests.cli.workspace import LATER, Workspace

SETTINGS = (
    "DELTAMARK_STORE", "DELTAMARK_CONFIGURATION", "DELTAMARK_EXPORT_OUTPUT", "DELTAMARK_CHECKPOINT_KEY",
    "DELTAMARK_USER",
)  # fmt: skip


@pytest.fixture(autouse=True)
def no_settings_from_outside(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in SETTINGS:
        monkeypatch.delenv(name, raising=False)


@pytest.fixture(autouse=True)
def wide_tables(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each row of a table in one line: how tables fit a width is a test of its own."""
    monkeypatch.setenv("COLUMNS", "2000")


@pytest.fixture
def company(tmp_path: Path, store_url: str, capsysbinary, monkeypatch: pytest.MonkeyPatch) -> Workspace:
    """A workspace before the first run; the command runs there."""
    workspace = Workspace(tmp_path / "company", store_url, capsysbinary).written()
    monkeypatch.chdir(workspace.folder)
    return workspace


@pytest.fixture(scope="session")
def _lived(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    """The company after two days in SQLite: made once, and copied for each test that begins with it."""
    folder = tmp_path_factory.mktemp("lived")
    return _two_days(Workspace(folder / "company", f"sqlite:///{folder}/store.db").written())


def _two_days(workspace: Workspace) -> Workspace:
    with pytest.MonkeyPatch.context() as patch:
        for name in SETTINGS:
            patch.delenv(name, raising=False)
        patch.chdir(workspace.folder)
        return workspace.two_days()


def _after_two_days(workspace: Workspace, request: pytest.FixtureRequest) -> Workspace:
    """A workspace that nothing has run in, after two days."""
    path = workspace.store.removeprefix("sqlite:///")
    if path == workspace.store:
        return _two_days(workspace)
    lived: Workspace = request.getfixturevalue("_lived")
    shutil.copy(lived.store.removeprefix("sqlite:///"), path)
    workspace.extract(**LATER)
    return workspace


@pytest.fixture
def two_days(company: Workspace, request: pytest.FixtureRequest) -> Workspace:
    """The company after two days."""
    return _after_two_days(company, request)


@pytest.fixture(scope="module")
def _past(
    lasting_store_url: str, tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest
) -> Workspace:
    workspace = Workspace(tmp_path_factory.mktemp("past") / "company", lasting_store_url).written()
    return _after_two_days(workspace, request)


@pytest.fixture
def past(_past: Workspace, capsysbinary, monkeypatch: pytest.MonkeyPatch) -> Workspace:
    """The company after two days, shared by the tests of a module that only read."""
    monkeypatch.chdir(_past.folder)
    return Workspace(_past.folder, _past.store, capsysbinary)
