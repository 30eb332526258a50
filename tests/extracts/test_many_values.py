"""Cells with several values, each of which names a resource."""

from __future__ import annotations

import pytest

from deltamark.domain.configuration.value_formats import ValueFormat
from deltamark.domain.values import PropertyType
from tests.extracts.folder import aside, lines, pairs

INT32, STRING = PropertyType.INT32, PropertyType.STRING


@pytest.mark.parametrize(
    ("separators", "text", "then"),
    [
        ((None, ";"), 'a,g1;g2\nb,g1\n', [("a", "g1"), ("a", "g2"), ("b", "g1")]),
        ((";", None), 'a;b,g1\n', [("a", "g1"), ("b", "g1")]),
        ((";", "|"), 'a;b,g1|g2\n', [("a", "g1"), ("a", "g2"), ("b", "g1"), ("b", "g2")]),
        ((None, ";"), 'a," g1 ;; g2 ; "\n', [("a", "g1"), ("a", "g2")]),
        ((None, ";"), 'a,;\nb,\nc, ; ;\n', []),
        ((None, ";"), r'a,CN=x\;y;CN=z' + "\n", [("a", r"CN=x\;y"), ("a", "CN=z")]),
        ((None, "\n"), 'a,"g1\ng2"\n', [("a", "g1"), ("a", "g2")]),
        ((None, ";"), 'a,g1;g1\na,g2;g1\n', [("a", "g1"), ("a", "g2")]),
        ((None, ";"), 'a,-;g1\nb,-\n', [("a", "g1")]),
    ],
)  # fmt: skip
def test_each_value_of_a_cell_is_a_link(folder, separators, text, then):
    links = folder.links("group,member\n" + text, separators=separators, written=ValueFormat(null_values=["-"]))

    assert pairs(links) == then
    assert not aside(links)
    assert links.cleansed.read.rows == text.replace('"g1\ng2"', "").count("\n")


def test_the_values_of_a_cell_have_the_line_of_their_row(folder):
    links = folder.links("group,member\na,g1\nb,g1;g2\na,g1;g3\n", separators=(None, ";"))

    assert pairs(links) == [("a", "g1"), ("b", "g1"), ("b", "g2"), ("a", "g3")]
    assert lines(links) == [2, 3, 3, 4]


def test_a_row_with_one_bad_value_is_set_aside_and_keeps_all_links_of_its_first_values(folder):
    links = folder.links("group;member\na|b;1,x\nc;2,3\n", types=(STRING, INT32), separators=("|", ","), delimiter=";")

    assert pairs(links) == [("c", "2"), ("c", "3")]
    assert {row[:2] + row[3:] for row in aside(links)} == {(2, "member", "1,x")}
    assert links.kept.to_pylist() == ["a", "b"]


def test_without_a_separator_a_cell_is_one_value(folder):
    assert pairs(folder.links("group,member\na,g1;g2\n")) == [("a", "g1;g2")]


def test_a_command_concerns_each_value_of_its_row(folder):
    links = folder.links(
        "do,group,member\ninsert,a,g1;g2\ndelete,b,\ndelete,c,g1;g3\n", command="do", separators=(None, ";")
    )

    assert [(row["command"], row["value1"], row["value2"]) for row in links.rows.to_pylist()] == [
        ("insert", "a", "g1"),
        ("insert", "a", "g2"),
        ("delete", "b", None),
        ("delete", "c", "g1"),
        ("delete", "c", "g3"),
    ]


def test_lines_before_the_header_are_skipped(folder):
    links = folder.links("Report,2024\n\nof somebody\ngroup,member\na,g1\n", skip_lines=3)

    assert pairs(links) == [("a", "g1")]
    assert lines(links) == [5]
