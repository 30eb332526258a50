"""What sinks refused for good: shown, sent again, or dropped with a reason."""

from __future__ import annotations

from collections.abc import Sequence

from attrs import field, frozen

from deltamark.application.ports.commands import Writing
from deltamark.application.ports.sinks import Refusal, SinkGone
from deltamark.application.services import Services
from deltamark.application.sinks.deliver import (
    delivering,
    explained,
    opened_sink,
    recorded,
    refuse_taken_over,
    sink_named,
)
from deltamark.application.sinks.sink_changes import SinkChanges
from deltamark.domain.errors import SinkStopped, UsageError
from deltamark.domain.fields import as_tuple
from deltamark.domain.history.changes import Position
from deltamark.domain.sinks.batch import Batch
from deltamark.domain.sinks.dead_letters import DeadLetter, LetterState
from deltamark.domain.values import shown


@frozen(kw_only=True)
class Retried:
    """What was sent again.

    :param delivered: what the sink took now.
    :param refused: what it refused again.
    :param released: with what the sink had said that it takes no more: its next delivery begins there.
    :param gone: what the log no longer has; it stays on record until it is dropped.
    """

    delivered: tuple[DeadLetter, ...] = field(converter=as_tuple, default=())
    refused: tuple[DeadLetter, ...] = field(converter=as_tuple, default=())
    released: tuple[DeadLetter, ...] = field(converter=as_tuple, default=())
    gone: tuple[DeadLetter, ...] = field(converter=as_tuple, default=())


def dead_letters(services: Services, sink: str | None, *, decided: bool) -> list[DeadLetter]:
    """What sinks refused, by sink and position.

    :param decided: also what was delivered or dropped since.
    """
    with services.store.reading() as reading:
        return [letter for letter in reading.dead_letters(sink) if decided or letter.is_open]


def retry(services: Services, name: str) -> Retried:
    """Sends what a sink refused once more, in order, each by itself.

    Of a sink that takes no more changes, the one that it said so of is not sent here: its next delivery sends it.

    :raises SinkError: if the sink does not take it; what it took before counts.
    :raises UsageError: for a name that is no sink.
    """
    connection = sink_named(services, name)
    delivered: list[DeadLetter] = []
    refused: list[DeadLetter] = []
    released: list[DeadLetter] = []
    gone: list[DeadLetter] = []
    with delivering(services, name) as lease, opened_sink(services, connection) as sink:
        for letter in dead_letters(services, name, decided=False):
            if letter.state is LetterState.STOPPING:
                released.append(_decided(services, letter, LetterState.RELEASED))
                continue
            with services.store.reading() as reading:
                refuse_taken_over(reading, lease, name)
                change = SinkChanges(reading, services.configuration, connection).change(letter.position, letter.part)
            if change is None:
                gone.append(letter)
                continue
            batch = Batch(after=letter.position - 1, until=letter.position, changes=[change], again=True)
            state, refusals = LetterState.OPEN, []
            with explained(services, connection):
                try:
                    refusals = [refusal for step in sink.send(batch) for refusal in step.refused]
                except SinkGone as e:
                    state, refusals = LetterState.STOPPING, [Refusal(change=e.change, problem=e.problem)]
            if not refusals:
                delivered.append(_decided(services, letter, LetterState.DELIVERED))
                continue
            with services.store.transaction() as tx:
                again = recorded(tx, name, refusals[0], state)
            if state is LetterState.STOPPING:
                raise SinkStopped(name, again.problem, again.position)
            refused.append(again)
    return Retried(delivered=delivered, refused=refused, released=released, gone=gone)


def drop(services: Services, name: str, positions: Sequence[Position], *, reason: str) -> list[DeadLetter]:
    """Gives up what a sink refused, on record.

    A dropped change is not sent any more. Where the sink had said with it that it takes no more, deliveries begin again
    with that change.

    :param positions: of the changes; none: all of the sink.
    :raises UsageError: for a position that is not among them; nothing was dropped.
    """
    with services.store.transaction() as tx:
        letters = [letter for letter in tx.dead_letters(name) if letter.is_open]
        unknown = set(positions) - {letter.position for letter in letters}
        if unknown:
            raise UsageError(
                f"sink {shown(name)} has refused nothing at position {min(unknown)} that is still to be decided. "
                "Nothing was dropped."
            )
        chosen = [letter for letter in letters if not positions or letter.position in positions]
        return [_put(tx, letter, LetterState.DROPPED, _who(services), reason) for letter in chosen]


def _decided(services: Services, letter: DeadLetter, state: LetterState, reason: str = "") -> DeadLetter:
    with services.store.transaction() as tx:
        return _put(tx, letter, state, _who(services), reason)


def _put(tx: Writing, letter: DeadLetter, state: LetterState, by: str, reason: str) -> DeadLetter:
    decided = letter.decided(state, tx.now(), by, reason)
    tx.put_dead_letter(decided)
    return decided


def _who(services: Services) -> str:
    operator = services.operator
    return operator.user if operator.by is None else f"{operator.by} ({operator.user})"
