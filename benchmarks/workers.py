"""Workers: the CPU of the process of the run and of all, and the bytes that pass through it, beside one process."""

from __future__ import annotations

import json
import pickle
import resource
import subprocess
import sys
from collections.abc import Iterator
from statistics import median
from typing import Any

from benchmarks import company_data
from benchmarks.company_data import first_in
from benchmarks.derived_values import Company
from benchmarks.figures import Bench, Goal
from benchmarks.measure import ROUNDS, Measure, WorkFailed, measure
from benchmarks.stores import BenchmarkStore
from deltamark import Engine, TaskState, UpdateEntityPropertyExpressionsTask
from deltamark.application.derivation import parts

PART = "workers"
WORKERS = ("none", "processes:1", "processes:2")
_LEAST = 60_000
"""People of whom there are at least two parts."""


def measure_part(bench: Bench) -> None:
    """Measures the complete computation of properties on every store, without workers, with one and with two."""
    company = Company.write(max(bench.people, _LEAST), bench.folder / "company-of-workers")
    for store in bench.stores:
        _measure_store(bench, store, str(first_in(company.folder)))


def _measure_store(bench: Bench, store: BenchmarkStore, exports: str) -> None:
    store.empty()
    for job in ("Load", "Flag"):
        measure("derive", store.url, exports, job, rounds=1)
    store.save()
    alone: Measure | None = None
    for workers in WORKERS:
        rounds = [_round(store, exports, workers) for _ in range(ROUNDS)]
        samples = {name: [one[name] for one in rounds] for name in ("run", "all", "bytes", "values")}
        total = Measure(samples["all"], 0)
        values = int(median(samples["values"]))
        if alone is None:
            alone = total
            bench.add(PART, "CPU without workers", total, store=store.kind, count=values, things="values")
            continue
        limit = ("that without", alone)
        bench.add(PART, f"CPU of the process of the run, {workers}", samples["run"], store=store.kind, limit=limit)
        bench.add(
            PART, f"CPU of all processes, {workers}", total, store=store.kind, limit=limit,
            goal=Goal("ratio", at_most=1.15),
        )  # fmt: skip
        bench.add(
            PART, f"through the process of the run, {workers}", [size / values for size in samples["bytes"]],
            store=store.kind, unit="bytes a value", goal=Goal("value", at_most=80),
        )  # fmt: skip


def _round(store: BenchmarkStore, exports: str, workers: str) -> dict[str, float]:
    store.restore()
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.workers", store.url, exports, workers], capture_output=True, text=True
    )
    if done.returncode:
        raise WorkFailed(done.stderr)
    result: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return result


def _compute(store: str, exports: str, workers: str) -> None:
    """One complete computation of properties; prints what it took."""
    size = [0]
    in_order = parts.in_order

    def counted(*arguments: Any) -> Iterator[tuple[Any, Any]]:
        for part, result in in_order(*arguments):
            size[0] += len(pickle.dumps(part)) + len(pickle.dumps(result))
            yield part, result

    parts.in_order = counted  # type: ignore[assignment]  # it counts what passes
    before = _cpu(resource.RUSAGE_SELF)
    with Engine.open(
        store, configuration=company_data.configuration(), export_output=exports, workers=workers
    ) as engine:
        run = engine.run_task(UpdateEntityPropertyExpressionsTask(dirty=True, all_entity_type=True))
        assert run.state is TaskState.COMPLETED, run
        own = _cpu(resource.RUSAGE_SELF) - before
        hired = engine._services.workers
        if hired is not None:
            hired.close()
    import multiprocessing

    for process in multiprocessing.active_children():
        process.join()
    total = own + _cpu(resource.RUSAGE_CHILDREN)
    written = sum(task.counts.written for task in run.tasks)
    print(json.dumps({"run": own, "all": total, "bytes": size[0], "values": written}))


def _cpu(who: int) -> float:
    used = resource.getrusage(who)
    return used.ru_utime + used.ru_stime


if __name__ == "__main__":
    _compute(*sys.argv[1:])
