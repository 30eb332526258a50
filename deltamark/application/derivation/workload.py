"""The workload of a computing task: each derivation for all, or only for flagged resources."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Self

import pyarrow as pa
from attrs import frozen

from deltamark.application.digests import rule_of
from deltamark.application.ports.queries import Reading
from deltamark.application.ports.records import DerivedRule, Place
from deltamark.domain.configuration.jobs import ComputingTask
from deltamark.domain.derivation.dependency_paths import Dependency
from deltamark.domain.derivation.derivations import Derivation
from deltamark.domain.derivation.plan import Plan, Planned

NOT_STARTED = Place(flag=0, position=0)
"""The place of a consumer that never ran."""


@frozen(kw_only=True)
class View:
    """How far the log and its flags went at a moment.

    :param flag: the number of the newest flag.
    :param head: the position of the newest event.
    :param flagged_to: the position up to which changes were flagged.
    """

    flag: int
    head: int
    flagged_to: int

    @classmethod
    def of(cls, reading: Reading) -> Self:
        """What is there now."""
        return cls(flag=reading.newest_flag(), head=reading.head(), flagged_to=reading.flagged_to())


@frozen(kw_only=True)
class Share:
    """One derivation in the workload of a task.

    :param place: up to where the task has read changes and flags for it.
    :param outdated_reason: why the values computed so far do not count; None where they do.
    :param full_reason: why the values of all resources are computed; None where only those of flagged ones are.
    :param whole: the word for that (`WHOLE_REASONS`).
    """

    planned: Planned
    rule: DerivedRule
    place: Place
    outdated_reason: str | None
    full_reason: str | None
    whole: str | None = None

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


def workload(reading: Reading, plan: Plan, task: ComputingTask) -> Workload:
    """The workload of a task if it ran now; nothing of a function that was not loaded, of which nothing is known."""
    if isinstance(task.maker, str):
        return Workload(shares=(), obsolete=())
    consumer = _ConsumerState(reading, task)
    configured = {_names(planned.derivation) for planned in plan.of(task.derives)}
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


DUE = pa.schema([("stream", pa.int64()), ("derivation", pa.int64()), ("since", pa.int64()), ("newest", pa.int64())])


def unread_flags(reading: Reading, shares: Sequence[Share]) -> pa.Table:
    """The unread flags of some derivations of one entity type.

    :returns: ``stream`` and ``derivation`` (the number of its share, from 0), each pair once, with ``since``, the
        position of the first flag, and ``newest``, that of the newest change.
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
    grouped = joined.group_by(["stream", "derivation"]).aggregate([("since", "min"), ("newest", "max")])
    return grouped.rename_columns({"since_min": "since", "newest_max": "newest"}).select(DUE.names).cast(DUE)


_OUTDATED = {
    "first": "the task runs for the first time",
    "new": "the {} is new to the task",
    "changed": "the {} changed since the task last ran",
    "other": "another task computed with another {} since the task last ran",
    "unflagged": "not all changes of what the {} reads were flagged since the task last ran",
}
"""The words for why values computed so far do not count (see `WHOLE_REASONS`), as the task says them."""


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
        word = self._outdated(planned, rule, digest, place)
        what = "rule" if planned.derivation.maker is None else "function"
        outdated_reason = None if word is None else _OUTDATED[word].format(what)
        return Share(
            planned=planned,
            rule=rule,
            place=place,
            outdated_reason=outdated_reason,
            full_reason=outdated_reason if self._task.dirty else "Dirty is false",
            whole=word if self._task.dirty else "all",
        )

    def _outdated(self, planned: Planned, rule: DerivedRule, digest: str, place: Place) -> str | None:
        if not self._places:
            return "first"
        if not digest:
            return "new"
        if digest != rule.digest:
            return "changed"
        if rule not in self.computed:
            return "other"
        if self._flagged_to > place.position and not self._is_watched(planned.dependencies, place):
            return "unflagged"
        return None

    def _is_watched(self, dependencies: Iterable[Dependency], place: Place) -> bool:
        return all(
            dependency in self._watched and self._watched[dependency] <= place.position for dependency in dependencies
        )


def _names(rule: DerivedRule | Derivation) -> tuple[str, str, str]:
    return rule.kind.value, rule.entity_type, rule.name


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
