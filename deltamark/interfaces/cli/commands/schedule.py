"""Commands about the schedule: `schedule` and `health`."""

from __future__ import annotations

from threading import Event

import click

from deltamark.application.runs.observer import Observer
from deltamark.application.scheduling.health import Health
from deltamark.application.scheduling.notices import Notice, NoticeKind
from deltamark.domain.errors import DeltamarkError
from deltamark.interfaces.cli.context import Workspace, format_option, leave_out_option, pass_workspace
from deltamark.interfaces.cli.next_steps import command_lines
from deltamark.interfaces.cli.rendering import Format, Listing, json_line, member, render, write
from deltamark.interfaces.cli.signals import finishing_first
from deltamark.interfaces.cli.streams import one_line, results, say, tell
from deltamark.interfaces.cli.styles import with_sign
from deltamark.interfaces.cli.times import shown_time
from deltamark.interfaces.documents import health_document, notice_document
from deltamark.interfaces.notifier import notifying
from deltamark.interfaces.traces import traces_to


@click.command(epilog="Example: deltamark schedule --format jsonl")
@click.option(
    "--format",
    "form",
    type=click.Choice([Format.TABLE.value, Format.JSONL.value]),
    callback=lambda _, __, value: Format(value),
    default=Format.TABLE.value,
    help="Lines for people, on standard error; jsonl (one object a line) for programs.",
)
@leave_out_option
@pass_workspace
def schedule(workspace: Workspace, form: Format) -> None:
    """Runs jobs at the times of their CronTabExpression.

    It does so until it is stopped. Any number of schedulers may share a store: one starts jobs, and another takes over
    when it is gone. What was missed runs once, late. A changed configuration is loaded again between runs.

    SIGTERM, SIGHUP or Ctrl-C end it when the running tasks have ended: exit status 0. A second signal ends it at once,
    undoes the running task, and gives 128 and the number of the signal. Exit status 2 if no job has a schedule.
    """
    stop = Event()
    with (
        workspace.engine(create=True, reload=True, runs_code=True) as engine,
        finishing_first(stop),
        notifying(engine, say),
        traces_to(workspace.settings().traces) as traces,
    ):
        show = _print_notice if form is Format.JSONL else _say_notice

        def told(notice: Notice) -> None:
            if notice.kind is NoticeKind.STARTED and notice.run is not None:
                traces.run_started(notice.run, notice.job, notice.at)
            show(notice)
            if notice.kind is NoticeKind.ENDED and notice.run is not None:
                traces.run_ended(notice.run, notice.state)

        engine.schedule(stop, told=told, observer=traces.watching(Observer()))
    if form is Format.TABLE:
        say("Stopped.")


def _print_notice(notice: Notice) -> None:
    with results():
        write([json_line(notice_document(notice))])


def _say_notice(notice: Notice) -> None:
    state = None if notice.state is None else notice.state.value
    say(f"{shown_time(notice.at, 'seconds')}  {line_of(notice)}", state)


def line_of(notice: Notice) -> str:
    """What a notice says, without its time."""
    due_at = shown_time(notice.due_at, "seconds") if notice.due_at else ""
    reason = f": {notice.words}" if notice.words else ""
    match notice.kind:
        case NoticeKind.LEADS:
            return "This scheduler starts the jobs of this store."
        case NoticeKind.WAITS:
            return "Another scheduler starts the jobs of this store; this one takes over when that one is gone."
        case NoticeKind.NEXT:
            return f"{notice.job}: next at {due_at}" if notice.job else f"Nothing to do{reason}."
        case NoticeKind.STARTED:
            late = f", late: it was due at {due_at}" if notice.late else ""
            return f"{notice.job}: run {notice.run} started{late}"
        case NoticeKind.ENDED:
            state = with_sign(notice.state.value, notice.state.value) if notice.state else "ended"
            return f"{notice.job}: run {notice.run} {state}{reason}"
        case NoticeKind.REFUSED:
            return f"{notice.job}: due at {due_at}, tried again until it can start{reason}"
        case NoticeKind.RELOADED:
            return "The configuration was changed, and loaded again."
        case NoticeKind.TROUBLE:
            return f"{notice.job}{reason}" if notice.job else notice.words


@click.command(epilog="Example: deltamark health --writable")
@click.option("--writable", is_flag=True, help="Check that the store can be written, too; writes nothing.")
@format_option
@pass_workspace
def health(workspace: Workspace, writable: bool, form: Format) -> int:
    """Checks the schedule and what feeds the store.

    All is well if the configuration and the store can be opened, a scheduler is at work, no scheduled job is overdue,
    the last run of each neither failed, was blocked nor was aborted, no run holds the changes of a connector back, and
    a connector feeds all that the store holds, except what is frozen on purpose.
    Exit status 0 if so, otherwise 1, and it prints what is wrong. Meant for monitoring.
    """
    try:
        with workspace.engine() as engine:
            report = engine.health(writable=writable)
    except DeltamarkError as e:
        report = Health(has_scheduler=False, jobs=(), problems=[str(e)], next_steps=e.next_steps)
    if form.is_json:
        write([json_line(health_document(report))])
    elif form is Format.CSV:
        render(Listing(documents=[{"problem": words} for words in report.problems], columns=[member("problem")]), form)
    else:
        for line in report.problems or [_well(report)]:
            tell(line)
        for unfed in report.unfed:
            if unfed.freeze is not None:
                say(one_line(f"{unfed.text}."))
        for line in command_lines(report.next_steps):
            tell(line)
    return 0 if report.is_well else 1


def _well(report: Health) -> str:
    times = sorted((job.next_at, job.job) for job in report.jobs if job.next_at is not None)
    if not times:
        return "All is well; no job has a CronTabExpression."
    at, job = times[0]
    return f"All is well. The next job is {job}, at {shown_time(at, 'seconds')}."


COMMANDS: tuple[click.Command, ...] = (schedule, health)
