"""Executes the tasks of a run, group by group, until something stops it."""

from __future__ import annotations

import time
from collections.abc import Sequence
from contextlib import suppress

from deltamark.application.derivation.user_functions.answers import Unanswered
from deltamark.application.derivation.user_functions.cancellation import UserTaskCancelled
from deltamark.application.execution.interruption import end_open_tasks, skipped
from deltamark.application.execution.parallel import Turns, run_in_parallel
from deltamark.application.execution.task_types import RunContext, plan_task, reads_before_its_transaction, skip_of
from deltamark.application.runs.observer import GuardedObserver, Observer
from deltamark.application.runs.out_of_memory import memory_errors_explained
from deltamark.application.runs.recorder import RunRecorder
from deltamark.application.runs.run_log import RUN_INTERRUPTED, TaskEnd, in_words
from deltamark.application.services import Apply, Scope, Skip, TaskProgress, TaskResult
from deltamark.application.synchronization.hold_back import HeldBack
from deltamark.domain.configuration.jobs import TaskState
from deltamark.domain.errors import DeltamarkError
from deltamark.domain.runs.outcomes import Outcome, end_of_run
from deltamark.domain.runs.run import JobRun
from deltamark.domain.runs.task_calls import Group, TaskCall

PATIENCE_S = 5.0
"""How long a task must have been at work for its progress to be worth a transaction of its own."""


