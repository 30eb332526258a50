"""Damage of any page of the file: `verify` reports it, or every answer is what it was before."""

from __future__ import annotations

import random
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from deltamark import DeltamarkError, Engine, StoreError
from deltamark.bootstrap import open_store
from deltamark.infrastructure.store.sqlite.definitions import definitions
from deltamark.infrastructure.store.sqlite.integrity import MISLEADING
from tests.scenarios.house import House, configuration
from tests.store.released import bring_back, told
from tests.store.tables import nobody

FORMAT = 9
PLACES_OF_A_PAGE = 4
UNCHECKED = ("leases",)
"""A lease ends or delays a run, and no answer depends on it."""


@pytest.fixture(scope="module")
def intact(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """The bytes of a store that has something in every table, without a write-ahead log."""
    file = tmp_path_factory.mktemp("intact") / "store.db"
    bring_back(FORMAT, f"sqlite:///{file}")
    open_store(f"sqlite:///{file}").close()
    return compact(file)


def compact(file: Path) -> bytes:
    with closing(sqlite3.connect(file)) as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    return file.read_bytes()


def pages(file: Path) -> Iterator[tuple[int, str]]:
    """The number of each page with the table or index that it belongs to; the free ones with none."""
    with closing(sqlite3.connect(file)) as connection:
        count = connection.execute("PRAGMA page_count").fetchone()[0]
        names = dict(connection.execute("SELECT rootpage, name FROM sqlite_master WHERE rootpage > 0"))
    for number in range(1, count + 1):
        yield number, names.get(number, "")


def flips(content: bytes, file: Path) -> Iterator[tuple[str, bytes]]:
    """The file with one byte of one page altered, page by page: at the header, and at random places with content."""
    generator = random.Random(7)
    size = int.from_bytes(content[16:18]) or 65536
    file.write_bytes(content)
    for number, name in pages(file):
        start = (number - 1) * size
        header = start + (100 if number == 1 else 0)
        used = [place for place in range(start, start + size) if content[place]]
        places = {header, header + 3, header + 5, *generator.sample(used, min(PLACES_OF_A_PAGE, len(used)))}
        for place in sorted(places):
            bit = 1 << generator.randrange(8)
            altered = bytearray(content)
            altered[place] ^= bit
            yield f"page {number} ({name}), byte {place - start}, bit {bit}", bytes(altered)


def answers(url: str, folder: Path) -> dict[str, Any]:
    with Engine.open(url, configuration=configuration(keep_teams=False), export_output=folder, create=False) as engine:
        return told(engine)


@pytest.mark.slow  # opens and verifies a store for each of some hundred alterations
def test_no_altered_byte_makes_an_answer_wrong_that_verify_calls_right(intact: bytes, tmp_path: Path) -> None:
    file = tmp_path / "store.db"
    file.write_bytes(intact)
    before = answers(f"sqlite:///{file}", tmp_path)
    outcomes = {"reported": 0, "refused": 0, "equal": 0}

    for what, content in flips(intact, file):
        for left in tmp_path.glob("store.db-*"):
            left.unlink()
        file.write_bytes(content)
        try:
            with closing(open_store(f"sqlite:///{file}", create=False)) as store, store.reading() as reading:
                is_sound = reading.verify(nobody).is_sound
        except StoreError:
            outcomes["refused"] += 1
            continue
        try:
            after = answers(f"sqlite:///{file}", tmp_path)
        except DeltamarkError as e:
            assert "damaged" in str(e) or not is_sound, f"{what}: {e}"  # noqa: PT017 - not every byte is refused
            outcomes["refused"] += 1
            continue
        if is_sound and not any(f"({name})" in what for name in UNCHECKED):
            assert after == before, f"{what}: wrong, and not reported"
        outcomes["equal" if is_sound else "reported"] += 1

    assert outcomes["reported"] > 3 * outcomes["equal"] > 0, outcomes


INDEXES = {"resources_by_key": b"P1003", "links_by_source": b"", "links_of_source": b"", "links_by_target": b""}


def world(house: House, *, moved: bool) -> House:
    """Forty people in four teams; later one is in another team, one is gone, and one has another name."""
    people = {f"P1{n:03}": {"name": f"n{n}"} for n in range(40)}
    members = [(f"T{n % 4}", key) for n, key in enumerate(people)]
    if moved:
        people["P1005"]["name"] = "other"
        del people["P1039"]
        members = [("T0", "P1007"), *(pair for pair in members if pair[1] not in ("P1007", "P1039"))]
    return house.people(people).teams({f"T{n}": "t" for n in range(4)}, *members)


def misplaced(content: bytes, root: int, key: bytes) -> bytes:
    """The content with an entry of an index altered: the key given, or else the last byte of some entry."""
    size = int.from_bytes(content[16:18])
    start = (root - 1) * size
    altered = bytearray(content)
    if key:
        altered[content.index(key, start, start + size) + len(key) - 1] ^= 0x40
        return bytes(altered)
    assert content[start] == 0x0A, "all entries are in one page"
    cells = int.from_bytes(content[start + 3 : start + 5])
    place = int.from_bytes(content[start + 8 + 2 * (cells // 2) : start + 10 + 2 * (cells // 2)])
    length = content[start + place]
    altered[start + place + length] ^= 0x02  # the last byte of the entry: it leads to another row
    return bytes(altered)


def state_of(engine: Engine) -> dict[str, Any]:
    return {
        kind: [(r.key, dict(r.values), r.links) for r in engine.export_resources(kind)] for kind in ("Person", "Team")
    }


@pytest.mark.parametrize("new_store", ["sqlite"], indirect=True)
@pytest.mark.parametrize(
    "index", [pytest.param(index, marks=[pytest.mark.slow] * (number > 1)) for number, index in enumerate(INDEXES)]
)  # a second each
def test_a_run_on_a_damaged_index_changes_what_is_right_or_nothing(
    index: str, new_house: Callable[[], House], tmp_path: Path
) -> None:
    right, house = world(new_house(), moved=False), world(new_house(), moved=False)
    for job in ("People", "Teams"):
        right.engine.run_job(job)
        house.engine.run_job(job)
    house.engine.close()
    file = Path(house.url.removeprefix("sqlite:///"))
    content = compact(file)
    with closing(sqlite3.connect(file)) as connection:
        (root,) = connection.execute("SELECT rootpage FROM sqlite_master WHERE name=?", (index,)).fetchone()
    file.write_bytes(misplaced(content, root, INDEXES[index]))
    with Engine.open(house.url, configuration=configuration(), export_output=house.folder) as engine:
        assert [fault.in_database for fault in engine.verify().discrepancies][:1] == [True]

        world(house, moved=True)
        states = {job: engine.run_job(job).state.value for job in ("People", "Teams")}

        world(right, moved=True).run("People")
        right.engine.run_job("Teams")
        assert state_of(engine) == state_of(right.engine) or "failed" in states.values(), states
        assert engine.replay().verified.database_faults
        assert engine.verify().is_sound
        for job in ("People", "Teams"):
            engine.run_job(job)
        assert state_of(engine) == state_of(right.engine)


@pytest.mark.parametrize("new_store", ["sqlite"], indirect=True)
def test_a_delta_on_a_damaged_index_creates_nobody_twice(new_house: Callable[[], House]) -> None:
    house = world(new_house(), moved=False)
    house.engine.run_job("People")
    house.engine.close()
    file = Path(house.url.removeprefix("sqlite:///"))
    content = compact(file)
    with closing(sqlite3.connect(file)) as connection:
        sql = "SELECT rootpage FROM sqlite_master WHERE name='resources_by_key'"
        (root,) = connection.execute(sql).fetchone()
    file.write_bytes(misplaced(content, root, b"P1003"))
    (house.folder / "people.csv").write_text(
        "number,name,mail,age,weight,born,token,active,Command\nP1003,new,,,,,,,insert\n"
    )
    with Engine.open(house.url, configuration=configuration(), export_output=house.folder) as engine:
        before = state_of(engine)

        run = engine.run_job("PeopleCommands")

        assert run.state.value == "failed"
        assert any("index" in message and "damaged" in message for task in run.tasks for message in task.messages), run
        assert state_of(engine) == before


def test_lookups_are_checked_by_searches_of_the_index_alone() -> None:
    with closing(sqlite3.connect(":memory:")) as connection:
        for name, sql in definitions().items():
            if name != "sqlite_sequence":
                connection.execute(sql)
        for index, query in MISLEADING.items():
            parameters = ("[]", 1)[: 1 + ("?2" in query)]
            plan = [row[3] for row in connection.execute(f"EXPLAIN QUERY PLAN {query}", parameters)]
            searches = [step for step in plan if step.startswith("SEARCH i")]
            assert len(searches) == 3
            assert all(f"USING COVERING INDEX {index} " in step for step in searches)
            if index == "resources_by_key":
                assert "(entity_type,key)>" in searches[0]
