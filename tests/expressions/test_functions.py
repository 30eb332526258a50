"""The predefined functions and pipes of them, against the tables of the configuration language."""

from __future__ import annotations

import unicodedata
from datetime import datetime

import pytest

from deltamark.domain.values import PropertyType
from deltamark.infrastructure.expressions.predefined_functions import FUNCTIONS
from deltamark.infrastructure.expressions.sql_value import Shape
from tests.expressions.language import refusal, value, values

DATE = PropertyType.DATE_TIME

# As the language gives them, with their capitals.
DIACRITICS = {
    "é": "e", "ä": "ae", "ö": "oe", "ü": "ue", "ø": "o", "ł": "l", "ß": "ss", "æ": "ae", "œ": "oe", "š": "sh", "č": "c",
    "É": "E", "Ä": "AE", "Ö": "OE", "Ü": "UE", "Ø": "O", "Ł": "L", "Æ": "AE", "Œ": "OE", "Š": "SH", "Č": "C", "ẞ": "SS",
}  # fmt: skip


TEXT_FUNCTIONS = sorted(
    name for name, function in FUNCTIONS.items() if function.takes is Shape.TEXT and function.gives is Shape.TEXT
)
DECOMPOSABLE = [char for char in map(chr, range(0x110000)) if unicodedata.normalize("NFD", char) != char]


@pytest.mark.parametrize("expression", [*TEXT_FUNCTIONS, "SQL:p: lower(p.Name)", "SQL:p: upper(p.Name)"])
def test_a_function_gives_the_same_for_every_letter_composed_and_decomposed(expression):
    given = [f"cn=İ{char}x" if expression == "ToFormatedDN" else f"İ{char}x" for char in DECOMPOSABLE]
    binding = None if expression.startswith("SQL:") else "Name"

    composed, decomposed = (
        values(expression, *({"Name": unicodedata.normalize(form, text)} for text in given), binding=binding)
        for form in ("NFC", "NFD")
    )

    assert composed == decomposed
    assert len(DECOMPOSABLE) > 13_000


@pytest.mark.parametrize(("letter", "plain"), DIACRITICS.items())
def test_diacritics_are_removed_by_the_table_of_the_language(letter, plain):
    assert value("RemoveDiacritics", "Name", Name=f"x{letter}y{letter}") == f"x{plain}y{plain}"


@pytest.mark.parametrize(
    ("letter", "plain"), [("e\u0301", "e"), ("a\u0308", "ae"), ("A\u0308", "AE"), ("s\u030c", "sh")]
)
def test_diacritics_are_removed_however_they_are_composed(letter, plain):
    assert value("RemoveDiacritics", "Name", Name=f"x{letter}") == f"x{plain}"


@pytest.mark.parametrize("text", ["plain ASCII 12 -_", "日本", "Привет", "😀"])
def test_texts_without_diacritics_stay_as_they_are(text):
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
        ("Simplify", "-- !", ""),
        ("Trim|Simplify", " jean-luc ", "JEANLUC"),
        ("ToUpper|RemoveDiacritics", "é ä", "E AE"),
        ("RemoveDiacritics|ToUpper|ToLower", "É Ä", "e ae"),
        (" Trim | ToLower ", " ABC ", "abc"),
        ("", "As It Is", "As It Is"),
        (None, "As It Is", "As It Is"),
    ],
)
def test_functions_and_pipes_of_functions_are_evaluated(expression, text, then):
    assert value(expression, "Name", Name=text) == then


@pytest.mark.parametrize(
    "expression",
    [
        "ToUpper", "ToLower", "Trim", "TrimStart", "TrimEnd", "RemoveDiacritics", "Simplify", "Trim|Simplify", None,
        "ToSoundex", "ToDoubleMetaphone", "ToFirstName", "ToTitle", "ToFormatedDN", "ParseUniversalDate:yyyy-MM-dd",
        "ParseLocalDate:Romance Standard Time|yyyy-MM-dd", "FormatLocalDate:UTC|yyyy",
        "ParseLocalDateThenAddMinutes:UTC|yyyy-MM-dd|5", "ParseUniversalDateThenAddMinutes:yyyy-MM-dd|5",
    ],
)  # fmt: skip
def test_null_gives_null(expression):
    assert values(expression, {}, {"Mail": "x"}, binding="Name") == [None, None]


@pytest.mark.parametrize("name", ["State", "Value", "Stream"])
def test_a_property_may_be_called_like_what_the_engine_calls_its_columns(name):
    person = {"Name": "Ann", name: "Ca"}

    assert value("ToUpper", name, **person) == "CA"
    assert value(f"SQL:p: p.{name} || p.Name", **person) == "CaAnn"


