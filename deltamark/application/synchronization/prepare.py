"""Reads and cleanses the extracts of a connector, before anything is compared."""

from __future__ import annotations

import hashlib
from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from functools import reduce
from types import MappingProxyType

import pyarrow as pa
import pyarrow.compute as pc
from attrs import evolve, field, frozen

from deltamark.application.ports.applied_rows import RowDigests
from deltamark.application.ports.commands import Writing
from deltamark.application.ports.deliveries import Delivery
from deltamark.application.ports.extracts import (
    Cleansed,
    Extracts,
    LinkColumn,
    LinkExtract,
    ResourceExtract,
    Transformation,
)
from deltamark.application.services import Apply, Scope, Services, Skip, TaskResult
from deltamark.application.sources.export import deliveries_of, kept_deliveries
from deltamark.application.synchronization.hold_back import left_out_by
from deltamark.domain.configuration.configuration import Configuration
from deltamark.domain.configuration.entity_model import EntityAssociationMapping, EntityTypeMapping, PropertyRef
from deltamark.domain.configuration.jobs import (
    Job,
    PrepareSynchronizationTask,
    reason_connector_is_out,
)
from deltamark.domain.configuration.value_formats import AS_IT_IS
from deltamark.domain.messages import how_many
from deltamark.domain.runs.run import Counts, ExtractRead, SetAside
from deltamark.domain.synchronization.direct_input import Delta, name_of, tables_of_connectors
from deltamark.domain.synchronization.link_rows import empty_sides
from deltamark.domain.synchronization.recorded_changes import with_own_tables
from deltamark.domain.synchronization.rows import each_row_once, row_counts
from deltamark.domain.synchronization.transformed_tables import links_each

_NO_LINES = pa.array([], pa.int64())
_DIGEST_OF_NOTHING = hashlib.sha256(b"").hexdigest()


@frozen(kw_only=True)
class PreparedExtracts:
    """The cleansed extracts of a connector, and how to apply them."""

    resources: tuple[tuple[EntityTypeMapping, ResourceExtract], ...]
    links: tuple[tuple[EntityAssociationMapping, LinkExtract], ...]
    reported: bool = False
    """Whether a preparation task has already recorded the rows set aside."""
    is_initial: bool = False
    """Whether the configuration says that this fills the store: then nothing is deleted, and no limit applies."""
    deliveries: tuple[Delivery, ...] = ()
    """What connections delivered of it, which moves the places of their sources."""
    tables_read: Mapping[str, str] = field(factory=dict)
    """Connection table -> the one of which a transformation makes it."""

    @property
    def extracts(self) -> list[ResourceExtract | LinkExtract]:
        """All extracts, resources first."""
        return [extract for _, extract in self.resources] + [extract for _, extract in self.links]

    @property
    def reads(self) -> tuple[ExtractRead, ...]:
        """The files that were read."""
        return tuple(extract.cleansed.read for extract in self.extracts)

    @property
    def rows_read(self) -> dict[str, int]:
        """Connection table -> the rows that were read of it."""
        tables = [mapping.connection_table for mapping, _ in self.resources]
        tables += [mapping.connection_table for mapping, _ in self.links]
        found: dict[str, int] = {}
        for name, read in zip(tables, self.reads, strict=True):
            table = self.tables_read.get(name, name)
            found[table] = max(found.get(table, 0), read.rows)
        return found

    @property
    def set_aside(self) -> tuple[SetAside, ...]:
        """The rows that cleansing set aside, file by file: each once, whatever the number of mappings that read it."""
        return each_row_once(fault for extract in self.extracts for fault in extract.cleansed.set_aside)

    def counts(self, set_aside: Iterable[SetAside] = ()) -> Counts:
        """The rows that any mapping reads, and those that are set aside."""
        return row_counts({rows.file: rows.read for rows in self._rows_of_files()}, set_aside)

    @property
    def messages(self) -> tuple[str, ...]:
        """What a user must know about the extracts."""
        messages = (
            (extract.cleansed.read.file, message)
            for extract in self.extracts
            for message in (*extract.cleansed.messages, *filter(None, [extract.cleansed.incomplete]))
        )
        return (*self._rows_passed_over(), *(message for _, message in dict.fromkeys(messages)))

    def _rows_passed_over(self) -> Iterator[str]:
        """How many rows of each file are empty to all mappings that read it."""
        for rows in self._rows_of_files():
            if rows.empty:
                yield f"{rows.file}: {how_many(rows.empty, 'empty row')} passed over"

    def _rows_of_files(self) -> Iterator[_RowsOfFile]:
        by_file: dict[str, list[Cleansed]] = defaultdict(list)
        for extract in self.extracts:
            by_file[extract.cleansed.read.file].append(extract.cleansed)
        for file, mappings in by_file.items():
            yield _rows_of_file(file, mappings)

    @property
    def incomplete(self) -> bool:
        """Whether some extract has unreadable rows.

        Then nothing may be deleted because it is missing there.
        """
        return any(extract.cleansed.incomplete for extract in self.extracts)

    def deletes_missing(self, extract: ResourceExtract | LinkExtract) -> bool:
        """Whether what is missing in one of the extracts is deleted."""
        return not extract.is_delta and not self.is_initial

    @property
    def is_complete(self) -> bool:
        """Whether what is missing is deleted in all tables: then the store has what the source has."""
        return not self.is_initial and not any(extract.is_delta for extract in self.extracts)

    @property
    def has_changes_sent_once(self) -> bool:
        """Whether rows of deltas are among those to apply, which no later extract repeats.

        A connection repeats what was not applied.
        """
        return any(
            extract.is_delta and extract.cleansed.read.rows
            for table, extract in self._by_table()
            if table not in self._delivered
        )

    @property
    def repeats_what_was_held_back(self) -> bool:
        """Whether connections delivered all of it: what was held back of them was not applied, and is in it again."""
        return bool(self.deliveries) and all(table in self._delivered for table, _ in self._by_table())

    @property
    def _delivered(self) -> Collection[str]:
        """The tables that connections delivered."""
        return {name for delivery in self.deliveries for name in delivery.tables}

    def _by_table(self) -> Iterator[tuple[str, ResourceExtract | LinkExtract]]:
        """Each extract with the connection table that was read for it."""
        for mapping, resources in self.resources:
            yield self.tables_read.get(mapping.connection_table, mapping.connection_table), resources
        for links_mapping, links in self.links:
            yield self.tables_read.get(links_mapping.connection_table, links_mapping.connection_table), links

    @property
    def rows(self) -> int:
        """The number of rows to apply."""
        return sum(extract.rows.num_rows for extract in self.extracts)


