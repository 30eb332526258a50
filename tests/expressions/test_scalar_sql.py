"""SQL expressions: what is evaluated, what is refused, and that nothing beyond the resource is accessible."""

from __future__ import annotations

from datetime import datetime

import duckdb
import pyarrow as pa
import pytest

from deltamark.infrastructure.duckdb.connection import locked_down
from tests.expressions.language import refusal, value

ANN = {
    "Name": "Ann",
    "Mail": "Ann@x.example",
    "Age": 30,
    "Weight": 61.5,
    "Active": True,
    "Born": datetime(1996, 1, 2),
    "Manager.Name": "Bob",
    "Manager.Department.Label": "Sales",
    "Reports.Name": ["Cid", "Cid", "Dora"],
    "Reports.Age": [30, 40],
    "Reports.Born": [datetime(1990, 1, 2), datetime(1991, 1, 2)],
    "Reports.Mail": [],
}


@pytest.mark.parametrize(
    ("text", "then"),
    [
        ("p.Name", "Ann"),
        ("(p.Name)", "Ann"),
        ('p."Name"', "Ann"),
        ("p.Name -- and a comment", "Ann"),
        ("p.Name || ' ' || p.Mail", "Ann Ann@x.example"),
        ("upper(p.Name) || lower(p.Mail)", "ANNann@x.example"),
        ("coalesce(p.State, p.Name)", "Ann"),
        ("nullif(p.Name, 'Ann')", None),
        ("case when p.Age >= 18 then 'adult' else 'child' end", "adult"),
        ("case p.Name when 'Ann' then 1 end", "1"),
        ("p.Age + 1", "31"),
        ("p.Age % 7", "2"),
        ("-p.Age", "-30"),
        ("abs(-p.Age)", "30"),
        ("round(p.Weight, 0)", "62.0"),
        ("p.Age between 20 and 40", "true"),
        ("p.Name in ('Ann', 'Bob')", "true"),
        ("p.Name not in ('Bob')", "true"),
        ("p.Name like 'A%'", "true"),
        ("p.Name ilike 'a%' and not p.Active", "false"),
        ("p.State is null", "true"),
        ("p.State is not null or p.Active", "true"),
        ("substring(p.Name, 1, 2)", "An"),
        ("left(p.Name, 1) || right(p.Name, 1)", "An"),
        ("trim(p.Name)", "Ann"),
        ("length(p.Name)", "3"),
        ("strpos(p.Mail, '@')", "4"),
        ("concat(p.Name, '-', p.Age)", "Ann-30"),
        ("cast(p.Age as varchar)", "30"),
        ("p.Age::double", "30.0"),
        ("'it''s; --'", "it's; --"),
        ("p.State", None),
        ("p.Name || p.State", None),
        ("p.Name || p.Age || p.Born || p.Active", "Ann301996-01-02T00:00:00Ztrue"),
        ("cast(p.Born as varchar)", "1996-01-02T00:00:00Z"),
        ("cast(p.Born as date)", "1996-01-02"),
        ("cast('2020-01-01T00:00:00+02:00' as timestamp)", "2019-12-31T22:00:00Z"),
        ("try_cast(p.Name as date)", None),
        ("try_cast(p.Name as bigint)", None),
        ("p.Manager.Name || p.Manager.Department.Label", "BobSales"),
        ("p.Born > '1990-01-01' and p.Born < '1996-01-02T00:00:00-01:00'", "true"),
        ("p.Age = '30'", "true"),
        ("p.Age in ('29', '30')", "true"),
        ("p.Age + p.Weight", "91.5"),
        ("p.Age / 4", "7.5"),
        ("p.Age // 4", "7"),
        ("2147483647 + 1", "2147483648"),
        ("p.Name is distinct from p.State", "true"),
        ("p.Name not like 'B_%_%_%'", "true"),
        ("p.Name ilike '%a_%_%N%'", "false"),
        ("p.Mail like '%@_%.%e'", "true"),
        ("trim(both 'A' from p.Name)", "nn"),
        ("trim(leading from '  a')", "a"),
        ("trim('\t\u00a0a ')", "a"),
        ("position('@' in p.Mail)", "4"),
        ("date_part('dow', p.Born)", "2"),
        ("list_contains(p.Reports.Name, p.Name)", "false"),
        ("list_contains(p.Reports.Age, 40)", "true"),
        ("array_to_string(p.Reports.Born, '/')", "1990-01-02T00:00:00Z/1991-01-02T00:00:00Z"),
        ("array_to_string(p.Reports.Mail, '/')", ""),
        ("len(coalesce(p.Reports.Name, p.Reports.Mail))", "3"),
        ("p.Reports.Name is null", "false"),
        ("if(p.Active, p.Name, null)", "Ann"),
        ("trim(p.Name) = TRIM(p.Name)", "true"),
        ("simplify(p.Name) || TOSOUNDEX(p.Name)", "ANNA500"),
        ("ParseLocalDate('31/12/2020', 'Romance Standard Time', 'dd/MM/yyyy')", "2020-12-30T23:00:00Z"),
        ("FormatLocalDate(p.Born, 'Romance Standard Time', 'dd/MM/yyyy HH:mm')", "02/01/1996 01:00"),
        ("p.Age & 6", "6"),
        ("(p.Age | 1) = 31", "true"),
        ("(-2147483646 & 2) = 2", "true"),
        ("(-2147483644 & 2) <> 0", "false"),
        ("(-9223372036854775807 & 1) = 1", "true"),
        ("p.Age & 2 = 2", "true"),
        ("p.Age & null", None),
        ("null", None),
    ],
)
def test_allowed_expressions_are_evaluated(text, then):
    assert value(f"SQL:p: {text}", **ANN) == then


