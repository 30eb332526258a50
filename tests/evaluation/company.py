"""A few people in departments, with what is computed of them; told as they differ from what is usual."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from functools import cache
from typing import Any

import pyarrow as pa
from attrs import define, field, frozen

from deltamark import Configuration, EntityAssociation, EntityType, Property, PropertyRef, PropertyType
from deltamark.application.ports.evaluator import Inputs
from deltamark.domain.configuration.rules import DerivationKind
from deltamark.domain.derivation.dependency_paths import route
from deltamark.domain.derivation.derivations import Derivation
from deltamark.domain.location import Location
from deltamark.infrastructure.evaluation.evaluator import DuckEvaluator

PROPERTIES = {
    "First": PropertyType.STRING,
    "Last": PropertyType.STRING,
    "Nick": PropertyType.STRING,
    "Floor": PropertyType.INT32,
    "Weight": PropertyType.DOUBLE,
    "Active": PropertyType.BOOL,
    "Start": PropertyType.DATE_TIME,
    "Badge": PropertyType.GUID,
    # Called like what the engine may call its own columns.
    "Stream": PropertyType.STRING,
    "State": PropertyType.STRING,
    "Near": PropertyType.STRING,
}
COMPUTED = {
    "Full": PropertyType.STRING,
    "Login": PropertyType.STRING,
    "Mail": PropertyType.STRING,
    "Label": PropertyType.STRING,
    "Level": PropertyType.INT32,
    "Big": PropertyType.INT64,
    "Small": PropertyType.BYTE,
    "Score": PropertyType.DOUBLE,
    "Boss": PropertyType.BOOL,
    "Since": PropertyType.DATE_TIME,
    "Token": PropertyType.GUID,
    "Photo": PropertyType.BINARY,
    "Computed": PropertyType.STRING,
    "Changes": PropertyType.STRING,
}
MODEL = Configuration(
    entity_types=[
        EntityType(
            "Person",
            [
                *(Property(name, kind) for name, kind in (PROPERTIES | COMPUTED).items()),
                *(Property(name, PropertyType.FOREIGN_KEY) for name in ("Manager", "Reports", "Department")),
            ],
        ),
        EntityType(
            "Department",
            [Property("Name"), Property("Size", PropertyType.INT32), Property("Motto"), Property("People")],
        ),
    ],
    associations=[
        EntityAssociation(
            "Management",
            PropertyRef("Person", "Manager"),
            PropertyRef("Person", "Reports"),
            is_property2_collection=True,
        ),
        EntityAssociation(
            "Membership",
            PropertyRef("Person", "Department"),
            PropertyRef("Department", "People"),
            is_property2_collection=True,
        ),
    ],
)
PLACE = Location("rules.xml", 12)
Pair = tuple[int, int]


def computed(name: str, expression: str | None = None, binding: str | None = None) -> Derivation:
    """How a property of people is computed; with neither expression nor binding, no more."""
    return Derivation(
        kind=DerivationKind.PROPERTY,
        name=name,
        entity_type="Person",
        binding=binding,
        expression=expression,
        result=COMPUTED[name],
        location=PLACE,
    )


def rule(name: str, expression: str | None = None, binding: str | None = None, *, decides: bool = False) -> Derivation:
    """A key of people, or a classification of them."""
    return Derivation(
        kind=DerivationKind.CLASSIFICATION if decides else DerivationKind.SOURCE_KEY,
        name=name,
        entity_type="Person",
        binding=binding,
        expression=expression,
        result=PropertyType.BOOL if decides else PropertyType.STRING,
        location=PLACE,
    )


@cache
def evaluator(at_once: int = 200_000) -> DuckEvaluator:
    """One evaluator for all tests, as a program has one."""
    return DuckEvaluator(MODEL, at_once=at_once)


@frozen
class Outcome:
    """What an evaluation gave: by stream all computed values, and what changed."""

    values: dict[int, dict[str, Any]]
    changes: dict[int, dict[str, list[Any]]]
    texts: dict[int, tuple[str, str]]
    executed: int
    necessary: int


@define
class Company:
    """People and departments by stream, with links by association from source to target.

    A value of None stands for a deleted one.
    """

    people: dict[int, Mapping[str, Any] | None] = field(factory=dict)
    departments: dict[int, Mapping[str, Any] | None] = field(factory=dict)
    managers: set[Pair] = field(factory=set, converter=set)
    members: set[Pair] = field(factory=set, converter=set)
    stored: dict[int, Mapping[str, Any]] = field(factory=dict)
    """What was computed of people before."""

    def compute(
        self, derivations: Sequence[Derivation], *, due: Iterable[tuple[int, int]] | None = None, at_once: int = 200_000
    ) -> Outcome:
        """Computes properties; `due`: of which person which of the derivations, by its place."""
        found = evaluator(at_once).properties(derivations, self.inputs(derivations, due))
        rows = {row["stream"]: row for row in found.rows.to_pylist()}
        assert len(rows) == found.rows.num_rows
        assert found.rows.schema.names == ["stream", "computed", "changes"]
        return Outcome(
            {stream: json.loads(row["computed"]) for stream, row in rows.items()},
            {stream: json.loads(row["changes"]) for stream, row in rows.items()},
            {stream: (row["computed"], row["changes"]) for stream, row in rows.items()},
            found.executed,
            found.necessary,
        )

    def keep(self, outcome: Outcome) -> None:
        """Stores what was computed."""
        self.stored |= outcome.values

    def values(
        self, derivations: Sequence[Derivation], *, due: Iterable[tuple[int, int]] | None = None, at_once: int = 200_000
    ) -> list[dict[int, Any]]:
        """The values of rules, by stream."""
        found = evaluator(at_once).values(derivations, self.inputs(derivations, due))
        for table in found:
            assert len(set(table["stream"].to_pylist())) == table.num_rows
        return [dict(zip(t["stream"].to_pylist(), t["value"].to_pylist(), strict=True)) for t in found]

    def inputs(self, derivations: Sequence[Derivation], due: Iterable[tuple[int, int]] | None = None) -> Inputs:
        """All people, with all links and all that they lead to, for whatever the derivations read."""
        paths = {
            read.path[:length]
            for one in derivations
            if one.expression is not None or one.binding is not None
            for read in evaluator().reads(one)
            for length in range(1, len(read.path) + 1)
        }
        links, reached = {}, {}
        for path in sorted(paths):
            way = route(MODEL, "Person", path)
            links[path] = _pairs(self._ends(way.hops[-1].association, forward=way.hops[-1].forward))
            reached[path] = self._people() if way.leads_to == "Person" else _resources(self.departments, {})
        chosen = None if due is None else _due(due)
        return Inputs(entity_type="Person", resources=self._people(), links=links, reached=reached, due=chosen)

    def _ends(self, association: str, *, forward: bool) -> list[Pair]:
        links = self.managers if association == "Management" else self.members
        return sorted(links if forward else {(target, source) for source, target in links})

    def _people(self) -> pa.Table:
        return _resources(self.people, self.stored)


def _resources(states: Mapping[int, Mapping[str, Any] | None], stored: Mapping[int, Mapping[str, Any]]) -> pa.Table:
    return pa.table(
        {
            "stream": pa.array(list(states), pa.int64()),
            "state": pa.array([None if s is None else _text(s) for s in states.values()], pa.string()),
            "computed": pa.array([_text(stored.get(s, {})) for s in states], pa.string()),
        }
    )


def _text(values: Mapping[str, Any]) -> str:
    return json.dumps(dict(sorted(values.items())), ensure_ascii=False, separators=(",", ":"))


def _pairs(links: Sequence[Pair]) -> pa.Table:
    return pa.table(
        {
            "near": pa.array([near for near, _ in links], pa.int64()),
            "far": pa.array([far for _, far in links], pa.int64()),
        }
    )


def _due(pairs: Iterable[tuple[int, int]]) -> pa.Table:
    chosen = list(pairs)
    return pa.table(
        {
            "stream": pa.array([stream for stream, _ in chosen], pa.int64()),
            "derivation": pa.array([number for _, number in chosen], pa.int64()),
        }
    )
