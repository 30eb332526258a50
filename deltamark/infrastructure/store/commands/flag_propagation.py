"""From changes back to the resources that depend on them: over links, hop by hop, for all dependencies at once.

A change touches what a dependency is on some `hops` links away from the resources that depend on it. The table
`reached` holds which resources a dependency has come to, at which distance. Each step takes those at one distance a
link nearer and keeps of each the first and the newest position, so that a resource to which a thousand links lead goes
on once.

Links are followed as they are now. That is enough: where a path leads elsewhere than before, the first of its links
that differs was itself added or removed, and the way to that one is the same as before.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from deltamark.domain.derivation.dependency_paths import Dependency
from deltamark.infrastructure.store.arrow import pa
from deltamark.infrastructure.store.events.mapper import COMPUTED, CREATED, DELETED, LINK_TOPICS, UPDATED
from deltamark.infrastructure.store.session import Session

Found = tuple[str, Sequence[Any]]
"""A query for flags (``position``, ``newest``, ``resource``, ``dependency``) with its parameters."""

_WANTED = {"dependency": "number", "entity_type": "number", "leads_to": "number", "hops": "number", "property": "text"}
_STEPS = {"dependency": "number", "hops": "number", "association": "number", "forward": "number", "touched": "number"}
_REACHED = dict.fromkeys(("hops", "dependency", "resource", "position", "newest"), "number")


class Walking(Session):
    """Finds the resources that changes concern."""

    def _walk(self, dependencies: Mapping[int, Dependency], after: int) -> Iterator[Found]:
        """Queries that find what changes beyond a position concern, of some dependencies by their numbers.

        Each must have been asked when the next is made.
        """
        self._want(dependencies)
        yield self._existence(after)
        self._db.temporary("reached", _REACHED, key=3)
        if self._touch_values(after) + self._touch_links(after):
            for hops in range(max(len(found.hops) for found in dependencies.values()), 0, -1):
                self._db.look_at("reached")
                self._step(hops)
            yield self._arrived()

    def _want(self, dependencies: Mapping[int, Dependency]) -> None:
        """Fills `wanted`, one row a dependency, and `steps`, one row a link of its way: the `hops`-th from those that
        depend. With `touched`, it is this link itself that the dependency is on.
        """
        types = dict(self._db.all("SELECT name, id FROM entity_types"))
        associations = dict(self._db.all("SELECT name, id FROM associations"))
        self._db.temporary("wanted", _WANTED)
        self._db.temporary("steps", _STEPS, key=2)
        numbers = list(dependencies)
        found = list(dependencies.values())
        self._db.insert(
            "wanted",
            {
                "dependency": numbers,
                "entity_type": [types.get(one.entity_type, 0) for one in found],
                "leads_to": [types.get(one.leads_to, 0) for one in found],
                "hops": [len(one.hops) for one in found],
                "property": pa.array([one.property for one in found], pa.string()),
            },
        )
        steps = [
            (
                number,
                hops,
                associations.get(hop.association, 0),
                hop.forward,
                hops == len(one.hops) and not one.property,
            )
            for number, one in dependencies.items()
            for hops, hop in enumerate(one.hops, 1)
        ]
        if steps:
            columns = zip(*steps, strict=True)
            self._db.insert(
                "steps", {name: list(map(int, column)) for name, column in zip(_STEPS, columns, strict=True)}
            )
        self._db.look_at("wanted")
        self._db.look_at("steps")

    def _beyond(self) -> str:
        """Whether an event `e` is one of those that `_changes` asks for.

        Both ends of the range are said: a planner that knows nothing of the log takes what has only one for a third of
        it, and would read it whole. And the stream of an event stands behind a plus where it is compared: nothing is to
        begin with all resources or links and look for their events.
        """
        return f"e.notification_id>?1 AND e.notification_id<=?2 AND {self._db.among_texts('e.topic', 3)}"

    def _changes(self, after: int, topics: Sequence[str]) -> tuple[Any, ...]:
        return after, self.head(), self._db.array(topics)

    def _existence(self, after: int) -> Found:
        """Resources that came into being, or ceased to be."""
        sql = f"""SELECT min(e.notification_id) AS position, max(e.notification_id) AS newest, r.stream AS resource,
                w.dependency AS dependency
            FROM stored_events e {self._db.straight} resources r ON r.stream = +e.originator_id
            {self._db.straight} wanted w ON w.leads_to = r.entity_type AND w.hops = 0 AND w.property IS NULL
            WHERE {self._beyond()} GROUP BY r.stream, w.dependency"""
        return sql, self._changes(after, [CREATED, DELETED])

    def _touch_values(self, after: int) -> int:
        """Reaches the resources themselves of which a property changed."""
        return self._db.execute(
            f"""INSERT INTO reached (hops, dependency, resource, position, newest)
            SELECT min(w.hops), w.dependency, r.stream, min(e.notification_id), max(e.notification_id)
            FROM stored_events e {self._db.straight} resources r ON r.stream = +e.originator_id
                AND r.entity_type IN (SELECT leads_to FROM wanted WHERE property IS NOT NULL)
            {self._db.straight} {self._db.each_member("e.state", "m")} ON TRUE
            {self._db.straight} wanted w ON w.property = m.key AND w.leads_to = r.entity_type
            WHERE {self._beyond()} GROUP BY w.dependency, r.stream""",
            self._changes(after, [UPDATED, COMPUTED]),
        )

    def _touch_links(self, after: int) -> int:
        """Reaches the nearer ends of links that were added or removed."""
        nearer = "CASE WHEN s.forward=1 THEN l.source ELSE l.target END"
        return self._db.execute(
            f"""INSERT INTO reached (hops, dependency, resource, position, newest)
            SELECT min(s.hops)-1, s.dependency, {nearer}, min(e.notification_id), max(e.notification_id)
            FROM stored_events e {self._db.straight} links l ON l.stream = +e.originator_id
            {self._db.straight} steps s ON s.association = l.association AND s.touched=1
            WHERE {self._beyond()} GROUP BY s.dependency, {nearer}""",
            self._changes(after, LINK_TOPICS),
        )

    def _step(self, hops: int) -> None:
        """From what is reached at a distance, one link nearer."""
        for forward, near, far in ((1, "source", "target"), (0, "target", "source")):
            self._db.execute(
                f"""INSERT INTO reached (hops, dependency, resource, position, newest)
                SELECT CAST(?1 AS BIGINT)-1, f.dependency, l.{near}, min(f.position), max(f.newest)
                FROM steps s {self._db.straight} reached f ON f.hops = s.hops AND f.dependency = s.dependency
                {self._db.straight} links l ON l.association = s.association AND l.{far} = f.resource AND l.live
                WHERE s.hops=?1 AND s.forward=?2 GROUP BY f.dependency, l.{near}""",
                (hops, forward),
            )

    def _arrived(self) -> Found:
        """Those that depend; an association may once have led to resources of another entity type."""
        sql = f"""SELECT f.position AS position, f.newest AS newest, f.resource AS resource,
                f.dependency AS dependency
            FROM wanted w {self._db.straight} reached f ON f.hops=0 AND f.dependency = w.dependency
            {self._db.straight} resources r ON r.stream = f.resource AND r.entity_type = w.entity_type"""
        return sql, ()
