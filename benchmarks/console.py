"""Every page and every answer of `deltamark serve` over the store of a large company: how long, and what they take.

Both the time until the last byte and the CPU time of the server: on a busy machine only the second one is steady.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping
from contextlib import chdir
from pathlib import Path
from typing import Any
from urllib.error import HTTPError
from urllib.parse import quote
from urllib.request import Request, urlopen

import duckdb

from benchmarks.figures import Bench, Goal
from benchmarks.measure import ROUNDS, WorkFailed
from benchmarks.serve import command, memory_mb, processor_s, served
from benchmarks.stores import BenchmarkStore
from deltamark import Engine

PART = "console"
TURNS = 30 if ROUNDS > 1 else 2
_LOADS = {
    "SynchronizeHR_DoNotDeleteChanges": ("HR_Person", "Phone"),
    "SynchronizeActiveDirectory_DoNotDeleteChanges": ("AD_Account", "Description"),
}
"""Tasks that read an extract, and the column of it that is altered between two of them: nothing is computed from it."""

EVENTS_OF_RESOURCE = 10

PAGES = {
    "overview": "/",
    "runs": "/runs",
    "a run": "/runs/1",
    "resources": "/resources?type=HR_Person",
    "resources by the beginning of the key": "/resources?type=HR_Person&prefix=E0000",
    "resources by a usual value": "/resources?type=HR_Person&property=Location&value=Lisboa",
    "resources by a value that none has": "/resources?type=HR_Person&property=Title&value=Nothing",
    "a resource": "/resource?type=HR_Person&key=E00007",
    "a resource with many links": "/resource?type=HR_Department&key=D0001",
    "a resource in the past": "/resource?type=HR_Person&key=E00007&at={past}",
    "what the search box finds": "/find?q=E000",
    "log": "/log",
    "log of a usual type": "/log?type=HR_Person",
    "log of a rare type": "/log?type=HR_Department",
    "log of a rare type, from the middle on": "/log?type=HR_Department&before={middle}",
    "log of a kind that there is not": "/log?kind=deleted",
    "log of a key": "/log?key=E00007",
    "log of a run": "/log?run=1",
    "log of a task": "/log?task=ComputeCorrelationKeys_Incremental",
    "log of a property": "/log?type=HR_Person&property=Title",
    "ambiguous keys": "/derived?show=ambiguous",
    "pairs": "/derived?show=pairs",
    "keys": "/derived?show=keys",
    "classifications": "/derived?show=classifications",
    "what is to be computed": "/derived?show=dirty",
    "configuration": "/configuration",
    "integrity": "/integrity",
    "schedule": "/schedule",
    "access": "/access",
}
ANSWERS = {
    "entity types": "/entity-types",
    "jobs": "/jobs",
    "health": "/health",
    "position": "/position",
    "horizons": "/horizons",
    "50 resources": "/resources?type=HR_Person&limit=50",
    "a resource": "/resource?type=HR_Person&key=E00007",
    "a resource in the past": "/resource?type=HR_Person&key=E00007&at={past}",
    "the history of a resource": "/resource/history?type=HR_Person&key=E00007&limit=50",
    "the history of a resource with many links": "/resource/history?type=HR_Department&key=D0001&limit=50",
    "the links of a resource": "/resource/links?type=HR_Person&key=E00007",
    "the links of a resource with many": "/resource/links?type=HR_Department&key=D0001",
    "why a resource is dirty": "/resource/why?type=HR_Person&key=E00007",
    "who had a value": "/resource/audit?type=HR_Person&key=E00007&property=Phone&from={begin}&to={past}",
    "50 changes": "/changes?limit=50",
    "50 changes of a usual type": "/changes?limit=50&type=HR_Person",
    "50 changes of a rare type": "/changes?limit=50&type=HR_Department",
    "50 changes of a rare type, oldest first": "/changes?limit=50&type=HR_Department&after=0",
    "50 changes of a run": "/changes?limit=50&run=1",
    "50 keys": "/keys?limit=50",
    "50 pairs": "/pairs?limit=50",
    "50 ambiguous keys": "/ambiguous?limit=50&rule={rule}",
    "50 classifications": "/classifications?limit=50",
    "50 of what is to be computed": "/dirty?limit=50",
    "50 differences of two moments": "/diff?limit=50&type=HR_Person&from={begin}&to={past}",
    "50 differences of two near moments": "/diff?limit=50&type=HR_Department&from={past}&to={last}",
    "20 runs": "/runs?limit=20",
    "a run": "/runs/1",
    "space": "/space",
    "configuration": "/configuration",
    "checkpoint": "/checkpoint",
}


def measure_part(bench: Bench) -> None:
    """Serves a company with ten events for each resource, and asks for everything."""
    for store in bench.stores:
        company = bench.folder / f"console-{store.kind}"
        command("init", str(company), "--people", str(bench.people), cwd=bench.folder)
        store.empty()
        grow(company, store.url)
        measure_company(bench, company, store)


def grow(company: Path, url: str) -> None:
    """Loads a company, and alters its people and accounts until there are ten events for each resource."""
    with chdir(company), Engine.open(url, configuration="configuration", export_output="exports") as engine:
        engine.run_job("Incremental")
        events = EVENTS_OF_RESOURCE * sum(engine.counts().values())
        turn = 0
        while engine.position() < events:
            turn += 1
            for task, (extract, column) in _LOADS.items():
                alter(company / "exports", extract, column, turn)
                engine.run_task(task, force=True)
        engine.run_job("Incremental", force=True)


def alter(folder: Path, extract: str, column: str, turn: int) -> None:
    """Writes an extract in which every row has another value in a column."""
    original, file = folder.parent / f"{extract}.csv", folder / f"{extract}.csv"
    if not original.exists():
        original.write_bytes(file.read_bytes())
    with duckdb.connect() as db:
        table = db.read_csv(str(original), all_varchar=True, header=True)
        columns = (f"coalesce({name}, '') || ' {turn}' AS {name}" if name == column else name for name in table.columns)
        table.select(", ".join(columns)).write_csv(str(file), header=True)


def measure_company(bench: Bench, company: Path, store: BenchmarkStore) -> None:
    """Asks a server over a company for everything, and for the whole log."""
    with chdir(company), Engine.open(store.url, configuration="configuration", export_output="exports") as engine:
        last, resources = engine.position(), sum(engine.counts().values())
        rule = next(key.rule for key in engine.keys(limit=1))
    names = {"last": last, "past": last // 2, "middle": last // 2, "begin": last // 2 - 1000, "rule": quote(rule)}
    parameters = {"positions": last, "resources": resources}
    token = command("--store", store.url, "token", "create", f"console-{store.kind}", "--role", "admin", cwd=company)
    with served(company, "--store", store.url) as (process, address):

        def add(what: str, samples: list[float], **more: Any) -> None:
            bench.add(PART, what, samples, store=store.kind, parameters=parameters, **more)

        add("memory when it begins", [memory_mb(process.pid)], unit="MB", goal=Goal("value", at_most=200))
        for paths, prefix, kind, most in ((PAGES, "", "page", 200), (ANSWERS, "/api/v1", "answer", 50)):
            for name, path in paths.items():
                with bench.attempt(PART, f"{kind}: {name}"):
                    ask = _asking(address + prefix + path.format_map(names), token.strip())
                    times, cpu = _times(ask, process.pid)
                    slowest = {**parameters, "p99": times[-1 - len(times) // 100], "cpu": cpu}
                    bench.add(
                        PART, f"{kind}: {name}", times, unit="ms", store=store.kind, parameters=slowest,
                        goal=Goal("value", at_most=most),
                    )  # fmt: skip
        add("memory after all pages and answers", [memory_mb(process.pid)], unit="MB", goal=Goal("value", at_most=220))
        before = memory_mb(process.pid)
        began = time.perf_counter()
        count = _download(f"{address}/api/v1/changes?format=jsonl", token.strip())
        add("the whole log as JSON lines", [time.perf_counter() - began], count=count, things="events")
        more = memory_mb(process.pid) - before
        add("memory more after the whole log", [max(more, 0.0)], unit="MB", goal=Goal("value", at_most=50))


def _asking(url: str, token: str) -> Callable[[], None]:
    request = Request(url, headers={"Authorization": f"Bearer {token}"})  # noqa: S310, our own server

    def ask() -> None:
        try:
            with urlopen(request, timeout=600) as answer:  # noqa: S310
                answer.read()
        except HTTPError as e:
            with e:
                raise WorkFailed(f"{url}: {e.code} {e.read()[:500]!r}") from e

    return ask


def _times(ask: Callable[[], None], process: int) -> tuple[list[float], float]:
    """The times of some answers but the first, sorted, and the CPU time of the server for one; in milliseconds."""
    ask()
    times, begun = [], processor_s(process)
    for _ in range(TURNS):
        start = time.perf_counter()
        ask()
        times.append((time.perf_counter() - start) * 1_000)
    return sorted(times), (processor_s(process) - begun) * 1_000 / TURNS


def _download(url: str, token: str) -> int:
    """Reads JSON lines, a little at a time, and returns how many there are."""
    request = Request(url, headers={"Authorization": f"Bearer {token}"})  # noqa: S310
    count, end = 0, b""
    with urlopen(request, timeout=600) as answer:  # noqa: S310
        while piece := answer.read(1 << 20):
            count += piece.count(b"\n")
            end = (end + piece)[-200:]
    told: Mapping[str, Any] = json.loads(end.splitlines()[-1])
    if told.get("count") != count - 1:
        raise WorkFailed(f"the log does not end with its count: {told}, {count} lines")
    return count - 1
