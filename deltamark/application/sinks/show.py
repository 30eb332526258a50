"""How far the sinks of a configuration are."""

from __future__ import annotations

from attrs import frozen

from deltamark.application.history.consumers import consumer_statuses
from deltamark.application.services import Services
from deltamark.domain.history.changes import Position
from deltamark.domain.sinks.dead_letters import LetterState


@frozen(kw_only=True)
class SinkStatus:
    """A sink, and what it has still to get.

    :param sink: the connection.
    :param package: what kind of sink it is.
    :param position: it has every change up to there, but for those that it refused; 0 before its first delivery.
    :param behind: how many changes of the log lie beyond.
    :param refused: how many changes it refused for good, of which nothing was decided yet.
    :param is_stopped: whether it said that it takes no more.
    """

    sink: str
    package: str
    position: Position
    behind: int
    refused: int
    is_stopped: bool


def sink_statuses(services: Services) -> list[SinkStatus]:
    """The sinks of the configuration, in document order."""
    with services.store.reading() as reading:
        known = {status.name: status for status in consumer_statuses(reading)}
        is_new = any(sink.identifier not in known for sink in services.configuration.sinks)
        beginning = reading.changes_beyond(0)[0] if is_new else 0  # counts the whole log
        letters = [letter for letter in reading.dead_letters() if letter.is_open]
    statuses = []
    for sink in services.configuration.sinks:
        status = known.get(sink.identifier)
        own = [letter for letter in letters if letter.sink == sink.identifier]
        statuses.append(
            SinkStatus(
                sink=sink.identifier,
                package=sink.package or "",
                position=0 if status is None else status.position,
                behind=beginning if status is None else status.behind,
                refused=len(own),
                is_stopped=any(letter.state is LetterState.STOPPING for letter in own),
            )
        )
    return statuses
