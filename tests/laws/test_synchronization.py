"""What holds after anything that can happen, against oracles of plain Python that share no code with the engine."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import reduce
from typing import Any
from unicodedata import normalize

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from deltamark import Linked, Observer, ResourceCorrelationRule, TaskState, Unlinked
from tests.scenarios.house import PROPERTIES, House
from tests.tiers import law

Day = dict[str, dict[str, Any]]
"""An extract: number -> the values that are not empty."""

# Letters whose upper and lower case the whole world agrees on, and what troubles CSV, JSON and SQL.
LETTERS = st.sampled_from([*"abzAZ09 _'\",;\\éÄñжΩ", "e\u0301", "😀", "\n", "\t", "$", "{", "%"])
TEXTS = st.lists(LETTERS, max_size=6).map("".join)
# Few, so that they come and go and come back; `test_similar_keys_are_different_keys` has more.
NUMBERS = st.sampled_from(["a", "A", "a b", "é", "e", "x" * 300, 'say "hi", \\'])
PEOPLE = st.fixed_dictionaries(
    {},
    optional={
        "Name": TEXTS,
        "Mail": TEXTS.map(str.strip),  # a unique key: what surrounds it is not part of it
        "Age": st.integers(-(2**31), 2**31 - 1),
        "Weight": st.floats(allow_nan=False, allow_infinity=False, width=32),
        "Active": st.booleans(),
    },
)
DAYS = st.dictionaries(NUMBERS, PEOPLE, max_size=5).map(
    lambda day: {number: {n: v for n, v in values.items() if v != ""} for number, values in day.items()}
)


def written(house: House, day: Mapping[str, Mapping[str, Any]], order: Iterable[str] | None = None) -> House:
    """Today's people in some order of rows."""
    return house.people({number: day[number] for number in (order or day)})


def run(house: House, job: str, **options: Any) -> Any:
    done = house.engine.run_job(job, force=True, **options)
    assert done.state is TaskState.COMPLETED, [task.messages for task in done.tasks]
    return done


def folded(changes: Iterable[Any]) -> Day:
    """A log, oldest first, as the state that it leaves: by hand, over nothing but what the log says."""

    def after(state: Day, change: Any) -> Day:
        key, said = change.event.ref.key, change.event.changes
        if change.kind == "created":
            assert key not in state
            assert all(c.before is None for c in said.values())
            return {**state, key: {name: c.after for name, c in said.items()}}
        values = state[key]
        assert said or change.kind == "deleted"
        assert {name: c.before for name, c in said.items()} == {name: values.get(name) for name in said}
        if change.kind == "deleted":
            assert set(said) == set(values)
            return {other: held for other, held in state.items() if other != key}
        assert all(c.before != c.after for c in said.values())
        new = {**values, **{name: c.after for name, c in said.items()}}
        return {**state, key: {name: value for name, value in new.items() if value is not None}}

    return reduce(after, changes, {})


def numbered(day: Day) -> Day:
    return {number: {"Number": number, **values} for number, values in day.items()}


@law(10)
@given(days=st.lists(st.tuples(DAYS, st.randoms(use_true_random=False)), min_size=1, max_size=4))
@example(days=[({"a": {"Name": "x"}}, None), ({}, None), ({"a": {"Name": "x"}, "A": {}}, None)])
def test_the_log_folds_to_the_state_which_is_the_extract_and_nothing_is_recorded_twice(new_house, days):
    house = new_house()
    ends = []

    for day, random in days:
        done = run(written(house, day), "People")
        assert house.state() == day
        ends.append((day, done))

        order = list(day)
        if random is not None:
            random.shuffle(order)
        again = run(written(house, day, order), "People")
        assert again.counts.changed == 0
        assert list(house.engine.changes(run=again.number)) == []

    changes = list(house.engine.changes())
    assert folded(changes) == numbered(house.state())
    assert [c.position for c in changes] == sorted({c.position for c in changes})
    versions: dict[str, list[int]] = {}
    for change in changes:
        versions.setdefault(change.event.originator_id, []).append(change.event.originator_version)
    assert all(found == list(range(1, len(found) + 1)) for found in versions.values())
    for day, done in ends:
        assert house.state(at=done.ended_at) == day
        assert folded(c for c in changes if c.run <= done.number) == numbered(day)
    house.engine.close()


RULES = [
    ResourceCorrelationRule("Owner", "Mail", "ToLower", "Name", "ToUpper"),
    ResourceCorrelationRule("Owner", "Name", "ToUpper", "Mail", "ToLower"),
    ResourceCorrelationRule("Owner", None, "SQL:p: lower(p.Name) || p.Mail", None, "SQL:p: coalesce(p.Name, p.Mail)"),
]


def composed(text: str) -> str:
    """Functions of texts compose letters with their accents first."""
    return normalize("NFC", text)


