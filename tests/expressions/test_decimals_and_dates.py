"""Decimals in expressions are exact or refused, and dates have no time and no zone."""

from __future__ import annotations

from datetime import date, datetime
from decimal import ROUND_HALF_UP, Context, Decimal, localcontext

import duckdb
import pytest
from hypothesis import given
from hypothesis import strategies as st

from deltamark.domain.values import PropertyType as T
from deltamark.domain.values import canonical_decimal, digit_count
from deltamark.infrastructure.duckdb.conversions import decimal_text
from deltamark.infrastructure.expressions.decimals import DECIMAL_FUNCTIONS
from tests.expressions.language import refusal, value, values
from tests.tiers import law

LONGEST = "9" * 38
HIRED = date(2024, 2, 29)


@pytest.mark.parametrize(
    ("sql", "then"),
    [
        ("p.Salary", "1234.56"),
        ("p.Salary || ''", "1234.56"),
        ("p.Salary + 0.44", "1235"),
        ("p.Salary - 1234.56", "0"),
        ("p.Salary * 1.19", "1469.1264"),
        ("p.Salary * 0.1 * 3", "370.368"),
        ("p.Salary * (1 + 0.19)", "1469.1264"),
        ("(0.1 + 0.2) * p.Salary - 0.3 * p.Salary", "0"),
        ("p.Salary * -(2 * 0.5)", "-1234.56"),
        ("(p.Age + 0.5) * p.Salary", "37654.08"),
        ("p.Salary * case when p.Age > 18 then 1.10 when p.Age > 16 then 1 else -0.5 end", "1358.016"),
        ("p.Salary + case when p.Salary < 99 then 1 else 2.50 end", "1237.06"),
        ("p.Salary * if(true, 1.5, 2)", "1851.84"),
        ("-p.Salary", "-1234.56"),
        ("-(p.Salary - p.Salary)", "0"),
        ("p.Salary // 100", "12"),
        ("-p.Salary // 100", "-12"),
        ("p.Salary % 100", "34.56"),
        ("-p.Salary % 100", "-34.56"),
        ("mod(p.Salary, 0.5)", "0.06"),
        ("p.Salary * p.Age", "37036.8"),
        ("round(p.Salary / 7, 2)", "176.37"),
        ("round((p.Salary / 7), 4)", "176.3657"),
        ("round(1 / p.Salary)", "0"),
        ("round(p.Salary / 1.19, -2)", "1000"),
        ("round(p.Salary, 1)", "1234.6"),
        ("round(-p.Salary, 1)", "-1234.6"),
        ("round(p.Salary)", "1235"),
        ("round(0.125 + p.Salary - p.Salary, 2)", "0.13"),
        ("floor(-p.Salary)", "-1235"),
        ("ceil(-p.Salary)", "-1234"),
        ("ceiling(p.Salary)", "1235"),
        ("trunc(-p.Salary)", "-1234"),
        ("abs(-p.Salary)", "1234.56"),
        ("greatest(p.Salary, 999.99, -5)", "1234.56"),
        ("least(p.Salary, 999.99, 10)", "10"),
        ("greatest(p.Salary, null)", "1234.56"),
        ("coalesce(null, p.Salary, 0)", "1234.56"),
        ("coalesce(p.Salary, 0) + 0", "1234.56"),
        ("nullif(p.Salary, 1234.560)", None),
        ("if(p.Salary > 1000, p.Salary, 0.5)", "1234.56"),
        ("case p.Salary when 1234.56 then 1.50 else p.Salary end", "1.5"),
        ("cast(case when p.Salary < 99 then 1 else 1.10 end as decimal) * p.Salary", "1358.016"),
        ("cast('1.50' as decimal)", "1.5"),
        ("cast(' 1e3 ' as decimal)", "1000"),
        ("cast(p.Weight as decimal)", "61.5"),
        ("cast(p.Age as decimal)", "30"),
        ("cast(p.Salary as decimal(10, 1))", "1234.6"),
        ("cast(p.Salary as numeric(6))", "1235"),
        ("p.Salary::decimal(6,2)", "1234.56"),
        ("cast(cast(p.Salary as double) as text)", "1234.56"),
        ("cast(p.Salary as bigint) + 1", "1236"),
        ("try_cast('x' as decimal)", None),
        ("try_cast(p.Salary as decimal(5, 2))", None),
        ("cast('12345678901234567890.123456789012345678' as decimal) + 0.000000000000000001",
         "12345678901234567890.123456789012345679"),
        ("list_sum(p.Reports.Salary)", "12.3"),
        ("round(list_sum(p.Reports.Salary) / len(p.Reports.Salary), 3)", "3.075"),
        ("list_max(p.Reports.Salary)", "10"),
        ("list_min(p.Reports.Salary)", "-0.2"),
        ("list_first(list_sort(p.Reports.Salary))", "-0.2"),
        ("array_to_string(list_sort(p.Reports.Salary), '; ')", "-0.2; -0.1; 2.6; 10"),
        ("array_to_string(list_distinct(p.Reports.Salary), '; ')", "-0.2; -0.1; 2.6; 10"),
        ("list_contains(p.Reports.Salary, 10.00)", "true"),
        ("p.Salary + null", None),
    ],
)  # fmt: skip
def test_decimals_are_calculated_exactly(sql, then):
    of = {"Salary": "1234.56", "Age": 30, "Weight": 61.5, "Reports.Salary": ["10", "-0.1", "2.6", "-0.2"]}
    assert value(f"SQL:p: {sql}", **{name: of[name] for name in of if f"p.{name}" in sql}) == then


