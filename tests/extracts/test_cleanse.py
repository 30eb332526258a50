import pytest

from deltamark.domain.errors import SourceError
from deltamark.domain.values import PropertyType as T
from tests.extracts.folder import aside, lines, pairs, states


def test_a_row_without_key_is_set_aside(folder):
    found = folder.read("id,name\n,a\n  ,b\n\u00a0\t,c\n\u200b,d\nk,e\n")

    assert aside(found) == [
        (n, "id", "the key is empty", v) for n, v in [(2, None), (3, "  "), (4, "\u00a0\t"), (5, "\u200b")]
    ]
    assert states(found) == {"k": {"P0": "k", "P1": "e"}}
    assert found.kept.to_pylist() == []
    assert found.cleansed.incomplete is None
    assert found.cleansed.read.rows == 5


def test_keys_keep_their_exact_text(folder):
    keys = ["00123", "123", "A1", "a1", "é", "e\u0301", "a  b", " k", "k", "k\t", "k\u00a0", "k\u200b"]

    found = folder.read("id,name\n" + "".join(f"{key},n\n" for key in keys))

    assert found.rows["key"].to_pylist() == keys


def test_a_key_that_is_too_long_is_set_aside_and_kept(folder):
    longest, longer = "é" * 4096, "é" * 4097

    found = folder.read(f"id,name\n{longest},a\n{longer},b\n")

    assert found.rows["key"].to_pylist() == [longest]
    assert aside(found) == [(3, "id", "the key is longer than 4,096 characters", longer[:1000])]
    assert found.kept.to_pylist() == [longer]


def test_nothing_is_deleted_if_a_key_cannot_be_converted(folder):
    found = folder.read("id,name\n7x,a\n8,b\n", id=T.INT32, name=T.STRING)

    assert aside(found) == [(2, "id", f"the value is not a number; expected is {T.INT32.described}", "7x")]
    assert found.cleansed.incomplete == ("the key of 1 row could not be converted; this extract deletes nothing")
    assert states(found) == {"8": {"P0": 8, "P1": "b"}}


def test_the_first_of_equal_rows_is_applied(folder):
    found = folder.read("id,x,name\nk,1,a\nl,2,b\nk,3,a\nk,4,a\n")

    assert lines(found) == [2, 3]
    assert aside(found) == [(4, "id", "the same row as line 2", "k"), (5, "id", "the same row as line 2", "k")]
    assert found.kept.to_pylist() == []


def test_rows_that_differ_under_the_same_key_are_all_set_aside(folder):
    found = folder.read("id,name\nk,a\nl,b\nk,c\nk,a\n")

    assert lines(found) == [3]
    assert aside(found) == [
        (2, "id", "the key also occurs in line 4 with other values", "k"),
        (4, "id", "the key also occurs in line 2 with other values", "k"),
        (5, "id", "the key also occurs in line 2 with other values", "k"),
    ]
    assert found.kept.to_pylist() == ["k"]


def test_a_row_that_cannot_be_converted_differs_from_other_rows_of_its_key(folder):
    found = folder.read("id,name\nk,1\nk,x\n", id=T.STRING, name=T.INT32)

    assert [line for line, *_ in aside(found)] == [2, 3]
    assert found.rows.num_rows == 0
    assert found.kept.to_pylist() == ["k"]


def test_a_value_that_cannot_be_converted_differs_from_no_value(folder):
    found = folder.read("id,name\nk,\nk,x\n", id=T.STRING, name=T.INT32)

    assert [line for line, *_ in aside(found)] == [2, 3]
    assert found.kept.to_pylist() == ["k"]


def test_keys_that_are_equal_after_conversion_are_duplicates(folder):
    found = folder.read("id,name\n7,a\n007,a\n", id=T.INT32, name=T.STRING)

    assert aside(found) == [(3, "id", "the same row as line 2", "7")]


def test_rows_with_another_number_of_columns_are_set_aside_and_nothing_is_deleted(folder):
    found = folder.read("id,name\nk,a\nshort\nlong,a,b\nl,b\n")

    assert aside(found) == [
        (3, None, "the row has 1 column, the header has 2", "short"),
        (4, None, "the row has 3 columns, the header has 2", "long,a,b"),
    ]
    assert lines(found) == [2, 5]
    assert found.cleansed.incomplete == ("2 rows could not be read; this extract deletes nothing")
    assert found.cleansed.read.rows == 4


def test_line_numbers_are_exact_after_quoted_line_breaks_and_blank_lines(folder):
    found = folder.read('id,name\n\nk,"a\n\nb"\n\r\nl,b\nm\nn,"x\r\ny"\n,c\n')

    assert lines(found) == [3, 7, 9]
    assert [line for line, *_ in aside(found)] == [8, 11]
    assert states(found)["k"]["P1"] == "a\n\nb"
    assert states(found)["n"]["P1"] == "x\r\ny"


