"""A fake that differs from its port proves nothing: what it offers is what the port declares."""

from __future__ import annotations

import inspect

import pytest

from deltamark.application.ports.commands import Writing
from deltamark.application.ports.queries import Reading
from deltamark.application.ports.store import Store
from tests.fakes.store import FakeStore

OF_THE_TESTS = {"changed"}
METHODS = [name for name, _ in inspect.getmembers(FakeStore, inspect.isfunction) if not name.startswith("_")]


@pytest.mark.parametrize("name", [name for name in METHODS if name not in OF_THE_TESTS])
def test_what_the_fake_store_offers_is_what_a_port_declares(name: str) -> None:
    declared = next(getattr(port, name) for port in (Reading, Writing, Store) if hasattr(port, name))

    parameters = [(each.name, each.kind, each.default) for each in inspect.signature(declared).parameters.values()]
    offered = inspect.signature(getattr(FakeStore, name)).parameters.values()
    assert [(each.name, each.kind, each.default) for each in offered] == parameters
