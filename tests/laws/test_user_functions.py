"""The law for functions of users: an incremental run leaves exactly what a complete one would have left."""

from __future__ import annotations

from itertools import count

import pyarrow as pa
import pytest
from attrs import evolve
from hypothesis import example, given
from hypothesis import strategies as st

from deltamark import Job, SetRecentlyModifiedFlagTask, Step, TaskState, task
from tests.scenarios.staff import Staff, by_row, calls, expressions_task, people_model
from tests.stores import STORES, stores
from tests.tiers import law

NUMBERS = st.sampled_from("12345")
NAMES = st.sampled_from([None, "Ann", "ann", "Bo", "Cem"])
EDITS = st.one_of(
    st.tuples(st.just("put"), NUMBERS, NAMES, st.none() | NUMBERS),
    st.tuples(st.just("remove"), NUMBERS, st.none(), st.none()),
    st.tuples(st.just("fail"), st.none(), st.none(), st.none()),
    st.tuples(st.just("edit"), st.sampled_from("12"), st.none(), st.none()),
)
TWO = [("put", "1", "Ann", None), ("put", "2", "Bo", "1")]
DAYS = st.lists(st.lists(EDITS, max_size=4), min_size=1, max_size=5)


@pytest.fixture(params=STORES)
def new(memory, clock, request):
    """Gives staff with a store of its own with every call."""
    numbers, opened = count(1), []
    with stores(request.param, memory, lambda: request.getfixturevalue("postgresql_database")) as new_url:

        def staff(configured):
            while len(opened) > 1:
                opened.pop(0).engine.close()
            opened.append(Staff(new_url(), memory / f"staff-{next(numbers)}", clock, configured))
            return opened[-1]

        yield staff
        for one in opened:
            one.engine.close()


class Functions:
    """Two functions, and an expression between them: `Score`, `Label` -> `Note` -> `Badge`."""

    def __init__(self):
        self.is_failing = False
        self.meanwhile = lambda: None
        self.is_beside = False
        self.given: list[list[str]] = []

    def model(self, version: str, *, dirty: bool):
        @task(entity_types=["Person"], reads=["Name", "Manager.Name", "Reports.Name"], writes=["Score", "Label"],
              version=version, batch_size=2)  # fmt: skip
        def rated(batch):
            self.given.append(batch["key"].to_pylist())
            assert not self.is_failing, "as asked for"
            self.meanwhile()
            rows = [{"key": row["key"], **rate(row, version)} for row in batch.to_pylist() if row["Name"]]
            schema = pa.schema([("key", pa.string()), ("Score", pa.int64()), ("Label", pa.string())])
            return pa.Table.from_pylist(rows, schema=schema)

        told, _ = by_row(tell, reads=["Note", "Manager.Label"], writes=["Badge"])
        expressions = {"Note": "concat(p.Score, '/', p.Manager.Score)"}
        tasks = [expressions_task(dirty=dirty), calls(rated, dirty=dirty), calls(told, "Tell", dirty=dirty)]
        model = people_model([Step("Rate"), Step("Expressions"), Step("Tell")], expressions, tasks=tasks)
        beside = [
            SetRecentlyModifiedFlagTask(identifier="Flag beside"),
            calls(rated, "Rate beside", dirty=dirty),
            expressions_task("Expressions beside", dirty=dirty),
        ]
        return evolve(model, jobs=[*model.jobs, Job("Beside", beside)])


def rate(row, version):
    return {
        "Score": len(row["Name"]) + 10 * len(row["Reports.Name"]) + 100 * int(version),
        "Label": f"{row['Manager.Name']}>{row['Name'].lower()}" if row["Manager.Name"] else None,
    }


def tell(row):
    return {"Badge": f"{row['Note']}@{row['Manager.Label']}" if row["Manager.Label"] else None}


def by_hand(staff, version):
    """What must be there, in plain Python over the extract."""
    names = {number: said["Name"] for number, said in staff.people.items()}
    managers = {one: boss for one, boss in staff.managers.items() if boss in names}
    scores, labels, notes, badges = {}, {}, {}, {}
    for number, name in names.items():
        if name:
            reports = [names[one] for one, boss in managers.items() if boss == number and names[one]]
            boss_name = names.get(managers.get(number))
            made = rate({"Name": name, "Manager.Name": boss_name, "Reports.Name": reports}, version)
            scores[number] = made["Score"]
            labels |= {number: made["Label"]} if made["Label"] else {}
    for number in names:
        notes[number] = f"{scores.get(number, '')}/{scores.get(managers.get(number), '')}"
    for number in names:
        made = tell({"Note": notes[number], "Manager.Label": labels.get(managers.get(number))})["Badge"]
        badges |= {number: made} if made else {}
    return {"Score": scores, "Label": labels, "Note": notes, "Badge": badges}


def derived(staff):
    return {name: staff.all(name) for name in ("Score", "Label", "Note", "Badge")}


def lived(staff, day, functions, version):
    """Brings a day's edits into the world; the version of the function at the end of it."""
    for kind, number, name, manager in day:
        if kind == "put":
            staff.person(number, name, manager=manager)
        elif kind == "remove":
            staff.without(number)
        elif kind == "fail":
            functions.is_failing = True
        elif number != version:
            version = number
            staff.configured(functions.model(version, dirty=True))
    return version


