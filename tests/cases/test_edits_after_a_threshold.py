"""What was held back under another configuration is applied only where no edit since concerns it."""

from __future__ import annotations

import re

import pytest


def blocked(case, name: str):
    """A reported case, with the configuration of the first step, whose second run is blocked."""
    reported = case(name)
    second = reported.configuration(2)
    (reported.folder / "edited.xml").write_bytes(second.read_bytes())
    second.unlink()
    assert reported.run(1).status == 0
    assert reported.run(2).status == 3
    (reported.folder / "configuration" / "2.xml").write_bytes((reported.folder / "edited.xml").read_bytes())
    return reported


EDITS = {
    "27-resume-after-a-property-was-dropped": "Property Phone of Person: dropped (String)",
    "28-resume-after-a-type-changed": "Property Phone of Person: String → Int64",
    "29-resume-after-a-type-was-renamed": "Entity type Person: dropped",
}


@pytest.mark.parametrize("name", EDITS)
def test_an_edit_of_what_was_held_back_is_named_and_nothing_is_applied(case, name):
    reported = blocked(case, name)
    before = reported.command("export", "Person", "--format", "jsonl", step=1).out

    answer = reported.command("resume", "2", step=2)

    assert answer.status == 2
    assert EDITS[name] in answer.err
    assert "Nothing was changed" in answer.err
    assert reported.command("changes", "--run", "2", "--format", "jsonl", step=2).out == b""
    assert reported.command("export", "Person", "--format", "jsonl", step=2).out == before
    assert reported.command("config", "log", "--format", "jsonl", step=2).out.count(b"\n") == 1
    assert reported.command("cancel", "2", step=2).status == 0
    assert reported.run(2).status in (0, 3)


def edit(reported, *replacements: tuple[str, str]) -> None:
    """Gives the second step the configuration of the first with texts replaced."""
    text = reported.configuration(1).read_text()
    for old, new in replacements:
        text, count = re.subn(old, new, text)
        assert count, old
    (reported.folder / "configuration" / "2.xml").write_text(text)


def test_other_limits_and_an_added_property_do_not_concern_what_was_held_back(case):
    reported = blocked(case, "27-resume-after-a-property-was-dropped")
    edit(
        reported,
        ('MaximumUpdatedLines="1"', 'MaximumUpdatedLines="50"'),
        ('<Property Identifier="Phone" />', '<Property Identifier="Phone" /><Property Identifier="Note" />'),
    )

    answer = reported.command("resume", "2", step=2)

    assert answer.status == 0, answer.err
    assert len(reported.command("changes", "--run", "2", "--format", "jsonl", step=2).documents) == 4


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ('ConnectionColumn="phone"', 'ConnectionColumn="phone" NullValues="-"', "Property Phone of Person: NullValues"),
        ('ConnectionTable="people"', 'ConnectionTable="people" Delimiter=";"', "Mapping of Person: Delimiter"),
    ],
)
def test_another_reading_of_the_extract_concerns_what_was_held_back(case, old, new, said):
    reported = blocked(case, "27-resume-after-a-property-was-dropped")
    edit(reported, (old, new))

    answer = reported.command("resume", "2", step=2)

    assert answer.status == 2
    assert said in answer.err
