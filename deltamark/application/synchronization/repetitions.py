"""Finds synchronizations that would change nothing: their extracts are those that the connector's last run applied."""

from __future__ import annotations

from collections.abc import Iterable

from attrs import frozen

from deltamark.application.digests import digest_of
from deltamark.application.ports.extracts import FileDigest
from deltamark.application.ports.queries import Reading
from deltamark.application.services import Services
from deltamark.application.synchronization.prepare import PreparedExtracts
from deltamark.domain.configuration.entity_model import EntityAssociationMapping, EntityTypeMapping
from deltamark.domain.configuration.jobs import SynchronizeTask, TaskState
from deltamark.domain.errors import SourceError
from deltamark.domain.runs.run import Basis, TaskRun


@frozen(kw_only=True)
class Repetition:
    """A synchronization that would do what an earlier one did, which is to change nothing now.

    :param run: the run that read the same extracts.
    :param task: what it recorded.
    """

    run: int
    task: TaskRun
    basis: Basis


def basis_of_files(services: Services, task: SynchronizeTask) -> str | None:
    """The digest of a basis, found without reading rows. None where a repetition is not looked for."""
    configuration = services.configuration
    if services.records_changes or configuration.connections_of(task.connector) or services.extracts.reader is None:
        return None
    resources, links = configuration.mappings_of_connector(task.connector)
    mappings: tuple[EntityTypeMapping | EntityAssociationMapping, ...] = (*resources, *links)
    files: dict[str, FileDigest] = {}
    subjects = []
    try:
        for mapping in mappings:
            table = configuration.table_read(mapping)
            if table in services.direct_input:
                return None  # it is read once, by whom it is compared
            files[table] = files[table] if table in files else services.extracts.file_of(table)
            subjects.append((mapping.identifier, files[table]))
    except SourceError:
        return None  # reading it says what is wrong
    return _digest(services, subjects, is_reported=False)


def basis_of_extracts(services: Services, extracts: PreparedExtracts) -> str | None:
    """The digest of the basis of what was read. None where a repetition may change something.

    Commands may, and so may what a run blocks: an extract without rows, and what only an initial load lets pass.
    """
    if services.extracts.reader is None or services.records_changes or extracts.deliveries:
        return None
    if extracts.is_initial or any(extract.is_delta or not extract.cleansed.read.rows for extract in extracts.extracts):
        return None
    subjects = ((read.subject, FileDigest(read.file, read.digest)) for read in extracts.reads)
    return _digest(services, subjects, is_reported=extracts.reported)


def _digest(services: Services, subjects: Iterable[tuple[str, FileDigest]], *, is_reported: bool) -> str:
    """The digest of everything but the store that decides what a synchronization does and records."""
    files = [[subject, file.file, file.digest] for subject, file in subjects]
    return digest_of([services.configuration_digest, services.extracts.reader, is_reported, files])


def repetition(services: Services, view: Reading, task: SynchronizeTask, basis: str | None) -> Repetition | None:
    """The repetition that a synchronization with a basis would be, or None if it may change something."""
    if basis is None or view.block_of(task.connector) is not None:
        return None
    found = view.applied_before(basis, *_concerned(services, task))
    if found is None:
        return None
    number, ordinal = found
    summary = view.run(number)
    assert summary is not None, "the run of an event is there"
    before = summary.run.task(ordinal)
    is_done = before.state in (TaskState.COMPLETED, TaskState.WARNING)
    if not is_done or before.basis is None or before.basis.digest != basis:
        return None  # the run was resumed since
    if task.orphans and before.set_aside:
        return None  # each run writes a file of its orphans
    return Repetition(run=number, task=before, basis=before.basis)


def _concerned(services: Services, task: SynchronizeTask) -> tuple[list[str], list[str]]:
    """The entity types and associations that a synchronization compares, with the types at the ends of links."""
    resources, links = services.configuration.mappings_of_connector(task.connector)
    names = [mapping.entity_type for mapping in resources]
    for mapping in links:
        names += [mapping.entity_property_mapping1.entity_type, mapping.entity_property_mapping2.entity_type]
    return [*dict.fromkeys(names)], [mapping.association for mapping in links]
