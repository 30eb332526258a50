"""Synchronizing: what a connector's extracts say is what stands afterwards, and only what differs is recorded."""

from __future__ import annotations

import pytest
from attrs import evolve

from deltamark import Change, Engine, EntityType, Property, PropertyType, TaskState
from tests.scenarios.house import PROPERTIES, configuration, task

HEADER = ",".join(name.lower() for name in PROPERTIES)


def test_a_complete_extract_inserts_updates_and_deletes(house):
    house.people({"1": "Ann", "2": "Bob", "3": "Cem"}).run()

    run = house.people({"1": "Ann", "2": "Robert", "4": "Dee"}).run()

    assert house.names() == {"1": "Ann", "2": "Robert", "4": "Dee"}
    assert (run.counts.inserted, run.counts.updated, run.counts.deleted) == (1, 1, 1)
    assert house.changes(run=run.number) == [("deleted", "3"), ("created", "4"), ("updated", "2")]


def test_an_update_records_the_properties_that_differ_and_no_other(house):
    house.people({"1": {"Name": "Ann", "Mail": "a@b", "Age": 30}}).run()

    house.people({"1": {"Name": "Anna", "Age": 30, "Weight": 61.5}}).run()

    (change,) = house.engine.changes(run=2)
    assert change.event.changes == {
        "Name": Change("Ann", "Anna"),
        "Mail": Change("a@b", None),
        "Weight": Change(None, 61.5),
    }


SAME_VALUES = [
    ("Weight", "3435", "3435.0"),
    ("Weight", "3435.0", "3.435e3"),
    ("Weight", "-0.0", "0"),
    ("Age", "7", "+7"),
    ("Age", "7", "007"),
    ("Born", "2026-01-02T03:04:05Z", "2026-01-02T05:04:05+02:00"),
    ("Born", "2026-01-02", "2026-01-02T00:00:00"),
    ("Token", "0F8FAD5B-D9CB-469F-A165-70867728950E", "{0f8fad5b-d9cb-469f-a165-70867728950e}"),
    ("Active", "TRUE", "1"),
]


@pytest.mark.parametrize(("name", "before", "after"), SAME_VALUES)
def test_another_spelling_of_the_same_value_is_no_change(house, name, before, after):
    house.people({"1": {name: before}}).run()
    held = house.state()

    run = house.people({"1": {name: after}}).run()

    assert house.engine.run(1).counts.set_aside == 0
    assert (run.counts.changed, run.counts.set_aside) == (0, 0)
    assert house.state() == held


@pytest.mark.parametrize(
    ("name", "before", "after"),
    [
        ("Weight", "3435", "3435.0000001"),
        ("Age", "1", "-1"),
        ("Born", "2026-01-02T03:04:05Z", "2026-01-02T03:04:05+02:00"),
        ("Active", "true", "false"),
        ("Name", "3435", "3435.0"),
        ("Name", "é", "e\u0301"),
        ("Name", "Ann", "Ann "),
        ("Name", "Ann", "ann"),
    ],
)
def test_another_value_is_a_change(house, name, before, after):
    house.people({"1": {name: before}}).run()

    run = house.people({"1": {name: after}}).run()

    assert run.counts.updated == 1


def test_a_whole_number_that_becomes_a_double_is_a_change(new_house):
    house = new_house().people({"1": {"Age": 3435, "Name": "Ann"}})
    house.run()
    configured = configuration()
    person = configured.entity_types[0]
    properties = [evolve(p, type=PropertyType.DOUBLE) if p.identifier == "Age" else p for p in person.properties]
    types = [evolve(person, properties=properties), *configured.entity_types[1:]]
    house.engine.close()
    house.engine = Engine.open(
        house.url, configuration=evolve(configured, entity_types=types), export_output=house.folder
    )

    run = house.people({"1": {"Age": "3435.0", "Name": "Ann"}}).run()

    assert run.adoption is not None  # the new type is adopted before the extract is compared
    assert [task.counts.changed for task in (run.adoption, *run.tasks)] == [1, *(0 for _ in run.tasks)]
    assert run.counts.changed == 1
    (change,) = house.engine.changes(run=run.number)
    assert repr(change.event.changes) == repr({"Age": Change(3435, 3435.0)})


