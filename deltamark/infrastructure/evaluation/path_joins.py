"""The joins from resources to what expressions read over dependency paths."""

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
from deltamark.infrastructure.duckdb.connection import quoted
from deltamark.infrastructure.duckdb.json_values import json_paths, sql_type, typed

MOST_PAIRS = 5_000_000
"""Pairs of a resource and one that a path over a collection reaches, in one query."""


@frozen(kw_only=True)
class PathRead:
    """A property at the end of a path."""

    read: Read
    kind: PropertyType

    @property
    def column(self) -> str:
        """The column that expressions read."""
        return quoted(str(self.read))


@frozen(kw_only=True)
class JoinedPath:
    """A path with the properties that are read at its end.

    :param number: part of the names of its tables.
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
    """The joins of the paths that are read.

    :param tables: path of navigation properties -> the table of the links of its last step.
    :param pairs: an estimate of the pairs of a resource and one that a path over a collection reaches; 0 if they are
        few.
    :param is_kept: whether the ends of the paths are stored in tables, because several batches read them.
    """

    paths: tuple[JoinedPath, ...]
    tables: Mapping[tuple[str, ...], str]
    pairs: int = 0
    is_kept: bool = False

    @property
    def columns(self) -> list[str]:
        """What the joins add to each resource.

        Without a link, null, or an empty list over a collection.
        """
        return [self._column(path, read) for path in self.paths for read in path.reads]

    @property
    def sql(self) -> str:
        """The joins to the table ``resources``, by its column ``stream``."""
        return "".join(
            f" LEFT JOIN ({self._values_sql(path)}) AS path_{path.number} ON path_{path.number}.near = resources.stream"
            for path in self.paths
            if self.is_linked(path)
        )

    def batch_size(self, rows: int, most: int) -> int:
        """The number of resources in a batch, at most `most`, such that memory stays bounded."""
        return max(1, min(most, most if not self.pairs else rows * MOST_PAIRS // self.pairs))

    def is_linked(self, path: JoinedPath) -> bool:
        """Whether each step of the path has links."""
        return all(part in self.tables for part in _parts(path))

    def links_of(self, path: JoinedPath) -> list[str]:
        """The tables of the links of each step of the path."""
        return [self.tables[part] for part in _parts(path)]

    def _column(self, path: JoinedPath, read: PathRead) -> str:
        many = path.way.is_collection
        joined = f"path_{path.number}.{read.column}" if self.is_linked(path) else "NULL"
        value = f"coalesce({joined}, [])" if many else joined
        return f"CAST({value} AS {sql_type(read.kind, is_collection=many)}) AS {read.column}"

    def _values_sql(self, path: JoinedPath) -> str:
        """The query for the values that the path reaches, by ``near``."""
        value = "list_sort(list({0}) FILTER (WHERE {0} IS NOT NULL))" if path.way.is_collection else "min({0})"
        columns = ", ".join(f"{value.format(read.column)} AS {read.column}" for read in path.reads)
        end = path.end if self.is_kept else f"({self.end_sql(path)}) AS {path.end}"
        return (
            f"SELECT near, {columns} FROM ({self._pairs_sql(path)}) AS pairs "
            f"JOIN {end} ON {path.end}.stream = pairs.far GROUP BY near"
        )

    def end_sql(self, path: JoinedPath) -> str:
        """The query for the properties at the end of a path, by ``stream``."""
        names = [read.read.property for read in path.reads]
        values = ", ".join(
            f"{typed(f'coalesce(computed[{n}], state[{n}])', read.kind)} AS {read.column}"
            for n, read in enumerate(path.reads, 1)
        )
        return f"""SELECT stream, {values} FROM (
            SELECT stream, json_extract_string(state, {json_paths(names)}) AS state,
                json_extract_string(computed, {json_paths(names)}) AS computed
            FROM {path.reached} WHERE state IS NOT NULL AND stream IN (SELECT far FROM {self.tables[path.way.path]}))"""

    def _pairs_sql(self, path: JoinedPath) -> str:
        """The query for pairs of a resource and one that the path reaches.

        Over a collection, without duplicates.
        """
        names = self.links_of(path)
        joined = names[0] + "".join(f" JOIN {here} ON {here}.near = {before}.far" for before, here in pairwise(names))
        distinct = "DISTINCT " if path.way.is_collection else ""
        return (
            f"SELECT {distinct}{names[0]}.near AS near, {names[-1]}.far AS far FROM {joined} "
            f"WHERE {names[0]}.near IN (SELECT stream FROM resources)"
        )


def _parts(path: JoinedPath) -> Iterator[tuple[str, ...]]:
    steps = path.way.path
    return (steps[:length] for length in range(1, len(steps) + 1))


def path_reads(configuration: Configuration, entity_type: str, reads: Iterable[Read]) -> tuple[JoinedPath, ...]:
    """The paths of reads that start at an entity type, each once."""
    by_path: dict[tuple[str, ...], list[Read]] = {}
    for read in sorted(set(reads)):
        if read.path:
            by_path.setdefault(read.path, []).append(read)
    paths = []
    for number, (path, ends) in enumerate(by_path.items()):
        way = route(configuration, entity_type, path)
        end = configuration.entity_type(way.leads_to)
        kinds = {declared.identifier: declared.type for declared in end.properties} if end else {}
        path_ends = tuple(PathRead(read=read, kind=kinds[read.property]) for read in ends)
        paths.append(JoinedPath(number=number, way=way, reads=path_ends))
    return tuple(paths)


def prepare_joins(
    db: duckdb.DuckDBPyConnection, paths: Sequence[JoinedPath], inputs: Inputs, *, at_once: int
) -> PathJoins:
    """Creates the tables of links and of properties at the ends of paths for the joins.

    :param at_once: the most resources in one batch.
    """
    tables: dict[tuple[str, ...], str] = {}
    for number, (steps, links) in enumerate(inputs.links.items()):
        if links.num_rows:
            tables[steps] = f"links_{number}"
            db.register(tables[steps], links)
    joins = PathJoins(paths=tuple(paths), tables=tables)
    linked = [path for path in paths if joins.is_linked(path)]
    pairs = [_pair_count(db, joins.links_of(path)) for path in linked if _may_have_many_pairs(path, inputs)]
    joins = evolve(joins, pairs=max(pairs, default=0))
    joins = evolve(joins, is_kept=joins.batch_size(inputs.resources.num_rows, at_once) < inputs.resources.num_rows)
    for path in linked:
        db.register(path.reached, inputs.reached[path.way.path])
        if joins.is_kept:
            db.execute(f"CREATE TEMP TABLE {path.end} AS {joins.end_sql(path)}")
    return joins


def _may_have_many_pairs(path: JoinedPath, inputs: Inputs) -> bool:
    """Whether a path can have more than `MOST_PAIRS`.

    The product of the links of its steps is an upper bound.
    """
    return path.way.is_collection and prod(inputs.links[part].num_rows for part in _parts(path)) > MOST_PAIRS


def _pair_count(db: duckdb.DuckDBPyConnection, links: Sequence[str]) -> int:
    """The number of ways along a path, counted from its end without joining them."""
    ways = f"SELECT near, count(*) AS ways FROM {links[-1]} GROUP BY near"
    for name in reversed(links[:-1]):
        ways = (
            f"SELECT {name}.near AS near, sum(ways) AS ways FROM {name} "
            f"JOIN ({ways}) AS later ON later.near = {name}.far GROUP BY {name}.near"
        )
    ((count,),) = db.execute(f"SELECT coalesce(sum(ways), 0)::BIGINT FROM ({ways})").fetchall()
    return int(count)
