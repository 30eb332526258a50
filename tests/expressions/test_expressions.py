"""The forms of an expression, what each reads, and how its value is converted to the type of its property."""

from __future__ import annotations

from datetime import datetime

import duckdb
import pytest

from deltamark.domain.derivation.dependency_paths import NoSuchPath
from deltamark.domain.values import PropertyType as T
from deltamark.infrastructure.expressions.compiler import compile_derivation
from tests.expressions.language import COMPANY, derivation, reads, refusal, value, values

BORN = datetime(1996, 1, 2, 3, 4, 5)


# What is read


@pytest.mark.parametrize(
    ("expression", "binding", "then"),
    [
        (None, "Name", ["Name"]),
        ("ToLower", "Person:Name", ["Name"]),
        ("ToLower", " Manager . Department.Label ", ["Manager.Department.Label"]),
        ("SQL:p: p.Name || p.Mail || p.Name", None, ["Mail", "Name"]),
        ("SQL:p: p.Manager.Manager.Manager.Name", None, ["Manager.Manager.Manager.Name"]),
        ("SQL:p: p.Manager.Manager.Manager.Manager.Manager.Department.Label", None,
         ["Manager.Manager.Manager.Manager.Manager.Department.Label"]),
        ("SQL:p: len(p.Department.Members.Name) + p.Age", None, ["Age", "Department.Members.Name"]),
        ("Literal:x", "Name", []),
        ("SQL:p: 'x'", None, []),
    ],
)  # fmt: skip
def test_an_expression_reads_exactly_what_it_names(expression, binding, then):
    assert reads(expression, binding) == then


def test_the_same_expression_is_compiled_to_the_same_sql():
    one = derivation("SQL:p: coalesce(p.Mail, p.Manager.Mail, array_to_string(p.Reports.Name, ','))")

    assert compile_derivation(one, COMPANY) == compile_derivation(one, COMPANY)


def test_a_backward_path_gives_a_collection():
    assert value("SQL:d: len(d.Members.Name)", entity_type="Department", **{"Members.Name": ["a", "b"]}) == "2"


# Bindings


@pytest.mark.parametrize(
    ("binding", "given", "then"),
    [
        ("Age", 30, "30"),
        ("Weight", 3435.0, "3435.0"),
        ("Active", True, "true"),
        ("Born", BORN, "1996-01-02T03:04:05Z"),
        ("Person:Name", "Ann", "Ann"),
        ("Manager.Name", "Ann", "Ann"),
    ],
)
def test_a_binding_of_a_text_property_gives_the_value_as_text(binding, given, then):
    assert value(None, binding, **{binding.split(":")[-1]: given}) == then


@pytest.mark.parametrize(
    ("binding", "message"),
    [
        (None, "has no binding; name the property to read, or write an SQL expression"),
        (" ", "has no binding; name the property to read, or write an SQL expression"),
        ("Nmae", 'is bound to "Nmae", which is no property of Person; did you mean "Name"?'),
        ("name", 'is bound to "name", which is no property of Person; did you mean "Name"?'),
        ("Manger", 'is bound to "Manger", which is no property of Person; did you mean "Manager"?'),
        ("Manager", 'is bound to "Manager", which leads to Person and is no value; go on to one of its properties: '),
        ("Manager.Nmae", 'is bound to "Manager.Nmae", which is no property of Person; did you mean "Name"?'),
        (
            "Name.Mail",
            'is bound to "Name.Mail", which leads over "Name", which is no navigation property of Person; there is ',
        ),
        ("Team:Name", 'is bound to "Team:Name", which is no property of Person: its paths start there'),
        ("Persn:Name", 'is bound to "Persn:Name", which is no property of Person: its paths start there; did you mean'),
        ("Manager..Name", 'is bound to "Manager..Name", which is no path; write names with dots between them'),
        (
            "Reports.Name",
            'is bound to "Reports.Name", which leads to several values; write in SQL what to make of them, such as '
            "SQL:x: array_to_string(x.Reports.Name, ', ')",
        ),
        (".".join(["Manager"] * 9 + ["Name"]), "is bound to "),
    ],
)
def test_an_invalid_binding_is_refused_with_the_reason(binding, message):
    assert refusal("ToLower", binding).startswith(message)
    assert refusal(None, binding).startswith(message)


