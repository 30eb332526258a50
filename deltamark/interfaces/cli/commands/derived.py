"""Commands about derived values: what is dirty and why, correlation keys, classifications."""

from __future__ import annotations

import click

from deltamark.domain.configuration.jobs import ComputingTask
from deltamark.domain.derivation.explanation import Explanation
from deltamark.interfaces.cli.commands.changes import resource_of, what_changed
from deltamark.interfaces.cli.context import Workspace, format_option, load_functions_option, pass_workspace
from deltamark.interfaces.cli.parameters import Name
from deltamark.interfaces.cli.rendering import Column, Document, Format, Listing, member, render
from deltamark.interfaces.cli.streams import one_line, say
from deltamark.interfaces.cli.task_names import TaskNames
from deltamark.interfaces.cli.times import time_column
from deltamark.interfaces.documents import (
    CAUSE_MEMBERS,
    cause_document,
    classification_document,
    dirty_document,
    key_document,
    pair_document,
)


@click.command(epilog="Example: deltamark dirty --type HR_Person")
@click.option("--type", "entity_type", type=Name("TYPE"), metavar="TYPE", help="Only resources of an entity type.")
@click.option("--task", type=Name("TASK"), metavar="TASK", help="Only what this task would compute.")
@format_option
@load_functions_option
@pass_workspace
def dirty(workspace: Workspace, entity_type: str | None, task: str | None, form: Format, runs_code: bool) -> None:
    """Shows what the tasks with Dirty="true" would compute.

    `since` is the position of the first change that the task has not seen, 0 where it would compute everything.
    `through` names computed values that are computed first: the task computes the resource if one of them changes.
    `deltamark why` explains one of these resources.
    """
    columns = [member(name) for name in ("task", "entity_type", "key", "since", "through")]
    through = Column("through", lambda document: ", ".join(document.get("through", ())), is_list=True)
    with workspace.engine(runs_code=runs_code) as engine:
        names = TaskNames.of(engine.configuration)
        resources = engine.dirty(entity_type, task=task and names.identifier(task))
        documents = [dirty_document(resource) for resource in resources]
        unflagged_after = engine.unflagged_after()
    table = [Column("task", lambda document: names.shown(document["task"])), *columns[1:-1]]
    table += [through] if any("through" in document for document in documents) else []
    render(Listing(documents=documents, columns=columns, table=table), form)
    if unflagged_after is not None:
        say(
            f"Changes beyond position {unflagged_after} have not been flagged yet: what they make dirty is not listed. "
            "Run a job with a SetRecentlyModifiedFlagTask."
        )


@click.command(epilog="Example: deltamark why HR_Person E00042")
@click.argument("entity_type", metavar="TYPE", type=Name("TYPE"))
@click.argument("key", type=Name("KEY"))
@click.option("--task", type=Name("TASK"), metavar="TASK", help="Only why this task would compute it.")
@format_option
@load_functions_option
@pass_workspace
def why(workspace: Workspace, entity_type: str, key: str, task: str | None, form: Format, runs_code: bool) -> None:
    """Shows why tasks with Dirty="true" compute a resource.

    Each row is a change, and the path from the resource to what changed; the path is empty where the resource itself
    was created, deleted or changed. Where there is nothing to compute, it says since when.
    """
    with workspace.engine(runs_code=runs_code) as engine:
        names = TaskNames.of(engine.configuration)
        explanation = engine.why(entity_type, key, task=task and names.identifier(task))
        computing = engine.configuration.all_calls_of(ComputingTask)
        is_whole = not any(isinstance(called.maker, str) for called in computing)
    table = [
        member("position"),
        member("change"),
        Column("resource", lambda document: resource_of(document) if document["change"] else ""),
        Column("what", lambda document: what_changed(document) if document["change"] else "", is_list=True),
        Column("path", _whole_path),
        Column("task", lambda document: document["task"] and names.shown(document["task"])),
        time_column("at"),
        member("run"),
        member("reason"),
    ]
    documents = [cause_document(cause) for cause in explanation.causes]
    if documents or form is not Format.TABLE:
        render(Listing(documents=documents, columns=[member(n) for n in CAUSE_MEMBERS], table=table), form)
    if explanation.derives or is_whole:  # a function that was not loaded, and that was told, may derive something
        for line in _messages(explanation, task):
            say(line)


def _whole_path(document: Document) -> str:
    return ".".join(name for name in (document["path"], document["property"]) if name)


def _messages(explanation: Explanation, task: str | None) -> list[str]:
    """Messages that explain the result, besides the causes."""
    lines, name = [], one_line(str(explanation.ref))
    if not explanation.derives:
        who = 'no task with Dirty="true" derives' if task is None else f"task {task} does not derive"
        return [f"{name} is never flagged: {who} anything of {explanation.ref.entity_type}."]
    if not explanation.live:
        removed = "will be removed" if explanation.is_dirty else "was removed"
        lines.append(f"{name} was deleted; what was derived from it {removed}, too.")
    elif not explanation.is_dirty:
        lines.append(
            f"{name} is clean: every change up to position {explanation.clean_since} is in its derived values."
        )
    if not explanation.all_flagged:
        concern = f"{explanation.unflagged:,} of them concern{'s' if explanation.unflagged == 1 else ''} it"
        concerned = concern if explanation.unflagged else "none concerns it"
        lines.append(
            f"Changes beyond position {explanation.flagged_to} have not been flagged yet; {concerned}. "
            "Run a job with a SetRecentlyModifiedFlagTask."
        )
    return lines


@click.command(epilog="Example: deltamark keys --rule Account_1 --pairs")
@click.option("--rule", type=Name("RULE"), metavar="RULE", help="Only those of this correlation rule.")
@click.option("--pairs", is_flag=True, help="Show pairs of a source and a target with equal keys.")
@format_option
@pass_workspace
def keys(workspace: Workspace, rule: str | None, pairs: bool, form: Format) -> None:
    """Shows the correlation keys, or the pairs they match."""
    names = ("rule", "side", "entity_type", "key", "value")
    if pairs:
        names = (
            "rule", "value", "source_entity_type", "source_key", "target_entity_type", "target_key", "confidence",
        )  # type: ignore[assignment]  # fmt: skip
    columns = [member(name) for name in names]
    with workspace.engine(reading_only=True) as engine:
        if pairs:
            render(Listing(documents=(pair_document(p) for p in engine.matches(rule)), columns=columns), form)
        else:
            render(Listing(documents=(key_document(k) for k in engine.keys(rule)), columns=columns), form)


@click.command(epilog="Example: deltamark classifications --type AD_User")
@click.option("--type", "entity_type", type=Name("TYPE"), metavar="TYPE", help="Only resources of an entity type.")
@format_option
@pass_workspace
def classifications(workspace: Workspace, entity_type: str | None, form: Format) -> None:
    """Shows the resource type found for each resource.

    It also shows by which rule it was found, and with what confidence. Of several rules that hold for a resource, the
    one with the highest confidence counts.
    """
    columns = [member(name) for name in ("entity_type", "key", "resource_type", "rule", "confidence")]
    with workspace.engine(reading_only=True) as engine:
        documents = (classification_document(classification) for classification in engine.classifications(entity_type))
        render(Listing(documents=documents, columns=columns), form)


COMMANDS: tuple[click.Command, ...] = (dirty, why, keys, classifications)