def test_commands_are_read_in_any_case(folder):
    text = "id,do,name\na,INSERT,x\nb, add ,x\nc,Update,x\nd,delete,12x\ne,merge,x\n"

    found = folder.read(text, command="do")

    rows = [(row["key"], row["command"], row["state"]) for row in found.rows.to_pylist()]
    assert [row[:2] for row in rows] == [
        ("a", "insert"), ("b", "insert"), ("c", "update"), ("d", "delete"), ("e", "merge"),
    ]  # fmt: skip
    assert rows[0][2] == '{"P0":"a","P1":"x"}'
    assert rows[3][2] == "{}"


def test_only_the_key_of_a_delete_row_is_read(folder):
    found = folder.read("id,do,name\na,delete,12x\nb,insert,12x\n", command="do", id=T.STRING, name=T.INT32)

    assert found.rows["key"].to_pylist() == ["a"]
    assert [line for line, *_ in aside(found)] == [3]


def test_a_row_with_an_unknown_command_is_set_aside_and_its_key_kept(folder):
    found = folder.read("id,do,name\na,modify,x\nb,,x\n", command="do")

    reason = "the command is not one of insert, add, update, delete, merge"
    assert aside(found) == [(2, "do", reason, "modify"), (3, "do", reason, None)]
    assert found.kept.to_pylist() == ["a", "b"]


def test_commands_for_one_key_are_kept_in_their_order(folder):
    found = folder.read("id,do,name\na,insert,x\na,insert,x\nb,delete,\na,nothing,\na,delete,\n", command="do")

    assert [(row["key"], row["command"]) for row in found.rows.to_pylist()] == [
        ("a", "insert"), ("a", "insert"), ("b", "delete"), ("a", "delete"),
    ]  # fmt: skip
    assert found.faulty.to_pylist() == [{"key": "a", "line": 5, "command": None}]


def test_a_missing_command_column_refuses_the_file(folder):
    with pytest.raises(SourceError, match='no column "do"'):
        folder.read("id,name\na,x\n", command="do")


def test_links_are_distinct_pairs(folder):
    found = folder.links("group,member\ng,a\ng,b\ng,a\nh,\n,\nh,a\n")

    assert pairs(found) == [("g", "a"), ("g", "b"), ("h", "a")]
    assert found.rows.schema.names == ["line", "value1", "value2"]
    assert lines(found) == [2, 3, 7]
    assert aside(found) == []
    assert found.cleansed.read.rows == 6


def test_a_link_without_first_value_is_set_aside(folder):
    found = folder.links("group,member\n,a\ng,a\n")

    assert aside(found) == [(2, "group", "the key is empty", None)]
    assert pairs(found) == [("g", "a")]
    assert found.kept.to_pylist() == []


def test_a_link_with_a_second_value_of_another_type_is_set_aside_and_its_first_value_kept(folder):
    found = folder.links("group,member\ng,1x\ng,007\nhx,1\n", types=(T.STRING, T.INT32))

    assert aside(found) == [
        (2, "member", f"the value is not a number; expected is {T.INT32.described}", "1x"),
    ]
    assert pairs(found) == [("g", "7"), ("hx", "1")]
    assert found.kept.to_pylist() == ["g"]


def test_no_link_is_removed_if_a_first_value_cannot_be_converted(folder):
    found = folder.links("group,member\ngx,1\n", types=(T.INT32, T.STRING))

    assert found.cleansed.incomplete is not None
    assert found.rows.num_rows == 0


def test_commands_for_one_link_are_kept_in_their_order(folder):
    text = "group,member,do\ng,a,add\ng,a,insert\nh,a,add\nh,a,delete\nh,b,delete\nh,b,nothing\n"

    found = folder.links(text, command="do")

    assert pairs(found) == [
        ("g", "a", "insert"), ("g", "a", "insert"), ("h", "a", "insert"), ("h", "a", "delete"), ("h", "b", "delete"),
    ]  # fmt: skip
    assert [line for line, *_ in aside(found)] == [7]
    assert found.faulty.to_pylist() == [{"value1": "h", "line": 7}]


def test_a_command_without_a_second_value_applies_to_all_links_of_the_first(folder):
    text = "group,member,do\ng,,delete\nh,,update\nk,,nothing\n,,\n"

    found = folder.links(text, command="do")

    assert pairs(found) == [("g", None, "delete"), ("h", None, "update")]
    assert [(line, column) for line, column, *_ in aside(found)] == [(4, "do")]
