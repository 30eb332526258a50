"""What the source systems of the organisation hold, and what they say about it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from copy import deepcopy
from typing import Any

from attrs import define, field, frozen

from tests.scenarios.organisation.formulas import ASSOCIATIONS, TYPES

Resources = dict[str, dict[str, dict[str, Any]]]
Links = dict[str, set[tuple[str, str]]]


@define
class World:
    """What the source systems hold: resources, and references, of which some may lead nowhere."""

    resources: Resources = field(factory=lambda: {name: {} for name in TYPES})
    links: Links = field(factory=lambda: {name: set() for name in ASSOCIATIONS})
    _sources: set[tuple[str, str]] = field(init=False, eq=False, repr=False)
    """Association and source of every link, and of some that are no more: who is new need not be looked for."""

    @_sources.default
    def _of_links(self) -> set[tuple[str, str]]:
        return {(name, source) for name, pairs in self.links.items() for source, _ in pairs}

    def put(self, entity_type: str, key: str, values: Mapping[str, Any]) -> None:
        """A resource is there, with these values and no other."""
        self.resources[entity_type][key] = {name: value for name, value in values.items() if value not in (None, "")}

    def drop(self, entity_type: str, key: str) -> None:
        """A resource is there no more; nor does it refer to others, though others may refer to it."""
        self.resources[entity_type].pop(key, None)
        for name, ends in ASSOCIATIONS.items():
            if ends.source == entity_type:
                self.links[name] = {pair for pair in self.links[name] if pair[0] != key}

    def refer(self, association: str, source: str, target: str | None) -> None:
        """A resource refers to another one, in place of whom it referred to, where it can do so to one only."""
        links = self.links[association]
        is_replaced = not ASSOCIATIONS[association].is_many or target is None
        if is_replaced and (association, source) in self._sources:
            links -= {pair for pair in links if pair[0] == source}
        if target is not None:
            links.add((source, target))
            self._sources.add((association, source))

    def part(self, connector: str) -> World:
        """What one of the source systems holds, as it is now."""
        return World(
            {name: deepcopy(self.resources[name]) for name, fed in TYPES.items() if fed == connector},
            {name: set(self.links[name]) for name, ends in ASSOCIATIONS.items() if ends.connector == connector},
        )


@frozen
class Commands:
    """What a source system says that happened: rows of key, command and values; of source, command and target."""

    resources: Mapping[str, list[tuple[str, str, Mapping[str, Any]]]]
    links: Mapping[str, list[tuple[str, str, str]]]

    @classmethod
    def between(cls, before: World, after: World) -> Commands:
        """What leads from what a source system held to what it holds."""
        resources = {
            name: list(_resource_commands(before.resources[name], after.resources[name])) for name in after.resources
        }
        links = {name: list(_link_commands(name, before, after)) for name in after.links}
        return cls(resources, links)


def _resource_commands(before: Mapping[str, Any], after: Mapping[str, Any]) -> Iterable[tuple[str, str, Any]]:
    for key in sorted(before.keys() | after.keys()):
        if key not in after:
            yield key, "delete", {}
        elif key not in before:
            yield key, "insert", after[key]
        elif before[key] != after[key]:
            yield key, "update", after[key]


def _link_commands(name: str, before: World, after: World) -> Iterable[tuple[str, str, str]]:
    ends = ASSOCIATIONS[name]
    live = after.resources[ends.source]
    old, new = before.links[name], after.links[name]
    if ends.is_many:
        for source, target in sorted(old - new):
            if source in live:
                yield source, "delete", target
        for source, target in sorted(new - old):
            yield source, "insert", target
        return
    for source, target in sorted(new - old):
        yield source, "update", target
    for source, _ in sorted(old - new):
        if source in live and source not in {other for other, _ in new}:
            yield source, "update", ""
