"""Flags the resources that depend on changes, set by set.

`flag_propagation` finds the resources.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

from deltamark.domain.derivation.dependency_paths import Dependency
from deltamark.infrastructure.store.commands.flag_propagation import FlagPropagation
from deltamark.infrastructure.store.queries.flags import DEPENDENCY, FLAGGING, columns_of
from deltamark.infrastructure.store.row_seals import SEALED, sum_of

if TYPE_CHECKING:
    import pyarrow as pa

_FLAGS = SEALED["flags"]


class FlagCommands(FlagPropagation):
    """Writes flags, and the dependencies that changes are flagged for."""

    def watch(self, dependencies: Iterable[Dependency]) -> None:
        watched = set(dependencies)
        stored = {dependency: number for number, dependency, _ in self._watched()}
        removed = self._db.array([number for dependency, number in stored.items() if dependency not in watched])
        if removed != self._db.array([]):
            self._delete_sealed("flags", self._db.among_numbers("dependency", 1), (removed,))
            condition = self._db.among_numbers("id", 1)
            with self._sealing("dependencies", condition, (removed,)):
                self._db.execute(f"DELETE FROM dependencies WHERE {condition}", (removed,))
        added = sorted(watched.difference(stored), key=str)
        if not added:
            return
        since = self.flagged_to()
        with self._sealing("dependencies"):
            for dependency in added:
                self._db.execute(
                    f"INSERT INTO dependencies ({DEPENDENCY}, since) VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
                    (*columns_of(dependency), since),
                )

    def flag_changes(self, after: int, *, only: Iterable[Dependency] | None = None) -> int:
        newest = self.newest_flag()
        watched = {number: dependency for number, dependency, _ in self._watched()} if only is None else None
        numbers = watched if watched is not None else self._numbers(only or ())
        if numbers and self.changed_since(after):
            for query, parameters in self._propagate(numbers, after):
                self._insert_flags(query, parameters)
        return int(self._db.one("SELECT count(DISTINCT resource) FROM flags WHERE number>?1", (newest,)))

    def _insert_flags(self, query: str, parameters: Sequence[Any]) -> None:
        """Inserts the flags that a query returns.

        Its columns are ``position``, ``newest``, ``resource``, ``dependency``.
        """
        newest = self.newest_flag()
        columns = ", ".join(_FLAGS.columns)
        insertion = f"INSERT INTO flags ({columns}, seal) SELECT {columns}, {_FLAGS.seal} FROM"
        if self._db.keeps_order:  # a table that counts its rows itself takes a third of the time of a window
            self._db.temporary("numbered", dict.fromkeys(_FLAGS.columns, "number"))
            others = ", ".join(_FLAGS.columns[1:])
            self._db.execute(f"INSERT INTO numbered ({others}) SELECT {others} FROM ({query}) f", parameters)
            counted = f"(SELECT number + CAST(?1 AS BIGINT) AS number, {others} FROM numbered) g"
            self._flag += self._db.execute(f"{insertion} {counted}", (newest,))
        else:
            number = len(parameters) + 1
            self._flag += self._db.execute(
                f"""{insertion} (SELECT CAST(?{number} AS BIGINT) + row_number() OVER
                (ORDER BY f.dependency, f.position, f.resource) AS number, f.* FROM ({query}) f) g""",
                (*parameters, newest),
            )
        self._sums.add("flags", (0, 0), sum_of(self._db, "flags", "number>?1", (newest,)))

    def flag_all(self, dependencies: Iterable[Dependency], position: int) -> int:
        flagged = 0
        numbers = self._numbers(dependencies)
        for entity_type in dict.fromkeys(dependency.entity_type for dependency in numbers.values()):
            kind = self._type_id(entity_type)
            for number, dependency in numbers.items():
                if dependency.entity_type == entity_type:
                    query = """SELECT CAST(?1 AS BIGINT) AS position, CAST(?1 AS BIGINT) AS newest,
                        stream AS resource, CAST(?2 AS BIGINT) AS dependency FROM resources WHERE entity_type=?3"""
                    self._insert_flags(query, (position, number, kind))
            flagged += self._db.one("SELECT count(*) FROM resources WHERE entity_type=?1", (kind,))
        return flagged

    def flag(self, streams: pa.Array, dependency: Dependency, position: int) -> None:
        for number in self._numbers([dependency]):
            query = f"""SELECT CAST(?1 AS BIGINT) AS position, CAST(?1 AS BIGINT) AS newest, stream AS resource,
                CAST(?2 AS BIGINT) AS dependency FROM resources WHERE {self._db.among_numbers("stream", 3)}"""
            self._insert_flags(query, (position, number, self._db.array(streams.to_pylist())))

    def move_flags(self, position: int) -> None:
        with self._sealing("places"):
            self._db.execute(
                """INSERT INTO places (consumer, position, digest) VALUES (?1, ?2, '')
                ON CONFLICT (consumer) DO UPDATE SET position=excluded.position""",
                (FLAGGING, position),
            )

    def drop_read_flags(self) -> None:
        """Drops the flags that every consumer has read.

        As long as there is no consumer, nothing is dropped: one may be at work for the first time, and has no place
        before it is done.
        """
        read = self._db.one("SELECT min(flag) FROM consumed")
        if read is not None:
            if read == self.newest_flag():
                self._sums.add("flags", sum_of(self._db, "flags"), (0, 0))
                self._db.execute("DELETE FROM flags")  # SQLite does that at once, however many there are
            else:
                self._delete_sealed("flags", "number<=?1", (read,))
            self._db.execute("UPDATE store SET forgotten_flag=?1 WHERE forgotten_flag<?1", (read,))
