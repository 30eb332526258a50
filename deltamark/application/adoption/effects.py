"""What adopting a configuration does to resources and links, found in one view of a store and applied in a transaction.

A plan shows what was found, an adoption applies it: both come from the same place, so that they cannot differ.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

import pyarrow as pa
import pyarrow.compute as pc
from attrs import field, frozen

from deltamark.application.digests import needed_dependencies, rule_of
from deltamark.application.ports.arrow_schemas import COMPUTED, LINKS, RESOURCES, UPDATES
from deltamark.application.ports.commands import Writing
from deltamark.application.ports.comparer import KeptPairs, NewReading, PairChanges, ReadCounts
from deltamark.application.ports.queries import Reading
from deltamark.application.ports.records import (
    ComputedChanges,
    DerivedRule,
    LinkChanges,
    LinkEnds,
    Pair,
    ResourceChanges,
)
from deltamark.application.services import Services
from deltamark.domain.adoption.consequences import (
    AssociationConsequences,
    TypeConsequences,
    consequences,
    first_consequences,
    is_removed_by_tasks,
)
from deltamark.domain.configuration.configuration import Configuration
from deltamark.domain.configuration.entity_model import EntityAssociation, PropertyRef
from deltamark.domain.configuration.rules import DerivationKind
from deltamark.domain.derivation.derivations import derivations
from deltamark.domain.resources.events import Origin
from deltamark.domain.runs.run import Counts

_Name = tuple[str, str, str]
"""A derivation by kind, entity type and name."""


@frozen(kw_only=True)
class TypeEffects:
    """What happens to the resources of an entity type.

    :param counts: of its synchronized values, by property.
    :param uncomputed: how many computed values are removed, by property.
    :param computed: the computed values that are removed, as `ComputedChanges` has them; None where there are none.
    :param unreadable: the values that cannot be read, as `ValuesReadAnew` has them.
    :param keys: the keys that change, as `ValuesReadAnew` has them.
    """

    consequences: TypeConsequences
    changes: ResourceChanges
    counts: Mapping[str, ReadCounts] = field(factory=dict)
    uncomputed: Mapping[str, int] = field(factory=dict)
    computed: pa.Table | None = None
    unreadable: pa.Table | None = None
    keys: pa.Table | None = None


@frozen(kw_only=True)
class AssociationEffects:
    """What happens to the links of an association, and to those that wait for a resource."""

    consequences: AssociationConsequences
    pairs: PairChanges
    forgotten: frozenset[Pair] = frozenset()

    @property
    def ends(self) -> LinkEnds:
        """The association with the entity types at its ends."""
        before = self.consequences.before
        return LinkEnds(
            association=before.identifier,
            source=before.property1.entity_type,
            target=before.property2.entity_type,
        )


@frozen(kw_only=True)
class Effects:
    """What adopting a configuration does.

    :param underived: the derivations that nothing makes any more, each with how many values, keys or classifications
        it gave.
    :param obsolete: those of them that no task removes.
    :param computed: the derivations that the next task computes anew, each with how many resources it concerns.
    """

    types: tuple[TypeEffects, ...] = ()
    associations: tuple[AssociationEffects, ...] = ()
    underived: Mapping[DerivedRule, int] = field(factory=dict)
    obsolete: tuple[DerivedRule, ...] = ()
    computed: Mapping[_Name, int] = field(factory=dict)

    @property
    def updated(self) -> int:
        """How many events give resources other values."""
        return sum(
            item.changes.updated.num_rows + (0 if item.computed is None else item.computed.num_rows)
            for item in self.types
        )

    @property
    def is_empty(self) -> bool:
        """Whether nothing stored changes."""
        return not (self.counts.changed or self.obsolete or any(links.forgotten for links in self.associations))

    @property
    def counts(self) -> Counts:
        """The numbers of changes of resources and links."""
        return Counts(
            inserted=sum(item.changes.created.num_rows for item in self.types),
            updated=self.updated,
            deleted=sum(item.changes.deleted.num_rows for item in self.types),
            linked=sum(links.pairs.linked.num_rows for links in self.associations),
            unlinked=sum(links.pairs.unlinked.num_rows for links in self.associations),
        )


def effects(services: Services, reading: Reading, before: Configuration | None) -> Effects:
    """Finds what happens if the configuration of the engine takes the place of another.

    Reads only the entity types and associations to which something happens.

    :param before: None where it is unknown: then only what the rules that were computed tell is known.
    """
    after = services.configuration
    what = first_consequences(after, _computed_so_far(reading)) if before is None else consequences(before, after)
    underived = dict(_underived(reading, after))
    concerned = {item.entity_type: item for item in what.types}
    obsolete = tuple(
        rule for rule in underived if not is_removed_by_tasks(after, rule.kind, rule.entity_type, rule.name)
    )
    uncomputed: dict[str, set[str]] = {}
    for rule in obsolete:
        if rule.kind is DerivationKind.PROPERTY and after.entity_type(rule.entity_type) is not None:
            concerned.setdefault(rule.entity_type, TypeConsequences(entity_type=rule.entity_type))
            uncomputed.setdefault(rule.entity_type, set()).add(rule.name)
    types = {
        name: _of_type(services, reading, item, uncomputed.get(name, ())) for name, item in sorted(concerned.items())
    }
    return Effects(
        types=tuple(types.values()),
        associations=tuple(_of_association(services, reading, item, types) for item in what.associations),
        underived=underived,
        obsolete=obsolete,
        computed={} if before is None else _computed_anew(services, reading, before),
    )


def removal(
    services: Services, reading: Reading, entity_types: Iterable[str], associations: Iterable[EntityAssociation]
) -> Effects:
    """Finds what removing all resources of entity types and all links of associations does.

    Values of rules of these entity types that the configuration does not have any more are removed too.
    """
    names = tuple(entity_types)
    gone = [
        rule
        for rule, _ in _underived(reading, services.configuration)
        if rule.entity_type in names
        and not is_removed_by_tasks(services.configuration, rule.kind, rule.entity_type, rule.name)
    ]
    return Effects(
        types=tuple(
            _of_type(services, reading, TypeConsequences(entity_type=name, is_dropped=True), ()) for name in names
        ),
        associations=tuple(
            _of_association(
                services, reading, AssociationConsequences(before=association, is_dropped=True, forgets=True), {}
            )
            for association in associations
        ),
        obsolete=tuple(gone),
    )


def apply_effects(services: Services, tx: Writing, found: Effects, origin: Origin) -> None:
    """Makes resources and links what was found in the same transaction, with events of this origin.

    Flags what depends on them, also for jobs that compute without flagging.
    """
    before = tx.head()
    tx.watch(services.plan.dependencies)
    for links in found.associations:
        tx.append_links(links.ends, LinkChanges(linked=LINKS.empty_table(), unlinked=links.pairs.unlinked), origin)
        if links.forgotten:
            tx.put_waiting_links(links.ends.association, (), links.forgotten)
    for item in found.types:
        name = item.consequences.entity_type
        if item.computed is not None:
            tx.put_computed(ComputedChanges(entity_type=name, rows=item.computed, whole="removed"), origin)
        if item.changes.total:
            tx.append_resources(name, item.changes, origin)
    for links in found.associations:
        if links.pairs.linked.num_rows:
            linked = _resolved(tx, links.ends, links.pairs.linked)
            tx.append_links(links.ends, LinkChanges(linked=linked, unlinked=LINKS.empty_table()), origin)
    tx.remove_rules(found.obsolete)
    if tx.head() > before:
        tx.flag_changes(before, only=needed_dependencies(tx, services.plan))


def _of_type(services: Services, reading: Reading, item: TypeConsequences, obsolete: Iterable[str]) -> TypeEffects:
    name = item.entity_type
    if item.is_dropped:
        deleted = reading.live_resources(name).select(["key", "state"]).sort_by("key")
        deleted = deleted.add_column(1, "line", pa.nulls(deleted.num_rows, pa.int64())).cast(RESOURCES)
        changes = ResourceChanges(created=RESOURCES.empty_table(), updated=UPDATES.empty_table(), deleted=deleted)
        return TypeEffects(consequences=item, changes=changes)
    computed, uncomputed = _without_computed(services, reading, name, sorted({*item.uncomputed, *obsolete}))
    if not (item.removed or item.converted or item.key):
        nothing = RESOURCES.empty_table()
        changes = ResourceChanges(created=nothing, updated=UPDATES.empty_table(), deleted=nothing)
        return TypeEffects(consequences=item, changes=changes, computed=computed, uncomputed=uncomputed)
    anew = NewReading(entity_type=name, removed=item.removed, converted=item.converted, key=item.key)
    read = services.comparer.read_anew(reading.live_resources(name), anew)
    return TypeEffects(
        consequences=item,
        changes=read.changes,
        counts=read.counts,
        computed=computed,
        uncomputed=uncomputed,
        unreadable=read.unreadable,
        keys=read.keys if read.keys.num_rows else None,
    )


def _without_computed(
    services: Services, reading: Reading, entity_type: str, names: list[str]
) -> tuple[pa.Table | None, dict[str, int]]:
    """The rows that remove computed properties, and how many values they remove of each."""
    if not names:
        return None, {}
    states = reading.states(entity_type)
    stored = pa.table({"key": pc.cast(states.column("stream"), pa.string()), "state": states.column("computed")})
    read = services.comparer.read_anew(stored, NewReading(entity_type=entity_type, removed=names))
    updated = read.changes.updated
    streams = pc.cast(updated.column("key"), pa.int64())
    rows = pa.table({"stream": streams, "computed": updated.column("state"), "changes": updated.column("changes")})
    counts = {name: count.removed for name, count in read.counts.items()}
    return (rows.cast(COMPUTED).sort_by("stream") if rows.num_rows else None), counts


def _of_association(
    services: Services, reading: Reading, item: AssociationConsequences, types: Mapping[str, TypeEffects]
) -> AssociationEffects:
    name = item.before.identifier
    waiting = frozenset(reading.waiting_links(name)) if item.forgets else frozenset()
    links = reading.live_links(name).select(["source", "target", "source_key", "target_key"])
    if item.is_dropped:
        unlinked = links.sort_by([("source_key", "ascending"), ("target_key", "ascending")])
        unlinked = unlinked.append_column("line", pa.nulls(links.num_rows, pa.int64())).cast(LINKS)
        none = services.comparer.pairs(links.slice(0, 0), KeptPairs())
        pairs = PairChanges(unlinked=unlinked, linked=none.linked, surplus=none.surplus)
        return AssociationEffects(consequences=item, pairs=pairs, forgotten=waiting)
    after = services.configuration.association(name)
    assert after is not None, "an association that is not dropped is still there"
    kept = KeptPairs(
        keys1=_keys(types.get(after.property1.entity_type)),
        keys2=_keys(types.get(after.property2.entity_type)),
        is_single=_is_single(after),
    )
    return AssociationEffects(consequences=item, pairs=services.comparer.pairs(links, kept), forgotten=waiting)


def _keys(item: TypeEffects | None) -> pa.Table | None:
    return None if item is None or item.keys is None else item.keys.select(["before", "after"])


def _is_single(association: EntityAssociation) -> tuple[bool, bool]:
    return not association.is_property1_collection, not association.is_property2_collection


def _resolved(reading: Reading, ends: LinkEnds, pairs: pa.Table) -> pa.Table:
    """Pairs of keys as links between the resources that have these keys now."""
    rows = pairs
    for column, stream, entity_type in (
        ("source_key", "source", ends.source),
        ("target_key", "target", ends.target),
    ):
        among = rows.column(column).combine_chunks().unique()
        known = (
            reading.identities(entity_type, None, among).select(["value", "stream"]).rename_columns([column, stream])
        )
        rows = rows.join(known, column, join_type="inner")
    rows = rows.append_column("line", pa.nulls(rows.num_rows, pa.int64())).select(LINKS.names).cast(LINKS)
    return rows.sort_by([("source_key", "ascending"), ("target_key", "ascending")])


def _underived(reading: Reading, after: Configuration) -> Iterator[tuple[DerivedRule, int]]:
    """The derivations that were computed and that the configuration does not have, with how many keys they gave."""
    made = {(item.kind.value, item.entity_type, item.name) for item in derivations(after)}
    for rule in sorted(reading.rules_computed(), key=_name):
        if _name(rule) in made:
            continue
        match rule.kind:
            case DerivationKind.PROPERTY:
                computed = reading.states(rule.entity_type).column("computed")
                yield rule, pc.sum(pc.match_substring(computed, f'"{rule.name}":')).as_py() or 0
            case DerivationKind.CLASSIFICATION:
                yield rule, len(reading.classified(rule))
            case _:
                yield rule, reading.stored_keys(rule).num_rows


def _computed_so_far(reading: Reading) -> set[PropertyRef]:
    """The properties that tasks have computed."""
    rules = (rule for rule in reading.rules_computed() if rule.kind is DerivationKind.PROPERTY)
    return {PropertyRef(rule.entity_type, rule.name) for rule in rules}


def _computed_anew(services: Services, reading: Reading, before: Configuration) -> dict[_Name, int]:
    """The derivations that are new or edited, with how many resources have them."""
    digests = {_name(rule): rule.digest for rule in reading.rules_computed()}
    earlier = {(item.kind.value, item.entity_type, item.name) for item in derivations(before)}
    found: dict[_Name, int] = {}
    for planned in services.plan.derived:
        rule = rule_of(planned)
        name = _name(rule)
        if digests[name] != rule.digest if name in digests else name not in earlier:
            found[name] = reading.live_resource_count(rule.entity_type)
    return found


def _name(rule: DerivedRule) -> _Name:
    return rule.kind.value, rule.entity_type, rule.name
