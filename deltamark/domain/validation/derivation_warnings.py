"""Warnings about values that are computed too late for their readers, or never."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence

from attrs import frozen

from deltamark.domain.configuration.configuration import Configuration
from deltamark.domain.configuration.entity_model import PropertyRef
from deltamark.domain.configuration.jobs import TASK_TYPES, ComputingTask, Job, Task
from deltamark.domain.configuration.rules import DerivationKind
from deltamark.domain.derivation.derivations import Derivation
from deltamark.domain.derivation.plan import Plan, Planned
from deltamark.domain.errors import Fault
from deltamark.domain.location import Location
from deltamark.domain.validation.computed_properties import at
from deltamark.domain.validation.jobs import ResolvedCall, location_of
from deltamark.domain.values import shown

_MOST_LISTED = 3


@frozen
class _ComputedProperties:
    """The computed properties, and which of them each derivation reads."""

    planned: Mapping[PropertyRef, Planned]

    @classmethod
    def of(cls, plan: Plan) -> _ComputedProperties:
        return cls({_property(planned.derivation): planned for planned in plan.of([DerivationKind.PROPERTY])})

    def read_by(self, planned: Planned) -> tuple[PropertyRef, ...]:
        """The computed properties that a derivation reads, sorted."""
        properties = {
            PropertyRef(dependency.leads_to, dependency.property)
            for dependency in planned.dependencies
            if dependency.property is not None
        }
        return tuple(sorted(properties & self.planned.keys(), key=str))


@frozen
class _Execution:
    """A task as a job executes it."""

    task: Task
    location: Location | None


def contradicted_priorities(plan: Plan) -> Iterator[Fault]:
    """The warnings about priorities that would put a property before one that it reads."""
    computed = _ComputedProperties.of(plan)
    for name, planned in computed.planned.items():
        for read in computed.read_by(planned):
            priority, read_priority = planned.derivation.priority, computed.planned[read].derivation.priority
            if priority < read_priority:
                yield Fault(
                    planned.derivation.location,
                    f"the Priority {priority} of {shown(name)} puts it before {shown(read)}, which has {read_priority}"
                    ", but its expression reads that property; what is read is computed first, whatever the priorities "
                    "say: correct or remove them",
                )


def computed_too_late(job: Job, as_executed: Sequence[ResolvedCall], plan: Plan) -> Iterator[Fault]:
    """The warnings about properties that a job computes after a task reads them, or never.

    :param as_executed: the calls of the job with their tasks, in the order in which they run.
    """
    computed = _ComputedProperties.of(plan)
    executions = [_Execution(call[1], location_of(call)) for call in as_executed]
    first = _first_writers(executions, plan)
    again = _ComputedAgain(executions, plan)
    for number, execution in enumerate(executions):
        if isinstance(execution.task, ComputingTask):
            reads = {planned.derivation: computed.read_by(planned) for planned in plan.of_task(execution.task)}
            needed = dict.fromkeys(read for names in reads.values() for read in names)
            late: dict[int, list[PropertyRef]] = {}
            for read in needed:
                if first.get(read, number) > number:
                    late.setdefault(first[read], []).append(read)
            for writer, names in sorted(late.items()):
                readers = frozenset(derivation for derivation in reads if not set(reads[derivation]).isdisjoint(names))
                if not again.after(writer, readers):
                    yield _later_fault(job, execution, executions[writer], names)
            missing = [read for read in needed if read not in first]
            if missing:
                yield _missing_fault(job, execution, missing, computed)


def _first_writers(executions: Sequence[_Execution], plan: Plan) -> Mapping[PropertyRef, int]:
    """The computed properties, with the place of the first task that computes each."""
    first: dict[PropertyRef, int] = {}
    for number, execution in enumerate(executions):
        if isinstance(execution.task, ComputingTask) and DerivationKind.PROPERTY in execution.task.derives:
            for planned in plan.of_task(execution.task):
                first.setdefault(_property(planned.derivation), number)
    return first


class _ComputedAgain:
    """Whether a later task of a job computes derivations again. Each set of them is looked for once."""

    def __init__(self, executions: Sequence[_Execution], plan: Plan) -> None:
        self._tasks = [execution.task for execution in executions]
        self._plan = plan
        self._last: dict[frozenset[Derivation], int] = {}

    def after(self, number: int, derivations: frozenset[Derivation]) -> bool:
        """Whether one task after that place computes all of them."""
        if derivations not in self._last:
            places = (place for place in reversed(range(len(self._tasks))) if derivations <= self._computed_at(place))
            self._last[derivations] = next(places, -1)
        return self._last[derivations] > number

    def _computed_at(self, place: int) -> set[Derivation]:
        task = self._tasks[place]
        planned = self._plan.of_task(task) if isinstance(task, ComputingTask) else ()
        return {each.derivation for each in planned}


def _property(derivation: Derivation) -> PropertyRef:
    return PropertyRef(derivation.entity_type, derivation.name)


def _later_fault(job: Job, reader: _Execution, writer: _Execution, properties: Sequence[PropertyRef]) -> Fault:
    return Fault(
        reader.location,
        f"task {shown(reader.task.identifier)} of job {shown(job.identifier)} reads {_listed(properties)}, which "
        f"{shown(writer.task.identifier)}{at(writer.location)} computes only after it; let that task run before it, or "
        "let one task compute both",
    )


def _missing_fault(
    job: Job, reader: _Execution, properties: Sequence[PropertyRef], computed: _ComputedProperties
) -> Fault:
    types = ", ".join(dict.fromkeys(name.entity_type for name in properties))
    makers = [computed.planned[name].derivation.maker for name in properties]
    functions = [maker.name for maker in dict.fromkeys(makers) if maker]
    tasks = [f"a PythonTask that calls {shown(name)}" for name in functions]
    if None in makers:
        tasks.append(f"an UpdateEntityPropertyExpressionsTask that covers {types}")
    return Fault(
        reader.location,
        f"task {shown(reader.task.identifier)} of job {shown(job.identifier)} reads {_listed(properties)}, which no "
        f"task of this job computes; let {' and '.join(tasks)} run before it",
    )


def never_computed(configuration: Configuration, plan: Plan) -> Iterator[Fault]:
    """The warnings about derivations that no task of any job computes.

    There is one for each kind of task and entity type, and none for a configuration without jobs, which may get them
    later.
    """
    if not configuration.jobs:
        return
    tasks = [task for job in configuration.jobs for task in configuration.called_by(job)]
    computing = [task for task in tasks if isinstance(task, ComputingTask)]
    computed = {planned.derivation for task in computing for planned in plan.of_task(task)}
    for task_type in TASK_TYPES:
        if not issubclass(task_type, ComputingTask):
            continue
        missing: dict[str, list[Planned]] = {}
        for planned in plan.of(task_type.derives):
            is_of_task_type = (planned.derivation.maker is not None) == task_type.has_function
            if is_of_task_type and planned.derivation not in computed:
                missing.setdefault(planned.derivation.entity_type, []).append(planned)
        for entity_type, derivations in missing.items():
            yield _uncovered_fault(task_type, entity_type, derivations)


def _uncovered_fault(task_type: type[ComputingTask], entity_type: str, uncovered: Sequence[Planned]) -> Fault:
    names = dict.fromkeys(planned.derivation.name for planned in uncovered)
    return Fault(
        min((planned.derivation.location for planned in uncovered), key=_place),
        f"no job computes the {task_type.computes} of {shown(entity_type)} ({_listed(names)}): no {task_type.kind} "
        "that a job calls covers that entity type; name it there with TaskEntityType",
    )


def _place(location: Location | None) -> tuple[str, int]:
    return ("", 0) if location is None else (location.file, location.line or 0)


def _listed(names: Iterable[object]) -> str:
    quoted = [shown(name) for name in names]
    rest = f" and {len(quoted) - _MOST_LISTED} more" if len(quoted) > _MOST_LISTED else ""
    return ", ".join(quoted[:_MOST_LISTED]) + rest
