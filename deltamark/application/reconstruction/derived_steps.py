"""Takes again, one after the other, the steps by which flags, places, keys and classifications were made.

Nothing in the log says what they were, but everything that they were made of is there: the state at each position,
the configuration in force, and which task ended where. Values of properties are events, and are not computed again.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TypeAlias

from attrs import evolve

from deltamark.application.adoption.configurations import configuration_in_force
from deltamark.application.adoption.effects import effects, removal
from deltamark.application.derivation.batch import move_places
from deltamark.application.derivation.compute_rules import compute_rules
from deltamark.application.derivation.plan import judged_plan
from deltamark.application.derivation.workload import is_all_flagged, workload
from deltamark.application.digests import needed_dependencies
from deltamark.application.flagging.flag import flag, flag_changes
from deltamark.application.ports.commands import Writing
from deltamark.application.ports.queries import Reading
from deltamark.application.ports.records import DerivedRule
from deltamark.application.runs.recorded_job import recorded_job
from deltamark.application.services import Scope, Services
from deltamark.domain.adoption.configuration_adopted import ConfigurationAdopted
from deltamark.domain.adoption.decommission import DecommissionAction, Decommissioned, FedAgain
from deltamark.domain.configuration.configuration import Configuration
from deltamark.domain.configuration.jobs import (
    ComputingTask,
    Job,
    Task,
    TaskState,
)
from deltamark.domain.configuration.rules import DerivationKind
from deltamark.domain.history.changes import Position
from deltamark.domain.resources.resource import Computed, ResourceEvent
from deltamark.domain.runs.run import ResourceErased, RunEvent, RunResumed, RunStarted, TaskEnded
from deltamark.domain.runs.task_calls import running_order

_DONE = (TaskState.COMPLETED, TaskState.WARNING)
_Name = tuple[str, str]
_Record: TypeAlias = RunEvent | ConfigurationAdopted | Decommissioned | FedAgain


class DerivedSteps:
    """The steps of a log up to a position, taken in a store that is being filled with it.

    They begin where the whole state is known from, and the configuration. What tasks had computed before that they
    compute anew.
    """

    def __init__(self, services: Services, source: Reading, tx: Writing, until: Position) -> None:
        self._services = services
        self._source = source
        self._tx = tx
        self._until = until
        self._started: dict[int, RunStarted] = {}
        self._has_flagged: set[int] = set()
        self._of_configuration: dict[str, Services] = {}
        self._erased_at: Position = 0
        self.is_incomplete = False
        """Whether the next runs compute everything anew that was made by steps which could not be taken."""

    def take(self) -> list[str]:
        """Takes the steps, and returns notes about those that could not be taken."""
        begin = self._source.newest_snapshot(self._until)
        adoptions = self._source.adoptions()
        records: list[tuple[Position, _Record]] = [
            *self._source.run_records(self._until),
            *((at, event) for at, event in (*adoptions, *self._source.decisions()) if at <= self._until),
        ]
        skipped, flagged_to = set[str](), 0
        for position, event in sorted(records, key=lambda record: record[0]):
            self._note(event)
            task = self._task(position, event)
            if position <= begin or (task is not None and self._at(position) is None):
                if isinstance(task, ComputingTask):
                    skipped.add(task.identifier)
                if task is not None and task.flags_changes:
                    flagged_to = position - 1
                continue
            if flagged_to:
                self._begin_flagging(begin, flagged_to)
                flagged_to = 0
            self._step(position, event, task)
        if flagged_to:
            self._begin_flagging(begin, flagged_to)
        return self._notes(skipped)

    def _begin_flagging(self, begin: Position, flagged_to: Position) -> None:
        self._tx.copy_log(self._source, begin)
        self._tx.move_flags(flagged_to)

    def _notes(self, skipped: set[str]) -> list[str]:
        notes = []
        configuration = self._at(self._until)
        tasks = (
            {}
            if configuration is None
            else dict.fromkeys(task.identifier for task in configuration.configuration.all_calls_of(ComputingTask))
        )
        without = sorted(name for name in skipped if name in tasks and not self._tx.places(name))
        if without:
            self.is_incomplete = True
            notes.append(
                f"the history that {', '.join(without)} had computed from was discarded, or its configuration was not "
                "kept: what they computed is missing until they run again, and compute everything"
            )
        behind = [place.position for name in tasks for place in self._tx.places(name).values()]
        if self._erased_at and behind and min(behind) < self._erased_at:
            self._tx.keep_consumers({})
            self.is_incomplete = True
            notes.append(
                "a resource was erased before its deletion was computed with: the next runs compute everything anew"
            )
        return notes

    def _note(self, event: _Record) -> None:
        if isinstance(event, RunStarted):
            self._started[event.run] = event
        elif isinstance(event, RunResumed):
            self._has_flagged.discard(event.run)

    def _at(self, position: Position) -> Services | None:
        """The services with the configuration in force at a position, or None where it is unknown."""
        adopted = configuration_in_force(self._source, self._services, position)
        if adopted is None:
            return None
        known = self._of_configuration.get(adopted.digest)
        if known is None:
            make = self._services.make_evaluator
            assert make is not None, "an engine that opens other stores makes evaluators"
            evaluator = make(adopted.configuration)
            known = self._of_configuration[adopted.digest] = evolve(
                self._services,
                configuration=adopted.configuration,
                plan=judged_plan(adopted.configuration, evaluator).plan,
                evaluator=evaluator,
            )
        return known

    def _task(self, position: Position, event: _Record) -> Task | None:
        """The task that ended well with a record, or None where none did."""
        if not isinstance(event, TaskEnded) or event.state not in _DONE or event.task < 1:
            return None
        services = self._at(position)
        if services is None:
            return None
        started = self._started[event.run]
        planned = started.tasks[event.task - 1]
        return _call(services, started, event.task, planned.identifier)

    def _step(self, position: Position, event: _Record, task: Task | None) -> None:
        if isinstance(event, ConfigurationAdopted):
            self._adopt(position, event)
        elif isinstance(event, Decommissioned) and event.action is DecommissionAction.DELETE:
            self._decommission(position, event)
        elif isinstance(event, ResourceErased):
            self._erase(position)
        if not isinstance(event, TaskEnded) or task is None:
            return
        services = self._at(position)
        assert services is not None, "the task is known from it"
        started = self._started[event.run]
        job = recorded_job(services, started.job, started.definition) or Job(started.job)
        scope = Scope(run=event.run, ordinal=event.task, job=job, forced=False)
        if task.flags_changes:
            self._copy(position - 1)
            is_first = event.run not in self._has_flagged
            self._has_flagged.add(event.run)
            flag(services, drops_places=is_first)(self._tx, scope)
        elif isinstance(task, ComputingTask) and DerivationKind.PROPERTY in task.derives:
            self._properties(services, task, position)
        elif isinstance(task, ComputingTask):
            self._copy(position - 1)
            compute_rules(services, task)(self._tx, scope)
        elif task.synchronizes is not None:
            self._clear_mapped(services, task.synchronizes, position)

    def _copy(self, up_to: Position) -> None:
        self._tx.copy_log(self._source, up_to)

    def _properties(self, services: Services, task: ComputingTask, position: Position) -> None:
        """What computing properties did besides its events: flags after each stage, and the place of the task."""
        tx, begin = self._tx, self._source.transaction_of(position)[0] - 1
        self._copy(begin)
        work = workload(tx, services.plan, task)
        all_flagged = is_all_flagged(tx)
        tx.watch(services.plan.dependencies)
        needed = needed_dependencies(tx, services.plan)
        stages = {(share.entity_type, share.planned.derivation.name): share.planned.stage for share in work.shares}
        for start, end in self._groups(begin, position - 1, stages):
            self._copy(end)
            tx.flag_changes(start, only=needed)
        self._copy(position - 1)
        if work.obsolete:
            tx.remove_rules(work.obsolete)
        if all_flagged:
            tx.move_flags(tx.head())
        move_places(tx, task, work)

    def _groups(self, begin: Position, end: Position, stages: dict[_Name, int]) -> Iterator[tuple[Position, Position]]:
        """The events of a transaction in the groups after which it flagged: before the first, and the last."""
        group: object = None
        start = last = begin
        for position, event in self._source.changes(begin, end):
            of_event = _group(event, stages)
            if of_event is None:
                continue
            if group is not None and of_event != group:
                yield start, last
                start = last
            group, last = of_event, position
        if group is not None:
            yield start, last

    def _clear_mapped(self, services: Services, connector: str, position: Position) -> None:
        """Removes the rules of properties that a synchronization of a connector fed for the first time."""
        tx = self._tx
        obsolete = _mapped(services.configuration, connector, tx.rules_computed())
        if not obsolete:
            return
        begin = self._source.transaction_of(position)[0] - 1
        self._copy(begin)
        tx.watch(services.plan.dependencies)
        needed = needed_dependencies(tx, services.plan)
        names = {(rule.entity_type, rule.name): 0 for rule in obsolete}
        for start, end in self._groups(begin, position - 1, names):
            self._copy(end)
            tx.flag_changes(start, only=needed)
        tx.remove_rules(obsolete)

    def _adopt(self, position: Position, event: ConfigurationAdopted) -> None:
        """What adopting a configuration did besides its events."""
        services = self._at(position)
        before = self._at(position - 1) if event.previous is not None else None
        if services is None or before is None:
            return
        tx = self._tx
        self._copy(position)
        found = effects(services, tx, before.configuration)
        if not found.is_empty:
            self._apply(services, position, found.obsolete)

    def _decommission(self, position: Position, event: Decommissioned) -> None:
        """What deleting decommissioned resources and links did besides its events."""
        services = self._at(position)
        if services is not None:
            self._copy(position)
            self._apply(services, position, removal(services, self._tx, event.entity_types, ()).obsolete)

    def _apply(self, services: Services, position: Position, obsolete: Sequence[DerivedRule]) -> None:
        """Removes rules, and flags the changes that the transaction of a decision made after it."""
        tx = self._tx
        tx.watch(services.plan.dependencies)
        _, end = self._source.transaction_of(position)
        last = max((at for at, _ in self._source.changes(position, end)), default=position)
        self._copy(last)
        tx.remove_rules(obsolete)
        if last > position:
            tx.flag_changes(position, only=needed_dependencies(tx, services.plan))

    def _erase(self, position: Position) -> None:
        """An erasure flags every change first; what it emptied does not say any more what depended on it."""
        services = self._at(position)
        self._erased_at = position
        if services is not None:
            self._copy(position - 1)
            flag_changes(services, self._tx)


def _group(event: object, stages: dict[_Name, int]) -> object | None:
    """By what the changes of a task are grouped: they are of one kind, entity type and stage."""
    if not isinstance(event, ResourceEvent):
        return None
    if not isinstance(event, Computed):
        return type(event), event.ref.entity_type
    name = next(iter(event.updates))
    return Computed, event.ref.entity_type, stages.get((event.ref.entity_type, name), -1)


def _mapped(configuration: Configuration, connector: str, computed: set[DerivedRule]) -> list[DerivedRule]:
    fed, _ = configuration.mappings_of_connector(connector)
    names = {(mapping.entity_type, item.identifier) for mapping in fed for item in mapping.properties}
    return [
        rule for rule in computed if rule.kind is DerivationKind.PROPERTY and (rule.entity_type, rule.name) in names
    ]


def _call(services: Services, started: RunStarted, ordinal: int, identifier: str) -> Task | None:
    """The task of a run: as its job called it, or as it is defined where the configuration has no such job."""
    configuration, known = services.configuration, recorded_job(services, started.job, started.definition)
    calls: Sequence[Task] = () if known is None else running_order(configuration.called_by(known))
    if ordinal <= len(calls) and calls[ordinal - 1].identifier == identifier:
        return calls[ordinal - 1]
    return next((task for task in configuration.all_calls() if task.identifier == identifier), None)
