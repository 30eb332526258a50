"""The space of discarded changes: an SQLite file reuses it, or returns it to the disk on request."""

from __future__ import annotations

from pathlib import Path

import pytest

from deltamark import Engine, UsageError
from tests.scenarios.house import House


@pytest.fixture
def house(tmp_path, clock):
    house = House(f"sqlite:///{tmp_path}/store.db", tmp_path / "exports", clock)
    for round_ in range(3):
        house.people({str(n): f"Name {n} {round_} {'x' * 60}" for n in range(1_500)}).run()
    house.run("Flags")
    yield house
    house.engine.close()


def file_of(house: House) -> Path:
    return Path(house.url.removeprefix("sqlite:///"))


def taken(house: House) -> int:
    """The size of the file after its write-ahead log was emptied."""
    with house.engine._services.store._datastore.get_connection(commit=True) as connection:  # type: ignore[attr-defined]
        connection.raw.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
    return file_of(house).stat().st_size


def test_discarded_space_is_free_inside_the_file_and_reused(house):
    before = taken(house)

    found = house.engine.retain("HR", keep=0)

    space = house.engine.space()
    assert space.free is not None
    assert space.free > found.size > 500_000
    size = taken(house)
    assert size <= before * 1.3  # snapshots of those who have changed took their place before
    house.people({str(n): f"Name {n} again {'x' * 60}" for n in range(1_500)}).run()
    assert taken(house) == size


def test_space_is_returned_to_the_disk_on_request(house):
    before, now = taken(house), house.names()

    house.engine.retain("HR", keep=0, vacuum=True)

    assert file_of(house).stat().st_size < before * 0.75
    space = house.engine.space()
    assert (space.free, space.size) == (0, file_of(house).stat().st_size)
    assert house.names() == now
    house.people({"1": "Ann"}).run()
    with Engine.open(house.url, configuration=house.engine.configuration) as other:
        assert other.resource("Person", "1").values["Name"] == "Ann"


def test_positions_continue_after_space_was_returned(house):
    house.engine.retain("HR", keep=0, vacuum=True)
    position = house.engine.position()

    house.people({"1": "Ann"}).run()

    assert min(change.position for change in house.engine.changes(after=position)) > position


def test_a_postgresql_store_refers_to_the_server_for_its_space(postgresql_url, tmp_path, clock):
    house = House(postgresql_url, tmp_path / "exports", clock)
    house.people({"1": "Ann"}).run()
    house.run("Flags")

    with pytest.raises(UsageError, match=r"autovacuum.*VACUUM FULL"):
        house.engine.retain("HR", keep=0, vacuum=True)

    assert house.engine.horizons() == []
    assert house.engine.space().size > 0
    house.engine.close()
