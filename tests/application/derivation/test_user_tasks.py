"""Tasks with functions of users: they compute what is dirty and no more, and are derivations like any other."""

from __future__ import annotations

import pyarrow as pa
import pytest

from deltamark import Change, PythonTask, Step, TaskState, task
from tests.scenarios.staff import by_row, calls, expressions_task, of, people_model

LENGTHS = {"reads": ["Name"], "writes": ["Score"]}
BOSSES = {"reads": ["Name", "Manager.Name"], "writes": ["Label"]}


def length(row):
    return {"Score": len(row["Name"]) if row["Name"] else None}


def boss(row):
    return {"Label": f"{row['Name']} of {row['Manager.Name']}" if row["Manager.Name"] else None}


def test_a_function_computes_all_resources_the_first_time(new_staff):
    function, given = by_row(length, **LENGTHS)
    staff = new_staff(people_model([calls(function)])).person("1", "Ann").person("2", "Robert").person("3")

    run = staff.run()

    assert staff.all("Score") == {"1": 3, "2": 6}
    assert given == [["1", "2", "3"]]
    assert of(run).messages == ("computed everything: the task runs for the first time",)
    counts = of(run).counts
    assert (counts.computed, counts.executed, counts.necessary, counts.written) == (3, 3, 2, 2)


def test_a_function_receives_only_changed_resources_and_declared_columns(new_staff):
    function, given = by_row(length, **LENGTHS)
    staff = new_staff(people_model([calls(function)])).person("1", "Ann").person("2", "Bob").person("3", "Cem")
    staff.run()
    given.clear()

    staff.person("2", "Bobby").person("3", "Cem", Mail="new@x").run()

    assert given == [["2"]]
    assert staff.all("Score") == {"1": 3, "2": 5, "3": 3}


def test_a_function_is_not_called_where_nothing_is_due(new_staff):
    function, given = by_row(length, **LENGTHS)
    staff = new_staff(people_model([calls(function)])).person("1", "Ann")
    staff.run()
    given.clear()
    head = staff.engine.position()

    run = staff.person("1", "Ann", Room="7").run()

    assert given == []
    assert of(run).counts.executed == 0
    assert [c.kind for c in staff.engine.changes(after=head)] == ["updated"]


def test_a_change_at_the_end_of_a_path_flags_its_readers(new_staff):
    function, given = by_row(boss, **BOSSES)
    staff = new_staff(people_model([calls(function)]))
    staff.person("1", "Ann").person("2", "Bob", manager="1").person("3", "Cem", manager="2").run()
    given.clear()

    staff.person("1", "Anna").run()

    assert given == [["1", "2"]]
    assert staff.all("Label") == {"2": "Bob of Anna", "3": "Cem of Bob"}


def test_another_or_deleted_manager_counts_as_a_change_of_the_path(new_staff):
    function, given = by_row(boss, **BOSSES)
    staff = new_staff(people_model([calls(function)]))
    staff.person("1", "Ann").person("2", "Bob", manager="1").person("3", "Cem", manager="1").run()
    given.clear()

    staff.person("3", "Cem", manager="2").run()
    staff.without("1").run()

    assert given == [["3"], ["2"]]
    assert staff.all("Label") == {"3": "Cem of Bob"}


def test_a_path_to_several_resources_gives_a_sorted_list(new_staff):
    function, _ = by_row(lambda row: {"Label": "+".join(row["Reports.Name"])}, reads=["Reports.Name"], writes=["Label"])
    staff = new_staff(people_model([calls(function)]))
    staff.person("1", "Ann").person("2", "Zoe", manager="1").person("3", "Bob", manager="1").run()

    assert staff.all("Label") == {"1": "Bob+Zoe"}


