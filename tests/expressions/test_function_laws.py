"""The predefined functions against plain Python, on texts of all kinds."""

from __future__ import annotations

import re
import unicodedata
from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from deltamark.domain.synchronization.distinguished_names import canonical_name
from deltamark.domain.values import PropertyType
from deltamark.infrastructure.duckdb.connection import locked_down
from deltamark.infrastructure.expressions import udfs as python_functions
from deltamark.infrastructure.expressions.udfs import register_functions
from tests.expressions.language import value, values
from tests.tiers import law

SPECIAL = {
    "ä": "ae", "ö": "oe", "ü": "ue", "ß": "ss", "æ": "ae", "œ": "oe", "š": "sh", "č": "c", "ø": "o", "ł": "l", "đ": "d",
    "ð": "d", "þ": "th",
    "Ä": "AE", "Ö": "OE", "Ü": "UE", "ẞ": "SS", "Æ": "AE", "Œ": "OE", "Š": "SH", "Č": "C", "Ø": "O",
    "Ł": "L", "Đ": "D", "Ð": "D", "Þ": "TH",
}  # fmt: skip
BLANKS = " \t\n\v\f\r\x85\u00a0\u2003\u3000"

# Latin, Greek and Cyrillic letters, marks that combine, signs, and what lies beyond the first plane.
LETTERS = st.one_of(
    st.characters(min_codepoint=0x20, max_codepoint=0x17F),
    st.characters(min_codepoint=0x300, max_codepoint=0x30F),
    st.characters(min_codepoint=0x391, max_codepoint=0x44F, categories=["Lu", "Ll"]),
    st.sampled_from([*SPECIAL, *BLANKS, "\u2013", "\u3000", "日", "😀", "ﬀ", "’"]),
)
TEXTS = st.lists(st.text(LETTERS, max_size=12), min_size=1, max_size=20)


def cased(text: str, how: str) -> str:
    """Changes case letter by letter; a letter whose other case is several letters stays, but for these two."""
    one_letter = {("ß", "upper"): "ẞ", ("İ", "lower"): "i"}
    return "".join(
        one_letter.get((char, how), one if len(one) == 1 else char) for char in text for one in [getattr(char, how)()]
    )


def without_diacritics(text: str) -> str:
    plain = "".join(SPECIAL.get(char, char) for char in unicodedata.normalize("NFC", text))
    if text.isascii():
        return text
    return "".join(char for char in unicodedata.normalize("NFD", plain) if unicodedata.category(char) != "Mn")


def simplified(text: str) -> str:
    return "".join(c for c in cased(without_diacritics(text), "upper") if unicodedata.category(c)[0] in "LN")


def first_name(text: str) -> str:
    words = [word for word in re.split(r"[ \t\n\v\f\r\x85\u00a0\u2003\u3000\u2013-]+", text) if word]
    return "-".join(cased(word[:1], "upper") + cased(word[1:], "lower") for word in words)


ORACLES = {
    "Trim": lambda text: text.strip(BLANKS),
    "TrimStart": lambda text: text.lstrip(BLANKS),
    "TrimEnd": lambda text: text.rstrip(BLANKS),
    "ToUpper": lambda text: cased(text, "upper"),
    "ToLower": lambda text: cased(text, "lower"),
    "RemoveDiacritics": without_diacritics,
    "Simplify": simplified,
    "ToFirstName": first_name,
    "ToTitle": lambda text: cased(text[:1], "upper") + text[1:],
    "Trim|Simplify": lambda text: simplified(text.strip(BLANKS)),
}


def alike(text: str) -> str:
    """A text in composed form, so that composed and decomposed letters are equal."""
    return unicodedata.normalize("NFC", text)


@law(40)
@pytest.mark.parametrize("expression", ORACLES)
@given(texts=TEXTS)
def test_law_a_function_equals_its_counterpart_in_plain_python(expression, texts):
    found = values(expression, *({"Name": text} for text in texts), binding="Name")

    assert [alike(text) for text in found] == [alike(ORACLES[expression](text)) for text in texts]


@law(40)
@given(texts=TEXTS)
def test_law_simplifying_a_text_twice_changes_nothing_more(texts):
    once = values("Simplify", *({"Name": text} for text in texts), binding="Name")

    assert values("Simplify", *({"Name": text} for text in once), binding="Name") == once


@law(40)
@given(texts=TEXTS)
def test_law_phonetic_codes_are_short_ascii_or_null(texts):
    people = [{"Name": text} for text in texts]

    for code, text in zip(values("ToSoundex", *people, binding="Name"), texts, strict=True):
        assert (code is None) == (not re.search("[A-Z]", without_diacritics(text).upper()))
        assert code is None or re.fullmatch("[A-Z][0-6]{3}", code)
    for code in values("ToDoubleMetaphone", *people, binding="Name"):
        assert code is None or re.fullmatch("[A-Z0 ]+", code)


@law(40)
@given(values_=st.lists(st.text(st.sampled_from('aB ,;+=#"\\<>é\n'), max_size=8), min_size=1, max_size=4))
def test_law_formatting_a_distinguished_name_twice_changes_nothing(values_):
    escaped = ["".join(f"\\{char}" for char in value) for value in values_]
    name = ", ".join(f"cn = {value}" for value in escaped)

    once = canonical_name(name)

    assert once is not None
    assert canonical_name(once) == once
    assert once.count("CN=") >= len(values_)


@law(40)
@pytest.mark.parametrize(("windows", "iana"), [("Romance Standard Time", "Europe/Paris"), ("UTC", "UTC")])
@given(
    moments=st.lists(
        st.datetimes(datetime(1970, 1, 2), datetime(2037, 12, 30)).map(lambda m: m.replace(microsecond=0)), min_size=1
    )
)
def test_law_an_unambiguous_local_date_survives_parsing_and_formatting(windows, iana, moments):
    local = [m.replace(tzinfo=UTC).astimezone(ZoneInfo(iana)) for m in moments]
    written = [{"Name": m.strftime("%d/%m/%Y %H:%M:%S")} for m in local]
    zone = f"{windows}|dd/MM/yyyy HH:mm:ss"

    found = values(f"ParseLocalDate:{zone}", *written, binding="Name", result=PropertyType.DATE_TIME)

    for moment, before, read in zip(moments, local, found, strict=True):
        ambiguous = before.utcoffset() != before.replace(fold=1).utcoffset()
        assert read == moment or ambiguous
    again = values(f"FormatLocalDate:{zone}", *({"Born": m} for m in moments), binding="Born")
    assert again == [text["Name"] for text in written]


def test_each_distinct_text_is_computed_once(monkeypatch):
    seen: list[str] = []
    monkeypatch.setitem(python_functions._FUNCTIONS, "deltamark_soundex", lambda text: seen.append(text) or text[:1])
    names = pa.table({"name": ["Ann", "Bob", None, "Ann"] * 5_000})

    with locked_down(names=names) as db:
        register_functions(db, "deltamark_soundex")
        register_functions(db, "deltamark_soundex")
        found = db.execute("SELECT deltamark_soundex(name) AS code, count(*) FROM names GROUP BY code").fetchall()

    assert dict(found) == {"A": 10_000, "B": 5_000, None: 5_000}
    assert len(seen) <= 4  # two threads may come upon the same text


def test_phonetic_codes_can_be_piped_to_other_functions():
    assert value("ToSoundex|ToLower", "Name", Name="Ann") == "a500"