@frozen(kw_only=True)
class _RowsOfFile:
    """How many rows of a file any mapping reads, and how many are empty to all."""

    file: str
    read: int
    empty: int


def _rows_of_file(file: str, mappings: Sequence[Cleansed]) -> _RowsOfFile:
    lines = [_NO_LINES if of_one.empty_lines is None else of_one.empty_lines for of_one in mappings]
    empty_to_all = reduce(lambda some, others: some.filter(pc.is_in(some, value_set=others)), lines)
    seen = max(of_one.read.rows + len(empty) for of_one, empty in zip(mappings, lines, strict=True))
    unseen = min(of_one.passed_over - len(empty) for of_one, empty in zip(mappings, lines, strict=True))
    return _RowsOfFile(file=file, read=seen - len(empty_to_all), empty=unseen + len(empty_to_all))


def read_extracts(
    services: Services,
    connector: str,
    command_column: str | None = None,
    digests: Mapping[str, RowDigests] = MappingProxyType({}),
) -> PreparedExtracts:
    """Reads and cleanses all connection tables of a connector.

    Tables that a connection reads are those of its newest delivery.

    :param command_column: the column with the commands in all tables that are not always complete; None if all tables
        are complete.
    :param digests: entity type -> how the rows of its table are digested, and which were applied before.
    :raises SourceError: for the first one that cannot be read, before anything is compared.
    """
    configuration = services.configuration
    deliveries = () if services.records_changes else deliveries_of(services, connector)
    if deliveries:
        services = evolve(services, extracts=kept_deliveries(services).extracts(deliveries, services.extracts))
    resources, links = configuration.mappings_of_connector(connector)
    if services.records_changes:
        resources, links = with_own_tables(resources, links)
    is_transformed = not services.records_changes
    tables = Counter([*(m.connection_table for m in resources), *(m.connection_table for m in links)])
    resource_extracts = []
    empty = _tables_without_changes(services)
    for mapping in resources:
        if mapping.connection_table in empty:
            resource_extracts.append((mapping, _no_resources(mapping)))
            continue
        is_shared = tables[mapping.connection_table] > 1
        extract = read_resources(
            configuration,
            services.extracts,
            mapping,
            command_column,
            is_shared=is_shared,
            is_transformed=is_transformed,
            digests=digests.get(mapping.entity_type),
        )
        resource_extracts.append((mapping, extract))
    link_extracts = []
    for link_mapping in links:
        if link_mapping.connection_table in empty:
            link_extracts.append((link_mapping, _no_links(link_mapping)))
            continue
        is_shared = tables[link_mapping.connection_table] > 1
        pairs = read_links(
            configuration,
            services.extracts,
            link_mapping,
            command_column,
            is_shared=is_shared,
            is_transformed=is_transformed,
        )
        resource_extracts = [
            (mapping, _incomplete_with_links(mapping, extract, link_mapping, pairs))
            for mapping, extract in resource_extracts
        ]
        pairs = without_rows_set_aside(link_mapping, pairs, resource_extracts)
        link_extracts.append((link_mapping, _with_empty_sides(configuration, link_mapping, pairs)))
    return PreparedExtracts(
        resources=tuple(resource_extracts),
        links=tuple(link_extracts),
        deliveries=deliveries,
        tables_read={
            mapping.connection_table: configuration.table_read(mapping)
            for mapping in configuration.all_mappings_of(connector)
        }
        if is_transformed
        else {},
    )


