"""Keeps waiting pairs in a table: the sum of the `PairsAwaited` events in the log."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from deltamark.application.ports.records import Pair
from deltamark.infrastructure.store.arrow import pa
from deltamark.infrastructure.store.queries.state import Queries
from deltamark.infrastructure.store.session import Session


class WaitingLinkQueries(Queries):
    """Queries about waiting links."""

    def waiting_links(
        self, association: str, first: Iterable[str] | None = None, second: Iterable[str] | None = None
    ) -> set[Pair]:
        number = self._association_id(association)
        if self._db.one("SELECT 1 FROM awaited WHERE association=?1 LIMIT 1", (number,)) is None:
            return set()
        if first is None and second is None:
            return set(self._db.all("SELECT first, second FROM awaited WHERE association=?1", (number,)))
        pairs: set[Any] = set()
        for column, values in (("first", first), ("second", second)):
            by_value = f"a.association=?1 AND {self._db.same(f'a.{column}', 'w.value')}"
            sql = f"""SELECT a.first, a.second FROM {self._db.each_text(2, "w")}
                {self._db.lookup("awaited", "a", by_value)}"""
            pairs.update(self._db.all(sql, (number, self._db.array(sorted(set(values or ()))))))
        return pairs


class WaitingLinkCommands(Session, WaitingLinkQueries):
    """Keeps and drops waiting links."""

    def put_waiting_links(self, association: str, awaited: Iterable[Pair], settled: Iterable[Pair]) -> None:
        number = self._name_id("associations", association)
        if old := sorted(settled):
            self._fill_pairs(old)
            pair = self._db.row_of("first", "second")
            sql = f"DELETE FROM awaited WHERE association=?1 AND ({pair}) IN (SELECT {pair} FROM given_pairs)"
            self._db.execute(sql, (number,))
        if new := sorted(awaited):
            self._fill_pairs(new)
            sql = f"""INSERT INTO awaited (association, first, second) SELECT CAST(?1 AS BIGINT), p.first, p.second
                FROM given_pairs p WHERE NOT EXISTS (SELECT 1 FROM awaited a WHERE a.association=?1
                AND {self._db.same("a.first", "p.first")} AND {self._db.same("a.second", "p.second")})"""
            self._db.execute(sql, (number,))

    def _fill_pairs(self, pairs: list[Pair]) -> None:
        self._db.temporary("given_pairs", {"number": "number", "first": "text", "second": "text"})
        first, second = (pa.array(values, pa.string()) for values in zip(*pairs, strict=True))
        self._db.insert("given_pairs", {"number": range(len(pairs)), "first": first, "second": second})
        self._db.analyze("given_pairs")