class Executor:
    """Executes the tasks of a run that was started or resumed."""

    def __init__(self, record: RunRecorder, context: RunContext, observer: Observer, *, is_dry_run: bool) -> None:
        self._record = record
        self._context = context
        self._observer = GuardedObserver(observer, record)
        self._is_dry_run = is_dry_run
        self._stop: str | None = None
        """Why no further task starts."""
        self._is_cancelled = False
        self._error: BaseException | None = None
        """An error that is not a task's own; raised once the end of the run is on record."""
        self._is_cut_short = False
        """Whether an interruption undid a task or kept one from starting; otherwise the task states decide the end."""

    def run(self, groups: Sequence[Group]) -> JobRun:
        """Runs the tasks of these groups, one group after another.

        Returns the record of the run.
        """
        try:
            for group in groups:
                self._run_group(group)
            self._record_end()
        except KeyboardInterrupt as e:
            # It came between two tasks, or while the record was written.
            if self._is_dry_run:
                raise
            self._error = self._error or e
            with suppress(DeltamarkError):  # where the store cannot be written, the run is shown as aborted
                if self._record.run(with_rows=False).state is TaskState.RUNNING:
                    self._is_cut_short |= end_open_tasks(self._record)
                    self._record_end()
        if self._error is not None:
            raise self._error
        return self._record.run()

    def _record_end(self) -> None:
        tasks = self._record.run(with_rows=False).tasks
        stopped = self._stop is not None and not self._is_cancelled
        state = end_of_run(tasks, stopped=stopped, cancelled=self._is_cancelled)
        if self._is_cut_short or (self._error is not None and not isinstance(self._error, KeyboardInterrupt)):
            state = TaskState.FAILED
        self._record.run_ended(state)

    def _run_group(self, group: Group) -> None:
        if group and self._stop is None:
            self._check_cancelled()
        chosen = []
        for call in group:
            skip = Skip(self._stop) if self._stop else skip_of(self._context, call)
            if skip is None:
                chosen.append(call)
            else:
                self._note_outcome(call, self._skip(call, skip))
        if len(chosen) > 1 and not self._is_dry_run:
            self._run_in_parallel(chosen)
            return
        for call in chosen:
            # Even if one fails: outside a dry run, all tasks of a level run at the same time.
            if self._error is not None or self._is_cancelled:
                self._note_outcome(call, self._skip(call, Skip(self._stop or "the run was stopped")))
            else:
                self._note_outcome(call, self._execute(call, Turns(), self._begin(call)))

    def _run_in_parallel(self, group: Sequence[TaskCall]) -> None:
        # All begin before any is at work, so that the log does not depend on which thread is quicker.
        observer_errors = {call.ordinal: self._begin(call) for call in group}
        ends, interruption = run_in_parallel(
            lambda call, turns: self._execute(call, turns, observer_errors[call.ordinal]),
            group,
            f"run {self._record.number}",
            self._context.interrupted,
        )
        if interruption is not None:
            self._error = self._error or interruption
            self._stop = self._stop or RUN_INTERRUPTED
        for call in group:
            self._note_outcome(call, ends.get(call.ordinal) or self._skip(call, Skip(RUN_INTERRUPTED)))

    def _check_cancelled(self) -> None:
        operator = self._record.cancelled_by()
        if operator is not None:
            self._stop = f"the run was cancelled by {operator.name} on {operator.host}"
            self._is_cancelled = True

    def _note_outcome(self, call: TaskCall, end: TaskEnd) -> None:
        """Keeps the outcome of a task for its dependents, and decides whether it stops the run."""
        task = call.task
        self._context.outcomes[call.ordinal] = Outcome(end.state, end.result.effect)
        if end.error is not None and not isinstance(end.error, DeltamarkError):
            self._error = self._error or end.error
        self._error = self._error or self._observer.error
        if end.state is TaskState.CANCELLED:
            self._check_cancelled()
        if self._stop is not None:
            return
        if isinstance(self._error, KeyboardInterrupt):
            self._stop = RUN_INTERRUPTED
        elif end.state is TaskState.FAILED and (self._error or not task.continue_on_error):
            self._stop = f"task {task.display_name} failed before it"
        elif self._observer.error is not None:
            self._stop = f"the observer of the run failed ({in_words(self._observer.error)})"

    def _skip(self, call: TaskCall, skip: Skip) -> TaskEnd:
        end = skipped(skip.reason, skip.left_out)
        self._record.task_ended(call.ordinal, end)
        self._is_cut_short |= isinstance(self._error, KeyboardInterrupt)
        self._observer.ended(call.ordinal)
        return end

    def _begin(self, call: TaskCall) -> BaseException | None:
        """Puts on record that a task begins, and returns what the observer raised."""
        self._record.task_started(call.ordinal)
        return self._observer.started(call.ordinal)

    def _execute(self, call: TaskCall, turns: Turns, error: BaseException | None) -> TaskEnd:
        """Runs one task and records its end.

        The end is recorded in the task's transaction, or, where that was undone, in one of its own.

        :param error: what keeps the task from beginning.
        """
        began = time.perf_counter()
        try:
            if error is not None:
                raise error
            with memory_errors_explained("What was being written was undone."):
                end = self._plan_and_apply(call, turns, began)
        except BaseException as e:
            turns.wait(call.ordinal)
            end = self._end_with_error(call.ordinal, e, time.perf_counter() - began)
        self._observer.ended(call.ordinal)
        return end

    def _end_with_error(self, ordinal: int, error: BaseException, seconds: float) -> TaskEnd:
        """The end of a task that raised an error: failed, unless it had committed before."""
        if not self._is_dry_run:  # a dry run commits nothing, and its record may be gone
            task = self._record.task(ordinal)
            if task.state not in (TaskState.RUNNING, TaskState.ABORTED):  # aborted by a run that took it over
                return TaskEnd(TaskResult(effect=task.effect), task.state, seconds, error)
        state = TaskState.CANCELLED if isinstance(error, UserTaskCancelled) else TaskState.FAILED
        end = TaskEnd(TaskResult(messages=[in_words(error)]), state, seconds, error)
        self._record.task_ended(ordinal, end)
        self._is_cut_short |= isinstance(error, KeyboardInterrupt)
        return end

    def _plan_and_apply(self, call: TaskCall, turns: Turns, began: float) -> TaskEnd:
        ordinal = call.ordinal
        if reads_before_its_transaction(call.task):
            turns.wait(ordinal)
            turns.check()
        apply = plan_task(self._context, call, lambda progress: self._report(ordinal, progress, began))
        if isinstance(apply, Skip):
            end = skipped(apply.reason, apply.left_out)
            turns.wait(ordinal)
            self._record.task_ended(ordinal, end)
            return end
        with turns.turn(ordinal):
            try:
                end = self._apply(apply, ordinal, began)
            except HeldBack as e:
                with self._record.transaction() as tx:
                    end = TaskEnd(e.keep(tx), TaskState.BLOCKED, time.perf_counter() - began, e)
                    self._record.task_ended_in(tx, ordinal, end)
        return end

    def _apply(self, apply: Apply, ordinal: int, began: float) -> TaskEnd:
        """The transaction of a task; tried again once a function has answered what it needs."""
        while True:
            try:
                with self._record.transaction() as tx:
                    done = apply(tx, self._scope(ordinal))
                    end = TaskEnd(done, done.state, time.perf_counter() - began)
                    self._record.task_ended_in(tx, ordinal, end)
                return end
            except Unanswered as e:
                unanswered = e
            unanswered.answer()

    def _report(self, ordinal: int, progress: TaskProgress, began: float) -> None:
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