def keys_by_hand(day: Day, rule: int) -> dict[tuple[str, str], str]:
    """The correlation keys of these people: plain Python."""

    def sides(values: dict[str, Any]) -> tuple[str | None, str | None]:
        name, mail = values.get("Name"), values.get("Mail")
        if rule == 0:
            return mail and composed(mail).lower(), name and composed(name).upper()
        if rule == 1:
            return name and composed(name).upper(), mail and composed(mail).lower()
        return (composed(name).lower() + mail if name and mail else None), name or mail

    keys = {}
    for number, values in day.items():
        for side, value in zip(("source", "target"), sides(values), strict=True):
            if value:
                keys[side, number] = value
    return keys


class Stopped(Exception):
    """What the observer below raises."""


class StopsBefore(Observer):
    """An observer that ends the run when a task begins, as a failure would."""

    def __init__(self, task: str) -> None:
        self._task = task

    def task_started(self, number: int, task: Any) -> None:
        if task.identifier == self._task:
            raise Stopped


STEPS = st.one_of(
    st.tuples(st.just("People"), DAYS),
    st.tuples(st.just("Incremental"), DAYS),
    st.tuples(st.just("Incremental"), DAYS),
    st.tuples(st.just("Complete"), DAYS),
    st.tuples(st.just("Flags"), st.none()),
    st.tuples(st.just("again"), st.none()),
    st.tuples(st.just("dry"), DAYS),
    st.tuples(st.just("stopped"), st.tuples(DAYS, st.sampled_from(["SetRecentlyModifiedFlag", "Keys"]))),
    st.tuples(st.just("keep"), st.booleans()),
    st.tuples(st.just("rule"), st.integers(0, len(RULES) - 1)),
)
ANN, ANNA = {"1": {"Name": "Ann", "Mail": "A@b"}}, {"1": {"Name": "Anna", "Mail": "a@B"}}


@pytest.mark.slow  # runs jobs for each example
@law(10)
@given(steps=st.lists(STEPS, min_size=2, max_size=6))
@example(steps=[("Incremental", ANN), ("rule", 1), ("Complete", ANN), ("rule", 0), ("Incremental", ANN)])
@example(steps=[("Incremental", ANN), ("stopped", (ANNA, "Keys")), ("again", None)])
@example(steps=[("Incremental", ANN), ("stopped", (ANNA, "SetRecentlyModifiedFlag")), ("again", None)])
@example(steps=[("Incremental", ANN), ("keep", False), ("People", ANNA), ("keep", True), ("again", None)])
@example(steps=[("Incremental", ANN), ("People", {}), ("People", ANN), ("Flags", None)])
@example(steps=[("Incremental", ANN), ("keep", False), ("People", {}), ("Flags", None)])
def test_incremental_keys_are_those_of_a_complete_run_from_scratch_and_of_plain_python(new_house, steps):
    house, today, rule, keep = new_house(), {}, 0, True
    written(house, today)

    for what, value in [*steps, ("again", None)]:
        if what in ("keep", "rule"):
            rule, keep = (value, keep) if what == "rule" else (rule, value)
            house.configured(keep_people=keep, rules=[RULES[rule]])
            continue
        if what == "dry":
            run(written(house, value), "Incremental", dry_run=True)
            written(house, today)
            continue
        if what == "stopped":
            today, task = value
            try:
                house.engine.run_job("Incremental", force=True, observer=StopsBefore(task))
            except Stopped:
                assert house.engine.runs(newest=1)[0].state is TaskState.FAILED
            written(house, today)
            continue
        if value is not None:
            today = value
        if what != "Flags":
            written(house, today)
        run(house, "Incremental" if what == "again" else what)
        if what != "Flags":
            assert house.state() == today
        if what != "People":
            state = house.state()
            assert house.keys() == keys_by_hand(state, rule)

    fresh = new_house(rules=[RULES[rule]])
    run(written(fresh, today), "Complete")
    assert house.state() == fresh.state()
    assert house.keys() == fresh.keys() == keys_by_hand(today, rule)
    house.engine.close()
    fresh.engine.close()


def _lower(values: Mapping[str, Any]) -> dict[str, Any]:
    return {name.lower(): value for name, value in values.items()}


EMPTY = st.sampled_from(["", " ", "\t", "\u00a0", "\u200b", "\ufeff"])


