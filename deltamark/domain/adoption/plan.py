"""What adopting a configuration will do to a store, difference by difference, and whether a run may do it by itself."""

from __future__ import annotations

from collections.abc import Iterator

from attrs import field, frozen

from deltamark.domain.adoption.differences import DifferenceKind, ModelDifference, ModelPart
from deltamark.domain.adoption.unfed import Unfed
from deltamark.domain.fields import as_tuple
from deltamark.domain.messages import how_many

ADOPTION_LIMIT = 1_000
"""How many values, resources and links a run may convert or remove by adopting a configuration, by default."""

SHARE_OF_A_WHOLE = 10
"""Of an entity type or association that is dropped as a whole, a run removes a tenth of that."""

MOST_SAMPLES = 5


@frozen(kw_only=True)
class AdoptionEffect:
    """What a difference does to a store.

    :param converted: values that are read as another value.
    :param removed: values that are removed.
    :param unreadable: values that are removed because they cannot be read as the new type.
    :param created: resources that are created, under their new keys; `deleted` likewise those that are deleted.
    :param linked: links that are added, between resources with new keys; `unlinked` those that are removed.
    :param underived: values of rules, keys and classifications that are removed, by the adoption or the next task.
    :param computed: values that the next task computes anew.
    :param forgotten: links that no longer wait for a resource.
    :param notes: what else follows, each a clause.
    :param samples: some of what is lost, each a line.
    """

    difference: ModelDifference
    converted: int = 0
    removed: int = 0
    unreadable: int = 0
    created: int = 0
    deleted: int = 0
    linked: int = 0
    unlinked: int = 0
    underived: int = 0
    computed: int = 0
    forgotten: int = 0
    notes: tuple[str, ...] = field(converter=as_tuple, default=())
    samples: tuple[str, ...] = field(converter=as_tuple, default=())

    @property
    def weight(self) -> int:
        """How much it converts or removes, as limits count it: values, resources and links."""
        return self.converted + self.removed + self.unreadable + self.deleted + self.unlinked

    @property
    def text(self) -> str:
        """What it does, a clause; empty where it does nothing."""
        return "; ".join([*self._counted(), *self.notes])

    def _counted(self) -> Iterator[str]:
        for count, noun, what in (
            (self.deleted, "resource", "deleted"),
            (self.created, "resource", "created"),
            (self.converted, "value", "converted"),
            (self.unreadable, "value", "that cannot be converted removed"),
            (self.removed, "value", "removed"),
            (self.unlinked, "link", "removed"),
            (self.linked, "link", "added"),
            (self.forgotten, "waiting link", "forgotten"),
            (self.underived, "derived value", "removed, at the latest by the next task that computes such values"),
            (self.computed, "value", "computed anew by the next task that computes such values"),
        ):
            if count:
                yield f"{how_many(count, noun)} {what}"


@frozen(kw_only=True)
class AdoptionPlan:
    """What adopting a configuration will do.

    :param effects: one for each difference, in their order.
    :param is_known: whether the configuration in force is known; where it is not, everything is new, and only values
        that something else gives from now on are removed.
    :param is_in_force: whether the configuration is in force already.
    :param updated: how many resources get other values.
    :param limit: how many values, resources and links a run may convert or remove by itself.
    :param unfed: what the store holds and nothing feeds under the configuration, with what reads it.
    """

    effects: tuple[AdoptionEffect, ...] = field(converter=as_tuple, default=())
    is_known: bool = True
    is_in_force: bool = False
    updated: int = 0
    limit: int = ADOPTION_LIMIT
    unfed: tuple[Unfed, ...] = field(converter=as_tuple, default=())

    @property
    def weight(self) -> int:
        """How many values, resources and links it converts or removes."""
        return sum(effect.weight for effect in self.effects)

    @property
    def has_effect(self) -> bool:
        """Whether it changes anything in the store now, besides which configuration is in force."""
        return any(
            effect.weight or effect.created or effect.linked or effect.underived or effect.forgotten
            for effect in self.effects
        )

    @property
    def no_longer_fed(self) -> tuple[str, ...]:
        """The entity types and associations whose mapping is dropped while they stay."""
        return tuple(
            effect.difference.path[0]
            for effect in self.effects
            if (effect.difference.part, effect.difference.kind) == (ModelPart.MAPPING, DifferenceKind.DROPPED)
            and effect.notes
        )

    @property
    def is_told(self) -> bool:
        """Whether a run that adopts the configuration says so."""
        return self.has_effect or bool(self.no_longer_fed)

    @property
    def waits_because(self) -> str | None:
        """Why no run adopts the configuration by itself, a clause; None where one does."""
        whole = self.limit // SHARE_OF_A_WHOLE
        for effect in self.effects:
            difference, count = effect.difference, effect.deleted + effect.unlinked
            is_whole = difference.kind is DifferenceKind.DROPPED and difference.part in (
                ModelPart.ENTITY_TYPE,
                ModelPart.ASSOCIATION,
            )
            if is_whole and count > whole:
                return (
                    f"dropping {difference.subject[0].lower()}{difference.subject[1:]} removes "
                    f"{_resources_and_links(effect)}; a run drops a whole one with at most {whole:,} by itself"
                )
        if self.weight > self.limit:
            return (
                f"it converts or removes {self.weight:,} values, resources and links; a run converts or removes at "
                f"most {self.limit:,} by itself"
            )
        return None

    @property
    def summary(self) -> str:
        """What it does in all, a clause."""
        counts: list[str] = []
        for name, noun, what in (
            ("converted", "value", "converted"),
            ("removed", "value", "removed"),
            ("unreadable", "value", "that cannot be converted removed"),
            ("deleted", "resource", "deleted"),
            ("created", "resource", "created"),
            ("unlinked", "link", "removed"),
            ("linked", "link", "added"),
        ):
            count = sum(getattr(effect, name) for effect in self.effects)
            counts += [f"{how_many(count, noun)} {what}"] if count else []
        if self.no_longer_fed:
            counts.append(f"no mapping fills {' and '.join(self.no_longer_fed)} any more")
        return ", ".join(counts) or "nothing in the store changes"


def _resources_and_links(effect: AdoptionEffect) -> str:
    counts = ((effect.deleted, "resource"), (effect.unlinked, "link"))
    return " and ".join(how_many(count, noun) for count, noun in counts if count)