def test_the_same_extract_again_appends_nothing_but_the_record_of_the_run(house):
    house.people({"1": "Ann", "2": {"Name": "Bob", "Age": 3, "Born": "2026-01-01"}}).run()
    before = house.engine.position()

    run = house.run()

    assert run.counts.changed == 0
    assert run.counts.read == 2
    assert list(house.engine.changes(after=before)) == []
    assert house.engine.position() == before + 4  # run started, task started, task ended, run ended


def test_the_order_of_rows_does_not_matter(house):
    house.people({"1": "Ann", "2": "Bob", "3": "Cem"}).run()

    assert house.people({"3": "Cem", "1": "Ann", "2": "Bob"}).run().counts.changed == 0


def test_a_row_that_cannot_be_converted_leaves_its_resource_as_it_was(house):
    house.people({"1": {"Name": "Ann", "Age": 30}, "2": "Bob"}).run()

    run = house.engine.run_job("People") if house.people({"1": {"Name": "Anna", "Age": "thirty"}, "2": "Bob"}) else None

    assert run.state is TaskState.WARNING
    assert house.state()["1"] == {"Name": "Ann", "Age": 30}
    (row,) = house.engine.run(run.number).set_aside
    assert (row.file, row.line, row.column, row.value, row.key) == ("people.csv", 2, "age", "thirty", "1")
    assert run.counts.changed == 0


def test_a_duplicate_key_with_other_values_leaves_its_resource_as_it_was(house):
    house.people({"1": "Ann", "2": "Bob"}).run()
    house.write("people", ["number", *HEADER.split(",")[1:]], [{"number": 1, "name": "A"}, {"number": 1, "name": "B"}])

    run = house.engine.run_job("People")

    assert run.state is TaskState.WARNING
    assert house.names() == {"1": "Ann"}
    assert run.counts.set_aside == 2


def test_a_row_without_key_is_set_aside_and_the_others_are_applied(house):
    house.people({"1": "Ann", " ": "Nobody"})

    run = house.engine.run_job("People")

    assert (run.state, run.counts.inserted, run.counts.set_aside) == (TaskState.WARNING, 1, 1)
    assert house.names() == {"1": "Ann"}


def test_a_row_whose_key_cannot_be_converted_prevents_deletions(new_house):
    house = new_house()
    configured = configuration()
    person = configured.entity_types[0]
    numbers = [evolve(p, type=PropertyType.INT32) if p.identifier == "Number" else p for p in person.properties]
    types = [evolve(person, properties=numbers), *configured.entity_types[1:]]
    house.engine.close()
    house.engine = Engine.open(
        house.url, configuration=evolve(configured, entity_types=types), export_output=house.folder
    )
    house.people({"1": "Ann", "2": "Bob"}).run()

    house.people({"1": "Anna", "two": "Bob"})
    run = house.engine.run_job("People")

    assert run.state is TaskState.WARNING
    assert house.names() == {"1": "Anna", "2": "Bob"}


def test_an_extract_with_a_header_only_is_refused(house):
    house.people({"1": "Ann"}).run()

    run = house.people({}).engine.run_job("People")

    assert (run.state, run.task(1).state) == (TaskState.BLOCKED, TaskState.BLOCKED)
    assert run.task(1).messages == (
        "HR: people.csv holds a header and no row, which would remove all 1 resources of Person. Nothing was changed. "
        "If the source is truly empty, force the run. Resume run 2 to apply what was held back, or cancel it to drop "
        "that.",
        "held back: 1 resource deleted",
    )
    assert house.names() == {"1": "Ann"}


def test_an_extract_with_a_header_only_is_applied_when_it_is_forced(house):
    house.people({"1": "Ann"}).run()

    run = house.people({}).run(force=True)

    assert (run.counts.deleted, run.forced) == (1, True)
    assert house.names() == {}


def test_an_extract_with_a_header_only_is_applied_by_a_task_that_always_forces(new_house):
    house = new_house(force=True).people({"1": "Ann"})
    house.run()

    assert house.people({}).run().counts.deleted == 1


def test_an_extract_with_a_header_only_is_accepted_in_an_empty_store(house):
    assert house.people({}).run().counts.read == 0


