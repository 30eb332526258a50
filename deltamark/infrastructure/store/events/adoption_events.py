"""Maps adoptions of configurations, and decisions about what nothing feeds, to payloads of their attributes."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from attrs import asdict, fields

from deltamark.domain.adoption.configuration_adopted import ConfigurationAdopted, FunctionDefinition
from deltamark.domain.adoption.decommission import DecommissionAction, Decommissioned, FedAgain

CONFIGURATION_ADOPTED, DECOMMISSIONED, FED_AGAIN = "ca1", "dc1", "fa1"

DECISIONS: Mapping[str, type[Decommissioned | FedAgain]] = {DECOMMISSIONED: Decommissioned, FED_AGAIN: FedAgain}
"""The other events in the stream of adoptions, by topic."""

_HEAD = ("originator_id", "originator_version", "at")


def adoption_payload(event: ConfigurationAdopted) -> dict[str, Any]:
    """Returns plain JSON data of an adoption, without stream, version and time."""
    return asdict(event, filter=lambda attribute, value: attribute.name not in _HEAD and value is not None)


def adoption_event(stream: str, version: int, at: datetime, payload: Mapping[str, Any]) -> ConfigurationAdopted:
    """Returns the adoption of a payload."""
    names = [field.name for field in fields(ConfigurationAdopted) if field.name not in _HEAD]
    values = {name: payload[name] for name in names if name in payload}
    values["functions"] = [
        FunctionDefinition(**{"reads": None, "writes": None, **function}) for function in values.get("functions", ())
    ]
    return ConfigurationAdopted(originator_id=stream, originator_version=version, at=at, **values)


def decision_payload(event: Decommissioned | FedAgain) -> dict[str, Any]:
    """Returns plain JSON data of a decision, without stream, version and time."""
    return asdict(
        event,
        filter=lambda attribute, value: attribute.name not in _HEAD,
        value_serializer=lambda _, __, value: value.value if isinstance(value, DecommissionAction) else value,
    )


def decision_event(
    topic: str, stream: str, version: int, at: datetime, payload: Mapping[str, Any]
) -> Decommissioned | FedAgain:
    """Returns the decision of a payload."""
    kind = DECISIONS[topic]
    values = {field.name: payload[field.name] for field in fields(kind) if field.name in payload}
    if "action" in values:
        values["action"] = DecommissionAction(values["action"])
    return kind(originator_id=stream, originator_version=version, at=at, **values)
