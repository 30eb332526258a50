"""`python -m benchmarks.adoption` measures what an edit of the configuration costs in a store full of resources."""

from __future__ import annotations

import tempfile
from pathlib import Path

import click

from benchmarks.company_data import first_in
from benchmarks.derived_values import Company
from benchmarks.measure import measure
from benchmarks.stores import BenchmarkStore, benchmark_stores


@click.command()
@click.option("--people", default=1_000_000, show_default=True, help="The number of people, and of accounts.")
@click.option("--store", "kinds", multiple=True, default=("sqlite", "postgresql"), show_default=True)
def main(people: int, kinds: tuple[str, ...]) -> None:
    """Edits a rule and adds a property, in a store in which 20 expressions and 3 rules are computed."""
    with tempfile.TemporaryDirectory(prefix="deltamark-bench-") as name, benchmark_stores(kinds, Path(name)) as stores:
        company = Company.write(people, Path(name) / "company")
        print(f"{people:,} people and accounts, 20 expressions, 3 rules")
        for store in stores:
            _measure(store, str(first_in(company.folder)))


def _measure(store: BenchmarkStore, exports: str) -> None:
    print(store.kind)
    store.empty()
    for job in ("Load", "Flag", "Everything"):
        measure("derive", store.url, exports, job, rounds=1)
    store.save()

    opened = measure("adopt", store.url, "nothing", rounds=1)
    added = measure("adopt", store.url, "property", before=store.restore)
    print(f"  a property is added: {added.seconds:.2f} s; opening the store alone: {opened.seconds:.2f} s")

    edited = measure("derive", store.url, exports, "Everything", "rule", before=store.restore)
    store.restore()
    alone = measure("adopt", store.url, "rule", rounds=1)
    computed = measure("derive", store.url, exports, "Everything", "rule", rounds=1)
    print(
        f"  an expression is edited: {edited.seconds:.2f} s with its computation of {edited.executed:,} values, "
        f"{edited.seconds / computed.seconds:.2f} times the computation alone ({computed.seconds:.2f} s; "
        f"the adoption alone: {alone.seconds:.2f} s)"
    )


if __name__ == "__main__":
    main()
