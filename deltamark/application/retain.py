"""Retention: discarding a connector's changes, on record, without losing a flag."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime

from deltamark.application.ports.store import Discarded, Subjects, Writing
from deltamark.application.services import Scope
from deltamark.domain.configuration import Configuration
from deltamark.domain.job import SynchronizeTask
from deltamark.domain.run import ChangesDiscarded
from deltamark.domain.wording import how_many


def discard_changes_of(configuration: Configuration, tx: Writing, task: SynchronizeTask, scope: Scope) -> list[str]:
    """Discards all changes of the connector that a task synchronizes; see `discard_changes`."""
    resources, links = configuration.mappings_of_connector(task.connector)
    subjects = Subjects(
        connector=task.connector,
        task=task.identifier,
        entity_types=tuple(mapping.entity_type for mapping in resources),
        associations=tuple(mapping.association for mapping in links),
    )
    ends = {
        ref.entity_type
        for mapping in links
        for ref in (mapping.entity_property_mapping1, mapping.entity_property_mapping2)
    }
    return discard_changes(tx, subjects, scope, ends)


def discard_changes(tx: Writing, subjects: Subjects, scope: Scope, ends_of_links: Iterable[str]) -> list[str]:
    """Discards all changes of a connector, these and earlier ones; returns what to tell about it.

    Changes that no flag task had seen make the next one flag every resource of these types: it may do too
    much, never too little.
    """
    seen = tx.flagged_to()
    concerned = tuple(dict.fromkeys([*subjects.entity_types, *sorted(ends_of_links)]))

    def event(stream: str, version: int, at: datetime, discarded: Discarded) -> ChangesDiscarded:
        return ChangesDiscarded(
            originator_id=stream,
            originator_version=version,
            at=at,
            run=scope.run,
            task=scope.ordinal,
            connector=subjects.connector,
            entity_types=concerned,
            first=discarded.first,
            up_to=discarded.last,
            count=discarded.count,
            digest=discarded.digest,
            unread=discarded.last > seen,
        )

    discarded = tx.discard(subjects, event, scope.run)
    if discarded is None:
        return []
    unread = ", before a flag task saw them: the next one flags every resource" if discarded.last > seen else ""
    return [
        f"discarded {how_many(discarded.count, 'change')} of {subjects.connector} up to position {discarded.last} "
        f"(DoNotDeleteChanges is false){unread}"
    ]
