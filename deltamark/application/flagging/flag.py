"""Flags the resources whose derived values may have changed: a projection over the log."""

from __future__ import annotations

import pyarrow.compute as pc
from attrs import evolve

from deltamark.application.digests import needed_dependencies, rule_of
from deltamark.application.ports.commands import Writing
from deltamark.application.ports.records import DerivedRule
from deltamark.application.services import Apply, Scope, Services, TaskResult
from deltamark.domain.configuration.configuration import Configuration
from deltamark.domain.configuration.jobs import ComputingTask
from deltamark.domain.derivation.dependency_paths import Dependency
from deltamark.domain.messages import how_many
from deltamark.domain.runs.run import ChangesDiscarded, Counts


def flag(services: Services, *, drops_places: bool = True) -> Apply:
    """Plans to flag every resource with a derived value that depends on a new change.

    New are the changes since the last flag task.

    :param drops_places: whether places of tasks that are no longer configured are dropped. That looks at all tasks:
        once in a run is enough.
    """

    def apply(tx: Writing, scope: Scope) -> TaskResult:
        done = flag_changes(services, tx)
        dropped = _drop_places(services, tx) if drops_places else []
        tx.drop_read_flags()
        return evolve(done, messages=(*done.messages, *dropped))

    return apply


def flag_changes(services: Services, tx: Writing) -> TaskResult:
    """Flags resources for every change since the last flag task."""
    tx.watch(services.plan.dependencies)
    after, newest, head = tx.flagged_to(), tx.newest_flag(), tx.head()
    messages = []
    for position, discarded in tx.discards(after):
        if discarded.unread:
            count = tx.flag_all(dependencies_on(services, discarded), position)
            messages.append(
                f"{how_many(discarded.count, 'change')} of {discarded.connector} discarded before being flagged: "
                f"flagged all {how_many(count, 'resource')} that depend on it"
            )
    flagged = tx.flag_changes(after, only=_dependencies(services, tx))
    if messages:
        flags = tx.flagged(services.plan.dependencies, newest, 0)
        flagged = pc.count_distinct(flags.column("stream")).as_py()
    tx.move_flags(head)
    return TaskResult(counts=Counts(flagged=flagged), effect=True, messages=messages)


def _dependencies(services: Services, tx: Writing) -> list[Dependency]:
    """The dependencies whose flags some task needs, and those on existence.

    New resources always count.
    """
    existence = [item for item in services.plan.dependencies if not item.hops and item.property is None]
    return list(dict.fromkeys([*existence, *needed_dependencies(tx, services.plan)]))


def dependencies_on(services: Services, discarded: ChangesDiscarded) -> list[Dependency]:
    """The dependencies on what a connector feeds.

    Any of it may have changed in the discarded changes.
    """
    associations = {
        association.identifier
        for association in services.configuration.associations
        if _connector_of(services.configuration, association.identifier) in (discarded.connector, None)
    }
    return [
        dependency
        for dependency in services.plan.dependencies
        if dependency.leads_to in discarded.entity_types
        or any(hop.association in associations for hop in dependency.hops)
    ]


def _connector_of(configuration: Configuration, association: str) -> str | None:
    mappings = configuration.association_mappings
    return next((mapping.connector for mapping in mappings if mapping.association == association), None)


def _drop_places(services: Services, tx: Writing) -> list[str]:
    """Drops the places of tasks that are no longer configured, and returns messages about them."""
    kept: dict[str, dict[DerivedRule, None]] = {}
    for task in services.configuration.all_calls_of(ComputingTask):
        rules = [rule_of(planned) for planned in services.plan.of_task(task)]
        kept.setdefault(task.identifier, {}).update(dict.fromkeys(rules))
    dropped = tx.keep_consumers(kept)
    return [
        f"task {name} is no longer configured: its place was dropped; if it is configured again, it computes everything"
        for name in dropped
    ]