@pytest.mark.parametrize(
    ("text", "then"),
    [
        ("Robert", "R163"), ("Rupert", "R163"), ("Rubin", "R150"), ("Ashcraft", "A261"), ("Tymczak", "T522"),
        ("Pfister", "P236"), ("Honeyman", "H555"), ("Müller", "M460"), ("Mueller", "M460"), ("O'Neill", "O540"),
        ("Ærø", "A600"), ("x", "X000"), ("123", None), ("", None), ("Иван", None),
    ],
)  # fmt: skip
def test_soundex_is_american_soundex_without_diacritics(text, then):
    assert value("ToSoundex", "Name", Name=text) == then


@pytest.mark.parametrize(
    ("text", "then"),
    [
        ("Smith", "SM0"), ("Schmidt", "XMT"), ("Thompson", "TMPSN"), ("Catherine", "K0RN"), ("Katherine", "K0RN"),
        ("Müller", "MLR"), ("Mueller", "MLR"), ("123", None), ("", None), ("Иван", None),
    ],
)  # fmt: skip
def test_double_metaphone_gives_the_primary_code(text, then):
    assert value("ToDoubleMetaphone", "Name", Name=text) == then


@pytest.mark.parametrize(
    ("text", "then"),
    [
        ("jean luc", "Jean-Luc"), ("JEAN-LUC", "Jean-Luc"), ("  élodie \t", "Élodie"), ("anne - marie", "Anne-Marie"),
        ("Ōno", "Ōno"), ("d'artagnan", "D'artagnan"), ("-", ""), ("", ""), ("ÅSA\u00a0åSA\u2013x", "Åsa-Åsa-X"),
    ],
)  # fmt: skip
def test_a_first_name_has_capitals_and_hyphens(text, then):
    assert value("ToFirstName", "Name", Name=text) == then


@pytest.mark.parametrize(
    ("text", "then"), [("chief ARCHITECT", "Chief ARCHITECT"), ("élu", "Élu"), ("", ""), (" a", " a"), ("1a", "1a")]
)
def test_a_title_starts_with_a_capital_and_is_otherwise_unchanged(text, then):
    assert value("ToTitle", "Name", Name=text) == then


@pytest.mark.parametrize(
    ("text", "then"),
    [
        ("cn=Ann, ou = Sales ,dc=example", "CN=Ann,OU=Sales,DC=example"),
        ("CN=Ann;OU=Sales", "CN=Ann,OU=Sales"),
        ("cn=Lovelace\\, Ada,dc=x", "CN=Lovelace\\, Ada,DC=x"),
        ('cn="Lovelace, Ada",dc=x', "CN=Lovelace\\, Ada,DC=x"),
        ("cn=Lovelace\\2C Ada,dc=x", "CN=Lovelace\\, Ada,DC=x"),
        ("cn=M\\C3\\BCller", "CN=Müller"),
        ("ou=b+cn=a", "CN=a+OU=b"),
        ("cn=a\\ ", "CN=a\\ "),
        ("cn=\\ a", "CN=\\ a"),
        ("cn=#x", "CN=\\#x"),
        ("cn=a=b", "CN=a=b"),
        ("cn=\\5C2C", "CN=\\\\2C"),
        ("2.5.4.3=x", "2.5.4.3=x"),
        ("cn=", "CN="),
        ("Ann", None),
        ("cn=a,,dc=b", None),
        ('cn="a', None),
        ("cn=\\FF", None),
        ("", None),
    ],
)
def test_notations_of_a_distinguished_name_become_equal(text, then):
    assert value("ToFormatedDN", "Name", Name=text) == then


# Dates