def test_links_with_a_header_only_are_refused_too(house):
    house.people({"1": "Ann"}).teams({"T": "Team"}, ("T", "1")).run()
    house.run("Teams")

    run = house.teams({"T": "New"}).engine.run_job("Teams")

    assert run.state is TaskState.BLOCKED
    assert house.pairs() == {("T", "1")}
    assert house.state("Team") == {"T": {"Title": "Team"}}
    house.run("Teams", force=True)
    assert house.pairs() == set()


def test_a_missing_extract_changes_nothing(house):
    house.people({"1": "Ann"}).run()
    (house.folder / "people.csv").unlink()

    run = house.engine.run_job("People")

    assert run.state is TaskState.FAILED
    assert "people" in run.task(1).messages[0]
    assert "Nothing was changed" in run.task(1).messages[0]
    assert house.names() == {"1": "Ann"}
    assert house.changes(run=run.number) == []


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\x00\x01\x02\x03",
        b"PK\x03\x04 an archive",
        b"number;name\n1;Ann\n",
        b'number,name\n1,"Ann\n2,Bob\n',
    ],
    ids=["empty", "binary", "archive", "without the columns", "cut off in quotes"],
)
def test_an_unreadable_extract_changes_nothing(house, content):
    house.people({"1": "Ann", "2": "Bob"}).run()
    (house.folder / "people.csv").write_bytes(content)

    run = house.engine.run_job("People")

    assert run.state in (TaskState.FAILED, TaskState.WARNING)
    assert house.names() == {"1": "Ann", "2": "Bob"}
    assert house.changes(run=run.number) == []


def test_an_unreadable_extract_prevents_the_others_of_its_connector_from_being_applied(house):
    house.people({"1": "Ann"}).teams({"T": "Team"}, ("T", "1")).run()
    house.run("Teams")
    house.teams({"T": "New"}, ("T", "1"))
    (house.folder / "members.csv").unlink()

    run = house.engine.run_job("Teams")

    assert run.state is TaskState.FAILED
    assert house.state("Team") == {"T": {"Title": "Team"}}


def test_a_resource_that_returns_continues_its_stream(house):
    house.people({"1": "Ann", "2": "Bob"}).run()
    first = house.engine.resource("Person", "1")
    house.people({"2": "Bob"}).run()
    assert house.engine.resource("Person", "1") is None

    house.people({"1": "Ann", "2": "Bob"}).run()

    again = house.engine.resource("Person", "1")
    assert (again.originator_id, again.version, again.values) == (first.originator_id, 3, first.values)
    assert [c.kind for c in house.engine.history("Person", "1")] == ["created", "deleted", "created"]


NASTY = [
    "a",
    "A",
    "a b",
    "a\u00a0b",
    "é",
    "e\u0301",
    "É",
    "a\u200bb",
    "ab",
    "0",
    "00",
    "1e5",
    "NULL",
    "x" * 4096,
    "😀",
    "a\tb",
]


def test_similar_keys_are_different_keys(house):
    house.people({key: f"name {n}" for n, key in enumerate(NASTY)}).run()

    run = house.people({key: f"name {n}" for n, key in enumerate(NASTY) if n % 2}).run()

    assert run.counts.deleted == len(NASTY) // 2
    assert house.names() == {key: f"name {n}" for n, key in enumerate(NASTY) if n % 2}
    assert house.people(dict.fromkeys(NASTY, "all")).run().counts.inserted == len(NASTY) // 2
    assert house.names() == dict.fromkeys(NASTY, "all")
    assert all(house.engine.resource("Person", key) is not None for key in NASTY)


# Extracts with a command column.


def test_commands_change_only_what_they_name(house):
    house.people({"1": "Ann", "2": "Bob", "3": "Cem", "4": "Dee"}).run()

    run = house.people_commands(
        {"number": 5, "name": "Eve", "Command": "insert"},
        {"number": 1, "name": "Anna", "Command": "update"},
        {"number": 2, "Command": "delete"},
        {"number": 6, "name": "Fay", "Command": "merge"},
    ).run("PeopleCommands")

    assert house.names() == {"1": "Anna", "3": "Cem", "4": "Dee", "5": "Eve", "6": "Fay"}
    assert (run.counts.inserted, run.counts.updated, run.counts.deleted) == (2, 1, 1)


