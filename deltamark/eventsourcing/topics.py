"""The topics of the log: by which a reader chooses events, and which of them stand for events that are gone."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from deltamark.domain.errors import UsageError
from deltamark.domain.suggestions import hint
from deltamark.domain.values import shown
from deltamark.infrastructure.store.events import mapper
from deltamark.infrastructure.store.events.mapper import (
    CHANGE_TOPICS,
    LINK_SNAPSHOT,
    LINK_TOPICS,
    RESOURCE_SNAPSHOT,
    RESOURCE_TOPICS,
)
from deltamark.infrastructure.store.events.run_events import RESOURCE_ERASED

_STANDS_FOR = ((RESOURCE_TOPICS, RESOURCE_SNAPSHOT), (LINK_TOPICS, LINK_SNAPSHOT))
"""Topics of changes, and that of the snapshot which stands for those that were discarded."""


def topics_of(*events: type[object]) -> tuple[str, ...]:
    """The topics of some classes of events and of their subclasses, for `Projection.topics` and subscriptions.

    With changes come what stands for those that are gone: the snapshots for discarded ones, `ResourceErased` for
    erased ones.

    :raises UsageError: for a class of which the log has no events.
    """
    for event in events:
        if not (isinstance(event, type) and mapper.topics_of([event])):
            raise UsageError(f"{event!r} is no class of events of the log. Take one that deltamark.eventsourcing has.")
    topics = dict.fromkeys(mapper.topics_of(events))
    for changes, snapshot in _STANDS_FOR:
        if not topics.keys().isdisjoint(changes):
            topics |= dict.fromkeys((snapshot, RESOURCE_ERASED))
    return tuple(topics)


def check_topics(topics: Sequence[str], known: Collection[str]) -> None:
    """Refuses topics by which a reader would miss events without knowing.

    :param known: all that the log may have.
    :raises UsageError: for a topic that is not known, and for changes without the records of erasures, which empty
        changes.
    """
    for topic in topics:
        if topic not in known:
            raise UsageError(
                f"{shown(topic)} is no topic of the log{hint(topic, known)}. Take what "
                "deltamark.eventsourcing.topics_of gives for the classes of events."
            )
    if topics and concerns_changes(topics) and RESOURCE_ERASED not in topics:
        raise UsageError(
            f"the topics {', '.join(topics)} leave out {RESOURCE_ERASED}, the erasures of resources: a view would keep "
            "what was erased, because an erasure empties changes. Take what deltamark.eventsourcing.topics_of gives "
            "for the classes of events, and handle ResourceErased."
        )


def concerns_changes(topics: Sequence[str]) -> bool:
    """Whether changes are among the events of some topics; only changes are ever discarded."""
    return not topics or not set(CHANGE_TOPICS).isdisjoint(topics)


def includes_snapshots(topics: Sequence[str]) -> bool:
    """Whether topics that include changes include the snapshots which stand for those that were discarded."""
    return not topics or all(
        snapshot in topics for changes, snapshot in _STANDS_FOR if not set(changes).isdisjoint(topics)
    )
