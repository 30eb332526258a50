"""Commands about a workspace: `init`, `validate`, `check`, `jobs`, `tasks`."""

from __future__ import annotations

import os
from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path
from textwrap import wrap
from urllib.parse import quote, unquote

import click

from deltamark import bootstrap
from deltamark.application.scheduling.due import next_due
from deltamark.application.services import utc_now
from deltamark.application.synchronization.hold_back import left_out_by_job
from deltamark.config.check import Judgement
from deltamark.config.new_workspace import CONFIGURATION, workspace_files
from deltamark.config.xml.xsd import FILE_NAME, configuration_schema
from deltamark.domain.configuration.configuration import Configuration
from deltamark.domain.configuration.entity_model import Connection
from deltamark.domain.configuration.jobs import ComputingTask, Task
from deltamark.domain.configuration.packages import FOLDER
from deltamark.domain.errors import DeltamarkError, Fault, StoreMissing, UsageError
from deltamark.domain.messages import how_many
from deltamark.domain.proposal.names import entity_type_name
from deltamark.domain.proposal.proposal import Note, Proposal
from deltamark.domain.runs.run import LeftOut
from deltamark.domain.secrets import has_password
from deltamark.domain.validation.validate import in_file_order
from deltamark.domain.values import shown
from deltamark.infrastructure.sample_company import write_workspace
from deltamark.infrastructure.system.atomic_file import whole_file
from deltamark.infrastructure.system.new_files import new_files
from deltamark.infrastructure.system.time_zone import local_zone
from deltamark.interfaces.cli.commands.runs import say_left_out
from deltamark.interfaces.cli.context import (
    Workspace,
    format_option,
    leave_out_option,
    load_functions_option,
    pass_workspace,
)
from deltamark.interfaces.cli.next_steps import command_lines
from deltamark.interfaces.cli.parameters import Name
from deltamark.interfaces.cli.rendering import Column, Document, Format, Listing, member, render
from deltamark.interfaces.cli.streams import one_line, say, tell
from deltamark.interfaces.cli.times import time_column
from deltamark.interfaces.document_types import FaultDocument
from deltamark.interfaces.documents import fault_document, job_document

_SQLITE = b"SQLite format 3\0"


@click.command(epilog="Example: deltamark init --from exports/*.csv")
@click.argument("paths", metavar="DIR | FILE...", nargs=-1, type=Name("DIR | FILE..."))
@click.option("--from", "is_from", is_flag=True, help="Propose a configuration for your files or server.")
@click.option("--user", metavar="NAME", help="Who signs in to the server.")
@click.option("--password", metavar="env:NAME", help="Where the password is.")
@click.option("--authority", metavar="FILE", help="The certificates that verify the server.")
@click.option("--people", default=100, show_default=True, type=click.IntRange(100, 1_000_000), help="How many people.")
@click.option(
    "--seed",
    default=1,
    show_default=True,
    type=click.IntRange(0, 2**31 - 1),
    help="Another number, another company.",
)
def init(
    paths: Sequence[str],
    is_from: bool,
    user: str | None,
    password: str | None,
    authority: str | None,
    people: int,
    seed: int,
) -> None:
    """Writes a working workspace, also for your own files.

    DIR gets deltamark.toml, a commented configuration in XML and the extracts of an invented company. Nothing that
    exists is replaced.

    With --from the working directory gets a configuration for the files of one folder: keys, types, formats and links
    as they show them. What was guessed is printed; what is doubtful has a ?. In place of files, name a server
    (sqlite:///, postgresql://, mysql://, oracle://, sqlserver://, ldaps://), and then some of its tables, if not all.
    """
    settings = {"user": user, "password": password, "authority": authority}
    given = {name: value for name, value in settings.items() if value is not None}
    if is_from and paths and _is_sqlite(Path(paths[0])):
        paths = [f"sqlite:///{quote(paths[0])}", *paths[1:]]
    if is_from and paths and "://" in paths[0]:
        _init_from_server(paths[0], given, paths[1:])
        return
    if given:
        raise UsageError(f"--{next(iter(given))} belongs to the address of a server after --from. Name it.")
    if is_from:
        _init_from(paths)
        return
    if len(paths) != 1:
        raise click.UsageError("name one folder, or your files after --from", click.get_current_context())
    (folder,) = paths
    more = {FILE_NAME: configuration_schema()}
    for path in write_workspace(Path(folder), people=people, seed=seed, more=more):
        tell(one_line(str(path)))
    say(f"Now run: cd {folder} && deltamark run Incremental")


def _is_sqlite(path: Path) -> bool:
    """Whether a file is a database of SQLite, by its first bytes."""
    try:
        with path.open("rb") as stream:
            return stream.read(len(_SQLITE)) == _SQLITE
    except OSError:
        return False


