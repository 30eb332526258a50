"""A delta means its rows in their order and deletes only what it names. Filling a store deletes nothing."""

from __future__ import annotations

import pytest

from tests.cases.case import Case
from tests.cases.conftest import NewCase

pytestmark = pytest.mark.on_every_store


def names(case: Case) -> dict[str, str | None]:
    """Key -> name of the people."""
    return {row["key"]: row["properties"].get("N") for row in case.exported("P")}


def members(case: Case) -> dict[str, list[str]]:
    """Group -> its members."""
    return {row["key"]: row["links"].get("GU", []) for row in case.exported("G")}


INITIAL = 'SynchronizationMode="Initial"'


def with_mode(case: Case, attributes: str) -> None:
    """Gives the preparation of the case other attributes than its SynchronizationMode."""
    path = case.configuration(1)
    text = path.read_text()
    mode = 'SynchronizationMode="Incremental"' if "Incremental" in text else 'SynchronizationMode="Initial"'
    assert mode in text
    path.write_text(text.replace(mode, attributes))


def test_incremental_without_a_command_column_is_refused(case: NewCase) -> None:
    delta = case("50-delta-without-commands")

    validated, run = delta.command("validate"), delta.run(2, "Delta")

    assert (validated.status, run.status) == (2, 2)
    assert "ColumnName" in validated.err + validated.out.decode()
    assert "ColumnName" in run.err


@pytest.mark.parametrize("attributes", ['SynchronizationMode="2"', 'SynchronizationMode="Incremental" ColumnName=""'])
def test_incremental_without_a_command_column_is_refused_however_it_is_written(case: NewCase, attributes: str) -> None:
    delta = case("50-delta-without-commands")
    with_mode(delta, attributes)

    validated = delta.command("validate")

    assert validated.status == 2
    assert "ColumnName" in validated.err + validated.out.decode()


def test_initial_deletes_nothing(case: NewCase) -> None:
    initial = case("51-initial-deletes")
    initial.run(1)

    answer = initial.run(2, "Delta")

    assert answer.status == 0, answer.err
    assert names(initial) == {"1": "Ann", "2": "Bobby", "3": "Cid"}


def test_initial_creates_and_updates_and_an_empty_extract_deletes_nothing(case: NewCase) -> None:
    initial = case("51-initial-deletes")
    initial.run(1)
    initial.extract(2, p="id,name\n4,Dora\n1,\n")

    assert initial.run(2, "Delta").status == 0
    assert names(initial) == {"1": None, "2": "Bob", "3": "Cid", "4": "Dora"}

    initial.extract(2, p="id,name\n")
    assert initial.run(2, "Delta").status == 0
    assert names(initial) == {"1": None, "2": "Bob", "3": "Cid", "4": "Dora"}


def test_a_second_synchronization_after_initial_does_not_read_it_as_complete(case: NewCase) -> None:
    initial = case("51-initial-deletes")
    path = initial.configuration(1)
    path.write_text(path.read_text().replace('<Step Task="SyncS" />', '<Step Task="SyncS" /><Step Task="SyncS" />'))
    initial.run(1)

    initial.run(2, "Delta")

    assert names(initial) == {"1": "Ann", "2": "Bobby", "3": "Cid"}


def test_initial_keeps_the_links_that_it_does_not_name(case: NewCase) -> None:
    groups = case("19-group-emptied-and-filled")
    path = groups.configuration(1)
    path.write_text(path.read_text().replace('SynchronizationMode="Incremental" ColumnName="op"', INITIAL))
    groups.run(1)
    groups.extract(2, g="name\ng3\n", u="login\n", m="group,member\ng3,a\ng1,a\n")

    assert groups.run(2, "Delta").status == 0

    assert members(groups) == {"g1": ["a", "b"], "g2": ["a", "b"], "g3": ["a"]}


def test_initial_replaces_a_link_where_one_is_allowed(case: NewCase) -> None:
    groups = case("19-group-emptied-and-filled")
    path = groups.configuration(1)
    text = path.read_text().replace('SynchronizationMode="Incremental" ColumnName="op"', INITIAL)
    path.write_text(text.replace('IsProperty1Collection="true"', 'IsProperty1Collection="false"'))
    groups.extract(1, m="group,member\ng1,a\ng2,a\n")
    groups.run(1)
    groups.extract(2, g="name\n", u="login\n", m="group,member\ng1,b\n")

    assert groups.run(2, "Delta").status == 0

    assert members(groups) == {"g1": ["b"], "g2": ["a"]}


