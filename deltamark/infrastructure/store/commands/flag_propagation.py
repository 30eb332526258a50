"""Finds the resources that depend on changes.

Follows links back, hop by hop, for all dependencies at once.

A changed value lies some `hops` links away from the resources that depend on it. The temporary table `reached` has the
resources that a dependency has reached, with their distance. Each step moves those at one distance one link nearer, and
keeps the first and the newest position of each, so that a resource with a thousand links is followed once.

Links are followed as they are now. That is enough: if a path leads elsewhere than before, the first link that differs
was itself added or removed, and the path up to it is the same as before.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from deltamark.domain.derivation.dependency_paths import Dependency
from deltamark.infrastructure.store.arrow import pa
from deltamark.infrastructure.store.events.mapper import COMPUTED, CREATED, DELETED, LINK_TOPICS, UPDATED
from deltamark.infrastructure.store.session import Session

FlagQuery = tuple[str, Sequence[Any]]
"""A query for flags (``position``, ``newest``, ``resource``, ``dependency``) with its parameters."""

_CHOSEN = {"dependency": "number", "entity_type": "number", "leads_to": "number", "hops": "number", "property": "text"}
_STEPS = {"dependency": "number", "hops": "number", "association": "number", "forward": "number", "touched": "number"}
_REACHED = dict.fromkeys(("hops", "dependency", "resource", "position", "newest"), "number")


class FlagPropagation(Session):
    """Finds the resources that depend on changes."""

    def _propagate(self, dependencies: Mapping[int, Dependency], after: int) -> Iterator[FlagQuery]:
        """Yields queries for the resources to flag because of changes above a position.

        Each query must run before the next one is taken.

        :param dependencies: by their numbers.
        """
        self._fill_tables(dependencies)
        is_first = self._only_created_since(after)
        yield self._created(after) if is_first else self._existence(after)
        self._db.temporary("reached", _REACHED, key=3)
        if (0 if is_first else self._touch_values(after)) + self._touch_links(after):
            for hops in range(max(len(dependency.hops) for dependency in dependencies.values()), 0, -1):
                self._db.analyze("reached")
                self._step(hops)
            yield self._dependents()

    def _fill_tables(self, dependencies: Mapping[int, Dependency]) -> None:
        """Fills `chosen` and `steps`.

        `chosen` has a row for each dependency, `steps` one for each link of its path.

        A step is the `hops`-th link from the dependent resource. With `touched`, the dependency is on this link itself.
        """
        types = dict(self._db.all("SELECT name, id FROM entity_types"))
        associations = dict(self._db.all("SELECT name, id FROM associations"))
        self._db.temporary("chosen", _CHOSEN)
        self._db.temporary("steps", _STEPS, key=2)
        numbers, chosen = list(dependencies), list(dependencies.values())
        self._db.insert(
            "chosen",
            {
                "dependency": numbers,
                "entity_type": [types.get(dependency.entity_type, 0) for dependency in chosen],
                "leads_to": [types.get(dependency.leads_to, 0) for dependency in chosen],
                "hops": [len(dependency.hops) for dependency in chosen],
                "property": pa.array([dependency.property for dependency in chosen], pa.string()),
            },
        )
        steps = [
            (
                number,
                hops,
                associations.get(hop.association, 0),
                hop.forward,
                hops == len(dependency.hops) and not dependency.property,
            )
            for number, dependency in dependencies.items()
            for hops, hop in enumerate(dependency.hops, 1)
        ]
        if steps:
            columns = zip(*steps, strict=True)
            self._db.insert(
                "steps", {name: list(map(int, column)) for name, column in zip(_STEPS, columns, strict=True)}
            )
        self._db.analyze("chosen")
        self._db.analyze("steps")

    def _in_range(self) -> str:
        """Returns the condition for an event `e` to be one of the changes of `_changes`.

        It has both ends of the range: for an open range, a planner without statistics estimates a third of the log, and
        reads it whole. Queries write a plus before the stream of an event, so that no plan starts with all resources or
        links and looks for their events.
        """
        return f"e.notification_id>?1 AND e.notification_id<=?2 AND {self._db.among_texts('e.topic', 3)}"

    def _changes(self, after: int, topics: Sequence[str]) -> tuple[Any, ...]:
        return after, self.head(), self._db.array(topics)

    def _only_created_since(self, after: int) -> bool:
        """Whether the changes of resources above a position are many, each the first one of its resource."""
        if self.head() - after < self._db.many:
            return False
        sql = f"""SELECT count(*) FROM (SELECT 1 AS one FROM resources {self._db.unindexed}
            WHERE version>1 AND position>?1 LIMIT 1) r"""
        return not self._db.one(sql, (after,))

    def _created(self, after: int) -> FlagQuery:
        """Returns the query for resources that were created, where nothing else became of any resource.

        Their rows say what the log does, and there is one for each.
        """
        sql = f"""SELECT r.position AS position, r.position AS newest, r.stream AS resource,
                w.dependency AS dependency
            FROM resources r {self._db.unindexed}
            {self._db.ordered_join} chosen w ON w.leads_to = r.entity_type AND w.hops = 0 AND w.property IS NULL
            WHERE r.version=1 AND r.position>?1 AND r.position<=?2"""
        return sql, (after, self.head())

    def _existence(self, after: int) -> FlagQuery:
        """Returns the query for resources that were created or deleted."""
        sql = f"""SELECT min(e.notification_id) AS position, max(e.notification_id) AS newest, r.stream AS resource,
                w.dependency AS dependency
            FROM stored_events e {self._db.ordered_join} resources r ON r.stream = +e.originator_id
            {self._db.ordered_join} chosen w ON w.leads_to = r.entity_type AND w.hops = 0 AND w.property IS NULL
            WHERE {self._in_range()} GROUP BY r.stream, w.dependency"""
        return sql, self._changes(after, [CREATED, DELETED])

    def _touch_values(self, after: int) -> int:
        """Reaches the resources with a changed property."""
        return self._db.execute(
            f"""INSERT INTO reached (hops, dependency, resource, position, newest)
            SELECT min(w.hops), w.dependency, r.stream, min(e.notification_id), max(e.notification_id)
            FROM stored_events e {self._db.ordered_join} resources r ON r.stream = +e.originator_id
                AND r.entity_type IN (SELECT leads_to FROM chosen WHERE property IS NOT NULL)
            {self._db.ordered_join} {self._db.each_member("e.state", "m")} ON TRUE
            {self._db.ordered_join} chosen w ON w.property = m.key AND w.leads_to = r.entity_type
            WHERE {self._in_range()} GROUP BY w.dependency, r.stream""",
            self._changes(after, [UPDATED, COMPUTED]),
        )

    def _touch_links(self, after: int) -> int:
        """Reaches the nearer ends of added or removed links."""
        nearer = "CASE WHEN s.forward=1 THEN l.source ELSE l.target END"
        return self._db.execute(
            f"""INSERT INTO reached (hops, dependency, resource, position, newest)
            SELECT min(s.hops)-1, s.dependency, {nearer}, min(e.notification_id), max(e.notification_id)
            FROM stored_events e {self._db.ordered_join} links l ON l.stream = +e.originator_id
            {self._db.ordered_join} steps s ON s.association = l.association AND s.touched=1
            WHERE {self._in_range()} GROUP BY s.dependency, {nearer}""",
            self._changes(after, LINK_TOPICS),
        )

    def _step(self, hops: int) -> None:
        """Moves the resources at a distance one link nearer."""
        for forward, near, far in ((1, "source", "target"), (0, "target", "source")):
            self._db.execute(
                f"""INSERT INTO reached (hops, dependency, resource, position, newest)
                SELECT CAST(?1 AS BIGINT)-1, f.dependency, l.{near}, min(f.position), max(f.newest)
                FROM steps s {self._db.ordered_join} reached f ON f.hops = s.hops AND f.dependency = s.dependency
                {self._db.ordered_join} links l ON l.association = s.association AND l.{far} = f.resource AND l.live
                WHERE s.hops=?1 AND s.forward=?2 GROUP BY f.dependency, l.{near}""",
                (hops, forward),
            )

    def _dependents(self) -> FlagQuery:
        """Returns the query for dependent resources.

        An association may once have led to another entity type.
        """
        sql = f"""SELECT f.position AS position, f.newest AS newest, f.resource AS resource,
                f.dependency AS dependency
            FROM chosen w {self._db.ordered_join} reached f ON f.hops=0 AND f.dependency = w.dependency
            {self._db.ordered_join} resources r ON r.stream = f.resource AND r.entity_type = w.entity_type"""
        return sql, ()
