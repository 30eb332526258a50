"""The part of the engine that holds the stored state against the log, and makes it what the log gives."""

from __future__ import annotations

from contextlib import closing

from deltamark.application import arguments
from deltamark.application.derivation.user_functions.call import refuse_inside_a_function
from deltamark.application.engine.base import Deriving
from deltamark.application.integrity.replay import replay, replay_into, verify_log
from deltamark.application.ports.progress import no_progress
from deltamark.domain.errors import UsageError
from deltamark.domain.integrity.verification import Checkpoint, LogVerification, Replayed


class Rebuilding(Deriving):
    """An open store, and what its log says of it."""

    def checkpoint(self) -> Checkpoint | None:
        """What the log is now, to be kept elsewhere and given to `verify` later; None where it is empty."""
        with self._store.reading() as reading:
            return reading.checkpoint()

    def verify(self, checkpoint: Checkpoint | None = None) -> LogVerification:
        """Reads the whole log, looks whether it is what was written, and compares what it gives with what is stored.

        Events that were altered, removed, put in or exchanged are found by the digests of the transactions, and their
        positions named. Compared are resources with their values, computed ones too, links, runs, horizons and the
        pairs that wait for a resource. Jobs may run meanwhile: the store is seen as it is at one instant. Memory does
        not grow with the log.

        Whoever can alter the store can alter the digests alike, or cut off the end of the log: of that only a
        checkpoint tells which was kept elsewhere.

        :param checkpoint: what the log must begin with.
        :raises UsageError: if that is no checkpoint.
        """
        refuse_inside_a_function("Engine.verify")
        if checkpoint is not None:
            if not isinstance(checkpoint, Checkpoint):
                raise UsageError(f"checkpoint is what Engine.checkpoint gave, not {type(checkpoint).__name__}.")
            arguments.whole_number("the position of a checkpoint", checkpoint.position, least=1)
        return verify_log(self._store, no_progress, checkpoint=checkpoint)

    def replay(self, into: str | None = None) -> Replayed:
        """Makes the stored state what the log gives, in one transaction: whoever reads meanwhile sees it as it was.

        Rows that are as the log says are not written again. Where resources or links were not, the next runs compute
        everything that is derived anew; otherwise flags, places and keys stay as they are.

        :param into: the URL of a new store, of any kind, to fill with the log and what it gives, instead of this one.
            Flags, keys, pending changes and schedules are carried over, leases are not.
        :raises ConcurrentRun: while a run goes on.
        :raises StoreError: if the log is not whole, or a store cannot be written; nothing was changed.
        :raises UsageError: if the store to fill holds anything.
        """
        refuse_inside_a_function("Engine.replay")
        self._refuse_in_a_dry_run()
        if into is None:
            return replay(self._store, no_progress)
        arguments.text("into, the URL of a new store,", into)
        if self._services.open_store is None:
            raise UsageError("this engine opens no other stores. Open it with Engine.open.")
        with closing(self._services.open_store(into)) as target:
            return replay_into(self._store, target, no_progress)
