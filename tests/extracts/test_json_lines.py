"""JSON lines: exact spellings, paths, and lines that cannot be read."""

from __future__ import annotations

import re

import pytest

from deltamark.domain.errors import SourceError
from tests.extracts.folder import STRING, states

NAMED = {"id": STRING, "name.family": STRING}


def read(folder, content, types=None, **arguments):
    folder.write("people.jsonl", content)
    return folder.read_mapped(types or NAMED, **arguments)


def set_aside(extract):
    return [(row.line, row.reason) for row in extract.cleansed.set_aside]


def test_numbers_keep_their_spelling_and_members_are_found_by_their_path(folder):
    content = '{"id": 1.10, "name": {"family": "Ünal"}}\n\n{"id": 12345678901234567890123, "name": {"family": 1e3}}'

    extract = read(folder, "\ufeff" + content)

    assert states(extract) == {
        "1.10": {"P0": "1.10", "P1": "Ünal"},
        "12345678901234567890123": {"P0": "12345678901234567890123", "P1": "1e3"},
    }


def test_a_member_whose_name_has_a_point_is_found(folder):
    extract = read(folder, '{"id": "a", "name.family": "A"}')

    assert states(extract) == {"a": {"P0": "a", "P1": "A"}}


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ('{"id": "b", "name": {"family": "B"}', "the line is no JSON"),
        ('{"id": "b", "id": "c"}', 'the member "id" is there twice'),
        ('{"id": "b", "name": {"family": NaN}}', "NaN is no JSON number"),
        ('{"id": "b", "name": {"family": "\\u0000"}}', "a character that no text may have"),
        ('{"id": "b", "name": {"family": "\\ud800"}}', "a character that no text may have"),
        ('{"id": "b", "name.family": "x", "name": {"family": "B"}}', 'two members lead to "name.family"'),
        ('{"id": "b", "name": {"family.x": "B"}}', "has a point in a name"),
        ("17", "the line is JSON, but no object"),
        ("[" * 100_000, "nested too deeply"),
        (b'{"id": "b", "name": {"family": "\xff"}}', "not text in UTF-8 (byte 33)"),
    ],
)
def test_a_line_that_cannot_be_read_is_set_aside_and_deletes_nothing(folder, line, reason):
    line = line.encode() if isinstance(line, str) else line

    extract = read(folder, b'{"id": "a", "name": {"family": "A"}}\n' + line + b"\n")

    ((number, told),) = set_aside(extract)
    assert number == 2
    assert reason in told
    assert list(states(extract)) == ["a"]
    assert extract.cleansed.incomplete is not None


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ('[{"id": "a"}]', "people.jsonl:1: this is one JSON array"),
        ('{"id": "a", "name": {"family": ["A", "B"]}}', 'people.jsonl:1:name.family: "name.family" holds a list'),
        ('{"id": "a", "name": "A"}', 'there is no column "name.family"'),
        ("id,name\na,A\n", "people.jsonl:1: no line can be read, this one because the line is no JSON"),
        ('\n{"id": "a", "id": "b"}\n17\n', 'people.jsonl:2: no line can be read, this one because the member "id"'),
        ("{}\n", 'there is no column "id"; there is none'),
    ],
)
def test_a_file_of_another_shape_is_refused(folder, content, message):
    with pytest.raises(SourceError, match=re.escape(message)):
        read(folder, content)


def test_an_object_in_the_place_of_a_value_is_refused_with_its_line(folder):
    content = '{"id": "a", "name": "A"}\n{"id": "b", "name": {"family": "B"}}'

    with pytest.raises(SourceError, match=r'people\.jsonl:2:name: "name" holds an object'):
        read(folder, content, {"id": STRING, "name": STRING})