def test_a_delta_that_names_one_person_twice_is_applied_in_the_order_of_its_rows(case: NewCase) -> None:
    changes = case("13-delta-names-one-twice")
    changes.run(1)

    answer = changes.run(2, "Delta")

    assert names(changes) == {"1": "Anne", "2": "Bobby", "4": "Doris"}
    assert "set aside" not in answer.err
    assert changes.run(3, "Delta").status == 0
    assert names(changes) == {"1": "Anne", "2": "Bobby", "4": "Dorothy"}


def test_a_group_that_is_emptied_and_filled_in_one_delta_has_what_it_was_filled_with(case: NewCase) -> None:
    groups = case("19-group-emptied-and-filled")
    groups.run(1)

    groups.run(2, "Delta")
    assert members(groups) == {"g1": ["a"], "g2": ["a", "b"]}
    groups.run(3, "Delta")
    assert members(groups) == {"g1": ["a"], "g2": ["b"]}
    assert groups.command("verify").status == 0


@pytest.mark.many
@pytest.mark.parametrize(
    ("rows", "expected"),
    [
        ("insert,g1,a\ninsert,g1,\n", []),
        ("delete,g1,\ninsert,g1,b\n", ["b"]),
        ("insert,g1,b\ninsert,g1,a\n", ["a"]),
        ("insert,g1,b\ndelete,g1,b\n", []),
        ("delete,g1,a\nmerge,g1,\n", []),
        ("merge,g1,b\nmerge,g1,\n", ["b"]),
    ],
)
def test_the_last_row_says_the_link_where_one_is_allowed(case: NewCase, rows: str, expected: list[str]) -> None:
    groups = case("19-group-emptied-and-filled")
    path = groups.configuration(1)
    path.write_text(path.read_text().replace('IsProperty1Collection="true"', 'IsProperty1Collection="false"'))
    groups.extract(1, m="group,member\ng1,a\n")
    groups.run(1)
    groups.extract(2, m=f"op,group,member\n{rows}")

    groups.run(2, "Delta")

    assert members(groups).get("g1", []) == expected


def test_a_user_who_is_deleted_and_created_again_in_one_delta_is_in_no_group(case: NewCase) -> None:
    groups = case("19-group-emptied-and-filled")
    groups.run(1)
    groups.extract(2, m="op,group,member\n", u="op,login\ndelete,a\ninsert,a\n")

    groups.run(2, "Delta")

    assert members(groups) == {"g1": ["b"], "g2": ["b"]}
    assert groups.keys("U") == ["a", "b"]


def test_what_cannot_be_read_after_a_deletion_keeps_what_the_deletion_names(case: NewCase) -> None:
    changes = case("13-delta-names-one-twice")
    changes.run(1)
    changes.extract(2, p="op,id,name\ndelete,1,\ninsrt,1,Anna\ndelete,2,\n")

    answer = changes.run(2, "Delta")

    assert names(changes) == {"1": "Ann", "3": "Cid"}
    assert "a later row with this key could not be read, so that the resource is not deleted" in answer.err


def test_links_that_wait_are_taken_back_by_later_deltas_and_later_rows(case: NewCase) -> None:
    groups = case("19-group-emptied-and-filled")
    groups.run(1)
    groups.extract(2, m="op,group,member\ninsert,g1,c\ninsert,g1,d\ninsert,g2,d\ndelete,g2,d\n")
    groups.run(2, "Delta")
    groups.extract(2, m="op,group,member\ndelete,g1,c\n")
    groups.run(2, "Delta")

    groups.extract(2, m="op,group,member\n", u="op,login\ninsert,c\ninsert,d\n")
    groups.run(2, "Delta")

    assert members(groups) == {"g1": ["a", "b", "d"], "g2": ["a", "b"]}


