"""What a computing task must compute now: of each derivation everything, or only what is flagged."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import pyarrow as pa
from attrs import frozen

from deltamark.application.digests import digest_of
from deltamark.application.ports.reading import Reading
from deltamark.application.ports.records import DerivedRule, Place
from deltamark.domain.configuration.jobs import ComputingTask
from deltamark.domain.derivation.dependency_paths import Dependency
from deltamark.domain.derivation.plan import Plan, Planned

NOWHERE = Place(flag=0, position=0)
"""Where a consumer stands before it first ran."""


@frozen(kw_only=True)
class Share:
    """One derivation in the workload of a task.

    :param place: where the task stands with it.
    :param outdated: why nothing of what was computed counts, or None where it does.
    :param everything: why the values of all resources are computed, or None where only the flagged ones are.
    """

    planned: Planned
    rule: DerivedRule
    place: Place
    outdated: str | None
    everything: str | None

    @property
    def entity_type(self) -> str:
        """The entity type whose resources have the value."""
        return self.planned.derivation.entity_type


@frozen(kw_only=True)
class Workload:
    """The derivations of a task, in the order in which they are computed, and what is left of others.

    :param gone: derivations that the store holds values of and that are configured no more.
    """

    shares: tuple[Share, ...]
    gone: tuple[DerivedRule, ...]

    @property
    def entity_types(self) -> tuple[str, ...]:
        """The entity types of which something is computed."""
        return tuple(dict.fromkeys(share.entity_type for share in self.shares))

    def of(self, entity_type: str) -> tuple[Share, ...]:
        """The derivations of one entity type."""
        return tuple(share for share in self.shares if share.entity_type == entity_type)


def rule_of(planned: Planned) -> DerivedRule:
    """A planned derivation as the store knows it."""
    one = planned.derivation
    return DerivedRule(kind=one.kind, name=one.name, entity_type=one.entity_type, digest=digest_of(planned.definition))


def workload(reading: Reading, plan: Plan, task: ComputingTask) -> Workload:
    """What a task would compute if it ran now."""
    standing = _Standing(reading, task)
    configured = {_names(rule_of(planned)) for planned in plan.of(task.derives)}
    return Workload(
        shares=tuple(standing.share(planned) for planned in plan.of_task(task)),
        gone=tuple(
            rule
            for rule in sorted(standing.computed, key=_names)
            if rule.kind in task.derives and _names(rule) not in configured
        ),
    )


def is_due(reading: Reading, plan: Plan, task: ComputingTask) -> bool:
    """Whether what a task computed is no longer what it would compute now."""
    work = workload(reading, plan, task)
    if work.gone:
        return True
    for name in work.entity_types:
        shares = work.of(name)
        if any(share.outdated for share in shares) and reading.live_resource_count(name):
            return True
        if any(share.everything and reading.changed_since(share.place.position) for share in shares):
            return True
        if flagged(reading, [share for share in shares if not share.everything]).num_rows:
            return True
    return False


DUE = pa.schema([("stream", pa.int64()), ("derivation", pa.int64()), ("since", pa.int64())])


def flagged(reading: Reading, shares: Sequence[Share]) -> pa.Table:
    """The flags that some derivations of one entity type have not seen: ``stream`` and ``derivation`` (its place among
    `shares`, from 0), each pair once, with ``since``, the first position.
    """
    groups: dict[Place, list[int]] = {}
    for number, share in enumerate(shares):
        groups.setdefault(share.place, []).append(number)
    found = [DUE.empty_table()]
    for place, numbers in groups.items():
        readers: dict[Dependency, list[int]] = {}
        for number in numbers:
            for dependency in shares[number].planned.dependencies:
                readers.setdefault(dependency, []).append(number)
        flags = reading.flagged(list(readers), place.flag, place.position)
        if flags.num_rows:
            found.append(_by_derivation(flags, list(readers.values())))
    return pa.concat_tables(found)


def _by_derivation(flags: pa.Table, readers: Sequence[Sequence[int]]) -> pa.Table:
    pairs = [(number, reader) for number, found in enumerate(readers) for reader in found]
    dependency, derivation = zip(*pairs, strict=True)
    wanted = pa.table({"dependency": pa.array(dependency, pa.int64()), "derivation": pa.array(derivation, pa.int64())})
    flags = flags.set_column(
        flags.schema.get_field_index("dependency"), "dependency", flags.column("dependency").cast(pa.int64())
    )
    joined = flags.join(wanted, "dependency", join_type="inner")
    grouped = joined.group_by(["stream", "derivation"]).aggregate([("since", "min")])
    return grouped.rename_columns({"since_min": "since"}).select(DUE.names).cast(DUE)


class _Standing:
    """Where a consumer stands, asked of the store once."""

    def __init__(self, reading: Reading, task: ComputingTask) -> None:
        self._task = task
        self._flagged_to = reading.flagged_to()
        self._watched = reading.watched()
        self._places = {_names(rule): (rule.digest, place) for rule, place in reading.places(task.identifier).items()}
        self.computed = reading.rules_computed()

    def share(self, planned: Planned) -> Share:
        rule = rule_of(planned)
        digest, place = self._places.get(_names(rule), ("", NOWHERE))
        outdated = self._outdated(planned, rule, digest, place)
        return Share(
            planned=planned,
            rule=rule,
            place=place,
            outdated=outdated,
            everything=outdated if self._task.dirty else "Dirty is false",
        )

    def _outdated(self, planned: Planned, rule: DerivedRule, digest: str, place: Place) -> str | None:
        if not self._places:
            return "the task runs for the first time"
        what = "rule" if planned.derivation.maker is None else "function"
        if not digest:
            return f"the {what} is new to the task"
        if digest != rule.digest:
            return f"the {what} changed since the task last ran"
        if rule not in self.computed:
            return f"another task computed with another {what} since the task last ran"
        if self._flagged_to > place.position and not self._is_watched(planned.dependencies, place):
            return f"changes of what the {what} reads were not flagged for it all the time since the task last ran"
        return None

    def _is_watched(self, dependencies: Iterable[Dependency], place: Place) -> bool:
        return all(
            dependency in self._watched and self._watched[dependency] <= place.position for dependency in dependencies
        )


def _names(rule: DerivedRule) -> tuple[str, str, str]:
    return rule.kind.value, rule.entity_type, rule.name


def awaited(reading: Reading, plan: Plan) -> list[Dependency]:
    """The dependencies on whose flags some task relies: those of derivations that were computed before, by whatever
    task; also by one that is not configured now, for it may come back before its place is dropped.

    For others no flags are needed: who computes a derivation for the first time computes everything.
    """
    relied_on = {_names(rule) for rule in reading.rules_computed()}
    found: dict[Dependency, None] = {}
    for planned in plan.derived:
        if _names(rule_of(planned)) in relied_on:
            found |= dict.fromkeys(planned.dependencies)
    return list(found)


def has_unflagged_changes(reading: Reading) -> bool:
    """Whether something changed, or was discarded, since the last flag task."""
    return reading.changed_since(reading.flagged_to())


def is_all_flagged(reading: Reading) -> bool:
    """Whether every change was flagged; that flagged ones were discarded since does not count."""
    after = reading.flagged_to()
    if not reading.changed_since(after):
        return True
    unread = any(discarded.unread for _, discarded in reading.discards(after))
    return not unread and not any(True for _ in reading.changes(after, None))
