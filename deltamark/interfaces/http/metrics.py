"""What is watched, for Prometheus: counters that are kept anyway, and a few short questions to the store."""

from __future__ import annotations

from collections import Counter as Counted
from collections.abc import Callable, Iterable
from datetime import datetime
from time import monotonic

from prometheus_client import CollectorRegistry, Counter, Histogram
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from deltamark.application.services import utc_now
from deltamark.domain.errors import DeltamarkError
from deltamark.domain.history.pages import DirtyCount
from deltamark.domain.integrity.verification import newest_of_each_part
from deltamark.engine import Engine
from deltamark.interfaces.http.feed import Hub
from deltamark.interfaces.http.reports import VERIFIED

_NEWEST = 100
_MOST_LABELS = 100
"""Of consumers, jobs and tasks: so many have a series of their own."""

_DIRTY_S = 60.0

_METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")


class Metrics(Collector):
    """The metrics of one server. No name of a resource or of a user, and no path with a value, is in them."""

    media_type = CONTENT_TYPE_LATEST

    def __init__(self, engine: Engine, hub: Hub, clock: Callable[[], datetime] = utc_now) -> None:
        self._clock = clock
        self._dirty: tuple[float, list[DirtyCount]] | None = None
        self._engine = engine
        self._hub = hub
        self._registry = CollectorRegistry()
        names = ("route", "method", "status")
        self._requests = Counter("deltamark_http_requests", "Requests answered.", names, registry=self._registry)
        self._seconds = Histogram(
            "deltamark_http_request_seconds", "Until an answer began.", ("route",), registry=self._registry
        )
        self._registry.register(self)

    def answered(self, route: str, method: str, status: int, seconds: float) -> None:
        """Counts an answer.

        :param route: without the values in it; empty where there is none.
        """
        name = route or "unknown"
        self._requests.labels(name, method if method in _METHODS else "other", str(status)).inc()
        self._seconds.labels(name).observe(seconds)

    def text(self) -> bytes:
        """The metrics as text."""
        return generate_latest(self._registry)

    def describe(self) -> Iterable[Metric]:
        """Nothing: what is collected is known when it is asked for."""
        return ()

    def collect(self) -> Iterable[Metric]:
        """What the watcher and the records of runs say."""
        yield GaugeMetricFamily("deltamark_log_position", "The newest position of the log.", self._hub.head)
        yield GaugeMetricFamily("deltamark_sse_clients", "Streams of changes that are open.", self._hub.streams)
        changes = CounterMetricFamily(
            "deltamark_changes", "Changes seen since the server started.", labels=("subject", "kind")
        )
        for (subject, kind), count in sorted(self._hub.counts.items()):
            changes.add_metric((subject, kind), count)
        yield changes
        yield from self._of_runs()
        yield from self._of_store()
        yield from self._of_verifications()

    def _of_verifications(self) -> Iterable[Metric]:
        """The newest verification on record of each part; one of a sample says nothing of the whole."""
        names = ("subject",)
        at = GaugeMetricFamily("deltamark_verified_timestamp_seconds", "When it was verified last.", labels=names)
        well = GaugeMetricFamily("deltamark_verified_well", "1 if nothing was wrong, 0 if it was.", labels=names)
        position = GaugeMetricFamily("deltamark_verified_position", "The end of the log that was read.", labels=names)
        for record in newest_of_each_part(self._engine.verifications()):
            labels = (VERIFIED[record.part],)
            at.add_metric(labels, record.at.timestamp())
            well.add_metric(labels, float(record.is_sound))
            position.add_metric(labels, record.position)
        yield from (at, well, position)

    def _of_store(self) -> Iterable[Metric]:
        lag = GaugeMetricFamily(
            "deltamark_consumer_lag_changes", "Changes that a consumer has not read.", labels=("consumer",)
        )
        for status in self._engine.consumers()[:_MOST_LABELS]:
            lag.add_metric((status.name,), status.behind)
        dirty = GaugeMetricFamily(
            "deltamark_dirty_resources", "Resources that a task would compute.", labels=("task", "entity_type")
        )
        for count in self._counts_of_dirty()[:_MOST_LABELS]:
            dirty.add_metric((count.task, count.entity_type), count.count)
        size = GaugeMetricFamily("deltamark_store_bytes", "What the store takes.", labels=("kind",))
        space = self._engine.space()
        size.add_metric(("all",), space.size)
        if space.free is not None:
            size.add_metric(("unused",), space.free)
        overdue = GaugeMetricFamily(
            "deltamark_schedule_overdue_seconds", "How long a job has been due without a start.", labels=("job",)
        )
        now = self._clock()
        for job in self._engine.health().jobs[:_MOST_LABELS]:
            late = 0.0 if job.next_at is None else max(0.0, (now - job.next_at).total_seconds())
            overdue.add_metric((job.job,), late)
        failed = GaugeMetricFamily(
            "deltamark_notifications_unsent", "Notifications that are not sent.", labels=("channel", "state")
        )
        for (channel, state), number in sorted(
            Counted((record.channel, record.delivery.value) for record in self._engine.notifications()).items()
        ):
            failed.add_metric((channel, state), number)
        yield from (lag, dirty, size, overdue, failed)

    def _counts_of_dirty(self) -> list[DirtyCount]:
        """Counted once a minute at most: with many dirty resources it takes a second."""
        if self._dirty is None or monotonic() - self._dirty[0] > _DIRTY_S:
            try:
                self._dirty = (monotonic(), list(self._engine.dirty_counts()))
            except DeltamarkError:  # expressions that are wrong: there is no plan, and nothing to count
                self._dirty = (monotonic(), [])
        return self._dirty[1]

    def _of_runs(self) -> Iterable[Metric]:
        held_back = self._engine.held_back()
        yield GaugeMetricFamily(
            "deltamark_blocked_connectors", "Connectors whose changes are held back.", len(held_back)
        )
        since = GaugeMetricFamily("deltamark_blocked_since_timestamp_seconds", "Since when.", labels=("connector",))
        for found in held_back:
            since.add_metric((found.connector,), found.since.timestamp())
        yield since
        state = GaugeMetricFamily("deltamark_run_last_state", "The state of the last run.", labels=("job", "state"))
        ended = GaugeMetricFamily("deltamark_run_last_end_timestamp_seconds", "When it ended.", labels=("job",))
        duration = GaugeMetricFamily("deltamark_run_last_duration_seconds", "How long it took.", labels=("job",))
        jobs = {job.identifier for job in self._engine.configuration.jobs}
        for run in self._engine.runs(limit=_NEWEST):
            if run.job not in jobs:
                continue
            jobs.remove(run.job)
            state.add_metric((run.job, run.state.value), 1)
            if run.ended_at is not None:
                ended.add_metric((run.job,), run.ended_at.timestamp())
                duration.add_metric((run.job,), (run.ended_at - run.started_at).total_seconds())
        yield from (state, ended, duration)
