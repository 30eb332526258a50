"""Tables within a width: nothing is broken, nothing is lost."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deltamark.interfaces.cli.table_layout import TableLayout
from deltamark.interfaces.cli.terminal import width_of
from tests.tiers import law

WIDE = "GG-Information-Technology-and-Services"


def table(titles: list[str], *rows: list[str], width: int = 40, numeric: tuple[int, ...] = ()) -> list[str]:
    return list(TableLayout(titles, [n in numeric for n in range(len(titles))], width).lines(rows))


def test_a_table_that_fits_is_plain_with_numbers_to_the_right() -> None:
    assert table(["key", "count"], ["a", "5"], ["bb", "10"], numeric=(1,)) == ["key  count", "a        5", "bb      10"]


def test_what_is_equal_in_every_row_of_a_wide_table_is_said_once() -> None:
    rows = [[f"{n}", WIDE, "2", "0"] for n in (1, 2)]

    assert table(["key", "group", "run", "left"], *rows, width=50) == [
        "every row:",
        f"    group {WIDE},",
        "    run 2",
        "key",
        "1",
        "2",
    ]


def test_a_text_of_several_words_is_wrapped_beside_the_other_columns() -> None:
    rows = [["1", "Name: Human Resources → Global Human Resources"], ["2", "short"]]

    assert table(["key", "what"], *rows, width=36) == [
        "key  what",
        "1    Name: Human Resources → Global",
        "     Human Resources",
        "2    short",
    ]


def test_counts_that_do_not_fit_stand_below_their_row_without_zeros() -> None:
    rows = [["SynchronizeStaff", "warning", "336", "0", "5"], ["Flag", "completed", "0", "21", "0"]]

    lines = table(["task", "state", "read", "flagged", "deleted"], *rows, numeric=(2, 3, 4), width=36)

    assert lines == [
        "task              state",
        "SynchronizeStaff  warning",
        "    read 336, deleted 5",
        "Flag              completed",
        "    flagged 21",
    ]


def test_a_word_that_is_wider_than_the_table_is_not_broken() -> None:
    assert table(["key"], [WIDE * 3]) == ["key", WIDE * 3]


def test_a_later_portion_is_wider_or_gets_a_header_of_its_own() -> None:
    layout = TableLayout(["key", "group"], [False, False], 44)

    assert list(layout.lines([["1", "a"], ["2", "b"]])) == ["key  group", "1    a", "2    b"]
    assert list(layout.lines([["3", "c"]])) == ["3    c"]
    assert list(layout.lines([["4", WIDE + "s"]])) == [f"4    {WIDE}s"]
    assert list(layout.lines([["5", WIDE * 2]])) == ["", "key", "5", "    group", f"    {WIDE * 2}"]


TEXTS = st.text(st.sampled_from("ab  é日0"), max_size=30).map(lambda text: " ".join(text.split()))


@law(200)
@given(st.data())
def test_no_word_is_lost_or_broken_and_no_line_too_long(data: st.DataObject) -> None:
    count, width = data.draw(st.integers(1, 6)), data.draw(st.integers(20, 90))
    titles = [f"title{n}" for n in range(count)]
    rows = data.draw(st.lists(st.lists(TEXTS, min_size=count, max_size=count), max_size=6))

    lines = table(titles, *rows, width=width, numeric=tuple(data.draw(st.sets(st.integers(0, count - 1)))))

    said = " ".join(lines).replace(",", " ").split()
    for row in rows:
        for cell in row:
            assert all(word in said for word in cell.split()) or cell in ("", "0")
    for line in lines:
        assert width_of(line) <= width or max(map(width_of, line.split(" "))) > width - 40


@pytest.mark.parametrize("width", [20, 80, 100])
def test_a_table_without_rows_has_a_header(width: int) -> None:
    assert table(["key", "group"], width=width) == ["key  group"]
