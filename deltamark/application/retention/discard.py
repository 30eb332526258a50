"""Discards a connector's changes, on record and without losing a flag."""

from __future__ import annotations

from attrs import frozen

from deltamark.application.ports.commands import Writing
from deltamark.application.ports.records import Discarded, Subjects
from deltamark.application.runs.run_log import RunLog
from deltamark.application.services import Scope
from deltamark.domain.configuration.configuration import Configuration
from deltamark.domain.configuration.jobs import SynchronizeTask
from deltamark.domain.history.changes import Position
from deltamark.domain.messages import how_many


@frozen(kw_only=True)
class DiscardOrder:
    """What to discard, and which task of which run records it.

    :param concerned: the entity types of the resources that the changes concern, also at the ends of links.
    :param ordinal: of the task in the run.
    """

    subjects: Subjects
    concerned: tuple[str, ...]
    run: int
    ordinal: int


def discard_order(configuration: Configuration, connector: str, *, task: str, run: int, ordinal: int) -> DiscardOrder:
    """The order to discard what a connector feeds."""
    resources, links = configuration.mappings_of_connector(connector)
    entity_types = tuple(mapping.entity_type for mapping in resources)
    ends = {
        ref.entity_type
        for mapping in links
        for ref in (mapping.entity_property_mapping1, mapping.entity_property_mapping2)
    }
    return DiscardOrder(
        subjects=Subjects(
            connector=connector,
            task=task,
            entity_types=entity_types,
            associations=tuple(mapping.association for mapping in links),
        ),
        concerned=tuple(dict.fromkeys([*entity_types, *sorted(ends)])),
        run=run,
        ordinal=ordinal,
    )


def discard_changes_of(configuration: Configuration, tx: Writing, task: SynchronizeTask, scope: Scope) -> list[str]:
    """Discards all changes of the connector that a task synchronizes, also earlier ones.

    Returns messages about it.
    """
    order = discard_order(configuration, task.connector, task=task.identifier, run=scope.run, ordinal=scope.ordinal)
    seen = tx.flagged_to()
    discarded = discard_changes(tx, order)
    if discarded is None:
        return []
    unread = ", before a flag task saw them: the next one flags every resource" if discarded.last > seen else ""
    missed = [f"consumer {place.name}" for place in tx.consumers() if place.position < discarded.last]
    told = f"; {', '.join(missed)} had not read all of them, and will be told" if missed else ""
    return [
        f"discarded {how_many(discarded.count, 'change')} of {task.connector} up to position {discarded.last} "
        f"(DoNotDeleteChanges is false){unread}{told}"
    ]


def discard_changes(
    tx: Writing, order: DiscardOrder, *, up_to: Position | None = None, at_most: int | None = None
) -> Discarded | None:
    """Discards all changes of a connector, or the oldest (see `Writing.discard`).

    If no flag task has seen some of the changes, the next one flags every resource of these types: flags may be too
    many, never too few.
    """
    return RunLog(tx, order.run).discard(
        order.ordinal, order.subjects, order.concerned, seen=tx.flagged_to(), up_to=up_to, at_most=at_most
    )
