"""Computing correlation keys: of the flagged resources, or of all."""

from __future__ import annotations

from collections.abc import Iterable

from attrs import frozen

from deltamark.application.digests import digest_of
from deltamark.application.ports.store import KeyRule, Place, Reading, Writing
from deltamark.application.services import Apply, Done, Scope, Services
from deltamark.domain.configuration import Configuration
from deltamark.domain.flags import FLAG_PROJECTION
from deltamark.domain.job import ComputeCorrelationKeysTask
from deltamark.domain.rules import KeySide, key_sides
from deltamark.domain.run import Counts
from deltamark.domain.wording import how_many


@frozen(kw_only=True)
class Workload:
    """What a task must compute now.

    :param after: where the task stands: everything up to there is in what it computed.
    :param outdated: why nothing of what it computed counts, or None where it does.
    :param everything: why all resources are computed, or None where only those with flags beyond `after` are.
    """

    sides: tuple[KeySide, ...]
    entity_types: tuple[str, ...]
    digest: str
    after: int
    outdated: str | None
    everything: str | None


def workload(reading: Reading, configuration: Configuration, task: ComputeCorrelationKeysTask) -> Workload:
    """What the task would compute if it ran now."""
    sides = tuple(
        side
        for side in key_sides(configuration.correlation_rules, configuration.resource_types)
        if task.all_entity_type or side.entity_type in task.entity_types
    )
    rules = [_rule(configuration, side) for side in sides]
    digest = digest_of([rule.digest for rule in rules])
    place = reading.place(task.identifier)
    outdated = None
    if place is None:
        outdated = "the task runs for the first time"
    elif place.digest != digest:
        outdated = "its rules changed since it last ran"
    elif not reading.rules_computed().issuperset(rules):
        outdated = "another task computed with other rules since it last ran"
    return Workload(
        sides=sides,
        entity_types=tuple(dict.fromkeys(side.entity_type for side in sides)),
        digest=digest,
        after=place.position if place else 0,
        outdated=outdated,
        everything=outdated if task.dirty else "Dirty is false",
    )


def is_due(reading: Reading, configuration: Configuration, task: ComputeCorrelationKeysTask) -> bool:
    """Whether what the task computed is no longer what it would compute now."""
    work = workload(reading, configuration, task)
    if work.outdated:
        return any(reading.held_count(name) for name in work.entity_types)
    if work.everything:
        return reading.changed_since(work.after)
    return any(reading.flagged(name, work.after).num_rows for name in work.entity_types)


def _rule(configuration: Configuration, side: KeySide) -> KeyRule:
    entity_type = configuration.entity_type(side.entity_type)
    types = [(p.identifier, p.type.label) for p in entity_type.properties] if entity_type else []
    digest = digest_of([*side.definition, sorted(types)])
    return KeyRule(name=side.rule, side=side.side, entity_type=side.entity_type, digest=digest)


def computing_keys(services: Services, task: ComputeCorrelationKeysTask) -> Apply:
    """Computes both sides of every rule that reads the task's entity types, and moves the task's place."""

    def apply(tx: Writing, scope: Scope) -> Done:
        work = workload(tx, services.configuration, task)
        removed = tx.keep_rules(_rules(services.configuration))
        computed = written = 0
        for name in work.entity_types:
            entity_type = services.configuration.entity_type(name)
            assert entity_type is not None
            states = tx.all_states(name) if work.everything else tx.flagged_states(name, work.after)
            computed += states.num_rows
            for side in (side for side in work.sides if side.entity_type == name):
                values = services.evaluator.values(side, entity_type, states)
                rule = _rule(services.configuration, side)
                written += tx.put_keys(rule, values, everything=work.everything is not None)
        if work.everything:
            written += tx.drop_keys_of_deleted()
        tx.move_place(task.identifier, Place(position=_reached(tx, work), digest=work.digest))
        return Done(
            counts=Counts(computed=computed, written=written + removed),
            effect=written + removed > 0,
            messages=_messages(task, work, removed),
        )

    return apply


def _reached(tx: Writing, work: Workload) -> int:
    """How far in the log the computed keys are true: to its end if all are, else as far as changes were flagged."""
    if work.everything:
        return tx.head()
    flags = tx.place(FLAG_PROJECTION)
    return max(work.after, flags.position if flags else 0)


def _messages(task: ComputeCorrelationKeysTask, work: Workload, removed: int) -> list[str]:
    messages = []
    if task.dirty and work.outdated:
        messages.append(f"computed everything: {work.outdated}")
    if removed:
        messages.append(f"removed {how_many(removed, 'key')} of rules that are no longer configured")
    if not work.sides:
        messages.append("no correlation rule reads the entity types of this task")
    return messages


def _rules(configuration: Configuration) -> Iterable[KeyRule]:
    sides = key_sides(configuration.correlation_rules, configuration.resource_types)
    return [_rule(configuration, side) for side in sides]