def test_rows_that_replace_are_all_links_of_their_first_value(case: NewCase) -> None:
    groups = case("19-group-emptied-and-filled")
    rows_of = {
        "one": (["replace,b"], ["b"]),
        "two": (["replace,c", "Replace,b"], ["b", "c"]),
        "none": (["replace,"], []),
        "among others": (["insert,c", "replace,b", "insert,a"], ["a", "b"]),
        "emptied": (["delete,", "replace,b", "replace,", "replace,c"], ["c"]),
        "unreadable after": (["replace,b", "rplace,c"], ["a", "b"]),  # it may be one of the links
        "unreadable before": (["rplace,c", "replace,b"], ["a", "b"]),
        "untouched": ([], ["a"]),
    }
    groups.extract(
        1,
        g="name\n" + "".join(f"{name}\n" for name in rows_of),
        m="group,member\n" + "".join(f"{name},a\n" for name in rows_of),
        u="login\na\nb\nc\n",
    )
    groups.run(1)
    rows = [row.replace(",", f",{name},") for name, (commands, _) in rows_of.items() for row in commands]
    groups.extract(2, m="op,group,member\n" + "".join(f"{row}\n" for row in rows))

    groups.run(2, "Delta")

    assert members(groups) == {name: expected for name, (_, expected) in rows_of.items()}


@pytest.mark.parametrize("new_store", ["sqlite"], indirect=True)
def test_a_resource_is_not_replaced(case: NewCase) -> None:
    changes = case("13-delta-names-one-twice")
    changes.run(1)
    changes.extract(2, p="op,id,name\nreplace,1,Anna\n")

    answer = changes.run(2, "Delta")

    assert names(changes)["1"] == "Ann"
    assert "the command is not one of insert, add, update, delete, merge" in answer.err


def test_several_values_in_a_cell_are_links_in_a_delta_too(case: NewCase) -> None:
    groups = case("19-group-emptied-and-filled")
    path = groups.configuration(1)
    path.write_text(path.read_text().replace('Column2="member"', 'Column2="member" Separator2=";"'))
    groups.extract(1, m="group,member\ng1,a\ng2,a;b\n", u="login\na\nb\nc\n")
    groups.run(1)
    groups.extract(2, m="op,group,member\ndelete,g1,\ninsert,g1,b;c\ndelete,g2,a;b\ninsert,g2,c;b\ndelete,g2,c\n")

    groups.run(2, "Delta")

    assert members(groups) == {"g1": ["b", "c"], "g2": ["b"]}
    groups.extract(3, m="op,group,member\nreplace,g1,a;c\nreplace,g2,\n")
    groups.run(3, "Delta")
    assert members(groups) == {"g1": ["a", "c"], "g2": []}


def test_of_several_values_in_a_cell_one_is_linked_where_one_is_allowed(case: NewCase) -> None:
    groups = case("19-group-emptied-and-filled")
    path = groups.configuration(1)
    text = path.read_text().replace('Column2="member"', 'Column2="member" Separator2=";"')
    path.write_text(text.replace('IsProperty1Collection="true"', 'IsProperty1Collection="false"'))
    groups.extract(1, m="group,member\ng1,a\n", u="login\na\nb\nc\n")
    groups.run(1)
    groups.extract(2, m="op,group,member\ninsert,g1,c;b\n")

    answer = groups.run(2, "Delta")

    assert members(groups) == {"g1": ["b"], "g2": []}
    assert "GU allows one link here and another one was kept" in answer.err


def test_links_of_a_user_who_is_created_again_are_held_back_and_applied(case: NewCase) -> None:
    groups = case("19-group-emptied-and-filled")
    path = groups.configuration(1)
    path.write_text(path.read_text().replace("<Connector ", '<Connector MaximumLinkDeletedLines="1" ', 1))
    groups.run(1)
    groups.extract(2, m="op,group,member\ninsert,g1,c\n", u="op,login\ndelete,a\ninsert,a\ninsert,c\n")

    blocked = groups.run(2, "Delta")
    assert blocked.status == 3, blocked.err
    assert members(groups) == {"g1": ["a", "b"], "g2": ["a", "b"]}
    assert groups.command("resume", "2").status == 0

    assert members(groups) == {"g1": ["b", "c"], "g2": ["b"]}
    assert groups.command("verify").status == 0