@pytest.mark.parametrize(
    ("sql", "stored", "then"),
    [
        ("round(p.Salary / 0.007, 6)", "99999999999999999999", "14285714285714285714142.857143"),
        ("round(p.Salary / 3, 0)", f"{'9' * 37}8", "3" * 38),
        ("round(p.Salary / -2, 0)", f"{'9' * 37}1", f"-4{'9' * 36}6"),
        ("p.Salary % 7", LONGEST, str(int(LONGEST) % 7)),
        ("p.Salary // 3", LONGEST, "3" * 38),
        ("floor(p.Salary)", f"{'9' * 30}.5", "9" * 30),
        ("round(p.Salary, 0)", f"{'9' * 30}.5", f"1{'0' * 30}"),
        ("abs(-p.Salary)", LONGEST, LONGEST),
        ("list_sum(p.Reports.Salary)", LONGEST, f"{'9' * 37}8"),
    ],
)
def test_all_38_digits_count(sql, stored, then):
    of = {"Reports.Salary": [stored, "-1"]} if "Reports" in sql else {"Salary": stored}
    assert value(f"SQL:p: {sql}", **of) == then


@pytest.mark.parametrize("result", [T.DECIMAL, T.STRING])
@pytest.mark.parametrize("stored", ["0", "-0.1", LONGEST, f"-{LONGEST}", f"0.{LONGEST}", "1234.5"])
def test_a_decimal_is_read_and_written_as_it_is(result, stored):
    assert value(None, "Salary", result, Salary=stored) == stored


@pytest.mark.parametrize(
    ("comparison", "then"),
    [
        ("p.Salary = 9.50", "true"),
        ("p.Salary = '9.500'", "true"),
        ("p.Salary in (1, 9.5)", "true"),
        ("p.Salary > 10", "false"),
        ("p.Salary < 10", "true"),
        ("p.Salary >= 9.5", "true"),
        ("p.Salary between 9.49 and 9.51", "true"),
        ("-p.Salary < -9.4", "true"),
        ("-p.Salary > -9.6", "true"),
        ("-p.Salary < 0", "true"),
        ("p.Salary - 9 > p.Salary - 10", "true"),
        ("p.Salary is distinct from 9.5", "false"),
        ("p.Salary <> p.Age", "true"),
        ("p.Salary > null", None),
        ("null > p.Salary", None),
    ],
)
def test_decimals_are_compared_by_value(comparison, then):
    assert value(f"SQL:p: {comparison}", Salary="9.5", **({"Age": 9} if "Age" in comparison else {})) == then


