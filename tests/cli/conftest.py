from __future__ import annotations

from pathlib import Path

import pytest

from tests.cli.workspace import Workspace

SETTINGS = ("DELTAMARK_STORE", "DELTAMARK_CONFIGURATION", "DELTAMARK_EXPORT_OUTPUT", "DELTAMARK_CHECKPOINT_KEY")


@pytest.fixture(autouse=True)
def no_settings_from_outside(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in SETTINGS:
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def company(tmp_path: Path, store_url: str, capsysbinary, monkeypatch: pytest.MonkeyPatch) -> Workspace:
    """A workspace that nothing has run in; the command runs there."""
    workspace = Workspace(tmp_path / "company", store_url, capsysbinary).written()
    monkeypatch.chdir(workspace.folder)
    return workspace


@pytest.fixture
def two_days(company: Workspace) -> Workspace:
    """The company after its first night and a day of changes."""
    return company.two_days()


@pytest.fixture(scope="module")
def _past(lasting_store_url: str, tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    workspace = Workspace(tmp_path_factory.mktemp("past") / "company", lasting_store_url).written()
    with pytest.MonkeyPatch.context() as patch:
        for name in SETTINGS:
            patch.delenv(name, raising=False)
        patch.chdir(workspace.folder)
        return workspace.two_days()


@pytest.fixture
def past(_past: Workspace, capsysbinary, monkeypatch: pytest.MonkeyPatch) -> Workspace:
    """The company after two days, shared by the tests of a module: for those that only look."""
    monkeypatch.chdir(_past.folder)
    return Workspace(_past.folder, _past.store, capsysbinary)