def _init_from(paths: Sequence[str]) -> None:
    files = _files(paths)
    folders = list(dict.fromkeys(os.path.relpath(file.parent) for file in files))
    if len(folders) > 1:
        raise UsageError(
            f"the files are in several folders ({', '.join(folders[:3])}). Put the extracts into one, and name that."
        )
    proposal = bootstrap.proposal_for(files, connector=_connector_here())
    if proposal.description is None:
        written = workspace_files(proposal, exports=Path(folders[0]).as_posix())
    else:
        connection = {FOLDER: Path(folders[0]).as_posix()}
        written = workspace_files(proposal, exports="exports", connection=connection)
    _write_proposal(proposal, written)


def _init_from_server(server: str, settings: Mapping[str, str], names: Sequence[str]) -> None:
    if has_password(server):
        raise UsageError(
            "the address holds a password, which every user of this machine can see in the list of processes. Write "
            "--user NAME --password env:VARIABLE (or file:PATH, credential:NAME), and change the password."
        )
    server, below = _split(server)
    settings = {**settings, **({"base": below} if below else {})}
    proposal = bootstrap.proposal_for_server(server, settings, names, connector=_connector_here())
    assert proposal.description is not None, "a server was described"
    given = {name: value for name, value in settings.items() if name != "base"}
    connection = {"server": server, **given, **proposal.description.settings}
    _write_proposal(proposal, workspace_files(proposal, exports="exports", connection=connection))


def _split(server: str) -> tuple[str, str]:
    """The address of a directory without its path, and the name in that path, below which is read."""
    if not server.startswith(("ldap://", "ldaps://")):
        return server, ""
    scheme, _, rest = server.partition("://")
    host, _, path = rest.partition("/")
    return f"{scheme}://{host}", unquote(path)


def _connector_here() -> str:
    """The name of the working directory, as a connector can have it."""
    name = entity_type_name(Path.cwd().name, ())
    return name[:1].upper() + name[1:]


def _write_proposal(proposal: Proposal, written: Mapping[str, str]) -> None:
    places = [Path(name) for name in written]
    with new_files(places, would_be_read=sorted(Path(CONFIGURATION).rglob("*.xml"))):
        for place, text in zip(places, written.values(), strict=True):
            with whole_file(place, is_new=True) as stream:
                stream.write(text.encode())
    _say_proposal(proposal)
    for place in places:
        tell(one_line(str(place)))
    say(f"Now run: deltamark check && deltamark run {proposal.job.identifier}")


def _files(paths: Sequence[str]) -> list[Path]:
    """The files that are named: those of a folder, and those that a pattern finds where the shell finds none."""
    from deltamark.infrastructure.extracts.formats import ENDINGS  # with DuckDB, which other commands here do not need

    files: list[Path] = []
    for path in map(Path, paths):
        if path.is_dir():
            files += sorted(file for file in path.iterdir() if file.name.lower().endswith(ENDINGS) and file.is_file())
        elif "*" in path.name and not path.exists():
            files += sorted(path.parent.glob(path.name))
        elif path.exists():
            files.append(path)
        else:
            raise UsageError(f"there is no file {path}. Name the files from which the workspace is to be made.")
    if not files:
        raise UsageError("no file is named. Write for example: deltamark init --from exports/*.csv")
    return list(dict.fromkeys(files))


def _say_proposal(proposal: Proposal) -> None:
    """What was guessed, file by file, in lines of 80 columns; a ? marks what is doubtful."""
    file = ""
    for note in proposal.notes:
        if not note.column:
            lead = "" if note.file != file else "  "
            _say_note(f"{lead}{note.file}: {note.text}", note)
            file = note.file
        else:
            _say_note(f"  {note.column}: {note.text}", note)
    doubtful = sum(note.is_unsure for note in proposal.notes)
    if doubtful:
        verb = "is" if doubtful == 1 else "are"
        tell(f"{how_many(doubtful, 'guess').replace('guesss', 'guesses')} {verb} doubtful, marked with ?")


def _say_note(text: str, note: Note) -> None:
    mark = "? " if note.is_unsure else "  "
    blanks = " " * (len(text) - len(text.lstrip()) + 4)
    for line in wrap(text.strip(), 80, initial_indent=mark + blanks[4:], subsequent_indent="  " + blanks):
        tell(one_line(line))


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


