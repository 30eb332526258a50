"""Simulates another configuration: adopts it in a store of its own, and computes everything there.

The store of the user is only read, while that one is filled. See ADR 0058.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager

import pyarrow as pa
from attrs import evolve, field, frozen

from deltamark.application.adoption.adopt import adopt_now
from deltamark.application.adoption.plan import adoption_plan
from deltamark.application.derivation.user_functions.answers import Unanswered
from deltamark.application.derivation.workload import has_unflagged_changes, is_due
from deltamark.application.execution.task_types import RunContext, plan_task
from deltamark.application.history.history import horizon_of, position_of, refuse_below
from deltamark.application.lookup import job_named
from deltamark.application.ports.progress import Progress, no_progress
from deltamark.application.ports.queries import Reading
from deltamark.application.ports.store import Store
from deltamark.application.services import Apply, Scope, Services, Skip, TaskResult, report_nothing
from deltamark.application.simulation.differences import CHANGES, View, differing
from deltamark.application.simulation.seed import SEED, seed
from deltamark.domain.adoption.configuration_adopted import AdoptedConfiguration
from deltamark.domain.adoption.plan import AdoptionPlan
from deltamark.domain.configuration.configuration import Configuration
from deltamark.domain.configuration.jobs import ComputingTask, Job
from deltamark.domain.configuration.rules import DerivationKind
from deltamark.domain.derivation.simulation import DerivedDifference
from deltamark.domain.errors import ConfigurationError, UsageError
from deltamark.domain.fields import as_tuple
from deltamark.domain.history.changes import Position, When
from deltamark.domain.runs.task_calls import TaskCall, running_order


@frozen(kw_only=True)
class Simulation:
    """What derived values would be under another configuration, as a difference from what they are.

    :param position: of the state that it is about.
    :param adoption: what adopting the configuration would do to that state before anything is computed.
    :param differences: one for each property and rule whose values would differ, by kind, entity type and name.
    :param table: all changes, as an Arrow table: ``kind``, ``entity_type``, ``name``, ``key``, ``other_key``,
        ``before``, ``after``, the last two as JSON, null for no value. Of the pairs of a rule at most about a million;
        those that are listed are all pairs of the first sources.
    :param notes: what a user should know of it, each a sentence.
    """

    position: Position
    adoption: AdoptionPlan
    differences: tuple[DerivedDifference, ...] = field(converter=as_tuple, default=())
    table: pa.Table = field(eq=False, repr=False, factory=CHANGES.empty_table)
    notes: tuple[str, ...] = field(converter=as_tuple, default=())


def simulate(
    services: Services,
    other: Services,
    *,
    at: When | None = None,
    job: str | None = None,
    samples: int,
    progress: Progress = no_progress,
) -> Simulation:
    """Computes what derived values would be under another configuration, and writes nothing.

    The store is read while a state of it is copied into a store of its own; everything else happens there.

    :param services: of the store.
    :param other: the same with the other configuration.
    :param at: the moment of the state; None for the present.
    :param job: a job of the other configuration, whose computing tasks are run; None for those of all jobs.
    :param samples: how many changes of each property and rule are listed.
    :param progress: is called with how many steps were done, and of how many.
    :raises HistoryDiscarded: if changes after the moment were discarded.
    :raises UsageError: for a job or a moment that does not exist.
    """
    jobs = other.configuration.jobs if job is None else (job_named(job, other.configuration),)
    if services.open_scratch is None:
        raise UsageError("this engine opens no other stores. Open it with Engine.open.")
    steps = 2 + sum(1 for _ in _computing_tasks(other.configuration, jobs))
    with services.open_scratch() as scratch:
        with services.store.reading() as reading:
            position = _position(reading, services, at)
            head = reading.head()
            with scratch.transaction() as tx:
                then = seed(services, tx, reading, position)
            earlier = _with(then, other)
            notes = [*_waiting(reading, earlier)] if position is None else []
        progress(1, steps)
        target = evolve(other, store=scratch, workers=None)
        if position is not None:
            notes += _computed_then(scratch, earlier)
        with _fixed(scratch) as before:
            adoption = adoption_plan(target, before)
            adopt_now(target)
            notes += _Computation(target).compute(jobs, lambda done: progress(1 + done, steps))
            with scratch.reading() as after:
                found = differing(
                    View(reading=before, configuration=None if then is None else then.configuration),
                    View(reading=after, configuration=other.configuration),
                )
    return Simulation(
        position=head if position is None else position,
        adoption=adoption,
        differences=[item.difference(samples) for item in found],
        table=pa.concat_tables([CHANGES.empty_table(), *(item.changes for item in found)]),
        notes=notes,
    )


def _position(reading: Reading, services: Services, at: When | None) -> Position | None:
    if at is None:
        return None
    position = position_of(reading, at)
    refuse_below(horizon_of(reading, services.configuration, None), position)
    return position


def _with(then: AdoptedConfiguration | None, other: Services) -> Services | str:
    """The services with the configuration in force, or why it cannot be computed with, a clause."""
    if then is None:
        return "it is not known"
    assert other.other_configuration is not None, "the services of an engine can take another configuration"
    try:
        return other.other_configuration(other, then.configuration)
    except ConfigurationError as e:
        return e.faults[0].message if e.faults else str(e)


def _waiting(reading: Reading, present: Services | str) -> Iterator[str]:
    """Says that part of the differences may come from changes, not from the configuration."""
    if isinstance(present, str):
        return
    tasks = [task for _, task in _computing_tasks(present.configuration, present.configuration.jobs)]
    is_flagging = any(task.dirty for task in tasks)
    if (is_flagging and has_unflagged_changes(reading)) or any(is_due(reading, present.plan, task) for task in tasks):
        yield (
            "Tasks have still to compute changes under the configuration in force: some differences may come from "
            "these changes."
        )


def _computed_then(scratch: Store, earlier: Services | str) -> list[str]:
    """Computes the keys and classifications of a past state by the configuration of its time: the log has none.

    Says why, where it cannot.
    """
    if isinstance(earlier, str):
        return [
            f"The configuration of that moment cannot be computed with ({earlier}): all keys and classifications count "
            "as added."
        ]
    computation = _Computation(evolve(earlier, store=scratch, workers=None), without=DerivationKind.PROPERTY)
    return computation.compute(earlier.configuration.jobs)


def _computing_tasks(configuration: Configuration, jobs: Iterable[Job]) -> Iterator[tuple[Job, ComputingTask]]:
    for job in jobs:
        for task in running_order(configuration.called_by(job)):
            if isinstance(task, ComputingTask):
                yield job, task


@contextmanager
def _fixed(store: Store) -> Iterator[Reading]:
    """A view of a store as it is now, whatever is written meanwhile."""
    with store.reading() as reading:
        reading.head()  # the first question fixes what the view sees
        yield reading


class _Computation:
    """Runs computing tasks in a store until nothing is due."""

    def __init__(self, services: Services, without: DerivationKind | None = None) -> None:
        self._services = services
        self._without = without

    def compute(self, jobs: Sequence[Job], told: Callable[[int], None] = lambda _: None) -> list[str]:
        """Runs the computing tasks of some jobs, and returns what a user must look at.

        A task may read what a later one computes, so they are run again as long as that leaves anything to do.

        :param told: is called with how many of the tasks were run.
        """
        # In this store nothing was computed so far: a task computes everything first, then what follows from others.
        calls = [
            (job, evolve(task, dirty=True))
            for job, task in _computing_tasks(self._services.configuration, jobs)
            if self._without not in task.derives
        ]
        messages: dict[str, None] = {}
        for _ in range(len(self._services.plan.derived) + 2):
            results = []
            for number, (job, task) in enumerate(calls, 1):
                results += [self._run(job, task)] if self._is_due(task) else []
                told(number)
            messages |= dict.fromkeys(message for result in results if result.warned for message in result.messages)
            if not results:
                break
        return list(messages)

    def _is_due(self, task: ComputingTask) -> bool:
        with self._services.store.reading() as reading:
            return is_due(reading, self._services.plan, task)

    def _run(self, job: Job, task: ComputingTask) -> TaskResult:
        context = RunContext(services=self._services, run=SEED.run, job=job, calls={}, outcomes={})
        apply = plan_task(context, TaskCall(ordinal=1, task=task), report_nothing)
        assert not isinstance(apply, Skip), "a computing task is never skipped"
        return self._applied(apply, Scope(run=SEED.run, ordinal=1, job=job, forced=False))

    def _applied(self, apply: Apply, scope: Scope) -> TaskResult:
        """The transaction of a task; tried again once a function has answered what it needs."""
        while True:
            try:
                with self._services.store.transaction() as tx:
                    return apply(tx, scope)
            except Unanswered as e:
                unanswered = e
            unanswered.answer()
