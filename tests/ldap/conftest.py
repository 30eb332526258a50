"""The tests of what needs the library of directories are left out where it is not installed."""

from __future__ import annotations

from importlib.util import find_spec

import pytest

from tests.servers.processes import needs


@pytest.fixture(scope="session")
def ldap_library() -> None:
    """Skips where the library is not installed."""
    if find_spec("ldap") is None:
        needs("python-ldap")