@pytest.mark.parametrize("command", ["insert", "INSERT", " Insert ", "add", "Add", "merge", "MERGE"])
def test_commands_are_read_in_any_case(house, command):
    assert house.people_commands({"number": 1, "name": "Ann", "Command": command}).run("PeopleCommands")

    assert house.names() == {"1": "Ann"}


@pytest.mark.parametrize("command", ["", "remove", "insertt", "0", "délete", "drop table people"])
def test_a_row_with_an_unknown_command_is_set_aside(house, command):
    house.people({"1": "Ann"}).run()

    run = house.people_commands({"number": 1, "name": "X", "Command": command}).engine.run_job("PeopleCommands")

    assert run.state is TaskState.WARNING
    assert house.names() == {"1": "Ann"}
    (row,) = house.engine.run(run.number).set_aside
    assert (row.column, row.key) == ("Command", "1")
    assert "not one of insert, add, update, delete, merge" in row.reason


def test_a_merge_sets_the_given_values_and_an_update_sets_all(house):
    house.people({"1": {"Name": "Ann", "Mail": "a@b"}, "2": {"Name": "Bob", "Mail": "b@b"}}).run()

    house.people_commands(
        {"number": 1, "age": 30, "Command": "merge"}, {"number": 2, "age": 40, "Command": "update"}
    ).run("PeopleCommands")

    assert house.state() == {"1": {"Name": "Ann", "Mail": "a@b", "Age": 30}, "2": {"Age": 40}}


def test_an_update_of_a_missing_resource_is_set_aside(house):
    house.people({"1": "Ann"}).run()

    run = house.people_commands({"number": 9, "name": "X", "Command": "update"}).engine.run_job("PeopleCommands")

    assert run.state is TaskState.WARNING
    (row,) = house.engine.run(run.number).set_aside
    assert (row.key, row.line, row.reason) == ("9", 2, "the row updates a resource that does not exist")
    assert house.names() == {"1": "Ann"}


def test_a_delete_of_a_missing_resource_does_nothing(house):
    house.people({"1": "Ann"}).run()

    run = house.people_commands({"number": 9, "Command": "delete"}).run("PeopleCommands")

    assert run.counts.changed == 0


def test_an_insert_of_an_existing_resource_sets_its_values(house):
    house.people({"1": {"Name": "Ann", "Age": 3}}).run()

    run = house.people_commands({"number": 1, "name": "Anna", "Command": "insert"}).run("PeopleCommands")

    assert (run.counts.inserted, run.counts.updated) == (0, 1)
    assert house.state() == {"1": {"Name": "Anna"}}


def test_two_commands_for_one_key_are_applied_in_their_order_as_one_change(house):
    house.people({"1": "Ann", "2": "Bob"}).run()

    run = house.people_commands(
        {"number": 1, "name": "X", "Command": "update"},
        {"number": 2, "Command": "delete"},
        {"number": 1, "Command": "delete"},
        {"number": 2, "name": "Bobby", "Command": "insert"},
    ).run("PeopleCommands")

    assert house.names() == {"2": "Bobby"}
    assert house.changes(run=run.number) == [("deleted", "1"), ("updated", "2")]
    assert (run.counts.inserted, run.counts.updated, run.counts.deleted) == (0, 1, 1)


def test_a_command_that_changes_nothing_writes_nothing(house):
    house.people({"1": {"Name": "Ann", "Weight": "1.50"}}).run()

    run = house.people_commands(
        {"number": 1, "name": "Ann", "weight": "1.5", "Command": "update"}
    ).run("PeopleCommands")  # fmt: skip

    assert run.counts.changed == 0


def test_an_extract_of_commands_without_rows_skips_the_synchronization(house):
    house.people({"1": "Ann"}).run()
    parents = configuration().tasks[0]
    house.engine.close()
    configured = configuration()
    sync = evolve(parents, parents=("PrepareSynchronizationHR",))
    house.engine = Engine.open(
        house.url, configuration=evolve(configured, tasks=[sync, *configured.tasks[1:]]), export_output=house.folder
    )

    run = house.people_commands().engine.run_job("PeopleCommands")

    assert [t.state for t in run.tasks] == [TaskState.COMPLETED, TaskState.SKIPPED]
    assert house.names() == {"1": "Ann"}


