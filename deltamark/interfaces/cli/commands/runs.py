"""Commands about runs: `run`, `resume`, `cancel`, `runs`."""

from __future__ import annotations

import sys
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from functools import partial
from itertools import islice
from typing import Any

import click

from deltamark.domain.configuration.configuration import Configuration
from deltamark.domain.configuration.jobs import TaskState
from deltamark.domain.errors import UsageError
from deltamark.domain.history.changes import LoggedChange, PendingChange
from deltamark.domain.messages import how_many
from deltamark.domain.next_steps import NextAction, NextStep, decisions
from deltamark.domain.runs.outcomes import decisions_about
from deltamark.domain.runs.run import JobRun, LeftOut, Operator, SetAside, TriggerKind
from deltamark.engine import Engine
from deltamark.interfaces.cli.commands.changes import change_listing
from deltamark.interfaces.cli.context import (
    Workspace,
    by_options,
    format_option,
    leave_out_option,
    pass_workspace,
    refuse_via_without_person,
    via_option,
)
from deltamark.interfaces.cli.groups import command_of
from deltamark.interfaces.cli.next_steps import command_lines
from deltamark.interfaces.cli.parameters import Name, WholeNumber
from deltamark.interfaces.cli.progress import RunProgress
from deltamark.interfaces.cli.rendering import (
    Column,
    Document,
    Format,
    Listing,
    count_column,
    json_line,
    member,
    render,
    write,
)
from deltamark.interfaces.cli.streams import has_output, one_line, say, tell
from deltamark.interfaces.cli.styles import with_sign
from deltamark.interfaces.cli.task_names import TaskNames
from deltamark.interfaces.cli.times import shown_time, time_column
from deltamark.interfaces.documents import run_document
from deltamark.interfaces.notifier import send_notifications
from deltamark.interfaces.traces import traces_to

STATUS = {TaskState.FAILED: 1, TaskState.CANCELLED: 1, TaskState.ABORTED: 1, TaskState.BLOCKED: 3}
_SHOWN = 20
_COUNTS = (
    "read", "inserted", "updated", "deleted", "linked", "unlinked", "set_aside", "flagged", "computed", "executed",
    "necessary", "written",
)  # fmt: skip
TASK_COLUMNS = [member(name) for name in ("task", "state", *_COUNTS, "seconds")]
_STATE = Column("state", lambda document: with_sign(document["state"], document["state"]))


@click.command(epilog="Example: deltamark run Incremental --dry-run")
@click.argument("job", required=False, type=Name("JOB"))
@click.option("--force", is_flag=True, help="Ignore thresholds.")
@click.option("--force-read", is_flag=True, help="Compare extracts that were applied already, too.")
@click.option("--dry-run", is_flag=True, help="Show what would change, and commit nothing.")
@by_options
@via_option
@click.option("--announce", is_flag=True, help="Print the number of the run first.")
@format_option
@leave_out_option
@pass_workspace
@click.pass_context
def run(
    context: click.Context,
    workspace: Workspace,
    job: str | None,
    force: bool,
    force_read: bool,
    dry_run: bool,
    by: str | None,
    reason: str | None,
    via: str | None,
    announce: bool,
    form: Format,
) -> int:
    """Runs a job and shows what its tasks did.

    Without a JOB, shows the jobs. A dry run prints the changes first, with --format csv nothing else; those without a
    position would be held back.

    Exit status 0 when it is done, also in warning, 1 if a task failed or it was cancelled, 2 if another run runs one of
    its tasks, 3 if a threshold blocked it or a changed configuration waits for `adopt`.
    """
    if job is None:
        context.invoke(command_of(context, "jobs"), form=form)
        say("Name the job to run: `deltamark run JOB`.")
        return 2
    refuse_via_without_person(via, by)
    _refuse_two_documents(form, is_two=dry_run or announce)
    with workspace.engine(create=True, job=job, dry_run=dry_run, runs_code=True) as engine:
        names = TaskNames.of(engine.configuration)
        if not dry_run:
            engine.register_channels()
        with (
            traces_to(workspace.settings().traces) as traces,
            RunProgress(
                lambda task: names.shown(task, job), announce=partial(_announce, form) if announce else None
            ) as progress,
        ):
            done = _acting(engine, by, via).run_job(
                job,
                force=force,
                force_read=force_read,
                dry_run=dry_run,
                by=by,
                reason=reason,
                observer=traces.watching(progress, job),
                rehearsed=(lambda changes: _show_changes(changes, names, form)) if dry_run else None,
            )
            traces.run_ended(done.number, done.state)
        if not dry_run:
            _tell_people(engine)
    _print_run(done, names, form, dry_run=dry_run)
    return STATUS.get(done.state, 0)


