"""Rows of the engine as Arrow, and how objects show themselves."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import duckdb
import pyarrow as pa
import pytest

from deltamark import Configuration, Engine, Job
from deltamark.application.history import arrow_rows
from tests.scenarios.house import House

HOSTILE = "<script>alert(1)</script>"

pytestmark = pytest.mark.parametrize("new_store", ["sqlite"], indirect=True)

FORMS: dict[str, tuple[arrow_rows.Columns, Callable[[Engine], Any]]] = {
    "changes": (arrow_rows.CHANGE, lambda engine: engine.changes()),
    "history": (arrow_rows.CHANGE, lambda engine: engine.history("Person", "1")),
    "runs": (arrow_rows.RUN, lambda engine: engine.runs()),
    "audit": (arrow_rows.HELD_VALUE, lambda engine: engine.audit("Person", "Age", 0, engine.position())),
    "links": (arrow_rows.HELD_LINK, lambda engine: engine.audit_association("Members", 0, engine.position())),
    "keys": (arrow_rows.KEY, lambda engine: engine.keys(None)),
}


@pytest.fixture
def lived(house: House) -> House:
    house.people({"1": {"name": "Ada", "mail": "a@x", "age": 30}, "2": "Bea"}).run("Complete")
    house.teams({"T": HOSTILE}, ("T", "1")).run("Teams")
    house.people({"1": {"name": HOSTILE, "mail": "a@x", "age": 31}}).run("Complete")
    return house


@pytest.mark.parametrize("form", FORMS)
def test_rows_are_the_same_as_objects_and_as_arrow(lived: House, form: str, monkeypatch: pytest.MonkeyPatch) -> None:
    columns, ask = FORMS[form]
    monkeypatch.setattr(arrow_rows, "_BATCH", 2)
    count = len(list(ask(lived.engine)))

    table = ask(lived.engine).to_arrow()
    reader = ask(lived.engine).batches()

    assert isinstance(reader, pa.RecordBatchReader)
    assert reader.schema.names == list(columns)
    assert max(batch.num_rows for batch in reader) <= 2
    assert table.num_rows == count > 0
    assert table.schema == pa.RecordBatchReader.from_stream(ask(lived.engine)).read_all().schema


def test_an_answer_without_rows_has_the_same_columns(house: House) -> None:
    assert house.engine.changes().to_arrow().schema.names == list(arrow_rows.CHANGE)
    assert house.engine.runs().to_arrow().num_rows == 0


def test_a_change_has_its_values_and_times_have_types(lived: House) -> None:
    changes = lived.engine.changes()
    rows = changes.to_arrow().to_pylist()

    updated = next(row for row in rows if row["change"] == "updated")
    assert json.loads(updated["changes"])["Age"] == {"before": 30, "after": 31}
    assert (updated["entity_type"], updated["key"], updated["file"]) == ("Person", "1", "people.csv")
    linked = next(row for row in rows if row["change"] == "linked")
    assert (linked["association"], linked["other_entity_type"], linked["other_key"]) == ("Members", "Person", "1")
    assert [row["position"] for row in rows] == [change.position for change in lived.engine.changes()]
    assert pa.timestamp("us", tz="UTC") == lived.engine.changes().to_arrow().schema.field("at").type
    held = lived.engine.audit("Person", "Age", 0, lived.engine.position()).to_arrow().to_pylist()
    assert [(row["value"], row["until_position"] is None) for row in held] == [("30", False), ("31", True)]


def test_duckdb_reads_the_log_as_a_stream(lived: House) -> None:
    stream = lived.engine.changes().batches()  # noqa: F841 (DuckDB finds it by its name)

    assert dict(duckdb.sql("SELECT change, count(*) FROM stream GROUP BY 1").fetchall())["updated"] == 1


def test_an_iterator_of_rows_can_be_closed(lived: House) -> None:
    changes = lived.engine.changes()
    next(changes)

    changes.close()

    assert list(changes) == []


def test_objects_show_themselves_in_a_line(lived: House) -> None:
    engine = lived.engine
    many = Configuration(jobs=[Job(f"Job{n}") for n in range(10_000)])
    shown = [
        engine, many, engine.configuration, engine.runs()[0], engine.runs()[0].tasks[0], engine.resource("Person", "1"),
        next(engine.changes()), engine.history("Person", "1")[-1], engine.changes(), engine.runs() * 10_000,
    ]  # fmt: skip

    assert max(len(repr(item)) for item in shown[:-1]) < 400
    assert all("\n" not in repr(item) for item in shown)
    assert repr(many) == "<Configuration: jobs 10,000>"
    assert repr(engine.runs()[0]).startswith("<JobRun 1 of Complete: completed, 2 tasks, 2 changes>")
    assert "updated Person 1: Age, Name>" in repr(engine.history("Person", "1")[-1])


def test_nothing_in_a_notebook_is_taken_for_html(lived: House) -> None:
    engine = lived.engine
    shown = [
        engine, engine.configuration, engine.runs()[0], engine.resource("Person", "1"), engine.resource("Team", "T"),
        engine.history("Person", "1")[-1], engine.history("Person", "1"), engine.runs(),
    ]  # fmt: skip

    pages = [item._repr_html_() for item in shown if item is not None]

    assert len(pages) == len(shown)
    assert not any("<script" in page for page in pages)
    assert sum("&lt;script&gt;" in page for page in pages) == 4
    assert len(arrow_rows.run_list(engine.runs() * 10_000)._repr_html_()) < 20_000


def test_the_log_in_columns_says_what_its_objects_say(lived: House) -> None:
    lived.people({"2": "Bea"}).run("Complete")  # deletes a person and the link
    changes = lived.engine.changes()
    rows = [dict(zip(arrow_rows.CHANGE, arrow_rows._change(change), strict=True)) for change in lived.engine.changes()]

    columns = changes.to_arrow().to_pylist()

    assert columns == rows
    assert {row["change"] for row in columns} == {"created", "updated", "deleted", "linked", "unlinked"}
    assert list(changes) == [], "they were read"
    assert lived.engine.changes(entity_type="Person").to_arrow().num_rows < len(rows)


def test_rows_that_were_read_are_not_in_the_batches(lived: House) -> None:
    changes = lived.engine.changes()
    first = next(changes)

    assert first.position not in changes.to_arrow()["position"].to_pylist()
