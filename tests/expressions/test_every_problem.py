"""Everything that is wrong in an expression is told at once, and nothing that follows from it."""

from __future__ import annotations

import pytest

from deltamark.config.check import judged_configuration
from deltamark.domain.configuration.configuration import Configuration
from deltamark.domain.configuration.entity_model import EntityType, Property
from deltamark.domain.configuration.rules import EntityPropertyExpression
from deltamark.domain.values import PropertyType
from deltamark.infrastructure.evaluation.evaluator import DuckEvaluator

KINDS = {
    "N": PropertyType.STRING,
    "I": PropertyType.INT32,
    "B": PropertyType.BOOL,
    "D": PropertyType.DATE_TIME,
}
FORMAT = "cannot be evaluated: failed to parse format specifier %{0}: Unrecognized format for strftime/strptime: %{0}"


def problems(expression: str, kind: PropertyType = PropertyType.STRING, binding: str | None = None) -> list[str]:
    """What is said about an expression, behind its name."""
    properties = [
        Property("K", is_key=True),
        *(Property(n, type=k) for n, k in KINDS.items()),
        Property("X", type=kind),
    ]
    configuration = Configuration(
        entity_types=[EntityType("P", properties)],
        property_expressions=[EntityPropertyExpression("E", "P", "X", binding=binding, expression=expression)],
    )
    told = judged_configuration(configuration, DuckEvaluator).faults
    return [fault.message.removeprefix("the expression of P:X ").partition(";")[0] for fault in told]


@pytest.mark.parametrize(
    ("expression", "said"),
    [
        # DuckDB alone refuses a format: each of them, and beside what is refused without DuckDB
        ("strftime(p.D, '%Q') || strftime(p.D, '%E')", [FORMAT.format("Q"), FORMAT.format("E")]),
        (
            "uper(p.Nome) || strftime(p.D, '%Q')",
            [
                'names "Nome", which is no property of P',
                'uses "uper", which is not allowed in an expression',
                FORMAT.format("Q"),
            ],
        ),
        (
            "foo(strftime(p.D, '%Q'), lower(p.I))",
            [
                "gives lower a whole number where it takes a text",
                'uses "foo", which is not allowed in an expression',
                FORMAT.format("Q"),
            ],
        ),
        # constants that have no value
        (
            "case when p.D = '2024-02-30' and p.I in (1, 'q') then 'x' end",
            [
                'cannot be evaluated: "2024-02-30" is not a date in ISO 8601',
                "cannot be evaluated: could not convert string 'q' to INT64",
            ],
        ),
        ("case when p.B = 'maybe' then 'x' end", ["cannot be evaluated: could not convert string 'maybe' to BOOL"]),
        (
            "cast(p.I between '1' and 'z' as text) || cast(p.I + cast('w' as bigint) as text)",
            [f"cannot be evaluated: could not convert string '{word}' to INT64" for word in "zw"],
        ),
        ("cast(p.I // 0 as text)", ["divides by 0, which gives no value"]),
        ("try_cast('x' as text) || cast(try_cast('x' as bigint) as text)", []),
        # every argument, operand, condition and branch
        (
            "substring(p.I, p.N)",
            [
                "gives substring a whole number where it takes a text",
                "gives substring a text where it takes a whole number",
            ],
        ),
        (
            "substring(foo(p.I), p.N)",
            [
                'uses "foo", which is not allowed in an expression',
                "gives substring a text where it takes a whole number",
            ],
        ),
        (
            "case when p.N then p.N when p.I then 4 else p.B end",
            [
                "uses a text as a condition in a case",
                "uses a whole number as a condition in a case",
                "mixes a Boolean and a text and a whole number in a case",
            ],
        ),
        (
            "case when p.N and p.I then 'x' end",
            ["uses a text as a condition in AND", "uses a whole number as a condition in AND"],
        ),
        ("cast(p.N + p.B as text)", ["calculates with a text", "calculates with a Boolean"]),
        (
            "cast(p.N & p.B as text)",
            ["takes the bits of a text", "takes the bits of a Boolean"],
        ),
        # what follows from another problem
        ("cast(foo(p.D) + interval 3 day as text)", ['uses "foo", which is not allowed in an expression']),
        ("lpad(p.N, foo(1), ' ')", ['uses "foo", which is not allowed in an expression']),
        ("upper(p.Nome) = 'x' and foo(p.Nome)", ['names "Nome", which is no property of P', 'uses "foo", which is']),
        # regular expressions
        ("regexp_replace(p.N, 'a', '\\2')", ['inserts "\\2", and the regular expression "a" has no such group in']),
        ("regexp_replace(p.N, '(a)(b)', '\\2\\1')", []),
    ],
)
def test_every_problem_of_an_expression_is_told(expression: str, said: list[str]) -> None:
    told = problems(f"SQL:p: {expression}")

    assert len(told) == len(said), told
    assert all(any(one.startswith(words) for one in told) for words in said), told


def test_the_type_of_the_result_is_judged_although_a_part_is_refused() -> None:
    told = problems("SQL:p: len(foo(p.N))", PropertyType.BOOL)

    assert [line.split(",")[0] for line in told] == ['uses "foo"', "gives a whole number"]


def test_a_pipe_is_judged_to_its_end() -> None:
    told = problems("Foo|ParseUniversalDate:jj", PropertyType.INT32, "Nothing")

    assert [line.split()[0] for line in told] == ["uses", "is", "writes", "gives"], told
