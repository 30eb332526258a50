"""What expressions read over dependency paths, joined to the resources that they start at."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import pairwise
from math import prod

import duckdb
from attrs import evolve, frozen

from deltamark.application.ports.evaluator import Inputs
from deltamark.domain.configuration.configuration import Configuration
from deltamark.domain.derivation.dependency_paths import Read, Route, route
from deltamark.domain.values import PropertyType
from deltamark.infrastructure.duckdb.column_types import sql_type
from deltamark.infrastructure.duckdb.connection import quoted
from deltamark.infrastructure.duckdb.json_values import json_paths, typed

MOST_PAIRS = 5_000_000
"""Of resources and what a path over a collection leads them to, at once."""


@frozen(kw_only=True)
class PathRead:
    """A property at the end of a path."""

    read: Read
    kind: PropertyType

    @property
    def column(self) -> str:
        """The column that expressions know it by."""
        return quoted(str(self.read))


@frozen(kw_only=True)
class Path:
    """A path with what is read at its end.

    :param number: names the tables of its end.
    """

    number: int
    way: Route
    reads: tuple[PathRead, ...]

    @property
    def end(self) -> str:
        """The table of the properties at its end."""
        return f"end_{self.number}"

    @property
    def reached(self) -> str:
        """The table of the resources at its end."""
        return f"reached_{self.number}"


@frozen(kw_only=True)
class PathJoins:
    """The paths that are read, ready to be joined.

    :param pairs: about how many pairs of a resource and one that a collection leads it to there are; 0 where they are
        few.
    :param is_kept: whether what is read at the ends of the paths stands in tables, to be read again and again.
    """

    paths: tuple[Path, ...]
    tables: Mapping[tuple[str, ...], str]
    pairs: int = 0
    is_kept: bool = False

    @property
    def columns(self) -> list[str]:
        """What they add to each resource; nothing is null, or empty where a path goes over a collection."""
        return [self._column(path, read) for path in self.paths for read in path.reads]

    @property
    def sql(self) -> str:
        """Their joins to the table ``resources``, by its column ``stream``."""
        return "".join(
            f" LEFT JOIN ({self._gathered(path)}) AS path_{path.number} ON path_{path.number}.near = resources.stream"
            for path in self.paths
            if self.is_linked(path)
        )

    def most_rows(self, rows: int, wanted: int) -> int:
        """Of `wanted` resources, how many may be worked on at once so that memory stays flat."""
        return max(1, min(wanted, wanted if not self.pairs else rows * MOST_PAIRS // self.pairs))

    def is_linked(self, path: Path) -> bool:
        """Whether each of its steps has links at all."""
        return all(part in self.tables for part in _parts(path))

    def links_of(self, path: Path) -> list[str]:
        """The tables of the links of its steps."""
        return [self.tables[part] for part in _parts(path)]

    def _column(self, path: Path, read: PathRead) -> str:
        many = path.way.is_collection
        found = f"path_{path.number}.{read.column}" if self.is_linked(path) else "NULL"
        value = f"coalesce({found}, [])" if many else found
        return f"CAST({value} AS {sql_type(read.kind, is_collection=many)}) AS {read.column}"

    def _gathered(self, path: Path) -> str:
        """Of each resource, by `near`, what the path finds."""
        value = "list_sort(list({0}) FILTER (WHERE {0} IS NOT NULL))" if path.way.is_collection else "min({0})"
        columns = ", ".join(f"{value.format(read.column)} AS {read.column}" for read in path.reads)
        end = path.end if self.is_kept else f"({self.end_of(path)}) AS {path.end}"
        return (
            f"SELECT near, {columns} FROM ({self._pairs(path)}) AS pairs "
            f"JOIN {end} ON {path.end}.stream = pairs.far GROUP BY near"
        )

    def end_of(self, path: Path) -> str:
        """The properties at the end of a path, by ``stream``, of whatever its last step leads to."""
        names = [read.read.property for read in path.reads]
        values = ", ".join(
            f"{typed(f'coalesce(computed[{n}], state[{n}])', read.kind)} AS {read.column}"
            for n, read in enumerate(path.reads, 1)
        )
        return f"""SELECT stream, {values} FROM (
            SELECT stream, json_extract_string(state, {json_paths(names)}) AS state,
                json_extract_string(computed, {json_paths(names)}) AS computed
            FROM {path.reached} WHERE state IS NOT NULL AND stream IN (SELECT far FROM {self.tables[path.way.path]}))"""

    def _pairs(self, path: Path) -> str:
        """The resources with those that the path leads to, each once where it matters."""
        names = self.links_of(path)
        joined = names[0] + "".join(f" JOIN {here} ON {here}.near = {before}.far" for before, here in pairwise(names))
        distinct = "DISTINCT " if path.way.is_collection else ""
        return (
            f"SELECT {distinct}{names[0]}.near AS near, {names[-1]}.far AS far FROM {joined} "
            f"WHERE {names[0]}.near IN (SELECT stream FROM resources)"
        )


def _parts(path: Path) -> Iterator[tuple[str, ...]]:
    steps = path.way.path
    return (steps[:length] for length in range(1, len(steps) + 1))


def path_reads(configuration: Configuration, entity_type: str, reads: Iterable[Read]) -> tuple[Path, ...]:
    """The paths of reads that start at an entity type, each once."""
    by_path: dict[tuple[str, ...], list[Read]] = {}
    for read in sorted(set(reads)):
        if read.path:
            by_path.setdefault(read.path, []).append(read)
    found = []
    for number, (path, ends) in enumerate(by_path.items()):
        way = route(configuration, entity_type, path)
        at = configuration.entity_type(way.leads_to)
        kinds = {declared.identifier: declared.type for declared in at.properties} if at else {}
        known = tuple(PathRead(read=read, kind=kinds[read.property]) for read in ends)
        found.append(Path(number=number, way=way, reads=known))
    return tuple(found)


def prepared(db: duckdb.DuckDBPyConnection, paths: Sequence[Path], inputs: Inputs, *, at_once: int) -> PathJoins:
    """Makes the tables that the joins need: of links, and of what is read at the ends of paths.

    :param at_once: of how many resources the paths are joined at once.
    """
    tables: dict[tuple[str, ...], str] = {}
    for number, (path, links) in enumerate(inputs.links.items()):
        if links.num_rows:
            tables[path] = f"links_{number}"
            db.register(tables[path], links)
    joins = PathJoins(paths=tuple(paths), tables=tables)
    linked = [one for one in paths if joins.is_linked(one)]
    pairs = [_pair_count(db, joins.links_of(one)) for one in linked if _may_be_many(one, inputs)]
    joins = evolve(joins, pairs=max(pairs, default=0))
    joins = evolve(joins, is_kept=joins.most_rows(inputs.resources.num_rows, at_once) < inputs.resources.num_rows)
    for one in linked:
        db.register(one.reached, inputs.reached[one.way.path])
        if joins.is_kept:
            db.execute(f"CREATE TEMP TABLE {one.end} AS {joins.end_of(one)}")
    return joins


def _may_be_many(path: Path, inputs: Inputs) -> bool:
    """Whether a path can make more pairs than are worked on at once: no more than its steps have links, multiplied."""
    return path.way.is_collection and prod(inputs.links[part].num_rows for part in _parts(path)) > MOST_PAIRS


def _pair_count(db: duckdb.DuckDBPyConnection, links: Sequence[str]) -> int:
    """How many ways a path goes, from whatever starts it; counted from its end, without walking them."""
    ways = f"SELECT near, count(*) AS ways FROM {links[-1]} GROUP BY near"
    for name in reversed(links[:-1]):
        ways = (
            f"SELECT {name}.near AS near, sum(ways) AS ways FROM {name} "
            f"JOIN ({ways}) AS later ON later.near = {name}.far GROUP BY {name}.near"
        )
    ((count,),) = db.execute(f"SELECT coalesce(sum(ways), 0)::BIGINT FROM ({ways})").fetchall()
    return int(count)
