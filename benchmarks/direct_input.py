"""Tables that a program gives, and single changes that it records."""

from __future__ import annotations

import time
from collections.abc import Callable

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq

from benchmarks.data import COLUMNS, configuration
from benchmarks.figures import Bench, Goal
from benchmarks.measure import ROUNDS, Measure
from deltamark import Engine, Upsert

PART = "direct_input"
RECORDS = 20 if ROUNDS > 1 else 3
RECORD_MS = 50


def people_table(count: int) -> pa.Table:
    """So many people with ten texts each."""
    others = ", ".join(f"'{name} ' || (i % 9973) as {name}" for name in COLUMNS[1:])
    with duckdb.connect() as connection:
        return connection.sql(f"select 'E' || i as {COLUMNS[0]}, {others} from range({count}) t(i)").to_arrow_table()


def measure_part(bench: Bench) -> None:
    """Loads the same table as Parquet and as an Arrow table into new SQLite stores, in turn; then records changes."""
    people, folder = bench.people, bench.folder / "direct_input"
    folder.mkdir()
    table = people_table(people)
    seconds: dict[str, list[float]] = {"parquet": [], "arrow": [], "record": [], "record, processor": []}
    pq.write_table(table, folder / "HR_Person.parquet")
    with Engine.open("sqlite://", configuration=configuration(), export_output=folder) as engine:
        engine.run_job("Complete")  # a process loads its modules once, whoever is first
    for number in range(ROUNDS):
        for kind, extracts in (("parquet", None), ("arrow", {"HR_Person": table})):
            with Engine.open(
                f"sqlite:///{folder}/{kind}-{number}.db", configuration=configuration(), export_output=folder
            ) as engine:
                seconds[kind].append(_time(lambda: engine.run_job("Complete", extracts=extracts))[0])  # noqa: B023
                assert engine.run(1).counts.inserted == people
                if kind == "arrow" and number == ROUNDS - 1:
                    _record(engine, seconds)
    bench.add(
        PART, "first load from an Arrow table", seconds["arrow"], count=people,
        limit=("that from Parquet", Measure(seconds["parquet"], 0)), goal=Goal("ratio", at_most=1.0),
    )  # fmt: skip
    for name, key in (("one change recorded", "record"), ("the same, processor time", "record, processor")):
        bench.add(PART, name, [took * 1000 for took in seconds[key]], unit="ms", goal=Goal("value", at_most=RECORD_MS))


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
