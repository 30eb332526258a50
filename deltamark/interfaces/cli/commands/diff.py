"""Commands that compare two moments: `diff` and `audit`."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import click

from deltamark.domain.errors import UsageError
from deltamark.domain.history.changes import When
from deltamark.domain.history.intervals import HeldLink, HeldValue
from deltamark.domain.history.report import ResourceReport
from deltamark.domain.messages import discarded_by
from deltamark.engine import Engine
from deltamark.interfaces.cli.commands.changes import (
    by_whom,
    report_erasures,
    resource_of,
    shown_value,
    what_changed,
)
from deltamark.interfaces.cli.context import Workspace, pass_workspace
from deltamark.interfaces.cli.output import Output, output_options
from deltamark.interfaces.cli.parameters import WHEN, Name
from deltamark.interfaces.cli.rendering import Column, Document, Format, Listing, member
from deltamark.interfaces.cli.streams import say
from deltamark.interfaces.cli.task_names import TaskNames
from deltamark.interfaces.cli.times import shown_time
from deltamark.interfaces.documents import delta_document, held_document, report_documents

_DELTA_MEMBERS = ("change", "entity_type", "key", "association", "other_entity_type", "other_key", "changes")
_BOUND_MEMBERS = ("position", "at", "run", "job", "task", "user", "trigger", "file", "line", "by", "reason", "grounds")


@click.command(epilog="Example: deltamark diff HR_Person --from run:1 --to run:2")
@click.argument("entity_type", metavar="TYPE", type=Name("TYPE"))
@click.option("--from", "from_", type=WHEN, metavar="WHEN", required=True, help="A position, a time or run:N.")
@click.option("--to", type=WHEN, metavar="WHEN", required=True, help="Another moment, also an earlier one.")
@output_options()
@pass_workspace
def diff(
    workspace: Workspace, entity_type: str, from_: When, to: When, form: Format, file: Path | None, safe: bool
) -> None:
    """Shows what differs between two moments.

    Resources of a type come first, then the links that start or end at one. Each is shown once, however often it
    changed in between, and not at all if it is the same at both moments.
    """
    output = Output(form=form, file=file, is_for_spreadsheets=safe)
    with workspace.engine(reading_only=True) as engine:
        documents = (delta_document(delta) for delta in engine.diff(entity_type, from_, to))
        columns = [member(name) for name in _DELTA_MEMBERS]
        table = [member("change"), Column("resource", resource_of), Column("what", what_changed, is_list=True)]
        output.give(Listing(documents=documents, columns=columns, table=table), "differences")
        report_erasures(engine, *sorted((from_, to), key=engine.position))


@click.command(epilog="Example: deltamark audit --association Members --between run:1 run:9")
@click.option("--type", "entity_type", type=Name("TYPE"), metavar="TYPE", help="The entity type, with --property.")
@click.option("--property", "property_name", type=Name("PROPERTY"), metavar="PROPERTY", help="Whose values are shown.")
@click.option("--association", type=Name("ASSOCIATION"), metavar="ASSOCIATION", help="Instead, whose links are shown.")
@click.option("--key", type=Name("KEY"), metavar="KEY", help="Only that resource; of links, at either end.")
@click.option(
    "--person", type=(Name("TYPE"), Name("KEY")), metavar="TYPE KEY", help="Instead, everything about one resource."
)
@click.option("--between", type=(WHEN, WHEN), metavar="WHEN WHEN", help="Positions, times or run:N.")
@output_options()
@pass_workspace
def audit(
    workspace: Workspace,
    entity_type: str | None,
    property_name: str | None,
    association: str | None,
    key: str | None,
    person: tuple[str, str] | None,
    between: tuple[When, When] | None,
    form: Format,
    file: Path | None,
    safe: bool,
) -> None:
    """Shows who had what between two moments.

    That is the values of a property or the links of an association, each with the changes that began and ended it,
    also if those lie outside the two moments.

    With --person it is one report of all that a resource was, had and was computed to be, across its links. Without
    --between it is about the whole log.
    """
    output = Output(form=form, file=file, is_for_spreadsheets=safe)
    if person is not None:
        if any(option is not None for option in (entity_type, property_name, association, key)):
            raise UsageError("--person is everything about one resource. Combine it with --between alone.")
        with workspace.engine(reading_only=True) as engine:
            report = engine.report(*person, *(between or (None, None)))
            output.give(_report_listing(report), "rows")
            _say_what_is_missing(engine, report)
        return
    if between is None:
        raise click.UsageError("Missing option '--between'.")
    ask = _question(entity_type, property_name, association)
    with workspace.engine(reading_only=True) as engine:
        documents = (held_document(interval) for interval in ask(engine, between, key))
        output.give(_audit_listing(documents, is_of_links=association is not None), "rows")
        report_erasures(engine, until=between[1])


_Question = Callable[[Engine, tuple[When, When], str | None], Iterator[HeldValue | HeldLink]]


def _question(entity_type: str | None, property_name: str | None, association: str | None) -> _Question:
    if association is not None and entity_type is None and property_name is None:
        return lambda engine, between, key: engine.audit_association(association, *between, key=key)
    if entity_type is not None and property_name is not None and association is None:
        return lambda engine, between, key: engine.audit(entity_type, property_name, *between, key=key)
    raise UsageError(
        "nothing to audit was named. Use --type TYPE and --property PROPERTY, or --association ASSOCIATION."
    )


def _audit_listing(documents: Iterable[Document], *, is_of_links: bool) -> Listing:
    if is_of_links:
        members = [member(n) for n in ("association", "entity_type", "key", "other_entity_type", "other_key")]
        what = [Column("resource", resource_of), Column("linked to", _other)]
    else:
        members = [member(name) for name in ("entity_type", "key", "property", "value")]
        what = [member("key"), member("value")]
    bounds = [_of_bound(bound, name) for bound in ("from", "until") for name in _BOUND_MEMBERS]
    table = [
        *what,
        Column("from", lambda document: _moment(document["from"])),
        Column("run", lambda document: _run(document["from"])),
        Column("by", lambda document: document["from"] and by_whom(document["from"])),
        Column("until", lambda document: _moment(document["until"])),
        Column("run", lambda document: _run(document["until"])),
        Column("by", lambda document: document["until"] and by_whom(document["until"])),
    ]
    return Listing(documents=documents, columns=members + bounds, table=table)


_REPORT_MEMBERS = ("what", "name", "value", "rule", "other_entity_type", "confidence", "run", "task")


def _report_listing(report: ResourceReport) -> Listing:
    bounds = [_of_bound(bound, name) for bound in ("from", "until") for name in _BOUND_MEMBERS]
    columns = [_optional(name) for name in _REPORT_MEMBERS]
    table = [
        member("what"),
        member("name"),
        Column("value", _reported_value),
        *_shown_bound("from"),
        *_shown_bound("until"),
    ]
    return Listing(documents=report_documents(report), columns=[*columns, *bounds], table=table)


def _optional(name: str) -> Column:
    return Column(name, lambda document: document.get(name))


def _shown_bound(bound: str) -> list[Column]:
    """The columns of a change that began or ended something, for people."""
    return [
        Column(bound, lambda document: _moment(document.get(bound))),
        Column("run", lambda document: _run(document.get(bound))),
        Column("by", lambda document: document.get(bound) and by_whom(document[bound])),
        Column("because", lambda document: _because(document.get(bound))),
    ]


def _reported_value(document: Document) -> str:
    value = shown_value(document["value"])
    return f"{document['other_entity_type']} {value}" if "other_entity_type" in document else value


def _because(bound: Document | None) -> str | None:
    if bound is None:
        return None
    if "grounds" in bound:
        return str(bound["grounds"]["words"])
    return f"line {bound['line']} of {bound['file']}" if "line" in bound else None


def _say_what_is_missing(engine: Engine, report: ResourceReport) -> None:
    names = TaskNames.of(engine.configuration)
    for horizon in report.horizons:
        say(
            f"Not known before position {horizon.position}: changes of {horizon.subject}, discarded by "
            f"{discarded_by(names.shown(horizon.task), horizon.run)}."
        )
    if report.keys or report.matches or report.classification is not None:
        say("Keys, matches and the classification are those of now: the log does not hold those of the past.")
    report_erasures(engine, report.first, report.last)


def _other(document: Document) -> str:
    return f"{document['other_entity_type']} {document['other_key']}"


def _of_bound(bound: str, name: str) -> Column:
    return Column(f"{bound}_{name}", lambda document: document.get(bound) and document[bound].get(name))


def _moment(bound: Document | None) -> str | None:
    return None if bound is None else shown_time(bound["at"])


def _run(bound: Document | None) -> int | None:
    return None if bound is None else int(bound["run"])


COMMANDS: tuple[click.Command, ...] = (diff, audit)
