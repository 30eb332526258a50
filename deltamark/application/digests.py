"""Digests of configurations and rules, which show whether they changed since a computation."""

from __future__ import annotations

import hashlib
import json
from collections import deque
from collections.abc import Iterable
from enum import Enum
from typing import Any
from weakref import ref

from attrs import asdict

from deltamark.application.ports.queries import Reading
from deltamark.application.ports.records import DerivedRule
from deltamark.domain.configuration.configuration import Configuration
from deltamark.domain.configuration.user_function import UserTask
from deltamark.domain.derivation.dependency_paths import Dependency
from deltamark.domain.derivation.derivations import Derivation
from deltamark.domain.derivation.plan import Plan, Planned


def configuration_digest(configuration: Configuration) -> str:
    """SHA-256 of a configuration without the locations of its elements, hexadecimal.

    Known from before for the same object, as it never changes: every run of an engine asks.
    """
    for known, digest in tuple(_known):
        if known() is configuration:
            return digest
    digest = _computed_digest(configuration)
    _known.append((ref(configuration), digest))
    return digest


_known: deque[tuple[ref[Configuration], str]] = deque(maxlen=8)


def _computed_digest(configuration: Configuration) -> str:
    plain = asdict(
        configuration,
        filter=lambda attribute, _: attribute.name not in ("location", "name_locations"),
        value_serializer=lambda _, __, value: _simple(value),
    )
    return digest_of(plain)


def rule_of(planned: Planned) -> DerivedRule:
    """A planned derivation as the store knows it."""
    derivation = planned.derivation
    return DerivedRule(
        kind=derivation.kind,
        name=derivation.name,
        entity_type=derivation.entity_type,
        digest=digest_of(planned.definition),
    )


def digest_of(plain: Any) -> str:
    """SHA-256 of plain JSON data, hexadecimal."""
    text = json.dumps(plain, sort_keys=True, default=_plain)
    return hashlib.sha256(text.encode()).hexdigest()


def _simple(value: Any) -> Any:
    if isinstance(value, UserTask):
        return [*value.definition, value.entity_types, value.reads, value.writes]
    return value.name if isinstance(value, Enum) else value


def _plain(value: Any) -> Any:
    if isinstance(value, Iterable):
        return list(value)
    raise TypeError(f"{type(value).__name__} has no plain form")


def needed_dependencies(reading: Reading, plan: Plan) -> list[Dependency]:
    """The dependencies whose flags some task needs.

    They are those of the derivations that were computed before.

    Also of those that no task computes now: a task that is configured again before its place is dropped needs them. A
    derivation that is computed for the first time needs no flags: it is computed for all resources.
    """
    computed = {_name(rule) for rule in reading.rules_computed()}
    dependencies: dict[Dependency, None] = {}
    for planned in plan.derived:
        if _name(planned.derivation) in computed:
            dependencies |= dict.fromkeys(planned.dependencies)
    return list(dependencies)


def _name(rule: DerivedRule | Derivation) -> tuple[str, str, str]:
    return rule.kind.value, rule.entity_type, rule.name