def _tell_people(engine: Engine) -> None:
    """Sends notifications, where channels are set; what is not sent does not change how the run ended."""
    if engine.channels:
        problem = send_notifications(engine)
        if problem:
            say(f"{problem[:1].upper()}{problem[1:]}. `deltamark notify` tries again.")


def _announce(form: Format, run: int) -> None:
    """Prints the number of a run that has begun."""
    if form is Format.TABLE:
        tell(f"Run {run}")
        sys.stdout.flush()
    else:
        write([json_line({"run": run, "state": TaskState.RUNNING.value})])


@click.command(epilog="Example: deltamark resume 7")
@click.argument("run", type=WholeNumber("RUN", 1))
@click.option("--dry-run", is_flag=True, help="Show what would change, and commit nothing.")
@by_options
@via_option
@format_option
@leave_out_option
@pass_workspace
def resume(
    workspace: Workspace, run: int, dry_run: bool, by: str | None, reason: str | None, via: str | None, form: Format
) -> int:
    """Resumes a RUN that was blocked, failed or interrupted.

    It keeps its number and starts with the first task that did not complete. A blocked synchronization applies exactly
    what was held back (`changes --pending RUN` lists it). --dry-run shows what follows from that.

    Exit status as of `run`; 2 also if the run cannot be resumed: the message says why.
    """
    refuse_via_without_person(via, by)
    _refuse_two_documents(form, is_two=dry_run)
    with workspace.engine(dry_run=dry_run, runs_code=True) as engine:
        names, job = TaskNames.of(engine.configuration), engine.run(run).job
        if not dry_run:
            engine.register_channels()
        with (
            traces_to(workspace.settings().traces) as traces,
            RunProgress(lambda task: names.shown(task, job)) as progress,
        ):
            done = _acting(engine, by, via).resume(
                run,
                dry_run=dry_run,
                by=by,
                reason=reason,
                observer=traces.watching(progress, job),
                rehearsed=(lambda changes: _show_changes(changes, names, form)) if dry_run else None,
            )
            traces.run_ended(done.number, done.state)
        if not dry_run:
            _tell_people(engine)
    _print_run(done, names, form, dry_run=dry_run)
    return STATUS.get(done.state, 0)


def _refuse_two_documents(form: Format, *, is_two: bool) -> None:
    """Refuses one document where there is the run and something before it.

    :raises UsageError: with what to use.
    """
    if is_two and form is Format.JSON:
        raise UsageError(
            "--dry-run and --announce print more than the run, and --format json is one document. Use --format jsonl."
        )


def _acting(engine: Engine, by: str | None, via: str | None) -> Engine:
    return engine if by is None or via is None else engine.as_operator(by, via=via)


@click.command(epilog="Example: deltamark cancel 7")
@click.argument("run", type=WholeNumber("RUN", 1))
@by_options
@via_option
@pass_workspace
def cancel(workspace: Workspace, run: int, by: str | None, reason: str | None, via: str | None) -> None:
    """Stops a RUN, or drops what a blocked one holds back.

    A run that is going on, on whatever machine, finishes the tasks that are running, starts no more, and ends as
    cancelled. A function of a user that is being called is ended.

    Exit status 2 if it has ended and holds nothing back.
    """
    refuse_via_without_person(via, by)
    with workspace.engine() as engine:
        record = _acting(engine, by, via).cancel(run, by=by, reason=reason)
        names = TaskNames.of(engine.configuration)
    match record.state:
        case TaskState.RUNNING:
            say(f"Run {run} was asked to stop: it finishes its running tasks. `deltamark runs {run}` shows it.")
        case TaskState.CANCELLED:
            for task in record.tasks:
                if task.state is TaskState.CANCELLED:
                    name = names.shown(task.identifier, record.job)
                    say(with_sign(one_line(f"{name}: {task.messages[-1]}"), task.state.value), task.state.value)
            _say_state(f"Run {run}: cancelled.", record.state)
        case _:
            _say_state(f"Run {run}: {record.state.value}. Its process had died; that is recorded now.", record.state)


