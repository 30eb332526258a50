"""The workload of a computing task: each derivation for all, or only for flagged resources."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import pyarrow as pa
from attrs import frozen

from deltamark.application.digests import digest_of
from deltamark.application.ports.queries import Reading
from deltamark.application.ports.records import DerivedRule, Place
from deltamark.domain.configuration.jobs import ComputingTask
from deltamark.domain.derivation.dependency_paths import Dependency
from deltamark.domain.derivation.plan import Plan, Planned

NOT_STARTED = Place(flag=0, position=0)
"""The place of a consumer that never ran."""


@frozen(kw_only=True)
class Share:
    """One derivation in the workload of a task.

    :param place: up to where the task has read changes and flags for it.
    :param outdated_reason: why the values computed so far do not count; None where they do.
    :param full_reason: why the values of all resources are computed; None where only those of flagged ones are.
    """

    planned: Planned
    rule: DerivedRule
    place: Place
    outdated_reason: str | None
    full_reason: str | None

    @property
    def is_full(self) -> bool:
        """Whether the values of all resources are computed."""
        return self.full_reason is not None

    @property
    def entity_type(self) -> str:
        """The entity type whose resources have the value."""
        return self.planned.derivation.entity_type


@frozen(kw_only=True)
class Workload:
    """The derivations of a task, in the order in which they are computed.

    :param obsolete: derivations that are no longer configured but of which the store holds values.
    """

    shares: tuple[Share, ...]
    obsolete: tuple[DerivedRule, ...]

    @property
    def entity_types(self) -> tuple[str, ...]:
        """The entity types of the derivations."""
        return tuple(dict.fromkeys(share.entity_type for share in self.shares))

    def of(self, entity_type: str) -> tuple[Share, ...]:
        """The shares of one entity type."""
        return tuple(share for share in self.shares if share.entity_type == entity_type)


def rule_of(planned: Planned) -> DerivedRule:
    """A planned derivation as the store knows it."""
    derivation = planned.derivation
    return DerivedRule(
        kind=derivation.kind,
        name=derivation.name,
        entity_type=derivation.entity_type,
        digest=digest_of(planned.definition),
    )


def workload(reading: Reading, plan: Plan, task: ComputingTask) -> Workload:
    """The workload of a task if it ran now; nothing of a function that was not loaded, of which nothing is known."""
    if isinstance(task.maker, str):
        return Workload(shares=(), obsolete=())
    consumer = _ConsumerState(reading, task)
    configured = {_names(rule_of(planned)) for planned in plan.of(task.derives)}
    return Workload(
        shares=tuple(consumer.share(planned) for planned in plan.of_task(task)),
        obsolete=tuple(
            rule
            for rule in sorted(consumer.computed, key=_names)
            if rule.kind in task.derives and _names(rule) not in configured
        ),
    )


def is_due(reading: Reading, plan: Plan, task: ComputingTask) -> bool:
    """Whether the task would compute or remove values if it ran now."""
    work = workload(reading, plan, task)
    if work.obsolete:
        return True
    for name in work.entity_types:
        shares = work.of(name)
        if any(share.outdated_reason for share in shares) and reading.live_resource_count(name):
            return True
        if any(share.is_full and reading.changed_since(share.place.position) for share in shares):
            return True
        if unread_flags(reading, [share for share in shares if not share.is_full]).num_rows:
            return True
    return False


DUE = pa.schema([("stream", pa.int64()), ("derivation", pa.int64()), ("since", pa.int64())])


def unread_flags(reading: Reading, shares: Sequence[Share]) -> pa.Table:
    """The unread flags of some derivations of one entity type.

    :returns: ``stream`` and ``derivation`` (the number of its share, from 0), each pair once, with ``since``, the
        position of the first flag.
    """
    groups: dict[Place, list[int]] = {}
    for number, share in enumerate(shares):
        groups.setdefault(share.place, []).append(number)
    tables = [DUE.empty_table()]
    for place, numbers in groups.items():
        readers: dict[Dependency, list[int]] = {}
        for number in numbers:
            for dependency in shares[number].planned.dependencies:
                readers.setdefault(dependency, []).append(number)
        flags = reading.flagged(list(readers), place.flag, place.position)
        if flags.num_rows:
            tables.append(_by_derivation(flags, list(readers.values())))
    return pa.concat_tables(tables)


def _by_derivation(flags: pa.Table, readers: Sequence[Sequence[int]]) -> pa.Table:
    pairs = [(number, derivation) for number, derivations in enumerate(readers) for derivation in derivations]
    dependency, derivation = zip(*pairs, strict=True)
    by_dependency = pa.table(
        {"dependency": pa.array(dependency, pa.int64()), "derivation": pa.array(derivation, pa.int64())}
    )
    flags = flags.set_column(
        flags.schema.get_field_index("dependency"), "dependency", flags.column("dependency").cast(pa.int64())
    )
    joined = flags.join(by_dependency, "dependency", join_type="inner")
    grouped = joined.group_by(["stream", "derivation"]).aggregate([("since", "min")])
    return grouped.rename_columns({"since_min": "since"}).select(DUE.names).cast(DUE)


class _ConsumerState:
    """The places and digests of a consumer, read from the store once."""

    def __init__(self, reading: Reading, task: ComputingTask) -> None:
        self._task = task
        self._flagged_to = reading.flagged_to()
        self._watched = reading.watched()
        self._places = {_names(rule): (rule.digest, place) for rule, place in reading.places(task.identifier).items()}
        self.computed = reading.rules_computed()

    def share(self, planned: Planned) -> Share:
        rule = rule_of(planned)
        digest, place = self._places.get(_names(rule), ("", NOT_STARTED))
        outdated_reason = self._outdated(planned, rule, digest, place)
        return Share(
            planned=planned,
            rule=rule,
            place=place,
            outdated_reason=outdated_reason,
            full_reason=outdated_reason if self._task.dirty else "Dirty is false",
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
            return f"not all changes of what the {what} reads were flagged since the task last ran"
        return None

    def _is_watched(self, dependencies: Iterable[Dependency], place: Place) -> bool:
        return all(
            dependency in self._watched and self._watched[dependency] <= place.position for dependency in dependencies
        )


def _names(rule: DerivedRule) -> tuple[str, str, str]:
    return rule.kind.value, rule.entity_type, rule.name


def needed_dependencies(reading: Reading, plan: Plan) -> list[Dependency]:
    """The dependencies whose flags some task needs.

    They are those of the derivations that were computed before.

    Also of those that no task computes now: a task that is configured again before its place is dropped needs them. A
    derivation that is computed for the first time needs no flags: it is computed for all resources.
    """
    computed = {_names(rule) for rule in reading.rules_computed()}
    dependencies: dict[Dependency, None] = {}
    for planned in plan.derived:
        if _names(rule_of(planned)) in computed:
            dependencies |= dict.fromkeys(planned.dependencies)
    return list(dependencies)


def has_unflagged_changes(reading: Reading) -> bool:
    """Whether anything changed, or was discarded, since the last flag task."""
    return reading.changed_since(reading.flagged_to())


def is_all_flagged(reading: Reading) -> bool:
    """Whether no change is unflagged.

    Changes that were flagged before they were discarded count as flagged.
    """
    after = reading.flagged_to()
    if not reading.changed_since(after):
        return True
    unread = any(discarded.unread for _, discarded in reading.discards(after))
    return not unread and not any(True for _ in reading.changes(after, None))
