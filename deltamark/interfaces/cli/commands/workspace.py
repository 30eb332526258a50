"""Commands about a workspace: `init`, `validate`, `jobs`, `tasks`."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import click

from deltamark.application.scheduling.due import next_due
from deltamark.application.services import utc_now
from deltamark.application.synchronization.hold_back import left_out_by_job
from deltamark.config.check import Judgement
from deltamark.domain.configuration.configuration import Configuration
from deltamark.domain.configuration.jobs import ComputingTask, Job, Task
from deltamark.domain.errors import DeltamarkError, StoreMissing
from deltamark.domain.messages import how_many
from deltamark.domain.runs.run import LeftOut
from deltamark.domain.validation.validate import in_file_order
from deltamark.infrastructure.sample_company import write_workspace
from deltamark.infrastructure.system.time_zone import local_zone
from deltamark.interfaces.cli.commands.runs import say_left_out
from deltamark.interfaces.cli.context import (
    Workspace,
    format_option,
    leave_out_option,
    load_functions_option,
    pass_workspace,
)
from deltamark.interfaces.cli.documents import fault_document, left_out_document, time_of
from deltamark.interfaces.cli.next_steps import command_lines
from deltamark.interfaces.cli.parameters import Name
from deltamark.interfaces.cli.rendering import Column, Document, Format, Listing, member, render
from deltamark.interfaces.cli.streams import one_line, say
from deltamark.interfaces.cli.times import time_column


@click.command(epilog="Example: deltamark init company")
@click.argument("folder", metavar="DIR", type=Name("DIR"))
@click.option("--people", default=100, show_default=True, type=click.IntRange(100, 1_000_000), help="How many people.")
@click.option(
    "--seed",
    default=1,
    show_default=True,
    type=click.IntRange(0, 2**31 - 1),
    help="Another seed invents another company.",
)
def init(folder: str, people: int, seed: int) -> None:
    """Writes a small, working workspace into DIR.

    It holds deltamark.toml, a commented configuration in XML and the extracts of an invented company.
    """
    for path in write_workspace(Path(folder), people=people, seed=seed):
        click.echo(one_line(str(path)))
    say(f"Now run: cd {folder} && deltamark run Incremental")


@click.command(epilog="Example: deltamark --configuration configuration validate")
@format_option
@leave_out_option
@load_functions_option
@pass_workspace
def validate(workspace: Workspace, form: Format, runs_code: bool) -> int:
    """Checks the configuration; prints faults and warnings.

    Exit status 2 if there is a fault; a configuration with warnings can be run. No code of the workspace is run: the
    functions of tasks are checked with --load-functions.
    """
    judgement = workspace.judged(runs_code=runs_code)
    _print_faults(_in_order(judgement), form)
    checked = judgement.checked
    if checked is None:
        say(f"{how_many(len(judgement.faults), 'fault')}; nothing can be run before that is corrected.")
        for line in command_lines(judgement.next_steps):
            say(line)
        return 2
    configuration = checked.configuration
    say(
        f"The configuration can be run: {how_many(len(configuration.jobs), 'job')}, "
        f"{how_many(len(configuration.connectors), 'connector')}, "
        f"{how_many(len(configuration.entity_types), 'entity type')}."
    )
    return 0


def _in_order(judgement: Judgement) -> list[dict[str, Any]]:
    """Faults, warnings and notices together, in file order."""
    severities = {"error": judgement.faults, "warning": judgement.warnings}
    severities["notice"] = (*judgement.notices, *judgement.unjudged)
    located = {id(fault): (severity, fault) for severity, faults in severities.items() for fault in faults}
    ordered = in_file_order(fault for _, fault in located.values())
    return [fault_document(*located[id(fault)]) for fault in ordered]


def _print_faults(faults: list[dict[str, Any]], form: Format) -> None:
    if form is not Format.TABLE:
        columns = [member(name) for name in ("severity", "file", "line", "column", "message")]
        render(Listing(documents=faults, columns=columns), form)
        return
    for fault in faults:
        place = ":".join(str(part) for part in (fault["file"], fault["line"], fault["column"]) if part is not None)
        kind = "" if fault["severity"] == "error" else f"{fault['severity']}: "
        click.echo(one_line(f"{place + ': ' if place else ''}{kind}{fault['message']}"))


@click.command(epilog="Example: deltamark jobs")
@format_option
@leave_out_option
@pass_workspace
def jobs(workspace: Workspace, form: Format) -> None:
    """Shows the configured jobs, and when they are due next.

    It names the connectors that a job leaves out because a run holds their changes back.
    """
    configuration = workspace.loaded().configuration
    left_out = _left_out(workspace, configuration)
    columns = [member(name) for name in ("job", "display_name", "is_incremental", "schedule", "next_at", "tasks")]
    names = Column("left_out", lambda row: ", ".join(found["connector"] for found in row.get("left_out", ())))
    now = utc_now()
    documents = [_job(job, now, left_out.get(job.identifier, ())) for job in configuration.jobs]
    people = [time_column(column.title) if column.title == "next_at" else column for column in columns]
    table = [*people, names] if any(left_out.values()) else people
    render(Listing(documents=documents, columns=[*columns, member("left_out")], table=table), form)
    say_left_out(dict.fromkeys(found for of_job in left_out.values() for found in of_job))


def _left_out(workspace: Workspace, configuration: Configuration) -> dict[str, tuple[LeftOut, ...]]:
    """The connectors that each job leaves out now; none where there is no store yet."""
    try:
        with workspace.opened_store() as store, store.reading() as reading:
            return {job.identifier: left_out_by_job(reading, configuration, job) for job in configuration.jobs}
    except DeltamarkError as e:
        if isinstance(e.__cause__, StoreMissing):
            return {}
        say(f"Whether jobs leave connectors out is unknown: {e}")
        return {}


def _job(job: Job, now: datetime, left_out: Collection[LeftOut]) -> Document:
    """A job; `left_out` is there only where it leaves a connector out."""
    return {
        "job": job.identifier,
        "display_name": job.display_name,
        "is_incremental": job.is_incremental,
        "schedule": job.cron_tab_expression,
        "next_at": time_of(next_due(job, now, local_zone)),
        "tasks": len(job.tasks),
        **({"left_out": [left_out_document(found) for found in left_out]} if left_out else {}),
    }


@click.command(epilog="Example: deltamark tasks --format jsonl")
@format_option
@leave_out_option
@pass_workspace
def tasks(workspace: Workspace, form: Format) -> None:
    """Shows the tasks of every job, in order.

    Tasks that no job calls come last.
    """
    configuration = workspace.loaded().configuration
    names = ("job", "task", "kind", "level", "works_on", "dirty", "depends_on")
    columns = [member(name) for name in names[:-1]]
    columns.append(Column("depends_on", lambda document: ", ".join(document["depends_on"])))
    render(Listing(documents=list(_tasks(configuration)), columns=columns), form)


def _tasks(configuration: Configuration) -> Iterator[Document]:
    called = set()
    for job in configuration.jobs:
        for task in sorted(configuration.called_by(job), key=lambda task: task.level):
            called.add(task.identifier)
            yield _task(job.identifier, task)
    for task in configuration.all_tasks():
        if task.identifier not in called:
            yield _task(None, task)


def _task(job: str | None, task: Task) -> Document:
    return {
        "job": job,
        "task": task.identifier,
        "kind": task.kind,
        "level": None if task.level < 0 else task.level,
        "works_on": task.works_on,
        "dirty": task.dirty if isinstance(task, ComputingTask) else None,
        "depends_on": list(task.parents),
    }


COMMANDS: tuple[click.Command, ...] = (init, validate, jobs, tasks)
