"""PostgreSQL: what was erased lies in no file of the tables once their owner has had them written anew.

Files of the write-ahead log may hold it until they are written over, or for ever where they are archived: they are
not looked at here.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import datetime
from pathlib import Path

import psycopg
import pytest

from tests.postgresql import Server, running
from tests.scenarios.house import House

CANARIES = [f"Zwölfboth-{number}-{change}" for number in (7, 8) for change in "ab"]


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    """A server for these tests alone."""
    with running() as server:
        yield server


def lying_in_files(server: Server, owner: psycopg.Connection[tuple[object, ...]]) -> list[str]:
    """The erased values that occur in a file other than those of the write-ahead log."""
    owner.execute("CHECKPOINT")
    files = [path for path in server.data.rglob("*") if path.is_file() and "pg_wal" not in path.parts]
    raw = b"".join(path.read_bytes() for path in files)
    return [canary for canary in CANARIES if canary.encode() in raw]


def test_no_file_holds_erased_values_after_the_owner_rewrote_the_tables(
    server: Server, tmp_path: Path, clock: Callable[[], datetime]
) -> None:
    house = House(server.url("postgres"), tmp_path / "exports", clock)
    others = {str(number): f"Other-{number}" for number in range(100, 140)}
    for change in "ab":
        mine = {str(number): f"Zwölfboth-{number}-{change}" for number in (7, 8)}
        house.people({**others, **mine}).run("Incremental")
    with psycopg.connect(server.url("postgres"), autocommit=True) as owner:
        assert lying_in_files(server, owner) == CANARIES

        for number in ("7", "8"):
            house.engine.erase("Person", number, reason="request 17")
        assert lying_in_files(server, owner) == CANARIES, "what is deleted lies there until the files are written anew"
        statement = house.engine.scrub()
        assert statement is not None
        owner.execute(statement.encode())

        assert lying_in_files(server, owner) == []
        assert house.names()["139"] == "Other-139"
    house.engine.close()
