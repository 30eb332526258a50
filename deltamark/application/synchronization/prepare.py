"""Reads and cleanses the extracts of a connector, before anything is compared."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

import pyarrow as pa
import pyarrow.compute as pc
from attrs import evolve, frozen

from deltamark.application.ports.commands import Writing
from deltamark.application.ports.extracts import LinkColumn, LinkExtract, ResourceExtract
from deltamark.application.services import Apply, Scope, Services, Skip, TaskResult
from deltamark.application.synchronization.hold_back import left_out_by
from deltamark.domain.configuration.configuration import Configuration
from deltamark.domain.configuration.entity_model import EntityAssociationMapping, EntityTypeMapping, PropertyRef
from deltamark.domain.configuration.jobs import (
    Job,
    PrepareSynchronizationTask,
    reason_connector_is_out,
)
from deltamark.domain.configuration.value_formats import AS_IT_IS
from deltamark.domain.runs.run import Counts, ExtractRead, SetAside
from deltamark.domain.synchronization.link_rows import empty_sides


@frozen(kw_only=True)
class PreparedExtracts:
    """The cleansed extracts of a connector, and how to apply them."""

    resources: tuple[tuple[EntityTypeMapping, ResourceExtract], ...]
    links: tuple[tuple[EntityAssociationMapping, LinkExtract], ...]
    command_column: str | None = None
    reported: bool = False
    """Whether a preparation task has already recorded the rows set aside."""
    is_initial: bool = False
    """Whether the configuration says that this fills the store: then nothing is deleted, and no limit applies."""

    @property
    def extracts(self) -> list[ResourceExtract | LinkExtract]:
        """All extracts, resources first."""
        return [extract for _, extract in self.resources] + [extract for _, extract in self.links]

    @property
    def reads(self) -> tuple[ExtractRead, ...]:
        """The files that were read."""
        return tuple(extract.cleansed.read for extract in self.extracts)

    @property
    def set_aside(self) -> tuple[SetAside, ...]:
        """The rows that cleansing set aside, file by file.

        A row that several mappings read and cannot use for the same reason is there once.
        """
        first: dict[tuple[object, ...], SetAside] = {}
        for extract in self.extracts:
            for row in extract.cleansed.set_aside:
                first.setdefault((row.file, row.line, row.column, row.reason, row.value), row)
        return tuple(first.values())

    @property
    def messages(self) -> tuple[str, ...]:
        """What a user must know about the extracts."""
        messages = (
            (extract.cleansed.read.file, message)
            for extract in self.extracts
            for message in (*extract.cleansed.messages, *filter(None, [extract.cleansed.incomplete]))
        )
        return tuple(message for _, message in dict.fromkeys(messages))

    @property
    def incomplete(self) -> bool:
        """Whether some extract has unreadable rows.

        Then nothing may be deleted because it is missing there.
        """
        return any(extract.cleansed.incomplete for extract in self.extracts)

    @property
    def is_complete(self) -> bool:
        """Whether what is missing in the extracts is deleted."""
        return self.command_column is None and not self.is_initial

    @property
    def rows(self) -> int:
        """The number of rows to apply."""
        return sum(extract.rows.num_rows for extract in self.extracts)


def read_extracts(services: Services, connector: str, command_column: str | None = None) -> PreparedExtracts:
    """Reads and cleanses all connection tables of a connector.

    :raises SourceError: for the first one that cannot be read, before anything is compared.
    """
    configuration = services.configuration
    resources, links = configuration.mappings_of_connector(connector)
    tables = Counter([*(m.connection_table for m in resources), *(m.connection_table for m in links)])
    resource_extracts = []
    for mapping in resources:
        entity_type = configuration.entity_type(mapping.identifier)
        assert entity_type is not None
        alone = tables[mapping.connection_table] == 1
        extract = services.extracts.resources(mapping, entity_type, command_column, whole_rows=alone)
        resource_extracts.append((mapping, extract))
    link_extracts = []
    for link_mapping in links:
        pairs = _read_links(services, link_mapping, command_column)
        resource_extracts = [
            (mapping, _incomplete_with_links(mapping, extract, link_mapping, pairs))
            for mapping, extract in resource_extracts
        ]
        link_extracts.append((link_mapping, without_rows_set_aside(link_mapping, pairs, resource_extracts)))
    return PreparedExtracts(
        resources=tuple(resource_extracts), links=tuple(link_extracts), command_column=command_column
    )


def _read_links(services: Services, mapping: EntityAssociationMapping, command_column: str | None) -> LinkExtract:
    """Reads the links of an association, and decides what rows of one side say."""
    sides = empty_sides(services.configuration, mapping)
    columns = _link_columns(services.configuration, mapping)
    extract = services.extracts.links(mapping, columns, command_column, may_lack_first=sides.may_lack_first)
    if extract.halves is None:
        return extract
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
    incremental = task.is_incremental
    extracts = read_extracts(services, task.connector, task.column_name if incremental else None)
    prepared[task.connector] = evolve(extracts, reported=True, is_initial=task.is_initial)

    def apply(tx: Writing, scope: Scope) -> TaskResult:
        counts = Counts(read=sum(read.rows for read in extracts.reads), set_aside=len(extracts.set_aside))
        return TaskResult(
            counts=counts,
            effect=extracts.rows > 0 or not incremental,
            set_aside=extracts.set_aside,
            extracts=extracts.reads,
            messages=extracts.messages,
            warned=extracts.incomplete,
        )

    return apply


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
        left_out = left_out_by(reading, services.configuration, connector, job, forced=forced)
    return None if left_out is None else Skip(f"{left_out.reason}. It {left_out.advice}", left_out)


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
    is_excluded = pc.is_in(links.rows.column("line"), value_set=pa.array(lines, pa.int64()))
    excluded = links.rows.filter(is_excluded)
    keys = [links.kept, excluded.column("value1").combine_chunks().cast(pa.string())]
    if mapping.entity_property_mapping1 == PropertyRef(
        resource_mapping.entity_type, resource_mapping.primary_key.identifier
    ):
        keys.append(extract.kept)
    faulty = links.faulty
    if faulty is not None:
        faulty = pa.concat_tables([faulty, excluded.select(["value1", "line"]).cast(faulty.schema)])
    rows = links.rows.filter(pc.invert(is_excluded))
    return evolve(links, rows=rows, kept=pa.concat_arrays(keys).unique(), faulty=faulty)
