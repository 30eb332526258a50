"""Texts for spreadsheets: none is a formula, and removing the apostrophes restores the text."""

from __future__ import annotations

import re

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from deltamark.domain.spreadsheets import guarded

TEXTS = st.text(st.sampled_from("=+-@\t\r\n' a'1\u00a0\u2028＝"), max_size=8) | st.text(max_size=20)


def unguarded(text: str) -> str:
    """Restores a text as the reference of formats says: removes an apostrophe before each guarded line."""
    lines = text.splitlines(keepends=True)
    first = r"'(?='*(\s*[=+\-@＝＋－＠]|\t|[\r\n]))"
    others = r"'(?='*(\s*[=+\-@＝＋－＠]|\t))"
    return "".join(re.sub(f"^{others if n else first}", "", line) for n, line in enumerate(lines))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("=1+1", "'=1+1"),
        ("  +1", "'  +1"),
        ("-1", "'-1"),
        ("@SUM(A1)", "'@SUM(A1)"),
        ("\tx", "'\tx"),
        ("\rx", "'\rx"),
        ("\nx", "'\nx"),
        ("a\n=1", "a\n'=1"),
        ("a\r\n @b", "a\r\n' @b"),
        ("\u00a0=1", "'\u00a0=1"),
        ("＝1", "'＝1"),
        ("'=1", "''=1"),
        ("'t Hooft", "'t Hooft"),
        ("a=b", "a=b"),
        ("a\n\nb", "a\n\nb"),
        ("", ""),
    ],
)
def test_a_line_that_looks_like_a_formula_gets_an_apostrophe(text, expected):
    assert guarded(text) == expected


@given(TEXTS)
@example("'\n=")
def test_no_line_begins_like_a_formula(text):
    found = guarded(text)

    assert found[:1] not in ("\t", "\r", "\n")
    for line in found.splitlines():
        assert line.lstrip()[:1] not in tuple("=+-@")


@given(TEXTS)
@example("'\n")
@example("''\n=")
def test_removing_the_apostrophes_restores_the_text(text):
    assert unguarded(guarded(text)) == text
