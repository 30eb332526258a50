"""Evaluates expressions with DuckDB."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence, Set
from itertools import groupby

import duckdb
import pyarrow as pa
import pyarrow.compute as pc
from attrs import evolve

from deltamark.application.ports.arrow_schemas import COMPUTED, REFUSED
from deltamark.application.ports.evaluator import Computation, Inputs, RuleValues
from deltamark.domain.configuration.configuration import Configuration
from deltamark.domain.configuration.entity_model import ConnectionTransformation
from deltamark.domain.configuration.rules import DerivationKind
from deltamark.domain.derivation.dependency_paths import Read, refusal, route
from deltamark.domain.derivation.derivations import Derivation
from deltamark.domain.derivation.function_columns import FunctionColumn
from deltamark.domain.errors import Fault
from deltamark.domain.synchronization.transformed_tables import TransformedTable
from deltamark.domain.values import PropertyType
from deltamark.domain.work_limits import WorkLimits
from deltamark.infrastructure.duckdb.connection import Workbench, query_once
from deltamark.infrastructure.duckdb.json_values import sql_type
from deltamark.infrastructure.evaluation.failures import FAILURES, refuse_damage, refused_values
from deltamark.infrastructure.evaluation.function_tables import FunctionResults, function_tables
from deltamark.infrastructure.evaluation.portions import AT_ONCE, Evaluated, Evaluation
from deltamark.infrastructure.evaluation.property_sql import PropertyStep, property_sql
from deltamark.infrastructure.evaluation.resource_rows import ResourceRows
from deltamark.infrastructure.evaluation.rule_sql import Rule, refused_rules, rule_sql, rule_values
from deltamark.infrastructure.evaluation.trial import Trial, not_evaluable
from deltamark.infrastructure.expressions.compiler import (
    Compiled,
    PartlyRefused,
    compile_derivation,
    register_functions,
)
from deltamark.infrastructure.expressions.result_conversion import LONGEST_TEXT, TEXTS
from deltamark.infrastructure.expressions.row_query import row_query

_FEW = 5_000
"""Resources that one thread evaluates fastest: planning takes most of the time, and more of it for two threads."""

_COUNTED = pa.schema(
    [
        *COMPUTED,
        ("executed", pa.list_(pa.bool_())),
        ("necessary", pa.list_(pa.bool_())),
        ("refused", pa.list_(pa.int64())),
        ("failed", pa.list_(pa.int64())),
    ]
)


class DuckEvaluator:
    """Evaluates set-wise: planning a query takes longer than computing a thousand values.

    Each expression is compiled once. May be used from several threads.

    :param at_once: the most resources in one query; their values must fit into memory.
    """

    def __init__(
        self, configuration: Configuration, *, workbench: Workbench | None = None, at_once: int = AT_ONCE
    ) -> None:
        self._configuration = configuration
        self._at_once = at_once
        self._workbench = workbench or Workbench()
        self._for_few = workbench or Workbench(threads=1)
        self._compiled: dict[Derivation, Compiled] = {}
        self._registered: set[tuple[WorkLimits, str]] = set()
        self._transformed: dict[ConnectionTransformation, TransformedTable] = {}

    def reads(self, derivation: Derivation) -> tuple[Read, ...]:
        try:
            return self._compile(derivation).reads
        except PartlyRefused as e:
            reasons = self._trial(derivation.entity_type, e.reads).of_parts(e.parts)
            refused = refusal([*e.problems, *map(not_evaluable, reasons)])
            assert refused is not None, "it has problems"
            raise refused from None

    def faults(self, derivations: Iterable[Derivation]) -> tuple[Fault, ...]:
        faults: list[Fault] = []
        for entity_type, group in groupby(derivations, key=lambda derivation: derivation.entity_type):
            faults += self._faults_in(entity_type, {derivation: self._compile(derivation) for derivation in group})
        return tuple(faults)

    def _faults_in(self, entity_type: str, compiled: Mapping[Derivation, Compiled]) -> Iterator[Fault]:
        """The faults of expressions of one entity type; one by one only if they cannot be tried together."""
        self._register(self._for_few, [*compiled.values()])
        reads = {read for one in compiled.values() for read in one.reads}
        if self._trial(entity_type, reads).are_evaluable([*compiled.values()]):
            return
        for derivation, one in compiled.items():
            for reason in self._trial(entity_type, one.reads).of_whole(one):
                yield Fault(derivation.location, f"{derivation.described} {not_evaluable(reason)}")

    def _trial(self, entity_type: str, reads: Iterable[Read]) -> Trial:
        types = {read: self._type(entity_type, read) for read in reads}
        return Trial(self._for_few, types)

    def transformed(self, transformation: ConnectionTransformation) -> TransformedTable:
        known = self._transformed.get(transformation)
        if known is None:
            query = row_query(transformation)
            sql = list(query.sql)
            self._for_few.prepare(lambda root: register_functions(root, " ".join(sql)))
            names = dict.fromkeys((*query.table.condition_reads, *(n for c in query.table.columns for n in c.reads)))
            reasons = Trial(self._for_few, {Read((), name): "VARCHAR" for name in names}).of_sql(sql)
            refused = refusal(map(not_evaluable, reasons))
            if refused is not None:
                raise refused
            known = self._transformed[transformation] = query.table
        return known

    def properties(self, derivations: Sequence[Derivation], inputs: Inputs) -> Computation:
        portions = list(self.portions(derivations, inputs))
        return Computation(
            rows=pa.concat_tables([COMPUTED.empty_table(), *(portion.rows for portion in portions)]),
            refused=pa.concat_tables([REFUSED.empty_table(), *(p.refused for p in portions if p.refused is not None)]),
            executed=sum(portion.executed for portion in portions),
            necessary=sum(portion.necessary for portion in portions),
        )

    def portions(self, derivations: Sequence[Derivation], inputs: Inputs) -> Iterator[Computation]:
        if not derivations:
            return
        evaluation = self._evaluation(derivations, inputs)
        steps = [_step(n, *pair) for n, pair in enumerate(zip(derivations, evaluation.compiled, strict=True))]
        names = sorted({*evaluation.own, *(step.name for step in steps)})

        def work(db: duckdb.DuckDBPyConnection, rows: ResourceRows, guarded: Set[int]) -> Evaluated:
            some = [evolve(step, is_guarded=step.number in guarded) for step in steps] if guarded else steps
            sql = property_sql(some, evaluation.own, rows, _computed_names(db, rows))
            changed = query_once(db, sql).cast(_COUNTED)
            return Evaluated(rows=changed, refused=_refused(changed))

        due = _due_count([step.number for step in steps if step.sql is not None], inputs)
        for evaluated in evaluation.run(self._workbench_for(evaluation), names, work):
            changed = evaluated.rows
            executed, necessary = (
                pc.sum(pc.list_flatten(changed.column(name))).as_py() or 0 for name in ("executed", "necessary")
            )
            yield Computation(
                rows=_differing(changed), executed=due + executed, necessary=necessary, refused=evaluated.refused
            )
            due = 0

    def values(self, derivations: Sequence[Derivation], inputs: Inputs) -> RuleValues:
        if not derivations:
            return RuleValues(tables=(), refused=REFUSED.empty_table())
        evaluation = self._evaluation(derivations, inputs)
        rules = [
            Rule(number=n, sql=compiled.sql, is_boolean=derivation.result is PropertyType.BOOL, fits=compiled.fits)
            for n, derivation in enumerate(derivations)
            for compiled in [self._compile(derivation)]
        ]

        def work(db: duckdb.DuckDBPyConnection, rows: ResourceRows, guarded: Set[int]) -> Evaluated:
            some = [evolve(rule, is_guarded=rule.number in guarded) for rule in rules] if guarded else rules
            values = query_once(db, rule_sql(some, evaluation.own, rows))
            return Evaluated(rows=values, refused=refused_rules(rules, values))

        evaluated = list(evaluation.run(self._workbench_for(evaluation), sorted(evaluation.own), work))
        rows = pa.concat_tables([portion.rows for portion in evaluated])
        refused = pa.concat_tables([portion.refused for portion in evaluated])
        return RuleValues(tables=tuple(rule_values(rules, rows)), refused=refused)

    def tables(self, columns: Sequence[FunctionColumn], inputs: Inputs, at_once: int) -> Iterator[pa.Table]:
        return function_tables(self._configuration, columns, inputs, self._workbench, at_once)

    def compare_results(self, derivations: Sequence[Derivation], inputs: Inputs, values: pa.Table) -> Computation:
        steps = []
        for n, derivation in enumerate(derivations):
            sql = FunctionResults.column(derivation.name)
            steps.append(PropertyStep(number=n, name=derivation.name, kind=derivation.result, sql=sql, own=frozenset()))
        with self._workbench.connection(resources=inputs.resources, results=values) as db:
            rows = ResourceRows(
                names=[step.name for step in steps],
                joins=FunctionResults([step.name for step in steps]),
                derivations=len(steps),
                is_partial=False,
            )
            try:
                changed = query_once(db, property_sql(steps, {}, rows, _computed_names(db, rows))).cast(_COUNTED)
            except FAILURES:
                refuse_damage(db, "resources", inputs.entity_type)
                raise
        necessary = pc.sum(pc.list_flatten(changed.column("necessary"))).as_py() or 0
        executed = inputs.resources.num_rows * len(steps)
        return Computation(rows=changed.select(COMPUTED.names), executed=executed, necessary=necessary)

    def _evaluation(self, derivations: Sequence[Derivation], inputs: Inputs) -> Evaluation:
        compiled = [None if _is_removed(derivation) else self._compile(derivation) for derivation in derivations]
        return Evaluation(self._configuration, derivations, compiled, inputs, at_once=self._at_once)

    def _compile(self, derivation: Derivation) -> Compiled:
        compiled = self._compiled.get(derivation)
        if compiled is None:
            compiled = self._compiled[derivation] = compile_derivation(derivation, self._configuration)
        return compiled

    def _workbench_for(self, evaluation: Evaluation) -> Workbench:
        """The workbench for the resources of an evaluation, with the functions that its expressions call."""
        workbench = self._for_few if evaluation.inputs.resources.num_rows <= _FEW else self._workbench
        self._register(workbench, [compiled for compiled in evaluation.compiled if compiled is not None])
        return workbench

    def _register(self, workbench: Workbench, compiled: Sequence[Compiled]) -> None:
        limits = workbench.limits
        new = [one.sql for one in compiled if (limits, one.sql) not in self._registered]
        if new:
            workbench.prepare(lambda connection: register_functions(connection, " ".join(new)))
            self._registered.update((limits, sql) for sql in new)

    def _type(self, entity_type: str, read: Read) -> str:
        """The SQL type of what an expression reads.

        A compiled expression reads only declared properties.
        """
        way = route(self._configuration, entity_type, read.path)
        end = self._configuration.entity_type(way.leads_to)
        declared = end.property(read.property) if end else None
        assert declared is not None
        return sql_type(declared.type, is_collection=way.is_collection)


def _is_removed(derivation: Derivation) -> bool:
    return derivation.kind is DerivationKind.PROPERTY and derivation.expression is None and derivation.binding is None


def _step(number: int, derivation: Derivation, compiled: Compiled | None) -> PropertyStep:
    own = frozenset(read.property for read in compiled.reads if not read.path) if compiled else frozenset()
    if compiled is None:
        return PropertyStep(number=number, name=derivation.name, kind=derivation.result, sql=None, own=own)
    return PropertyStep(
        number=number,
        name=derivation.name,
        kind=derivation.result,
        sql=compiled.sql,
        own=own,
        fits=compiled.fits,
        longest=LONGEST_TEXT if derivation.result in TEXTS else None,
    )


def _differing(changed: pa.Table) -> pa.Table:
    """The rows in which a value differs."""
    rows = changed.select(COMPUTED.names)
    return rows.filter(pc.not_equal(rows.column("changes"), "{}"))


def _refused(changed: pa.Table) -> pa.Table:
    """The values that are too long, and those whose expression failed."""
    tables = []
    for name in ("refused", "failed"):
        numbers = changed.column(name)
        streams = changed.column("stream").take(pc.list_parent_indices(numbers))
        table = refused_values(streams, pc.list_flatten(numbers), has_failed=name == "failed")
        tables.append(table.filter(pc.is_valid(table.column("derivation"))))
    return pa.concat_tables(tables)


def _computed_names(db: duckdb.DuckDBPyConnection, rows: ResourceRows) -> list[str]:
    """The names of all properties with a stored computed value in the table ``resources``."""
    due = "AND stream IN (SELECT stream FROM due_bits)" if rows.is_partial else ""
    names = db.execute(
        f"""SELECT DISTINCT unnest(names) FROM (
            SELECT DISTINCT json_keys(computed) AS names FROM resources WHERE computed <> '{{}}' {due})"""
    )
    return [name for (name,) in names.fetchall()]


def _due_count(derivations: Sequence[int], inputs: Inputs) -> int:
    """The number of values that are due for live resources."""
    live = inputs.resources.filter(pc.is_valid(inputs.resources.column("state")))
    if inputs.due is None:
        return int(live.num_rows) * len(derivations)
    is_live = pc.is_in(inputs.due.column("stream"), live.column("stream").combine_chunks())
    is_counted = pc.is_in(inputs.due.column("derivation"), pa.array(derivations, pa.int64()))
    count: int = pc.sum(pc.and_(is_live, is_counted)).as_py() or 0
    return count
