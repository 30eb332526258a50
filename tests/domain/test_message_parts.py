"""Messages in parts: what happened, where, what to do."""

from __future__ import annotations

import pytest

from deltamark.domain.errors import Fault, SourceError, ThresholdExceeded, UsageError, UserTaskFailed
from deltamark.domain.location import Location
from deltamark.domain.message_parts import NOWHERE, MessageParts, Place, parts_of


@pytest.mark.parametrize(
    ("text", "what", "advice"),
    [
        ("it broke.", "it broke.", None),
        ("it broke. Mend it.", "it broke.", "Mend it."),
        ("it broke", "it broke", None),
        ("", "", None),
        ("it broke. Nothing was changed. Mend it. Run again.", "it broke. Nothing was changed.", "Mend it. Run again."),
        ("it broke. What was done counts. Go on.", "it broke. What was done counts.", "Go on."),
        ('"a. B" is no name (a. B). Choose another.', '"a. B" is no name (a. B).', "Choose another."),
        ('there is no job "A"; did you mean "B"?', 'there is no job "A"', 'Did you mean "B"?'),
        ("it took 1.5 s. `deltamark runs` shows it.", "it took 1.5 s.", "`deltamark runs` shows it."),
        ("m:f raised E. Nothing was changed. Mend it.\n  File x", "m:f raised E. Nothing was changed.", "Mend it."),
        ('an open " quote. Never ends', 'an open " quote. Never ends', None),
    ],
)
def test_a_text_is_cut_after_what_happened(text: str, what: str, advice: str | None) -> None:
    parts = parts_of(text)

    assert parts.advice == advice
    assert parts.what == what
    assert parts.place == NOWHERE


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ("People.csv: wrong.", Place(file="People.csv")),
        ("my files/People.csv:3: wrong.", Place(file="my files/People.csv", line=3)),
        ("a.xlsx:3:Date of birth: wrong.", Place(file="a.xlsx", line=3, column="Date of birth")),
        ("People: wrong.", NOWHERE),
        ('there is no "a.csv": wrong.', NOWHERE),
        ("function package.module:f raised x: wrong.", NOWHERE),
    ],
)
def test_a_file_at_the_beginning_is_where_it_happened(text: str, place: Place) -> None:
    assert parts_of(text).place == place


def test_errors_that_have_their_parts_give_them() -> None:
    where = Location("E. coli.csv", 3, "Name")
    source = SourceError(where, "it holds no value. Really none", value='x". Y', advice="Ask. Then mend.")
    assert source.parts == MessageParts(
        'it holds no value. Really none (read: "x". Y"). Nothing was changed.',
        Place(file="E. coli.csv", line=3, column="Name"),
        "Ask. Then mend.",
    )
    exceeded = ThresholdExceeded("HR", "80 of 300 would be deleted", "Look at them. Decide.").parts
    assert (exceeded.place, exceeded.advice) == (Place(connector="HR"), "Look at them. Decide.")
    assert UserTaskFailed("m:f", "raised E", ["File x"]).parts.advice == "Correct the function and run the job again."
    about = UsageError("there is none.").about(Place(entity_type="Person", key="1"))
    assert about.parts == MessageParts("there is none.", Place(entity_type="Person", key="1"))
    fault = Fault(Location("a.xml", 1, "5"), "it is wrong. Mend it.").parts
    assert fault == MessageParts("it is wrong.", Place(file="a.xml", line=1, column="5"), "Mend it.")