def _say_state(text: str, state: TaskState) -> None:
    say(with_sign(text, state.value), state.value)


def _show_changes(changes: Iterator[LoggedChange | PendingChange], names: TaskNames, form: Format) -> None:
    if form is not Format.TABLE:
        render(change_listing(changes, names), form)
        return
    first = list(islice(changes, _SHOWN))
    render(change_listing(first, names), form)
    more = sum(1 for _ in changes)
    if more:
        say(f"… and {more:,} more changes; --format jsonl shows all.")


def _print_run(run: JobRun, names: TaskNames, form: Format, *, dry_run: bool = False) -> None:
    document = run_document(run, dry_run=dry_run)
    _say_adoption(run, dry_run=dry_run)
    if form.is_json:
        write([json_line(document)])
        _say_decisions(run, dry_run=dry_run)
        return
    if not (dry_run and form is Format.CSV):  # there the rows are the changes: CSV cannot hold two tables
        _print_tasks(document, names, form)
    _say_state(f"{'Dry run, nothing was kept' if dry_run else f'Run {run.number}'}: {run.state.value}.", run.state)
    _say_decisions(run, dry_run=dry_run)
    rows = tuple(row for task in run.tasks for row in task.set_aside)
    if rows and form is Format.TABLE:
        _report_set_aside(rows, "" if dry_run else f"`deltamark runs {run.number}` lists all.")


def _say_adoption(run: JobRun, *, dry_run: bool = False) -> None:
    """Says in one line what the run changed by adopting the configuration."""
    if run.adoption is not None:
        line = f"{'The run would have' if dry_run else f'Run {run.number}'} {run.adoption.messages[0]}."
        say(one_line(line if dry_run else f"{line} `deltamark runs {run.number}` says more."))


def _say_decisions(run: JobRun, *, dry_run: bool = False, still: Collection[LeftOut] | None = None) -> None:
    """Says what can be done about changes that a threshold held back, or would hold back.

    :param still: the connectors whose changes are held back now; None where the run has just ended.
    """
    if any(task.state is TaskState.BLOCKED for task in run.tasks):
        steps = (NextStep(NextAction.FORCE_RUN, run.job),) if dry_run else decisions(run.number)
        for line in command_lines(steps):
            say(line)
    blocks = None if still is None else {(found.connector, found.run) for found in still}
    for found in run.left_out:
        if blocks is None or (found.connector, found.run) in blocks:
            say_left_out([found])
        else:
            say(one_line(f"Connector {found.connector} was left out: run {found.run} held its changes back then."))


def say_left_out(left_out: Iterable[LeftOut]) -> None:
    """Says which connectors are left out, since when, and what can be done about it."""
    for found in left_out:
        reason = found.reason_since(shown_time(found.since, "seconds"))
        say(one_line(f"C{reason[1:]}, and is left out. It {found.advice}."))
        for line in command_lines(decisions_about([found])):
            say(line)


def _print_tasks(run: Mapping[str, Any], names: TaskNames, form: Format) -> None:
    """Prints the tasks of a run; for people without counts that are zero everywhere, and with rounded seconds."""
    tasks = run["tasks"]
    counts = [count_column(name) for name in _COUNTS if any(task[name] for task in tasks)]
    seconds = Column("seconds", lambda task: f"{task['seconds']:.2f}", is_number=True)
    name = Column("task", lambda task: names.shown(task["task"], run["job"]))
    if has_output():  # without it, what was done counts, and not who reads of it
        render(Listing(documents=tasks, columns=TASK_COLUMNS, table=[name, _STATE, *counts, seconds]), form)


def _report_set_aside(rows: tuple[SetAside, ...], how_to_see_all: str) -> None:
    were = "was set aside: what it says" if len(rows) == 1 else "were set aside: what they say"
    say(f"{how_many(len(rows), 'row')} {were} is not applied. {how_to_see_all}".rstrip())
    for row in rows[:_SHOWN]:
        say("  " + one_line(_set_aside_line(row)))


def _set_aside_line(row: SetAside) -> str:
    file = row.file if row.line is not None or row.key is None else f"{row.file} {row.key}"
    place = ":".join(str(part) for part in (file, row.line, row.column) if part is not None)
    read = f" (read: {row.value[:80]!r})" if row.value is not None else ""
    return f"{place}: {row.reason}{read}"