def test_an_unknown_path_raises_no_such_path():
    with pytest.raises(NoSuchPath):
        compile_derivation(derivation("ToLower", "Nmae"), COMPANY)


def test_csharp_is_refused_and_the_sql_form_is_shown():
    for expression in ("C#:person:return person.Mail;", "c#: x", "  C#:1"):
        assert refusal(expression, "Name") == (
            "is C#, which is not evaluated; write it as SQL over the properties, such as SQL:person: lower(person.Mail)"
        )


def test_the_sql_form_that_messages_recommend_works():
    assert value("SQL:person: lower(person.Mail)", Mail="A@b") == "a@b"


# Literals


@pytest.mark.parametrize(
    ("expression", "result", "then"),
    [
        ("Literal:x", T.STRING, "x"),
        ("Literal: it's|a: b ", T.STRING, " it's|a: b "),
        ("Literal:", T.STRING, ""),
        ("  Literal:x", T.STRING, "x"),
        ("Literal:12", T.INT32, 12),
        ("Literal: -12.0 ", T.INT64, -12),
        ("Literal:255", T.BYTE, 255),
        ("Literal:1e3", T.DOUBLE, 1000.0),
        ("Literal:TRUE", T.BOOL, True),
        ("Literal:0", T.BOOL, False),
        ("Literal:{6F9619FF-8B86-D011-B42D-00CF4FC964FF}", T.GUID, "6f9619ff-8b86-d011-b42d-00cf4fc964ff"),
        ("Literal:E1", T.FOREIGN_KEY, "E1"),
        ("Literal:", T.INT32, None),
    ],
)
def test_a_literal_has_the_type_of_its_property(expression, result, then):
    assert value(expression, result=result) == then


@pytest.mark.parametrize(
    ("expression", "result", "message"),
    [
        ("Literal:x", T.INT32, 'says "x", which is not a whole number from -2147483648 to 2147483647'),
        ("Literal:1.5", T.INT32, 'says "1.5", which is not a whole number'),
        ("Literal:256", T.BYTE, 'says "256", which is not a whole number from 0 to 255'),
        ("Literal:32768", T.INT16, 'says "32768", which is not a whole number from -32768 to 32767'),
        ("Literal:9223372036854775808", T.INT64, 'says "9223372036854775808", which is not a whole number'),
        ("Literal:nan", T.DOUBLE, 'says "nan", which is not a number'),
        ("Literal:1e999", T.DOUBLE, 'says "1e999", which is not a number'),
        ("Literal:yes", T.BOOL, 'says "yes", which is not a Boolean (true, false, 1 or 0)'),
        ("Literal:1234", T.GUID, 'says "1234", which is not a Guid'),
        ("Literal:2020-01-01", T.DATE_TIME, "is a literal, which a property of type DateTime cannot have"),
        ("Literal:YWJj", T.BINARY, "is a literal, which a property of type Binary cannot have"),
        ("Literal:YWJj", T.BYTES, "is a literal, which a property of type Bytes cannot have"),
    ],
)
def test_a_literal_of_another_type_is_refused(expression, result, message):
    assert refusal(expression, result=result).startswith(message)


# From values to properties


@pytest.mark.parametrize(
    ("text", "result", "then"),
    [
        ("p.Age * 1000", T.INT16, 30_000),
        ("round(p.Weight)", T.INT32, 62),
        ("p.Weight * 2", T.INT32, 123),
        ("'12'", T.INT32, 12),
        ("' 12.0 '", T.INT32, 12),
        ("''", T.INT32, None),
        ("null", T.INT32, None),
        ("p.State", T.INT32, None),
        ("9007199254740993", T.INT64, 9_007_199_254_740_993),
        ("list_sum(p.Reports.Age)", T.INT64, 70),
        ("p.Age", T.DOUBLE, 30.0),
        ("'1e3'", T.DOUBLE, 1000.0),
        ("p.Age > 3", T.BOOL, True),
        ("' TRUE '", T.BOOL, True),
        ("p.Born", T.DATE_TIME, BORN),
        ("cast(p.Born as date)", T.DATE_TIME, datetime(1996, 1, 2)),
        ("'2020-01-01T00:00:00+02:00'", T.DATE_TIME, datetime(2019, 12, 31, 22)),
        ("p.Born + interval 1 month", T.DATE_TIME, datetime(1996, 2, 2, 3, 4, 5)),
        ("'{6F9619FF-8B86-D011-B42D-00CF4FC964FF}'", T.GUID, "6f9619ff-8b86-d011-b42d-00cf4fc964ff"),
        ("'YWJj'", T.BINARY, "YWJj"),
        ("p.Name", T.FOREIGN_KEY, "Ann"),
    ],
)
def test_a_value_is_converted_to_the_type_of_its_property(text, result, then):
    person = {"Name": "Ann", "Age": 30, "Weight": 61.5, "Born": BORN, "Reports.Age": [30, 40]}

    assert value(f"SQL:p: {text}", result=result, **person) == then