def _tables_without_changes(services: Services) -> Collection[str]:
    """The tables in which no change is recorded: most of them, where a program records one change."""
    if not services.records_changes:
        return ()
    return frozenset(table for table, delta in services.direct_input.items() if not delta.rows)


def _no_resources(mapping: EntityTypeMapping) -> ResourceExtract:
    strings = ("key", "state", "command")
    rows = pa.table({**{name: pa.array([], pa.string()) for name in strings}, "line": _NO_LINES})
    return ResourceExtract(rows=rows, kept=pa.array([], pa.string()), cleansed=_nothing_read(mapping))


def _no_links(mapping: EntityAssociationMapping) -> LinkExtract:
    strings = ("value1", "value2", "command")
    rows = pa.table({"line": _NO_LINES, **{name: pa.array([], pa.string()) for name in strings}})
    return LinkExtract(rows=rows, kept=pa.array([], pa.string()), cleansed=_nothing_read(mapping))


def _nothing_read(mapping: EntityTypeMapping | EntityAssociationMapping) -> Cleansed:
    file = name_of(mapping.connection_table)
    return Cleansed(read=ExtractRead(subject=mapping.identifier, file=file, rows=0, digest=_DIGEST_OF_NOTHING))


def read_resources(
    configuration: Configuration,
    extracts: Extracts,
    mapping: EntityTypeMapping,
    command_column: str | None,
    *,
    is_shared: bool,
    is_transformed: bool = True,
    digests: RowDigests | None = None,
) -> ResourceExtract:
    """The rows of an entity type.

    :param command_column: the column with the commands, None if the extract is complete.
    :param is_shared: whether other mappings read the table too.
    :param is_transformed: whether a transformation may make its table.
    :param digests: how rows are digested, and which were applied before.
    :raises SourceError: if the file cannot be read.
    """
    entity_type = configuration.entity_type(mapping.identifier)
    assert entity_type is not None, "a checked configuration maps existing types"
    declared = configuration.transformation(mapping.connector, mapping.connection_table) if is_transformed else None
    if declared is None:
        return extracts.resources(mapping, entity_type, command_column, is_shared=is_shared, digests=digests)
    source = evolve(mapping, connection_table=declared.table)
    transformation = Transformation(declared=declared)
    return extracts.resources(source, entity_type, command_column, is_shared=is_shared, transformation=transformation)


def read_links(
    configuration: Configuration,
    extracts: Extracts,
    mapping: EntityAssociationMapping,
    command_column: str | None,
    *,
    is_shared: bool,
    is_transformed: bool = True,
) -> LinkExtract:
    """The pairs of an association, read as the keys are that they name.

    :param command_column: the column with the commands, None if the extract is complete.
    :param is_shared: whether other mappings read the table too.
    :param is_transformed: whether a transformation may make its table.
    :raises SourceError: if the file cannot be read.
    """
    sides = empty_sides(configuration, mapping)
    columns = _link_columns(configuration, mapping)
    transformation = _link_transformation(configuration, mapping) if is_transformed else None
    if transformation is not None:
        mapping = evolve(mapping, connection_table=transformation.declared.table)
    return extracts.links(
        mapping,
        columns,
        command_column,
        may_lack_first=sides.may_lack_first,
        is_shared=is_shared,
        transformation=transformation,
    )


