"""How far the source of each connection was applied: moves the place with what is applied, or forgets it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime

from attrs import evolve

from deltamark.application.ports.commands import Writing
from deltamark.application.ports.deliveries import Delivery
from deltamark.application.ports.queries import Reading
from deltamark.application.ports.store import Store
from deltamark.application.runs.run_log import RunLog, TaskEnd
from deltamark.application.services import Services, TaskResult
from deltamark.domain.configuration.jobs import TaskState
from deltamark.domain.errors import SourceError, UsageError
from deltamark.domain.history.changes import Position
from deltamark.domain.location import Location
from deltamark.domain.messages import FORGET_PLACE
from deltamark.domain.resources.events import Origin
from deltamark.domain.runs.run import PlannedTask
from deltamark.domain.sources.places import RENEWED_AFTER, KeptPlace, PlaceForgotten, PlaceMoved, PlaceReached
from deltamark.domain.suggestions import hint
from deltamark.domain.values import shown

_ORDINAL = 1


def not_applied(reading: Reading, deliveries: Iterable[Delivery]) -> tuple[Delivery, ...]:
    """The deliveries that were not applied yet.

    :raises SourceError: for a delta that does not go on from the place of its source.
    """
    return tuple(delivery for delivery in deliveries if not _is_applied(reading, delivery))


def _is_applied(reading: Reading, delivery: Delivery) -> bool:
    moved = reading.source_place(delivery.connection)
    now = None if moved is None else moved[1].digest
    if moved is not None and moved[1].made == delivery.made:
        return True
    if delivery.since is not None and delivery.since != now:
        raise _not_following(delivery.connection, f"the {delivery.name}", moved)
    return False


def move_places(tx: Writing, places: Iterable[PlaceReached], origin: Origin) -> None:
    """Moves the places of sources, in the transaction that applies what they delivered.

    :raises SourceError: for a delta that does not go on from the place of its source.
    """
    for place in places:
        moved = tx.source_place(place.connection)
        now = None if moved is None else moved[1].digest
        if place.since is not None and place.since != now:
            raise _not_following(place.connection, f"what was delivered of {place.connection}", moved)
        is_old = moved is not None and tx.now() - moved[1].at >= RENEWED_AFTER
        if place.digest != now or place.since is None or is_old:
            tx.append_place(_Move(place, origin).event)


class _Move:
    """A delivery is applied."""

    def __init__(self, place: PlaceReached, origin: Origin) -> None:
        self._place = place
        self._origin = origin

    def event(self, stream: str, version: int, at: datetime, newest: Mapping[str, int]) -> PlaceMoved:
        """The event of it."""
        place = self._place
        return PlaceMoved(
            originator_id=stream,
            originator_version=version,
            at=at,
            connection=place.connection,
            cookie=place.cookie,
            guard=place.guard,
            scope=place.scope,
            delivery=place.delivery,
            rows=place.rows,
            made=place.made,
            run=self._origin.run,
            task=self._origin.task,
            newest=newest,
        )


def _not_following(connection: str, what: str, moved: tuple[Position, PlaceMoved] | None) -> SourceError:
    place = "no place is kept" if moved is None else f"the place is that of run {moved[1].run}, position {moved[0]}"
    return SourceError(
        Location(connection),
        f"{what} holds the changes since another place than that of the store, where {place}",
        advice="Run the job with the ExportTask again, which reads what changed since the place of the store.",
    )


def kept_places(store: Store) -> list[KeptPlace]:
    """How far the source of each connection was applied, by connection."""
    with store.reading() as reading:
        return [_kept(position, event) for position, event in reading.source_places()]


def _kept(position: Position, event: PlaceMoved) -> KeptPlace:
    return KeptPlace(
        connection=event.connection,
        position=position,
        since=event.at,
        run=event.run,
        delivery=event.delivery,
        rows=event.rows,
        guard=event.guard,
    )


def forget_place(services: Services, connection: str) -> KeptPlace:
    """Gives the place of a connection up, in a run of its own: the next delivery is everything.

    Returns the place that was forgotten.

    :raises UsageError: if no place of it is kept.
    """
    with services.store.transaction() as tx:
        moved = tx.source_place(connection)
        if moved is None:
            known = [event.connection for _, event in tx.source_places()]
            raise UsageError(
                f"no place of a connection {shown(connection)} is kept{hint(connection, known)}. Nothing was changed."
            )
        planned = [PlannedTask(ordinal=_ORDINAL, identifier=FORGET_PLACE, kind="ForgetPlace")]
        log = RunLog.start(tx, services, FORGET_PLACE, planned)
        log.task_started(_ORDINAL)
        by, reason = services.operator.by or services.operator.user, services.operator.reason or ""

        def event(stream: str, version: int, at: datetime, newest: Mapping[str, int]) -> PlaceForgotten:
            return PlaceForgotten(
                originator_id=stream,
                originator_version=version,
                at=at,
                connection=connection,
                run=log.run,
                by=by,
                reason=reason,
                newest=newest,
            )

        tx.append_place(event)
        messages = [f"forgot the place of {connection}: the next export of it reads everything"]
        log.task_ended(_ORDINAL, TaskEnd(TaskResult(effect=True, messages=messages), TaskState.COMPLETED))
        log.run_ended(TaskState.COMPLETED)
    return _kept(*moved)


def places_of(deliveries: Sequence[Delivery], rows_read: Mapping[str, int]) -> tuple[PlaceReached, ...]:
    """The places that are reached once these deliveries are applied.

    :param rows_read: connection table -> its rows as they were read: a delivery does not know those of copied files.
    """
    return tuple(
        evolve(delivery.place, rows=_rows(delivery, rows_read)) for delivery in deliveries if delivery.place is not None
    )


def _rows(delivery: Delivery, rows_read: Mapping[str, int]) -> int:
    if not delivery.copied:
        return delivery.rows
    return sum(rows_read.get(name, table.rows) for name, table in delivery.tables.items())
