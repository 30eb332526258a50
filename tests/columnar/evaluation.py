"""Evaluating an expression over one person, as a task would over all."""

from __future__ import annotations

import json
from typing import Any

import pyarrow as pa

from deltamark import EntityType, Property, PropertyType
from deltamark.domain.location import Location
from deltamark.domain.rules import KeySide
from deltamark.infrastructure.columnar.evaluating import DuckEvaluator

PERSON = EntityType(
    "Person",
    [
        Property("Name"),
        Property("Mail"),
        Property("State"),
        Property("Value"),
        Property("Stream"),
        Property("Age", PropertyType.INT32),
        Property("Weight", PropertyType.DOUBLE),
        Property("Active", PropertyType.BOOL),
        Property("Born", PropertyType.DATE_TIME),
    ],
)
PLACE = Location("rules.xml", 7)


def side(expression: str | None, binding: str | None = None) -> KeySide:
    return KeySide("Rule_1", "source", "Person", binding, expression, location=PLACE)


def faults(expression: str | None, binding: str | None = None) -> list[str]:
    """What is wrong with an expression; each fault names the place of its rule."""
    found = DuckEvaluator().faults(side(expression, binding), PERSON)
    assert all(fault.location == PLACE for fault in found)
    return [fault.message for fault in found]


def fault(expression: str | None, binding: str | None = None) -> str:
    """The one thing that is wrong, without the name of the rule."""
    (message,) = faults(expression, binding)
    prefix = "the source expression of rule Rule_1 "
    assert message.startswith(prefix)
    return message.removeprefix(prefix)


def values(expression: str | None, *people: dict[str, Any] | None, binding: str | None = None) -> list[str | None]:
    """The values for some people; None stands for a deleted one."""
    assert faults(expression, binding) == []
    states = pa.table(
        {
            "stream": pa.array(range(1, len(people) + 1), pa.int64()),
            "state": pa.array([None if p is None else json.dumps(p) for p in people], pa.string()),
        }
    )
    found = DuckEvaluator().values(side(expression, binding), PERSON, states)
    by_stream = dict(zip(found["stream"].to_pylist(), found["value"].to_pylist(), strict=True))
    assert sorted(by_stream) == list(range(1, len(people) + 1))
    return [by_stream[stream] for stream in sorted(by_stream)]


def value(expression: str | None, binding: str | None = None, **person: Any) -> str | None:
    """The value for one person."""
    (found,) = values(expression, person, binding=binding)
    return found