def _link_transformation(configuration: Configuration, mapping: EntityAssociationMapping) -> Transformation | None:
    declared = configuration.transformation(mapping.connector, mapping.connection_table)
    if declared is None:
        return None
    one_first_each, one_second_each = links_each(configuration, mapping)
    return Transformation(declared=declared, one_first_each=one_first_each, one_second_each=one_second_each)


def _with_empty_sides(
    configuration: Configuration, mapping: EntityAssociationMapping, extract: LinkExtract
) -> LinkExtract:
    """The links of an association, of which rows of one side say what `empty_sides` tells."""
    if extract.halves is None:
        return extract
    sides = empty_sides(configuration, mapping)
    lacking = [extract.halves.filter(pc.is_null(extract.halves.column(name))) for name in ("value1", "value2")]
    spared = frozenset(end for end in (0, 1) if sides.is_unnamed[end] and lacking[end].num_rows)
    has_lost = not sides.is_no_link[1] and not sides.is_unnamed[1] and lacking[1].num_rows > 0
    return evolve(extract, halves=lacking[1] if has_lost else None, spared_ends=spared)


def _incomplete_with_links(
    mapping: EntityTypeMapping, extract: ResourceExtract, link_mapping: EntityAssociationMapping, links: LinkExtract
) -> ResourceExtract:
    """The resources of a table in which links are too: where a row of a link lacks a key, it is that of a resource."""
    lacks_key = links.cleansed.incomplete is not None and extract.cleansed.incomplete is None
    if not lacks_key or mapping.connection_table != link_mapping.connection_table:
        return extract
    if mapping.primary_key.connection_column != link_mapping.column1:
        return extract
    return evolve(extract, cleansed=evolve(extract.cleansed, incomplete=links.cleansed.incomplete))


def _link_columns(configuration: Configuration, mapping: EntityAssociationMapping) -> tuple[LinkColumn, LinkColumn]:
    """How the columns of an association are read: as the keys that they name are, and as the mapping says."""
    return (
        _link_column(configuration, mapping, mapping.entity_property_mapping1, mapping.separator1),
        _link_column(configuration, mapping, mapping.entity_property_mapping2, mapping.separator2),
    )


def _link_column(
    configuration: Configuration, mapping: EntityAssociationMapping, ref: PropertyRef, separator: str | None
) -> LinkColumn:
    entity_type = configuration.entity_type(ref.entity_type)
    declared = entity_type.property(ref.property) if entity_type else None
    assert declared is not None, f"{ref}: a checked configuration maps declared properties"
    resources = configuration.mapping_of(ref.entity_type)
    mapped = (
        (item.value_format for item in resources.properties if item.identifier == ref.property) if resources else ()
    )
    written = next(iter(mapped), AS_IT_IS)
    written = evolve(
        written, null_values=(*written.null_values, *mapping.null_values), trim=written.trim or mapping.trim
    )
    return LinkColumn(kind=declared.type, written=written, separator=separator)


def prepare(
    services: Services,
    task: PrepareSynchronizationTask,
    job: Job,
    prepared: dict[str, PreparedExtracts],
    *,
    forced: bool = False,
) -> Apply | Skip:
    """Reads the extracts of a connector and keeps them for its synchronization later in the run.

    :param prepared: receives them, by connector.
    """
    skip = exclusion(services, task.connector, job, forced=forced)
    if skip:
        return skip
    extracts = read_extracts(services, task.connector, task.column_name if task.is_incremental else None)
    is_told = task.is_incremental or extracts.deliveries
    holds_all = not is_told or any(not extract.is_delta for extract in extracts.extracts)
    messages = [*extracts.messages, *_unlike_the_mode(task, extracts)]
    prepared[task.connector] = evolve(extracts, reported=True, is_initial=task.is_initial)

    def apply(tx: Writing, scope: Scope) -> TaskResult:
        return TaskResult(
            counts=extracts.counts(extracts.set_aside),
            effect=extracts.rows > 0 or holds_all,
            set_aside=extracts.set_aside,
            extracts=extracts.reads,
            messages=messages,
            warned=extracts.incomplete,
        )

    return apply


