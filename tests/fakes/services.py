"""Services over fakes."""

from __future__ import annotations

from typing import Any

from deltamark.application.services import Services
from deltamark.config.xml.canonical import CanonicalXML
from deltamark.domain.configuration.configuration import Configuration
from deltamark.domain.runs.run import Operator
from tests.fakes.store import FakeStore


def fake_services(store: FakeStore, configuration: Configuration, **more: Any) -> Services:
    """The services that a use case is given in a test of its own: what it must not need is None."""
    parts: dict[str, Any] = {
        "plan": None,
        "extracts": None,
        "comparer": None,
        "evaluator": None,
        "write_orphans": None,
        "configuration_format": CanonicalXML(),
        "operator": Operator(user="ann", host="here", process=1),
        **more,
    }
    return Services(store=store, configuration=configuration, clock=store.clock, **parts)  # type: ignore[arg-type]
