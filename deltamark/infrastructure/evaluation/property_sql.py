"""The SQL that computes properties, and the changes of those whose value differs.

It is built in layers, each a query over the one before, so that every value is computed once: first what is read, then
the values in the order of their dependencies, then what differs, then the JSON of the differences.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from graphlib import CycleError, TopologicalSorter

from attrs import frozen

from deltamark.domain.values import DATES, PropertyType
from deltamark.infrastructure.duckdb.connection import quoted
from deltamark.infrastructure.duckdb.conversions import lower_escapes
from deltamark.infrastructure.duckdb.dates import canonical_instant
from deltamark.infrastructure.duckdb.json_values import json_of, json_paths, null_if_empty, sql_type, typed
from deltamark.infrastructure.evaluation.resource_rows import COMPUTED, STATE, STREAM, ResourceRows

_STORED_TYPES = '"the stored types"'
_TEXT = "('VARCHAR')"
_JSON_TYPES = {"BIGINT": "('UBIGINT', 'BIGINT')", "DOUBLE": "('DOUBLE')", "BOOLEAN": "('BOOLEAN')"}
"""The types of JSON, in the words of DuckDB, in which values of an SQL type are stored; all others are texts."""


@frozen(kw_only=True)
class PropertyStep:
    """The computation of one property.

    :param number: the index of its derivation.
    :param sql: of its value; None if it is no longer computed.
    :param own: the properties of its own resource that it reads.
    :param fits: SQL for whether it may be computed; None if it always may. See `Compiled.fits`.
    :param longest: the most bytes of a text; None if any text is stored.
    :param is_guarded: whether a failure of its expression gives no value, instead of an error. It takes longer.
    """

    number: int
    name: str
    kind: PropertyType
    sql: str | None
    own: frozenset[str]
    fits: str | None = None
    longest: int | None = None
    is_guarded: bool = False

    @property
    def may_be_refused(self) -> bool:
        """Whether its value may be none because it is too long, or because its expression fails."""
        return self.fits is not None or self.longest is not None or self.is_guarded

    @property
    def made(self) -> str:
        """What its expression gave, before it is refused."""
        return self.column("made") + (".value" if self.is_guarded else "")

    @property
    def is_text(self) -> bool:
        """Whether its value is a text in expressions.

        Every stored value can be read as a text.
        """
        return sql_type(self.kind) == "VARCHAR"

    def column(self, role: str) -> str:
        """The column of its ``old`` or ``new`` value, or of another fact about it."""
        return f'"{role} {self.number}"'


def property_sql(
    steps: Sequence[PropertyStep], own: Mapping[str, PropertyType], rows: ResourceRows, kept: Sequence[str]
) -> str:
    """The query for the rows in which a property gets another value.

    Its columns are ``stream``, ``computed``, ``changes``; ``executed``, a list with a true for each value that was
    computed although it was not due; ``necessary``, a list with a true for each value that differs; ``refused``,
    the numbers of the values that are too long; and ``failed``, those of the guarded ones whose expression failed. A
    row in which a value is refused or failed is there even if no value differs.

    :param own: the properties of the resource itself that expressions read, with their types.
    :param kept: the names of all stored computed values of the resources.
    """
    sql = rows.sql("resources.state IS NOT NULL")
    read_inline = {step.name for step in steps if any(step.name in other.own for other in steps)}
    sql = _layer(sql, _input_columns(steps, own, rows, read_inline))
    for level in _levels(steps):
        sql = _computed_level(sql, level, steps, rows, read_inline)
    sql = _layer(sql, [f"{_differs(step, n)} AS {step.column('differs')}" for n, step in enumerate(steps, 1)])
    return _changes(sql, steps, rows, kept)


def _layer(sql: str, columns: Sequence[str]) -> str:
    return f"SELECT *, {', '.join(columns)} FROM ({sql})" if columns else sql


def _input_columns(
    steps: Sequence[PropertyStep], own: Mapping[str, PropertyType], rows: ResourceRows, read_inline: set[str]
) -> list[str]:
    """The columns before anything is computed: properties that are only read, and old values."""
    computed = {step.name for step in steps}
    columns = [f"{rows.value(name, kind)} AS {quoted(name)}" for name, kind in own.items() if name not in computed]
    names = [step.name for step in steps]
    columns.append(f"json_type({COMPUTED}, {json_paths(names)}) AS {_STORED_TYPES}")
    for step in steps:
        old = rows.computed(step.name, PropertyType.STRING if step.is_text else step.kind)
        columns.append(f"{old} AS {step.column('old')}")
        if not step.is_text:
            columns.append(f"{rows.is_computed(step.name)} AS {step.column('had')}")
        if step.kind in DATES:
            columns.append(f"{rows.computed(step.name, PropertyType.STRING)} AS {step.column('written')}")
        if step.name in read_inline:
            columns.append(f"{rows.stated(step.name, step.kind)} AS {step.column('stated')}")
    return columns


def _levels(steps: Sequence[PropertyStep]) -> Iterator[list[PropertyStep]]:
    """The steps, each in a level after those that it reads of its own resource.

    Within a level they keep the given order.
    """
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


def _computed_level(
    sql: str, level: Sequence[PropertyStep], steps: Sequence[PropertyStep], rows: ResourceRows, read_inline: set[str]
) -> str:
    """The layers of one level.

    Whether each value is computed, the value, and the columns that later steps read.
    """
    sql = _layer(sql, [f"{_runs(step, steps, rows)} AS {step.column('runs')}" for step in level])
    refusable = [step for step in level if step.may_be_refused]
    sql = _layer(sql, [f"{step.fits} AS {step.column('fits')}" for step in refusable if step.fits is not None])
    sql = _layer(sql, [f"{_making(step)} AS {step.column('made')}" for step in refusable])
    sql = _layer(sql, [f"{_new(step)} AS {step.column('new')}" for step in level])
    sql = _layer(
        sql, [f"({step.column('runs')} AND NOT {_is_short(step)}) AS {step.column('refused')}" for step in refusable]
    )
    sql = _layer(
        sql, [f"({step.column('made')} IS NULL) AS {step.column('failed')}" for step in refusable if step.is_guarded]
    )
    read_columns = []
    for step in level:
        if step.name in read_inline:
            new, old = (f"coalesce({step.column(age)}, {step.column('stated')})" for age in ("new", "old"))
            read = typed(new, step.kind) if step.kind is PropertyType.DECIMAL else new  # the old one may be any text
            read_columns.append(f"{read} AS {quoted(step.name)}")
            read_columns.append(f"{new} IS DISTINCT FROM {old} AS {step.column('changed')}")
    return _layer(sql, read_columns)


def _making(step: PropertyStep) -> str:
    """The value where it is computed; of a guarded step a structure with the value, null where the expression fails."""
    is_made = step.column("runs") + (f" AND {step.column('fits')}" if step.fits is not None else "")
    sql = f"CASE WHEN {is_made} THEN {_value(step)} END"
    return f"TRY({{'value': {sql}}})" if step.is_guarded else sql


def _is_short(step: PropertyStep) -> str:
    """Whether a value that was due is not too long."""
    fits = step.column("fits") if step.fits is not None else "TRUE"
    return f"({fits} AND coalesce(strlen({step.made}), 0) <= {step.longest})" if step.longest else f"({fits})"


def _new(step: PropertyStep) -> str:
    if not step.may_be_refused:
        return f"CASE WHEN {step.column('runs')} THEN {_value(step)} ELSE {step.column('old')} END"
    made = step.made
    new = f"CASE WHEN strlen({made}) <= {step.longest} THEN {made} END" if step.longest else made
    return f"CASE WHEN {step.column('runs')} THEN {new} ELSE {step.column('old')} END"


def _value(step: PropertyStep) -> str:
    return f"NULL::{sql_type(step.kind)}" if step.sql is None else null_if_empty(step.sql, step.kind)


def _runs(step: PropertyStep, steps: Sequence[PropertyStep], rows: ResourceRows) -> str:
    """Whether a value is computed.

    It is computed if it is due, or if a property of its own resource that it reads has changed.
    """
    if step.sql is None:
        return f"({rows.is_due(step.number)} AND {_was_stored(step)})"
    if not rows.is_partial:
        return "TRUE"
    causes = [other.column("changed") for other in steps if other.name in step.own]
    return f"({' OR '.join([rows.is_due(step.number), *causes])})"


def _was_stored(step: PropertyStep) -> str:
    return f"{step.column('old')} IS NOT NULL" if step.is_text else step.column("had")


def _differs(step: PropertyStep, place: int) -> str:
    """Whether the stored value is not what a computation of today stores: another value, or one of another type.

    The property may have been of another type when the value was stored.
    """
    old, new = step.column("old"), step.column("new")
    differs = [f"{new} IS DISTINCT FROM {old}"]
    stored_type = f"{_STORED_TYPES}[{place}]"
    differs.append(f"({_was_stored(step)} AND {stored_type} NOT IN {_JSON_TYPES.get(sql_type(step.kind), _TEXT)})")
    if step.kind in DATES:
        canonical = f"CAST({old} AS VARCHAR)" if step.kind is PropertyType.DATE else canonical_instant(old)
        differs.append(f"({step.column('had')} AND {canonical} <> {step.column('written')})")
    return f"({step.column('runs')} AND ({' OR '.join(differs)}))"


def _changes(sql: str, steps: Sequence[PropertyStep], rows: ResourceRows, kept: Sequence[str]) -> str:
    """The rows in which a value differs.

    They have the JSON of the changes and of all computed values after them.
    """
    by_name = {step.name: step for step in steps}
    names = sorted({*by_name, *kept})
    stored = {name: f'"the stored"[{place}]::VARCHAR' for place, name in enumerate(names, 1)}
    stated = {name: f'"the stated"[{place}]::VARCHAR' for place, name in enumerate(names, 1)}
    extra = [f"{step.column('runs')} AND NOT {_is_counted(step, rows)}" for step in steps if _may_be_extra(step, steps)]
    differ = ", ".join(step.column("differs") for step in steps)
    new = ", ".join(step.column("new") for step in steps)
    refused = [step for step in steps if step.may_be_refused]
    failed = [step for step in steps if step.is_guarded]
    is_chosen = " OR ".join(
        step.column(role)
        for role, some in (("differs", steps), ("refused", refused), ("failed", failed))
        for step in some
    )
    sql = f"""SELECT {STREAM}, {differ}, {new}, CAST([{", ".join(extra)}] AS BOOLEAN[]) AS "the extra",
        {_numbers(refused, "refused")} AS "the refused", {_numbers(failed, "failed")} AS "the failed",
        json_extract({COMPUTED}, {json_paths(names)}) AS "the stored",
        json_extract({STATE}, {json_paths(names)}) AS "the stated"
        FROM ({sql}) WHERE {is_chosen}"""
    after = {name: step.column("after") for name, step in by_name.items()}
    values = ", ".join(
        f"CASE WHEN {step.column('differs')} THEN {json_of(step.column('new'), step.kind)} "
        f"ELSE {stored[step.name]} END AS {after[step.name]}"
        for step in steps
    )
    sql = f"""SELECT {STREAM}, {differ}, "the extra", "the refused", "the failed", "the stored", "the stated",
        {values} FROM ({sql})"""
    members = [f"'\"{name}\":' || {after.get(name, stored[name])}" for name in names]
    changed = [
        f"CASE WHEN {by_name[name].column('differs')} THEN concat('\"{name}\":[', "
        f"coalesce({stored[name]}, {stated[name]}, 'null'), ',', coalesce({after[name]}, 'null'), ']') END"
        for name in sorted(by_name)
    ]
    objects = f"""SELECT {STREAM} AS stream, {_object(members)} AS computed, {_object(changed)} AS changes,
        "the extra" AS executed, [{differ}] AS necessary, "the refused" AS refused, "the failed" AS failed
        FROM ({sql})"""
    return f"""SELECT stream, {lower_escapes("computed")} AS computed, {lower_escapes("changes")} AS changes,
        executed, necessary, refused, failed FROM ({objects})"""


def _numbers(steps: Sequence[PropertyStep], role: str) -> str:
    """A list of the numbers of the steps of which a fact is true, and null for each other step."""
    numbers = ", ".join(f"CASE WHEN {step.column(role)} THEN {step.number} END" for step in steps)
    return f"CAST([{numbers}] AS BIGINT[])"


def _may_be_extra(step: PropertyStep, steps: Sequence[PropertyStep]) -> bool:
    """Whether a value may be computed without being due.

    Values that are due are counted elsewhere.
    """
    return step.sql is None or any(other.name in step.own for other in steps)


def _is_counted(step: PropertyStep, rows: ResourceRows) -> str:
    return f"({rows.is_due(step.number)})" if step.sql is not None else "FALSE"


def _object(members: Sequence[str]) -> str:
    return f"'{{' || concat_ws(',', {', '.join(members)}) || '}}'"
