"""A few people in departments, with their derivations, for tests of the evaluator."""

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
    # Named like columns of the evaluator.
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
    """The derivation of a property of people; with neither expression nor binding, one that is no longer computed."""
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
    """The derivation of a key or a classification of people."""
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
    """One evaluator for all tests, as in a program."""
    return DuckEvaluator(MODEL, at_once=at_once)


@frozen
class Outcome:
    """The result of an evaluation: all computed values by stream, and the changes.

    `refused` has the stream, the index of the derivation and the reason of each value.
    """

    values: dict[int, dict[str, Any]]
    changes: dict[int, dict[str, list[Any]]]
    texts: dict[int, tuple[str, str]]
    executed: int
    necessary: int
    refused: list[tuple[int, int, str | None]] = field(factory=list)


@define
class Company:
    """People and departments by stream, with links by association from source to target.

    None stands for a deleted resource.
    """

    people: dict[int, Mapping[str, Any] | None] = field(factory=dict)
    departments: dict[int, Mapping[str, Any] | None] = field(factory=dict)
    managers: set[Pair] = field(factory=set, converter=set)
    members: set[Pair] = field(factory=set, converter=set)
    stored: dict[int, Mapping[str, Any]] = field(factory=dict)
    """The stored computed values of people."""

    def compute(
        self, derivations: Sequence[Derivation], *, due: Iterable[tuple[int, int]] | None = None, at_once: int = 200_000
    ) -> Outcome:
        """Computes properties; `due` has pairs of a person and the index of a derivation."""
        computation = evaluator(at_once).properties(derivations, self.inputs(derivations, due))
        rows = {row["stream"]: row for row in computation.rows.to_pylist()}
        assert len(rows) == computation.rows.num_rows
        assert computation.rows.schema.names == ["stream", "computed", "changes"]
        return Outcome(
            {stream: json.loads(row["computed"]) for stream, row in rows.items()},
            {stream: json.loads(row["changes"]) for stream, row in rows.items()},
            {stream: (row["computed"], row["changes"]) for stream, row in rows.items()},
            computation.executed,
            computation.necessary,
            [] if computation.refused is None else [tuple(row.values()) for row in computation.refused.to_pylist()],
        )

    def keep(self, outcome: Outcome) -> None:
        """Stores the computed values."""
        self.stored |= outcome.values

    def values(
        self, derivations: Sequence[Derivation], *, due: Iterable[tuple[int, int]] | None = None, at_once: int = 200_000
    ) -> list[dict[int, Any]]:
        """The values of rules, by stream."""
        tables = evaluator(at_once).values(derivations, self.inputs(derivations, due)).tables
        for table in tables:
            assert len(set(table["stream"].to_pylist())) == table.num_rows
        return [dict(zip(t["stream"].to_pylist(), t["value"].to_pylist(), strict=True)) for t in tables]

    def inputs(self, derivations: Sequence[Derivation], due: Iterable[tuple[int, int]] | None = None) -> Inputs:
        """All people, with all links and linked resources that the derivations may read."""
        paths = {
            read.path[:length]
            for derivation in derivations
            if derivation.expression is not None or derivation.binding is not None
            for read in evaluator().reads(derivation)
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
