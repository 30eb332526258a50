"""The command `simulate`: what derived values would be under another configuration."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import click
from attrs import evolve

from deltamark.domain.derivation.simulation import SAMPLES, DerivedChange, DerivedDifference, DerivedKind
from deltamark.domain.history.changes import When
from deltamark.domain.messages import how_many
from deltamark.domain.values import Value, shown
from deltamark.interfaces.cli.context import Workspace, format_option, leave_out_option, pass_workspace
from deltamark.interfaces.cli.parameters import WHEN, Name, WholeNumber
from deltamark.interfaces.cli.progress import CopyProgress
from deltamark.interfaces.cli.rendering import Column, Format, Listing, count_column, member, render
from deltamark.interfaces.cli.streams import one_line, say
from deltamark.interfaces.documents import derived_difference_document

if TYPE_CHECKING:
    from deltamark.application.simulation.simulate import Simulation

_MEMBERS = ("kind", "entity_type", "name", "added", "changed", "removed", "samples")

_NOUNS = {
    DerivedKind.PROPERTY: "property",
    DerivedKind.SOURCE_KEY: "source key of rule",
    DerivedKind.TARGET_KEY: "target key of rule",
    DerivedKind.MATCH: "matches of rule",
    DerivedKind.CLASSIFICATION_RULE: "classification rule",
    DerivedKind.CLASSIFICATION: "classification",
}


@click.command(epilog="Example: deltamark simulate --configuration proposal --at run:7")
@click.option(
    "--configuration", "proposal", metavar="PATH", required=True, help="The other configuration: a file or a folder."
)
@click.option("--at", type=WHEN, metavar="WHEN", help="Over the state at a position, a time or the end of run:N.")
@click.option("--job", type=Name("JOB"), metavar="JOB", help="Only what the tasks of this job compute.")
@click.option(
    "--samples",
    type=WholeNumber("N", 0),
    metavar="N",
    default=SAMPLES,
    show_default=True,
    help="How many changes of each property and rule are shown.",
)
@format_option
@leave_out_option
@pass_workspace
def simulate(workspace: Workspace, proposal: str, at: When | None, job: str | None, samples: int, form: Format) -> None:
    """Shows what other rules would compute.

    Computed properties, correlation keys, matched pairs and classifications, as a difference from what they are now, or
    were at a moment: exactly what adopting the configuration and computing everything would give. Nothing is written to
    the store. Functions of tasks are called, as in a run.
    """
    with (
        evolve(workspace, configuration=proposal).engine(runs_code=True) as engine,
        CopyProgress(f"computing under {proposal}") as progress,
    ):
        simulation = engine.simulate(engine.configuration, at, job, samples=samples, told=progress)
    documents = [derived_difference_document(difference) for difference in simulation.differences]
    texts = {id(document): item for document, item in zip(documents, simulation.differences, strict=True)}
    table = [
        Column("what", lambda document: _name(texts[id(document)])),
        *(count_column(name) for name in ("added", "changed", "removed")),
    ]
    if samples:
        table.append(Column("such as", lambda document: _samples(texts[id(document)])))
    if documents or form is not Format.TABLE:
        render(Listing(documents=documents, columns=[member(name) for name in _MEMBERS], table=table), form)
    for line in _in_all(simulation):
        say(one_line(line))


def _name(difference: DerivedDifference) -> str:
    noun = _NOUNS[difference.kind]
    return (
        f"{noun} {difference.name} of {difference.entity_type}"
        if difference.name
        else (f"{noun} of {difference.entity_type}")
    )


def _samples(difference: DerivedDifference) -> str:
    return "; ".join(_sample(difference.kind, change) for change in difference.samples)


def _sample(kind: DerivedKind, change: DerivedChange) -> str:
    match kind:
        case DerivedKind.MATCH:
            return f"{change.key} – {change.other_key}"
        case DerivedKind.CLASSIFICATION_RULE:
            return change.key
    return f"{change.key}: {_value(change.before)} → {_value(change.after)}"


def _value(value: Value) -> str:
    return "nothing" if value is None else shown(value)


def _in_all(simulation: Simulation) -> Iterator[str]:
    """What the simulation comes to, and what a user should know of it."""
    total = sum(difference.total for difference in simulation.differences)
    adoption = simulation.adoption
    if adoption.is_known and adoption.has_effect:
        yield f"Adopting the configuration would do this before anything is computed: {adoption.summary}."
    yield from simulation.notes
    count = how_many(total, "derived value") if total else "No derived value"
    yield f"{count} would differ from the state at position {simulation.position}. Nothing was written."


COMMANDS: tuple[click.Command, ...] = (simulate,)
