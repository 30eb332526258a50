"""Fills a new store with the store as it was at a moment: the log up to there, and all that was made of it."""

from __future__ import annotations

from contextlib import closing

from deltamark.application.history import history
from deltamark.application.ports.commands import Writing
from deltamark.application.ports.progress import Progress
from deltamark.application.ports.queries import Reading
from deltamark.application.reconstruction.beside_the_log import restore_blocks, restore_consumers, restore_schedules
from deltamark.application.reconstruction.derived_steps import DerivedSteps
from deltamark.application.reconstruction.later_removals import later_removals, record_again, record_horizons
from deltamark.application.services import Services
from deltamark.domain.errors import HistoryDiscarded, UsageError
from deltamark.domain.history.changes import Position, When
from deltamark.domain.integrity.verification import Replayed


def replay_to_until(services: Services, url: str, when: When, progress: Progress) -> Replayed:
    """Fills the new store that a URL names with this one as it was at a moment (see `Engine.replay`).

    :raises HistoryDiscarded: if changes beyond the moment were discarded together with the state before them.
    :raises StoreError: if the log is not whole, or a store cannot be opened or written.
    :raises UsageError: if the other store holds anything, or for a moment that does not exist.
    """
    if services.open_store is None:
        raise UsageError("this engine opens no other stores. Open it with Engine.open.")
    with services.store.reading() as source:
        until = _last_position(source, when)
        with closing(services.open_store(url)) as target, target.transaction() as tx:
            return _replay(services, source, tx, until, progress)


def _last_position(source: Reading, when: When) -> Position:
    """The end of the newest transaction up to a moment: between two of them no store ever was.

    :raises HistoryDiscarded: if the state there is not known any more.
    :raises UsageError: if nothing had happened by then.
    """
    position = history.position_of(source, when)
    first, last = source.transaction_of(position) if position else (0, 0)
    until = position if position == last else first - 1
    if until <= 0:
        raise UsageError("nothing is in the log up to this moment: the store was empty. Name a later one.")
    horizon = source.unknown_at(until)
    if horizon is not None:
        raise HistoryDiscarded(horizon.connector, horizon.position, horizon.run, horizon.task)
    return until


def _replay(services: Services, source: Reading, tx: Writing, until: Position, progress: Progress) -> Replayed:
    tx.begin_copy(source, until, progress)
    steps = DerivedSteps(services, source, tx, until)
    notes = steps.take()
    tx.copy_log(source, until)
    tx.continue_copy()
    notes += restore_blocks(services, source, tx, until)
    restore_schedules(source, tx, until)
    notes += restore_consumers(source, tx, until)
    removed = later_removals(source, until)
    run = record_again(services, tx, removed) if removed else None
    record_horizons(source, tx, until, removed, run)
    recomputes = steps.is_incomplete
    if removed:
        erased = [removal for removal in removed if removal.is_erasure]
        if erased:
            tx.keep_consumers({})
            recomputes = True
            notes.append(
                f"{len(erased)} of the resources that existed then were erased since: they stay erased, and the next "
                "runs compute everything that is derived anew"
            )
        if len(removed) > len(erased):
            notes.append("changes that existed then were discarded since: they stay discarded")
    verified = tx.end_copy(progress)
    return Replayed(verified=verified, recomputes=recomputes, notes=notes)
