"""Delivers changes to sinks: at least once, in order, each with the same id whenever it is sent.

A sink is a consumer of the log under the name of its connection. Its place moves only after it confirmed, in the
transaction that also records what it refused. A process that ends in between sends the same changes again.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress

from attrs import evolve, field, frozen

from deltamark.application.history.consumers import registered_place
from deltamark.application.ports.commands import Writing
from deltamark.application.ports.queries import Reading
from deltamark.application.ports.sinks import (
    Confirmed,
    Refusal,
    Sink,
    SinkConnection,
    SinkGone,
    SinkUnavailable,
)
from deltamark.application.ports.sources import ConnectionSettings, Probe, SourceUnreachable
from deltamark.application.runs.named_lease import NamedLease, sink_lease
from deltamark.application.services import Apply, Scope, Services, TaskResult
from deltamark.application.sinks.sink_changes import SinkChanges, columns_of
from deltamark.domain.configuration.entity_model import Connection
from deltamark.domain.configuration.jobs import DeliverTask
from deltamark.domain.errors import SinkError, SinkStopped, UsageError
from deltamark.domain.fields import as_tuple
from deltamark.domain.history.changes import Position
from deltamark.domain.history.consumer import ConsumerPlace
from deltamark.domain.messages import how_many
from deltamark.domain.runs.run import Counts
from deltamark.domain.secrets import Secret, masked, redacted
from deltamark.domain.sinks.batch import Batch, Gap
from deltamark.domain.sinks.dead_letters import DeadLetter, LetterState
from deltamark.domain.suggestions import hint
from deltamark.domain.values import shown

MOST_REFUSED = 100
"""So many changes that a sink refuses in one delivery end it: more likely the sink or its settings are wrong."""


@frozen(kw_only=True)
class Delivered:
    """What a delivery to a sink did, or, in a dry run, would do.

    :param sent: how many changes and gaps the sink took.
    :param refused: what it refused for good.
    :param gaps: what was missing in the log.
    :param position: the place of the sink now.
    """

    sink: str
    sent: int = 0
    refused: tuple[DeadLetter, ...] = field(converter=as_tuple, default=())
    gaps: tuple[Gap, ...] = field(converter=as_tuple, default=())
    position: Position
    is_dry_run: bool = False

    @property
    def message(self) -> str:
        """What was done, in words."""
        done = "would be delivered" if self.is_dry_run else "delivered"
        words = f"{self.sink}: {how_many(self.sent, 'change')} {done}, up to position {self.position}"
        if self.refused:
            verb = "was" if len(self.refused) == 1 else "were"
            words += f"; {how_many(len(self.refused), 'change')} {verb} refused for good"
        if self.gaps:
            words += f"; {how_many(len(self.gaps), 'gap')}, of changes that were discarded or erased before"
        return words


def deliver_task(services: Services, task: DeliverTask, *, dry_run: bool) -> Apply:
    """Delivers what lies beyond the place of the sink, before the transaction of the task.

    :raises SinkError: if the sink does not take it; what it confirmed before counts.
    """
    delivered = deliver(services, task.connection, dry_run=dry_run)

    def apply(tx: Writing, scope: Scope) -> TaskResult:
        return TaskResult(
            counts=Counts(read=delivered.sent),
            effect=delivered.sent > 0,
            messages=[delivered.message],
            warned=bool(delivered.refused or delivered.gaps),
        )

    return apply


def chosen_sinks(services: Services, names: Sequence[str]) -> list[str]:
    """The sinks of those names, or all of the configuration.

    :raises UsageError: for a name that is none.
    """
    return [sink_named(services, name).identifier for name in names] or [
        sink.identifier for sink in services.configuration.sinks
    ]


def sink_named(services: Services, name: str) -> Connection:
    """The connection of that name that changes are delivered to.

    :raises UsageError: if there is none.
    """
    sinks = {sink.identifier: sink for sink in services.configuration.sinks}
    if name not in sinks:
        raise UsageError(f"there is no connection {shown(name)} that changes are delivered to{hint(name, sinks)}.")
    return sinks[name]


def deliver(services: Services, name: str, *, dry_run: bool = False) -> Delivered:
    """Delivers what lies beyond the place of a sink, up to the present end of the log.

    :param dry_run: only counts what would be delivered; nothing is sent and no place is made or moved.
    :raises SinkError: if the sink does not take it; what it confirmed before counts.
    :raises ConsumerMoved: if its place was moved meanwhile.
    :raises UsageError: for a name that is no sink.
    """
    connection = sink_named(services, name)
    store = services.store
    with store.reading() as reading:
        refuse_stopped(reading, name)
        end = reading.head()
        known = reading.consumer(name)
    if dry_run:
        return _expected(services, connection, 0 if known is None else known.position, end)
    with delivering(services, name) as lease, opened_sink(services, connection) as sink:
        with store.reading() as reading:
            known = reading.consumer(name)
        place = known or registered_place(store, name, 0)
        done = Delivered(sink=name, position=place.position)
        while place.position < end:
            with store.reading() as reading:
                refuse_taken_over(reading, lease, name)
                place.refuse_if_moved(reading.consumer(name))
                batch = SinkChanges(reading, services.configuration, connection).batch(place.position, end)
            for confirmed in _confirmed(services, connection, sink, batch):
                if confirmed.position > end:
                    raise SinkError(
                        name,
                        f"it has changes up to position {confirmed.position}, but the log ended at {end}",
                        "It was fed from a later state of this store, or from another one. Empty it, and reset the "
                        "place of the sink to 0, or give it another name.",
                    )
                place, done = _note(services, name, place, done, confirmed)
            done = evolve(done, gaps=(*done.gaps, *_gaps(batch, place.position)))
    return done


@contextmanager
def delivering(services: Services, name: str) -> Iterator[NamedLease]:
    """The right to send to a sink, which no other process has during the block.

    :raises SinkError: if another process has it.
    """
    lease = NamedLease(services.store, sink_lease(name), services.lease_s)
    if not lease.take():
        raise SinkError(name, "another process delivers to it now", "Deliver again when that has ended.")
    try:
        yield lease
    finally:
        lease.release()


def refuse_taken_over(reading: Reading, lease: NamedLease, name: str) -> None:
    """Sees that this process may still send.

    :raises SinkError: if it was stopped for so long that another process took over.
    """
    if not lease.is_held(reading):
        raise SinkError(
            name,
            "this process was not heard from for too long, so that another one may deliver to it",
            "Nothing more was sent. Deliver again.",
        )


def _gaps(batch: Batch, until: Position) -> list[Gap]:
    return [change.gap for change in batch.changes if change.gap is not None and change.position <= until]


def _expected(services: Services, connection: Connection, after: Position, end: Position) -> Delivered:
    done = Delivered(sink=connection.identifier, position=after, is_dry_run=True)
    while done.position < end:
        with services.store.reading() as reading:
            batch = SinkChanges(reading, services.configuration, connection).batch(done.position, end)
        gaps = [change.gap for change in batch.changes if change.gap is not None]
        done = evolve(done, sent=done.sent + len(batch.changes), gaps=(*done.gaps, *gaps), position=batch.until)
    return done


def refuse_stopped(reading: Reading, name: str) -> None:
    """Refuses a sink that said that it takes no more changes.

    :raises SinkStopped: if it did, and nothing was decided since.
    """
    for letter in reading.dead_letters(name):
        if letter.state is LetterState.STOPPING:
            raise SinkStopped(name, letter.problem, letter.position)


def _confirmed(services: Services, connection: Connection, sink: Sink, batch: Batch) -> Iterator[Confirmed]:
    """What a sink confirms of a batch; a sink that is gone is recorded, without moving its place."""
    if not batch.changes:
        yield Confirmed(position=batch.until, sent=0)
        return
    with explained(services, connection):
        try:
            yield from sink.send(batch)
        except SinkGone as e:
            gone = Refusal(change=e.change, problem=e.problem)
        else:
            return
    with services.store.transaction() as tx:
        letter = recorded(tx, connection.identifier, gone, LetterState.STOPPING)
    raise SinkStopped(letter.sink, letter.problem, letter.position)


def _note(
    services: Services, name: str, place: ConsumerPlace, done: Delivered, confirmed: Confirmed
) -> tuple[ConsumerPlace, Delivered]:
    """Moves the place of a sink as far as it confirmed, and records what it refused, in one transaction."""
    with services.store.transaction() as tx:
        place.refuse_if_moved(tx.consumer(name))
        letters = [recorded(tx, name, refusal, LetterState.OPEN) for refusal in confirmed.refused]
        moved = place.forwards(confirmed.position, tx.now())
        tx.put_consumer(moved)
    done = evolve(done, sent=done.sent + confirmed.sent, refused=(*done.refused, *letters), position=confirmed.position)
    if len(done.refused) > MOST_REFUSED:
        newest = done.refused[-1]
        raise SinkError(
            name,
            f"it refused {len(done.refused)} changes, the last one because {newest.problem}",
            "They are on record. See whether it expects something else, and deliver them again.",
        )
    return moved, done


def recorded(tx: Writing, sink: str, refusal: Refusal, state: LetterState) -> DeadLetter:
    """Records what a sink refused."""
    change = refusal.change
    known = {(letter.position, letter.part): letter for letter in tx.dead_letters(sink)}
    letter = known.get((change.position, change.part))
    if letter is not None:
        letter = letter.refused_again(refusal.problem, stopping=state is LetterState.STOPPING)
    else:
        letter = DeadLetter(
            sink=sink,
            position=change.position,
            part=change.part,
            state=state,
            refused_at=tx.now(),
            problem=refusal.problem,
        )
    tx.put_dead_letter(letter)
    return letter


def probe_sink(services: Services, name: str) -> Probe:
    """Asks a sink whether changes can be delivered to it; nothing is sent, made or changed.

    :raises UsageError: for a name that is no sink.
    """
    connection = sink_named(services, name)
    try:
        with opened_sink(services, connection) as sink, explained(services, connection):
            answer = sink.probe()
    except SinkError as e:
        return Probe(problems=[f"{e.problem}. {e.advice}".strip()])
    secrets = _secrets(_settings(services, connection))
    return Probe(
        server=masked(redacted(answer.server, secrets)),
        findings=[masked(redacted(text, secrets)) for text in answer.findings],
        problems=[masked(redacted(text, secrets)) for text in answer.problems],
    )


@contextmanager
def opened_sink(services: Services, connection: Connection) -> Iterator[Sink]:
    """The sink of a connection.

    :raises SinkError: if its settings do not allow it.
    """
    assert connection.package is not None, "a checked configuration names the package of a sink"
    columns = columns_of(services.configuration, connection)
    with services.store.reading() as reading:
        store = reading.epoch()
    with explained(services, connection):
        sink = services.sinks[connection.package](
            SinkConnection(
                name=connection.identifier,
                package=connection.package,
                tables=connection.tables,
                columns={table: tuple(names) for table, names in columns.items()},
                types=_types(services, connection, columns),
                settings=_settings(services, connection),
                store=store,
            )
        )
    try:
        yield sink
    finally:
        sink.close()


def _types(services: Services, connection: Connection, columns: dict[str, dict[str, str]]) -> dict[str, dict[str, str]]:
    found: dict[str, dict[str, str]] = {}
    for table in connection.tables:
        subject = services.configuration.entity_type(table.options["Subject"].strip())
        declared = {} if subject is None else {item.identifier: item.type.label for item in subject.properties}
        names = columns[table.identifier]
        found[table.identifier] = {name: declared[item] for name, item in names.items() if item in declared}
    return found


def _settings(services: Services, connection: Connection) -> ConnectionSettings:
    return services.connections.get(connection.identifier, ConnectionSettings())


@contextmanager
def explained(services: Services, connection: Connection) -> Iterator[None]:
    """Turns what a sink says into an error for users, without secrets and without its cause, which may show them.

    :raises SinkError: if it takes nothing.
    """
    try:
        yield
        return
    except (SinkUnavailable, SourceUnreachable) as e:
        secrets = _secrets(_settings(services, connection))
        problem = masked(redacted(e.problem, secrets))
        advice = masked(redacted(e.advice, secrets))
    raise SinkError(connection.identifier, problem, advice or "See whether the sink can be reached, and deliver again.")


def _secrets(settings: ConnectionSettings) -> list[Secret]:
    found: list[Secret] = []
    for read in settings.secrets.values():
        with suppress(SourceUnreachable):
            found.append(read())
    return found
