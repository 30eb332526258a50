import pytest

from deltamark.domain.errors import SourceError
from deltamark.domain.values import PropertyType as T
from tests.extracts.folder import STRING, aside, lines, pairs, states


def test_a_row_without_key_is_set_aside_and_nothing_is_deleted(folder):
    found = folder.read('id,name\n,a\n  ,b\n\u00a0\t,c\n\u200b,d\n"  ",f\nk,e\n')

    assert aside(found) == [
        (n, "id", "the key is empty", v) for n, v in [(2, None), (3, "  "), (4, "\u00a0\t"), (5, "\u200b"), (6, "  ")]
    ]
    assert states(found) == {"k": {"P0": "k", "P1": "e"}}
    assert found.kept.to_pylist() == []
    assert found.cleansed.incomplete == (
        "people.csv: there are 5 rows without a key, "
        "which may be about any missing Person: this extract deletes nothing"
    )
    assert found.cleansed.read.rows == 6


@pytest.mark.parametrize("row", [",,", " , \u00a0,", "\x1a,,", '"","\u200b\ufeff",""', "  ", ";", ",,,,,", ",\t"])
@pytest.mark.parametrize("others", ["k,e,\n", 'k,"e",\n'], ids=["plain", "quoted"])
def test_a_row_in_which_nothing_is_is_passed_over(folder, row, others):
    row = row.replace(";", ",") if row == ";" else row

    found = folder.read_three_columns(f"id,a,b\n{others}{row}\n{row}\nl,,\n{row}\n")

    assert found.rows["key"].to_pylist() == ["k", "l"]
    assert (found.cleansed.set_aside, found.cleansed.incomplete) == ((), None)
    assert found.cleansed.passed_over == 3
    assert found.cleansed.read.rows == 2


def test_cells_that_no_mapping_names_do_not_make_a_row(folder):
    found = folder.read("id,name,note\nk,e,\n,,Total: 1\n")

    assert (states(found), found.cleansed.set_aside) == ({"k": {"P0": "k", "P1": "e"}}, ())
    assert found.cleansed.incomplete is None


@pytest.mark.parametrize(
    "again", ["id,name", '"id","name"', "\ufeffid,name", " id,name", "ID,Name", "id, name ", '\ufeff"id","name"']
)
def test_the_header_once_more_is_set_aside_and_nothing_is_deleted(folder, again):
    found = folder.read(f"id,name\nk,e\n{again}\nl,f\n")

    assert found.rows["key"].to_pylist() == ["k", "l"]
    assert [(line, column) for line, column, *_ in aside(found)] == [(3, "id")]
    assert "1 row with the header once more" in found.cleansed.incomplete


def test_a_header_with_the_columns_in_another_order_refuses_the_file(folder):
    with pytest.raises(SourceError, match=r"people\.csv:3: this row is a header with the columns in another order"):
        folder.read("id,name\nk,e\nname,id\nf,l\n")


def test_where_the_key_alone_is_mapped_a_key_may_be_the_name_of_the_column_in_another_case(folder):
    found = folder.read("id,name\nDE,Germany\nID,Indonesia\n", id=STRING)

    assert found.rows["key"].to_pylist() == ["DE", "ID"]


def test_a_separator_line_once_more_is_set_aside(folder):
    found = folder.read("sep=;\nid;name\nk;e\nsep=;\nid;name\nl;f\n")

    assert found.rows["key"].to_pylist() == ["k", "l"]
    assert [line for line, *_ in aside(found)] == [4, 5]


@pytest.mark.parametrize("second", ["2,b", '"2",b', '2,"b"'])
def test_byte_order_marks_of_joined_files_are_no_part_of_keys_or_values(folder, second):
    found = folder.read(f"\ufeffid,name\n1,a\n\ufeff{second}\n")

    assert states(found) == {"1": {"P0": "1", "P1": "a"}, "2": {"P0": "2", "P1": "b"}}
    assert found.cleansed.messages == ("people.csv: 1 byte order mark between rows passed over",)


