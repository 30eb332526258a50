"""Reads connections into deliveries, for the synchronization that follows."""

from __future__ import annotations

import base64
from collections.abc import Callable

from attrs import frozen

from deltamark.application.ports.commands import Writing
from deltamark.application.ports.deliveries import Deliveries, Delivery, Draft
from deltamark.application.ports.sources import (
    ConnectionSettings,
    PlaceLost,
    Probe,
    Question,
    Reached,
    Source,
    SourcePlace,
    SourceUnreachable,
    WantedTable,
)
from deltamark.application.services import Apply, Scope, Services, TaskResult
from deltamark.domain.configuration.configuration import Configuration
from deltamark.domain.configuration.entity_model import Connection
from deltamark.domain.configuration.jobs import ExportTask
from deltamark.domain.errors import SourceError, UsageError
from deltamark.domain.location import Location
from deltamark.domain.messages import how_many
from deltamark.domain.runs.run import Counts
from deltamark.domain.secrets import Secret, masked, redacted
from deltamark.domain.sources.places import DeliveryKind, PlaceMoved
from deltamark.domain.suggestions import hint
from deltamark.domain.synchronization.direct_input import tables_of_connectors
from deltamark.domain.values import shown


@frozen(kw_only=True)
class _Reading:
    """What a task read of one connection."""

    delivery: Delivery
    messages: tuple[str, ...]
    warned: bool


def export(services: Services, task: ExportTask, *, run: int, ordinal: int) -> Apply:
    """Reads each connection of a task into a delivery, before the transaction.

    What changed since the place of the store is read, or everything: where no place is kept, where another question is
    asked than that of the place, where the task says so, and where the source cannot go on from the place. Nothing in
    the store changes.

    :raises SourceError: for the first connection that cannot be read as a whole: of that one nothing is delivered.
    """
    readings = [
        _read(services, connection, everything=task.ignore_cookie_file, run=run, ordinal=ordinal)
        for connection in services.configuration.connections_read_by(task)
    ]

    def apply(tx: Writing, scope: Scope) -> TaskResult:
        rows = sum(reading.delivery.rows for reading in readings)
        return TaskResult(
            counts=Counts(read=rows),
            effect=rows > 0 or any(reading.delivery.kind is DeliveryKind.SNAPSHOT for reading in readings),
            messages=[message for reading in readings for message in reading.messages],
            warned=any(reading.warned for reading in readings),
        )

    return apply


def deliveries_of(services: Services, connector: str) -> tuple[Delivery, ...]:
    """The newest delivery of each connection of a connector, without those of which a program gives a table itself.

    :raises SourceError: if one of them has delivered nothing, or has delivered it for another question.
    """
    connections = [
        connection
        for connection in services.configuration.connections_of(connector)
        if not any(table.identifier in services.direct_input for table in connection.tables)
    ]
    if not connections:
        return ()
    with services.store.reading() as view:
        epoch = view.epoch()
    return tuple(_newest(services, epoch, connection) for connection in connections)


def _newest(services: Services, epoch: str, connection: Connection) -> Delivery:
    name = connection.identifier
    delivery = kept_deliveries(services).newest(epoch, name)
    advice = "Run the ExportTask of this connection before its synchronization."
    if delivery is None:
        raise SourceError(Location(name), "the connection has delivered nothing", advice=advice)
    if delivery.scope != question(services, connection).scope:
        problem = f"the {delivery.name}, was made before its tables, mappings or settings were changed"
        raise SourceError(Location(name), problem, advice=advice)
    return delivery


def kept_deliveries(services: Services) -> Deliveries:
    """What keeps deliveries."""
    assert services.deliveries is not None, "an engine keeps deliveries"
    return services.deliveries


def probe(services: Services, name: str) -> Probe:
    """Asks the source of a connection whether it can be read, without reading rows.

    :raises UsageError: if there is no such connection, or if it has no tables to read.
    """
    connections = {item.identifier: item for item in services.configuration.sources}
    connection = connections.get(name)
    if connection is None:
        raise UsageError(f"there is no connection {shown(name)} with tables to read{hint(name, connections)}.")
    ask = question(services, connection)
    try:
        answer = _source(services, connection).probe(ask)
    except SourceUnreachable as e:
        return Probe(problems=[" ".join(filter(None, (f"{_redacted(e.problem, ask)}.", _redacted(e.advice, ask))))])
    return Probe(
        server=_redacted(answer.server, ask),
        findings=[_redacted(text, ask) for text in answer.findings],
        problems=[_redacted(text, ask) for text in answer.problems],
    )