@pytest.mark.parametrize("form", ["SQL:person: person.Name", "SQL: person : person.Name", "SQL:_p1:\n  _p1.Name\n"])
def test_the_variable_may_have_any_name(form):
    assert value(form, **ANN) == "Ann"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "(select 1)",
            'uses "Subquery", which is not allowed in an expression; write a dependency path, such as p.Manager.Name',
        ),
        ("p.Weight & 1", "takes the bits of a number; they must be whole numbers"),
        ("p.Active & p.Active", "takes the bits of a Boolean; they must be whole numbers; join conditions with AND"),
        ("read_text('/etc/passwd')", 'uses "read_text", which is not allowed in an expression'),
        ("lowr(p.Name)", 'uses "lowr", which is not allowed in an expression; did you mean "lower"?'),
        ("tosoundx(p.Name)", 'uses "tosoundx", which is not allowed in an expression; did you mean "ToSoundex"?'),
        ("sum(p.Age) over ()", 'uses "Window", which is not allowed in an expression'),
        ("p.Name; select 1", "must be one expression"),
        ("", "must be one expression"),
        ("p.Name in (select 'a')", "holds a subquery, which is not allowed in an expression"),
        ("p.Nmae", 'names "Nmae", which is no property of Person; did you mean "Name"?'),
        ("p.name", 'names "name", which is no property of Person; did you mean "Name"?'),
        ("p.Reprots", 'names "Reprots", which is no property of Person; did you mean "Reports"?'),
        ("p.Manager.Nmae", 'names "Manager.Nmae", which is no property of Person; did you mean "Name"?'),
        (
            "p.Managr.Name",
            'names "Managr.Name", which leads over "Managr", which is no navigation property of Person; '
            'did you mean "Manager"?',
        ),
        (
            "p.Manager.Department",
            'names "Manager.Department", which leads to Department and is no value; go on to one of its properties: '
            "Manager.Department.Code, Manager.Department.Label, Manager.Department.Budget, Manager.Department.Size",
        ),
        ("q.Name", 'names "q.Name"; write p.Property'),
        ("Name", 'names "Name"; write p.Property'),
        ("p", 'names "p"; write p.Property'),
        ("states.state", 'names "states.state"; write p.Property'),
        (
            "cast(p.Name as blob)",
            'converts to "VARBINARY"; allowed are BIGINT, BOOLEAN, DATE, DECIMAL, DOUBLE, INT, TEXT, TIMESTAMP, ',
        ),
        ("p.Name + 1", "calculates with a text; join texts with ||"),
        ("p.Name * 2", "calculates with a text; convert it with cast(… as double)"),
        ("-p.Name", "negates a text; it must be a number"),
        ("p.Name = 1", "mixes a text and a whole number in a comparison; convert one of them with cast(… as …)"),
        ("coalesce(p.State, p.Age)", "mixes a text and a whole number in coalesce; convert one"),
        ("not p.Name", "uses a text as a condition in NOT; compare it with something"),
        ("p.Age and p.Active", "uses a whole number as a condition in AND; compare it with something"),
        ("case when p.Name then 1 end", "uses a text as a condition in a case; compare it with something"),
        ("upper(p.Age)", "gives upper a whole number where it takes a text; convert it with cast(… as …)"),
        ("left(p.Name)", "gives left 1 arguments; write left(text, count)"),
        ("p.Born - p.Born", "subtracts a date with time and a date with time; dates are moved by"),
        ("p.Born + 1", "adds a date with time and a whole number; dates are moved by intervals (+ interval 3 day)"),
        ("interval 3 day", "gives an interval; add it to a date or subtract it from one"),
        ("cast(p.Age as date)", "converts a whole number to DATE; take its parts with date_part('year', …)"),
        ("date_trunc('fortnight', p.Born)", 'uses date_trunc with the unit "fortnight"'),
        ("date_part('yaer', p.Born)", 'takes the part "yaer" of a date; did you mean "year"?'),
        ("p.Name like p.Mail", "uses LIKE with a pattern that is no literal text; write contains(text, searched)"),
        ("ParseLocalDate(p.Name, p.Mail, 'yyyy')", "gives ParseLocalDate a parameter that is no literal"),
        ("ToSoundex()", "calls ToSoundex without the value that it is applied to"),
        ("ToSoundex(p.Reports.Name)", "applies ToSoundex to several values; make one of them first"),
        ("p.Reports.Name", "gives a list, and a property holds one value; make one of it, such as"),
        ("p.Reports.Age + 1", "uses a list as a single value; make one of it, such as with array_to_string(…, ', ')"),
        ("p.Name in p.Reports.Name", "uses IN with something that is no list in brackets; write list_contains"),
        ("list_first(p.Name)", "gives list_first a text; it takes a path over a collection"),
        ("list_sum(p.Reports.Name)", "gives list_sum a list (a text each); it takes numbers"),
        ("regexp_matches(p.Name, '(')", 'holds the regular expression "(", which does not compile: missing )'),
        ("repeat(p.Name, 101)", 'calls repeat with "101"; write a whole number up to 100'),
        ("repeat(repeat(p.Name, 99), 2)", "may make a text of more than 100 times the length of what it reads"),
    ],
)  # fmt: skip
def test_a_message_names_what_is_refused_and_a_suggestion(text, message):
    found = refusal(f"SQL:p: {text}")

    assert found.startswith(message)
    assert not message.endswith("?") or found == message