def _unlike_the_mode(task: PrepareSynchronizationTask, extracts: PreparedExtracts) -> Iterator[str]:
    """Says what was delivered otherwise than the mode of a task expects it: as it was delivered it is applied."""
    for delivery in extracts.deliveries:
        whole = [table.name for table in delivery.tables.values() if not table.is_delta]
        if task.is_incremental and whole:
            yield f"{delivery.connection} delivered {', '.join(whole)} as a whole: what is missing there is deleted"
        elif not task.is_incremental and len(whole) < len(delivery.tables):
            yield f"{delivery.connection} delivered what changed: nothing is deleted because it is missing there"


def exclusion(services: Services, connector: str, job: Job, *, forced: bool = False) -> Skip | None:
    """Why a job must not synchronize a connector, or None where it may.

    :param forced: whether a user forced the run, so that no threshold applies.
    """
    configured = services.configuration.connector(connector)
    assert configured is not None, f"{connector}: a checked configuration names existing connectors"
    reason = reason_connector_is_out(configured, job)
    if reason:
        return Skip(reason)
    with services.store.reading() as reading:
        left_out = left_out_by(
            reading,
            services.configuration,
            connector,
            job,
            forced=forced,
            is_delta=is_given_delta(services, connector),
        )
    return None if left_out is None else Skip(f"{left_out.reason}. It {left_out.advice}", left_out)


def is_given_delta(services: Services, connector: str) -> bool:
    """Whether a program gives a delta of a connector."""
    if services.records_changes:
        return True
    tables = tables_of_connectors(services.configuration, [connector], services.evaluator.transformed)
    return any(isinstance(source, Delta) and table in tables for table, source in services.direct_input.items())


def without_rows_set_aside(
    mapping: EntityAssociationMapping,
    links: LinkExtract,
    resources: Iterable[tuple[EntityTypeMapping, ResourceExtract]],
) -> LinkExtract:
    """The pairs of an association without those of rows that were set aside for their resource.

    Such rows of the same extract say nothing about links either: the links of their resources stay as they are.
    """
    for resource_mapping, extract in resources:
        if resource_mapping.connection_table == mapping.connection_table:
            links = _incomplete_with_resources(_without(mapping, links, resource_mapping, extract), extract)
    return links


def _incomplete_with_resources(links: LinkExtract, resources: ResourceExtract) -> LinkExtract:
    """The links of a table in which a row lacks the key of its resource: they may be links of that one."""
    if links.cleansed.incomplete is not None or resources.cleansed.incomplete is None:
        return links
    return evolve(links, cleansed=evolve(links.cleansed, incomplete=resources.cleansed.incomplete))


def _without(
    mapping: EntityAssociationMapping, links: LinkExtract, resource_mapping: EntityTypeMapping, extract: ResourceExtract
) -> LinkExtract:
    kept = set(extract.kept.to_pylist())
    lines = [row.line for row in extract.cleansed.set_aside if row.key is None or row.key in kept]
    if not lines and not kept:
        return links
    rows, excluded = _split(links.rows, lines)
    halves, excluded_halves = (links.halves, None) if links.halves is None else _split(links.halves, lines)
    keys = [links.kept, *_first_values(excluded, excluded_halves)]
    if mapping.entity_property_mapping1 == PropertyRef(
        resource_mapping.entity_type, resource_mapping.primary_key.identifier
    ):
        keys.append(extract.kept)
    faulty = links.faulty
    if faulty is not None:
        faulty = pa.concat_tables([faulty, excluded.select(faulty.column_names).cast(faulty.schema)])
    return evolve(links, rows=rows, kept=pa.concat_arrays(keys).unique(), faulty=faulty, halves=halves)


def _split(rows: pa.Table, lines: list[int | None]) -> tuple[pa.Table, pa.Table]:
    """The rows of other lines, and those of these."""
    is_excluded = pc.is_in(rows.column("line"), value_set=pa.array(lines, pa.int64()))
    return rows.filter(pc.invert(is_excluded)), rows.filter(is_excluded)


def _first_values(*tables: pa.Table | None) -> Iterator[pa.Array]:
    for rows in tables:
        if rows is not None:
            yield rows.column("value1").combine_chunks().cast(pa.string()).drop_null()
