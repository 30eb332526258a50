"""Workbooks: cells as texts, and what must not be read as if it were nothing."""

from __future__ import annotations

import re
from datetime import date, datetime, time, timedelta

import openpyxl
import pytest

from deltamark.domain.errors import SourceError
from tests.extracts.folder import STRING, states
from tests.extracts.workbooks import replaced, workbook

ROWS = [("id", "name"), ("a", "Ann"), ("b", "Bob")]


def read(folder, content, columns=("id", "name"), **arguments):
    folder.write("people.xlsx", content)
    return folder.read_mapped(dict.fromkeys(columns, STRING), **arguments)


def test_cells_are_the_texts_of_a_csv_file(folder):
    cells = ("00123", 7, 7.0, 1234567.89, 1e-7, True, date(2024, 2, 29), datetime(2024, 1, 2, 3, 4, 5), time(8, 30))
    cells += (timedelta(hours=30), "", None)
    names = [f"c{number}" for number in range(len(cells))]

    (state,) = states(read(folder, workbook([names, cells]), names)).values()

    assert list(state.values()) == [
        *("00123", "7", "7", "1234567.89", "0.0000001", "true", "2024-02-29", "2024-01-02T03:04:05"),
        *("08:30:00", "30:00:00"),
    ]


@pytest.mark.parametrize("error", ["#N/A", "#REF!", "#DIV/0!"])
def test_a_row_with_an_error_is_set_aside_and_clears_nothing(folder, error):
    extract = read(folder, workbook([*ROWS, ("c", error)]))

    (row,) = extract.cleansed.set_aside
    assert (row.line, row.reason) == (4, f"the cell B4 holds the error {error}")
    assert list(states(extract)) == ["a", "b"]
    assert extract.cleansed.incomplete is not None


def test_an_error_written_otherwise_is_seen_too(folder):
    content = replaced(workbook([*ROWS, ("c", "#N/A")]), b't="e"', b"t = 'e'")

    assert [row.line for row in read(folder, content).cleansed.set_aside] == [4]


def test_a_text_that_looks_like_an_error_is_a_text(folder):
    def as_text(book):
        book.active["B2"].data_type = "s"

    assert states(read(folder, workbook([("id", "name"), ("a", "#N/A")], as_text)))["a"]["P1"] == "#N/A"


def test_a_formula_without_a_stored_value_is_refused(folder):
    with pytest.raises(SourceError, match='the cell B3 of sheet "Sheet1" has a formula, and its value is not stored'):
        read(folder, workbook([*ROWS[:2], ("b", "=1+1")]))


def test_a_formula_with_a_stored_value_is_read(folder):
    content = replaced(workbook([*ROWS[:2], ("b", "=1+1")]), rb"<v ?/>|<v></v>", b"<v>2</v>")

    assert states(read(folder, content))["b"]["P1"] == "2"


def test_merged_rows_are_refused(folder):
    with pytest.raises(SourceError, match='the cells B2:B3 of sheet "Sheet1" are merged'):
        read(folder, workbook(ROWS, lambda book: book.active.merge_cells("B2:B3")))


def test_a_title_above_the_header_may_be_merged_and_is_skipped(folder):
    content = workbook([("People of today", None), *ROWS], lambda book: book.active.merge_cells("A1:B1"))

    extract = read(folder, content, skip_lines=1)

    assert list(states(extract)) == ["a", "b"]
    assert extract.rows["line"].to_pylist() == [3, 4]


def test_of_several_sheets_the_one_that_is_named_like_the_table_is_read(folder):
    assert list(states(read(folder, workbook(ROWS, lambda book: book.create_sheet("Other"), "people")))) == ["a", "b"]


def test_of_several_sheets_the_only_one_with_values_is_read(folder):
    def empty_sheets(book):
        book.create_sheet("Formatted")["B7"].font = openpyxl.styles.Font(bold=True)
        book.create_sheet("Sheet3", 0)

    assert list(states(read(folder, workbook(ROWS, empty_sheets, "Staff")))) == ["a", "b"]


@pytest.mark.parametrize(
    "rows", [[("anything",)], [(0,)], [("=1+1",)], [(None, None, False)]], ids=["text", "number", "formula", "truth"]
)
def test_it_is_said_which_sheets_with_values_there_are_and_what_to_write(folder, rows):
    def others(book):
        book.create_sheet("Empty")
        for row in rows:
            book.create_sheet("Other").append(row)

    with pytest.raises(SourceError, match=re.escape('sheet is meant; there are "Staff", "Other". ')) as caught:
        read(folder, workbook(ROWS, others, "Staff"))

    assert caught.value.advice == (
        'Write <ConnectionTable Identifier="people" File="people.xlsx" Sheet="Staff" /> in a <Connection> with '
        'Package="Excel", or name the sheet "people".'
    )


@pytest.mark.parametrize(
    "content",
    [b"PK\x03\x04", workbook(ROWS)[:-30], replaced(workbook(ROWS), b"$", b"<")],
    ids=["beginning", "cut", "no XML"],
)
def test_a_damaged_workbook_is_refused(folder, content):
    with pytest.raises(SourceError, match=re.escape("people.xlsx")):
        read(folder, content)
