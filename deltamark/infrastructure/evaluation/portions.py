"""One evaluation: prepares its tables, and works through the resources in portions.

A portion for which an expression fails is evaluated again with each value on its own: those that fail are none.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence, Set
from functools import cached_property

import duckdb
import pyarrow as pa
import pyarrow.compute as pc
from attrs import define, evolve, field, frozen

from deltamark.application.ports.evaluator import Inputs
from deltamark.domain.configuration.configuration import Configuration
from deltamark.domain.derivation.dependency_paths import Read
from deltamark.domain.derivation.derivations import Derivation
from deltamark.domain.errors import DeltamarkError
from deltamark.domain.values import PropertyType
from deltamark.infrastructure.duckdb.connection import Workbench, query_once, quoted
from deltamark.infrastructure.evaluation.failures import FAILURES, reason_of, refuse_damage
from deltamark.infrastructure.evaluation.path_joins import JoinedPath, PathJoins, path_reads, prepare_joins
from deltamark.infrastructure.evaluation.resource_rows import STREAM, ResourceRows, create_due_bits
from deltamark.infrastructure.evaluation.text_lengths import TextLengths, longest_reached
from deltamark.infrastructure.expressions.compiler import Compiled

AT_ONCE = 50_000
"""Resources in one portion; larger portions need more memory and save no time."""


@frozen
class Evaluated:
    """The result of an evaluation over a portion.

    :param rows: what the query gave.
    :param refused: as in `Computation`; a value that failed may have any reason.
    """

    rows: pa.Table
    refused: pa.Table


Work = Callable[[duckdb.DuckDBPyConnection, ResourceRows, Set[int]], Evaluated]
"""Evaluates the derivations over the rows of a portion.

