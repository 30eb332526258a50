"""Reads connections into deliveries, for the synchronization that follows."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Callable, Iterable
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar

from attrs import AttrsInstance, asdict, evolve, field, frozen

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
from deltamark.application.services import Apply, Scope, Services, TaskResult, Wait
from deltamark.domain.configuration.configuration import Configuration
from deltamark.domain.configuration.entity_model import Connection, EntityTypeMapping
from deltamark.domain.configuration.jobs import ExportTask
from deltamark.domain.configuration.packages import package_named
from deltamark.domain.errors import SourceError, UsageError
from deltamark.domain.fields import as_tuple
from deltamark.domain.location import Location
from deltamark.domain.messages import how_many
from deltamark.domain.runs.run import Counts
from deltamark.domain.secrets import Secret, masked, redacted
from deltamark.domain.sources.places import MAX_AGE, RENEWED_AFTER, DeliveryKind, PlaceMoved, age_of
from deltamark.domain.suggestions import hint
from deltamark.domain.synchronization.direct_input import tables_of_connectors
from deltamark.domain.values import PropertyType, shown

if TYPE_CHECKING:
    import pyarrow as pa

_WAITS_S = (1.0, 5.0, 25.0)
"""How long to wait before each further reading of a source that failed, in seconds."""

_T = TypeVar("_T")


@frozen(kw_only=True)
class _Reading:
    """What a task read of one connection."""

    delivery: Delivery
    messages: tuple[str, ...] = field(converter=as_tuple)
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
            effect=rows > 0
            or any(reading.delivery.copied for reading in readings)
            or any(reading.delivery.kind is DeliveryKind.SNAPSHOT for reading in readings),
            messages=[message for reading in readings for message in reading.messages],
            warned=any(reading.warned for reading in readings),
        )

    return apply


def deliveries_of(services: Services, connector: str) -> tuple[Delivery, ...]:
    """The newest delivery of each connection of a connector, without those of which a program gives a table itself.

    :raises SourceError: if one of them has delivered nothing, or has delivered it for another question.
    """
    connections = [item for item in services.configuration.connections_of(connector) if not _is_given(services, item)]
    if not connections:
        return ()
    with services.store.reading() as view:
        epoch = view.epoch()
    return tuple(_newest(services, epoch, connection) for connection in connections)


def _is_given(services: Services, connection: Connection) -> bool:
    """Whether a program gives the tables of a connection itself.

    :raises SourceError: if it gives some of them: the place of the source is that of all.
    """
    tables = [table.identifier for table in connection.tables]
    given = [name for name in tables if name in services.direct_input]
    if given and len(given) < len(tables):
        raise SourceError(
            Location(connection.identifier),
            f"the program gives {', '.join(map(shown, given))}, and the connection delivers {len(tables)} tables "
            "together, whose place moves with all of them",
            advice=f"Give all of them ({', '.join(tables)}), or none.",
        )
    return bool(given)


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
    connection = _with_tables(services, name)
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


def export_source(services: Services, name: str, deliveries: Deliveries) -> tuple[Delivery, tuple[str, ...]]:
    """Reads everything of a connection into a delivery that no store knows, and what a user must know of it.

    :raises UsageError: if there is no such connection, or if it has no tables to read.
    :raises SourceError: if it cannot be read as a whole: then nothing is delivered.
    """
    connection = _with_tables(services, name)
    return delivered_whole(_source(services, connection), question(services, connection), deliveries, services.wait)


def delivered_whole(
    source: Source, ask: Question, deliveries: Deliveries, wait: Wait
) -> tuple[Delivery, tuple[str, ...]]:
    """Reads everything that is asked of a source into a delivery that no store knows, and what a user must know of it.

    :raises SourceError: if it cannot be read as a whole: then nothing is delivered.
    """
    with deliveries.draft("", ask.connection, ask.tables, run=0, task=0) as draft:
        into = _Limited(draft, ask)
        reached, _ = asked(ask, lambda: _tried(lambda: source.snapshot(ask, into), into.restart, wait))
        delivery = draft.finish(DeliveryKind.SNAPSHOT, None, ask.scope, evolve(reached, place=None))
    messages = (*reached.messages, *filter(None, [reached.incomplete]))
    return delivery, tuple(_redacted(message, ask) for message in messages)


def _with_tables(services: Services, name: str) -> Connection:
    """The connection of that name.

    :raises UsageError: if there is none, or if it has no tables to read.
    """
    connections = {item.identifier: item for item in services.configuration.sources}
    connection = connections.get(name)
    if connection is None:
        raise UsageError(f"there is no connection {shown(name)} with tables to read{hint(name, connections)}.")
    return connection


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
                mapped=_mapped(services.configuration, connection, table.identifier),
            )
            for table in connection.tables
        ],
        known=_known(services, connection),
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


def _known(services: Services, connection: Connection) -> dict[str, Callable[[], frozenset[str]]]:
    """Table -> reads the keys of the resources of its entity types, where those are texts of the key column."""
    package = package_named(connection.package)
    key = None if package is None or package.key_column is None else package.key_column.lower()
    resources, _ = services.configuration.mappings_of_connector(connection.connector)
    known: dict[str, Callable[[], frozenset[str]]] = {}
    for table in connection.tables:
        is_made = services.configuration.transformation(connection.connector, table.identifier) is not None
        mappings = [mapping for mapping in resources if mapping.connection_table == table.identifier and not is_made]
        if mappings and all(_is_key(services.configuration, mapping, key) for mapping in mappings):
            known[table.identifier] = partial(_keys, services, [mapping.entity_type for mapping in mappings])
    return known


def _is_key(configuration: Configuration, mapping: EntityTypeMapping, column: str | None) -> bool:
    """Whether keys are the texts of a column as they are."""
    key, entity_type = mapping.primary_key, configuration.entity_type(mapping.entity_type)
    stored = None if entity_type is None else entity_type.property(key.identifier)
    return key.connection_column.lower() == column and stored is not None and stored.type is PropertyType.STRING


def _keys(services: Services, entity_types: list[str]) -> frozenset[str]:
    with services.store.reading() as view:
        return frozenset(
            key for name in entity_types for key in view.identities(name, None, None).column("key").to_pylist()
        )


def _mapped(configuration: Configuration, connection: Connection, table: str) -> str:
    """How the values of a table of files are mapped: another mapping may read what the last one set aside."""
    package = package_named(connection.package)
    if package is None or not package.reads_files:
        return ""
    resources, links = configuration.mappings_of_connector(connection.connector)
    of_resources = [mapping for mapping in resources if configuration.table_read(mapping) == table]
    of_links = [mapping for mapping in links if configuration.table_read(mapping) == table]
    names = {mapping.entity_type for mapping in of_resources}
    types = [entity_type for entity_type in configuration.entity_types if entity_type.identifier in names]
    plain = [_plain(item) for items in (of_resources, of_links, types) for item in items]
    return hashlib.sha256(json.dumps(plain, sort_keys=True, default=str).encode()).hexdigest()


def _plain(item: AttrsInstance) -> dict[str, Any]:
    return asdict(item, filter=lambda member, _: member.name != "location")


def _transformations(configuration: Configuration, connector: str, table: str) -> tuple[str, ...]:
    """The queries that make other tables of one, which are part of the question."""
    made = (item for item in configuration.transformations if (item.connector, item.table) == (connector, table))
    return tuple(sorted(f"{item.identifier}: {item.query}" for item in made))


def _read(services: Services, connection: Connection, *, everything: bool, run: int, ordinal: int) -> _Reading:
    ask = question(services, connection)
    with services.store.reading() as view:
        epoch = view.epoch()
        moved = view.source_place(connection.identifier)
    start = _start(services, None if moved is None else moved[1], ask, everything=everything)
    lost, why = start.lost, start.why
    source = _source(services, connection)
    with kept_deliveries(services).draft(epoch, connection.identifier, ask.tables, run=run, task=ordinal) as draft:
        into = _Limited(draft, ask)

        def read(call: Callable[[], Reached]) -> Reached:
            reached, failures = asked(ask, lambda: _tried(call, into.restart, services.wait))
            problems.extend(_redacted(problem, ask) for problem in failures)
            return reached

        problems: list[str] = []
        reached: Reached | None = None
        since = start.since
        if since is not None:
            try:
                reached = read(lambda: source.changes(ask, since, into))
            except PlaceLost as e:
                lost = _redacted(e.reason, ask)
                into.restart()
        if reached is not None and moved is not None:
            delivery = draft.finish(DeliveryKind.DELTA, moved[1].digest, ask.scope, reached)
        else:
            reached = read(lambda: source.snapshot(ask, into))
            delivery = draft.finish(DeliveryKind.SNAPSHOT, None, ask.scope, reached)
    what = "what changed was read"
    if delivery.kind is DeliveryKind.SNAPSHOT:
        what, why = "everything was read", why if lost is None else f" because {lost}"
    messages = [f"{what} ({_amount(delivery)}){why}"]
    messages += [f"read again from the beginning, for {problem}" for problem in problems]
    messages += [_redacted(message, ask) for message in reached.messages]
    if delivery.incomplete is not None:
        messages.append(_redacted(delivery.incomplete, ask))
    return _Reading(
        delivery=delivery,
        messages=[f"{connection.identifier}: {message}" for message in messages],
        warned=lost is not None or reached.warned or delivery.incomplete is not None,
    )


def _amount(delivery: Delivery) -> str:
    rows, files = how_many(delivery.rows, "row"), how_many(delivery.copied, "file")
    return ", ".join([*([rows] if delivery.rows or not delivery.copied else []), *([files] if delivery.copied else [])])


class _Limited:
    """Hands on the rows of a reading, up to the number that the connection allows for each table (`max_entries`)."""

    def __init__(self, draft: Draft, ask: Question) -> None:
        self._draft = draft
        self._most = ask.settings.get("max_entries")
        self._rows: dict[str, int] = {}

    def write(self, table: str, batch: pa.RecordBatch) -> None:
        """Adds rows to a table.

        :raises SourceUnreachable: if they are too many.
        """
        rows = self._rows.get(table, 0) + batch.num_rows
        if self._most is not None and rows > int(self._most):
            raise SourceUnreachable(
                f"{table} has more than {int(self._most):,} rows",
                "If it is that large, raise max_entries of the connection.",
            )
        self._rows[table] = rows
        self._draft.write(table, batch)

    def keep_keys(self, table: str, keys: pa.Array) -> str:
        """Keeps the keys of a table (see `Tables`)."""
        return self._draft.keep_keys(table, keys)

    def kept_keys(self, table: str, digest: str) -> pa.Array | None:
        """The keys that an earlier reading kept (see `Tables`)."""
        return self._draft.kept_keys(table, digest)

    def restart(self) -> None:
        """Drops what was written."""
        self._rows.clear()
        self._draft.restart()

    def copy(self, table: str, ending: str, blocks: Iterable[bytes]) -> None:
        """Adds a table as the file that it is (see `Tables`); its rows are not counted."""
        self._draft.copy(table, ending, blocks)


@frozen(kw_only=True)
class _Start:
    """Where a reading goes on from.

    :param since: None where everything is read.
    :param why: the reason for that, as it follows what is said of the reading.
    :param lost: the reason, where a user must know it; a clause.
    """

    since: SourcePlace | None = None
    why: str = ""
    lost: str | None = None


def _start(services: Services, moved: PlaceMoved | None, ask: Question, *, everything: bool) -> _Start:
    if moved is None:
        return _Start()
    if everything:
        return _Start(why=" because the task says so (IgnoreCookieFile)")
    if moved.scope != ask.scope:
        return _Start(why=" because its tables, mappings or settings were changed since the last time")
    age, most = services.clock() - moved.at, ask.text("max_age") or MAX_AGE
    if age < -RENEWED_AFTER:
        return _Start(
            lost=f"the clock goes back: the place was reached at {moved.at:%Y-%m-%d %H:%M} UTC, later than now"
        )
    if age > age_of(most):
        return _Start(lost=f"the place was reached {age.days} days ago, longer than its max_age of {most}")
    return _Start(since=SourcePlace(cookie=base64.b64decode(moved.cookie), guard=dict(moved.guard), scope=moved.scope))


def _source(services: Services, connection: Connection) -> Source:
    assert connection.package is not None, "a checked configuration names the package of what it reads"
    return services.sources[connection.package]


def asked(ask: Question, call: Callable[[], _T]) -> _T:
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


def _tried(read: Callable[[], _T], restart: Callable[[], None], wait: Wait) -> tuple[_T, tuple[str, ...]]:
    """Reads, and again from the beginning after a failure that may have passed; all others are raised at once.

    :param restart: drops what was read before.
    :return: what was read, and the problems of the readings before.
    :raises SourceUnreachable: the last failure.
    """
    problems: list[str] = []
    waits = iter(_WAITS_S)
    while True:
        try:
            return read(), tuple(problems)
        except SourceUnreachable as failure:
            wait_s = next(waits, None)
            if not failure.is_temporary or wait_s is None:
                raise
            problems.append(failure.problem)
        restart()
        wait(wait_s)
