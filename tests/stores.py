"""New stores of each kind, for the time of a block."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path

import psycopg

STORES = ("sqlite", "postgresql")
"""Every kind of store: a test that asks for one runs on each."""

NewStore = Callable[[], str]
EveryStore = Callable[[], dict[str, str]]

_schemas = count(1)


@contextmanager
def stores(kind: str, folder: Path, database: Callable[[], str]) -> Iterator[NewStore]:
    """A block in which there can be any number of new stores of a kind; they are gone after it.

    :param database: gives the URL of a PostgreSQL database to keep them in; called only if need be.
    """
    assert kind in STORES
    if kind == "postgresql":
        with new_schemas(database()) as new:
            yield new
        return
    numbers = count(1)
    yield lambda: f"sqlite:///{folder}/store-{next(numbers)}.db"


@contextmanager
def new_schemas(database: str) -> Iterator[NewStore]:
    """Stores side by side in one database, each in a schema: much quicker than a database each."""
    made = []

    def new() -> str:
        made.append(f"test_{next(_schemas)}")
        mark = "&" if "?" in database else "?"
        return f"{database}{mark}schema={made[-1]}"

    yield new
    with psycopg.connect(database, autocommit=True) as connection:
        for name in made:
            connection.execute(f"DROP SCHEMA IF EXISTS {name} CASCADE".encode())
