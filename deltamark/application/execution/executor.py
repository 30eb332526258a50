"""A run from its first task to its end: group by group, until something stops it."""

from __future__ import annotations

import time
from collections.abc import Sequence
from contextlib import suppress

from deltamark.application.execution.interruption import leave_undone, left_out
from deltamark.application.execution.parallel import Turns, side_by_side
from deltamark.application.execution.task_types import RunContext, plan_task, skip_reason
from deltamark.application.runs.observer import GuardedObserver, Observer
from deltamark.application.runs.out_of_memory import lack_of_memory_told
from deltamark.application.runs.recorder import RunRecorder
from deltamark.application.runs.run_log import RUN_INTERRUPTED, TaskEnd, in_words
from deltamark.application.services import Done, Scope, Skip, TaskProgress
from deltamark.application.synchronization.hold_back import HeldBack
from deltamark.domain.configuration.jobs import TaskState
from deltamark.domain.errors import DeltamarkError
from deltamark.domain.runs.end_states import state_of_run
from deltamark.domain.runs.outcomes import Outcome
from deltamark.domain.runs.run import JobRun
from deltamark.domain.runs.task_calls import Group, Occurrence

PATIENCE_S = 5.0
"""How long a task must have been at work for its progress to be worth a transaction of its own."""


class CarryingOut:
    """Carries out the tasks of a run that has started, or goes on."""

    def __init__(self, record: RunRecorder, context: RunContext, observer: Observer, *, is_dry_run: bool) -> None:
        self._record = record
        self._context = context
        self._observer = GuardedObserver(observer, record)
        self._is_dry_run = is_dry_run
        self._stop: str | None = None
        """Why no further task starts."""
        self._is_cancelled = False
        self._error: BaseException | None = None
        """What is no error of a task, and comes out of the run when it is on record."""
        self._is_cut_short = False
        """Whether an interruption left something undone or out; else the run ends as what became of its tasks says."""

    def result(self, groups: Sequence[Group]) -> JobRun:
        """Runs the tasks of these groups, one group after another; gives the record of the run."""
        try:
            for group in groups:
                self._run(group)
            self._end()
        except KeyboardInterrupt as e:
            # It came while no task was at work, but the record was written, or between two tasks.
            if self._is_dry_run:
                raise
            self._error = self._error or e
            with suppress(DeltamarkError):  # where the store cannot be written, the run is seen as aborted
                if self._record.now(with_rows=False).state is TaskState.RUNNING:
                    self._is_cut_short |= leave_undone(self._record)
                    self._end()
        if self._error is not None:
            raise self._error
        return self._record.now()

    def _end(self) -> None:
        """Puts on record how the run ended."""
        now = self._record.now(with_rows=False)
        state = state_of_run(
            now.tasks, stopped=self._stop is not None and not self._is_cancelled, cancelled=self._is_cancelled
        )
        if self._is_cut_short or (self._error is not None and not isinstance(self._error, KeyboardInterrupt)):
            state = TaskState.FAILED
        self._record.run_ended(state)

    def _run(self, group: Group) -> None:
        if group and self._stop is None:
            self._look_for_cancel()
        chosen = []
        for occurrence in group:
            reason = self._stop or skip_reason(occurrence, self._context)
            if reason is None:
                chosen.append(occurrence)
            else:
                self._heed(occurrence, self._skipped(occurrence, reason))
        if len(chosen) > 1 and not self._is_dry_run:
            self._run_side_by_side(chosen)
            return
        for occurrence in chosen:
            # All tasks of a level run, even if one fails: as if they ran at the same time.
            if self._error is not None:
                self._heed(occurrence, self._skipped(occurrence, self._stop or "the run was stopped"))
            else:
                self._heed(occurrence, self._worked(occurrence, Turns(), self._begun(occurrence)))

    def _run_side_by_side(self, group: Sequence[Occurrence]) -> None:
        # All begin before any is at work: so the log does not depend on which thread is quicker.
        begun = {occurrence.ordinal: self._begun(occurrence) for occurrence in group}
        ended, interruption = side_by_side(
            lambda occurrence, turns: self._worked(occurrence, turns, begun[occurrence.ordinal]),
            group,
            f"run {self._record.number}",
        )
        if interruption is not None:
            self._error = self._error or interruption
            self._stop = self._stop or RUN_INTERRUPTED
        for occurrence in group:
            how = ended.get(occurrence.ordinal) or self._skipped(occurrence, RUN_INTERRUPTED)
            self._heed(occurrence, how)

    def _look_for_cancel(self) -> None:
        asked_by = self._record.now(with_rows=False).cancelled_by
        if asked_by is not None:
            self._stop = f"the run was cancelled by {asked_by.user} on {asked_by.host}"
            self._is_cancelled = True

    def _heed(self, occurrence: Occurrence, ended: TaskEnd) -> None:
        """Keeps the outcome of a task for those that depend on it, and sees whether it stops the run."""
        task = occurrence.task
        self._context.outcomes[occurrence.ordinal] = Outcome(ended.state, ended.done.effect)
        if ended.error is not None and not isinstance(ended.error, DeltamarkError):
            self._error = self._error or ended.error
        self._error = self._error or self._observer.error
        if self._stop is not None:
            return
        if isinstance(self._error, KeyboardInterrupt):
            self._stop = RUN_INTERRUPTED
        elif ended.state is TaskState.FAILED and (self._error or not task.continue_on_error):
            self._stop = f"task {task.identifier} failed before it"
        elif self._observer.error is not None:
            self._stop = f"the observer of the run failed ({in_words(self._observer.error)})"

    def _skipped(self, occurrence: Occurrence, reason: str) -> TaskEnd:
        ended = left_out(reason)
        self._record.task_ended(occurrence.ordinal, ended)
        self._is_cut_short |= isinstance(self._error, KeyboardInterrupt)
        self._observer.ended(occurrence.ordinal)
        return ended

    def _begun(self, occurrence: Occurrence) -> BaseException | None:
        """Puts on record that a task begins; gives what the observer raised of it."""
        self._record.task_started(occurrence.ordinal)
        return self._observer.started(occurrence.ordinal)

    def _worked(self, occurrence: Occurrence, turns: Turns, failed: BaseException | None) -> TaskEnd:
        """Runs one task, and puts on record how it ended: with what it did, or by itself where that was undone.

        :param failed: what keeps it from even beginning, if something does.
        """
        ordinal = occurrence.ordinal
        began = time.perf_counter()
        try:
            if failed is not None:
                raise failed
            with lack_of_memory_told("What was being written was undone."):
                ended = self._applied(occurrence, turns, began)
        except BaseException as e:
            turns.wait(ordinal)
            ended = self._raised(ordinal, e, time.perf_counter() - began)
        self._observer.ended(ordinal)
        return ended

    def _raised(self, ordinal: int, error: BaseException, seconds: float) -> TaskEnd:
        """How a task ended out of which an error came: as failed, unless the error came when all was committed."""
        if not self._is_dry_run:  # of which nothing is committed, and of whose record nothing may be left
            on_record = self._record.now(with_rows=False).task(ordinal)
            if on_record.state not in (TaskState.RUNNING, TaskState.ABORTED):  # aborted by a run that took it over
                return TaskEnd(Done(effect=on_record.effect), on_record.state, seconds, error)
        ended = TaskEnd(Done(messages=[in_words(error)]), TaskState.FAILED, seconds, error)
        self._record.task_ended(ordinal, ended)
        self._is_cut_short |= isinstance(error, KeyboardInterrupt)
        return ended

    def _applied(self, occurrence: Occurrence, turns: Turns, began: float) -> TaskEnd:
        ordinal = occurrence.ordinal
        apply = plan_task(self._context, occurrence, lambda progress: self._progressed(ordinal, progress, began))
        if isinstance(apply, Skip):
            ended = left_out(apply.reason)
            turns.wait(ordinal)
            self._record.task_ended(ordinal, ended)
            return ended
        with turns.turn(ordinal):
            try:
                with self._record.transaction() as tx:
                    done = apply(tx, self._scope(ordinal))
                    ended = TaskEnd(done, done.state, time.perf_counter() - began)
                    self._record.task_ended_in(tx, ordinal, ended)
            except HeldBack as e:
                with self._record.transaction() as tx:
                    ended = TaskEnd(e.keep(tx), TaskState.BLOCKED, time.perf_counter() - began, e)
                    self._record.task_ended_in(tx, ordinal, ended)
        return ended

    def _progressed(self, ordinal: int, progress: TaskProgress, began: float) -> None:
        if time.perf_counter() - began >= PATIENCE_S:
            self._record.task_progressed(ordinal, progress)
        self._observer.progressed(ordinal, progress)

    def _scope(self, ordinal: int) -> Scope:
        return Scope(
            run=self._record.number,
            ordinal=ordinal,
            job=self._context.job,
            forced=self._context.forced,
            report=lambda progress: self._observer.progressed(ordinal, progress),
        )
