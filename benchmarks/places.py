"""The places where the benchmark keeps a store: emptied, put aside and brought back without Deltamark."""

from __future__ import annotations

import os
import shutil
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

import psycopg

from tests.postgresql import running

_DURABLE = {"fsync": "on", "full_page_writes": "on", "shared_buffers": "512MB"}


class Place(ABC):
    """Where one store is."""

    kind: str
    raw_work: str
    """What the raw work is, in words."""

    raw_goal: float
    """How many times as long as that the first load may take."""

    def __init__(self, url: str) -> None:
        self.url = url

    @abstractmethod
    def empty(self) -> None:
        """Removes the store."""

    @abstractmethod
    def keep(self) -> None:
        """Puts a copy of the store aside."""

    @abstractmethod
    def restore(self) -> None:
        """Brings the copy back."""


class FilePlace(Place):
    """A file."""

    kind = "SQLite"
    raw_work = "executemany"
    raw_goal = 2.5

    def __init__(self, folder: Path) -> None:
        self._path, self._kept = folder / "store.db", folder / "kept.db"
        super().__init__(f"sqlite:///{self._path}")

    def empty(self) -> None:
        """See `Place.empty`."""
        _remove(self._path)

    def keep(self) -> None:
        """See `Place.keep`."""
        _copy(self._path, self._kept)

    def restore(self) -> None:
        """See `Place.restore`."""
        _copy(self._kept, self._path)


class DatabasePlace(Place):
    """A database of a PostgreSQL server."""

    kind = "PostgreSQL"
    raw_work = "binary COPY"
    raw_goal = 3.0

    def __init__(self, server: str) -> None:
        self._server = server
        super().__init__(urlunsplit(urlsplit(server)._replace(path="/deltamark_bench")))

    def empty(self) -> None:
        """See `Place.empty`."""
        self._create("deltamark_bench", "template0")

    def keep(self) -> None:
        """See `Place.keep`."""
        self._create("deltamark_bench_kept", "deltamark_bench")

    def restore(self) -> None:
        """See `Place.restore`."""
        self._create("deltamark_bench", "deltamark_bench_kept")

    def remove(self) -> None:
        """Removes the databases."""
        for name in ("deltamark_bench", "deltamark_bench_kept"):
            self._execute(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")

    def _create(self, name: str, template: str) -> None:
        self._execute(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")
        self._execute(f"CREATE DATABASE {name} TEMPLATE {template}")
        self._execute("CHECKPOINT")

    def _execute(self, statement: str) -> None:
        with psycopg.connect(self._server, autocommit=True) as connection:
            connection.execute(statement.encode())


@contextmanager
def places(stores: Sequence[str], folder: Path) -> Iterator[list[Place]]:
    """The places that some names or URLs stand for: `sqlite`, `postgresql` (a server is started), or a server's URL."""
    with ExitStack() as stack:
        found: list[Place] = []
        for store in stores:
            if store == "sqlite":
                found.append(FilePlace(folder))
                continue
            server = store if "://" in store else stack.enter_context(running(_DURABLE)).url("postgres")
            place = DatabasePlace(server)
            stack.callback(place.remove)
            found.append(place)
        yield found


def _copy(source: Path, target: Path) -> None:
    _remove(target)
    shutil.copy(source, target)
    with target.open("rb") as copy:
        os.fsync(copy.fileno())  # or the first commit would wait for the copy to reach the disk


def _remove(store: Path) -> None:
    for suffix in ("", "-wal", "-shm", ".lock"):
        Path(f"{store}{suffix}").unlink(missing_ok=True)
