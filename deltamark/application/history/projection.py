"""Projects the past to the present model, and counts what has no place there."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator

from attrs import evolve, frozen

from deltamark.application.history.history import ExportedResource
from deltamark.application.history.model import TypeModel
from deltamark.domain.values import Value, has_type


@frozen(kw_only=True)
class Misfit:
    """What resources had in the past, and the present model has no place for.

    :param name: of the property or association.
    :param reason: why, such as `is no property of Person now`.
    :param resources: how many had such a value or links.
    """

    name: str
    reason: str
    resources: int


class Projection:
    """Decides what of a past model fits the present one of the same entity type."""

    def __init__(self, then: TypeModel, now: TypeModel) -> None:
        self._now = now
        self._types = {declared.identifier: declared.type for declared in now.properties}
        self._ends_then = {a.identifier: (a.property1.entity_type, a.property2.entity_type) for a in then.associations}
        self._associations = {association.identifier: association for association in now.associations}

    def projected(self, resources: Iterable[ExportedResource]) -> Iterator[ExportedResource]:
        """Resources with only what fits."""
        for resource in resources:
            values = {name: value for name, value in resource.values.items() if self._value(name, value) is None}
            links = {name: keys for name, keys in resource.links.items() if self._links(name, keys) is None}
            yield evolve(resource, values=values, links=links)

    def misfits(self, resources: Iterable[ExportedResource]) -> list[Misfit]:
        """What resources have that does not fit. Properties come first, then associations, by name."""
        of_values: Counter[tuple[str, str]] = Counter()
        of_links: Counter[tuple[str, str]] = Counter()
        for resource in resources:
            for name, value in resource.values.items():
                if reason := self._value(name, value):
                    of_values[name, reason] += 1
            for name, keys in resource.links.items():
                if reason := self._links(name, keys):
                    of_links[name, reason] += 1
        return [
            Misfit(name=name, reason=reason, resources=count)
            for counts in (of_values, of_links)
            for (name, reason), count in sorted(counts.items())
        ]

    def _value(self, name: str, value: Value) -> str | None:
        """Why a value does not fit; None if it does."""
        kind = self._types.get(name)
        if kind is None:
            return f"is no property of {self._now.entity_type} now"
        return None if has_type(value, kind) else f"is {kind.described} now"

    def _links(self, name: str, keys: list[str]) -> str | None:
        """Why the links of a resource do not fit; None if they do."""
        association = self._associations.get(name)
        if association is None:
            return f"does not start at {self._now.entity_type} now"
        if self._ends_then[name] != (association.property1.entity_type, association.property2.entity_type):
            return f"leads to {association.property2.entity_type} now"
        return "leads to one resource now" if len(keys) > 1 and not association.is_property1_collection else None
