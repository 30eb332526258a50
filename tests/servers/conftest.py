"""The servers of these tests. Each test has its own, with its own data."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

from tests.servers.processes import needs
from tests.servers.samba import DomainController, domain_controller
from tests.servers.slapd import Slapd


@pytest.fixture(autouse=True)
def ldap_library(request: pytest.FixtureRequest) -> None:
    """Skips tests of directories where the library is not installed, before a server is started."""
    if find_spec("ldap") is None and not request.node.nodeid.startswith("tests/servers/test_mariadb.py"):
        needs("python-ldap")


@pytest.fixture
def controller(tmp_path: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[DomainController]:
    """A domain controller."""
    shared = tmp_path_factory.getbasetemp()
    if shared.name.startswith("popen-"):
        shared = shared.parent
    with domain_controller(tmp_path / "dc", shared / "domain") as server:
        yield server


@pytest.fixture
def new_slapd(tmp_path: Path) -> Iterator[Callable[..., Slapd]]:
    """Starts OpenLDAP servers, which end with the test."""
    started: list[Slapd] = []

    def start(**options: Any) -> Slapd:
        started.append(Slapd(tmp_path / f"slapd{len(started)}", **options))
        return started[-1]

    yield start
    for server in started:
        server.stop()