@click.command(epilog="Example: deltamark check")
@format_option
@leave_out_option
@pass_workspace
def check(workspace: Workspace, form: Format) -> int:
    """Checks the sources against the configuration.

    Every row of the extracts is read as a run reads it: files and headers that are missing, values that are not of the
    type or Format, keys that are empty or repeat, links that name no resource, and thresholds that a single change of a
    small table would exceed. Connections are asked as `deltamark connections` does: sources whether they can be read,
    sinks whether they take changes. Channels of [deltamark.notify] are tried; nothing is sent by them.

    Exit status 2 if the configuration has a fault or a run would fail; rows that a run would set aside are warnings.
    """
    checked = workspace.loaded()
    report = bootstrap.checked_sources(checked, workspace.settings().export_output)
    connections = (*checked.configuration.sources, *checked.configuration.sinks)
    faults = (*report.faults, *_unusable(workspace, connections))
    warnings = (*report.warnings, *_unusable_channels(workspace))
    _print_faults(_ordered({"error": faults, "warning": warnings}), form)
    files = f"{how_many(report.files, 'file')}, {how_many(report.rows, 'row')}"
    if connections:
        files += f", {how_many(len(connections), 'connection')}"
    if faults:
        say(f"{how_many(len(faults), 'fault')} would fail a run; read were {files}.")
        return 2
    doubts = how_many(len(warnings), "warning") if warnings else "nothing wrong"
    say(f"The sources can be read: {files}, {doubts}.")
    return 0


def _unusable(workspace: Workspace, connections: Collection[Connection]) -> list[Fault]:
    """Why sources cannot be read, and sinks take no changes."""
    if not connections:
        return []
    with workspace.engine(create=True, dry_run=True) as engine:
        return [
            Fault(connection.location, f"connection {shown(connection.identifier)} cannot be used: {problem}")
            for connection in connections
            for problem in engine.probe(connection.identifier).problems
        ]


def _unusable_channels(workspace: Workspace) -> list[Fault]:
    """Why people could not be told of runs. It fails no run, and so is a warning."""
    if not workspace.settings().channels:
        return []
    with workspace.engine(create=True, dry_run=True) as engine:
        return [
            Fault(None, f"channel {shown(name)} of [deltamark.notify] cannot be used: {problem}")
            for name in engine.channels
            for problem in engine.probe_channel(name).problems
        ]


def _in_order(judgement: Judgement) -> list[FaultDocument]:
    """Faults, warnings and notices together, in file order."""
    severities = {"error": judgement.faults, "warning": judgement.warnings}
    severities["notice"] = (*judgement.notices, *judgement.unjudged)
    return _ordered(severities)


def _ordered(severities: Mapping[str, Collection[Fault]]) -> list[FaultDocument]:
    located = {id(fault): (severity, fault) for severity, faults in severities.items() for fault in faults}
    ordered = in_file_order(fault for _, fault in located.values())
    return [fault_document(*located[id(fault)]) for fault in ordered]


def _print_faults(faults: list[FaultDocument], form: Format) -> None:
    if form is not Format.TABLE:
        columns = [member(name) for name in ("severity", "file", "line", "column", "message")]
        render(Listing(documents=faults, columns=columns), form)
        return
    for fault in faults:
        place = ":".join(str(part) for part in (fault["file"], fault["line"], fault["column"]) if part is not None)
        kind = "" if fault["severity"] == "error" else f"{fault['severity']}: "
        tell(one_line(f"{place + ': ' if place else ''}{kind}{fault['message']}"))


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
    names = Column(
        "left_out", lambda row: ", ".join(found["connector"] for found in row.get("left_out", ())), is_list=True
    )
    now = utc_now()
    documents = [
        job_document(job, next_due(job, now, local_zone), left_out.get(job.identifier, ()))
        for job in configuration.jobs
    ]
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


@click.command(epilog="Example: deltamark tasks --format jsonl")
@format_option
@leave_out_option
@pass_workspace
def tasks(workspace: Workspace, form: Format) -> None:
    """Shows the tasks of every job, in order.

    Tasks that no job calls come last.
    """
    configuration = workspace.loaded().configuration
    job, task, display_name, *others = map(
        member, ("job", "task", "display_name", "kind", "level", "works_on", "dirty")
    )
    others.append(Column("depends_on", lambda document: ", ".join(document["depends_on"]), is_list=True))
    columns, table = [job, task, *others, display_name], [job, task, display_name, *others]
    render(Listing(documents=list(_tasks(configuration)), columns=columns, table=table), form)


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
        "display_name": task.display_name,
        "kind": task.kind,
        "level": None if task.level < 0 else task.level,
        "works_on": task.works_on,
        "dirty": task.dirty if isinstance(task, ComputingTask) else None,
        "depends_on": list(task.parents),
    }


COMMANDS: tuple[click.Command, ...] = (init, validate, check, jobs, tasks)