@pytest.mark.parametrize(
    ("expression", "text", "then"),
    [
        ("ParseUniversalDate:dd/MM/yyyy", "31/12/2020", datetime(2020, 12, 31)),
        ("ParseUniversalDate:dd/MM/yyyy", " 31/12/2020\t", datetime(2020, 12, 31)),
        ("ParseUniversalDate:yyyyMMddHHmmss", "20201231235958", datetime(2020, 12, 31, 23, 59, 58)),
        ("ParseUniversalDate:d/M/yy h:mm tt", "1/2/49 12:05 am", datetime(2049, 2, 1, 0, 5)),
        ("ParseUniversalDate:d/M/yy h:mm tt", "1/2/50 12:05 PM", datetime(1950, 2, 1, 12, 5)),
        ("ParseUniversalDate:yyyy-MM-ddTHH:mm:ss.fZ", "2020-01-02T03:04:05.5Z", datetime(2020, 1, 2, 3, 4, 5, 500000)),
        ("ParseUniversalDate:'le' dd.MM.yyyy", "le 01.02.2003", datetime(2003, 2, 1)),
        ("ParseLocalDate:Romance Standard Time|dd/MM/yyyy", "31/12/2020", datetime(2020, 12, 30, 23)),
        ("ParseLocalDate:Europe/Paris|dd/MM/yyyy", "01/07/2020", datetime(2020, 6, 30, 22)),
        ("ParseLocalDate:UTC|dd/MM/yyyy", "01/07/2020", datetime(2020, 7, 1)),
        ("ParseLocalDate:Eastern Standard Time|MM/dd/yyyy HH:mm", "07/04/2026 09:30", datetime(2026, 7, 4, 13, 30)),
        ("ParseLocalDateThenAddMinutes:Romance Standard Time|dd/MM/yyyy|60", "31/12/2020", datetime(2020, 12, 31)),
        ("ParseLocalDateThenAddMinutes:UTC|dd/MM/yyyy|-1", "31/12/2020", datetime(2020, 12, 30, 23, 59)),
        ("ParseUniversalDateThenAddMinutes:dd/MM/yyyy|90", "31/12/2020", datetime(2020, 12, 31, 1, 30)),
        ("ParseUniversalDateThenAddMinutes:UTC|dd/MM/yyyy|90", "31/12/2020", datetime(2020, 12, 31, 1, 30)),
        ("Trim|ParseUniversalDate:dd/MM/yyyy", " 31/12/2020 ", datetime(2020, 12, 31)),
    ],
)  # fmt: skip
def test_a_text_is_read_as_a_date(expression, text, then):
    assert value(expression, "Name", DATE, Name=text) == then


@pytest.mark.parametrize(
    "text",
    ["", "x", "1/1/2020", "31/02/2020", "2020-01-01", "00/01/2020", "01/13/2020", "01/01/20200", "١/١/٢٠٢٠", "#"],
)
def test_a_text_in_another_format_gives_null(text):
    assert value("ParseLocalDate:Romance Standard Time|dd/MM/yyyy", "Name", DATE, Name=text) is None


def test_a_date_before_the_year_1_in_utc_is_null():
    assert value("ParseLocalDate:Romance Standard Time|dd/MM/yyyy", "Name", DATE, Name="01/01/0001") is None
    assert value("ParseUniversalDate:dd/MM/yyyy", "Name", DATE, Name="01/01/0001") == datetime(1, 1, 1)


@pytest.mark.parametrize(
    ("local", "utc"),
    [
        ("2024-03-31 01:59", datetime(2024, 3, 31, 0, 59)),
        ("2024-03-31 02:30", datetime(2024, 3, 31, 1, 30)),  # does not exist: as if the clock had not been changed yet
        ("2024-03-31 03:00", datetime(2024, 3, 31, 1, 0)),
        ("2024-10-27 01:59", datetime(2024, 10, 26, 23, 59)),
        ("2024-10-27 02:30", datetime(2024, 10, 27, 1, 30)),  # comes twice: the second time, in standard time
        ("2024-10-27 03:00", datetime(2024, 10, 27, 2, 0)),
    ],
)
def test_local_times_around_a_clock_change_are_converted(local, utc):
    assert value("ParseLocalDate:Romance Standard Time|yyyy-MM-dd HH:mm", "Name", DATE, Name=local) == utc


@pytest.mark.parametrize(
    ("pattern", "then"),
    [
        ("dd/MM/yyyy HH:mm:ss", "04/07/2026 15:05:06"),
        ("d MMM yy, h:mm tt", "4 Jul 26, 3:05 PM"),
        ("dddd d MMMM yyyy", "Saturday 4 July 2026"),
        ("yyyy-MM-ddTHH:mm:ss.ffffff", "2026-07-04T15:05:06.078900"),
        ("ss.f'/'fff", "06.0/078"),
        ("'100%' HH", "100% 15"),
    ],
)
def test_a_date_is_written_in_local_time(pattern, then):
    born = datetime(2026, 7, 4, 13, 5, 6, 78900)

    assert value(f"FormatLocalDate:Romance Standard Time|{pattern}", "Born", Born=born) == then


def test_a_text_in_iso_8601_can_be_formatted_and_any_other_gives_null():
    assert value("FormatLocalDate:UTC|dd/MM/yyyy", "Name", Name="2026-07-04T01:00:00+02:00") == "03/07/2026"
    assert value("FormatLocalDate:UTC|dd/MM/yyyy", "Name", Name="4 July") is None


def test_functions_can_follow_dates_and_dates_functions():
    pipe = "Trim|ParseLocalDate:Romance Standard Time|dd/MM/yyyy HH:mm|FormatLocalDate:UTC|ddMMMyyyy|ToUpper"

    assert value(pipe, "Name", Name=" 04/07/2026 01:00") == "03JUL2026"


# What is refused

LOCAL = "as in ParseLocalDate:Romance Standard Time|dd/MM/yyyy"


