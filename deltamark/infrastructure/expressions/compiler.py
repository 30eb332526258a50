"""Compiles the expressions of the configuration language to SQL for DuckDB.

A binding, a binding with predefined functions, `SQL:x: …` or `Literal:…` becomes one scalar SQL expression over the
columns that it reads.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor

from attrs import Factory, field, frozen

from deltamark.domain.configuration.configuration import Configuration
from deltamark.domain.derivation.dependency_paths import ExpressionRefused, Read, SeveralProblems, refusal
from deltamark.domain.derivation.derivations import Derivation
from deltamark.domain.suggestions import hint
from deltamark.domain.values import PropertyType, shown
from deltamark.infrastructure.expressions.name_resolution import ExpressionNames, resolve_binding
from deltamark.infrastructure.expressions.parser import LONGEST, is_sql, parse_sql
from deltamark.infrastructure.expressions.predefined_functions import FUNCTIONS, MOST_PARAMETERS, apply_function
from deltamark.infrastructure.expressions.result_conversion import convert, convert_literal
from deltamark.infrastructure.expressions.sql_value import (
    LONGEST_SQL,
    Growth,
    Shape,
    Typed,
    count_column,
    size_column,
    watched_peak,
)
from deltamark.infrastructure.expressions.translator import Part, Translation
from deltamark.infrastructure.expressions.udfs import register_functions

MOST_PIPED = 16

__all__ = ["Compiled", "compile_derivation", "register_functions"]


LONGEST_WORKING = 16 << 20
"""Bytes of the longest text that may be made on the way to a value."""


@frozen
class Compiled:
    """An expression as SQL.

    :param sql: a scalar DuckDB expression of the type `sql_type(derivation.result)`. It reads columns that are called
        `quoted(str(read))` and have the `sql_type` of the property, as a list if the path leads over a collection; and
        `count_column(str(read))` for the number of elements of a list. It may call functions that `register_functions`
        registers.
    :param reads: what it reads, sorted.
    :param lists: the lists among them of which it reads elements, not only their number.
    :param lengths: what it reads -> SQL for its length in bytes, for texts and lists.
    :param peak: a bound of the longest text that it makes, also on the way to its result.
    """

    sql: str
    reads: tuple[Read, ...]
    lists: frozenset[Read] = field(default=Factory(lambda self: frozenset(self.reads), takes_self=True))
    lengths: Mapping[Read, str] = field(factory=dict, eq=False)
    peak: Growth = Growth()
    parts: tuple[Part, ...] = field(factory=tuple, eq=False, repr=False)
    """The parts of its SQL, for its judgement."""

    @property
    def texts(self) -> int:
        """An estimate of the texts of its longest length that exist at one time while it is computed."""
        return 1 + self.sql.count("(")

    @property
    def fits(self) -> str | None:
        """SQL for whether no text on the way is longer than `LONGEST_WORKING`; None if that is always so."""
        is_plain = self.peak.times <= 1 and not any("size" in length for length in self.lengths.values())
        if not self.lengths or is_plain:
            return None
        total = " + ".join(f"coalesce({length}, 0)" for _, length in sorted(self.lengths.items()))
        return f"(({total}) * {self.peak.times} + {self.peak.characters} <= {LONGEST_WORKING})"


def compile_derivation(derivation: Derivation, configuration: Configuration) -> Compiled:
    """Checks and compiles the expression of a derivation.

    The same expression over the same configuration gives the same SQL.

    :raises ExpressionRefused: if it does not parse, contains what is not allowed, or names what does not exist. It has
        the parts that are allowed.
    """
    if len(derivation.expression or "") > LONGEST:
        raise ExpressionRefused(f"is longer than {LONGEST} characters")
    # In a thread, so that the allowed nesting of an expression does not depend on the stack of the caller.
    with ThreadPoolExecutor(max_workers=1) as own_stack:
        return own_stack.submit(_compile, derivation, configuration).result()


def _compile(derivation: Derivation, configuration: Configuration) -> Compiled:
    expression = (derivation.expression or "").strip()
    names = ExpressionNames(configuration, derivation.entity_type)
    parts: tuple[Part, ...] = ()
    if re.match("c#:", expression, re.IGNORECASE):
        raise ExpressionRefused(
            "is C#, which is not evaluated; write it as SQL over the properties, such as SQL:person: lower(person.Mail)"
        )
    if "\0" in expression:
        raise ExpressionRefused("contains the character NUL, which no text may contain")
    with watched_peak() as peak:
        if expression.startswith("Literal:"):
            sql = convert_literal((derivation.expression or "").lstrip().removeprefix("Literal:"), derivation.result)
        elif is_sql(expression):
            sql, parts = _from_sql(expression, names, derivation.result)
        else:
            sql = _from_pipe(expression, names, derivation)
    if len(sql) > LONGEST_SQL:
        raise ExpressionRefused("does too much at once; split it into several computed properties")
    used = {read: value for read, value in names.reads.items() if value.sql in sql}
    return Compiled(
        sql=sql,
        reads=tuple(sorted(names.reads)),
        lists=frozenset(read for read, value in used.items() if value.is_list),
        lengths={read: length for read, value in used.items() if (length := _length(read, value)) is not None},
        peak=peak.growth,
        parts=parts,
    )


def _length(read: Read, value: Typed) -> str | None:
    """The length of what an expression reads, as `Growth` counts it; None for single values that are no texts."""
    if value.shape is not Shape.TEXT:
        return count_column(str(read)) if value.is_list else None
    return size_column(str(read)) if value.is_list else f"strlen({value.sql})"


class PartlyRefused(SeveralProblems):
    """An expression of which some parts are refused.

    :param parts: those that are not, the largest of them.
    :param reads: what they read.
    """

    def __init__(self, problems: Iterable[ExpressionRefused], parts: tuple[Part, ...], reads: tuple[Read, ...]) -> None:
        super().__init__(problems)
        self.parts = parts
        self.reads = reads


def _from_sql(expression: str, names: ExpressionNames, result: PropertyType) -> tuple[str, tuple[Part, ...]]:
    parsed = parse_sql(expression)
    translation = Translation(names, parsed.variable)
    problems, sql = translation.problems, ""
    try:
        sql = convert(translation.of(parsed.tree), result)
    except RecursionError as e:
        raise ExpressionRefused("nests too deep") from e
    except ExpressionRefused as problem:
        problems.append(problem)
    if problems:
        raise PartlyRefused(problems, translation.parts, tuple(names.reads))
    return sql, translation.parts


def _from_pipe(expression: str, names: ExpressionNames, derivation: Derivation) -> str:
    calls, problems = pipe_calls(expression)
    value: Typed | None = None
    try:
        value = resolve_binding(names, derivation.binding)
    except ExpressionRefused as problem:
        problems.append(problem)
    if value is not None and value.is_list:
        (read,) = names.reads
        problems.append(
            ExpressionRefused(
                f"is bound to {shown(str(read))}, which leads to several values; write in SQL what to make of "
                f"them, such as SQL:x: array_to_string(x.{read}, ', ')"
            )
        )
        value = None
    result = value or Typed("NULL", Shape.NOTHING)
    for name, parameters in calls:
        try:
            result = apply_function(name, result, parameters)
        except ExpressionRefused as problem:
            problems.append(problem)
            result = Typed("NULL", FUNCTIONS[name].gives)
    sql = ""
    try:
        sql = convert(result, derivation.result)
    except ExpressionRefused as problem:
        problems.append(problem)
    refused = refusal(problems)
    if refused is not None:
        raise refused
    return sql


def pipe_calls(expression: str) -> tuple[list[tuple[str, list[str]]], list[ExpressionRefused]]:
    """The functions of a pipe with their parameters, in order, and what is wrong with its other parts.

    Bars separate both. The name of a function always starts a new call, with its first parameter after a colon.
    Anything else is a parameter of the function before it, as long as that takes more.

    :raises ExpressionRefused: if there are too many.
    """
    parts = expression.split("|") if expression else []
    if len(parts) > 4 * MOST_PIPED:
        raise ExpressionRefused(f"pipes more than {MOST_PIPED} functions")
    calls: list[tuple[str, list[str]]] = []
    problems: list[ExpressionRefused] = []
    known = [*FUNCTIONS, "SQL:x: …", "Literal:…"]
    is_unknown_with_parameters = False
    for part in parts:
        start, colon, rest = part.partition(":")
        name = start.strip()
        if name in FUNCTIONS:
            calls.append((name, [rest] if colon else []))
            is_unknown_with_parameters = False
        elif is_unknown_with_parameters and not colon:
            continue  # perhaps a parameter of what is no function
        elif not problems and calls and len(calls[-1][1]) < _most_parameters(calls[-1][0]):
            calls[-1][1].append(part)
        else:
            problems.append(ExpressionRefused(f"uses {shown(name)}, which is no function{hint(name, known)}"))
            is_unknown_with_parameters = bool(colon)
    if len(calls) > MOST_PIPED:
        raise ExpressionRefused(f"pipes more than {MOST_PIPED} functions")
    return calls, problems


def _most_parameters(name: str) -> int:
    return MOST_PARAMETERS.get(name, len(FUNCTIONS[name].parameters))
