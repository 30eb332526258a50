"""What an edit of the configuration costs in a store in which 20 expressions and 3 rules are computed."""

from __future__ import annotations

from benchmarks.company_data import first_in
from benchmarks.derived_values import Company
from benchmarks.figures import Bench
from benchmarks.measure import measure
from benchmarks.stores import BenchmarkStore

PART = "adoption"


def measure_part(bench: Bench) -> None:
    """Adds a property, and edits an expression."""
    company = Company.write(bench.people, bench.folder / f"company-{bench.people}")
    for store in bench.stores:
        _measure(bench, store, str(first_in(company.folder)))


def _measure(bench: Bench, store: BenchmarkStore, exports: str) -> None:
    store.empty()
    for job in ("Load", "Flag", "Everything"):
        measure("derive", store.url, exports, job, rounds=1)
    store.save()

    opened = measure("adopt", store.url, "nothing", rounds=1)
    added = measure("adopt", store.url, "property", before=store.restore)
    bench.add(PART, "a property is added", added, store=store.kind, limit=("opening the store alone", opened))

    edited = measure("derive", store.url, exports, "Everything", "rule", before=store.restore)
    store.restore()
    alone = measure("adopt", store.url, "rule", rounds=1)
    computed = measure("derive", store.url, exports, "Everything", "rule", rounds=1)
    bench.add(PART, "an expression is edited: the adoption alone", alone, store=store.kind)
    bench.add(
        PART, "an expression is edited", edited, store=store.kind, count=edited.executed, things="values",
        limit=("the computation alone", computed),
    )  # fmt: skip