@pytest.mark.parametrize(
    ("expression", "message"),
    [
        ("ToLowr", 'uses "ToLowr", which is no function; did you mean "ToLower"?'),
        ("tolower", 'uses "tolower", which is no function; did you mean "ToLower"?'),
        ("Trim|Frobnicate", 'uses "Frobnicate", which is no function'),
        ("Trim||ToLower", 'uses "", which is no function'),
        ("ToLower:x", "gives ToLower 1 parameter; it takes none"),
        ("ParseLocalDate", f"gives ParseLocalDate no parameter; it takes a time zone and a format, {LOCAL}"),
        ("ParseLocalDate:UTC", f"gives ParseLocalDate 1 parameter; it takes a time zone and a format, {LOCAL}"),
        ("ParseLocalDate:UTC|dd/MM/yyyy|x", 'uses "x", which is no function'),
        ("ParseUniversalDate:dd/bb/yyyy", 'writes dates as "dd/bb/yyyy", which cannot be understood: b has no meaning'),
        ("ParseUniversalDate:dd/MM", 'writes dates as "dd/MM", which cannot be understood: it must say year, month'),
        ("ParseUniversalDate:" + "y" * 200, "holds a format of more than 100 characters"),
        ("FormatLocalDate:UTC|qq", 'writes dates as "qq", which cannot be understood: q has no meaning'),
        (
            "ParseLocalDate:Romance Standard Tim|dd/MM/yyyy",
            'names the time zone "Romance Standard Tim", which does not exist; did you mean "Romance Standard Time"?',
        ),
        (
            "ParseLocalDate:Europe/Pari|dd/MM/yyyy",
            'names the time zone "Europe/Pari", which does not exist; did you mean "Europe/Paris"?',
        ),
        ("ParseLocalDateThenAddMinutes:UTC|dd/MM/yyyy|an hour", 'adds "an hour" minutes; write a whole number up to'),
        ("ParseLocalDateThenAddMinutes:UTC|dd/MM/yyyy|99999999999", 'adds "99999999999" minutes; write a whole number'),
        (
            "ParseUniversalDateThenAddMinutes:Romance Standard Time|dd/MM/yyyy|60",
            'reads universal dates in the time zone "Romance Standard Time"; for local ones there is '
            "ParseLocalDateThenAddMinutes:Romance Standard Time|dd/MM/yyyy|60",
        ),
        ("|".join(["Trim"] * 17), "pipes more than 16 functions"),
        ("|" * 100, "pipes more than 16 functions"),
        ("|".join(["ParseUniversalDate:yyMMdd"] + ["FormatLocalDate:UTC|f.f.f.f.f.f"] * 9), "does too much at once"),
    ],
)  # fmt: skip
def test_an_invalid_pipe_is_refused_with_what_to_write(expression, message):
    assert refusal(expression, "Name").startswith(message)


@pytest.mark.parametrize(
    ("expression", "binding", "message"),
    [
        ("ParseUniversalDate:yyyy", "Born", "applies ParseUniversalDate to a date, which need not be parsed"),
        ("FormatLocalDate:UTC|yyyy", "Age", "applies FormatLocalDate to a whole number; it takes a date"),
    ],
)
def test_a_function_of_a_value_of_the_wrong_type_is_refused(expression, binding, message):
    assert refusal(expression, binding).startswith(message)


@pytest.mark.parametrize(
    ("expression", "text", "then"),
    [
        ("ToGuid", " {EB2BF6C4-512D-447F-8AA0-CF2499F6980F} ", "eb2bf6c4-512d-447f-8aa0-cf2499f6980f"),
        ("ToGuid", "xPYr6y1Rf0SKoM8kmfaYDw==", "eb2bf6c4-512d-447f-8aa0-cf2499f6980f"),
        ("ToGuid:BigEndian", "xPYr6y1Rf0SKoM8kmfaYDw==", "c4f62beb-2d51-7f44-8aa0-cf2499f6980f"),
        ("ToGuid", "xPYr6y1Rf0SKoM8k", None),
        ("ToGuid", "Ann", None),
        ("ToSid", "AQUAAAAAAAUVAAAAoGXPfnhLm1/nfIdwUAQAAA==", "S-1-5-21-2127521184-1604012920-1887927527-1104"),
        ("ToSid", "s-1-5-32-544", "S-1-5-32-544"),
        ("ToSid", "X'0101000000000005'", None),
        ("ToSid", "", None),
    ],
)
def test_identifiers_are_read_from_their_bytes(expression, text, then):
    assert value(expression, "Name", Name=text) == then


def test_an_unknown_order_of_bytes_is_refused():
    assert "write LittleEndian or BigEndian" in refusal("ToGuid:Middle", "Name")