def test_a_function_without_declarations_reads_all_and_writes_all_free_properties(new_staff):
    seen = []

    @task(entity_types=["Person"], dirty=True)
    def risk_score(batch: pa.Table) -> pa.Table:
        seen.append(batch)
        return pa.table({"key": batch["key"], "Note": ["seen"] * len(batch)})

    staff = new_staff(people_model([PythonTask(function=risk_score)], {"Badge": "lower(p.Name)"})).person("1", "Ann")

    run = staff.run()

    assert seen[0].column_names == ["key", "Number", "Name", "Mail", "Room", "Badge"]
    assert seen[0].schema.metadata == {b"entity_type": b"Person"}
    assert of(run, "risk_score").state is TaskState.COMPLETED
    assert staff.all("Note") == {"1": "seen"}


def test_expressions_and_functions_read_each_others_values(new_staff):
    function, given = by_row(lambda row: {"Score": len(row["Badge"] or "")}, reads=["Badge"], writes=["Score"])
    tasks = [Step("Expressions"), calls(function), Step("Expressions")]
    expressions = {"Badge": "lower(p.Name)", "Note": "concat(p.Score, '/', p.Manager.Score)"}
    staff = new_staff(people_model(tasks, expressions, tasks=[expressions_task()]))
    staff.person("1", "Ann").person("2", "Robert", manager="1").run()
    assert staff.all("Note") == {"1": "3/", "2": "6/3"}
    given.clear()

    run = staff.person("1", "Anna").run()

    assert given == [["1"]]
    assert staff.all("Note") == {"1": "4/", "2": "6/4"}
    assert executed(run) == [1, 2]  # a badge; then the notes of both
    assert staff.engine.verify_derived().differences == ()
    given.clear()

    run = staff.person("1", "ANNA").run()

    assert given == []
    assert executed(run) == [1, 0]


def executed(run):
    """How many values each call of the task with the expressions computed."""
    return [found.counts.executed for found in run.tasks if found.identifier == "Expressions"]


def test_an_unchanged_value_of_a_function_is_no_change(new_staff):
    function, _given = by_row(length, **LENGTHS)
    staff = new_staff(people_model([calls(function)])).person("1", "Ann")
    staff.run()
    head = staff.engine.position()

    run = staff.person("1", "Eva").run()

    assert of(run).counts.executed == 1
    assert of(run).counts.necessary == 0
    assert [set(c.event.changes) for c in staff.engine.changes(after=head)] == [{"Name"}]


def test_a_key_missing_in_the_result_has_no_value(new_staff):
    @task(entity_types=["Person"], reads=["Name"], writes=["Score"])
    def short_names(batch: pa.Table) -> pa.Table:
        rows = [row for row in batch.to_pylist() if len(row["Name"]) < 4]
        return pa.table({"key": [row["key"] for row in rows], "Score": [len(row["Name"]) for row in rows]})

    staff = new_staff(people_model([calls(short_names)])).person("1", "Ann").person("2", "Bob")
    staff.run()

    run = staff.person("1", "Annabel").run()

    assert staff.all("Score") == {"2": 3}
    (change,) = [c for c in staff.engine.changes(run=run.number) if "Score" in c.event.changes]
    assert change.event.changes == {"Score": Change(3, None)}
    assert change.task == "Rate"


def test_the_task_or_its_function_limits_the_batches(new_staff):
    function, given = by_row(length, batch_size=2, **LENGTHS)
    staff = new_staff(people_model([calls(function)]))
    for number in range(5):
        staff.person(str(number), "x" * number)
    staff.run()
    assert sorted(map(len, given)) == [1, 2, 2]

    given.clear()
    staff.configured(people_model([calls(function, "Other", batch_size=3)])).run()

    assert sorted(map(len, given)) == [2, 3]


def test_a_task_that_is_not_dirty_computes_all_resources_every_time(new_staff):
    function, given = by_row(length, **LENGTHS)
    staff = new_staff(people_model([calls(function, dirty=False)])).person("1", "Ann").person("2", "Bob")
    staff.run()
    given.clear()

    run = staff.run()

    assert given == [["1", "2"]]
    assert of(run).counts.necessary == 0