def question(services: Services, connection: Connection) -> Question:
    """What is asked of the source of a connection: its tables, with the columns that mappings name."""
    settings = services.connections.get(connection.identifier, ConnectionSettings())
    assert connection.package is not None, "a checked configuration names the package of what it reads"
    columns = tables_of_connectors(services.configuration, [connection.connector], services.evaluator.transformed)
    return Question(
        connection=connection.identifier,
        package=connection.package,
        settings=settings.values,
        secrets=settings.secrets,
        tables=[
            WantedTable(
                name=table.identifier,
                columns=columns[table.identifier],
                transformations=_transformations(services.configuration, connection.connector, table.identifier),
                options=table.options,
                key=_key(services, connection.connector, table.identifier),
            )
            for table in connection.tables
        ],
    )


def _key(services: Services, connector: str, table: str) -> str | None:
    """The column that tells the resources of a table apart, also where a transformation takes the key from it."""
    configuration = services.configuration
    resources, _ = configuration.mappings_of_connector(connector)
    for mapping in resources:
        if configuration.table_read(mapping) == table:
            key = mapping.primary_key.connection_column
            declared = configuration.transformation(connector, mapping.connection_table)
            if declared is None:
                return key
            column = services.evaluator.transformed(declared).column(key)
            if column is not None and column.source is not None:
                return column.source
    return None


def _transformations(configuration: Configuration, connector: str, table: str) -> tuple[str, ...]:
    """The queries that make other tables of one, which are part of the question."""
    made = (item for item in configuration.transformations if (item.connector, item.table) == (connector, table))
    return tuple(sorted(f"{item.identifier}: {item.query}" for item in made))


def _read(services: Services, connection: Connection, *, everything: bool, run: int, ordinal: int) -> _Reading:
    ask = question(services, connection)
    with services.store.reading() as view:
        epoch = view.epoch()
        moved = view.source_place(connection.identifier)
    since, reason = _start(None if moved is None else moved[1], ask, everything=everything)
    source = _source(services, connection)
    lost: str | None = None
    with kept_deliveries(services).draft(epoch, connection.identifier, ask.tables, run=run, task=ordinal) as draft:
        reached: Reached | None = None
        if since is not None:
            try:
                reached = _asked(ask, lambda: source.changes(ask, since, draft))
            except PlaceLost as e:
                lost = _redacted(e.reason, ask)
                draft.restart()
        if reached is not None and moved is not None:
            delivery = draft.finish(DeliveryKind.DELTA, moved[1].digest, ask.scope, reached)
        else:
            reached = _snapshot(source, ask, draft)
            delivery = draft.finish(DeliveryKind.SNAPSHOT, None, ask.scope, reached)
    what = "everything was read" if delivery.kind is DeliveryKind.SNAPSHOT else "what changed was read"
    why = f" because {lost}" if lost is not None else reason if delivery.kind is DeliveryKind.SNAPSHOT else ""
    messages = [f"{connection.identifier}: {what} ({how_many(delivery.rows, 'row')}){why}"]
    messages += [f"{connection.identifier}: {_redacted(message, ask)}" for message in reached.messages]
    if delivery.incomplete is not None:
        messages.append(f"{connection.identifier}: {delivery.incomplete}")
    return _Reading(delivery=delivery, messages=tuple(messages), warned=lost is not None or reached.warned)


def _snapshot(source: Source, ask: Question, draft: Draft) -> Reached:
    return _asked(ask, lambda: source.snapshot(ask, draft))


def _start(moved: PlaceMoved | None, ask: Question, *, everything: bool) -> tuple[SourcePlace | None, str]:
    """The place to go on from; None and why where everything is read."""
    if moved is None:
        return None, ""
    if everything:
        return None, " because the task says so (IgnoreCookieFile)"
    if moved.scope != ask.scope:
        return None, " because its tables, mappings or settings were changed since the last time"
    return SourcePlace(cookie=base64.b64decode(moved.cookie), guard=dict(moved.guard), scope=moved.scope), ""


def _source(services: Services, connection: Connection) -> Source:
    assert connection.package is not None, "a checked configuration names the package of what it reads"
    return services.sources[connection.package]


def _asked(ask: Question, call: Callable[[], Reached]) -> Reached:
    """What a source answers; its errors without secrets, and without their causes, which may show them.

    :raises SourceError: if it cannot be read as a whole.
    """
    try:
        return call()
    except SourceUnreachable as e:
        advice = _redacted(e.advice, ask) or "See whether the source can be reached, and run the job again."
        failed = SourceError(Location(ask.connection), _redacted(e.problem, ask), advice=advice)
    raise failed


def _redacted(text: str, ask: Question) -> str:
    return masked(redacted(text, _secrets(ask)))


def _secrets(ask: Question) -> tuple[Secret, ...]:
    secrets = []
    for name in ask.secrets:
        try:
            secret = ask.secret(name)
        except SourceUnreachable:
            continue
        if secret is not None:
            secrets.append(secret)
    return tuple(secrets)
