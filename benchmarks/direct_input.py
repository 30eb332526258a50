"""`python -m benchmarks.direct_input` measures tables that a program gives, and single changes that it records."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median

import click
import duckdb
import pyarrow as pa
import pyarrow.parquet as pq

from benchmarks.data import COLUMNS, configuration
from benchmarks.measure import ROUNDS
from deltamark import Engine, Upsert

RECORDS = 20
RECORD_MS = 50


def people_table(count: int) -> pa.Table:
    """So many people with ten texts each."""
    others = ", ".join(f"'{name} ' || (i % 9973) as {name}" for name in COLUMNS[1:])
    with duckdb.connect() as connection:
        return connection.sql(f"select 'E' || i as {COLUMNS[0]}, {others} from range({count}) t(i)").to_arrow_table()


@click.command()
@click.option("--people", default=1_000_000, show_default=True, help="The number of people.")
def main(people: int) -> None:
    """Loads the same table as Parquet and as an Arrow table into new SQLite stores, in turn; then records changes."""
    table = people_table(people)
    seconds: dict[str, list[float]] = {"parquet": [], "arrow": [], "record": [], "record, processor": []}
    with tempfile.TemporaryDirectory(prefix="deltamark-bench-") as name:
        folder = Path(name)
        pq.write_table(table, folder / "HR_Person.parquet")
        with Engine.open("sqlite://", configuration=configuration(), export_output=folder) as engine:
            engine.run_job("Complete")  # a process loads its modules once, whoever is first
        for number in range(ROUNDS):
            for kind, extracts in (("parquet", None), ("arrow", {"HR_Person": table})):
                with Engine.open(
                    f"sqlite:///{folder}/{kind}-{number}.db", configuration=configuration(), export_output=folder
                ) as engine:
                    seconds[kind].append(_time(lambda: engine.run_job("Complete", extracts=extracts))[0])  # noqa: B023
                    if kind == "arrow" and number == ROUNDS - 1:
                        _record(engine, seconds)
    arrow, parquet = median(seconds["arrow"]), median(seconds["parquet"])
    print(f"{people:,} people with 10 properties, medians of {ROUNDS} rounds")
    ratio = f"{arrow / parquet:.2f} times (goal: at most 1.0)"
    print(f"  first load from an Arrow table {arrow:.2f} s, from Parquet {parquet:.2f} s: {ratio}")
    record, processor = median(seconds["record"]) * 1000, median(seconds["record, processor"]) * 1000
    print(
        f"  one change recorded: {record:.0f} ms, {processor:.0f} ms of processor time (goal: at most {RECORD_MS} ms)"
    )


def _record(engine: Engine, seconds: dict[str, list[float]]) -> None:
    for number in range(RECORDS):
        change = Upsert("HR_Person", {"EmployeeId": "E7", "Title": f"Title {number}"})
        took, worked = _time(lambda: engine.record("HR", [change]))  # noqa: B023
        seconds["record"].append(took)
        seconds["record, processor"].append(worked)


def _time(work: Callable[[], object]) -> tuple[float, float]:
    """The seconds that some work takes, and those of the processor."""
    began, worked = time.perf_counter(), time.process_time()
    work()
    return time.perf_counter() - began, time.process_time() - worked


if __name__ == "__main__":
    main()