@click.command(epilog="Example: deltamark runs 2")
@click.argument("run", required=False, type=WholeNumber("RUN", 1))
@click.option("--newest", type=WholeNumber("N", 1), metavar="N", help="Only the newest N runs.")
@format_option
@pass_workspace
def runs(workspace: Workspace, run: int | None, newest: int | None, form: Format) -> None:
    """Shows past runs, or one RUN with its tasks.

    One RUN is shown with the messages of its tasks and the rows that they set aside.
    """
    with workspace.engine(reading_only=True) as engine:
        if run is None:
            _print_runs(engine.runs(newest), form)
        else:
            record = engine.run(run)
            still = engine.held_back() if record.left_out else ()
            _print_one(record, engine.configuration, form, still=still)


def _print_runs(records: Iterable[JobRun], form: Format) -> None:
    changed = Column("changes", lambda document: sum(map(_changes, document["tasks"])), is_count=True)
    columns = [member(name) for name in ("run", "job", "state", "started_at", "ended_at")]
    columns += [changed, *(member(name) for name in ("user", "host"))]
    more = [member(name) for name in ("trigger", "due_at", "late")]
    more += [Column("resumed", lambda document: len(document["resumed"])), member("by"), member("reason")]
    documents = [run_document(run) for run in records]
    shown = columns + [column for column in more if any(map(_is_remarkable(column), documents))]
    readable = {"state": _STATE} | {name: time_column(name) for name in ("started_at", "ended_at", "due_at")}
    table = [readable.get(column.title, column) for column in shown]
    render(Listing(documents=documents, columns=columns + more, table=table), form)


def _is_remarkable(column: Column) -> Callable[[Document], bool]:
    """Whether the value of a run in a column is not the usual one."""
    return lambda document: column.cell(document) not in (None, False, 0, TriggerKind.USER.value)


def _changes(task: dict[str, Any]) -> int:
    return sum(int(task[name]) for name in ("inserted", "updated", "deleted", "linked", "unlinked"))


def _print_one(run: JobRun, configuration: Configuration, form: Format, *, still: Collection[LeftOut]) -> None:
    """Prints a run.

    :param still: the connectors whose changes are held back now.
    """
    document = run_document(run, with_rows=True)
    _say_decisions(run, still=still)
    if form.is_json:
        write([json_line(document)])
        return
    names = TaskNames.of(configuration)
    if form is Format.TABLE:
        _print_head(run, configuration, names)
    _print_tasks(document, names, form)
    if form is not Format.TABLE:
        return
    for task in run.tasks if run.adoption is None else (run.adoption, *run.tasks):
        for message in task.messages:
            first, *more = message.split("\n")  # the traceback of a user's function
            tell("\n".join([f"{names.shown(task.identifier, run.job)}: {first}", *(f"  {line}" for line in more)]))
    for row in run.set_aside:
        tell(f"set aside: {one_line(_set_aside_line(row))}")


def _print_head(run: JobRun, configuration: Configuration, names: TaskNames) -> None:
    job = configuration.job(run.job)
    called = "" if job is None or job.display_name == run.job else f" ({job.display_name})"
    tell(with_sign(f"Run {run.number} of {run.job}{called}: {run.state.value}", run.state.value), run.state.value)
    tell(f"started {shown_time(run.started_at)}, ended {shown_time(run.ended_at) or '-'}")
    tell(f"by {_in_words(run.starter)}")
    if run.trigger.kind is TriggerKind.SCHEDULE:
        tell(f"started by the schedule, due {shown_time(run.trigger.due_at)}{', late' if run.trigger.late else ''}")
    for resumption in run.resumed:
        again = ", ".join(names.shown(run.task(ordinal).identifier, run.job) for ordinal in resumption.again)
        tell(f"resumed {shown_time(resumption.at)} by {_in_words(resumption.operator)}: {again}")
    if run.cancelled_by is not None:
        tell(f"asked to stop by {_in_words(run.cancelled_by)}")


def _in_words(operator: Operator) -> str:
    why = "" if operator.reason is None else f": {operator.reason}"
    via = "" if operator.via is None else f" via {operator.via}"
    return one_line(f"{operator.name}{via} on {operator.host} (process {operator.process}){why}")


COMMANDS: tuple[click.Command, ...] = (run, resume, cancel, runs)
