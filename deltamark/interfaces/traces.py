"""Traces of runs, for OpenTelemetry: a span for the run, one for each task, and one for each phase of a task.

Attributes hold names of the configuration, states and counts; no key, no value, no message.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from importlib.util import find_spec
from typing import TYPE_CHECKING, Protocol

from attrs import asdict, define, field

from deltamark.application.runs.observer import Observer
from deltamark.domain.configuration.jobs import TaskState
from deltamark.domain.errors import UsageError
from deltamark.domain.runs.run import TaskRun

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.trace import Span

PHASES = frozenset({"comparing", "waiting to write", "writing resources", "writing links"})
"""The words of progress that are phases; others hold numbers."""

_SERVICE = "deltamark"
_TIMEOUT_S = 5
_PARENT = "TRACEPARENT"
_BAD = (TaskState.FAILED, TaskState.ABORTED)


class Traces(Protocol):
    """What a command does with traces."""

    def watching(self, observer: Observer, job: str | None = None) -> Observer:
        """An observer that does what another one does, and notes spans."""
        ...

    def run_started(self, run: int, job: str | None, at: datetime) -> None:
        """Begins the span of a run."""
        ...

    def run_ended(self, run: int, state: TaskState | None) -> None:
        """Ends the span of a run."""
        ...


class NoTraces:
    """Notes nothing."""

    def run_started(self, run: int, job: str | None, at: datetime) -> None:
        """Does nothing."""

    def watching(self, observer: Observer, job: str | None = None) -> Observer:
        """The observer itself."""
        return observer

    def run_ended(self, run: int, state: TaskState | None) -> None:
        """Does nothing."""


@contextmanager
def traces_to(collector: str | None) -> Iterator[Traces]:
    """The traces of what runs in the block, which are sent by its end.

    :param collector: the address that takes OTLP over HTTP; None: nothing is noted, and nothing imported.
    :raises UsageError: if the packages for it are not installed.
    """
    if collector is None:
        yield NoTraces()
        return
    if find_spec("opentelemetry") is None or find_spec("opentelemetry.exporter.otlp.proto.http") is None:
        raise UsageError("traces need more than is installed. Install it by: pip install 'deltamark[otel]'.")
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
    from opentelemetry.sdk.resources import Resource
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import BatchSpanProcessor

    provider = TracerProvider(resource=Resource.create({"service.name": _SERVICE}), shutdown_on_exit=False)
    exporter = OTLPSpanExporter(endpoint=f"{collector.rstrip('/')}/v1/traces", timeout=_TIMEOUT_S)
    provider.add_span_processor(BatchSpanProcessor(exporter))
    traces = RunTraces(provider)
    try:
        yield traces
    finally:
        traces.close()
        provider.shutdown()


@define(eq=False)
class _Run:
    """The spans of a run that are open."""

    span: Span
    tasks: dict[int, Span] = field(factory=dict)
    phases: dict[int, tuple[str, Span]] = field(factory=dict)


class RunTraces:
    """The spans of runs."""

    def __init__(self, provider: TracerProvider) -> None:
        self._tracer = provider.get_tracer(_SERVICE)
        self._runs: dict[int, _Run] = {}

    def watching(self, observer: Observer, job: str | None = None) -> Observer:
        """An observer that does what another one does, and notes spans.

        :param job: of the runs; None where it is not known.
        """
        return _TracingObserver(observer, self, job)

    def run_started(self, run: int, job: str | None, at: datetime) -> None:
        """Begins the span of a run of which an observer does not know the job."""
        span = self._run(run, job, at).span
        if job is not None:
            span.set_attribute("deltamark.job", job)

    def run_ended(self, run: int, state: TaskState | None) -> None:
        """Ends the span of a run, and those of tasks and phases that are open."""
        found = self._runs.pop(run, None)
        if found is None:
            return
        for _, span in found.phases.values():
            span.end()
        for span in found.tasks.values():
            span.end()
        if state is not None:
            _set_state(found.span, state)
        found.span.end()

    def close(self) -> None:
        """Ends all spans that are open."""
        for run in list(self._runs):
            self.run_ended(run, None)

    def task_started(self, run: int, task: TaskRun, job: str | None) -> None:
        """Begins the span of a task, and before the first one that of the run."""
        from opentelemetry.trace import set_span_in_context

        found = self._run(run, job, task.started_at)
        span = self._tracer.start_span(
            "deltamark.task",
            context=set_span_in_context(found.span),
            attributes={"deltamark.task": task.identifier, "deltamark.task.type": task.kind},
            start_time=_nanoseconds(task.started_at),
        )
        found.tasks[task.ordinal] = span

    def task_progressed(self, run: int, task: TaskRun) -> None:
        """Begins the span of a phase, and ends that of the one before."""
        from opentelemetry.trace import set_span_in_context

        found = self._runs.get(run)
        if found is None or task.ordinal not in found.tasks or task.progress not in PHASES:
            return
        before = found.phases.get(task.ordinal)
        if before is not None and before[0] == task.progress:
            return
        if before is not None:
            before[1].end()
        span = self._tracer.start_span(
            "deltamark.phase",
            context=set_span_in_context(found.tasks[task.ordinal]),
            attributes={"deltamark.phase": task.progress},
        )
        found.phases[task.ordinal] = (task.progress, span)

    def task_ended(self, run: int, task: TaskRun, job: str | None) -> None:
        """Ends the span of a task, also of one that was skipped and so never began."""
        if run not in self._runs or task.ordinal not in self._runs[run].tasks:
            self.task_started(run, task, job)
        found = self._runs[run]
        phase = found.phases.pop(task.ordinal, None)
        if phase is not None:
            phase[1].end()
        span = found.tasks.pop(task.ordinal)
        _set_state(span, task.state)
        for name, count in asdict(task.counts).items():
            if count:
                span.set_attribute(f"deltamark.count.{name}", count)
        span.end(end_time=_nanoseconds(task.ended_at))

    def _run(self, run: int, job: str | None, at: datetime | None) -> _Run:
        if run not in self._runs:
            from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

            parent = os.environ.get(_PARENT)
            context = TraceContextTextMapPropagator().extract({"traceparent": parent}) if parent else None
            attributes: dict[str, str | int] = {"deltamark.run": run}
            if job is not None:
                attributes["deltamark.job"] = job
            span = self._tracer.start_span(
                "deltamark.run", context=context, attributes=attributes, start_time=_nanoseconds(at)
            )
            self._runs[run] = _Run(span)
        return self._runs[run]


class _TracingObserver(Observer):
    def __init__(self, observer: Observer, traces: RunTraces, job: str | None) -> None:
        self._observer, self._traces, self._job = observer, traces, job

    def task_started(self, run: int, task: TaskRun) -> None:
        self._traces.task_started(run, task, self._job)
        self._observer.task_started(run, task)

    def task_progressed(self, run: int, task: TaskRun) -> None:
        self._traces.task_progressed(run, task)
        self._observer.task_progressed(run, task)

    def task_ended(self, run: int, task: TaskRun) -> None:
        self._traces.task_ended(run, task, self._job)
        self._observer.task_ended(run, task)


def _set_state(span: Span, state: TaskState) -> None:
    from opentelemetry.trace import StatusCode

    span.set_attribute("deltamark.state", state.value)
    if state in _BAD:
        span.set_status(StatusCode.ERROR)


def _nanoseconds(at: datetime | None) -> int | None:
    return None if at is None else int(at.timestamp() * 1_000_000) * 1_000