@pytest.mark.parametrize(
    ("sql", "reason"),
    [
        ("p.Salary / 7", "divides with /, of which the digits may have no end; write round(… / …, 2)"),
        ("p.Salary * p.Weight", "mixes a number (a Double) and an exact decimal; convert one of them with cast("),
        ("p.Salary > p.Weight", "mixes a number (a Double) and an exact decimal; convert one of them with cast("),
        ("coalesce(p.Salary, p.Weight)", "mixes a number (a Double) and an exact decimal; convert one of them"),
        ("p.Salary + p.Name", "calculates with a text; join texts with ||"),
        ("p.Salary and p.Active", "uses an exact decimal as a condition in AND; compare it with something"),
        (
            "p.Salary * case when p.Active then 1 else p.Weight end",
            "mixes a number (a Double) and an exact decimal",
        ),
        ("p.Salary % 0", "divides by 0, which gives no value"),
        ("round(p.Salary / 0.0, 2)", "divides by 0, which gives no value"),
        ("p.Salary * (1 / 3)", "mixes a number (a Double) and an exact decimal"),
        ("p.Salary * nullif(0.5, 1)", "mixes a number (a Double) and an exact decimal"),
        ("list_avg(p.Reports.Salary)", "calls list_avg with exact decimals; write round(list_sum(…) / len(…), 2)"),
        ("list_contains(p.Reports.Age, p.Salary)", "looks for an exact decimal in a list (a whole number each)"),
        ("cast(p.Active as decimal)", "converts a Boolean to DECIMAL"),
        ("cast(p.Salary as boolean)", "converts an exact decimal to BOOLEAN"),
        ("cast(p.Salary as date)", "converts an exact decimal to DATE"),
        ("cast(p.Salary as decimal(39, 2))", "converts to DECIMAL(39, 2); it has at most 38 digits, such as"),
        ("cast(p.Salary as decimal(2, 3))", "converts to DECIMAL(2, 3); it has at most 38 digits, such as"),
        (f"p.Salary + 0.1{'0' * 37}1", "holds "),
        ("round(p.Salary / 2, 'x')", "rounds to a text digits; write a whole number"),
    ],
)
def test_what_would_not_be_exact_is_refused(sql, reason):
    assert refusal(f"SQL:p: {sql}").startswith(reason)


@pytest.mark.parametrize(
    ("sql", "reason"),
    [
        ("p.Salary * p.Salary", "the result has 76 digits, and a Decimal has at most 38"),
        ("p.Salary + 1", "the result has 39 digits, and a Decimal has at most 38"),
        ("p.Salary // (p.Salary - p.Salary)", "division by zero"),
        ("p.Salary % (p.Salary - p.Salary)", "division by zero"),
        ("round(p.Salary / (p.Salary - p.Salary), 2)", "division by zero"),
        ("round(p.Salary, 39)", "a Decimal is not rounded to 39 digits; write -38 to 38"),
        ("cast(p.Salary as decimal(37, 0))", f"{LONGEST} does not fit into DECIMAL(37, 0)"),
        ("cast('1,5' as decimal) + p.Salary - p.Salary", '"1,5" is not a decimal number'),
    ],
)
def test_a_result_that_no_decimal_holds_fails_with_the_reason(sql, reason):
    with pytest.raises(duckdb.Error) as failed:
        value(f"SQL:p: {sql}", result=T.DECIMAL, Salary=LONGEST)
    assert reason in str(failed.value)


