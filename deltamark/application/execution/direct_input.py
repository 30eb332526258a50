"""The connection tables that a program gives to a run: read once, and kept until the run is done."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from attrs import evolve

from deltamark.application.services import Services
from deltamark.domain.configuration.jobs import Job
from deltamark.domain.errors import CannotResume
from deltamark.domain.messages import is_recording
from deltamark.domain.runs.resume import DONE
from deltamark.domain.runs.run import JobRun
from deltamark.domain.runs.task_calls import TaskCall
from deltamark.domain.synchronization.direct_input import tables_of_connectors, tables_of_job
from deltamark.domain.values import shown

MOST_KEPT = 8
"""So many runs that did not complete keep what a program gave them; older ones must be given it again."""


def with_direct_input(services: Services, job: Job) -> Services:
    """The services for a run of a job, whose extracts are those that the program gives, and files for the others."""
    if services.records_changes:
        return services
    columns = tables_of_job(services.configuration, job, services.evaluator.transformed)
    sources = {table: source for table, source in services.direct_input.items() if table in columns}
    if not sources:
        return evolve(services, direct_input={})
    return evolve(services, direct_input=sources, extracts=services.extracts.with_tables(sources, columns))


def keep_input(services: Services, run: int) -> None:
    """Keeps what a program gives to a run, so that the run can be resumed."""
    if services.direct_input:
        services.kept_input[run] = services
        for older in sorted(services.kept_input)[:-MOST_KEPT]:
            services.kept_input.pop(older, None)


def done_with_input(services: Services, run: JobRun) -> JobRun:
    """Drops what a program gave to a run that is done, and returns the record of the run."""
    if run.state in DONE:
        services.kept_input.pop(run.number, None)
    return run


def with_input_of(
    services: Services, run: JobRun, job: Job, again: Sequence[TaskCall], given: Mapping[str, Any]
) -> Services:
    """The services to resume a run: with what a program gives now, and for the rest what it gave to the run before.

    :param again: the calls that read extracts again.
    :param given: connection table -> what a program gives now.
    :raises CannotResume: if a table that is read again is no longer there.
    """
    kept = services.kept_input.get(run.number)
    if kept is not None:
        columns = tables_of_job(services.configuration, job, services.evaluator.transformed)
        extracts = kept.extracts.with_tables(given, columns) if given else kept.extracts
        return evolve(
            services,
            extracts=extracts,
            direct_input={**kept.direct_input, **given},
            records_changes=kept.records_changes,
        )
    if is_recording(run.job) and again:
        raise CannotResume(run.number, "the changes to record are no longer there. Record them again")
    resumed = with_direct_input(evolve(services, direct_input={**services.direct_input, **given}), job)
    read = {table for call in again for table in _tables_of(services, call)}
    gone = [table for table in run.direct_input if table in read and table not in resumed.direct_input]
    if gone:
        raise CannotResume(
            run.number,
            f"it reads {', '.join(map(shown, gone))}, given by a program that is not this one, or no longer has it. "
            "Give it again, or run the job again",
        )
    return resumed


def _tables_of(services: Services, call: TaskCall) -> Iterable[str]:
    connector = call.task.prepares or call.task.synchronizes
    if connector is None:
        return ()
    return tables_of_connectors(services.configuration, [connector], services.evaluator.transformed)
