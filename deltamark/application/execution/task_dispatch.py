"""What each kind of task does in a run, and whether an earlier run left it work."""

from __future__ import annotations

from collections.abc import Mapping

from attrs import field, frozen

from deltamark.application.derivation.compute_properties import computing_properties
from deltamark.application.derivation.compute_rules import computing_rules
from deltamark.application.derivation.workload import has_unflagged_changes, is_due
from deltamark.application.flagging.flag import flagging
from deltamark.application.pending_changes.apply import apply_pending
from deltamark.application.services import Apply, Services, Skip, Tell
from deltamark.application.synchronization.prepare import Prepared, preparing, reason_out
from deltamark.application.synchronization.synchronize import synchronizing
from deltamark.domain.configuration.jobs import (
    ComputeCorrelationKeysTask,
    ComputingTask,
    Job,
    PrepareSynchronizationTask,
    PythonTask,
    SetRecentlyModifiedFlagTask,
    SynchronizeTask,
    Task,
    UpdateClassificationTask,
    UpdateEntityPropertyExpressionsTask,
)
from deltamark.domain.runs.outcomes import Outcome, reason_unprepared
from deltamark.domain.runs.task_calls import Occurrence


@frozen(kw_only=True)
class Work:
    """What the tasks of a run have to hand: the parts that use cases need, and what tasks leave one another.

    :param occurrences: all places of the job, by ordinal.
    :param outcomes: of the tasks that have ended, by ordinal; grows while the run goes on.
    :param forced: whether a person said that thresholds let everything pass.
    :param pending: the places of the synchronizations that a person let go on: they apply what was held back.
    """

    services: Services
    run: int
    job: Job
    occurrences: Mapping[int, Occurrence]
    outcomes: dict[int, Outcome]
    forced: bool = False
    pending: frozenset[int] = frozenset()
    memory: dict[str, Prepared] = field(factory=dict)

    def planned(self, occurrence: Occurrence, tell: Tell) -> Apply | Skip:
        """Everything that a task does before its transaction, and what it does in it.

        :param tell: is told how far it got with what comes before.
        """
        services, task = self.services, occurrence.task
        match task:
            case PrepareSynchronizationTask():
                return preparing(services, task, self.job, self.memory, forced=self.forced)
            case SynchronizeTask():
                return self._synchronizing(occurrence, task, tell)
            case SetRecentlyModifiedFlagTask():
                return flagging(services)
            case UpdateEntityPropertyExpressionsTask() | PythonTask():
                return computing_properties(services, task)
            case ComputeCorrelationKeysTask() | UpdateClassificationTask():
                return computing_rules(services, task)
        raise AssertionError(f"{task.kind} has no use case")

    def _synchronizing(self, occurrence: Occurrence, task: SynchronizeTask, tell: Tell) -> Apply | Skip:
        if occurrence.ordinal in self.pending:
            return apply_pending(self.services, task, self.run, occurrence.ordinal)
        if task.connector not in self.memory:
            reason = self._reason_unprepared(occurrence)
            if reason is not None:
                return Skip(reason_out(self.services, task.connector, self.job, forced=self.forced) or reason)
        return synchronizing(self.services, task, self.job, self.memory, forced=self.forced, tell=tell)

    def _reason_unprepared(self, occurrence: Occurrence) -> str | None:
        """A delta that nobody prepared, or that was applied already, must never be read as a complete extract."""
        if occurrence.prepared_at is None:
            return None
        preparation = self.occurrences[occurrence.prepared_at].task
        assert isinstance(preparation, PrepareSynchronizationTask)
        if not preparation.is_delta:
            return None
        return reason_unprepared(preparation.identifier, self.outcomes[occurrence.prepared_at])

    def is_left_for(self, task: Task) -> bool:
        """Whether an earlier run left work for a task that follows the changes."""
        with self.services.store.reading() as reading:
            match task:
                case SetRecentlyModifiedFlagTask():
                    return has_unflagged_changes(reading)
                case ComputingTask():
                    return is_due(reading, self.services.plan, task)
        return False
