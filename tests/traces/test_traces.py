"""Traces of runs: run, task and phase, without keys, values and messages; nothing where they are off."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from deltamark import TaskState
from deltamark.application.runs.observer import Observer
from deltamark.interfaces.cli.main import status_of
from deltamark.interfaces.traces import NoTraces, RunTraces, traces_to
from tests.scenarios.house import House
from tests.scenarios.http_server import Reply, always, http_server


@pytest.fixture
def exporter() -> InMemorySpanExporter:
    return InMemorySpanExporter()


@pytest.fixture
def traces(exporter: InMemorySpanExporter) -> RunTraces:
    provider = TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    return RunTraces(provider)


def test_a_run_has_spans_of_its_tasks_and_their_phases(
    house: House, traces: RunTraces, exporter: InMemorySpanExporter, monkeypatch: pytest.MonkeyPatch
) -> None:
    parent = "0af7651916cd43dd8448eb211c80319c"
    monkeypatch.setenv("TRACEPARENT", f"00-{parent}-b7ad6b7169203331-01")
    house.people({"geheim-1": {"name": "Geheim", "mail": "geheim@x"}})
    run = house.engine.run_job("Incremental", observer=traces.watching(Observer(), "Incremental"))
    traces.run_ended(run.number, run.state)

    spans = exporter.get_finished_spans()
    (whole,) = [span for span in spans if span.name == "deltamark.run"]
    tasks = [span for span in spans if span.name == "deltamark.task"]
    phases = [span for span in spans if span.name == "deltamark.phase"]
    assert whole.attributes == {"deltamark.run": 1, "deltamark.job": "Incremental", "deltamark.state": "completed"}
    assert {span.parent.span_id for span in tasks if span.parent} == {whole.context.span_id}
    assert [span.attributes["deltamark.task"] for span in tasks if span.attributes] == [
        "SynchronizeHR", "SetRecentlyModifiedFlag", "Keys",
    ]  # fmt: skip
    assert {span.parent.span_id for span in phases if span.parent} == {tasks[0].context.span_id}
    assert {span.attributes["deltamark.phase"] for span in phases if span.attributes} >= {"comparing"}
    assert {f"{span.context.trace_id:032x}" for span in spans} == {parent}
    assert "geheim" not in "".join(span.to_json() for span in spans).lower()


def test_a_run_of_a_schedule_gets_its_job_from_the_notice_that_it_started(
    house: House, traces: RunTraces, exporter: InMemorySpanExporter
) -> None:
    observer = traces.watching(Observer())
    run = house.engine.run_job("Incremental", observer=observer)
    traces.run_started(run.number, "Incremental", run.started_at)
    traces.run_ended(run.number, run.state)

    (whole,) = [span for span in exporter.get_finished_spans() if span.name == "deltamark.run"]
    assert whole.attributes == {"deltamark.run": 1, "deltamark.job": "Incremental", "deltamark.state": run.state.value}


def test_a_run_that_fails_is_an_error(house: House, traces: RunTraces, exporter: InMemorySpanExporter) -> None:
    run = house.engine.run_job("People", observer=traces.watching(Observer(), "People"))
    assert run.state is TaskState.FAILED
    traces.run_ended(run.number, run.state)

    spans = exporter.get_finished_spans()
    assert {span.name: span.status.is_ok for span in spans} == {"deltamark.task": False, "deltamark.run": False}
    assert all(span.status.description is None for span in spans)


def test_what_is_open_at_the_end_is_ended(house: House, traces: RunTraces, exporter: InMemorySpanExporter) -> None:
    house.people({"1": "Ann"})
    house.engine.run_job("People", observer=traces.watching(Observer()))
    assert [span.name for span in exporter.get_finished_spans() if span.name == "deltamark.run"] == []
    traces.close()
    assert [span.name for span in exporter.get_finished_spans() if span.name == "deltamark.run"] == ["deltamark.run"]


def test_nothing_is_noted_and_imported_where_they_are_off() -> None:
    with traces_to(None) as traces:
        assert isinstance(traces, NoTraces)
    code = (
        "import sys\nfrom deltamark.interfaces.cli.commands import runs, schedule\n"
        "from deltamark.interfaces.traces import traces_to\nwith traces_to(None): pass\n"
        "assert not any(name.startswith('opentelemetry') for name in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_a_collector_gets_them_and_one_that_is_down_fails_no_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from deltamark.infrastructure.sample_company import write_workspace

    write_workspace(tmp_path / "company", people=100)
    monkeypatch.chdir(tmp_path / "company")
    settings = Path("deltamark.toml").read_text("utf-8")
    with http_server(always(Reply(200))) as server:
        url = server.url.removesuffix("/in")
        Path("deltamark.toml").write_text(settings.replace("[deltamark]\n", f'[deltamark]\ntraces = "{url}"\n', 1))
        assert status_of(["run", "Incremental"]) == 0
        assert [request.path for request in server.requests] == ["/v1/traces"]
        assert b"deltamark.task" in server.requests[0].body
    assert status_of(["run", "Incremental"]) == 0
