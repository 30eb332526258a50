from __future__ import annotations

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deltamark.domain.configuration.value_formats import Comparison
from deltamark.domain.synchronization import spellings
from deltamark.domain.synchronization.spellings import comparable, differences
from tests.tiers import law

NAME = r"CN=Boss\, Jane,OU=Sales"


@pytest.mark.parametrize(
    "spelling",
    [
        r"cn=boss\, jane,ou=sales",
        r"CN = Boss\, Jane , OU=Sales",
        r"CN=Boss\2C Jane,OU=Sales",
        'CN="Boss, Jane",OU=Sales',
        r"CN=Boss\,  Jane,OU=Sales ",
        r"ＣＮ=Ｂoss\, Jane,OU=Sales".replace("ＣＮ", "CN"),
        r"CN=Boss\, Jane;OU=Sales",
    ],
)
def test_spellings_that_a_directory_takes_for_one_name(spelling):
    assert comparable(spelling, Comparison.DIRECTORY) == comparable(NAME, Comparison.DIRECTORY)


@pytest.mark.parametrize(
    "other", [r"CN=Boss\, John,OU=Sales", "CN=Boss,OU=Sales", "CN=Boss,CN=Jane,OU=Sales", "Boss", ""]
)
def test_names_that_a_directory_tells_apart(other):
    assert comparable(other, Comparison.DIRECTORY) != comparable(NAME, Comparison.DIRECTORY)


def test_a_comma_within_a_name_is_no_separator_whatever_its_width():
    assert comparable("CN=a，b", Comparison.DIRECTORY) == comparable(r"CN=a\,b", Comparison.DIRECTORY)
    assert comparable("CN=a，OU=b", Comparison.DIRECTORY) != comparable("CN=a,OU=b", Comparison.DIRECTORY)


@pytest.mark.parametrize(
    ("left", "right"),
    [("Ann", "ANN"), ("Straße", "STRASSE"), ("Müller", "Mu\u0308ller"), ("ＡＢ", "ab"), ("ς", "Σ"), ("İ", "I\u0307")],
)
def test_letter_case_width_and_composition_may_be_ignored(left, right):
    assert comparable(left, Comparison.IGNORE_CASE) == comparable(right, Comparison.IGNORE_CASE)
    assert comparable(left, Comparison.EXACT) != comparable(right, Comparison.EXACT)


@pytest.mark.parametrize(("left", "right"), [("Ann", "Anne"), ("Ann", "Ann "), ("e", "é"), ("1", "١")])
def test_other_differences_count(left, right):
    assert comparable(left, Comparison.IGNORE_CASE) != comparable(right, Comparison.IGNORE_CASE)


@law(200)
@given(text=st.text(), comparison=st.sampled_from(Comparison))
def test_law_the_form_of_a_form_is_the_same(text, comparison):
    form = comparable(text, comparison)

    assert comparable(form, comparison) == form
    if comparison is not Comparison.EXACT:
        assert comparable(unicodedata.normalize("NFD", text), comparison) == form


@law(300)
@given(text=st.text("cCnN=,= b#\\+x-", max_size=20))
def test_law_the_short_way_for_plain_names_gives_the_same(text):
    plain = spellings._plain_name(text)

    assert plain is None or plain == spellings._any_name(text)


@pytest.mark.parametrize(
    ("left", "right", "then"),
    [
        ("Ann", "ANN", ["letter case"]),
        ("Ann", " ann", ["letter case", "blanks"]),
        ("Müller", "Mu\u0308ller", ["how letters with accents are composed"]),
        ("ＡＢ", "AB", ["the width of letters"]),
        (r"a\,b", "a,b", ["escaped characters"]),
        ("Ann", "Anne", []),
        ("Ann", "Ann", []),
    ],
)
def test_it_is_told_in_what_two_spellings_differ(left, right, then):
    assert differences(left, right) == then
