"""Commands that read the log and the state: `changes`, `history`, `show`, `export`."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import Any

import click
from attrs import evolve

from deltamark.application.history.model import ModelChoice
from deltamark.domain.errors import UsageError
from deltamark.domain.history.changes import LoggedChange, PendingChange, When
from deltamark.domain.message_parts import Place
from deltamark.domain.messages import discarded_by, how_many
from deltamark.domain.resources.resource import Resource, ResourceEvent
from deltamark.domain.runs.run import TriggerKind
from deltamark.domain.values import Value, shown
from deltamark.engine import Engine
from deltamark.interfaces.cell_texts import plain
from deltamark.interfaces.cli.context import Workspace, format_option, pass_workspace
from deltamark.interfaces.cli.export_rows import export_listing
from deltamark.interfaces.cli.output import Output, ending_of, output_options
from deltamark.interfaces.cli.parameters import CONDITION, WHEN, Name, WholeNumber, conditions
from deltamark.interfaces.cli.rendering import Column, Document, Format, Listing, json_line, member, render, write
from deltamark.interfaces.cli.streams import say
from deltamark.interfaces.cli.task_names import TaskNames
from deltamark.interfaces.cli.times import time_column
from deltamark.interfaces.documents import change_document, cloud_event, exported_document, resource_document

_CHANGE_MEMBERS = (
    "position", "at", "change", "entity_type", "key", "association", "other_entity_type", "other_key", "changes",
    "run", "job", "task", "file", "line", "user", "trigger", "by", "reason",
    "grounds",
)  # fmt: skip


def resource_of(document: Document) -> str:
    """The resource of a change, as one text."""
    return f"{document['entity_type']} {document['key']}"


def what_changed(document: Document) -> str:
    """What a change did, as one text."""
    if "association" in document:
        return f"{document['association']}: {document['other_entity_type']} {document['other_key']}"
    return ", ".join(_one_value(document["change"], name, c) for name, c in document["changes"].items())


def _one_value(kind: str, name: str, change: dict[str, Any]) -> str:
    match kind:
        case "created":
            return f"{name}={shown_value(change['after'])}"
        case "deleted":
            return f"{name}={shown_value(change['before'])}"
    return f"{name}: {shown_value(change['before'])} → {shown_value(change['after'])}"


def shown_value(value: object) -> str:
    """A value in a sentence."""
    return "nothing" if value is None else plain(value)


def by_whom(document: Document) -> str:
    """Who caused a change, in a word: the person named with the account, the account, or the schedule."""
    if "by" in document:
        return f"{document['by']} ({document['user']})"
    return str(document["user" if document["trigger"] == TriggerKind.USER.value else "trigger"])


def change_listing(
    changes: Iterable[LoggedChange | PendingChange], names: TaskNames, *, is_live: bool = False
) -> Listing:
    """Changes as rows.

    :param names: the names by which their tasks are shown.
    :param is_live: whether they come as they happen, and are shown one by one.
    """
    return Listing(
        is_live=is_live,
        documents=(change_document(change) for change in changes),
        columns=[member(name) for name in _CHANGE_MEMBERS],
        table=[
            member("position"),
            time_column("at"),
            member("change"),
            Column("resource", resource_of),
            Column("what", what_changed, is_list=True),
            member("run"),
            Column("task", lambda document: names.shown(document["task"], document["job"])),
            Column("by", by_whom),
        ],
    )


def _logged(engine: Engine, changes: Iterable[LoggedChange], form: Format, *, is_live: bool = False) -> Listing:
    """Changes of the log as rows or as CloudEvents."""
    listing = change_listing(changes, TaskNames.of(engine.configuration), is_live=is_live)
    if form is not Format.CLOUDEVENTS:
        return listing
    store = engine.epoch()
    return evolve(listing, documents=(cloud_event(change, store) for change in changes))


@click.command(epilog="Example: deltamark changes --type HR_Person --after 120 --format jsonl")
@click.option("--after", type=WHEN, metavar="WHEN", help="Only those after a moment.")
@click.option("--until", type=WHEN, metavar="WHEN", help="Only those up to a moment.")
@click.option("--type", "entity_type", type=Name("TYPE"), metavar="TYPE", help="Only those of an entity type.")
@click.option("--key", type=Name("KEY"), metavar="KEY", help="Only those of one key.")
@click.option("--run", type=WholeNumber("RUN", 1), metavar="RUN", help="Only those of one run.")
@click.option("--task", type=Name("TASK"), metavar="TASK", help="Only those by one task.")
@click.option("--user", type=Name("USER"), metavar="USER", help="Only those by an account, or for a person (by).")
@click.option(
    "--property", "property_name", type=Name("PROPERTY"), metavar="PROPERTY", help="Only those of a property."
)
@click.option("--association", type=Name("ASSOCIATION"), metavar="ASSOCIATION", help="Only those of its links.")
@click.option(
    "--connector", type=Name("CONNECTOR"), metavar="CONNECTOR", help="Only those of what it feeds, none computed."
)
@click.option("--rule", type=Name("RULE"), metavar="RULE", help="Only values that a rule computed.")
@click.option(
    "--pending", type=WholeNumber("RUN", 1), metavar="RUN", help="Show what a blocked run holds back instead."
)
@click.option("--follow", is_flag=True, help="Show each as it happens, until interrupted.")
@output_options(cloud_events=True)
@pass_workspace
def changes(
    workspace: Workspace,
    after: When | None,
    until: When | None,
    entity_type: str | None,
    key: str | None,
    run: int | None,
    task: str | None,
    user: str | None,
    property_name: str | None,
    association: str | None,
    connector: str | None,
    rule: str | None,
    pending: int | None,
    follow: bool,
    form: Format,
    file: Path | None,
    safe: bool,
) -> None:
    """Shows the log, oldest first.

    A change is shown if it is all that the options name. Where changes were discarded, the rest is shown, and a note
    says so. With --follow it begins with what happens from now on, or after --after.
    """
    filters = (task, user, property_name, association, connector, rule)
    if pending is not None and (follow or any(given is not None for given in (after, until, run, *filters))):
        raise UsageError("--pending shows what did not happen; only --type and --key can be combined with it.")
    if pending is not None and form is Format.CLOUDEVENTS:
        raise UsageError("--pending shows what did not happen, and a CloudEvent is something that did. Use jsonl.")
    if follow and not (until is None and run is None):
        raise UsageError("--follow shows what is still to happen; --until and --run are about the past. Use one.")
    if follow and file is not None:
        raise UsageError("--follow never ends, and a file appears when it is whole. Redirect standard output instead.")
    output = Output(form=form, file=file, is_for_spreadsheets=safe)
    with workspace.engine(reading_only=True) as engine:
        named: dict[str, Any] = {
            "task": task and TaskNames.of(engine.configuration).identifier(task),
            "user": user,
            "property_name": property_name,
            "association": association,
            "connector": connector,
            "rule": rule,
        }
        if pending is not None:
            held_back = engine.pending(pending, entity_type=entity_type, key=key)
            output.give(change_listing(held_back, TaskNames.of(engine.configuration)), "changes")
            return
        begin = after if after is None or isinstance(after, int) else engine.position(after)
        if follow:
            if begin is not None:
                report_erasures(engine, begin)
            # It ends by being interrupted.
            with suppress(KeyboardInterrupt):
                logged = engine.follow(begin, entity_type=entity_type, key=key, **named)
                output.give(_logged(engine, logged, form, is_live=True), "changes")
            return
        kept_only = begin is None and run is None
        logged = engine.changes(
            begin or 0, until, entity_type=entity_type, key=key, run=run, kept_only=kept_only, **named
        )
        output.give(_logged(engine, logged, form), "changes")
        if kept_only:
            _report_horizons(engine, entity_type, association)
        report_erasures(engine, begin or 0, until, run=run)


def report_erasures(engine: Engine, after: When = 0, until: When | None = None, *, run: int | None = None) -> None:
    """Reports how many changes of the log, or of a run, are not shown because they were erased."""
    part = "in that part of the log" if run is None else f"of run {run}"
    for erasure, count in engine.erased_changes(after, until, run=run).items():
        say(f"Not shown: {how_many(count, 'change')} {part}, which run {erasure} erased.")


def _report_horizons(engine: Engine, entity_type: str | None, association: str | None = None) -> None:
    discards: dict[tuple[int, int, str], list[str]] = {}
    for horizon in engine.horizons(entity_type):
        if association is not None and horizon.subject != association:
            continue
        discards.setdefault((horizon.position, horizon.run, horizon.task), []).append(horizon.subject)
    names = TaskNames.of(engine.configuration)
    for (position, run, task), subjects in discards.items():
        say(
            f"Not shown: changes of {', '.join(subjects)} up to position {position}, discarded by "
            f"{discarded_by(names.shown(task), run)}."
        )


@click.command(epilog="Example: deltamark history HR_Person E00042")
@click.argument("entity_type", metavar="TYPE", type=Name("TYPE"))
@click.argument("key", type=Name("KEY"))
@click.option("--after", type=WholeNumber("POSITION", 0), metavar="POSITION", help="Only those after this position.")
@click.option("--until", type=WHEN, metavar="WHEN", help="Only those up to a moment.")
@output_options(cloud_events=True)
@pass_workspace
def history(
    workspace: Workspace,
    entity_type: str,
    key: str,
    after: int | None,
    until: When | None,
    form: Format,
    file: Path | None,
    safe: bool,
) -> None:
    """Shows the changes of one resource and of its links.

    The oldest comes first.
    """
    output = Output(form=form, file=file, is_for_spreadsheets=safe)
    with workspace.engine(reading_only=True) as engine:
        logged = engine.history(entity_type, key, after=after or 0, until=until, kept_only=after is None)
        output.give(_logged(engine, logged, form), "changes")
        if after is None:
            _report_horizons(engine, entity_type)


@click.command(epilog="Example: deltamark show HR_Person E00042 --at run:1")
@click.argument("entity_type", metavar="TYPE", type=Name("TYPE"))
@click.argument("key", type=Name("KEY"))
@click.option("--at", type=WHEN, metavar="WHEN", help="As it was at a position, a time or the end of run:N.")
@format_option
@pass_workspace
def show(workspace: Workspace, entity_type: str, key: str, at: When | None, form: Format) -> None:
    """Shows one resource with its links, now or as it was.

    Properties that are computed are marked.
    """
    with workspace.engine(reading_only=True) as engine:
        resource = engine.resource(entity_type, key, at=at)
        if resource is None:
            raise UsageError(_why_not(engine, entity_type, key, at)).about(Place(entity_type=entity_type, key=key))
        document = resource_document(resource, engine.links(entity_type, key, at=at))
    if form.is_json:
        write([json_line(document)])
        return
    rows = _rows_of(resource, document)
    columns = [member("name"), member("value"), member("computed")]
    render(Listing(documents=rows, columns=columns, table=columns if document["computed"] else columns[:2]), form)


def _why_not(engine: Engine, entity_type: str, key: str, at: When | None) -> str:
    # Raises an error of its own if there never was such a resource.
    own = [c for c in engine.history(entity_type, key, kept_only=True) if isinstance(c.event, ResourceEvent)]
    if at is None:
        where = f" at position {own[-1].position}, in run {own[-1].run}" if own else ""
        return f"{entity_type} {shown(key)} was deleted{where}. Show it as it was with --at."
    position = engine.position(at)
    before, later = [c for c in own if c.position <= position], [c for c in own if c.position > position]
    if before:
        turn = f" It had been deleted at position {before[-1].position}, in run {before[-1].run}."
    else:
        turn = f" It was created at position {later[0].position}, in run {later[0].run}." if later else ""
    return f"there was no {entity_type} {shown(key)} at that moment.{turn} `deltamark history` shows when there was."


def _rows_of(resource: Resource, document: Document) -> list[Document]:
    rows: list[Document] = [
        {"name": name, "value": value, "computed": True if name in resource.computed else None}
        for name, value in resource.values.items()
    ]
    rows += [{"name": name, "value": key} for name, keys in document["links"].items() for key in keys]
    return rows + [{"name": f"{name} (from)", "value": k} for name, ks in document["linked_from"].items() for k in ks]


@click.command(epilog="Example: deltamark export HR_Person --at run:1 -o people.csv")
@click.argument("entity_type", metavar="TYPE", type=Name("TYPE"))
@click.option("--at", type=WHEN, metavar="WHEN", help="As they were at a position, a time or the end of run:N.")
@click.option(
    "--model",
    type=click.Choice(["then", "now"]),
    default="then",
    show_default=True,
    help="With the properties and associations of that moment, or with the present ones.",
)
@click.option("--where", multiple=True, type=CONDITION, metavar="PROPERTY=VALUE", help="Only those with this value.")
@output_options()
@pass_workspace
def export(
    workspace: Workspace,
    entity_type: str,
    at: When | None,
    model: ModelChoice,
    where: tuple[tuple[str, Value], ...],
    form: Format,
    file: Path | None,
    safe: bool,
) -> None:
    """Shows all resources of a type with their links.

    They come in key order, as they are now or as they were at a moment. What --model now leaves out is said.
    """
    output = Output(form=form, file=file, is_for_spreadsheets=safe)
    rows = f"resources of {entity_type}"
    wanted = conditions(where)
    with workspace.engine(reading_only=True) as engine:
        if file is not None and ending_of(file) in (".parquet", ".arrow"):
            from deltamark.interfaces.cli.parquet import write_resources  # with pyarrow, as above

            say(f"{write_resources(engine, entity_type, at, model, file, wanted):,} {rows} written to {file}.")
        else:
            shown_by, resources = engine.export_view(entity_type, at, model=model, where=wanted)
            output.give(export_listing(shown_by, map(exported_document, resources)), rows)
        if model == "now":
            for misfit in engine.misfits(entity_type, at):
                say(
                    f"Not shown: {misfit.name} of {how_many(misfit.resources, 'resource')}, because it {misfit.reason}."
                )
        if at is not None:
            report_erasures(engine, until=at)


COMMANDS: tuple[click.Command, ...] = (changes, history, show, export)
