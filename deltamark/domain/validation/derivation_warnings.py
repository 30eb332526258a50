"""What is derived, but hardly as it is meant: tasks that compute too early, and values that no task computes."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence

from attrs import frozen

from deltamark.domain.configuration.configuration import Configuration
from deltamark.domain.configuration.entity_model import PropertyRef
from deltamark.domain.configuration.jobs import TASK_TYPES, Call, ComputingTask, Job, Task
from deltamark.domain.configuration.rules import DerivationKind
from deltamark.domain.derivation.derivations import Derivation
from deltamark.domain.derivation.plan import Plan, Planned
from deltamark.domain.errors import Fault
from deltamark.domain.location import Location
from deltamark.domain.values import shown

_MOST_LISTED = 3

_Placed = tuple[Location | None, Task]
"""A task as it is called in a job, and where."""


@frozen
class _Reads:
    """The computed properties, and which of them each derivation reads."""

    computed: Mapping[PropertyRef, Planned]

    @classmethod
    def of(cls, plan: Plan) -> _Reads:
        return cls(
            {
                PropertyRef(one.derivation.entity_type, one.derivation.name): one
                for one in plan.of([DerivationKind.PROPERTY])
            }
        )

    def by(self, planned: Planned) -> tuple[PropertyRef, ...]:
        """The computed properties that a derivation reads, sorted."""
        found = {
            PropertyRef(dependency.leads_to, dependency.property)
            for dependency in planned.dependencies
            if dependency.property is not None
        }
        return tuple(sorted((one for one in found if one in self.computed), key=str))


def contradicted_priorities(plan: Plan) -> Iterator[Fault]:
    """Priorities by which a property would be computed before one that it reads: the order is another."""
    reads = _Reads.of(plan)
    for name, one in reads.computed.items():
        for read in reads.by(one):
            priority, other = one.derivation.priority, reads.computed[read].derivation.priority
            if priority < other:
                yield Fault(
                    one.derivation.location,
                    f"the Priority {priority} of {shown(name)} puts it before {shown(read)}, which has {other}, but "
                    "its expression reads that property; what is read is computed first, whatever the priorities "
                    "say: correct or remove them",
                )


def computed_too_late(job: Job, running: Sequence[tuple[Call, Task]], plan: Plan) -> Iterator[Fault]:
    """Tasks of a job that read computed properties before the job computes them, or that it never computes.

    :param running: the calls of the job with their tasks, in the order in which they run.
    """
    reads = _Reads.of(plan)
    called = [(call.location or task.location, task) for call, task in running]
    by_task = [frozenset(_properties_of(task, plan)) for _, task in called]
    for number, (location, task) in enumerate(called):
        if not isinstance(task, ComputingTask):
            continue
        needed = {read: None for one in plan.of_task(task) for read in reads.by(one)}
        missing = [read for read in needed if not any(read in found for found in by_task[: number + 1])]
        for place, (later, found) in enumerate(
            zip(called[number + 1 :], by_task[number + 1 :], strict=True), number + 1
        ):
            late = [read for read in missing if read in found]
            missing = [read for read in missing if read not in found]
            readers = {one.derivation for one in plan.of_task(task) if set(reads.by(one)) & set(late)}
            if late and not _computed_again(readers, [task for _, task in called[place + 1 :]], plan):
                yield _computed_later(job, (location, task), later, late)
        if missing:
            yield _never_computed(job, (location, task), missing, reads)


def _computed_again(derivations: set[Derivation], tasks: Iterable[Task], plan: Plan) -> bool:
    """Whether one of some tasks computes these again."""
    computing = [task for task in tasks if isinstance(task, ComputingTask)]
    return any(derivations <= {one.derivation for one in plan.of_task(task)} for task in computing)


def _properties_of(task: Task, plan: Plan) -> Iterator[PropertyRef]:
    if isinstance(task, ComputingTask) and DerivationKind.PROPERTY in task.derives:
        for one in plan.of_task(task):
            yield PropertyRef(one.derivation.entity_type, one.derivation.name)


def _computed_later(job: Job, reader: _Placed, later: _Placed, names: Sequence[PropertyRef]) -> Fault:
    return Fault(
        reader[0],
        f"task {shown(reader[1].identifier)} of job {shown(job.identifier)} reads {_listed(names)}, which "
        f"{shown(later[1].identifier)}{_at(later[0])} computes only after it; let that task run before it, or let one "
        "task compute both",
    )


def _never_computed(job: Job, reader: _Placed, names: Sequence[PropertyRef], reads: _Reads) -> Fault:
    types = ", ".join(dict.fromkeys(name.entity_type for name in names))
    makers = [reads.computed[name].derivation.maker for name in names]
    functions = [maker.name for maker in dict.fromkeys(makers) if maker]
    called = [f"a PythonTask that calls {shown(name)}" for name in functions]
    if None in makers:
        called.append(f"an UpdateEntityPropertyExpressionsTask that covers {types}")
    return Fault(
        reader[0],
        f"task {shown(reader[1].identifier)} of job {shown(job.identifier)} reads {_listed(names)}, which no task of "
        f"this job computes; let {' and '.join(called)} run before it",
    )


def never_covered(configuration: Configuration, plan: Plan) -> Iterator[Fault]:
    """Derivations that no task of any job computes, told once for each kind of task and entity type.

    A configuration without jobs is told nothing: its jobs are still to come.
    """
    if not configuration.jobs:
        return
    tasks = [task for job in configuration.jobs for task in configuration.called_by(job)]
    computing = [task for task in tasks if isinstance(task, ComputingTask)]
    computed = {one.derivation for task in computing for one in plan.of_task(task)}
    for kind in TASK_TYPES:
        if not issubclass(kind, ComputingTask):
            continue
        left: dict[str, list[Planned]] = {}
        for one in plan.of(kind.derives):
            is_theirs = (one.derivation.maker is not None) == kind.has_function
            if is_theirs and one.derivation not in computed:
                left.setdefault(one.derivation.entity_type, []).append(one)
        for entity_type, uncovered in left.items():
            yield _not_covered(kind, entity_type, uncovered)


def _not_covered(kind: type[ComputingTask], entity_type: str, uncovered: Sequence[Planned]) -> Fault:
    names = dict.fromkeys(one.derivation.name for one in uncovered)
    return Fault(
        min((one.derivation.location for one in uncovered), key=_line),
        f"no job computes the {kind.computes} of {shown(entity_type)} ({_listed(names)}): no {kind.kind} that a job "
        "calls covers that entity type; name it there with TaskEntityType",
    )


def _line(location: Location | None) -> tuple[str, int]:
    return ("", 0) if location is None else (location.file, location.line or 0)


def _listed(names: Iterable[object]) -> str:
    told = [shown(name) for name in names]
    rest = f" and {len(told) - _MOST_LISTED} more" if len(told) > _MOST_LISTED else ""
    return ", ".join(told[:_MOST_LISTED]) + rest


def _at(location: Location | None) -> str:
    return f" (at {location})" if location else ""
