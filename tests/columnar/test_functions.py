"""The predefined functions, against the tables of the configuration language."""

from __future__ import annotations

import pytest

from tests.columnar.evaluation import fault, value, values

# As the language gives them, with their capitals.
DIACRITICS = {
    "é": "e", "ä": "ae", "ö": "oe", "ü": "ue", "ø": "o", "ł": "l", "ß": "ss", "æ": "ae", "œ": "oe", "š": "sh", "č": "c",
    "É": "E", "Ä": "AE", "Ö": "OE", "Ü": "UE", "Ø": "O", "Ł": "L", "Æ": "AE", "Œ": "OE", "Š": "SH", "Č": "C", "ẞ": "SS",
}  # fmt: skip


@pytest.mark.parametrize(("letter", "plain"), DIACRITICS.items())
def test_diacritics_are_removed_as_the_language_says(letter, plain):
    assert value("RemoveDiacritics", "Name", Name=f"x{letter}y{letter}") == f"x{plain}y{plain}"


@pytest.mark.parametrize(
    ("letter", "plain"), [("e\u0301", "e"), ("a\u0308", "ae"), ("A\u0308", "AE"), ("s\u030c", "sh")]
)
def test_diacritics_are_removed_however_they_are_composed(letter, plain):
    assert value("RemoveDiacritics", "Name", Name=f"x{letter}") == f"x{plain}"


@pytest.mark.parametrize("text", ["plain ASCII 12 -_", "日本", "Привет", "😀"])
def test_what_has_no_diacritics_stays(text):
    assert value("RemoveDiacritics", "Name", Name=text) == text


@pytest.mark.parametrize(
    ("expression", "text", "then"),
    [
        ("ToLower", "ABC Éé 1", "abc éé 1"),
        ("ToUpper", "abc é 1", "ABC É 1"),
        ("Trim", " \t a b\u00a0\n", "a b"),
        ("TrimStart", "  a ", "a "),
        ("TrimEnd", "  a ", "  a"),
        ("Simplify", "Ærø-Straße 12", "AEROSTRASSE12"),
        ("Simplify", " O'Néill, Müller (jr.)\t", "ONEILLMUELLERJR"),
        ("Simplify", "Škoda-Čapek", "SHKODACAPEK"),
        ("Simplify", "-- !", None),
        ("Trim|Simplify", " jean-luc ", "JEANLUC"),
        ("ToUpper|RemoveDiacritics", "é ä", "E AE"),
        ("RemoveDiacritics|ToUpper|ToLower", "É Ä", "e ae"),
        (" Trim | ToLower ", " ABC ", "abc"),
        ("", "As It Is", "As It Is"),
        (None, "As It Is", "As It Is"),
    ],
)
def test_functions_and_pipes_of_functions(expression, text, then):
    assert value(expression, "Name", Name=text) == then


@pytest.mark.parametrize(
    "expression",
    ["ToUpper", "ToLower", "Trim", "TrimStart", "TrimEnd", "RemoveDiacritics", "Simplify", "Trim|Simplify", None],
)  # fmt: skip
def test_nothing_in_gives_nothing_out(expression):
    assert values(expression, {}, {"Mail": "x"}, None, binding="Name") == [None, None, None]


def test_an_empty_value_is_no_key():
    assert values("Trim", {"Name": "  "}, {"Name": "a"}, binding="Name") == [None, "a"]


def test_a_deleted_person_has_no_key_whatever_the_expression():
    assert values("Literal:x", {}, None) == ["x", None]
    assert values("SQL:p: 'x'", {}, None) == ["x", None]


@pytest.mark.parametrize(
    ("binding", "given", "then"),
    [
        ("Age", 30, "30"),
        ("Weight", 3435.0, "3435.0"),
        ("Active", True, "true"),
        ("Person:Name", "Ann", "Ann"),
    ],
)
def test_a_binding_reads_its_property(binding, given, then):
    assert value(None, binding, **{binding.split(":")[-1]: given}) == then


@pytest.mark.parametrize("name", ["State", "Value", "Stream"])
def test_a_property_may_be_called_like_what_the_engine_calls_its_columns(name):
    person = {"Name": "Ann", name: "Ca"}

    assert value("ToUpper", name, **person) == "CA"
    assert value(f"SQL:p: p.{name} || p.Name", **person) == "CaAnn"


@pytest.mark.parametrize(
    ("text", "then"), [("x", "x"), ("it's", "it's"), ("a|b: c", "a|b: c"), ("", None), (" x ", " x ")]
)
def test_a_literal_is_what_it_says(text, then):
    assert value(f"Literal:{text}", Name="Ann") == then


@pytest.mark.parametrize(
    ("expression", "told"),
    [
        ("ToLowr", 'uses "ToLowr", which is no function; did you mean "ToLower"?'),
        ("tolower", 'uses "tolower", which is no function; did you mean "ToLower"?'),
        ("Trim|Frobnicate", 'uses "Frobnicate", which is no function'),
        ("ToSoundex", "uses ToSoundex, which is known but not built yet"),
        ("ParseLocalDate:UTC", "uses ParseLocalDate, which is known but not built yet"),
    ],
)
def test_an_unknown_function_is_refused_with_the_nearest_name(expression, told):
    assert fault(expression, "Name").startswith(told)


def test_csharp_is_refused_and_the_sql_form_is_shown():
    for expression in ("C#:person:return person.Mail;", "c#: x", "  C#:1"):
        assert fault(expression, "Name") == (
            "is C#, which is not evaluated; write it as SQL over the properties, such as SQL:person: lower(person.Mail)"
        )


@pytest.mark.parametrize(
    ("binding", "told"),
    [
        (None, "has no binding; name the property to read, or write an SQL expression"),
        ("Nmae", 'is bound to "Nmae", which is no property of Person; did you mean "Name"?'),
        ("name", 'is bound to "name", which is no property of Person; did you mean "Name"?'),
        ("Manager.Name", 'reads over the path "Manager.Name"'),
        ("Team:Name", 'is bound to "Team:Name", which is no property of Person'),
    ],
)
def test_a_binding_to_nothing_is_refused(binding, told):
    assert fault("ToLower", binding).startswith(told)


def test_the_sql_form_that_messages_recommend_works():
    assert value("SQL:person: person.Mail", Mail="a@b") == "a@b"
    assert value("SQL:person: lower(person.Mail)", Mail="A@b") == "a@b"
