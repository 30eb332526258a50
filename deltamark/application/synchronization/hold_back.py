"""Holds a synchronization back.

Keeps its changes and blocks its connector until a person decides.
"""

from __future__ import annotations

from attrs import evolve

from deltamark.application.ports.commands import Writing
from deltamark.application.ports.pending_changes import Block, PendingChanges
from deltamark.application.ports.queries import Reading
from deltamark.application.services import Scope, TaskResult
from deltamark.domain.configuration.configuration import Configuration
from deltamark.domain.configuration.jobs import Job
from deltamark.domain.errors import ThresholdExceeded
from deltamark.domain.messages import how_many
from deltamark.domain.next_steps import decisions
from deltamark.domain.runs.run import LeftOut


class HeldBack(ThresholdExceeded):
    """A synchronization would change more than it may.

    Carries the changes to keep and what to record.

    :param read: what the task read and set aside: recorded whether the changes are applied or dropped.
    """

    def __init__(
        self, reason: str, pending: PendingChanges, read: TaskResult, scope: Scope, *, is_dry_run: bool, hint: str
    ) -> None:
        self.pending = pending
        self._read = read
        self._scope = scope
        advice = f"{hint}Resume run {scope.run} to apply what was held back, or cancel it to drop that."
        if is_dry_run:
            reason = f"would be blocked: {reason}"
            advice = "A run keeps these changes until it is resumed or cancelled; a forced run applies them."
        super().__init__(pending.connector, reason, advice)
        self.next_steps = () if is_dry_run else decisions(scope.run)

    def keep(self, tx: Writing) -> TaskResult:
        """Keeps the changes and blocks the connector.

        Returns what to record in the same transaction.
        """
        pending, scope = self.pending, self._scope
        messages = [str(self), f"held back: {counted(pending)}"]
        before = tx.block_of(pending.connector)
        needs_complete = pending.is_delta
        if before is not None:
            needs_complete = needs_complete or before.needs_complete
            messages += _superseded(tx, before)
        tx.keep_pending(scope.run, scope.ordinal, evolve(pending, at=tx.now()))
        tx.block(
            Block(
                connector=pending.connector,
                run=scope.run,
                task=scope.ordinal,
                since=tx.now(),
                needs_complete=needs_complete,
            )
        )
        return evolve(self._read, messages=(*self._read.messages, *messages))


def counted(pending: PendingChanges) -> str:
    """The numbers of pending changes by kind, in words."""
    counts: dict[str, int] = {}
    for part in filter(lambda part: part.is_change, pending.parts):
        kind, noun = _WORDS[part.kind]
        counts[f"{noun} {kind}"] = counts.get(f"{noun} {kind}", 0) + part.rows.num_rows
    return (
        ", ".join(f"{how_many(count, what.split()[0])} {what.split()[1]}" for what, count in counts.items())
        or "nothing"
    )


_WORDS = {
    "created": ("created", "resource"),
    "updated": ("updated", "resource"),
    "deleted": ("deleted", "resource"),
    "computed": ("updated", "resource"),
    "linked": ("added", "link"),
    "unlinked": ("removed", "link"),
    "removed": ("removed", "link"),
}


def _superseded(tx: Writing, before: Block) -> list[str]:
    """Drops the changes of a connector that an earlier run held back.

    Returns messages about it.
    """
    if before.task not in tx.pending_tasks(before.run):
        return []
    tx.drop_pending(before.run, before.task)
    return [f"the changes of {before.connector} that run {before.run} held back are superseded and were dropped"]


def release(tx: Writing, connector: str) -> list[str]:
    """Unblocks a connector that was synchronized completely, and returns messages about it."""
    before = tx.block_of(connector)
    if before is None:
        return []
    messages = _superseded(tx, before)
    tx.unblock(connector)
    return [*messages, f"{connector} is no longer blocked: incremental jobs synchronize it again"]


def left_out_by(
    reading: Reading,
    configuration: Configuration,
    connector: str,
    job: Job,
    *,
    forced: bool = False,
    is_delta: bool = False,
) -> LeftOut | None:
    """A blocked connector that a job must leave out, or None where it need not.

    Incremental jobs leave it out unless they are forced, and jobs that synchronize a delta of it always do: only a
    complete extract repeats what was held back.

    :param is_delta: whether a program gives a delta of it.
    """
    block = reading.block_of(connector)
    if block is None:
        return None
    is_delta = is_delta or configuration.prepares_delta(job, connector)
    return left_out(reading, block) if is_delta or (job.is_incremental and not forced) else None


def left_out_by_job(reading: Reading, configuration: Configuration, job: Job) -> tuple[LeftOut, ...]:
    """The blocked connectors that a job leaves out if it runs now without being forced, in the order of its tasks."""
    connectors = dict.fromkeys(
        name for task in configuration.called_by(job) for name in (task.prepares, task.synchronizes) if name is not None
    )
    found = (left_out_by(reading, configuration, connector, job) for connector in connectors)
    return tuple(left_out for left_out in found if left_out is not None)


def left_out(reading: Reading, block: Block) -> LeftOut:
    """A blocked connector, as runs that leave it out name it."""
    is_dropped = block.task not in reading.pending_tasks(block.run)
    return LeftOut(connector=block.connector, run=block.run, since=block.since, is_dropped=is_dropped)


def held_back_connectors(reading: Reading, configuration: Configuration) -> tuple[LeftOut, ...]:
    """The configured connectors whose changes are held back until a person decides, by name."""
    return tuple(
        left_out(reading, block) for block in reading.blocks() if configuration.connector(block.connector) is not None
    )
