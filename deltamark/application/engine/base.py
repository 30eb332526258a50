"""The part of the engine that answers for what is derived: dirty resources, keys, classifications, their causes."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator

from deltamark.application import arguments
from deltamark.application.derivation.classifications import classifications
from deltamark.application.derivation.matches import matched_pairs
from deltamark.application.derivation.user_functions.call import refuse_inside_a_function
from deltamark.application.execution.run_job import run_job, tasks_to_lease
from deltamark.application.flagging.dirty import dirty_resources
from deltamark.application.flagging.explain import explanation
from deltamark.application.lookup import check_rule, dirty_tasks, entity_type_named, never_was
from deltamark.application.ports.store import Store
from deltamark.application.runs.leases import refuse_if_running
from deltamark.application.runs.observer import Observer
from deltamark.application.services import Services
from deltamark.application.verification.verify import flag_for_repair, repair_job, verify_derived
from deltamark.domain.configuration.configuration import Configuration
from deltamark.domain.derivation.differences import Verification
from deltamark.domain.derivation.explanation import Explanation
from deltamark.domain.errors import UsageError
from deltamark.domain.history.changes import Classification, CorrelationKey, DirtyResource, MatchedPair
from deltamark.domain.resources.resource import ResourceRef
from deltamark.domain.runs.run import JobRun


class Deriving:
    """An open store with a configuration, and what is derived in it."""

    def __init__(self, services: Services) -> None:
        self._services = services
        self._is_closed = False
        self._rehearsing = threading.local()

    def _refuse_in_a_dry_run(self) -> None:
        if getattr(self._rehearsing, "now", False):
            raise UsageError("a dry run is going on in this thread: what runs inside it would be undone with it.")

    @property
    def _store(self) -> Store:
        if self._is_closed:
            raise UsageError("this engine is closed. Open another one with Engine.open.")
        if os.getpid() != self._services.operator.process:
            raise UsageError(
                f"this engine was opened by process {self._services.operator.process}, of which this one "
                f"({os.getpid()}) was forked. Open another one here with Engine.open."
            )
        return self._services.store

    @property
    def configuration(self) -> Configuration:
        """The configuration that the engine was opened with."""
        return self._services.configuration

    def _ref(self, entity_type: str, key: str) -> ResourceRef:
        return ResourceRef(entity_type_named(entity_type, self.configuration).identifier, arguments.text("a key", key))

    def dirty(self, entity_type: str | None = None, *, task: str | None = None) -> list[DirtyResource]:
        """What the dirty tasks, or one of them, would compute now, by task, entity type and key.

        :raises UsageError: for an entity type or task that does not exist, or a task that is not dirty.
        """
        if entity_type is not None:
            entity_type_named(entity_type, self.configuration)
        consumers = dirty_tasks(task, self.configuration)
        with self._store.reading() as reading:
            return list(dirty_resources(reading, self._services.plan, consumers, entity_type))

    def why(self, entity_type: str, key: str, *, task: str | None = None) -> Explanation:
        """Why dirty tasks, or one of them, would compute a resource now: each change with the path that leads to it.

        For a resource that none would compute, since when its derived values are true.

        :raises UsageError: for an entity type or task that does not exist, a task that is not dirty, or a resource
            that never was.
        """
        ref = self._ref(entity_type, key)
        consumers = dirty_tasks(task, self.configuration)
        with self._store.reading() as reading:
            if reading.stream_of(ref) is None:
                raise never_was(reading, ref)
            return explanation(reading, self._services.plan, consumers, ref)

    def keys(self, rule: str | None = None) -> Iterator[CorrelationKey]:
        """Correlation keys by rule, side and resource.

        :raises UsageError: for a rule that does not exist.
        """
        check_rule(rule, self.configuration)
        return self._keys(self._store, rule)

    def _keys(self, store: Store, rule: str | None) -> Iterator[CorrelationKey]:
        with store.reading() as reading:
            yield from reading.correlation_keys(None if rule is None else [rule])

    def matches(self, rule: str | None = None) -> Iterator[MatchedPair]:
        """The pairs of a source and a target resource whose keys are equal; raises as `keys` does."""
        check_rule(rule, self.configuration)
        return self._matches(self._store, rule)

    def _matches(self, store: Store, rule: str | None) -> Iterator[MatchedPair]:
        with store.reading() as reading:
            yield from matched_pairs(reading, self.configuration, rule)

    def classifications(self, entity_type: str | None = None) -> Iterator[Classification]:
        """The resource type that was found for each resource, by entity type and key; of one entity type, or of all.

        :raises UsageError: for an entity type that does not exist.
        """
        if entity_type is not None:
            entity_type_named(entity_type, self.configuration)
        return self._classifications(self._store, entity_type)

    def _classifications(self, store: Store, entity_type: str | None) -> Iterator[Classification]:
        with store.reading() as reading:
            yield from classifications(reading, self.configuration, entity_type)

    def verify_derived(self, *, sample: int | None = None, seed: int = 0) -> Verification:
        """Computes derived values anew beside those stored, without writing anything, and says where they differ.

        :param sample: looks at so many resources of each entity type only, chosen by `seed`; each of their values is
            then computed out of the stored values of what it reads.
        :raises UsageError: for a sample that is no number of 1 or more.
        """
        refuse_inside_a_function("Engine.verify_derived")
        if sample is not None:
            arguments.whole_number("the size of the sample", sample, least=1)
        arguments.whole_number("the seed", seed)
        with self._store.reading() as reading:
            return verify_derived(reading, self._services, sample, seed)

    def repair(self, verification: Verification, *, observer: Observer | None = None) -> JobRun | None:
        """Flags the resources with faults that a verification found, and runs the tasks that compute them.

        The run stands among the others, as job ``*repair*``. None where there were no faults.

        :raises AlreadyRunning: if one of these tasks runs now; the flags are set, and the next run repairs.
        :raises UsageError: if no task of the configuration computes what is wrong.
        """
        refuse_inside_a_function("Engine.repair")
        store, faults = self._store, verification.faults
        if not faults:
            return None
        job = repair_job(self._services, faults)
        if not job.tasks:
            raise UsageError("no task of the configuration computes the values that are wrong. Add one, and run it.")
        flag_for_repair(self._services, faults)
        refuse_if_running(store, tasks_to_lease(self._services, job))
        return run_job(self._services, job, forced=False, observer=observer or Observer())