# Links.


@pytest.fixture
def staffed(house):
    """Three people and two teams."""
    house.people({"1": "Ann", "2": "Bob", "3": "Cem"}).run()
    return house


def test_links_are_what_the_extract_says(staffed):
    staffed.teams({"T": "Team", "U": "Unit"}, ("T", "1"), ("T", "2"), ("U", "2")).run("Teams")

    run = staffed.teams({"T": "Team", "U": "Unit"}, ("T", "2"), ("U", "2"), ("U", "3")).run("Teams")

    assert staffed.pairs() == {("T", "2"), ("U", "2"), ("U", "3")}
    assert (run.counts.linked, run.counts.unlinked) == (1, 1)
    assert staffed.changes(run=run.number) == [("unlinked", "T-1"), ("linked", "U-3")]


def test_links_are_found_from_both_ends_now_and_then(staffed):
    staffed.teams({"T": "Team"}, ("T", "1")).run("Teams")
    then = staffed.engine.position()
    staffed.teams({"T": "Team"}, ("T", "2")).run("Teams")

    assert [ref.target.key for ref in staffed.engine.links("Team", "T")] == ["2"]
    assert [ref.source.key for ref in staffed.engine.links("Person", "2")] == ["T"]
    assert staffed.engine.links("Person", "1") == []
    assert [ref.source.key for ref in staffed.engine.links("Person", "1", at=then)] == ["T"]
    assert staffed.pairs(at=then) == {("T", "1")}
    assert [c.kind for c in staffed.engine.history("Person", "1")] == ["created", "linked", "unlinked"]


def test_a_duplicate_pair_is_one_link(staffed):
    run = staffed.teams({"T": "Team"}, ("T", "1"), ("T", "1")).run("Teams")

    assert (run.counts.linked, run.counts.set_aside) == (1, 0)


def test_a_row_without_a_second_value_removes_the_one_link_of_a_resource(new_house):
    house = new_house(team_has_one=True)
    house.people({"1": "Ann"}).run()
    house.teams({"T": "Team"}, ("T", "1")).run("Teams")

    run = house.teams({"T": "Team"}, ("T", "")).run("Teams")

    assert (run.counts.unlinked, run.counts.set_aside) == (1, 0)


def test_a_row_without_a_second_value_removes_no_link_where_there_may_be_many(staffed):
    staffed.teams({"T": "Team"}, ("T", "1")).run("Teams")

    run = staffed.teams({"T": "Team"}, ("T", "")).engine.run_job("Teams")

    assert (run.state, run.counts.unlinked, run.counts.set_aside) == (TaskState.WARNING, 0, 1)
    assert staffed.pairs() == {("T", "1")}


def test_links_are_found_by_unique_keys(new_house):
    house = new_house(members_by=("Code", "Mail"))
    house.people({"1": {"Mail": "a@b"}, "2": {"Mail": "b@b"}}).run()

    house.teams({"T": "Team"}, ("T", "b@b")).run("Teams")

    assert house.pairs() == {("T", "2")}


def test_a_unique_key_of_two_resources_names_neither_and_their_links_stay(new_house):
    house = new_house(members_by=("Code", "Mail"))
    house.people({"1": {"Mail": "a@b"}, "2": {"Mail": "b@b"}}).run()
    house.teams({"T": "Team", "U": "Unit"}, ("T", "a@b"), ("U", "b@b")).run("Teams")
    house.people({"1": {"Mail": "a@b"}, "2": {"Mail": "a@b"}}).run()

    run = house.teams({"T": "Team", "U": "Unit"}, ("T", "a@b")).engine.run_job("Teams")

    assert run.state is TaskState.WARNING
    (row,) = house.engine.run(run.number).set_aside
    assert (row.column, row.value, row.reason) == ("person", "a@b", "more than one Person has this Mail")
    assert house.pairs() == {("T", "1")}  # the extract no longer speaks of U, and of T it cannot be told


