"""Follows a table of a database as a store does: deltas from the place, everything where that is lost."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from random import Random
from typing import Any, Protocol

import pyarrow as pa

from deltamark.application.ports.sources import PlaceLost, Question, SourcePlace, WantedTable
from deltamark.bootstrap import sql_source
from deltamark.domain.secrets import Secret

TABLE = "T"
KEYS = [f"k{number}" for number in range(20)]


class Collected:
    """Collects the rows of a reading, and keeps keys in memory."""

    def __init__(self, kept: dict[str, pa.Array] | None = None) -> None:
        self.rows: list[dict[str, str | None]] = []
        self.columns: list[str] = []
        self._kept = {} if kept is None else kept

    def write(self, table: str, batch: pa.RecordBatch) -> None:
        """Adds rows."""
        assert all(kind == pa.string() for kind in batch.schema.types)
        self.columns = batch.schema.names
        self.rows += batch.to_pylist()

    def keep_keys(self, table: str, keys: pa.Array) -> str:
        """Keeps keys; all of them are in the name, for they are few."""
        self._kept[str(keys)] = keys
        return str(keys)

    def kept_keys(self, table: str, digest: str) -> pa.Array | None:
        """The keys that were kept."""
        return self._kept.get(digest)


def question(settings: Mapping[str, Any], columns: list[str], options: Mapping[str, str], **secrets: str) -> Question:
    """Asks for one table, whose first column is its key."""
    return Question(
        connection="S",
        package="Sql",
        settings=settings,
        secrets={name: (lambda secret=secret: Secret(secret)) for name, secret in secrets.items()},  # type: ignore[misc]
        tables=[WantedTable(name=TABLE, columns=columns, options=options, key=columns[0])],
    )


class Follower:
    """What the readings of a table add up to."""

    def __init__(self, ask: Question) -> None:
        self.ask = ask
        self.state: dict[str | None, tuple[str | None, ...]] = {}
        self.lost = 0
        self._place: SourcePlace | None = None
        self._kept: dict[str, pa.Array] = {}

    def read(self, *, applied: bool = True) -> list[dict[str, str | None]]:
        """Reads what changed; gives the rows.

        :param applied: whether what is read counts, as where the run that applies it does not fail.
        """
        into, is_delta = Collected(self._kept), self._place is not None
        source = sql_source()
        try:
            reached = (
                source.snapshot(self.ask, into) if self._place is None else source.changes(self.ask, self._place, into)
            )
        except PlaceLost:
            into, is_delta = Collected(self._kept), False
            self.lost += 1
            reached = source.snapshot(self.ask, into)
        if not applied:
            return into.rows
        if not is_delta:
            self.state = {}
        for row in into.rows:
            cells = dict(row)
            command = cells.pop("command", "insert")
            key, *values = cells.values()
            if command == "insert":
                self.state[key] = tuple(values)
            else:
                self.state.pop(key, None)
        self._place = reached.place
        return into.rows


class Session(Protocol):
    """A connection that writes in transactions."""

    def put(self, key: str, name: str) -> None:
        """Writes a row."""
        ...

    def remove(self, key: str) -> None:
        """Removes a row."""
        ...

    def commit(self) -> None:
        """Ends the transaction."""
        ...

    def rollback(self) -> None:
        """Takes the transaction back."""
        ...


def follow(
    follower: Follower, sessions: list[Session], oracle: Callable[[], dict[Any, Any]], random: Random, rounds: int
) -> None:
    """Sessions write at the same time, each its own rows, and commit whenever they like; the follower reads between."""
    for _ in range(rounds):
        for _ in range(random.randint(1, 6)):
            number = random.randrange(len(sessions))
            session = sessions[number]
            key = random.choice(KEYS[number :: len(sessions)])
            match random.randint(0, 6):
                case 0 | 1:
                    session.commit()
                case 2:
                    session.rollback()
                case 3:
                    session.remove(key)
                case _:
                    session.put(key, f"n{random.randint(0, 99)}")
        follower.read(applied=random.random() < 0.8)
        follower.read()
        assert follower.state == oracle()
