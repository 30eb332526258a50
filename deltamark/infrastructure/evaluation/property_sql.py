"""The SQL that computes properties: new values beside old ones, and of those that differ the change.

It is built in layers, each a query over the one before, so that every value is computed once: what is read, then
the values in the order of their dependence, then what differs, then the JSON of it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from graphlib import CycleError, TopologicalSorter

from attrs import frozen

from deltamark.domain.values import PropertyType
from deltamark.infrastructure.duckdb.column_types import sql_type
from deltamark.infrastructure.duckdb.connection import quoted
from deltamark.infrastructure.duckdb.conversions import lower_escapes
from deltamark.infrastructure.duckdb.json_values import json_of, json_paths, something
from deltamark.infrastructure.evaluation.resource_rows import COMPUTED, STATE, STREAM, ResourceRows


@frozen(kw_only=True)
class Step:
    """One property that is computed.

    :param number: its place among the derivations.
    :param sql: of its value; None where it is computed no more.
    :param own: what it reads of its own resource.
    """

    number: int
    name: str
    kind: PropertyType
    sql: str | None
    own: frozenset[str]

    @property
    def is_text(self) -> bool:
        """Whether expressions see its value as a text; a text can be made of whatever is stored."""
        return sql_type(self.kind) == "VARCHAR"

    def column(self, what: str) -> str:
        """The column of something about it."""
        return f'"{what} {self.number}"'


def computing_sql(
    steps: Sequence[Step], own: Mapping[str, PropertyType], rows: ResourceRows, kept: Sequence[str]
) -> str:
    """The rows where a property gets another value: ``stream``, ``computed``, ``changes``; ``executed``, a
    true for each value that was computed though it was not due, and ``necessary``, one for each that differs.

    :param own: the properties of the resource itself that expressions read, with their types.
    :param kept: the names in the objects of computed values that the resources have.
    """
    sql = rows.sql("resources.state IS NOT NULL")
    read_inline = {step.name for step in steps if any(step.name in other.own for other in steps)}
    sql = _layer(sql, _known(steps, own, rows, read_inline))
    for level in _levels(steps):
        sql = _computed(sql, level, steps, rows, read_inline)
    sql = _layer(sql, [f"{_differs(step)} AS {step.column('differs')}" for step in steps])
    return _changes(sql, steps, rows, kept)


def _layer(sql: str, columns: Sequence[str]) -> str:
    return f"SELECT *, {', '.join(columns)} FROM ({sql})" if columns else sql


def _known(
    steps: Sequence[Step], own: Mapping[str, PropertyType], rows: ResourceRows, read_inline: set[str]
) -> list[str]:
    """What is known before anything is computed: properties that are only read, and the old values."""
    computed = {step.name for step in steps}
    columns = [f"{rows.value(name, kind)} AS {quoted(name)}" for name, kind in own.items() if name not in computed]
    for step in steps:
        old = rows.computed(step.name, step.kind)
        columns.append(f"{old} AS {step.column('old')}")
        if not step.is_text:
            columns.append(f"{rows.is_computed(step.name)} AS {step.column('had')}")
        if step.name in read_inline:
            columns.append(f"{rows.stated(step.name, step.kind)} AS {step.column('stated')}")
    return columns


def _levels(steps: Sequence[Step]) -> Iterator[list[Step]]:
    """The steps, each in a level after those that it reads of its own resource; in a level, in the given order."""
    by_name = {step.name: step for step in steps}
    sorter = TopologicalSorter({step.name: step.own & by_name.keys() for step in steps})
    try:
        sorter.prepare()
    except CycleError as error:
        names = ", ".join(sorted(set(error.args[1])))
        raise RuntimeError(f"computed properties read each other in a cycle: {names}") from None
    while sorter.is_active():
        ready = set(sorter.get_ready())
        yield [step for step in steps if step.name in ready]
        sorter.done(*ready)


def _computed(sql: str, level: Sequence[Step], steps: Sequence[Step], rows: ResourceRows, read_inline: set[str]) -> str:
    """The layers of one level: whether each value is computed, the value, and what others see of it."""
    sql = _layer(sql, [f"{_runs(step, steps, rows)} AS {step.column('runs')}" for step in level])
    sql = _layer(
        sql,
        [
            f"CASE WHEN {step.column('runs')} THEN {_given(step)} ELSE {step.column('old')} END AS {step.column('new')}"
            for step in level
        ],
    )
    seen = []
    for step in level:
        if step.name in read_inline:
            new, old = (f"coalesce({step.column(age)}, {step.column('stated')})" for age in ("new", "old"))
            seen.append(f"{new} AS {quoted(step.name)}")
            seen.append(f"{new} IS DISTINCT FROM {old} AS {step.column('changed')}")
    return _layer(sql, seen)


def _given(step: Step) -> str:
    return f"NULL::{sql_type(step.kind)}" if step.sql is None else something(step.sql, step.kind)


def _runs(step: Step, steps: Sequence[Step], rows: ResourceRows) -> str:
    """Whether a value is computed: it is due, or something that it reads of its own resource came out differently."""
    if step.sql is None:
        return f"({rows.is_due(step.number)} AND {_was_stored(step)})"
    if not rows.is_partial:
        return "TRUE"
    causes = [other.column("changed") for other in steps if other.name in step.own]
    return f"({' OR '.join([rows.is_due(step.number), *causes])})"


def _was_stored(step: Step) -> str:
    return f"{step.column('old')} IS NOT NULL" if step.is_text else step.column("had")


def _differs(step: Step) -> str:
    """A stored value of another type than declared is none to expressions, but it is there and must go."""
    old, new = step.column("old"), step.column("new")
    differs = f"{new} IS DISTINCT FROM {old}"
    if not step.is_text:
        differs = f"({differs} OR ({_was_stored(step)} AND {old} IS NULL))"
    return f"({step.column('runs')} AND {differs})"


def _changes(sql: str, steps: Sequence[Step], rows: ResourceRows, kept: Sequence[str]) -> str:
    """Of the rows where something differs, the JSON of that, and of all computed values after it."""
    by_name = {step.name: step for step in steps}
    names = sorted({*by_name, *kept})
    stored = {name: f'"the stored"[{place}]::VARCHAR' for place, name in enumerate(names, 1)}
    stated = {name: f'"the stated"[{place}]::VARCHAR' for place, name in enumerate(names, 1)}
    extra = [f"{step.column('runs')} AND NOT {_is_counted(step, rows)}" for step in steps if _may_be_extra(step, steps)]
    differ = ", ".join(step.column("differs") for step in steps)
    new = ", ".join(step.column("new") for step in steps)
    sql = f"""SELECT {STREAM}, {differ}, {new}, CAST([{", ".join(extra)}] AS BOOLEAN[]) AS "the extra",
        json_extract({COMPUTED}, {json_paths(names)}) AS "the stored",
        json_extract({STATE}, {json_paths(names)}) AS "the stated"
        FROM ({sql}) WHERE {differ.replace(", ", " OR ")}"""
    after = {name: step.column("after") for name, step in by_name.items()}
    values = ", ".join(
        f"CASE WHEN {step.column('differs')} THEN {json_of(step.column('new'), step.kind)} "
        f"ELSE {stored[step.name]} END AS {after[step.name]}"
        for step in steps
    )
    sql = f'SELECT {STREAM}, {differ}, "the extra", "the stored", "the stated", {values} FROM ({sql})'
    members = [f"'\"{name}\":' || {after.get(name, stored[name])}" for name in names]
    changed = [
        f"CASE WHEN {by_name[name].column('differs')} THEN concat('\"{name}\":[', "
        f"coalesce({stored[name]}, {stated[name]}, 'null'), ',', coalesce({after[name]}, 'null'), ']') END"
        for name in sorted(by_name)
    ]
    objects = f"""SELECT {STREAM} AS stream, {_object(members)} AS computed, {_object(changed)} AS changes,
        "the extra" AS executed, [{differ}] AS necessary FROM ({sql})"""
    return f"""SELECT stream, {lower_escapes("computed")} AS computed, {lower_escapes("changes")} AS changes,
        executed, necessary FROM ({objects})"""


def _may_be_extra(step: Step, steps: Sequence[Step]) -> bool:
    """Whether a value may be computed that is not among those that are due, which are counted elsewhere."""
    return step.sql is None or any(other.name in step.own for other in steps)


def _is_counted(step: Step, rows: ResourceRows) -> str:
    return f"({rows.is_due(step.number)})" if step.sql is not None else "FALSE"


def _object(members: Sequence[str]) -> str:
    return f"'{{' || concat_ws(',', {', '.join(members)}) || '}}'"