def test_a_link_to_a_missing_resource_is_set_aside(staffed):
    run = staffed.teams({"T": "Team"}, ("T", "1"), ("T", "9"), ("X", "1")).engine.run_job("Teams")

    assert run.state is TaskState.WARNING
    assert staffed.pairs() == {("T", "1")}
    assert [(r.line, r.column, r.value, r.reason) for r in staffed.engine.run(run.number).set_aside] == [
        (3, "person", "9", "no Person has this Number"),
        (4, "team", "X", "no Team has this Code"),
    ]
    assert not (staffed.folder / "orphans").exists()


def test_orphans_are_written_to_a_csv_where_the_task_says_so(new_house):
    house = new_house(orphans=True).people({"1": "Ann"})
    house.run()

    run = house.teams({"T": "Team"}, ("T", "1"), ("T", "9"), ("X", "1")).engine.run_job("Teams")

    (written,) = (house.folder / "orphans").iterdir()
    assert written.name == f"Members-run{run.number}.csv"
    assert [line.replace('"', "") for line in written.read_text().splitlines()] == [
        "line,value1,value2,missing",
        "3,T,9,2",
        "4,X,1,1",
    ]
    assert str(written) in task(run, "SynchronizeTeams").messages[0]


def test_an_end_that_has_one_link_keeps_the_smallest_key_whatever_the_order_of_rows(new_house):
    for order in ((("T", "1"), ("U", "1")), (("U", "1"), ("T", "1"))):
        house = new_house(person_has_one=True).people({"1": "Ann"})
        house.run()

        run = house.teams({"T": "Team", "U": "Unit"}, *order).engine.run_job("Teams")

        assert run.state is TaskState.WARNING
        assert house.pairs() == {("T", "1")}
        (row,) = house.engine.run(run.number).set_aside
        assert row.reason == "Members allows one link here and another one was kept"


def test_an_end_that_has_one_link_changes_it(new_house):
    house = new_house(person_has_one=True).people({"1": "Ann"})
    house.run()
    house.teams({"T": "Team", "U": "Unit"}, ("T", "1")).run("Teams")

    run = house.teams({"T": "Team", "U": "Unit"}, ("U", "1")).run("Teams")

    assert house.pairs() == {("U", "1")}
    assert house.changes(run=run.number) == [("unlinked", "T-1"), ("linked", "U-1")]


def test_commands_change_only_the_links_that_they_name(staffed):
    staffed.teams({"T": "Team", "U": "Unit"}, ("T", "1"), ("T", "2"), ("U", "3")).run("Teams")
    staffed.write("teams", ["code", "title", "Command"], [])
    staffed.write(
        "members",
        ["team", "person", "Command"],
        [
            {"team": "T", "person": "3", "Command": "insert"},
            {"team": "T", "person": "1", "Command": "delete"},
            {"team": "U", "person": "", "Command": "delete"},
        ],
    )

    run = staffed.run("TeamsCommands")

    assert staffed.pairs() == {("T", "2"), ("T", "3")}
    assert (run.counts.linked, run.counts.unlinked) == (1, 2)


def test_a_command_replaces_the_link_of_an_end_that_has_one(new_house):
    house = new_house(person_has_one=True).people({"1": "Ann", "2": "Bob"})
    house.run()
    house.teams({"T": "Team", "U": "Unit"}, ("T", "1"), ("T", "2")).run("Teams")
    house.write("teams", ["code", "title", "Command"], [])
    house.write("members", ["team", "person", "Command"], [{"team": "U", "person": "1", "Command": "merge"}])

    house.run("TeamsCommands")

    assert house.pairs() == {("U", "1"), ("T", "2")}


@pytest.mark.many
@pytest.mark.parametrize(
    ("command", "person", "then"),
    [
        ("update", "", set()),
        ("insert", "", set()),
        ("delete", "", set()),
        ("merge", "", {("T", "1")}),
        ("update", "2", {("T", "2")}),
        ("merge", "2", {("T", "2")}),
        ("update", "1", {("T", "1")}),
        ("update", "9", set()),
        ("delete", "2", {("T", "1")}),
    ],
)
def test_a_command_leaves_the_one_link_of_an_end_as_a_complete_extract_would(new_house, command, person, then):
    house = new_house(team_has_one=True).people({"1": "Ann", "2": "Bob"})
    house.run()
    house.teams({"T": "Team"}, ("T", "1")).run("Teams")
    house.write("teams", ["code", "title", "Command"], [])
    house.write("members", ["team", "person", "Command"], [{"team": "T", "person": person, "Command": command}])

    house.engine.run_job("TeamsCommands")

    assert house.pairs() == then


