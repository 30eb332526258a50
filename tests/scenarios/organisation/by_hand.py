"""What a store must hold after what was synchronized, and what must be derived of it: by hand."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from attrs import define, field

from tests.scenarios.organisation.formulas import ASSOCIATIONS, KEY_OF, MAPPED, PROPERTIES, TYPES, Key, Seen
from tests.scenarios.organisation.setting import Setting
from tests.scenarios.organisation.world import Commands, Links, Resources, World


@define
class Held:
    """What the store must hold after what was synchronized, by hand."""

    setting: Setting
    resources: Resources = field(factory=lambda: {name: {} for name in TYPES})
    links: Links = field(factory=dict)
    waiting: Links = field(factory=dict)
    """Pairs that were named in vain: they become links when their resources come."""

    def complete(self, part: World) -> None:
        """The whole extracts of a source system."""
        before = self._keys()
        for name, fresh in part.resources.items():
            for key in self.resources[name].keys() - fresh.keys():
                self._gone(name, key)
            self.resources[name] = {key: self._mapped(name, values) for key, values in fresh.items()}
        for name, pairs in part.links.items():
            self._links(name).clear()
            self._links(name).update(pair for pair in pairs if self._stand(name, pair))
            self.waiting[self.setting.association(name)] = {pair for pair in pairs if not self._stand(name, pair)}
        self._links_of_others(before)

    def commands(self, commands: Commands) -> None:
        """Extracts with a command column."""
        before = self._keys()
        for name, rows in commands.resources.items():
            for key, command, values in rows:
                if command == "delete":
                    self._gone(name, key)
                    self._waits_no_more(name, key)
                else:
                    self.resources[name][key] = self._mapped(name, values)
        for name, pairs in commands.links.items():
            waiting = self.waiting.setdefault(self.setting.association(name), set())
            for source, command, target in pairs:
                if command == "update":
                    self._links(name).difference_update({p for p in self._links(name) if p[0] == source})
                    waiting.difference_update({p for p in waiting if p[0] == source})
                if command == "delete":
                    self._links(name).discard((source, target))
                    waiting.discard((source, target))
                elif target:
                    waiting.add((source, target))
            come = {pair for pair in waiting if self._stand(name, pair)}
            waiting -= come
            self._links(name).update(come)
        self._links_of_others(before)

    def adopted(self) -> None:
        """The setting is in force: links of associations that are no more are gone, and so are those that waited."""
        names = {self.setting.association(name) for name in ASSOCIATIONS}
        for held in (self.links, self.waiting):
            for dropped in held.keys() - names:
                del held[dropped]

    def _keys(self) -> dict[str, set[str]]:
        return {name: set(found) for name, found in self.resources.items()}

    def _links_of_others(self, before: Mapping[str, set[str]]) -> None:
        """Pairs that wait are linked when a resource comes, whoever brings it."""
        come = {name: found - before[name] for name, found in self._keys().items()}
        for name, ends in ASSOCIATIONS.items():
            waiting = self.waiting.get(self.setting.association(name), set())
            found = {p for p in waiting if p[0] in come[ends.source] or p[1] in come[ends.target]}
            found = {p for p in found if self._stand(name, p)}
            waiting -= found
            self._links(name).update(found)

    def _waits_no_more(self, entity_type: str, key: str) -> None:
        for name, ends in ASSOCIATIONS.items():
            if ends.connector != TYPES[entity_type]:
                continue  # who deletes it knows nothing of these pairs
            waiting = self.waiting.get(self.setting.association(name), set())
            waiting -= {p for p in waiting if (ends.source, p[0]) == (entity_type, key)}
            waiting -= {p for p in waiting if (ends.target, p[1]) == (entity_type, key)}

    def _links(self, name: str) -> set[tuple[str, str]]:
        return self.links.setdefault(self.setting.association(name), set())

    def _mapped(self, name: str, values: Mapping[str, Any]) -> dict[str, Any]:
        return {k: v for k, v in values.items() if k in self.setting.mapped(name)}

    def _stand(self, name: str, pair: tuple[str, str]) -> bool:
        ends = ASSOCIATIONS[name]
        return pair[0] in self.resources[ends.source] and pair[1] in self.resources[ends.target]

    def _gone(self, entity_type: str, key: str) -> None:
        self.resources[entity_type].pop(key, None)
        ends_of = {self.setting.association(name): ends for name, ends in ASSOCIATIONS.items()}
        now = set(ends_of)
        ends_of |= {name: ends for name, ends in ASSOCIATIONS.items() if name not in ends_of}
        ends_of |= {f"{name}2": ends for name, ends in ASSOCIATIONS.items() if f"{name}2" not in ends_of}
        for name, pairs in self.links.items():
            ends = ends_of[name]
            gone = {p for p in pairs if ends.source == entity_type and p[0] == key}
            gone |= {p for p in pairs if ends.target == entity_type and p[1] == key}
            pairs -= gone
            if name in now and ends.connector != TYPES[entity_type]:
                self.waiting.setdefault(name, set()).update(gone)


class ByHand:
    """Everything that is derived of what a store holds: plain Python, one value at a time."""

    def __init__(self, held: Held) -> None:
        self._held = held
        self._setting = held.setting
        self._known: dict[tuple[Key, str], Any] = {}

    def value(self, key: Key, name: str) -> Any:
        """A property of a resource."""
        entity_type, own = key
        formula = self._setting.properties.get(f"{entity_type}.{name}")
        if name == KEY_OF[entity_type]:
            return own
        if formula is None:
            return (
                self._held.resources[entity_type][own].get(name) if name in self._setting.mapped(entity_type) else None
            )
        if (key, name) not in self._known:
            self._known[key, name] = formula.by_hand(Seen(self, key))
        return self._known[key, name]

    def step(self, key: Key, navigation: str) -> Iterable[Key]:
        """The resources that a navigation property leads to."""
        for name, ends in ASSOCIATIONS.items():
            links = self._held.links.get(self._setting.association(name), ())
            if (ends.source, ends.there) == (key[0], navigation):
                yield from ((ends.target, target) for source, target in links if source == key[1])
            if (ends.target, ends.back) == (key[0], navigation):
                yield from ((ends.source, source) for source, target in links if target == key[1])

    def state(self) -> Resources:
        """Entity type -> key -> all values that there are."""
        names = {
            entity_type: [KEY_OF[entity_type], *MAPPED[entity_type], *(f[1] for f in _split() if f[0] == entity_type)]
            for entity_type in TYPES
        }
        return {
            entity_type: {
                key: {
                    name: found
                    for name in names[entity_type]
                    if (found := self.value((entity_type, key), name)) is not None
                }
                for key in resources
            }
            for entity_type, resources in self._held.resources.items()
        }

    def keys(self) -> set[tuple[str, str, str, str]]:
        """Rule, side, key of the resource, value."""
        found = set()
        for rule, sides in self._setting.keys.items():
            for side, entity_type, formula in zip(("source", "target"), ("Person", "Account"), sides, strict=True):
                for key in self._held.resources[entity_type]:
                    value = formula.by_hand(Seen(self, (entity_type, key)))
                    if value:
                        found.add((rule, side, key, value))
        return found

    def pairs(self) -> set[tuple[str, str, str]]:
        """Rule, key of the person, key of the account."""
        keys = self.keys()
        return {
            (rule, person, account)
            for rule, side, person, value in keys
            for other, opposite, account, same in keys
            if (side, opposite) == ("source", "target") and (rule, value) == (other, same)
        }

    def classes(self) -> dict[str, tuple[str, str]]:
        """Account -> its resource type, and the rule that says so."""
        found = {}
        order = sorted(self._setting.classes.items(), key=lambda item: -item[1][1])
        for key in self._held.resources["Account"]:
            for rule, (owner, _, formula) in order:
                if formula.by_hand(Seen(self, ("Account", key))):
                    found[key] = (owner, rule)
                    break
        return found


def _split() -> list[tuple[str, str]]:
    return [(full.split(".")[0], full.split(".")[1]) for full in PROPERTIES]