CONVERTED = [
    (T.DECIMAL, "p.Age", {"Age": 30}, "30"),
    (T.DECIMAL, "1.50", {}, "1.5"),
    (T.DECIMAL, "case when p.Age > 18 then 0.1 + 0.2 else 1 end", {"Age": 30}, "0.3"),
    (T.DOUBLE, "0.1 + 0.2", {}, 0.1 + 0.2),
    (T.DECIMAL, "p.Name", {"Name": " 1.50 "}, "1.5"),
    (T.DECIMAL, "p.Name", {"Name": " "}, None),
    (T.INT32, "p.Salary", {"Salary": "-12"}, -12),
    (T.DATE, "p.Hired", {"Hired": HIRED}, HIRED),
    (T.DATE, "p.Hired + interval 1 year", {"Hired": HIRED}, date(2025, 2, 28)),
    (T.DATE, "p.Name", {"Name": "2024-02-29T00:00:00+01:00"}, HIRED),
    (T.DATE, "cast(p.Born as date)", {"Born": datetime(2024, 2, 29, 8, 15)}, HIRED),
    (T.DATE, "p.Born", {"Born": datetime(2024, 2, 29)}, HIRED),
    (T.DATE, "ParseUniversalDate(p.Name, 'dd/MM/yyyy')", {"Name": "29/02/2024"}, HIRED),
    (T.DATE_TIME, "p.Hired", {"Hired": HIRED}, datetime(2024, 2, 29)),
    (T.STRING, "p.Hired", {"Hired": date(1, 1, 1)}, "0001-01-01"),
    (T.STRING, "p.Hired = '2024-02-29'", {"Hired": HIRED}, "true"),
    (T.STRING, "p.Hired < p.Born", {"Hired": HIRED, "Born": datetime(2024, 2, 29, 0, 0, 1)}, "true"),
    (T.STRING, "date_diff('day', p.Hired, date '2024-03-01')", {"Hired": HIRED}, "1"),
    (T.STRING, "year(p.Hired)", {"Hired": HIRED}, "2024"),
    (T.STRING, "FormatLocalDate(p.Hired, 'America/New_York', 'dd/MM/yyyy')", {"Hired": HIRED}, "29/02/2024"),
    (T.STRING, "strftime(p.Hired, '%d.%m.%Y')", {"Hired": HIRED}, "29.02.2024"),
    (T.STRING, "p.Hired in ('2024-02-29', '2024-03-01')", {"Hired": HIRED}, "true"),
]


@pytest.mark.parametrize(("result", "sql", "of", "then"), CONVERTED)
def test_a_value_becomes_one_of_the_type_of_the_property(result, sql, of, then):
    assert value(f"SQL:p: {sql}", result=result, **of) == then


@pytest.mark.parametrize(
    ("result", "sql", "of", "reason"),
    [
        (T.DATE, "p.Born", {"Born": datetime(2024, 2, 29, 8, 15)}, 'gives "2024-02-29 08:15:00" where a date without'),
        (T.DATE, "p.Name", {"Name": "2024-02-30"}, 'gives "2024-02-30" where a date without time is expected'),
        (T.INT32, "p.Salary", {"Salary": "1.5"}, 'gives "1.5" where a whole number'),
        (T.BYTE, "p.Salary", {"Salary": "256"}, 'gives "256" where a whole number from 0 to 255'),
        (T.DECIMAL, "p.Name", {"Name": "-0,5"}, 'gives "-0,5" where a decimal number of at most 38 digits is'),
        (T.DECIMAL, "p.Name", {"Name": "9" * 39}, "where a decimal number of at most 38 digits is expected"),
    ],
)
def test_a_value_that_cannot_be_converted_fails_with_the_reason(result, sql, of, reason):
    with pytest.raises(duckdb.Error) as failed:
        value(f"SQL:p: {sql}", result=result, **of)
    assert reason in str(failed.value)


@pytest.mark.parametrize(
    ("result", "sql", "reason"),
    [
        (
            T.DECIMAL,
            "p.Weight",
            "gives a number, but a decimal number of at most 38 digits is expected; convert it with",
        ),
        (T.DECIMAL, "p.Age / 3", "gives a number, but a decimal number of at most 38 digits is expected"),
        (T.DOUBLE, "p.Salary", "gives an exact decimal, but a number is expected; convert it with cast(… as double)"),
        (T.STRING, "date_diff('day', p.Hired, '2024-03-01')", "gives date_diff a text where it takes a date or a date"),
        (T.DATE, "p.Age", "gives a whole number, but a date without time is expected"),
        (T.DECIMAL, "p.Hired", "gives a date, but a decimal number of at most 38 digits is expected"),
    ],
)
def test_a_value_of_another_type_is_refused(result, sql, reason):
    assert refusal(f"SQL:p: {sql}", result=result).startswith(reason)


