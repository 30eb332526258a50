"""What a store keeps beside its log, as it was at a position, as far as the log and the present store tell."""

from __future__ import annotations

from attrs import evolve

from deltamark.application.adoption.configurations import configuration_in_force
from deltamark.application.ports.commands import Writing
from deltamark.application.ports.pending_changes import Block
from deltamark.application.ports.queries import Reading
from deltamark.application.runs.recorded_job import recorded_job
from deltamark.application.services import Services
from deltamark.domain.configuration.jobs import TaskState
from deltamark.domain.history.changes import Position
from deltamark.domain.runs.run import RunStarted, TaskEnded, TriggerKind
from deltamark.domain.runs.task_calls import running_order

_SYNCHRONIZED = (TaskState.COMPLETED, TaskState.WARNING)


def restore_blocks(services: Services, source: Reading, tx: Writing, until: Position) -> list[str]:
    """Blocks the connectors that were blocked, with what was held back where the store still has it.

    Returns notes about what it has not: such a connector stays out of incremental jobs until a complete extract.
    """
    blocks: dict[str, Block] = {}
    started: dict[int, RunStarted] = {}
    for position, event in source.run_records(until):
        if isinstance(event, RunStarted):
            started[event.run] = event
        if not isinstance(event, TaskEnded) or event.task < 1 or event.left_out is not None:
            continue
        name = started[event.run].tasks[event.task - 1].identifier if event.run in started else ""
        connector, is_delta = _synchronized(services, source, position, started.get(event.run), name)
        if connector is None:
            continue
        before = blocks.get(connector)
        if event.state is TaskState.BLOCKED:
            needs_complete = is_delta or (before is not None and before.needs_complete)
            blocks[connector] = Block(
                connector=connector, run=event.run, task=event.task, since=event.at, needs_complete=needs_complete
            )
        elif event.state in _SYNCHRONIZED:
            blocks.pop(connector, None)
        elif event.state is TaskState.CANCELLED and before is not None and _is_dropped(before, event):
            blocks.pop(connector)
    at, notes = source.time_of(until), []
    blocks |= {block.connector: block for block in source.blocks() if block.since <= at}  # the same ones as now
    for connector, block in sorted(blocks.items()):
        is_kept = tx.copy_pending(source, block.run, block.task)
        tx.block(block if is_kept else evolve(block, needs_complete=True))
        if not is_kept:
            notes.append(
                f"what run {block.run} held back of connector {connector} was applied or dropped since, and is in no "
                f"log: {connector} stays out of incremental jobs until a complete extract is synchronized"
            )
    return notes


def _is_dropped(block: Block, cancelled: TaskEnded) -> bool:
    """Whether cancelling a task ended a block; that of a delta lasts until a complete extract."""
    return (block.run, block.task) == (cancelled.run, cancelled.task) and not block.needs_complete


def _synchronized(
    services: Services, source: Reading, position: Position, started: RunStarted | None, task: str
) -> tuple[str | None, bool]:
    """The connector that a task synchronized, and whether from a delta."""
    adopted = configuration_in_force(source, services, position)
    if adopted is None:
        return None, False
    configuration = adopted.configuration
    known = (
        None
        if started is None
        else recorded_job(evolve(services, configuration=configuration), started.job, started.definition)
    )
    calls = running_order(configuration.called_by(known)) if known is not None else tuple(configuration.all_calls())
    for call in calls:
        if call.identifier == task and call.synchronizes is not None:
            return call.synchronizes, known is not None and configuration.prepares_delta(known, call.synchronizes)
    return None, False


def restore_schedules(source: Reading, tx: Writing, until: Position) -> None:
    """Stores how far the schedules of jobs were handled: as now where that is older, else by their runs."""
    at = source.time_of(until)
    due: dict[str, RunStarted] = {}
    for _, event in source.run_records(until):
        if isinstance(event, RunStarted) and event.trigger is TriggerKind.SCHEDULE and event.due_at is not None:
            due[event.job] = event
    for schedule in source.schedules():
        if schedule.handled_to <= at:
            tx.put_schedule(schedule)
        elif schedule.job in due:
            newest = due[schedule.job]
            assert newest.due_at is not None, "only those with a due time were kept"
            tx.put_schedule(evolve(schedule, handled_to=max(newest.at, newest.due_at), run=newest.run))


def restore_consumers(source: Reading, tx: Writing, until: Position) -> list[str]:
    """Stores the places of programs: as now, and at the end of the new log at most.

    Returns notes about those that were moved since: where they were is in no log.
    """
    at, notes = source.time_of(until), []
    for place in source.consumers():
        if place.began_at > at:
            continue
        if place.moved_at > at:
            notes.append(
                f"consumer {place.name} was moved since, and where it was is in no log: it is at position "
                f"{min(place.position, until)}, up to which it has read"
            )
        tx.put_consumer(evolve(place, position=min(place.position, until)))
    return notes