def test_deleting_a_resource_removes_its_links_and_its_return_restores_them(staffed):
    staffed.teams({"T": "Team"}, ("T", "1"), ("T", "2")).run("Teams")

    gone = staffed.people({"2": "Bob", "3": "Cem"}).run()

    assert (gone.counts.deleted, gone.counts.unlinked) == (1, 1)
    assert staffed.changes(run=gone.number) == [("unlinked", "T-1"), ("deleted", "1")]
    assert staffed.pairs() == {("T", "2")}

    back = staffed.people({"1": "Ann", "2": "Bob", "3": "Cem"}).run()

    assert staffed.pairs() == {("T", "1"), ("T", "2")}
    assert staffed.changes(run=back.number) == [("created", "1"), ("linked", "T-1")]
    staffed.run("Teams")
    kinds = [c.kind for c in staffed.engine.history("Person", "1")]
    assert kinds == ["created", "linked", "unlinked", "deleted", "created", "linked"]


def test_deleting_a_team_removes_its_links_in_the_same_run(staffed):
    staffed.teams({"T": "Team", "U": "Unit"}, ("T", "1"), ("U", "1")).run("Teams")

    run = staffed.teams({"U": "Unit"}, ("U", "1")).run("Teams")

    assert (run.counts.deleted, run.counts.unlinked) == (1, 1)
    assert staffed.pairs() == {("U", "1")}


def test_a_dry_run_shows_the_changes_and_makes_none(house):
    house.people({"1": "Ann"}).run()
    before = house.engine.position()
    shown = []

    run = house.people({"1": "Anna", "2": "Bob"}).run(
        dry_run=True, rehearsed=lambda changes: shown.extend((c.kind, c.event.ref.key) for c in changes)
    )

    assert (run.counts.inserted, run.counts.updated) == (1, 1)
    assert shown == [("created", "2"), ("updated", "1")]
    assert (house.engine.position(), house.names()) == (before, {"1": "Ann"})
    assert house.run().number == run.number


def test_a_property_that_is_no_longer_mapped_loses_its_values(new_house):
    house = new_house().people({"1": {"Name": "Ann", "Mail": "a@b"}})
    house.run()
    configured = configuration()
    person = configured.entity_type_mappings[0]
    mapped = evolve(person, properties=[p for p in person.properties if p.identifier != "Mail"])
    house.engine.close()
    house.engine = Engine.open(
        house.url,
        configuration=evolve(configured, entity_type_mappings=[mapped, *configured.entity_type_mappings[1:]]),
        export_output=house.folder,
    )

    run = house.run()

    assert run.adoption is not None
    assert run.adoption.counts.updated == 1
    assert house.state() == {"1": {"Name": "Ann"}}


def test_a_property_may_have_any_valid_name(new_house):
    names = [
        "state",
        "Key",
        "line",
        "before",
        "after",
        "command",
        "changes",
        "value",
        "stream",
        "select",
        "__class__",
        "_type_",
    ]
    house = new_house()
    configured = configuration()
    person = EntityType("Person", [*configured.entity_types[0].properties, *(Property(name) for name in names)])
    from deltamark import PropertyMapping

    mapping = configured.entity_type_mappings[0]
    mapped = evolve(
        mapping, properties=[*mapping.properties, *(PropertyMapping(n, f"c{i}") for i, n in enumerate(names))]
    )
    house.engine.close()
    house.engine = Engine.open(
        house.url,
        configuration=evolve(
            configured,
            entity_types=[person, *configured.entity_types[1:]],
            entity_type_mappings=[mapped, *configured.entity_type_mappings[1:]],
        ),
        export_output=house.folder,
    )
    columns = [*HEADER.split(","), *(f"c{i}" for i in range(len(names)))]

    for round_ in ("x", "y"):
        row = {"number": 1, **{f"c{i}": f"{round_}{name}" for i, name in enumerate(names)}}
        house.write("people", columns, [row]).run()

        assert house.state() == {"1": {name: f"{round_}{name}" for name in names}}
    assert house.run().counts.changed == 0
