"""The joins from resources to what expressions read over dependency paths."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from itertools import pairwise
from math import prod

import duckdb
from attrs import evolve, field, frozen

from deltamark.application.ports.evaluator import Inputs
from deltamark.domain.configuration.configuration import Configuration
from deltamark.domain.derivation.dependency_paths import Read, Route, route
from deltamark.domain.values import PropertyType
from deltamark.infrastructure.duckdb.connection import quoted
from deltamark.infrastructure.duckdb.json_values import json_paths, sql_type, typed
from deltamark.infrastructure.expressions.decimals import ordered, sorted_list
from deltamark.infrastructure.expressions.sql_value import count_column, size_column

MOST_PAIRS = 5_000_000
"""Pairs of a resource and one that a path over a collection reaches, in one query."""


@frozen(kw_only=True)
class PathRead:
    """A property at the end of a path.

    :param aggregates: of a path over a collection: the columns that expressions read, and how they are aggregated from
        the values.
    """

    read: Read
    kind: PropertyType
    aggregates: Mapping[str, str] = field(factory=dict)

    @property
    def column(self) -> str:
        """The column that expressions read."""
        return quoted(str(self.read))


@frozen(kw_only=True)
class JoinedPath:
    """A path with the properties that are read at its end.

    :param number: part of the names of its tables.
    :param shared: how many of its first steps lead to one resource each. Over a collection, all resources for which
        these steps lead to the same one read the same list; it is made once.
    """

    number: int
    way: Route
    reads: tuple[PathRead, ...]
    shared: int = 0

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
        return [column for path in self.paths for read in path.reads for column in self._columns(path, read)]

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

    def _columns(self, path: JoinedPath, read: PathRead) -> Iterator[str]:
        """The columns of a read, with a value for resources that have no link."""
        table = f"path_{path.number}" if self.is_linked(path) else None
        if not path.way.is_collection:
            value = f"{table}.{read.column}" if table else "NULL"
            yield f"CAST({value} AS {sql_type(read.kind)}) AS {read.column}"
        for column in read.aggregates:
            kind = sql_type(read.kind, is_collection=True) if column == read.column else "BIGINT"
            none = "[]" if column == read.column else "0"
            value = f"coalesce({table}.{column}, {none})" if table else none
            yield f"CAST({value} AS {kind}) AS {column}"

    def _values_sql(self, path: JoinedPath) -> str:
        """The query for the values that the path reaches, by ``near``."""
        end = path.end if self.is_kept else f"({self.end_sql(path)}) AS {path.end}"
        resources = "SELECT stream FROM resources"
        if not path.way.is_collection:
            columns = ", ".join(f"{_smallest(read)} AS {read.column}" for read in path.reads)
            pairs = self._pairs_sql(self.links_of(path), resources)
            return (
                f"SELECT near, {columns} FROM ({pairs}) AS pairs "
                f"JOIN {end} ON {path.end}.stream = pairs.far GROUP BY near"
            )
        aggregates = [item for read in path.reads for item in read.aggregates.items()]
        columns = ", ".join(f"{aggregate} AS {column}" for column, aggregate in aggregates)
        first, last = self.links_of(path)[: path.shared], self.links_of(path)[path.shared :]
        shared = self._pairs_sql(first, resources) if first else ""
        near = f"SELECT far FROM ({shared})" if first else resources
        values = (
            f"SELECT near, {columns} FROM (SELECT DISTINCT near, far FROM ({self._pairs_sql(last, near)})) AS pairs "
            f"JOIN {end} ON {path.end}.stream = pairs.far GROUP BY near"
        )
        if not first:
            return values
        names = ", ".join(f"shared.{column}" for column, _ in aggregates)
        return (
            f"SELECT pairs.near, {names} FROM ({shared}) AS pairs JOIN ({values}) AS shared ON shared.near = pairs.far"
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

    def _pairs_sql(self, names: Sequence[str], near: str) -> str:
        """The query for pairs of a resource of `near` and one that the links of these tables lead to."""
        joined = names[0] + "".join(f" JOIN {here} ON {here}.near = {before}.far" for before, here in pairwise(names))
        return f"SELECT {names[0]}.near AS near, {names[-1]}.far AS far FROM {joined} WHERE {names[0]}.near IN ({near})"


def _parts(path: JoinedPath) -> Iterator[tuple[str, ...]]:
    steps = path.way.path
    return (steps[:length] for length in range(1, len(steps) + 1))


def path_reads(
    configuration: Configuration, entity_type: str, reads: Iterable[Read], lists: Collection[Read]
) -> tuple[JoinedPath, ...]:
    """The paths of reads that start at an entity type, each once.

    :param lists: the reads over a collection of which the elements are read.
    """
    by_path: dict[tuple[str, ...], list[Read]] = {}
    for read in sorted(set(reads)):
        if read.path:
            by_path.setdefault(read.path, []).append(read)
    paths = []
    for number, (path, ends) in enumerate(by_path.items()):
        way = route(configuration, entity_type, path)
        end = configuration.entity_type(way.leads_to)
        kinds = {declared.identifier: declared.type for declared in end.properties} if end else {}
        path_ends = [PathRead(read=read, kind=kinds[read.property]) for read in ends]
        shared = 0
        if way.is_collection:
            path_ends = [evolve(end, aggregates=_aggregates(end, is_list=end.read in lists)) for end in path_ends]
            while not route(configuration, entity_type, path[: shared + 1]).is_collection:
                shared += 1
        paths.append(JoinedPath(number=number, way=way, reads=tuple(path_ends), shared=shared))
    return tuple(paths)


def _smallest(read: PathRead) -> str:
    is_decimal = read.kind is PropertyType.DECIMAL
    return f"struct_extract(min({ordered(read.column)}), 'n')" if is_decimal else f"min({read.column})"


def _aggregates(end: PathRead, *, is_list: bool) -> dict[str, str]:
    name, values = str(end.read), end.column
    aggregates = {count_column(name): f"count({values})"}
    if sql_type(end.kind) == "VARCHAR":
        aggregates[size_column(name)] = f"coalesce(sum(strlen({values})), 0) + count({values})"
    if is_list:
        listed = f"list({values}) FILTER (WHERE {values} IS NOT NULL)"
        aggregates[values] = sorted_list(listed) if end.kind is PropertyType.DECIMAL else f"list_sort({listed})"
    return aggregates


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
    joins = evolve(joins, paths=tuple(_with_shared_steps(db, path, joins) for path in paths))
    linked = [path for path in joins.paths if joins.is_linked(path)]
    pairs = [_pair_count(db, joins.links_of(path)) for path in linked if _may_have_many_pairs(path, inputs)]
    joins = evolve(joins, pairs=max(pairs, default=0))
    joins = evolve(joins, is_kept=joins.batch_size(inputs.resources.num_rows, at_once) < inputs.resources.num_rows)
    for path in linked:
        db.register(path.reached, inputs.reached[path.way.path])
        if joins.is_kept:
            db.execute(f"CREATE TEMP TABLE {path.end} AS {joins.end_sql(path)}")
    return joins


def _with_shared_steps(db: duckdb.DuckDBPyConnection, path: JoinedPath, joins: PathJoins) -> JoinedPath:
    """The path with those of its shared steps that do lead to one resource each.

    After the model was changed, links may be left of which a step that leads to one resource has several.
    """
    if not path.shared or not joins.is_linked(path):
        return evolve(path, shared=0)
    for number, name in enumerate(joins.links_of(path)[: path.shared]):
        ((is_single,),) = db.execute(f"SELECT count(*) = count(DISTINCT near) FROM {name}").fetchall()
        if not is_single:
            return evolve(path, shared=number)
    return path


def _may_have_many_pairs(path: JoinedPath, inputs: Inputs) -> bool:
    """Whether a path of which lists are read can have more than `MOST_PAIRS`.

    The product of the links of its steps is an upper bound.
    """
    if not any(read.column in read.aggregates for read in path.reads) and path.shared == len(path.way.path) - 1:
        return False
    return path.way.is_collection and prod(inputs.links[part].num_rows for part in _parts(path)) > MOST_PAIRS


def _pair_count(db: duckdb.DuckDBPyConnection, links: Sequence[str]) -> int:
    """The number of ways along a path."""
    return _ways(db, links, "sum")


def most_ways(db: duckdb.DuckDBPyConnection, links: Sequence[str]) -> int:
    """The largest number of ways along a path from one resource."""
    return _ways(db, links, "max")


def _ways(db: duckdb.DuckDBPyConnection, links: Sequence[str], aggregate: str) -> int:
    """The ways along a path from each resource, aggregated; counted from its end without joining them."""
    ways = f"SELECT near, count(*) AS ways FROM {links[-1]} GROUP BY near"
    for name in reversed(links[:-1]):
        ways = (
            f"SELECT {name}.near AS near, sum(ways) AS ways FROM {name} "
            f"JOIN ({ways}) AS later ON later.near = {name}.far GROUP BY {name}.near"
        )
    ((count,),) = db.execute(f"SELECT coalesce({aggregate}(ways), 0)::BIGINT FROM ({ways})").fetchall()
    return int(count)
