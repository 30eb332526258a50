"""Flagging: a projection over the log that marks the resources whose derived values may have changed."""

from __future__ import annotations

import pyarrow.compute as pc
from attrs import evolve

from deltamark.application.derivation.workload import needed_dependencies, rule_of
from deltamark.application.ports.records import DerivedRule
from deltamark.application.ports.writing import Writing
from deltamark.application.services import Apply, Done, Scope, Services
from deltamark.domain.configuration.configuration import Configuration
from deltamark.domain.configuration.jobs import ComputingTask
from deltamark.domain.derivation.dependency_paths import Dependency
from deltamark.domain.messages import how_many
from deltamark.domain.runs.run import ChangesDiscarded, Counts


def flag(services: Services) -> Apply:
    """Flags every resource with a derived value that depends on something which changed since the last flag task."""

    def apply(tx: Writing, scope: Scope) -> Done:
        done = flag_changes(services, tx)
        return evolve(done, messages=(*done.messages, *_forget(services, tx)))

    return apply


def flag_changes(services: Services, tx: Writing) -> Done:
    """Flags for every change since the last time."""
    tx.watch(services.plan.dependencies)
    after, newest, head = tx.flagged_to(), tx.newest_flag(), tx.head()
    messages = []
    for position, discarded in tx.discards(after):
        if discarded.unread:
            concerned = concerned_by(services, discarded)
            everything = tx.flag_all(concerned, position)
            messages.append(
                f"{how_many(discarded.count, 'change')} of {discarded.connector} discarded before being flagged: "
                f"flagged all {how_many(everything, 'resource')} that depend on it"
            )
    flagged = tx.flag_changes(after, only=_wanted(services, tx))
    if messages:
        flags = tx.flagged(services.plan.dependencies, newest, 0)
        flagged = pc.count_distinct(flags.column("stream")).as_py()
    tx.move_flags(head)
    return Done(counts=Counts(flagged=flagged), effect=True, messages=messages)


def _wanted(services: Services, tx: Writing) -> list[Dependency]:
    """The dependencies that somebody relies on; and in any case what came or went, for all to see what is new."""
    existence = [found for found in services.plan.dependencies if not found.hops and found.property is None]
    return list(dict.fromkeys([*existence, *needed_dependencies(tx, services.plan)]))


def concerned_by(services: Services, discarded: ChangesDiscarded) -> list[Dependency]:
    """The dependencies on what a connector feeds: whatever of it changed may be among the discarded changes."""
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
    return next((found.connector for found in mappings if found.association == association), None)


def _forget(services: Services, tx: Writing) -> list[str]:
    """Drops the flags that nobody needs any more, also those that only a task which is gone has not read."""
    kept: dict[str, dict[DerivedRule, None]] = {}
    for task in services.configuration.all_calls_of(ComputingTask):
        rules = [rule_of(planned) for planned in services.plan.of_task(task)]
        kept.setdefault(task.identifier, {}).update(dict.fromkeys(rules))
    gone = tx.keep_consumers(kept)
    tx.drop_read_flags()
    return [
        f"task {name} is configured no more: its place was dropped, and should it come back, it computes everything"
        for name in gone
    ]
