"""Tables within a width: nothing is broken, nothing is lost."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deltamark.interfaces.cli.table_layout import ColumnLayout, TableLayout
from deltamark.interfaces.cli.terminal import width_of
from tests.tiers import law

WIDE = "GG-Information-Technology-and-Services"


def table(
    titles: list[str],
    *rows: list[str],
    width: int = 40,
    numbers: tuple[int, ...] = (),
    counts: tuple[int, ...] = (),
    lists: tuple[int, ...] = (),
) -> list[str]:
    columns = [
        ColumnLayout(title, is_number=n in numbers + counts, is_count=n in counts, is_list=n in lists)
        for n, title in enumerate(titles)
    ]
    return list(TableLayout(columns, width).lines(rows))


def test_a_table_that_fits_is_plain_with_numbers_to_the_right() -> None:
    assert table(["key", "count"], ["a", "5"], ["bb", "10"], numbers=(1,)) == ["key  count", "a        5", "bb      10"]


def test_what_is_equal_in_every_row_of_a_wide_table_is_said_once() -> None:
    rows = [[f"{n}", WIDE, "2", "0"] for n in (1, 2)]

    assert table(["key", "group", "run", "left"], *rows, width=50, counts=(3,)) == [
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

    lines = table(["task", "state", "read", "flagged", "deleted"], *rows, counts=(2, 3, 4), width=36)

    assert lines == [
        "task              state",
        "SynchronizeStaff  warning",
        "    read 336, deleted 5",
        "Flag              completed",
        "    flagged 21",
    ]


def test_a_value_of_zero_is_shown_unless_it_counts_something() -> None:
    rows = [["Finance", WIDE, "0", "0"], ["Sales", WIDE + "s", "3", "0"]]

    assert table(["name", "group", "staff", "set_aside"], *rows, numbers=(2,), counts=(3,)) == [
        "name",
        "Finance",
        "    group",
        f"    {WIDE},",
        "    staff 0",
        "Sales",
        "    group",
        f"    {WIDE}s,",
        "    staff 3",
    ]


def test_a_list_is_broken_at_its_commas_and_within_a_part_only_where_that_is_wider() -> None:
    rows = [["1", "Phone=+420 37 864914, Title=Chief Officer, City=Plzeň"], ["2", "City=Brno"]]

    assert table(["key", "what"], *rows, width=33, lists=(1,)) == [
        "key  what",
        "1    Phone=+420 37 864914,",
        "     Title=Chief Officer,",
        "     City=Plzeň",
        "2    City=Brno",
    ]
    assert table(["key", "what"], ["1", "one, two words of a very long part, three"], width=20, lists=(1,)) == [
        "key",
        "1",
        "    what one,",
        "    two words of a",
        "    very long part,",
        "    three",
    ]


def test_texts_of_the_first_column_are_wrapped_where_nothing_fits_beside_them() -> None:
    assert table(["said", "by"], ["a b c d e f g h", "ada"], width=10) == ["said", "a b c d e", "f g h", "    by ada"]


def test_columns_are_said_beside_the_first_ones_where_that_takes_fewer_lines() -> None:
    rows = [["Read", "336", "0", "5"], ["Flag modified resources", "1", "21", "0"]]

    lines = table(["task", "what is read", "what is flagged", "what is deleted"], *rows, counts=(1, 2, 3), width=70)

    assert lines == [
        "task",
        "Read                     what is read 336, what is deleted 5",
        "Flag modified resources  what is read 1, what is flagged 21",
    ]


def test_colours_do_not_move_what_stands_beside() -> None:
    columns = [ColumnLayout("state"), *(ColumnLayout(f"number_of_{n}", is_count=True, is_number=True) for n in "abcd")]
    plain, coloured = (
        list(TableLayout(columns, 59, style).lines([["+ ok", *"1234"], ["x failed", *"5678"]]))
        for style in (lambda text, _: text, lambda text, _: f"\x1b[32m{text}\x1b[0m" if text else text)
    )

    assert plain[1] == "+ ok      number_of_a 1, number_of_b 2, number_of_c 3,"
    assert [line.replace("\x1b[32m", "").replace("\x1b[0m", "") for line in coloured] == plain


def test_a_text_is_wrapped_although_another_cell_is_one_word_wider_than_the_table() -> None:
    assert table(["key"], ["w" * 30], ["some words which take more"], width=20) == [
        "key",
        "w" * 30,
        "some words which",
        "take more",
    ]


def test_a_number_below_a_title_that_is_wider_than_the_table_is_not_pushed_out() -> None:
    assert table(["title" * 9, "by"], ["5", "ada"], numbers=(0,)) == ["title" * 9, "5", "    by ada"]


def test_a_word_that_is_wider_than_the_table_is_not_broken() -> None:
    assert table(["key"], [WIDE * 3]) == ["key", WIDE * 3]


def test_a_later_portion_is_wider_or_gets_a_header_of_its_own() -> None:
    layout = TableLayout([ColumnLayout("key"), ColumnLayout("group")], 44)

    assert list(layout.lines([["1", "a"], ["2", "b"]])) == ["key  group", "1    a", "2    b"]
    assert list(layout.lines([["3", "c"]])) == ["3    c"]
    assert list(layout.lines([["4", WIDE + "s"]])) == [f"4    {WIDE}s"]
    assert list(layout.lines([["5", WIDE * 2]])) == ["", "key", "5", "    group", f"    {WIDE * 2}"]


TEXTS = st.text(st.sampled_from("ab  é日0,"), max_size=30).map(lambda text: " ".join(text.split()))


@law(200)
@given(st.data())
def test_no_word_is_lost_or_broken_and_no_line_too_long(data: st.DataObject) -> None:
    count, width = data.draw(st.integers(1, 6)), data.draw(st.integers(20, 90))
    titles = [f"title{n}" for n in range(count)]
    rows = data.draw(st.lists(st.lists(TEXTS, min_size=count, max_size=count), max_size=6))
    counts, lists = (tuple(data.draw(st.sets(st.integers(0, count - 1)))) for _ in range(2))

    lines = table(titles, *rows, width=width, counts=counts, lists=lists)

    said = " ".join(lines).replace(",", " ").split()
    for row in rows:
        for n, cell in enumerate(row):
            assert all(word in said for word in cell.replace(",", " ").split()) or (cell == "0" and n in counts)
    for line in lines:
        assert width_of(line) <= width or len(line.split()) == 1


@pytest.mark.parametrize("width", [20, 80, 100])
def test_a_table_without_rows_has_a_header(width: int) -> None:
    assert table(["key", "group"], width=width) == ["key  group"]
