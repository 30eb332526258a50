"""What recording one change reads: the resources that it names, whatever the store holds."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pyarrow as pa
import pytest

from deltamark import Delete, Engine, Link, Upsert
from deltamark.infrastructure.comparison import comparer
from deltamark.infrastructure.duckdb.connection import Workbench
from deltamark.infrastructure.extracts import typed_cells
from tests.scenarios.shop import SCHEMA, configuration, item

ROWS = pa.Table.from_pylist([item(n, f"Item {n}", part_of=1) for n in range(1, 500)], schema=SCHEMA)
MOST_ROWS = 20
"""Of all tables that are compared, of one change."""


class Counted:
    """Counts what DuckDB is given while a change is recorded."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.rows = self.comparisons = self.fetches = self.results = 0
        connection, query_cells, arrow = Workbench.connection, typed_cells.query_cells, comparer.arrow

        @contextmanager
        def counted_connection(workbench: Workbench, **tables: pa.Table) -> Iterator[Any]:
            self.comparisons += 1
            self.rows += sum(table.num_rows for table in tables.values())
            with connection(workbench, **tables) as db:
                yield db

        def counted_query(*arguments: Any) -> pa.Table:
            self.fetches += 1
            return query_cells(*arguments)

        def counted_arrow(*arguments: Any) -> pa.Table:
            self.results += 1
            return arrow(*arguments)

        monkeypatch.setattr(Workbench, "connection", counted_connection)
        monkeypatch.setattr(typed_cells, "query_cells", counted_query)
        monkeypatch.setattr(comparer, "arrow", counted_arrow)


@pytest.mark.parametrize(
    ("change", "comparisons", "fetches"),
    [
        (Upsert("Item", {"Number": 7, "Name": "Globe"}), 1, 1),
        (Upsert("Item", {"Number": 10_000, "Name": "new"}), 1, 1),
        (Delete("Item", 8), 1, 1),
        (Link("Parts", 5, 4), 1, 1),
    ],
    ids=["update", "create", "delete", "link"],
)
def test_one_change_reads_only_what_it_names(
    change: Any, comparisons: int, fetches: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Engine.open("sqlite://", configuration=configuration()) as engine:
        engine.run_job("All", extracts={"items": ROWS})
        counted = Counted(monkeypatch)

        run = engine.record("Shop", [change])

        assert run.counts.changed >= 1
        assert (counted.comparisons, counted.fetches) == (comparisons, fetches)
        assert counted.rows <= MOST_ROWS
        assert counted.results <= 3


def test_a_complete_reading_is_counted_as_more(monkeypatch: pytest.MonkeyPatch) -> None:
    with Engine.open("sqlite://", configuration=configuration()) as engine:
        engine.run_job("All", extracts={"items": ROWS})
        counted = Counted(monkeypatch)

        engine.run_job("All", extracts={"items": ROWS})

        assert counted.rows > MOST_ROWS
