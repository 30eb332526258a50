"""How much an adoption converts or removes at most, found without reading any resource: only rows are counted."""

from __future__ import annotations

from collections.abc import Iterator

from attrs import frozen

from deltamark.application.ports.queries import Reading
from deltamark.application.services import Services
from deltamark.domain.adoption.consequences import TypeConsequences, consequences, is_removed_by_tasks
from deltamark.domain.adoption.plan import SHARE_OF_A_WHOLE
from deltamark.domain.configuration.configuration import Configuration
from deltamark.domain.configuration.rules import DerivationKind
from deltamark.domain.derivation.derivations import derivations
from deltamark.domain.messages import how_many


@frozen(kw_only=True)
class RemovalBounds:
    """The most that an adoption converts or removes.

    :param most: values, resources and links.
    :param most_of_wholes: resources and links of entity types and associations that are dropped as a whole.
    :param waits_because: why no run adopts it, where that is certain without knowing more; a clause.
    """

    most: int
    most_of_wholes: int
    waits_because: str | None


def removal_bounds(services: Services, reading: Reading, before: Configuration) -> RemovalBounds:
    """Counts what the adoption of the configuration of the engine may concern, each up to what the limit says."""
    after, limit = services.configuration, services.adoption_limit
    what, whole = consequences(before, after), limit // SHARE_OF_A_WHOLE
    most = most_of_wholes = 0
    reason: str | None = None
    for item in what.types:
        most += reading.live_resource_count(item.entity_type, limit + 1) * _changes_of_each(item)
        if item.is_dropped:
            count = reading.live_resource_count(item.entity_type)
            most_of_wholes += count
            if count > whole:
                reason = reason or _dropped(f"entity type {item.entity_type}", count, "resource", whole)
    for links in what.associations:
        name = links.before.identifier
        count = reading.live_link_count(name)
        most += count
        if links.is_dropped:
            most_of_wholes += count
            if count > whole and after.association(name) is None:
                reason = reason or _dropped(f"association {name}", count, "link", whole)
    most += sum(reading.live_resource_count(name, limit + 1) for name in _types_of_obsolete_values(reading, after))
    return RemovalBounds(most=most, most_of_wholes=most_of_wholes, waits_because=reason)


def _changes_of_each(item: TypeConsequences) -> int:
    """How many values of a resource are converted or removed at most, with the resource itself."""
    return len(item.removed) + len(item.converted) + len(item.uncomputed) + item.is_dropped + (item.key is not None)


def _dropped(subject: str, count: int, noun: str, whole: int) -> str:
    removed = how_many(count, noun)
    return f"dropping {subject} removes {removed}; a run drops a whole one with at most {whole:,} by itself"


def _types_of_obsolete_values(reading: Reading, after: Configuration) -> Iterator[str]:
    """The entity types of properties that were computed, that nothing computes now and that no task removes."""
    made = {(item.kind, item.entity_type, item.name) for item in derivations(after)}
    for rule in reading.rules_computed():
        name = rule.kind, rule.entity_type, rule.name
        is_of_property = rule.kind is DerivationKind.PROPERTY and after.entity_type(rule.entity_type) is not None
        if is_of_property and name not in made and not is_removed_by_tasks(after, *name):
            yield rule.entity_type