def test_a_byte_order_mark_before_another_column_than_the_key_is_no_part_of_the_value(folder):
    folder.write("people.csv", "name,id\na,1\n\ufeffb,2\n")

    found = folder.read_mapped({"id": STRING, "name": STRING})

    assert states(found)["2"] == {"P0": "2", "P1": "b"}


def test_joined_files_in_utf_16_have_no_marks_in_keys(folder):
    part = "id,name\n1,a\n".encode("utf-16"), "2,b\n".encode("utf-16")

    found = folder.read(b"".join(part))

    assert found.rows["key"].to_pylist() == ["1", "2"]


def test_keys_keep_their_text_without_what_surrounds_it(folder):
    keys = ["00123", "123", "A1", "a1", "é", "e\u0301", "a  b", "x\u200by"]
    surrounded = [" m", "n\u00a0", "\u200bo", "p\u00ad", "\u202eq\u202c", "r\t"]

    found = folder.read("id,name\n" + "".join(f"{key},n\n" for key in keys + surrounded))

    assert found.rows["key"].to_pylist() == [*keys, "m", "n", "o", "p", "q", "r"]
    assert [state["P0"] for state in states(found).values()] == found.rows["key"].to_pylist()


def test_keys_that_differ_in_what_surrounds_them_are_one_key(folder):
    found = folder.read("id,name\nk,a\nk ,a\nl,a\n\u200bl,b\n")

    assert found.rows["key"].to_pylist() == ["k"]
    assert aside(found) == [
        (3, "id", "the same row as line 2", "k"),
        (4, "id", "the key also occurs in line 5 with other values", "l"),
        (5, "id", "the key also occurs in line 4 with other values", "l"),
    ]


def test_a_key_that_is_too_long_is_set_aside_and_kept(folder):
    longest, longer = "é" * 4096, "é" * 4097

    found = folder.read(f"id,name\n{longest},a\n{longer},b\n")

    assert found.rows["key"].to_pylist() == [longest]
    assert aside(found) == [(3, "id", "the key is longer than 4,096 characters", longer[:1000])]
    assert found.kept.to_pylist() == [longer]


def test_nothing_is_deleted_if_a_key_cannot_be_converted(folder):
    found = folder.read("id,name\n7x,a\n8,b\n", id=T.INT32, name=T.STRING)

    assert aside(found) == [(2, "id", f"the value is not a number; expected is {T.INT32.described}", "7x")]
    assert "there is 1 row with a key of another type, which may be about any missing" in found.cleansed.incomplete
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
    assert "there are 2 rows that cannot be read, which may be about any missing" in found.cleansed.incomplete
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
    assert found.cleansed.read.rows == 5
    assert found.cleansed.passed_over == 1


def test_blanks_around_the_values_of_links_are_no_part_of_them(folder):
    found = folder.links("group,member\ng ,\u00a0a\n\ufeffg,b\u200b\n")

    assert pairs(found) == [("g", "a"), ("g", "b")]


def test_a_link_without_first_value_is_set_aside(folder):
    found = folder.links("group,member\n,a\ng,a\n")

    assert aside(found) == [(2, "group", "the key is empty", None)]
    assert pairs(found) == [("g", "a")]
    assert found.kept.to_pylist() == []
    assert "1 row without a key, which may be about any missing Members" in found.cleansed.incomplete


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
    assert found.faulty.to_pylist() == [{"value1": "h", "line": 7, "command": None}]


def test_a_command_without_a_second_value_applies_to_all_links_of_the_first(folder):
    text = "group,member,do\ng,,delete\nh,,update\nk,,nothing\n,,\n"

    found = folder.links(text, command="do")

    assert pairs(found) == [("g", None, "delete"), ("h", None, "update")]
    assert [(line, column) for line, column, *_ in aside(found)] == [(4, "do")]