@pytest.mark.parametrize(
    ("result", "text", "then"),
    [
        (T.DECIMAL, "19.90", "19.9"),
        (T.DECIMAL, " -0 ", "0"),
        (T.DECIMAL, "1e-3", "0.001"),
        (T.DECIMAL, LONGEST, LONGEST),
        (T.DATE, "2024-02-29", HIRED),
        (T.DATE, "", None),
    ],
)
def test_a_literal_is_exact(result, text, then):
    assert value(f"Literal:{text}", result=result) == then


@pytest.mark.parametrize(
    ("result", "text", "reason"),
    [
        (T.DECIMAL, "1,5", 'says "1,5", which is not a decimal number of at most 38 digits'),
        (T.DECIMAL, "9" * 39, "holds "),
        (T.DATE, "2023-02-29", 'says "2023-02-29", which is not a date without time'),
        (T.DATE, "29/02/2024", 'says "29/02/2024", which is not a date without time'),
    ],
)
def test_a_literal_that_is_none_is_refused(result, text, reason):
    assert refusal(f"Literal:{text}", result=result).startswith(reason)


DECIMALS = st.builds(
    lambda sign, digits, places: canonical_decimal(Decimal(sign * digits).scaleb(-places)),
    st.sampled_from([1, -1]),
    st.integers(0, 10**20),
    st.integers(0, 18),
)
EXACT = Context(prec=200)


@law(25)
@given(st.lists(st.tuples(DECIMALS, DECIMALS), min_size=1, max_size=8))
def test_arithmetic_and_order_are_those_of_python(pairs):
    people = [{"Salary": left, "Manager.Salary": right} for left, right in pairs]
    by_sign = {"+": EXACT.add, "-": EXACT.subtract, "*": EXACT.multiply}

    for sign, calculate in by_sign.items():
        expected = [canonical_decimal(calculate(Decimal(left), Decimal(right))) for left, right in pairs]
        fitting = [n for n, text in enumerate(expected) if digit_count(text) <= 38]
        found = values(f"SQL:p: p.Salary {sign} p.Manager.Salary", *(people[n] for n in fitting)) if fitting else []
        assert found == [expected[n] for n in fitting]
    for sql, expected in (
        ("p.Salary < p.Manager.Salary", [str(Decimal(a) < Decimal(b)).lower() for a, b in pairs]),
        ("greatest(p.Salary, p.Manager.Salary)", [canonical_decimal(max(Decimal(a), Decimal(b))) for a, b in pairs]),
        ("p.Salary = p.Manager.Salary", [str(a == b).lower() for a, b in pairs]),
    ):
        assert values(f"SQL:p: {sql}", *people) == expected


@law(200)
@given(DECIMALS, DECIMALS.filter(lambda text: text != "0"), st.integers(0, 6))
def test_a_quotient_is_rounded_once(dividend, divisor, digits):
    quotient, _ = DECIMAL_FUNCTIONS["deltamark_decimal_quotient"]
    with localcontext(Context(prec=400)):
        exact = (Decimal(dividend) / Decimal(divisor)).quantize(Decimal(1).scaleb(-digits), ROUND_HALF_UP)

    assert digit_count(canonical_decimal(exact)) > 38 or quotient(dividend, divisor, digits) == canonical_decimal(exact)


SPELLINGS = st.from_regex(r"[+-]?([0-9]{1,40}(\.[0-9]{0,40})?|\.[0-9]{1,40})([eE][+-]?[0-9]{1,2})?", fullmatch=True)


@law(40)
@given(st.lists(SPELLINGS, min_size=1, max_size=20))
def test_every_spelling_of_a_number_has_one_text(spellings):
    def text(spelling: str) -> str | None:
        with localcontext(Context(prec=300)):
            canonical = canonical_decimal(Decimal(spelling))
        return canonical if digit_count(canonical) <= 38 else None

    listed = ", ".join(f"('{spelling}')" for spelling in spellings)
    with duckdb.connect() as db:
        found = db.execute(f"SELECT {decimal_text('x')} FROM (VALUES {listed}) AS t(x)").fetchall()

    assert [only for (only,) in found] == [text(spelling) for spelling in spellings]
