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


@frozen(kw_only=True)
class Workload:
    """What a task must compute now.

    :param everything: why all resources are computed, or None where only those with flags beyond `after` are.
    """

    sides: tuple[KeySide, ...]
    entity_types: tuple[str, ...]
    digest: str
    after: int
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
    everything = None
    if not task.dirty:
        everything = "Dirty is false"
    elif place is None:
        everything = "the task runs for the first time"
    elif place.digest != digest:
        everything = "its rules changed since it last ran"
    elif not reading.rules_computed().issuperset(rules):
        everything = "another task computed with other rules since it last ran"
    return Workload(
        sides=sides,
        entity_types=tuple(dict.fromkeys(side.entity_type for side in sides)),
        digest=digest,
        after=place.position if place else 0,
        everything=everything,
    )


def is_due(reading: Reading, configuration: Configuration, task: ComputeCorrelationKeysTask) -> bool:
    """Whether a dirty task has something to compute."""
    work = workload(reading, configuration, task)
    if work.everything:
        return any(reading.held_count(name) for name in work.entity_types)
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
        flags = tx.place(FLAG_PROJECTION)
        tx.move_place(task.identifier, Place(position=flags.position if flags else 0, digest=work.digest))
        return Done(
            counts=Counts(computed=computed, written=written + removed),
            effect=written + removed > 0,
            messages=_messages(task, work, removed),
        )

    return apply


def _messages(task: ComputeCorrelationKeysTask, work: Workload, removed: int) -> list[str]:
    messages = []
    if task.dirty and work.everything:
        messages.append(f"computed everything: {work.everything}")
    if removed:
        messages.append(f"removed {removed} keys of rules that are no longer configured")
    if not work.sides:
        messages.append("no correlation rule reads the entity types of this task")
    return messages


def _rules(configuration: Configuration) -> Iterable[KeyRule]:
    sides = key_sides(configuration.correlation_rules, configuration.resource_types)
    return [_rule(configuration, side) for side in sides]
