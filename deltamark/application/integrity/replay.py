"""Verifies and replays the log: rebuilds the stored state, here or in a new store."""

from __future__ import annotations

from contextlib import closing

from deltamark.application.ports.progress import Progress
from deltamark.application.ports.queries import Reading
from deltamark.application.ports.store import Store
from deltamark.application.services import Services
from deltamark.domain.errors import ConcurrentRun, UsageError
from deltamark.domain.integrity.verification import Checkpoint, LogVerification, Replayed
from deltamark.domain.next_steps import NextAction, NextStep


def verify_log(store: Store, progress: Progress, *, checkpoint: Checkpoint | None = None) -> LogVerification:
    """Verifies that the log is whole and that the stored state is what replaying it gives."""
    with store.reading() as reading:
        return reading.verify(progress, checkpoint=checkpoint)


def replay(store: Store, progress: Progress) -> Replayed:
    """Rebuilds the stored state from the log, in one transaction.

    :raises ConcurrentRun: while a run is going on.
    """
    with store.reading() as reading:
        refuse_while_running(reading)
    with store.transaction() as tx:
        refuse_while_running(tx)
        return tx.replay(progress)


def replay_into(store: Store, target: Store, progress: Progress) -> Replayed:
    """Fills a new store with the log of this one, as it is at one instant."""
    with store.reading() as source, target.transaction() as tx:
        return tx.fill_from(source, progress)


def replay_to(services: Services, url: str, progress: Progress) -> Replayed:
    """Fills the new store that a URL names with the log of this one.

    :raises StoreError: if the store cannot be opened.
    :raises UsageError: if it holds anything.
    """
    if services.open_store is None:
        raise UsageError("this engine opens no other stores. Open it with Engine.open.")
    with closing(services.open_store(url)) as target:
        return replay_into(services.store, target, progress)


def refuse_while_running(reading: Reading, advice: str = "Replay when it has ended.") -> None:
    """Refuses to go on while a run works with the present state.

    :raises ConcurrentRun: names the run.
    """
    for number in sorted(run for run in reading.live_runs() if run > 0):
        summary = reading.run(number, with_rows=False)
        of_job = (
            ""
            if summary is None
            else f" of job {summary.run.job}, by {summary.run.starter.name} on {summary.run.host},"
        )
        raise ConcurrentRun(
            f"run {number}{of_job} is going on, and works with the present state. Nothing was changed. {advice}"
        ).with_next_steps(NextStep(NextAction.SHOW_RUN, number))