def test_two_tasks_of_one_function_have_separate_places(new_staff):
    function, given = by_row(length, **LENGTHS)
    staff = new_staff(people_model([calls(function, "One"), calls(function, "Two")])).person("1", "Ann")
    staff.run()
    given.clear()

    staff.person("1", "Anna").run()

    assert given == [["1"], ["1"]]


def test_one_function_may_compute_several_properties_and_is_called_once(new_staff):
    function, given = by_row(
        lambda row: {"Score": len(row["Name"]), "Label": row["Name"].upper()}, reads=["Name"], writes=["Score", "Label"]
    )
    staff = new_staff(people_model([calls(function)])).person("1", "Ann")

    run = staff.run()

    assert given == [["1"]]
    assert of(run).counts.executed == 2
    assert (staff.all("Score"), staff.all("Label")) == ({"1": 3}, {"1": "ANN"})


def test_a_function_takes_over_a_property_that_a_source_fed(new_staff):
    function, _ = by_row(lambda row: {"Room": f"R{row['Name']}"}, reads=["Name"], writes=["Room"])
    staff = new_staff(people_model([])).person("1", "Ann", Room="7").person("2", "Bob")
    staff.run()

    staff.configured(people_model([calls(function)], mapped=("Name", "Mail"))).run()

    assert staff.all("Room") == {"1": "RAnn", "2": "RBob"}
    assert staff.engine.verify_derived().differences == ()


def test_a_property_may_change_between_expression_and_function(new_staff):
    function, _given = by_row(lambda row: {"Label": row["Name"].lower()}, reads=["Name"], writes=["Label"])
    by_expression = people_model([expressions_task()], {"Label": "upper(p.Name)"})
    staff = new_staff(by_expression).person("1", "Ann")
    staff.run()

    staff.configured(people_model([expressions_task(), calls(function)])).run()
    assert staff.all("Label") == {"1": "ann"}

    staff.configured(by_expression).run()
    assert staff.all("Label") == {"1": "ANN"}


def test_values_of_a_function_are_removed_when_no_task_calls_it(new_staff):
    function, _ = by_row(length, **LENGTHS)
    staff = new_staff(people_model([calls(function), expressions_task()], {"Note": "p.Name"})).person("1", "Ann")
    staff.run()

    run = staff.configured(people_model([expressions_task()], {"Note": "p.Name"})).run()

    assert staff.all("Score") == {}
    assert of(run, "Expressions").messages == ("removed 1 value of Person:Score: nothing computes it any more",)


def test_why_and_dirty_include_functions(new_staff):
    function, _ = by_row(boss, **BOSSES)
    staff = new_staff(people_model([calls(function)]))
    staff.person("1", "Ann").person("2", "Bob", manager="1").run()
    only_flags = people_model([calls(function)])
    staff.configured(only_flags)
    staff.person("1", "Anna")
    staff.run("Synchronize")

    with staff.engine._services.store.transaction() as tx:
        tx.flag_changes(0)

    assert {(found.task, found.key) for found in staff.engine.dirty()} >= {("Rate", "2"), ("Rate", "1")}
    causes = staff.engine.why("Person", "2").causes
    assert ("Rate", "Manager", "Name", ("Label",)) in {(c.task, c.path, c.property, c.computes) for c in causes}


def test_a_dry_run_calls_the_function_and_writes_nothing(new_staff):
    function, given = by_row(length, **LENGTHS)
    staff = new_staff(people_model([calls(function)])).person("1", "Ann")
    changes = []

    staff.tried(dry_run=True, rehearsed=lambda found: changes.extend(found))

    assert given == [["1"]]
    assert "Score" in {name for change in changes for name in change.event.changes}
    assert staff.all("Score") == {}


