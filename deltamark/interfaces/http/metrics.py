"""What is watched, for Prometheus: counters that are kept anyway, and a few short questions to the store."""

from __future__ import annotations

from collections.abc import Iterable

from prometheus_client import CollectorRegistry, Counter, Histogram
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from deltamark.engine import Engine
from deltamark.interfaces.http.feed import Hub

_NEWEST = 100
_METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")


class Metrics(Collector):
    """The metrics of one server. No name of a resource or of a user, and no path with a value, is in them."""

    media_type = CONTENT_TYPE_LATEST

    def __init__(self, engine: Engine, hub: Hub) -> None:
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
