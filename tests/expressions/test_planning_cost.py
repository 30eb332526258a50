"""Planning an expression costs in proportion to its size, whatever its functions: no longest one takes hours."""

from __future__ import annotations

from itertools import pairwise
from time import process_time

import pytest

from deltamark.domain.derivation.dependency_paths import ExpressionRefused
from deltamark.infrastructure.duckdb.connection import locked_down
from deltamark.infrastructure.evaluation.evaluator import DuckEvaluator
from deltamark.infrastructure.expressions.predefined_functions import FUNCTIONS
from tests.expressions.language import COMPANY, derivation

MOST_TIMES = 6
"""The bound for twice as many functions: twice the work, and what a busy machine adds.

If each function doubled the work of its argument, it would be 32 or 256 times."""

PIPED = {name: f"{name}:{function.example}" if function.parameters else name for name, function in FUNCTIONS.items()}
NESTED = {
    "split_part": "split_part({}, ',', 1)",
    "split_part, by its separator": "split_part(p.Mail, {}, 1)",
    "split_part, by its number": "split_part(p.Name, ',', length({}))",
    "nullif": "nullif({}, 'a')",
    "nullif, with its second": "nullif(p.Mail, {})",
    "array_to_string": "array_to_string(case when {} = 'a' then p.Reports.Name else p.Reports.Mail end, ',')",
    "array_to_string of dates": "array_to_string(case when {} = 'a' then p.Reports.Born end, ',')",
    "strftime": "strftime(cast({} as timestamp), '%Y')",
    "cast": "cast(cast({} as timestamp) as text)",
    "cast of a number": "cast(cast({} as double) as text)",
    "coalesce": "coalesce({}, p.Mail)",
    "case": "case when {} = 'a' then p.Mail else 'b' end",
    "left": "left({}, 3)",
    "regexp_replace": "regexp_replace({}, 'a', '')",
}


def planning_s(expression: str) -> float:
    """The CPU time of planning, or of refusing; the shortest of two."""
    times = []
    for _ in range(2):
        evaluator = DuckEvaluator(COMPANY)
        began = process_time()
        try:
            assert evaluator.faults([derivation(expression, "Name")]) == ()
        except ExpressionRefused as e:  # piped so often, it may make texts that are too long
            if "may make a text" not in str(e):
                raise
        times.append(process_time() - began)
    return max(min(times), 0.005)


def nested(template: str, times: int) -> str:
    inner = "p.Name"
    for _ in range(times):
        inner = template.format(inner)
    return f"SQL:p: {inner}"


@pytest.mark.parametrize("template", NESTED.values(), ids=NESTED.keys())
def test_an_sql_function_in_itself_costs_in_proportion(template: str) -> None:
    assert planning_s(nested(template, 10)) < MOST_TIMES * planning_s(nested(template, 5))


@pytest.mark.many
@pytest.mark.parametrize("pair", [(name, name) for name in PIPED] + list(pairwise(PIPED)), ids="|".join)
def test_the_longest_pipe_costs_in_proportion(pair: tuple[str, str]) -> None:
    _check_pair(*pair)


@pytest.mark.slow  # one in seven pairs of functions
@pytest.mark.parametrize("first", PIPED)
def test_longest_pipes_of_two_functions_cost_in_proportion(first: str) -> None:
    names = list(PIPED)
    for second in names[names.index(first) % 7 :: 7]:
        _check_pair(first, second)


def _check_pair(first: str, second: str) -> None:
    """Pipes two functions in turn, 16 in all. Where one of them takes dates, the other must make some."""
    both = PIPED[first], PIPED[second]
    if first == second and "Date" in first and first.startswith("Parse"):
        return  # a date is not parsed again
    if first != second and all(name.startswith("Parse") for name in (first, second)):
        return
    assert planning_s("|".join(both * 8)) < MOST_TIMES * planning_s("|".join(both * 4)), (first, second)


def test_control_a_macro_in_itself_doubles_the_work() -> None:
    def seconds(times: int) -> float:
        sql = "name"
        for _ in range(times):
            sql = f"nullif({sql}, 'a')"
        with locked_down() as db:
            began = process_time()
            db.execute(f"EXPLAIN SELECT {sql} FROM (SELECT 'a' AS name)")
            return process_time() - began

    assert seconds(10) > MOST_TIMES * seconds(5)
