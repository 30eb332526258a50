"""Resources by key and value, runs, and rows set aside, some at a time."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest

from deltamark import Engine, UsageError
from tests.application.history.test_change_filters import lived
from tests.scenarios.staff import Staff, people_model

NewStaff = Callable[..., Staff]

KEYS = ["", "%", "1", "10", "11", "2", "a/b", "a_b", "aé", "B", "\U0010ffff", "\U0010ffff1", "x" * 700, "x" * 700 + "y"]


def keys(engine: Engine, **asked: Any) -> list[str]:
    """The keys of all pages of a question, one after the other."""
    found: list[str] = []
    for _ in range(200):
        page = engine.resources("Person", **asked)
        found += [resource.ref.key for resource in page.resources]
        if not page.more:
            return found
        asked["after"] = page.scanned_to
    raise AssertionError("the pages have no end")


@pytest.mark.on_every_store
def test_pages_of_resources_have_each_key_once_in_order(new_staff: NewStaff) -> None:
    staff = new_staff(people_model([]))
    for key in KEYS[1:]:
        staff.person(key, f"Name of {key[:5]}")
    staff.person("gone", "Gone")
    staff.run("Synchronize")
    staff.without("gone").run("Synchronize")
    engine = staff.engine
    expected = sorted(KEYS[1:], key=str.encode)

    for limit in (1, 3, 50):
        assert keys(engine, limit=limit) == expected
    for prefix in ("1", "a", "x", "x" * 650, "\U0010ffff", "é"):
        within = [key for key in expected if key.startswith(prefix)]
        assert keys(engine, prefix=prefix, limit=1) == within, prefix
        assert keys(engine, prefix=prefix, after="1") == [key for key in within if key.encode() > b"1"], prefix
    assert engine.counts()["Person"] == len(expected)


@pytest.mark.on_every_store
def test_resources_are_found_by_their_values(new_staff: NewStaff) -> None:
    engine = lived(new_staff).engine
    everyone = list(engine.export_resources("Person"))
    for resource in everyone:
        for name, value in resource.values.items():
            same = [other.key for other in everyone if other.values.get(name) == value]
            assert keys(engine, where={name: value}, limit=1, budget_s=0) == same
            assert keys(engine, where={name: str(value)}) == same
    names = {name for resource in everyone for name in resource.values}
    assert any(isinstance(resource.values["Score"], int) for resource in everyone)
    for name in names:
        assert keys(engine, where={name: None}) == [one.key for one in everyone if one.values.get(name) is None]
    assert keys(engine, where={"Name": "Bob", "Mail": "b@x"}) == ["2"]
    assert keys(engine, where={"Name": "Bob", "Mail": "c@x"}) == []
    assert keys(engine, where={"Name": "Bo"}) == []


def test_values_that_are_written_in_other_ways_are_found(new_staff: NewStaff) -> None:
    staff = new_staff(people_model([]))
    names = ['"', "\\", "a\x7fb", 'A","Mail":"x', "é\u2028", "10", "true", "<b>"]
    for number, name in enumerate(names):
        staff.person(str(number), name)
    staff.run("Synchronize")
    for number, name in enumerate(names):
        assert keys(staff.engine, where={"Name": name}) == [str(number)], name


def test_runs_come_newest_first_as_they_are_asked_for(new_staff: NewStaff) -> None:
    engine = lived(new_staff).engine
    assert [run.number for run in engine.runs()] == [1, 2, 3, 4]
    assert [run.number for run in engine.runs(limit=3)] == [4, 3, 2]
    assert [run.number for run in engine.runs(before=3)] == [2, 1]
    assert [run.number for run in engine.runs(job="Synchronize")] == [3]
    assert [run.number for run in engine.runs(state="completed", limit=2)] == [4, 3]
    assert engine.runs(state="failed") == []
    assert [run.number for run in engine.runs(since=engine.run(3).started_at)] == [4, 3]
    with pytest.raises(UsageError, match="the state of a run"):
        engine.runs(state="well")
    with pytest.raises(UsageError, match="give limit in its place"):
        engine.runs(2, job="Daily")
    with pytest.raises(UsageError, match="time zone"):
        engine.runs(since=datetime(2026, 1, 1))
    assert engine.runs(since=datetime(2999, 1, 1, tzinfo=UTC)) == []


@pytest.mark.on_every_store
def test_rows_set_aside_come_some_at_a_time(new_staff: NewStaff) -> None:
    staff = new_staff(people_model([]))
    for number in range(5):
        staff.person(str(number), "Ann")
    staff.write()
    with (staff.folder / "people.csv").open("a") as file:
        file.write("".join("x,y,z,too,many,cells,for,this\n" for _ in range(1_203)))
    run = staff.engine.run_job("Synchronize")
    engine = staff.engine
    whole = engine.run(run.number)
    assert len(whole.set_aside) == 1_203
    assert engine.run(run.number, with_rows=False).set_aside == ()

    rows, after = [], 0
    while True:
        page = engine.set_aside(run.number, after=after, limit=500)
        rows += page.rows
        if page.next is None:
            break
        after = page.next
    assert [row.row for row in rows] == list(whole.set_aside)
    assert {row.task for row in rows} == {"Only"}
    assert len(engine.set_aside(run.number, limit=7).rows) == 7
