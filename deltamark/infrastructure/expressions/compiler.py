"""Compiles the expressions of the configuration language to SQL for DuckDB.

A binding, a binding with predefined functions, `SQL:x: …` or `Literal:…` becomes one scalar SQL expression over the
columns that it reads.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

from attrs import frozen

from deltamark.domain.configuration.configuration import Configuration
from deltamark.domain.derivation.dependency_paths import ExpressionRefused, Read
from deltamark.domain.derivation.derivations import Derivation
from deltamark.domain.suggestions import hint
from deltamark.domain.values import PropertyType, shown
from deltamark.infrastructure.expressions.name_resolution import ExpressionNames, resolve_binding
from deltamark.infrastructure.expressions.parser import LONGEST, is_sql, parse_sql
from deltamark.infrastructure.expressions.predefined_functions import FUNCTIONS, MOST_PARAMETERS, apply_function
from deltamark.infrastructure.expressions.result_conversion import convert, convert_literal
from deltamark.infrastructure.expressions.sql_value import LONGEST_SQL
from deltamark.infrastructure.expressions.translator import Translation
from deltamark.infrastructure.expressions.udfs import register_functions

MOST_PIPED = 16

__all__ = ["Compiled", "compile_derivation", "register_functions"]


@frozen
class Compiled:
    """An expression as SQL.

    :param sql: a scalar DuckDB expression of the type `sql_type(derivation.result)`. It reads columns that are called
        `quoted(str(read))` and have the `sql_type` of the property, as a list if the path leads over a collection. It
        may call functions that `register_functions` registers.
    :param reads: what it reads, sorted.
    """

    sql: str
    reads: tuple[Read, ...]


def compile_derivation(derivation: Derivation, configuration: Configuration) -> Compiled:
    """Checks and compiles the expression of a derivation.

    The same expression over the same configuration gives the same SQL.

    :raises ExpressionRefused: if it does not parse, contains what is not allowed, or names what does not exist.
    """
    if len(derivation.expression or "") > LONGEST:
        raise ExpressionRefused(f"is longer than {LONGEST} characters")
    # In a thread, so that the allowed nesting of an expression does not depend on the stack of the caller.
    with ThreadPoolExecutor(max_workers=1) as own_stack:
        return own_stack.submit(_compile, derivation, configuration).result()


def _compile(derivation: Derivation, configuration: Configuration) -> Compiled:
    expression = (derivation.expression or "").strip()
    names = ExpressionNames(configuration, derivation.entity_type)
    if re.match("c#:", expression, re.IGNORECASE):
        raise ExpressionRefused(
            "is C#, which is not evaluated; write it as SQL over the properties, such as SQL:person: lower(person.Mail)"
        )
    if "\0" in expression:
        raise ExpressionRefused("contains the character NUL, which no text may contain")
    if expression.startswith("Literal:"):
        sql = convert_literal((derivation.expression or "").lstrip().removeprefix("Literal:"), derivation.result)
    elif is_sql(expression):
        sql = _from_sql(expression, names, derivation.result)
    else:
        sql = _from_pipe(expression, names, derivation)
    if len(sql) > LONGEST_SQL:
        raise ExpressionRefused("does too much at once; split it into several computed properties")
    return Compiled(sql, tuple(sorted(names.reads)))


def _from_sql(expression: str, names: ExpressionNames, result: PropertyType) -> str:
    parsed = parse_sql(expression)
    try:
        return convert(Translation(names, parsed.variable).of(parsed.tree), result)
    except RecursionError as e:
        raise ExpressionRefused("nests too deep") from e


def _from_pipe(expression: str, names: ExpressionNames, derivation: Derivation) -> str:
    calls = list(pipe_calls(expression))
    value = resolve_binding(names, derivation.binding)
    if value.is_list:
        (read,) = names.reads
        raise ExpressionRefused(
            f"is bound to {shown(str(read))}, which leads to several values; write in SQL what to make of "
            f"them, such as SQL:x: array_to_string(x.{read}, ', ')"
        )
    for name, parameters in calls:
        value = apply_function(name, value, parameters)
    return convert(value, derivation.result)


def pipe_calls(expression: str) -> Iterator[tuple[str, list[str]]]:
    """The functions of a pipe with their parameters, in order.

    Bars separate both. The name of a function always starts a new call, with its first parameter after a colon.
    Anything else is a parameter of the function before it, as long as that takes more.

    :raises ExpressionRefused: if a part is neither.
    """
    parts = expression.split("|") if expression else []
    if len(parts) > 4 * MOST_PIPED:
        raise ExpressionRefused(f"pipes more than {MOST_PIPED} functions")
    name, parameters, count = "", list[str](), 0
    for part in parts:
        start, colon, rest = part.partition(":")
        if start.strip() in FUNCTIONS:
            if name:
                yield name, parameters
            name, parameters, count = start.strip(), [rest] if colon else [], count + 1
        elif name and len(parameters) < _most_parameters(name):
            parameters.append(part)
        else:
            known = [*FUNCTIONS, "SQL:x: …", "Literal:…"]
            raise ExpressionRefused(f"uses {shown(start.strip())}, which is no function{hint(start.strip(), known)}")
        if count > MOST_PIPED:
            raise ExpressionRefused(f"pipes more than {MOST_PIPED} functions")
    if name:
        yield name, parameters


def _most_parameters(name: str) -> int:
    return MOST_PARAMETERS.get(name, len(FUNCTIONS[name].parameters))
