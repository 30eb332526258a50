"""A store in which every page has something to show: made once for all workers, and never written by tests of pages."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from filelock import FileLock
from litestar import Litestar
from litestar.testing import TestClient

from deltamark.engine import Engine
from tests.web.conftest import Site
from tests.web.console.company import company, open_company


@pytest.fixture(scope="session")
def company_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The workspace, with its store."""
    shared = tmp_path_factory.getbasetemp()
    if shared.name.startswith("popen-"):
        shared = shared.parent
    folder = shared / "console-company"
    with FileLock(shared / "console-company.lock"):
        if not folder.exists():
            company(folder)
    return folder


@pytest.fixture(scope="module")
def engine(company_folder: Path) -> Iterator[Engine]:
    with open_company(company_folder) as engine:
        yield engine


@pytest.fixture(scope="module")
def reader(site: Site) -> TestClient[Litestar]:
    """Somebody who may see everything."""
    return site.signed_in()
