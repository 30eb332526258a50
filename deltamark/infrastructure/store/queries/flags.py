"""Reads flags, the dependencies that changes are flagged for, and the places of consumers."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import cache
from operator import itemgetter
from typing import Any

import orjson

from deltamark.application.ports.records import DerivedRule, Place
from deltamark.domain.configuration.rules import DerivationKind
from deltamark.domain.derivation.dependency_paths import Dependency, Hop
from deltamark.domain.errors import store_damaged
from deltamark.infrastructure.store.arrow import pa, pc
from deltamark.infrastructure.store.queries.state import Queries
from deltamark.infrastructure.store.row_seals import SEALED, check_numeric_rows, check_row, checked_rows

FLAGGING = "*flags*"
"""The name of the place of flagging itself; no task can have it."""


@cache
def _flags() -> pa.Schema:
    return pa.schema(
        [("stream", pa.int64()), ("dependency", pa.int64()), ("since", pa.int64()), ("newest", pa.int64())]
    )


DEPENDENCY = "entity_type, hops, path, property, leads_to"


class FlagQueries(Queries):
    """Reads flags, watched dependencies and places."""

    _flags_checked: int | None = None
    """The flags above this number were found to be what was written."""

    def flagged_to(self) -> int:
        rows = checked_rows(self._db, "places")  # all of them: the name of the row may have been altered
        position = next((position for consumer, position, _ in rows if consumer == FLAGGING), 0)
        self._check("flagging", position)
        return int(position)

    def newest_flag(self) -> int:
        ((*_, number, _, _),) = checked_rows(self._db, "store")
        return int(number) - 1

    def watched(self) -> dict[Dependency, int]:
        return {dependency: since for _, dependency, since in self._watched()}

    def _watched(self) -> list[tuple[int, Dependency, int]]:
        """Returns the watched dependencies: number, dependency, and since which position."""
        rows = sorted(checked_rows(self._db, "dependencies"), key=itemgetter(0))
        return [(number, _dependency(row), since) for number, *row, since in rows]

    def _numbers(self, dependencies: Iterable[Dependency]) -> dict[int, Dependency]:
        """Returns the watched ones of some dependencies, by their numbers."""
        chosen = set(dependencies)
        return {number: dependency for number, dependency, _ in self._watched() if dependency in chosen}

    def places(self, consumer: str) -> dict[DerivedRule, Place]:
        rows = self._db.all(
            """SELECT r.id, r.name, r.side, r.entity_type, r.digest, r.seal, c.flag, c.position, c.digest, c.seal
            FROM consumed c JOIN rules r ON r.id = c.rule WHERE c.consumer=?1 ORDER BY r.id""",
            (consumer,),
        )
        places: dict[DerivedRule, Place] = {}
        for number, name, side, entity_type, computed, rule_seal, flag, position, digest, seal in rows:
            check_row(SEALED["rules"], (number, name, side, entity_type, computed), rule_seal)
            check_row(SEALED["consumed"], (consumer, number, flag, position, digest), seal)
            self._check(consumer, position, flag)
            rule = DerivedRule(kind=_kind(side), name=name, entity_type=entity_type, digest=digest)
            places[rule] = Place(flag=flag, position=position)
        return places

    def _check(self, consumer: str, position: int, flag: int = 0) -> None:
        """Refuses a place beyond the end of the log or of the flags.

        Its consumer would miss some.
        """
        head = self._db.one("SELECT max(notification_id) FROM stored_events") or 0
        if position > head:
            raise store_damaged(
                f"{consumer} is at position {position}, but the log ends at {head}: {consumer} would miss changes"
            )
        if flag and flag > (newest := self.newest_flag()):
            raise store_damaged(
                f"{consumer} is at flag {flag}, but the newest flag is {newest}: {consumer} would miss flags"
            )

    def flagged(self, dependencies: Sequence[Dependency], after: int, beyond: int) -> pa.Table:
        numbers = self._numbers(dependencies)
        if self._flags_checked is None or after < self._flags_checked:
            check_numeric_rows(self._db, SEALED["flags"], "number>?1", (after,))
            self._flags_checked = after
        first = "CASE WHEN position>?2 THEN position ELSE newest END"
        sql = f"""SELECT resource, dependency, min({first}), max(newest) FROM flags WHERE number>?1 AND newest>?2
            AND {self._db.among_numbers("dependency", 3)} GROUP BY resource, dependency ORDER BY resource, dependency"""
        flags = self._db.table(sql, (after, beyond, self._db.array(list(numbers))), _flags())
        place = {dependency: number for number, dependency in reversed(list(enumerate(dependencies)))}
        indexes = pa.array([place[dependency] for dependency in numbers.values()], pa.int64())
        chosen = pc.index_in(flags.column("dependency"), pa.array(numbers, pa.int64()))
        return flags.set_column(1, "dependency", indexes.take(chosen.combine_chunks()))


def _kind(side: str) -> DerivationKind:
    try:
        return DerivationKind(side)
    except ValueError:
        raise store_damaged(f"the store holds a rule of the unknown kind {side!r}") from None


def rule_of(name: str, side: str, entity_type: str, digest: str) -> DerivedRule:
    """Returns the derivation of a row.

    :raises StoreError: if its kind is unknown.
    """
    return DerivedRule(kind=_kind(side), name=name, entity_type=entity_type, digest=digest)


def columns_of(dependency: Dependency) -> tuple[Any, ...]:
    """Returns the columns of a dependency."""
    hops = [[hop.association, hop.forward] for hop in dependency.hops]
    return (
        dependency.entity_type,
        orjson.dumps(hops).decode(),
        orjson.dumps(dependency.path).decode(),
        dependency.property,
        dependency.leads_to,
    )


def _dependency(row: Sequence[Any]) -> Dependency:
    entity_type, hops, path, property_name, leads_to = row
    try:
        links = tuple(Hop(association, bool(forward)) for association, forward in orjson.loads(hops))
        return Dependency(entity_type, links, tuple(orjson.loads(path)), property_name, leads_to)
    except (TypeError, ValueError) as e:
        raise store_damaged(f"a dependency of {entity_type} cannot be read ({e})") from e