def test_values_of_a_function_are_verified_by_calling_it(new_staff):
    function, given = by_row(length, **LENGTHS)
    staff = new_staff(people_model([calls(function)])).person("1", "Ann").person("2", "Bob")
    staff.run()
    given.clear()

    found = staff.engine.verify_derived()

    assert given == [["1", "2"]]
    assert (found.values, found.differences, found.unverified) == (2, (), ())
    assert staff.engine.verify_derived(sample=1).values == 1


def test_a_wrong_value_of_a_function_is_repaired_with_its_readers(new_staff):
    answers = {"1": 3}
    function, _ = by_row(lambda row: {"Score": answers["1"] + len(row["Name"])}, **LENGTHS)
    staff = new_staff(people_model([calls(function), expressions_task()], {"Note": "p.Score"})).person("1", "Ann")
    staff.run()
    answers["1"] = 4  # what no version told

    found = staff.engine.verify_derived()
    assert [(d.derivation.name, d.stored, d.recomputed) for d in found.faults] == [("Note", "6", "7"), ("Score", 6, 7)]

    staff.engine.repair(found)
    assert staff.engine.verify_derived().differences == ()


def test_readers_of_a_function_that_is_not_deterministic_are_verified(new_staff):
    numbers = iter(range(100))
    function, given = by_row(lambda row: {"Score": next(numbers)}, deterministic=False, **LENGTHS)
    staff = new_staff(people_model([calls(function), expressions_task()], {"Note": "p.Score"})).person("1", "Ann")
    staff.run()
    given.clear()

    for found in (staff.engine.verify_derived(), staff.engine.verify_derived(sample=1)):
        assert found.differences == ()
        assert found.values == 1
        assert [one.name for one in found.unverified] == ["Score"]
    assert given == []


@pytest.mark.parametrize("again", [1, 2])
def test_an_edited_function_computes_everything_again(new_staff, again):
    @task(entity_types=["Person"], version=0, **LENGTHS)
    def rated(batch):
        return pa.table({"key": batch["key"], "Score": [1] * len(batch)})

    first = rated
    staff = new_staff(people_model([calls(first)])).person("1", "Ann").person("2", "Bob")
    staff.run()

    if again == 1:

        @task(entity_types=["Person"], version=0, **LENGTHS)
        def rated(batch):
            return pa.table({"key": batch["key"], "Score": [2] * len(batch)})

    else:

        @task(entity_types=["Person"], version=1, **LENGTHS)
        def rated(batch):
            return pa.table({"key": batch["key"], "Score": [1] * len(batch)})

    run = staff.configured(people_model([calls(rated)])).run()

    assert of(run).counts.computed == 2
    assert of(run).messages == ("computed everything: the function changed since the task last ran",)
    assert staff.all("Score") == {"1": 3 - 1 if again == 1 else 1, "2": 2 if again == 1 else 1}


def test_other_declarations_of_a_function_compute_nothing_again(new_staff):
    def declared(**more):
        @task(
            entity_types=["Person"], **LENGTHS, **more
        )  # fmt: skip
        def rated(batch):
            return pa.table({"key": batch["key"], "Score": [1] * len(batch)})

        return rated

    staff = new_staff(people_model([calls(declared())])).person("1", "Ann")
    staff.run()

    run = staff.configured(people_model([calls(declared(batch_size=7, deterministic=False))])).run()

    assert of(run).counts.computed == 0


def test_new_reads_of_a_function_compute_everything_again(new_staff):
    def declared(reads):
        @task(entity_types=["Person"], reads=reads, writes=["Score"])
        def rated(batch):
            return pa.table({"key": batch["key"], "Score": [batch.num_columns] * len(batch)})

        return rated

    staff = new_staff(people_model([calls(declared(["Name"]))])).person("1", "Ann")
    staff.run()

    staff.configured(people_model([calls(declared(["Name", "Mail"]))])).run()

    assert staff.all("Score") == {"1": 3}