A failure of those with these numbers gives a refused value. It takes longer, and counts as an error for all others.
"""


@define(slots=False)
class Evaluation:
    """Derivations over the resources of one entity type.

    :param compiled: for each derivation; None if it has no expression.
    :param at_once: the most resources in one portion.
    """

    configuration: Configuration
    derivations: Sequence[Derivation]
    compiled: Sequence[Compiled | None]
    inputs: Inputs
    at_once: int = field(default=AT_ONCE, kw_only=True)
    _reasons: dict[int, str] = field(factory=dict, init=False)

    @cached_property
    def reads(self) -> Sequence[Read]:
        """What the expressions read, each once, sorted."""
        return sorted({read for compiled in self.compiled if compiled is not None for read in compiled.reads})

    @cached_property
    def own(self) -> Mapping[str, PropertyType]:
        """The properties of the resource itself that expressions read, with their types."""
        entity_type = self.configuration.entity_type(self.inputs.entity_type)
        kinds = {declared.identifier: declared.type for declared in entity_type.properties} if entity_type else {}
        return {read.property: kinds[read.property] for read in self.reads if not read.path}

    @cached_property
    def paths(self) -> Sequence[JoinedPath]:
        """The paths over which expressions read."""
        lists = {read for compiled in self.compiled if compiled is not None for read in compiled.lists}
        return path_reads(self.configuration, self.inputs.entity_type, self.reads, lists)

    def run(self, workbench: Workbench, names: Sequence[str], work: Work) -> Iterator[Evaluated]:
        """The results of `work`, portion by portion in the order of resources.

        One result if there are none.

        :param names: the properties of the resource itself that `work` reads.
        :raises DeltamarkError: if the portion fails although each value is evaluated on its own.
        :raises StoreError: if a state is damaged.
        """
        with workbench.connection() as db:
            joins = self._prepare(db)
            rows = ResourceRows(
                names=names,
                joins=joins,
                derivations=len(self.derivations),
                is_partial=self.inputs.due is not None,
            )
            lengths = TextLengths.of(self.derivations, self.compiled)
            reached = longest_reached(db, self.paths, joins, self.inputs)
            for portion in self._portions(joins):
                whole = lengths.are_short(portion, reached)
                for part in [portion] if whole else self._parts(db, rows, portion, lengths):
                    yield self._evaluate(db, rows, part, work)

    def _prepare(self, db: duckdb.DuckDBPyConnection) -> PathJoins:
        if self.inputs.due is not None:
            create_due_bits(db, self.inputs.due, len(self.derivations))
        try:
            return prepare_joins(db, self.paths, self.inputs, at_once=self.at_once)
        except FAILURES:
            self._refuse_damage_at_ends(db)
            raise

    def _refuse_damage_at_ends(self, db: duckdb.DuckDBPyConnection) -> None:
        for path in self.paths:
            if path.way.path in self.inputs.reached:
                db.register(path.reached, self.inputs.reached[path.way.path])
                refuse_damage(db, path.reached, path.way.leads_to)

    def _portions(self, joins: PathJoins) -> Iterator[pa.Table]:
        resources = self.inputs.resources
        step = joins.batch_size(resources.num_rows, self.at_once)
        for start in range(0, max(resources.num_rows, 1), step):
            yield resources.slice(start, step)

    def _parts(
        self, db: duckdb.DuckDBPyConnection, rows: ResourceRows, portion: pa.Table, lengths: TextLengths
    ) -> Iterator[pa.Table]:
        """The portion, in parts that are small enough where its texts are long."""
        db.register("resources", portion)
        inputs = "".join(f", {rows.value(name, kind)} AS {quoted(name)}" for name, kind in self.own.items())
        sql = f"SELECT {STREAM} AS stream{lengths.columns} FROM (SELECT *{inputs} FROM ({rows.sql()}))"
        try:
            measured = query_once(db, sql)
        except FAILURES:
            refuse_damage(db, "resources", self.inputs.entity_type)
            self._refuse_damage_at_ends(db)
            raise
        return lengths.parts(portion, measured)

    def _evaluate(self, db: duckdb.DuckDBPyConnection, rows: ResourceRows, portion: pa.Table, work: Work) -> Evaluated:
        db.register("resources", portion)
        try:
            return work(db, rows, frozenset())
        except FAILURES:
            refuse_damage(db, "resources", self.inputs.entity_type)
            self._refuse_damage_at_ends(db)
        try:
            evaluated = work(db, rows, self._numbers)
        except FAILURES as e:
            raise DeltamarkError(
                f"the values of {self.inputs.entity_type} could not be computed: {reason_of(e)}. Nothing was changed. "
                "Check the expressions that may cause this."
            ) from e
        return evolve(evaluated, refused=self._with_reasons(db, rows, portion, work, evaluated.refused))

    @property
    def _numbers(self) -> Set[int]:
        return frozenset(range(len(self.derivations)))

    def _with_reasons(
        self, db: duckdb.DuckDBPyConnection, rows: ResourceRows, portion: pa.Table, work: Work, refused: pa.Table
    ) -> pa.Table:
        """The refused values with the reason of the first that failed of each derivation."""
        failed = refused.filter(pc.is_valid(refused.column("reason")))
        firsts = failed.group_by("derivation").aggregate([("stream", "min")])
        for row in firsts.to_pylist():
            if row["derivation"] not in self._reasons:
                resource = portion.filter(pc.equal(portion.column("stream"), row["stream_min"]))
                db.register("resources", resource)
                self._reasons[row["derivation"]] = _failure(db, rows, work, self._numbers - {row["derivation"]})
        reasons = [
            None if reason is None else self._reasons[number]
            for number, reason in zip(
                *(refused.column(name).to_pylist() for name in ("derivation", "reason")), strict=True
            )
        ]
        return refused.set_column(refused.schema.get_field_index("reason"), "reason", pa.array(reasons, pa.string()))


def _failure(db: duckdb.DuckDBPyConnection, rows: ResourceRows, work: Work, others: Set[int]) -> str:
    """Why the one derivation that is not among the others fails for the table ``resources``."""
    try:
        work(db, rows, others)
    except FAILURES as e:
        return reason_of(e)
    return "it fails among other resources only"
