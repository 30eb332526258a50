"""Records single changes of a connector that a program gives, as a run of its own."""

from __future__ import annotations

from collections.abc import Iterable

from attrs import evolve

from deltamark.application.execution.given_jobs import JobToRun
from deltamark.application.lookup import connector_named
from deltamark.application.runs.recorded_job import definition_of
from deltamark.application.services import Services
from deltamark.domain.configuration.jobs import Job, SynchronizeTask
from deltamark.domain.messages import recording_of
from deltamark.domain.synchronization.direct_input import Delta
from deltamark.domain.synchronization.recorded_changes import RecordedChange, tables_of_changes


def changes_to_record(
    services: Services, connector: str, changes: Iterable[RecordedChange]
) -> tuple[Services, JobToRun]:
    """The job that records the changes, and the services with which it runs.

    :raises UsageError: for a connector that does not exist, and for a change of what it does not feed.
    """
    connector_named(connector, services.configuration)
    rows, columns = tables_of_changes(services.configuration, connector, changes)
    sources = {table: Delta(of_table) for table, of_table in rows.items()}
    task = SynchronizeTask(identifier=f"Record{connector}", connector=connector, do_not_delete_changes=True)
    job = Job(recording_of(connector), [task], is_incremental=True)
    given = evolve(
        services,
        extracts=services.extracts.with_tables(sources, columns),
        direct_input=sources,
        records_changes=True,
    )
    return given, JobToRun(job, definition_of(services, job))
