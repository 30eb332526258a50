"""The part of the engine that discards history: only what is old enough, and what nobody has still to read."""

from __future__ import annotations

from datetime import timedelta

from deltamark.application import arguments
from deltamark.application.derivation.user_functions.call import refuse_inside_a_function
from deltamark.application.engine.base import Deriving
from deltamark.application.lookup import connector_named
from deltamark.application.ports.progress import Progress, no_progress
from deltamark.application.ports.records import Space
from deltamark.application.retention.erase import erase, would_erase
from deltamark.application.retention.retain import retain, would_retain
from deltamark.domain.history.changes import RunMoment
from deltamark.domain.retention.erasure import Erasure
from deltamark.domain.retention.retention import Retention, keep_of


class Keeping(Deriving):
    """An open store with a configuration, and how much of its history is kept."""

    def retain(
        self,
        connector: str,
        *,
        keep: str | int | timedelta | RunMoment,
        dry_run: bool = False,
        even_unread: bool = False,
        vacuum: bool = False,
        told: Progress = no_progress,
    ) -> Retention:
        """Discards the changes of a connector that are older than what is kept; what is stays as it is.

        Changes that no flag task has flagged, or that made resources dirty for a task that has not computed them yet,
        are kept, and so is what lies beyond them; the result says whose they are. It is a run, which stands among the
        others as job ``*retain*``, except where nothing is to be discarded. It works in transactions of some thousand
        changes: wherever it is interrupted, the store is whole, and less history is left.

        :param keep: a time span (``"90d"``, a timedelta): the changes that are younger; a number: the newest so many of
            the connector; ``"run:7"`` or ``RunMoment(7)``: those since the beginning of that run.
        :param dry_run: says what would be discarded, and writes nothing.
        :param even_unread: discards unread changes too. The next flag task flags every resource that depends on the
            connector where it had not seen some of them.
        :param vacuum: gives the space to the disk afterwards, which takes as much again for a while (SQLite only).
            Without it the store reuses the space.
        :param told: is given how many changes were discarded, and of how many, again and again.
        :raises AlreadyRunning: if the connector is being synchronized now; nothing was discarded.
        :raises TakenOver: as `run_job`; what was discarded before stays so.
        :raises UsageError: for a connector or a run that does not exist, for what does not say what to keep, and for
            `vacuum` in PostgreSQL, which does it by itself; nothing was discarded.
        """
        refuse_inside_a_function("Engine.retain")
        store = self._store
        name = connector_named(connector, self.configuration).identifier
        kept = keep_of(keep)
        arguments.boolean("dry_run", dry_run)
        arguments.boolean("even_unread", even_unread)
        self._refuse_in_a_dry_run()
        if arguments.boolean("vacuum", vacuum):
            store.check_shrinkable()
        if dry_run:
            return would_retain(self._services, name, kept, even_unread=even_unread)
        found = retain(self._services, name, kept, even_unread=even_unread, progress=told)
        if vacuum:
            store.shrink()
        return found

    def erase(self, entity_type: str, key: str, *, reason: str, dry_run: bool = False) -> Erasure:
        """Makes what a resource was unreadable, for good: its values, computed ones too, its key, and its links, in
        the log, the state, snapshots, correlation keys and flags.

        A resource that is there is deleted first; what depends on it is flagged. What stays is that changes were made,
        when and by which run, and the record of the erasure with its reason: job ``*erase*`` among the runs. The chain
        of digests still verifies. Not reached are what other resources computed from it in the past, records of runs
        that name the key (the result lists the runs), extracts, exports and backups. If a source still has the
        resource, the next synchronization creates it anew.

        What is deleted may still lie on the disk until it is overwritten; `scrub` overwrites it.

        :param reason: why, or by which request; it goes on record.
        :param dry_run: says what would be erased, and writes nothing.
        :raises ConcurrentRun: while a run goes on; nothing was erased.
        :raises ErasedResource: if it was erased before.
        :raises UsageError: for an entity type or a resource that never was, an empty reason, or while changes are held
            back; nothing was erased.
        """
        refuse_inside_a_function("Engine.erase")
        ref = self._ref(entity_type, key)
        arguments.text("reason", reason)
        self._refuse_in_a_dry_run()
        if arguments.boolean("dry_run", dry_run):
            return would_erase(self._services, ref, reason)
        return erase(self._services, ref, reason)

    def scrub(self) -> str | None:
        """Overwrites what was deleted and may still lie on the disk; takes as much space again for a while.

        :returns: None when it is done; in PostgreSQL, the statements by which the owner of the tables does it.
        """
        return self._store.scrub()

    def space(self) -> Space:
        """What the store takes on its disk, and how much of that is free inside."""
        return self._store.space()
