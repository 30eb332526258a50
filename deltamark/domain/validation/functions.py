"""Tasks with a user function: binding each to its function, and the faults of the functions."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from attrs import evolve

from deltamark.domain.configuration.configuration import Configuration
from deltamark.domain.configuration.entity_model import PropertyRef
from deltamark.domain.configuration.jobs import Call, ComputingTask, Job, Task
from deltamark.domain.configuration.user_function import UserTask
from deltamark.domain.derivation.dependency_paths import ExpressionRefused
from deltamark.domain.derivation.function_columns import columns, written_by
from deltamark.domain.errors import Fault
from deltamark.domain.location import Location
from deltamark.domain.suggestions import hint
from deltamark.domain.validation.computed_properties import PropertyIndex, at, target_faults
from deltamark.domain.validation.references import NOTHING_MISSING, Index, Missing
from deltamark.domain.values import shown

HOW_TO_REGISTER = (
    'name its module in deltamark.toml (tasks = ["company_tasks"]) or in the entry point group deltamark.tasks of an '
    "installed package, or give the function to Engine.open(…, tasks=[…])"
)


def bind_functions(
    configuration: Configuration, registered: Mapping[str, UserTask]
) -> tuple[Configuration, tuple[Fault, ...]]:
    """Binds every named function that is registered to its task, and returns the faults of the others.

    A bound task also has the attributes that it leaves to its function.

    :param registered: the functions by the names that a configuration may use.
    """
    tasks = [task for task in configuration.all_tasks() if isinstance(task, ComputingTask) and task.maker is not None]
    if not tasks:
        return configuration, ()
    faults = tuple(fault for task in tasks for fault in _unregistered(task, registered))

    def bound(task: Task) -> Task:
        is_unknown = isinstance(task, ComputingTask) and any(_unregistered(task, registered))
        return task if is_unknown else task.with_function(registered)

    def bound_call(call: Call) -> Call:
        return bound(call) if isinstance(call, Task) else call

    jobs: Sequence[Job] = [evolve(job, tasks=[bound_call(call) for call in job.tasks]) for job in configuration.jobs]
    return evolve(configuration, tasks=[bound(task) for task in configuration.tasks], jobs=jobs), faults


def _unregistered(task: ComputingTask, registered: Mapping[str, UserTask]) -> Iterator[Fault]:
    name = task.maker
    if isinstance(name, str) and name not in registered:
        yield Fault(
            task.location,
            f"{task.kind} {shown(task.identifier)} names the function {shown(name)}, which is not registered; "
            f"{HOW_TO_REGISTER}{hint(name, registered)}",
        )


def not_loaded(configuration: Configuration) -> Iterator[Fault]:
    """What cannot be said about tasks whose functions were not loaded, once for each task."""
    for task in configuration.all_tasks():
        if isinstance(task, ComputingTask) and isinstance(task.maker, str):
            yield Fault(
                task.location,
                f"the function {shown(task.maker)} of {task.kind} {shown(task.identifier)} was not loaded, because "
                "that would run code; what it reads and computes is not known here",
            )


def function_faults(configuration: Configuration, missing: Missing = NOTHING_MISSING) -> Iterator[Fault]:
    """The faults of functions that cannot do what they declare.

    :param configuration: one whose functions are bound; its `deltamark.domain.validation.judgeable.judgeable` part.
    :param missing: names that could not be read.
    """
    index, model = Index.of(configuration, missing), PropertyIndex.of(configuration)
    locations: dict[UserTask, Location | None] = {}
    for task in configuration.all_calls_of(ComputingTask):
        if isinstance(task.maker, UserTask):
            locations.setdefault(task.maker, task.location)
            yield from _uncovered(task, task.maker)
    written = {
        PropertyRef(rule.entity_type, rule.property): f"property expression {shown(rule.identifier)}{at(rule.location)}"
        for rule in configuration.property_expressions
    }
    names: dict[str, UserTask] = {}
    for function, location in locations.items():
        if names.setdefault(function.name, function) is not function:
            yield Fault(location, f"two functions have the name {shown(function.name)}; give one of them another name")
        yield from _function_faults(configuration, function, location, index, model)
        yield from _written_twice(configuration, function, location, written)


def _uncovered(task: ComputingTask, function: UserTask) -> Iterator[Fault]:
    for name in task.entity_types:
        if name not in function.entity_types:
            yield Fault(
                task.location_of(name),
                f"{task.kind} {shown(task.identifier)} covers {shown(name)}, which is not among the entity types of "
                f"{_described(function)}{hint(name, function.entity_types)}",
            )


def _function_faults(
    configuration: Configuration, function: UserTask, location: Location | None, index: Index, model: PropertyIndex
) -> Iterator[Fault]:
    for entity_type in function.entity_types:
        if entity_type not in index.properties:
            if not index.missing.explains(entity_type):
                yield Fault(
                    location,
                    f"unknown entity type {shown(entity_type)} of {_described(function)}"
                    f"{hint(entity_type, index.properties)}",
                )
            continue
        if not written_by(configuration, function, entity_type) and function.writes is None:
            yield Fault(
                location,
                f"{_described(function)} does not say what it writes, and {shown(entity_type)} has no property that "
                "could be computed; declare one there that no mapping fills and no expression computes",
            )
        for name in function.writes or ():
            yield from target_faults(PropertyRef(entity_type, name), model, index, _described(function), location)
        try:
            columns(configuration, function, entity_type)
        except ExpressionRefused as refused:
            yield Fault(location, f"{_described(function)} {refused}")


def _written_twice(
    configuration: Configuration, function: UserTask, location: Location | None, written: dict[PropertyRef, str]
) -> Iterator[Fault]:
    this = f"{_described(function)}{at(location)}"
    for entity_type in function.entity_types:
        for item in written_by(configuration, function, entity_type):
            computed = PropertyRef(entity_type, item.identifier)
            other = written.setdefault(computed, this)
            if other is not this:
                yield Fault(
                    location,
                    f"{_described(function)} computes {shown(computed)}, which {other} already computes; keep one of "
                    "them",
                )


def _described(function: UserTask) -> str:
    return f"function {function.name}"
