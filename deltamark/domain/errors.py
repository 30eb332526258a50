"""The errors that users see, each with its data. The class builds the message."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Self

from attrs import fields, frozen

from deltamark.domain.location import Location
from deltamark.domain.message_parts import NOWHERE, MessageParts, Place, parts_of
from deltamark.domain.messages import discarded_by
from deltamark.domain.next_steps import NextAction, NextStep, decisions, waiting_adoption_steps
from deltamark.domain.processes import ProcessState
from deltamark.domain.values import shown

__all__ = [
    "AdoptionWaits",
    "AlreadyRunning",
    "CannotCancel",
    "CannotResume",
    "ChangesMissed",
    "ConcurrentRun",
    "ConfigurationError",
    "ConfigurationUnknown",
    "ConsumerMoved",
    "DecommissionWaits",
    "DeltamarkError",
    "ErasedResource",
    "Fault",
    "HistoryDiscarded",
    "NothingHeldBack",
    "OtherConfigurationInUse",
    "OutdatedChanges",
    "RunBlocked",
    "RunFailed",
    "RunNotFound",
    "SinkError",
    "SinkStopped",
    "SourceError",
    "StoreError",
    "StoreMissing",
    "StoreReadOnly",
    "StoreUnreachable",
    "TakenOver",
    "ThresholdExceeded",
    "UsageError",
    "UserStartDenied",
    "UserTaskFailed",
    "WorkerRefused",
    "WorkersLost",
]


class DeltamarkError(Exception):
    """The base of every error that Deltamark raises and a user can act on.

    `next_steps` holds what can be done about it; each interface shows them in its own words.
    """

    next_steps: tuple[NextStep, ...] = ()
    where: Location | Place | None = None
    """Where it happened, or what it is about, beside what other data of the error says."""

    advice: str = ""
    """The end of the message that says what to do, in errors that have it by itself."""

    @property
    def parts(self) -> MessageParts:
        """What happened, where, and what to do about it."""
        known: dict[str, Any] = {field.name: getattr(self, field.name, None) for field in fields(Place)}
        place, where = Place(**known), self.where
        if isinstance(where, Place):
            place = where
        return parts_of(str(self), place.at(where if isinstance(where, Location) else None), self.advice or None)

    def about(self, place: Place) -> Self:
        """Says what the error is about, and returns it."""
        self.where = place
        return self

    def with_next_steps(self, *steps: NextStep) -> Self:
        """Adds next steps, and returns the error."""
        self.next_steps = (*self.next_steps, *steps)
        return self


@frozen(order=True)
class Fault:
    """A problem of a configuration, and where it is."""

    location: Location | None
    message: str

    def __str__(self) -> str:
        return f"{self.location}: {self.message}" if self.location else self.message

    @property
    def parts(self) -> MessageParts:
        """What is wrong, where, and what to do about it."""
        return parts_of(self.message, NOWHERE.at(self.location))


class ConfigurationError(DeltamarkError):
    """A configuration cannot be used.

    `faults` lists all its problems, in file order.
    """

    def __init__(self, faults: Sequence[Fault]) -> None:
        self.faults = tuple(faults)
        super().__init__("\n".join(str(fault) for fault in self.faults))


class UsageError(DeltamarkError):
    """A call names something that does not exist, or has an argument that makes no sense."""


class SourceError(DeltamarkError):
    """An extract cannot be read.

    Nothing was compared and nothing changed.

    :param where: the file, and the line and the name of the column if they are known.
    :param problem: what is wrong; a clause without a full stop.
    :param value: the offending value; the message quotes its first 80 characters.
    :param advice: what to do next; a sentence.
    """

    where: Location

    def __init__(
        self,
        where: Location,
        problem: str,
        *,
        value: str | None = None,
        advice: str = "Correct the extract and run the job again.",
    ) -> None:
        self.where = where
        self.problem = problem
        self.value = value
        self.advice = advice
        quoted = f" (read: {shown(value)})" if value is not None else ""
        super().__init__(f"{where}: {problem}{quoted}. Nothing was changed. {advice}")


class AdoptionWaits(DeltamarkError):
    """The configuration was changed in a way that no run adopts by itself.

    Nothing was started.

    :param reason: which limit adopting it exceeds; a clause.
    """

    def __init__(self, reason: str) -> None:
        self.reason = reason
        super().__init__(
            f"the configuration was changed, and adopting it waits for a person: {reason}. Nothing was started. See "
            "what adopting it does, and adopt it, or take the change back."
        )
        self.next_steps = waiting_adoption_steps()


class DecommissionWaits(DeltamarkError):
    """More would be deleted than is deleted without a confirmation.

    Nothing was changed.

    :param name: what was to be decommissioned.
    :param reason: which limit it exceeds; a clause.
    """

    def __init__(self, name: str, reason: str) -> None:
        self.name = name
        self.reason = reason
        super().__init__(
            f"deleting {name} waits for a person to confirm it: {reason}. Nothing was changed. See what would be "
            "deleted, and delete it by force, or freeze it."
        )
        self.next_steps = (NextStep(NextAction.DECOMMISSION, name), NextStep(NextAction.FORCE_DECOMMISSION, name))


class SinkError(DeltamarkError):
    """A sink does not take the changes that are delivered to it.

    What it had confirmed before counts: the next delivery goes on from there.

    :param sink: the connection.
    :param problem: what happened; a clause without a full stop.
    :param advice: what to do next; a sentence.
    """

    def __init__(self, sink: str, problem: str, advice: str) -> None:
        self.sink = sink
        self.problem = problem
        self.advice = advice
        super().__init__(f"{sink}: {problem}. What it confirmed before counts. {advice}")


class SinkStopped(SinkError):
    """A sink said that it takes no more changes: nothing is sent to it until a user lifts that.

    :param position: of the change that it refused with that.
    """

    def __init__(self, sink: str, problem: str, position: int) -> None:
        self.position = position
        super().__init__(
            sink,
            f"it takes no more changes since that at position {position}: {problem}",
            "Ask who runs it. Then retry its dead letters, which lets deliveries go on, or remove its place.",
        )


class ThresholdExceeded(DeltamarkError):
    """A synchronization would change more than a threshold allows.

    Its changes were held back.

    :param reason: which limit it would exceed; a clause.
    :param advice: what to do next; a sentence.
    """

    def __init__(self, connector: str, reason: str, advice: str) -> None:
        self.connector = connector
        self.reason = reason
        self.advice = advice
        super().__init__(f"{connector}: {reason}. Nothing was changed. {advice}")


class RunFailed(DeltamarkError):
    """A run did not do all of its work (`JobRun.raise_for_state`).

    :param run: its number; `job` is that of the run.
    :param state: of the run, such as ``failed``.
    :param tasks: the tasks that did not do their work, each with its state, in running order.
    """

    def __init__(self, run: int, job: str, state: str, tasks: Mapping[str, str], message: str) -> None:
        self.run = run
        self.job = job
        self.state = state
        self.tasks = dict(tasks)
        super().__init__(message)
        self.next_steps = (NextStep(NextAction.SHOW_RUN, run),)


class RunBlocked(RunFailed):
    """A run held changes back that a threshold does not let pass (`JobRun.raise_for_state`)."""

    def __init__(self, run: int, job: str, state: str, tasks: Mapping[str, str], message: str) -> None:
        super().__init__(run, job, state, tasks, message)
        self.next_steps = decisions(run)


class OutdatedChanges(DeltamarkError):
    """Held-back changes can no longer be applied: their resources or links have changed.

    :param run: the number of the run that held them back.
    :param count: how many resources and links have changed since; `first` describes one of them.
    """

    def __init__(self, run: int, count: int, first: str) -> None:
        self.run = run
        self.count = count
        self.first = first
        more = f" and {count - 1:,} more" if count > 1 else ""
        super().__init__(
            f"what run {run} held back can no longer be applied, because this has changed since: {first}{more}. "
            f"Nothing was changed. Cancel run {run}, which drops it, and run the job again: it compares again."
        )
        self.next_steps = (NextStep(NextAction.CANCEL_RUN, run),)


class UserStartDenied(UsageError):
    """A user tried to start a job that only the schedule may start.

    Nothing was started.
    """

    def __init__(self, job: str) -> None:
        self.job = job
        super().__init__(
            f'job {job} can be started only by the schedule (UserStartDenied="true"). Nothing was started. '
            "A scheduler starts it at its time; a dry run shows what it would do."
        )
        self.next_steps = (NextStep(NextAction.START_SCHEDULER), NextStep(NextAction.DRY_RUN, job))


class UserTaskFailed(DeltamarkError):
    """A user function raised an exception or returned a wrong result.

    Nothing was changed.

    :param function: its name, `package.module:function`.
    :param problem: what it did; a clause that follows the name of the function.
    :param traceback: the last lines of the traceback that are in the user's code; none for a wrong result.
    """

    def __init__(self, function: str, problem: str, traceback: Sequence[str] = (), *, advice: str = "") -> None:
        self.function = function
        self.problem = problem
        self.traceback = tuple(traceback)
        advice = advice or "Correct the function and run the job again."
        self.advice = advice
        super().__init__("\n".join((f"function {function} {problem}. Nothing was changed. {advice}", *traceback)))


class CannotResume(UsageError):
    """A run cannot be resumed.

    Nothing was started.

    :param run: its number.
    :param reason: why; a clause.
    """

    def __init__(self, run: int, reason: str) -> None:
        self.run = run
        self.reason = reason
        super().__init__(f"run {run} cannot be resumed: {reason}.")
        self.next_steps = (NextStep(NextAction.SHOW_RUN, run),)


class CannotCancel(UsageError):
    """A run cannot be cancelled.

    Nothing was changed.

    :param run: its number.
    :param reason: why; a clause.
    """

    def __init__(self, run: int, reason: str) -> None:
        self.run = run
        self.reason = reason
        super().__init__(f"run {run} cannot be cancelled: {reason}.")
        self.next_steps = (NextStep(NextAction.SHOW_RUN, run),)


class HistoryDiscarded(DeltamarkError):
    """The requested position is below the horizon: its changes were discarded.

    :param horizon: the position up to which changes were discarded.
    """

    def __init__(self, connector: str, horizon: int, run: int, task: str) -> None:
        self.connector = connector
        self.horizon = horizon
        self.run = run
        self.task = task
        super().__init__(
            f"the changes of connector {connector} up to position {horizon} were discarded by "
            f"{discarded_by(task, run)}. Ask for what lies after position {horizon}."
        )
        self.next_steps = (NextStep(NextAction.READ_AFTER, horizon),)


class ChangesMissed(HistoryDiscarded):
    """Changes that a consumer has not read were discarded. Nothing was read.

    :param consumer: its name; it is at `position`.
    """

    def __init__(self, consumer: str, position: int, discarded: HistoryDiscarded) -> None:
        super().__init__(discarded.connector, discarded.horizon, discarded.run, discarded.task)
        self.consumer = consumer
        self.position = position
        self.args = (
            f"consumer {consumer} has read up to position {position}, but the changes of connector "
            f"{discarded.connector} up to position {discarded.horizon} were discarded by "
            f"{discarded_by(discarded.task, discarded.run)}: some were never read. Take over the present state, and "
            "reset the consumer to the position of that state; or read only what was kept.",
        )
        self.next_steps = ()


class ConsumerMoved(DeltamarkError):
    """The place of a consumer is not where this process knows it: another process moved, removed or remade it.

    :param consumer: its name.
    :param known: the position that this process knows.
    :param stored: the position that the store has; None if the consumer was removed.
    """

    def __init__(self, consumer: str, *, known: int, stored: int | None) -> None:
        self.consumer = consumer
        self.known = known
        self.stored = stored
        what = "was removed" if stored is None else f"was moved to position {stored}"
        super().__init__(
            f"consumer {consumer} {what} by another process; this one had it at position {known}. Nothing was "
            "acknowledged. See that only one process reads with this name, then open the consumer again."
        )


class ConfigurationUnknown(UsageError):
    """The configuration that was in force at a position is not known.

    The log was begun by a version of Deltamark that did not keep configurations, or nothing was adopted yet.

    :param position: the position asked for.
    :param since: the position since which configurations are known; None if no configuration was adopted yet.
    """

    def __init__(self, position: int, *, since: int | None) -> None:
        self.position = position
        self.since = since
        super().__init__(
            "no configuration was adopted yet, and so none is known. Run a job, or adopt the configuration."
            if since is None
            else f"the configuration at position {position} is unknown before position {since}: the version of "
            "Deltamark that was used then did not keep it. Ask for a later moment."
        )


class ErasedResource(UsageError):
    """The requested resource was erased permanently.

    :param run: the run that recorded the erasure, at `at`, with its `reason`.
    """

    def __init__(self, what: str, *, run: int, at: datetime, reason: str) -> None:
        self.run = run
        self.at = at
        self.reason = reason
        super().__init__(
            f"{what} was erased at {to_the_second(at)} by run {run} (reason: {reason}). Its values cannot be restored."
        )


class ConcurrentRun(DeltamarkError):
    """Another process writes to the store, runs the same task, or changed what was read."""


class RunNotFound(UsageError):
    """There is no run with that number."""

    def __init__(self, run: int, *, newest: int | None = None) -> None:
        self.run = run
        super().__init__(f"there is no run {run}." + (f" The newest is run {newest}." if newest is not None else ""))
        self.next_steps = (NextStep(NextAction.LIST_RUNS),)


class NothingHeldBack(UsageError):
    """A run has no changes that wait for a decision."""

    def __init__(self, run: int) -> None:
        self.run = run
        super().__init__(
            f"run {run} has no pending changes: it held nothing back, or they were applied, dropped or superseded."
        )
        self.next_steps = (NextStep(NextAction.SHOW_RUN, run),)


class AlreadyRunning(ConcurrentRun):
    """A task of the job is already running, in this process or in another.

    Nothing was started.

    :param task: the task that both runs call.
    :param run: the number of the other run; `job`, `user`, `host` and `process` describe it.
    :param since: when it took the lease of the task.
    :param heard_at: the time of the last heartbeat of its process.
    :param process_state: what is known about that process, if it is one of this machine.
    """

    def __init__(
        self,
        task: str,
        *,
        run: int,
        job: str,
        user: str,
        host: str,
        process: int,
        since: datetime,
        heard_at: datetime,
        process_state: ProcessState = ProcessState.UNKNOWN,
    ) -> None:
        self.task = task
        self.run = run
        self.job = job
        self.user = user
        self.host = host
        self.process = process
        self.since = since
        self.heard_at = heard_at
        self.process_state = process_state
        super().__init__(
            f"task {task} is already running: in run {run} of job {job}, since {to_the_second(since)}, by {user} on "
            f"{host} (process {process}). Nothing was started. {self._advice()}"
        )
        self.next_steps = (NextStep(NextAction.SHOW_RUN, run),)
        if process_state is ProcessState.STOPPED:
            self.next_steps = (*self.next_steps, NextStep(NextAction.END_RUN, run))

    def _advice(self) -> str:
        heard_at = f"Its last heartbeat was at {to_the_second(self.heard_at)}"
        match self.process_state:
            case ProcessState.STOPPED:
                return (
                    f"{heard_at}: its process is stopped, and will not go on by itself. Let it continue (kill -CONT "
                    f"{self.process}), or cancel the run, which ends the process."
                )
            case ProcessState.RUNNING:
                return f"Run again when it has ended. {heard_at}, and its process is alive."
            case _:
                return (
                    f"Run again when it has ended. {heard_at}: if its process is gone, its tasks are free about a "
                    "minute after that."
                )


class OtherConfigurationInUse(ConcurrentRun):
    """Another run goes on under the configuration in force, so that no other one can be adopted now.

    Nothing was started.

    :param run: the number of the other run.
    """

    def __init__(self, run: int, *, job: str, user: str, host: str) -> None:
        self.run = run
        super().__init__(
            f"the configuration was changed, and run {run} of job {job}, by {user} on {host}, goes on under the one "
            "before. Nothing was started. Run again when it has ended."
        )
        self.next_steps = (NextStep(NextAction.SHOW_RUN, run),)


class TakenOver(ConcurrentRun):
    """Another run took over the tasks of a run without a heartbeat, which must not write.

    :param run: the number of the run whose tasks were taken over.
    """

    def __init__(self, run: int) -> None:
        self.run = run
        super().__init__(
            "this process sent no heartbeat for so long (was it stopped, or disconnected from the store?) that another "
            f"run took over the tasks of run {run}. What run {run} had finished is kept, the rest was undone, and "
            "nothing was written since."
        )
        self.next_steps = (NextStep(NextAction.LIST_RUNS),)


class StoreError(DeltamarkError):
    """The store cannot be opened, read or written.

    It was not changed.
    """


class StoreMissing(StoreError):
    """There is no store yet at the place that was named."""


class StoreReadOnly(StoreError):
    """The store can be read, but not written: by its medium, its rights, or the settings of its server."""


class StoreUnreachable(StoreError):
    """The server of the store cannot be reached.

    Trying again later may help.
    """


class WorkersLost(DeltamarkError):
    """The workers of a run ended, or cannot be reached.

    Nothing of the task was written.

    :param problem: what happened; a clause without a full stop.
    :param advice: what to do; a sentence.
    """

    def __init__(self, problem: str, advice: str) -> None:
        self.problem = problem
        self.advice = advice
        super().__init__(f"{problem}. Nothing of the task was written. {advice}")

    def __reduce__(self) -> tuple[type[WorkersLost], tuple[str, str]]:
        return WorkersLost, (self.problem, self.advice)


class WorkerRefused(DeltamarkError):
    """A worker would compute with other programs, or from another configuration or store, than the run.

    Nothing of the task was written.

    :param worker: its name.
    :param differences: what differs, each a clause.
    """

    def __init__(self, worker: str, differences: Sequence[str]) -> None:
        self.worker = worker
        self.differences = tuple(differences)
        super().__init__(
            f"{worker} is refused: {'; '.join(self.differences)}. Values might differ with where they are computed. "
            "Nothing of the task was written. Install the same on every worker, start it again, and resume the run."
        )

    def __reduce__(self) -> tuple[type[WorkerRefused], tuple[str, tuple[str, ...]]]:
        return WorkerRefused, (self.worker, self.differences)


_ALTERED = "The store was altered or is damaged."

STORE_DAMAGED = f"{_ALTERED} Verify it: that names the damage."

ROW_ERRORS = (ArithmeticError, AssertionError, AttributeError, LookupError, TypeError, ValueError)
"""Errors of code that reads a row which Deltamark did not write, unless the code itself is wrong."""


def store_damaged(problem: str, *, effect: str = "", alternative: str = "") -> StoreError:
    """Returns the error for a store that holds what Deltamark did not write.

    :param problem: what is wrong, and where; a clause without a full stop.
    :param effect: what was not done because of it; a sentence.
    :param alternative: what else helps; the end of "Verify it, or ".
    """
    consequence = f" {effect}" if effect else ""
    advice = f"{_ALTERED} Verify it, or {alternative}." if alternative else STORE_DAMAGED
    return StoreError(f"{problem}.{consequence} {advice}")


def exactly(at: datetime) -> str:
    """Returns a time in ISO 8601, UTC, with all digits that are stored: microseconds."""
    return at.astimezone(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")


def to_the_second(at: datetime) -> str:
    """Returns a time as messages show it: ISO 8601, UTC, without fractions of a second."""
    return at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
