"""What another configuration means for what a store holds, type by type and association by association.

A store under the new configuration shall hold what a new store would hold after the same extracts, as far as that can
be known without them: so values of properties that nothing fills any more are removed, values of other types are read
as the extracts would be, and resources get the keys that they would have.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator

from attrs import field, frozen

from deltamark.domain.configuration.configuration import Configuration
from deltamark.domain.configuration.entity_model import EntityAssociation, EntityType, PropertyMapping, PropertyRef
from deltamark.domain.configuration.jobs import ComputingTask
from deltamark.domain.configuration.rules import DerivationKind
from deltamark.domain.configuration.value_formats import AS_IT_IS, TEXTS, ValueFormat
from deltamark.domain.derivation.derivations import derivations
from deltamark.domain.fields import as_tuple
from deltamark.domain.values import PropertyType


@frozen(kw_only=True)
class ValueConversion:
    """How the values of a property are read anew.

    :param kind: the type that they get.
    :param written: how the texts that are read are written: as the mapping says where they are texts of extracts,
        otherwise in canonical form.
    """

    name: str
    kind: PropertyType
    written: ValueFormat = AS_IT_IS


@frozen(kw_only=True)
class TypeConsequences:
    """What happens to the resources of an entity type.

    :param is_dropped: all are deleted.
    :param removed: the properties whose synchronized values are removed.
    :param converted: those whose synchronized values are read anew.
    :param uncomputed: those whose computed values are removed.
    :param key: the property from which the resources get new keys; None where they keep theirs.
    """

    entity_type: str
    is_dropped: bool = False
    removed: tuple[str, ...] = field(converter=as_tuple, default=())
    converted: tuple[ValueConversion, ...] = field(converter=as_tuple, default=())
    uncomputed: tuple[str, ...] = field(converter=as_tuple, default=())
    key: str | None = None


@frozen(kw_only=True)
class AssociationConsequences:
    """What happens to the links of an association.

    :param before: the association as it was.
    :param is_dropped: all links are removed: nothing has them any more, or they led to other entity types.
    :param is_single: for each end whether its resources may have one link only, and might have had several.
    :param forgets: whether links that wait for a resource are forgotten.
    """

    before: EntityAssociation
    is_dropped: bool = False
    is_single: tuple[bool, bool] = (False, False)
    forgets: bool = False


@frozen(kw_only=True)
class Consequences:
    """What another configuration means for the resources and links of a store."""

    types: tuple[TypeConsequences, ...] = field(converter=as_tuple, default=())
    associations: tuple[AssociationConsequences, ...] = field(converter=as_tuple, default=())


def consequences(before: Configuration, after: Configuration) -> Consequences:
    """Returns what happens to resources and links when a configuration takes the place of another.

    Entity types and associations to which nothing happens are not mentioned.
    """
    computed = _computed(before), _computed(after)
    types = [_of_type(before, after, item, computed) for item in before.entity_types]
    affected = [item for item in types if item != TypeConsequences(entity_type=item.entity_type)]
    gone = {item.entity_type for item in types if item.is_dropped}
    rekeyed = {item.entity_type for item in types if item.key is not None}
    return Consequences(types=affected, associations=_of_associations(before, after, gone, rekeyed))


def first_consequences(after: Configuration, computed_so_far: Collection[PropertyRef]) -> Consequences:
    """Returns what happens where the configuration before is unknown, as in a store of an early version.

    Properties lose the values of extracts where expressions or functions give them others from now on. Of what else
    was edited nothing is known.

    :param computed_so_far: the properties that tasks have computed, which hold no values of extracts.
    """
    fresh: dict[str, list[str]] = {}
    for reference in _computed(after) - frozenset(computed_so_far):
        fresh.setdefault(reference.entity_type, []).append(reference.property)
    types = [TypeConsequences(entity_type=name, removed=sorted(names)) for name, names in sorted(fresh.items())]
    return Consequences(types=types)


def is_removed_by_tasks(configuration: Configuration, kind: DerivationKind, entity_type: str, name: str) -> bool:
    """Whether the next computing task removes the values of a derivation that is no longer configured.

    An adoption leaves that to the task, unless the values have no place any more: of a property that is not there, or
    that a mapping fills. A task that no job calls removes nothing.
    """
    if kind is DerivationKind.PROPERTY:
        declared = configuration.entity_type(entity_type)
        if declared is None or declared.property(name) is None or name in _mapped(configuration, entity_type):
            return False
    called = (task for job in configuration.jobs for task in configuration.called_by(job))
    return any(isinstance(task, ComputingTask) and kind in task.derives for task in called)


def _computed(configuration: Configuration) -> frozenset[PropertyRef]:
    """The properties that are computed, by expressions or functions."""
    return frozenset(
        PropertyRef(item.entity_type, item.name)
        for item in derivations(configuration)
        if item.kind is DerivationKind.PROPERTY
    )


def _of_type(
    before: Configuration,
    after: Configuration,
    old: EntityType,
    computed: tuple[frozenset[PropertyRef], frozenset[PropertyRef]],
) -> TypeConsequences:
    name = old.identifier
    new = after.entity_type(name)
    if new is None:
        return TypeConsequences(entity_type=name, is_dropped=True)
    was, now = _mapped(before, name), _mapped(after, name)
    held = [item for item in sorted({*was, *(p.identifier for p in old.properties)}) if _may_hold(before, name, item)]
    computed_before, computed_after = computed
    held = [item for item in held if item in was or PropertyRef(name, item) not in computed_before]
    removed = [item for item in held if _loses_values(after, new, item, was, now, computed_after)]
    converted = [
        conversion
        for item in held
        if item not in removed
        for conversion in _conversions(old, new, item, was.get(item), now.get(item))
    ]
    uncomputed = sorted(
        item.property
        for item in computed_before - computed_after
        if item.entity_type == name and not is_removed_by_tasks(after, DerivationKind.PROPERTY, name, item.property)
    )
    return TypeConsequences(
        entity_type=name,
        removed=removed,
        converted=converted,
        uncomputed=uncomputed,
        key=_new_key(was, now, converted),
    )


def _mapped(configuration: Configuration, entity_type: str) -> dict[str, PropertyMapping]:
    mapping = configuration.mapping_of(entity_type)
    return {item.identifier: item for item in (mapping.properties if mapping else ())}


def _may_hold(configuration: Configuration, entity_type: str, name: str) -> bool:
    """Whether resources may hold values of a property that an extract gave them.

    Of a type without a mapping they may hold what an earlier one gave them.
    """
    mapped = _mapped(configuration, entity_type)
    return name in mapped or (not mapped and not _is_navigation(configuration, PropertyRef(entity_type, name)))


def _is_navigation(configuration: Configuration, reference: PropertyRef) -> bool:
    return any(reference in (item.property1, item.property2) for item in configuration.associations)


def _loses_values(
    after: Configuration,
    new: EntityType,
    name: str,
    was: dict[str, PropertyMapping],
    now: dict[str, PropertyMapping],
    computed: frozenset[PropertyRef],
) -> bool:
    """Whether a property loses the values that an extract gave it.

    Where no mapping feeds the type any more, what it has stays until a person decides otherwise.
    """
    if name in now:
        return False
    reference = PropertyRef(new.identifier, name)
    if new.property(name) is None or reference in computed or _is_navigation(after, reference):
        return True
    return name in was and bool(now)


def _conversions(
    old: EntityType, new: EntityType, name: str, was: PropertyMapping | None, now: PropertyMapping | None
) -> Iterator[ValueConversion]:
    before, after = _type(old, name), _type(new, name)
    written = now.value_format if now else AS_IT_IS
    if before in TEXTS:
        reread = was is not None and now is not None and _reading(was.value_format) != _reading(written)
        if after not in TEXTS or reread:
            yield ValueConversion(name=name, kind=after, written=written)
    elif before is not after:
        yield ValueConversion(name=name, kind=after)


def _reading(written: ValueFormat) -> tuple[object, ...]:
    """What decides how a text is read as a text."""
    return written.format, written.trim, written.null_values


def _type(entity_type: EntityType, name: str) -> PropertyType:
    declared = entity_type.property(name)
    return declared.type if declared else PropertyType.FOREIGN_KEY


def _new_key(
    was: dict[str, PropertyMapping], now: dict[str, PropertyMapping], converted: list[ValueConversion]
) -> str | None:
    """The property from which resources get new keys; None also where it had no values so far.

    Then the next extract says which keys they have.
    """
    before = next((name for name, item in was.items() if item.is_primary_key), None)
    after = next((name for name, item in now.items() if item.is_primary_key), None)
    if before is None or after is None or after not in was:
        return None
    return after if after != before or any(item.name == after for item in converted) else None


def _of_associations(
    before: Configuration, after: Configuration, gone: set[str], rekeyed: set[str]
) -> Iterator[AssociationConsequences]:
    for old in before.associations:
        ends = old.property1.entity_type, old.property2.entity_type
        new = after.association(old.identifier)
        if new is None or ends != (new.property1.entity_type, new.property2.entity_type) or gone.intersection(ends):
            yield AssociationConsequences(before=old, is_dropped=True, forgets=True)
            continue
        is_single = (
            old.is_property1_collection and not new.is_property1_collection,
            old.is_property2_collection and not new.is_property2_collection,
        )
        named_by = _named_by(before, old.identifier), _named_by(after, old.identifier)
        forgets = all(named_by) and named_by[0] != named_by[1]
        if any(is_single) or forgets or rekeyed.intersection(ends):
            yield AssociationConsequences(before=old, is_single=is_single, forgets=forgets)


def _named_by(configuration: Configuration, association: str) -> tuple[object, ...]:
    """The properties by whose values links of an association name their resources, with their types."""
    mapping = next((item for item in configuration.association_mappings if item.association == association), None)
    if mapping is None:
        return ()
    ends = mapping.entity_property_mapping1, mapping.entity_property_mapping2
    types = [configuration.entity_type(end.entity_type) for end in ends]
    return tuple(
        (end, _type(entity_type, end.property) if entity_type else None)
        for end, entity_type in zip(ends, types, strict=True)
    )
