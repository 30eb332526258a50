"""Reads and cleanses the extracts of a connector, before anything is compared."""

from __future__ import annotations

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
    resource_extracts = []
    for mapping in resources:
        entity_type = configuration.entity_type(mapping.identifier)
        assert entity_type is not None
        resource_extracts.append((mapping, services.extracts.resources(mapping, entity_type, command_column)))
    link_extracts = []
    for link_mapping in links:
        extract = services.extracts.links(
            link_mapping, _link_columns(services.configuration, link_mapping), command_column
        )
        link_extracts.append((link_mapping, without_rows_set_aside(link_mapping, extract, resource_extracts)))
    return PreparedExtracts(
        resources=tuple(resource_extracts), links=tuple(link_extracts), command_column=command_column
    )


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
            links = _without(mapping, links, resource_mapping, extract)
    return links


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