@law(8)
@given(before=DAYS, after=DAYS, order=st.randoms(use_true_random=False), empty=st.dictionaries(NUMBERS, EMPTY))
@example(before={"a": {"Name": "x"}}, after={"a": {"Name": "x"}}, order=None, empty={"a": ""})
def test_a_row_that_lost_its_key_deletes_nothing_and_the_others_are_applied(new_house, before, after, order, empty):
    house = new_house()
    run(written(house, before), "People")
    rows = [{"number": empty.get(number, number), **_lower(values)} for number, values in after.items()]
    if order is not None:
        order.shuffle(rows)
    house.write("people", [name.lower() for name in PROPERTIES], rows)

    done = house.engine.run_job("People", force=True)

    lost = [number for number in after if number in empty and any(str(v).strip() for v in after[number].values())]
    good = {number: values for number, values in after.items() if number not in empty}
    assert house.state() == ({**before, **good} if lost else good)
    assert done.counts.set_aside == len(lost)
    house.engine.close()


TEAMS = st.dictionaries(st.sampled_from(["T", "t", "T T", "é", "e\u0301"]), TEXTS.filter(bool), min_size=1, max_size=4)
PAIRS = st.lists(
    st.tuples(st.sampled_from(["T", "t", "T T", "é", "e\u0301"]), st.sampled_from(["1", "01", "a", "A", "é"])),
    max_size=8,
)
STAFF = st.sets(st.sampled_from(["1", "01", "a", "A", "é"]), min_size=1)


def links_by_hand(teams: Iterable[str], people: Iterable[str], pairs: Iterable[tuple[str, str]], one: str) -> Any:
    """The links that may stand; an end that has one keeps the smallest key."""
    standing = {(team, person) for team, person in pairs if team in teams and person in people}
    if one == "person":
        standing = {(min(t for t, p in standing if p == person), person) for _, person in standing}
    return standing


@pytest.mark.slow  # runs jobs for each example
@law(6)
@given(days=st.lists(st.tuples(STAFF, TEAMS, PAIRS), min_size=1, max_size=3), one=st.sampled_from(["", "person"]))
@example(days=[({"1", "a"}, {"T": "x"}, [("T", "1")]), ({"a"}, {"T": "x"}, [("T", "1")])], one="")
def test_links_are_what_the_extracts_say_whatever_came_and_went(new_house, days, one):
    house = new_house(person_has_one=one == "person")
    ends = []

    for people, teams, pairs in days:
        for _ in range(2):
            house.people(dict.fromkeys(sorted(people), "N")).teams(teams, *pairs)
            before = house.engine.position()
            first = house.engine.run_job("People", force=True)
            assert {person for _, person in house.pairs()} <= people
            second = house.engine.run_job("Teams", force=True)
            assert {first.state, second.state} <= {TaskState.COMPLETED, TaskState.WARNING}
            assert house.pairs() == links_by_hand(teams, people, pairs, one)
            pairs = pairs[::-1]
        assert list(house.engine.changes(after=before)) == []
        ends.append((second.ended_at, house.pairs()))

    standing: set[tuple[str, str]] = set()
    for change in house.engine.changes():
        if isinstance(change.event, Linked | Unlinked):
            pair = (change.event.ref.source.key, change.event.ref.target.key)
            assert (pair in standing) is isinstance(change.event, Unlinked)
            standing ^= {pair}
    assert standing == house.pairs()
    assert all(house.pairs(at=ended_at) == then for ended_at, then in ends)
    house.engine.close()


COMMANDS = st.dictionaries(
    NUMBERS,
    st.tuples(st.sampled_from(["insert", "Update", "DELETE", "merge", "add"]), PEOPLE.map(lambda p: dict(p))),
    max_size=5,
)


def commanded(day: Day, commands: Mapping[str, tuple[str, dict[str, Any]]]) -> Day:
    """What the commands make of a day, by hand."""
    after = dict(day)
    for number, (command, said) in commands.items():
        values = {name: value for name, value in said.items() if value != ""}
        match command.lower():
            case "delete":
                after.pop(number, None)
            case "update":
                if number in after:
                    after[number] = values
            case "merge":
                after[number] = {**after.get(number, {}), **values}
            case _:
                after[number] = values
    return after


@pytest.mark.slow  # runs jobs for each example
@law(9)
@given(first=DAYS, batches=st.lists(COMMANDS, min_size=1, max_size=3))
@example(first={"a": {"Name": "x", "Age": 1}}, batches=[{"a": ("merge", {"Age": 2}), "A": ("merge", {})}])
def test_commands_leave_what_a_complete_extract_of_their_result_leaves(new_house, first, batches):
    house, today = new_house(), first
    run(written(house, first), "People")

    for commands in batches:
        today = commanded(today, commands)
        house.people_commands(
            *(
                {"number": number, "Command": command, **{name.lower(): value for name, value in said.items()}}
                for number, (command, said) in commands.items()
            )
        )
        done = house.engine.run_job("PeopleCommands")
        assert done.state in (TaskState.COMPLETED, TaskState.WARNING)
        assert house.state() == today

    assert run(written(house, today), "People").counts.changed == 0
    assert folded(house.engine.changes()) == numbered(today)
    house.engine.close()