@pytest.mark.slow  # runs jobs for each example
@law(5)
@given(days=DAYS)
@example(days=[TWO, [("fail", None, None, None), ("put", "1", "Cem", None)], []])
@example(days=[TWO, [("edit", "2", None, None)], [("remove", "1", None, None)]])
def test_incremental_leaves_what_complete_leaves_and_what_plain_python_gives(new, days):
    functions, version = Functions(), "1"
    staff = new(functions.model(version, dirty=True))
    for day in days:
        version = lived(staff, day, functions, version)
        if functions.is_failing:
            staff.tried(force=True)
            functions.is_failing = False

    staff.run(force=True)

    expected = by_hand(staff, version)
    assert derived(staff) == expected
    assert staff.engine.verify_derived().differences == ()
    functions.given.clear()
    assert staff.run(force=True).state is TaskState.COMPLETED
    assert functions.given == []

    complete = new(Functions().model(version, dirty=False))
    complete.people, complete.managers = staff.people, staff.managers
    complete.run(force=True)
    assert derived(complete) == expected


PUT = st.tuples(st.just("put"), NUMBERS, NAMES, st.none() | NUMBERS)
WORLD = st.one_of(PUT, st.tuples(st.just("remove"), NUMBERS, st.none(), st.none()))
MEANWHILE = st.tuples(
    st.lists(WORLD, max_size=2), st.lists(st.sampled_from(["Synchronize", "Beside"]), max_size=2)
)  # fmt: skip
RENAMED = ([("put", "1", "Cem", None)], ["Synchronize"])


RENAMED_OFTEN = [([("put", "1", name, None)], ["Synchronize"]) for name in ("Cem", "Bo", "Annabel") * 4]


@pytest.mark.slow  # runs jobs for each example
@law(10)
@given(days=st.lists(st.lists(WORLD, max_size=3), min_size=1, max_size=3), meanwhile=st.lists(MEANWHILE, max_size=12))
@example(days=[TWO, [("put", "1", "Ann", None)]], meanwhile=[RENAMED])
@example(days=[TWO], meanwhile=[([("put", "1", "Cem", None)], ["Synchronize", "Beside"])])
@example(days=[TWO], meanwhile=RENAMED_OFTEN)
@example(days=[TWO, []], meanwhile=[RENAMED, ([("remove", "1", None, None)], ["Synchronize"])])
def test_what_others_change_while_a_function_is_called_is_neither_lost_nor_overwritten(new, days, meanwhile):
    functions = Functions()
    staff = new(functions.model("1", dirty=True))
    plans = list(meanwhile)

    def others_work():
        if plans and not functions.is_beside:
            functions.is_beside = True  # the others call the function, too
            try:
                edits, jobs = plans.pop(0)
                lived(staff, edits, functions, "1")
                staff.write()
                with staff._opened(staff.engine.configuration, {}) as other:
                    for job in jobs:
                        assert other.run_job(job, force=True).state is TaskState.COMPLETED
            finally:
                functions.is_beside = False

    functions.meanwhile = others_work
    for day in days:
        lived(staff, day, functions, "1")
        staff.run(force=True)
        functions.is_beside = True
        assert staff.engine.verify_derived().faults == ()
        functions.is_beside = False
    plans.clear()

    staff.run(force=True)

    assert derived(staff) == by_hand(staff, "1")
    assert staff.engine.verify_derived().differences == ()
    functions.given.clear()
    staff.run(force=True)
    assert functions.given == []


@pytest.mark.slow  # runs jobs for each example
@law(5)
@given(day=st.lists(st.tuples(st.just("put"), NUMBERS, NAMES, st.none() | NUMBERS), min_size=1, max_size=3))
def test_a_function_is_given_exactly_those_for_whom_something_that_it_reads_changed(new, day):
    functions = Functions()
    staff = new(functions.model("1", dirty=True))
    for number in "12345":
        staff.person(number, "Ann" if number < "3" else "Bo", manager="1" if number != "1" else None)
    staff.run(force=True)
    before = seen(staff)
    functions.given.clear()

    lived(staff, day, functions, "1")
    staff.run(force=True)

    after = seen(staff)
    given_keys = {key for batch in functions.given for key in batch}
    assert given_keys >= {number for number in after if after[number] != before[number]}
    touched = {number for _, number, _, _ in day}
    bosses = {staff.managers.get(n) for n in touched} | {"1"}
    reports = {one for one, boss in staff.managers.items() if boss in touched}
    assert given_keys <= touched | bosses | reports
    assert sum(map(len, functions.given)) == len(given_keys)


def seen(staff):
    """What the first function reads of each person."""
    people, managers = staff.people, staff.managers
    return {
        number: (
            said["Name"],
            managers.get(number) and people[managers[number]]["Name"],
            managers.get(number),
            sorted(one for one, boss in managers.items() if boss == number),
            sorted(str(people[one]["Name"]) for one, boss in managers.items() if boss == number),
        )
        for number, said in people.items()
    }
