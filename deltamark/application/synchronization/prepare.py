"""Preparing: reading and cleansing the extracts of a connector, before anything is compared."""

from __future__ import annotations

from attrs import evolve, frozen

from deltamark.application.ports.extracts import LinkExtract, ResourceExtract
from deltamark.application.ports.writing import Writing
from deltamark.application.services import Apply, Done, Scope, Services, Skip
from deltamark.application.synchronization.hold_back import reason_blocked
from deltamark.application.synchronization.set_aside_links import without_rows_set_aside
from deltamark.domain.configuration.entity_model import EntityAssociationMapping, EntityTypeMapping, PropertyRef
from deltamark.domain.configuration.jobs import (
    Job,
    PrepareSynchronizationTask,
    SynchronizationMode,
    reason_connector_is_out,
)
from deltamark.domain.runs.run import Counts, ExtractRead, SetAside
from deltamark.domain.values import PropertyType


@frozen(kw_only=True)
class Prepared:
    """The cleansed extracts of a connector, and how they are to be applied."""

    resources: tuple[tuple[EntityTypeMapping, ResourceExtract], ...]
    links: tuple[tuple[EntityAssociationMapping, LinkExtract], ...]
    command_column: str | None = None
    reported: bool = False
    """Whether a preparation task has put the rows set aside on record already."""
    is_first_load: bool = False
    """Whether the configuration says that this fills an empty store: no limit counts then."""

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
        """The rows that cleansing set aside, file by file."""
        return tuple(row for extract in self.extracts for row in extract.cleansed.set_aside)

    @property
    def messages(self) -> tuple[str, ...]:
        """What a person must know about the extracts."""
        return tuple(
            message
            for extract in self.extracts
            for message in (*extract.cleansed.messages, *filter(None, [extract.cleansed.incomplete]))
        )

    @property
    def incomplete(self) -> bool:
        """Whether some extract cannot show that something is gone."""
        return any(extract.cleansed.incomplete for extract in self.extracts)

    @property
    def rows(self) -> int:
        """How many rows are there to apply."""
        return sum(extract.rows.num_rows for extract in self.extracts)


def prepared(services: Services, connector: str, command_column: str | None = None) -> Prepared:
    """Reads and cleanses all connection tables of a connector.

    :raises SourceError: for the first one that cannot be read; nothing is compared then.
    """
    configuration = services.configuration
    resources, links = configuration.mappings_of_connector(connector)
    read = []
    for mapping in resources:
        entity_type = configuration.entity_type(mapping.identifier)
        assert entity_type is not None
        read.append((mapping, services.extracts.resources(mapping, entity_type, command_column)))
    pairs = []
    for link_mapping in links:
        extract = services.extracts.links(link_mapping, _end_types(services, link_mapping), command_column)
        pairs.append((link_mapping, without_rows_set_aside(link_mapping, extract, read)))
    return Prepared(resources=tuple(read), links=tuple(pairs), command_column=command_column)


def _end_types(services: Services, mapping: EntityAssociationMapping) -> tuple[PropertyType, PropertyType]:
    return (
        _property_type(services, mapping.entity_property_mapping1),
        _property_type(services, mapping.entity_property_mapping2),
    )


def _property_type(services: Services, ref: PropertyRef) -> PropertyType:
    entity_type = services.configuration.entity_type(ref.entity_type)
    found = entity_type.property(ref.property) if entity_type else None
    assert found is not None, f"{ref}: a checked configuration maps declared properties"
    return found.type


def prepare(
    services: Services,
    task: PrepareSynchronizationTask,
    job: Job,
    memory: dict[str, Prepared],
    *,
    forced: bool = False,
) -> Apply | Skip:
    """Cleanses the extracts of a connector and keeps them for the synchronization later in the run."""
    out = reason_out(services, task.connector, job, forced=forced)
    if out:
        return Skip(out)
    incremental = task.synchronization_mode is SynchronizationMode.INCREMENTAL
    ready = prepared(services, task.connector, task.column_name if incremental else None)
    initial = task.synchronization_mode is SynchronizationMode.INITIAL
    memory[task.connector] = evolve(ready, reported=True, is_first_load=initial)

    def apply(tx: Writing, scope: Scope) -> Done:
        counts = Counts(read=sum(read.rows for read in ready.reads), set_aside=len(ready.set_aside))
        return Done(
            counts=counts,
            effect=ready.rows > 0 or not incremental,
            set_aside=ready.set_aside,
            extracts=ready.reads,
            messages=ready.messages,
            warned=ready.incomplete,
        )

    return apply


def reason_out(services: Services, connector: str, job: Job, *, forced: bool = False) -> str | None:
    """Why a job must not synchronize a connector, or None when it may.

    :param forced: whether a person said that thresholds let everything pass.
    """
    found = services.configuration.connector(connector)
    assert found is not None, f"{connector}: a checked configuration names existing connectors"
    out = reason_connector_is_out(found, job)
    if out:
        return out
    with services.store.reading() as reading:
        return reason_blocked(reading, services.configuration, connector, job, forced=forced)
