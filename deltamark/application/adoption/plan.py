"""What adopting the configuration of the engine will do: nothing is written."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import pyarrow as pa
import pyarrow.compute as pc
from attrs import evolve

from deltamark.application.adoption.bounds import removal_bounds
from deltamark.application.adoption.configurations import as_kept, configuration_in_force, is_in_force
from deltamark.application.adoption.effects import AssociationEffects, Effects, TypeEffects, effects
from deltamark.application.adoption.unfed import unfed
from deltamark.application.ports.comparer import ReadCounts
from deltamark.application.ports.queries import Reading
from deltamark.application.services import Services
from deltamark.domain.adoption.differences import DifferenceKind, ModelDifference, ModelPart, differences
from deltamark.domain.adoption.plan import MOST_SAMPLES, SHARE_OF_A_WHOLE, AdoptionEffect, AdoptionPlan
from deltamark.domain.adoption.unfed import Unfed
from deltamark.domain.configuration.configuration import Configuration
from deltamark.domain.configuration.jobs import ComputingTask
from deltamark.domain.configuration.rules import DerivationKind
from deltamark.domain.derivation.derivations import derivations
from deltamark.domain.derivation.unfed_inputs import readers
from deltamark.domain.values import shown

_PARTS = {
    DerivationKind.SOURCE_KEY: ModelPart.CORRELATION,
    DerivationKind.TARGET_KEY: ModelPart.CORRELATION,
    DerivationKind.CLASSIFICATION: ModelPart.CLASSIFICATION,
}

_NEXT_COMPLETE = "read at the next synchronization with complete extracts"


def adoption_plan(services: Services, reading: Reading) -> AdoptionPlan:
    """Plans the adoption of the configuration of the engine.

    :raises StoreError: if the configuration in force cannot be read.
    """
    no_longer_fed = [_with_readers(services, item) for item in unfed(reading, services)]
    if is_in_force(services, reading):
        return AdoptionPlan(is_in_force=True, limit=services.adoption_limit, unfed=no_longer_fed)
    before = configuration_in_force(reading, services)
    plan, _ = planned_effects(services, reading, None if before is None else before.configuration)
    return evolve(plan, unfed=no_longer_fed)


def _with_readers(services: Services, item: Unfed) -> Unfed:
    """What nothing feeds, with the expressions, rules and functions that read it."""
    return evolve(item, readers=readers(services.configuration, services.plan, item.subject.as_input))


def adoption_waits_because(services: Services, reading: Reading) -> str | None:
    """Why no run adopts the configuration of the engine by itself, a clause; None where one does, or need not.

    Nothing is known where functions that tasks name are not loaded: what they write would seem to be dropped.
    """
    makers = (task.maker for task in services.configuration.all_calls_of(ComputingTask))
    if any(isinstance(maker, str) for maker in makers) or is_in_force(services, reading):
        return None
    before = configuration_in_force(reading, services)
    if before is None:
        return None
    bounds = removal_bounds(services, reading, before.configuration)
    if bounds.most <= services.adoption_limit and bounds.most_of_wholes <= services.adoption_limit // SHARE_OF_A_WHOLE:
        return None
    return bounds.waits_because or planned_effects(services, reading, before.configuration)[0].waits_because


def planned_effects(services: Services, reading: Reading, before: Configuration | None) -> tuple[AdoptionPlan, Effects]:
    """The plan of an adoption, and the effects that it shows.

    :param before: the configuration in force; None where it is unknown.
    """
    found = effects(services, reading, before)
    after = as_kept(services, services.configuration_format.write(services.configuration))
    different = differences(before, after)
    plan = AdoptionPlan(
        effects=_Attribution(after, different, found).effects(),
        is_known=before is not None,
        updated=found.updated,
        limit=services.adoption_limit,
    )
    return plan, found


class _Attribution:
    """Says which difference has which effects."""

    def __init__(self, after: Configuration, different: Iterable[ModelDifference], found: Effects) -> None:
        self._after = after
        self._found = found
        self._effects = {difference: AdoptionEffect(difference=difference) for difference in different}

    def effects(self) -> tuple[AdoptionEffect, ...]:
        """The effects, one for each difference, in their order; then those of what no difference names."""
        for item in self._found.types:
            self._add_type(item)
        for links in self._found.associations:
            self._add_links(links)
        self._add_derived()
        for difference in list(self._effects):
            self._add(difference, notes=tuple(self._notes(difference)))
        return tuple(self._effects.values())

    def _add(
        self, difference: ModelDifference, *, notes: tuple[str, ...] = (), samples: Iterable[str] = (), **counts: int
    ) -> None:
        effect = self._effects.setdefault(difference, AdoptionEffect(difference=difference))
        self._effects[difference] = evolve(
            effect,
            notes=(*effect.notes, *notes),
            samples=(*effect.samples, *samples)[:MOST_SAMPLES],
            **{name: getattr(effect, name) + count for name, count in counts.items()},
        )

    def _first(self, part: ModelPart, *path: str, aspects: Iterable[str] = ()) -> ModelDifference | None:
        """A difference of an element: of one of these aspects if there is one, otherwise any but an addition."""
        own = [
            item
            for item in self._effects
            if item.part is part and item.path == path and item.kind is not DifferenceKind.ADDED
        ]
        chosen = [item for aspect in aspects for item in own if item.aspect == aspect]
        return next(iter([*chosen, *own]), None)

    def _of_property(self, entity_type: str, name: str) -> ModelDifference:
        difference = self._first(ModelPart.PROPERTY, entity_type, name, aspects=("", "source", "type"))
        if difference is not None:
            return difference
        is_mapped, is_computed = self._is_mapped(entity_type, name), self._is_computed(entity_type, name)
        return ModelDifference(
            part=ModelPart.PROPERTY,
            path=(entity_type, name),
            kind=DifferenceKind.CHANGED,
            aspect="source",
            before="mapped once" if is_computed else "computed once",
            after="mapped" if is_mapped else "computed" if is_computed else "not filled",
        )

    def _of_keys(self, item: TypeEffects) -> ModelDifference | None:
        what = item.consequences
        if what.is_dropped:
            return self._first(ModelPart.ENTITY_TYPE, what.entity_type)
        key = self._first(ModelPart.ENTITY_TYPE, what.entity_type, aspects=("key",))
        return key or (self._of_property(what.entity_type, what.key) if what.key else None)

    def _add_type(self, item: TypeEffects) -> None:
        name = item.consequences.entity_type
        for property_name in sorted(item.counts.keys() | item.uncomputed.keys()):
            count = item.counts.get(property_name, ReadCounts())
            removed = count.removed + item.uncomputed.get(property_name, 0)
            if count.converted or count.unreadable or removed:
                self._add(
                    self._of_property(name, property_name),
                    converted=count.converted,
                    unreadable=count.unreadable,
                    removed=removed,
                    samples=_unreadable_lines(item.unreadable, property_name),
                )
        owner = self._of_keys(item)
        if owner is not None:
            changes = item.changes
            created, deleted = changes.created.num_rows, changes.deleted.num_rows
            self._add(owner, created=created, deleted=deleted, samples=_key_lines(item))

    def _add_links(self, links: AssociationEffects) -> None:
        name, pairs = links.consequences.before.identifier, links.pairs
        owner = (
            self._first(ModelPart.ASSOCIATION, name) or self._of_rekeyed(links) or self._first(ModelPart.MAPPING, name)
        )
        if owner is None:
            assert not pairs.unlinked.num_rows, f"links of {name} are removed although nothing of it differs"
            return
        notes = (
            ("of several links of a resource, the one with the smallest key stays",) if pairs.surplus.num_rows else ()
        )
        self._add(
            owner,
            unlinked=pairs.unlinked.num_rows,
            linked=pairs.linked.num_rows,
            forgotten=len(links.forgotten),
            notes=notes,
            samples=_surplus_lines(pairs.surplus),
        )

    def _of_rekeyed(self, links: AssociationEffects) -> ModelDifference | None:
        """The difference that gives the resources at an end other keys, or drops them."""
        for item in self._found.types:
            if item.consequences.entity_type in (links.ends.source, links.ends.target):
                owner = self._of_keys(item)
                if owner is not None:
                    return owner
        return None

    def _add_derived(self) -> None:
        for rule, count in self._found.underived.items():
            owner = self._of_rule(rule.kind.value, rule.entity_type, rule.name)
            is_counted = rule.kind is DerivationKind.PROPERTY and rule in self._found.obsolete
            if owner is not None and count and not is_counted:
                self._add(owner, underived=count)
        for name, count in self._found.computed.items():
            owner = self._of_rule(*name)
            if owner is not None and count:
                self._add(owner, computed=count)

    def _of_rule(self, kind: str, entity_type: str, name: str) -> ModelDifference | None:
        part = _PARTS.get(DerivationKind(kind))
        if part is not None:
            return next((item for item in self._effects if item.part is part and item.path == (name,)), None)
        names = [
            rule.identifier
            for rule in self._after.property_expressions
            if (rule.entity_type, rule.property) == (entity_type, name)
        ]
        return next(
            (
                item
                for item in self._effects
                if (item.part is ModelPart.EXPRESSION and item.path[0] in names)
                or (item.part is ModelPart.PROPERTY and item.path == (entity_type, name))
            ),
            next((item for item in self._effects if item.part is ModelPart.FUNCTION), None),
        )

    def _notes(self, difference: ModelDifference) -> Iterator[str]:
        """What else follows from a difference, by the next synchronizations."""
        effect = self._effects[difference]
        match difference.part, difference.kind:
            case ModelPart.PROPERTY, DifferenceKind.ADDED if self._is_mapped(*difference.path):
                yield f"its values are {_NEXT_COMPLETE}"
            case ModelPart.PROPERTY, DifferenceKind.CHANGED if difference.after == "mapped":
                yield f"its values are {_NEXT_COMPLETE}"
            case ModelPart.PROPERTY, DifferenceKind.CHANGED if (
                difference.aspect not in ("type", "source", "IsKey") and not effect.weight
            ):
                yield f"values are {_NEXT_COMPLETE}"
            case ModelPart.ENTITY_TYPE, DifferenceKind.CHANGED if difference.aspect == "key" and not effect.weight:
                yield f"the keys of its resources are {_NEXT_COMPLETE}"
            case ModelPart.MAPPING, DifferenceKind.DROPPED if self._stays(difference.path[0]):
                yield "what the store holds of it stays, and nothing feeds it any more"
            case ModelPart.MAPPING, DifferenceKind.CHANGED if difference.aspect == "Connector":
                yield f"what the store holds of it stays; connector {difference.after} feeds it from now on"

    def _is_mapped(self, entity_type: str, name: str) -> bool:
        mapping = self._after.mapping_of(entity_type)
        return mapping is not None and any(item.identifier == name for item in mapping.properties)

    def _is_computed(self, entity_type: str, name: str) -> bool:
        return any(
            (item.kind, item.entity_type, item.name) == (DerivationKind.PROPERTY, entity_type, name)
            for item in derivations(self._after)
        )

    def _stays(self, name: str) -> bool:
        return self._after.entity_type(name) is not None or self._after.association(name) is not None


def _unreadable_lines(unreadable: pa.Table | None, name: str) -> Iterator[str]:
    if unreadable is None:
        return
    rows = unreadable.filter(pc.equal(unreadable.column("property"), name)).slice(0, MOST_SAMPLES)
    for row in rows.to_pylist():
        yield f"{row['key']}: {shown(row['value'])} cannot be converted"


def _key_lines(item: TypeEffects) -> Iterator[str]:
    if item.keys is None:
        return
    for row in item.keys.slice(0, MOST_SAMPLES).to_pylist():
        if row["after"] is not None:
            yield f"{row['before']} → {row['after']}"
        else:
            yield f"{row['before']}: " + ("others get the same key" if row["is_repeated"] else "has no key any more")


def _surplus_lines(surplus: pa.Table) -> Iterator[str]:
    for row in surplus.slice(0, MOST_SAMPLES).to_pylist():
        kept = f"{row['kept_source_key']} – {row['kept_target_key']}"
        yield f"{row['source_key']} – {row['target_key']} is removed, {kept} stays"