@pytest.mark.parametrize(
    ("text", "advice"),
    [
        ("p.Age << 1", "write the number out, as in (number & 8) <> 0 for the fourth bit"),
        ("p.Age ** 2", "multiply the number with itself"),
        ("~p.Age", "test that a bit is not set with (number & 2) = 0"),
        ("p.Name ~ 'a'", "write regexp_matches(text, 'pattern')"),
        ("bitand(p.Age, 2)", "write (number & 2) <> 0"),
        ("ISNULL(p.State, 'x')", "write coalesce(value, value)"),
        ("getdate()", "an expression may depend on what it reads only"),
    ],
)
def test_a_refusal_says_what_to_write_instead(text, advice):
    refused = refusal(f"SQL:p: {text}")

    assert "which is not allowed in an expression; " in refused
    assert advice in refused


@pytest.mark.parametrize("text", ["p.Name ||", "((p.Name)", "'open", "p.Name p.Mail", "case when", "/* open", "lower("])
def test_an_expression_that_does_not_parse_is_refused(text):
    assert refusal(f"SQL:p: {text}").startswith("does not parse: ")


@pytest.mark.parametrize(
    "form", ["SQL:", "SQL:p", "SQL p.Name", "sql:p: p.Name", "SQL:1p: 1", "SQL:a b: 1", "SQL:p.q: 1"]
)
def test_another_form_is_refused_with_the_right_one(form):
    if form == "SQL p.Name":
        assert refusal(form, "Name").startswith('uses "SQL p.Name", which is no function; there is "')
    else:
        assert refusal(form) == "must look like SQL:person: person.Mail, with a name between the colons"


def test_the_nesting_limit_does_not_depend_on_the_stack_of_the_caller():
    deep = "SQL:p: " + "coalesce(" * 24 + "p.Name" + ", 'x')" * 24

    def from_below(depth):
        return from_below(depth - 1) if depth else value(deep, **ANN)

    assert from_below(0) == from_below(600) == "Ann"
    assert refusal(deep.replace("p.Name", "(p.Name)")) == "nests deeper than 24 brackets"


def test_the_longest_expression_is_evaluated():
    text = "p.Name || '" + "x" * (4_000 - len("SQL:p: p.Name || ''")) + "'"

    assert value(f"SQL:p: {text}", **ANN).startswith("Annxxx")
    assert refusal(f"SQL:p: {text}x") == "is longer than 4000 characters"


REACHING = [
    "COPY t TO '{path}'",
    "COPY t FROM '{path}'",
    "ATTACH '{path}' AS other",
    "INSTALL httpfs",
    "LOAD httpfs",
    "SELECT * FROM read_csv('{path}')",
    "SELECT * FROM read_text('{path}')",
    "SELECT * FROM read_blob('{path}')",
    "SELECT * FROM glob('/etc/*')",
    "SELECT * FROM '{path}'",
    "SELECT * FROM read_csv('http://127.0.0.1:9/x.csv')",
    "EXPORT DATABASE '{path}'",
    "IMPORT DATABASE '{path}'",
    "SET enable_external_access=true",
    "SET memory_limit='100GB'",
    "SET lock_configuration=false",
    "RESET enable_external_access",
    "SET threads=64",
    "SET allowed_directories=['/']",
    "PRAGMA enable_external_access=true",
    "SELECT * FROM people",
    "SELECT getenv('HOME')",
]


@pytest.mark.parametrize("statement", REACHING)
def test_the_database_that_evaluates_reaches_no_file_no_network_and_no_setting(statement, tmp_path):
    path = tmp_path / "x.csv"
    path.write_text("a\n1\n")
    people = pa.table({"a": [1]})  # a variable that DuckDB would find if it were allowed to look

    with locked_down(t=people) as db, pytest.raises(duckdb.Error):
        db.execute(statement.format(path=path)).fetchall()

    assert [p.name for p in tmp_path.iterdir()] == ["x.csv"]


def test_the_database_that_evaluates_sees_its_tables():
    with locked_down(t=pa.table({"a": [1, 2]})) as db:
        assert db.execute("SELECT sum(a) FROM t").fetchall() == [(3,)]
