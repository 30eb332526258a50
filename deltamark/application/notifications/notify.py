"""Notifies people: what happened is put on record for each channel, and sent from there at least once.

The place of a channel in the log moves in the transaction that puts on record what the channel is to be told of. A
process that ends after sending and before that is on record sends the same notification again, with the same id.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress

from attrs import evolve, frozen

from deltamark.application.ports.commands import Writing
from deltamark.application.ports.notifications import Channel, ChannelConnection, NotSent
from deltamark.application.ports.queries import Reading
from deltamark.application.ports.sources import Probe, SourceUnreachable
from deltamark.application.runs.named_lease import NamedLease, channel_lease
from deltamark.application.scheduling.health import overdue_jobs
from deltamark.application.services import Services
from deltamark.domain.errors import UsageError
from deltamark.domain.history.changes import Position
from deltamark.domain.notifications.notification import Notification, end_of_run, schedule_not_kept
from deltamark.domain.notifications.record import KEPT, ChannelPlace, Delivery, NotificationRecord
from deltamark.domain.runs.fold import fold_run
from deltamark.domain.runs.run import RunEnded, RunStarted
from deltamark.domain.secrets import Secret, masked, redacted
from deltamark.domain.suggestions import hint
from deltamark.domain.values import shown


@frozen(kw_only=True)
class Notified:
    """What was sent by a channel.

    :param sent: how many notifications it took.
    :param waiting: how many are tried again later.
    :param failed: how many failed for good this time.
    :param problem: why the last one was not sent; empty where all were.
    :param is_busy: whether another process sends by this channel: nothing was done.
    """

    channel: str
    sent: int = 0
    waiting: int = 0
    failed: int = 0
    problem: str = ""
    is_busy: bool = False


def register_channels(services: Services) -> None:
    """Gives each new channel its place, at the present end of the log: it is told of what happens from now on."""
    with services.store.reading() as reading:
        known = {place.name for place in reading.channel_places()}
    if not set(services.channels) <= known:
        with services.store.transaction() as tx:
            _register(services, tx)


def _register(services: Services, tx: Writing) -> None:
    known = {place.name for place in tx.channel_places()}
    for name in services.channels:
        if name not in known:
            tx.put_channel_place(ChannelPlace(name=name, position=tx.head(), since=tx.now()))


def notify(services: Services) -> list[Notified]:
    """Sends what each channel is to be told of, one channel after another."""
    if not services.channels:
        return []
    _put_on_record(services)
    return [_sent_by(services, connection) for connection in services.channels.values()]


def notifications(services: Services, *, sent: bool = False) -> list[NotificationRecord]:
    """What channels were told of or are to be told of, oldest first.

    :param sent: also what was sent.
    """
    with services.store.reading() as reading:
        records = reading.notifications()
    chosen = [record for record in records if sent or record.delivery is not Delivery.SENT]
    return sorted(chosen, key=lambda record: (record.noted_at, record.channel, record.notification.id))


def retry_notifications(services: Services, channel: str | None = None) -> int:
    """Makes what failed for good due again, and returns how many notifications these are.

    :param channel: only of this one.
    :raises UsageError: for a channel that there is not.
    """
    if channel is not None:
        channel_named(services, channel)
    with services.store.transaction() as tx:
        failed = [
            record
            for record in tx.notifications(channel)
            if record.delivery is Delivery.FAILED and record.channel in services.channels
        ]
        for record in failed:
            tx.put_notification(record.again())
    return len(failed)


def channel_named(services: Services, name: str) -> ChannelConnection:
    """The channel of a name.

    :raises UsageError: if there is none.
    """
    if name not in services.channels:
        raise UsageError(f"there is no channel {shown(name)}{hint(name, services.channels)}")
    return services.channels[name]


def probe_channel(services: Services, connection: ChannelConnection) -> Probe:
    """Whether a channel can be used; nothing is sent by it."""
    try:
        return services.make_channel(connection).probe()
    except (NotSent, SourceUnreachable) as e:
        return Probe(problems=[_shown(connection, e.problem)])


def _put_on_record(services: Services) -> None:
    """Reads the log for every channel, and puts on record what each is to be told of. Writes only if there is any."""
    with services.store.reading() as reading:
        places = {place.name: place for place in reading.channel_places() if place.name in services.channels}
        is_complete = len(places) == len(services.channels)
        first = min((place.position for place in places.values()), default=0)
        if is_complete and first >= reading.head() and not overdue_jobs(services, reading):
            return
    with services.store.transaction() as tx:
        _register(services, tx)
        places = {place.name: place for place in tx.channel_places() if place.name in services.channels}
        happened = list(_happened(services, tx, min(place.position for place in places.values())))
        for name, place in places.items():
            known = {record.notification.id for record in tx.notifications(name)}
            for position, notification in happened:
                is_new = position is None or position > place.position
                if is_new and notification.kind in services.channels[name].on and notification.id not in known:
                    known.add(notification.id)
                    record = NotificationRecord(channel=name, notification=notification, noted_at=tx.now())
                    tx.put_notification(record)
            if place.position < tx.head():
                tx.put_channel_place(evolve(place, position=tx.head()))
        tx.drop_notifications(tx.now() - KEPT)


def _happened(services: Services, reading: Reading, after: Position) -> Iterator[tuple[Position | None, Notification]]:
    """What people are told of that happened beyond a position, and the schedules that are not kept now."""
    store = reading.epoch()
    for position, event in reading.run_ends(after):
        if isinstance(event, RunStarted):
            if event.late and event.due_at is not None:
                yield position, schedule_not_kept(event.job, event.due_at, event.at, store, event.run)
        elif isinstance(event, RunEnded):
            run = fold_run(
                item for item in reading.run_events(event.run) if item.originator_version <= event.originator_version
            )
            if run is not None:
                found = end_of_run(run, event.state, event.originator_version, event.at, store)
                if found is not None:
                    yield position, found
    for job, due_at in overdue_jobs(services, reading):
        yield None, schedule_not_kept(job, due_at, services.clock(), store)


def _sent_by(services: Services, connection: ChannelConnection) -> Notified:
    name, now = connection.name, services.clock()
    with services.store.reading() as reading:
        due = [record for record in reading.notifications(name) if record.is_due(now)]
        waiting = sum(record.delivery is Delivery.DUE for record in reading.notifications(name)) - len(due)
    if not due:
        return Notified(channel=name, waiting=waiting)
    lease = NamedLease(services.store, channel_lease(name), services.lease_s)
    if not lease.take():
        return Notified(channel=name, waiting=waiting + len(due), is_busy=True)
    try:
        return _sent(services, connection, waiting)
    finally:
        lease.release()


def _sent(services: Services, connection: ChannelConnection, waiting: int) -> Notified:
    name, sent, failed, problem = connection.name, 0, 0, ""
    channel: Channel | None = None
    with services.store.reading() as reading:
        records = sorted(reading.notifications(name), key=lambda record: (record.noted_at, record.notification.id))
    for record in records:
        if not record.is_due(services.clock()):
            continue
        try:
            channel = channel or services.make_channel(connection)
            taken = channel.send(record.notification)
        except (NotSent, SourceUnreachable) as e:
            problem, for_good = _shown(connection, e.problem), isinstance(e, NotSent) and e.for_good
            with services.store.transaction() as tx:
                tried = record.not_sent(services.clock(), problem, for_good=for_good)
                tx.put_notification(tried)
            failed += tried.delivery is Delivery.FAILED
            waiting += tried.delivery is Delivery.DUE
            if not for_good:  # the channel itself cannot be used: the others wait for the next time
                waiting += sum(other.is_due(services.clock()) for other in records if _is_after(other, record))
                break
            continue
        with services.store.transaction() as tx:
            missed = _shown(connection, "; ".join(taken.problems))
            tx.put_notification(record.sent(services.clock(), missed))
        problem = missed or problem
        sent += 1
    return Notified(channel=name, sent=sent, waiting=waiting, failed=failed, problem=problem)


def _is_after(other: NotificationRecord, record: NotificationRecord) -> bool:
    return (other.noted_at, other.notification.id) > (record.noted_at, record.notification.id)


def _shown(connection: ChannelConnection, text: str) -> str:
    """A text without the secrets of a channel."""
    secrets: list[Secret] = []
    for read in connection.settings.secrets.values():
        with suppress(SourceUnreachable):
            secrets.append(read())
    return masked(redacted(text, secrets))
