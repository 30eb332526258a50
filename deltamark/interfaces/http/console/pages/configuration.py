"""Configuration: jobs, the entity model, what values depend on, what was adopted, and what adopting would do."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from attrs import field, frozen
from litestar import get
from litestar.params import FromQuery
from litestar.response import Template

from deltamark.domain.adoption.configuration_adopted import Adoption
from deltamark.domain.adoption.plan import AdoptionPlan
from deltamark.domain.configuration.configuration import Configuration
from deltamark.domain.configuration.jobs import Job, Task
from deltamark.domain.configuration.rules import DerivationKind
from deltamark.domain.derivation.plan import Planned
from deltamark.domain.fields import as_tuple
from deltamark.domain.runs.task_calls import all_calls, call_groups
from deltamark.engine import Engine
from deltamark.interfaces.http.authentication import ROLE
from deltamark.interfaces.http.console.pages.answers import page
from deltamark.interfaces.http.console.pictures import Arrow, Box, Graph, task_arrows
from deltamark.interfaces.http.dependencies import TheEngine, TheUser
from deltamark.interfaces.http.users import Role

SHOWN = {"jobs": "Jobs", "model": "Entity model", "dependencies": "Dependencies", "history": "Adopted", "plan": "Plan"}
"""The parts of the page, and their titles."""


@frozen(kw_only=True)
class ShownTask:
    """A task of a job: its level and what it works on, and those that it waits for."""

    task: Task
    parents: tuple[str, ...] = field(converter=as_tuple)


@frozen(kw_only=True)
class ShownJob:
    """A job with its tasks in running order."""

    job: Job
    tasks: tuple[ShownTask, ...] = field(converter=as_tuple)
    picture: Graph


@frozen(kw_only=True)
class Dependency:
    """A derived value, how it is made, and what it reads."""

    name: str
    entity_type: str
    kind: str
    rule: str
    reads: tuple[str, ...] = field(converter=as_tuple)
    location: str


@frozen(kw_only=True)
class ConfigurationPage:
    """A part of the configuration; what belongs to other parts is empty."""

    show: str
    configuration: Configuration
    jobs: tuple[ShownJob, ...] = field(converter=as_tuple, default=())
    picture: Graph | None = None
    dependencies: tuple[Dependency, ...] = field(converter=as_tuple, default=())
    adoptions: tuple[Adoption, ...] = field(converter=as_tuple, default=())
    plan: AdoptionPlan | None = None


def configuration_of(engine: Engine, show: str = "jobs") -> ConfigurationPage:
    """A part of the configuration."""
    configuration = engine.configuration
    match show:
        case "model":
            return ConfigurationPage(show=show, configuration=configuration, picture=_model(configuration))
        case "dependencies":
            planned = engine.derivations()
            return ConfigurationPage(
                show=show,
                configuration=configuration,
                picture=_derivations(planned),
                dependencies=[_dependency(each) for each in planned],
            )
        case "history":
            return ConfigurationPage(show=show, configuration=configuration, adoptions=engine.configurations()[::-1])
        case "plan":
            return ConfigurationPage(show=show, configuration=configuration, plan=engine.plan())
    return ConfigurationPage(show="jobs", configuration=configuration, jobs=list(_jobs(configuration)))


def _jobs(configuration: Configuration) -> Iterator[ShownJob]:
    for job in configuration.jobs:
        groups = call_groups(configuration.called_by(job))
        names = {call.ordinal: call.task.identifier for call in all_calls(groups)}
        yield ShownJob(
            job=job,
            tasks=[
                ShownTask(task=call.task, parents=[names[parent] for parent in call.parents])
                for call in all_calls(groups)
            ],
            picture=Graph(
                boxes=[
                    Box(name=str(call.ordinal), label=call.task.identifier, below=call.task.works_on or call.task.kind)
                    for call in all_calls(groups)
                ],
                arrows=list(task_arrows(groups)),
            ),
        )


def _model(configuration: Configuration) -> Graph:
    return Graph(
        boxes=[
            Box(
                name=each.identifier,
                label=each.identifier,
                below=f"{len(each.properties)} properties",
                address=f"/configuration?show=model#{each.identifier}",
            )
            for each in configuration.entity_types
        ],
        arrows=[
            Arrow(each.property1.entity_type, each.property2.entity_type, each.property1.property)
            for each in configuration.associations
        ],
    )


def _derivations(planned: Sequence[Planned]) -> Graph:
    """What each derived value reads: arrows lead from what is read to what is made of it."""
    boxes: dict[str, Box] = {}
    for each in planned:
        derivation = each.derivation
        name = _box_of(each)
        boxes[name] = Box(
            name=name,
            label=derivation.name,
            below=_WORDS[derivation.kind].format(derivation.entity_type),
            kind="computed",
        )
    arrows = []
    for each in planned:
        for read in each.dependencies:
            if read.property is not None:
                tail = f"{read.leads_to}:{read.property}"
                boxes.setdefault(tail, Box(name=tail, label=read.property, below=read.leads_to))
                arrows.append(Arrow(tail, _box_of(each), ".".join(read.path)))
    return Graph(boxes=boxes.values(), arrows=arrows)


_WORDS = {
    DerivationKind.PROPERTY: "computed, of {}",
    DerivationKind.SOURCE_KEY: "source key, of {}",
    DerivationKind.TARGET_KEY: "target key, of {}",
    DerivationKind.CLASSIFICATION: "classification, of {}",
}


def _box_of(each: Planned) -> str:
    derivation = each.derivation
    own = f"{derivation.entity_type}:{derivation.name}"
    return own if derivation.kind is DerivationKind.PROPERTY else f"{own}:{derivation.kind.value}"


def _dependency(each: Planned) -> Dependency:
    derivation = each.derivation
    return Dependency(
        name=derivation.name,
        entity_type=derivation.entity_type,
        kind=_WORDS[derivation.kind].partition(",")[0],
        rule=derivation.expression or derivation.bound_to or "a function",
        reads=[str(read) for read in each.reads],
        location=str(derivation.location or ""),
    )


@get("/configuration", opt={ROLE: Role.READER}, sync_to_thread=True)
def configuration(engine: TheEngine, user: TheUser, show: FromQuery[str] = "jobs") -> Template:
    """The configuration that this server runs."""
    return page("configuration.html", engine, user, "Configuration", shown=configuration_of(engine, show), parts=SHOWN)


ROUTES = (configuration,)