@pytest.mark.parametrize(
    ("text", "result", "message"),
    [
        ("p.Weight", T.INT32, 'gives "61.5" where a whole number from -2147483648 to 2147483647 is expected'),
        ("p.Age * 1100", T.INT16, 'gives "33000" where a whole number from -32768 to 32767 is expected'),
        ("-p.Age", T.BYTE, 'gives "-30" where a whole number from 0 to 255 is expected'),
        ("p.Weight * 1e300", T.INT64, 'gives "6.15e+301" where a whole number'),
        ("p.Name", T.INT32, 'gives "Ann" where a whole number'),
        ("p.Name || '1\n2'", T.INT32, 'gives "Ann1 2" where a whole number'),
        ("p.Weight * 1e300 * 1e300", T.DOUBLE, 'gives "inf" where a number is expected'),
        ("p.Name", T.DOUBLE, 'gives "Ann" where a number is expected'),
        ("p.Name", T.BOOL, 'gives "Ann" where a Boolean'),
        ("p.Name", T.DATE_TIME, 'gives "Ann" where a date is expected'),
        ("p.Born + interval 9000 years", T.DATE_TIME, 'gives "10996-01-02 03:04:05" where a date is expected'),
        ("p.Born - interval 1996 years", T.DATE_TIME, 'gives "0001-01-02 (BC) 03:04:05" where a date is expected'),
        ("p.Name", T.GUID, 'gives "Ann" where a Guid is expected'),
        ("p.Name", T.BINARY, 'gives "Ann" where base64 data is expected'),
    ],
)
def test_a_value_that_cannot_be_converted_fails_and_is_never_null(text, result, message):
    person = {"Name": "Ann", "Age": 30, "Weight": 61.5, "Born": BORN}

    with pytest.raises(duckdb.Error) as failed:
        value(f"SQL:p: {text}", result=result, **person)

    assert message in str(failed.value).splitlines()[0]


@pytest.mark.parametrize(
    ("text", "result", "message"),
    [
        ("p.Active", T.INT32, "gives a Boolean, but a whole number from -2147483648 to 2147483647 is expected; write"),
        ("p.Born", T.INT32, "gives a date with time, but a whole number from -2147483648 to 2147483647 is expected"),
        ("p.Age", T.BOOL, "gives a whole number, but a Boolean (true, false, 1 or 0) is expected; compare it"),
        ("p.Age", T.DATE_TIME, "gives a whole number, but a date is expected; convert it with cast(… as …)"),
        ("p.Age", T.GUID, "gives a whole number, but a Guid is expected"),
        ("p.Age", T.BINARY, "gives a whole number, but base64 data is expected"),
    ],
)  # fmt: skip
def test_an_expression_of_a_type_that_cannot_be_converted_is_refused(text, result, message):
    assert refusal(f"SQL:p: {text}", result=result).startswith(message)


@pytest.mark.parametrize("result", list(T))
def test_a_list_is_refused_for_every_type_of_property(result):
    message = refusal("SQL:p: p.Reports.Name", result=result)

    assert message.startswith("gives a list, and a property holds one value; make one of it, such as with")


@pytest.mark.parametrize("result", list(T))
def test_null_is_null_in_every_type(result):
    assert values("SQL:p: null", {}, result=result) == [None]
    assert values("SQL:p: p.State", {}, {}, result=result) == [None, None]


def test_a_branch_that_is_not_taken_does_not_fail():
    guarded = "SQL:p: case when p.Age > 0 then 100 / p.Age end"

    assert values(guarded, {"Age": 0}, {"Age": 50}, result=T.DOUBLE) == [None, 2.0]
