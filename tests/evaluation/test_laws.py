"""Laws of evaluation, against plain Python without SQL."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from random import Random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.evaluation.company import Company, computed, rule
from tests.tiers import SOAK, TIMES, examples

# The company as plain Python sees it: what a person reads, and what comes of it.

PATHS = {
    "Manager": lambda company, person: _far(company.managers, person),
    "Reports": lambda company, person: _near(company.managers, person),
    "Department": lambda company, person: _far(company.members, person),
}


def _far(links, near):
    return {far for source, far in links if source == near}


def _near(links, far):
    return {near for near, target in links if target == far}


def reached(company: Company, person: int, *path: str) -> list[Any]:
    """The values at the end of a path, each resource once, sorted, without nulls."""
    *steps, name = path
    ends = {person}
    for step in steps:
        ends = {far for end in ends for far in PATHS[step](company, end)}
    resources = company.people | company.departments
    return sorted(v for end in ends if resources[end] is not None and (v := resources[end].get(name)) is not None)


def single(company: Company, person: int, *path: str) -> Any:
    found = reached(company, person, *path)
    return found[0] if found else None


Reads = Callable[[Company, int], list[Any]]
DERIVATIONS: dict[str, tuple[str, list[str], Reads, Callable[..., Any]]] = {
    # property: expression, computed properties of the same resource that it reads, other values that it reads, result
    "Full": (
        "SQL:p: p.First || ' ' || p.Last",
        [],
        lambda c, p: [single(c, p, "First"), single(c, p, "Last")],
        lambda first, last: f"{first} {last}" if first is not None and last is not None else None,
    ),
    "Login": ("SQL:p: lower(p.Full)", ["Full"], lambda c, p: [], lambda full: full and full.lower()),
    "Level": (
        "SQL:p: p.Floor + coalesce(p.Manager.Floor, 0)",
        [],
        lambda c, p: [single(c, p, "Floor"), single(c, p, "Manager", "Floor")],
        lambda floor, manager: None if floor is None else floor + (manager or 0),
    ),
    "Label": (
        "SQL:p: array_to_string(p.Reports.First, ',')",
        [],
        lambda c, p: [reached(c, p, "Reports", "First")],
        lambda names: ",".join(names) or None,
    ),
    "Score": (
        "SQL:p: len(p.Reports.Reports.Floor)",
        [],
        lambda c, p: [reached(c, p, "Reports", "Reports", "Floor")],
        lambda floors: float(len(floors)),
    ),
    "Mail": (
        "SQL:p: coalesce(p.Manager.Department.Name, p.Login)",
        ["Login"],
        lambda c, p: [single(c, p, "Manager", "Department", "Name")],
        lambda login, name: login if name is None else name,
    ),
    "Boss": (
        "SQL:p: p.Score > 0 or p.Level > 3",
        ["Score", "Level"],
        lambda c, p: [],
        lambda score, level: score > 0 or None if level is None else score > 0 or level > 3,
    ),
}
PLANNED = [computed(name, expression) for name, (expression, *_) in DERIVATIONS.items()]


def expected(company: Company, person: int) -> dict[str, Any]:
    """All expected values of a person."""
    values: dict[str, Any] = {}
    for name, (_, own, reads, made) in DERIVATIONS.items():
        values[name] = made(*(values[one] for one in own), *reads(company, person))
    return {name: value for name, value in values.items() if value is not None}


def computed_anew(before: Company, after: Company, person: int) -> tuple[set[int], set[int]]:
    """The derivations of a person that are due, and those that must be computed.

    Due are those that read other values of other resources, or other synchronized values, than before.
    """
    old, new = expected(before, person), expected(after, person)
    due, needed = set(), set()
    for number, (_, own, reads, _) in enumerate(DERIVATIONS.values()):
        if reads(before, person) != reads(after, person):
            due.add(number)
        if number in due or any(old.get(one) != new.get(one) for one in own):
            needed.add(number)
    return due, needed


# Companies, and changes in them.

PEOPLE, DEPARTMENTS = range(1, 7), range(91, 93)
STATES = st.fixed_dictionaries(
    {},
    optional={
        "First": st.sampled_from(["Ann", "Bob", "Éa"]),
        "Last": st.sampled_from(["Lee", "ß"]),
        "Floor": st.integers(-2, 4),
    },
)
LINKS = st.sets(st.tuples(st.sampled_from(PEOPLE), st.sampled_from(PEOPLE)), max_size=9)
MEMBERS = st.sets(st.tuples(st.sampled_from(PEOPLE), st.sampled_from(DEPARTMENTS)), max_size=7)


@st.composite
def companies(draw: st.DrawFn) -> Company:
    return Company(
        {person: draw(st.none() | STATES) for person in PEOPLE},
        {
            one: draw(st.none() | st.fixed_dictionaries({}, optional={"Name": st.sampled_from(["IT", "HR"])}))
            for one in DEPARTMENTS
        },
        managers=draw(LINKS),
        members=draw(MEMBERS),
    )


@given(companies(), st.integers(1, 7))
@settings(max_examples=examples(40), deadline=None)
def test_all_values_equal_those_of_plain_python(company, at_once):
    found = company.compute(PLANNED, at_once=at_once)

    live = [person for person, state in company.people.items() if state is not None]
    assert {person: found.values.get(person, {}) for person in live} == {p: expected(company, p) for p in live}
    assert set(found.values) <= set(live)
    assert found.executed == len(live) * len(PLANNED)
    assert found.necessary == sum(len(expected(company, p)) for p in live)


@given(companies(), companies(), st.sets(st.tuples(st.sampled_from(PEOPLE), st.integers(0, 6)), max_size=5))
@settings(max_examples=examples(60), deadline=None)
def test_computing_due_values_gives_the_complete_result_and_computes_no_others(before, after, too_many):
    live = [person for person in PEOPLE if before.people[person] is not None and after.people[person] is not None]
    after.people = {person: after.people[person] if person in live else None for person in PEOPLE}
    after.stored = {person: expected(before, person) for person in live}
    anew = {person: computed_anew(before, after, person) for person in live}
    due = {(person, number) for person, (direct, _) in anew.items() for number in direct}
    needed = {(person, number) for person, (_, all_of_them) in anew.items() for number in all_of_them}
    superfluous = {(person, number) for person, number in too_many if person in live}

    found = after.compute(PLANNED, due=due | too_many)
    after.keep(found)

    assert {person: after.stored[person] for person in live} == {person: expected(after, person) for person in live}
    assert found.executed == len(needed | superfluous)
    assert found.necessary == sum(len(changed) for changed in found.changes.values())


# Ternary logic: of a condition, its negation and its being null, one holds for each person.

NUMBERS = ["p.Floor", "p.Weight", "p.Manager.Floor", "2", "-1.5", "p.Floor % 3", "coalesce(p.Floor, 1)"]
TEXTS = ["p.First", "p.Last", "p.Manager.First", "'Ann'", "''", "lower(p.First)", "p.First || p.Last"]
SIGNS = ["=", "<>", "<", "<=", ">", ">="]
_NUMBERS, _TEXTS, _SIGNS = st.sampled_from(NUMBERS), st.sampled_from(TEXTS), st.sampled_from(SIGNS)


def _leaves() -> st.SearchStrategy[str]:
    return st.one_of(
        st.builds("{} {} {}".format, _NUMBERS, _SIGNS, _NUMBERS),
        st.builds("{} {} {}".format, _TEXTS, _SIGNS, _TEXTS),
        st.builds("{} like '%{}%'".format, _TEXTS, st.sampled_from(["n", "A", ""])),
        st.builds("{} in ({}, {})".format, _NUMBERS, _NUMBERS, _NUMBERS),
        st.builds("{} not in ({}, 'Bob')".format, _TEXTS, _TEXTS),
        st.builds("{} between {} and {}".format, _NUMBERS, _NUMBERS, _NUMBERS),
        st.builds("{} is null".format, _NUMBERS | _TEXTS),
        st.sampled_from(["p.Active", "p.Manager.Active", "p.Start > cast('2021-01-01' as timestamp)", "true"]),
    )


def _joined(parts: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    return st.one_of(
        st.builds("({} and {})".format, parts, parts),
        st.builds("({} or {})".format, parts, parts),
        st.builds("(not {})".format, parts),
        st.builds("(case when {} then {} else {} end)".format, parts, parts, parts),
    )


CONDITIONS = st.recursive(_leaves().map("({})".format), _joined, max_leaves=4)
MANY_PEOPLE = Company(
    {
        number + 1: {
            name: value
            for name, value in {
                "First": (None, "Ann", "Bob", "ann")[number % 4],
                "Last": (None, "Lee")[number // 4 % 2],
                "Floor": (None, 0, 2, -3, 7)[number % 5],
                "Weight": (None, 2.0, -1.5)[number % 3],
                "Active": (None, True, False)[number // 3 % 3],
                "Start": (None, "2020-01-01T00:00:00Z", "2022-02-02T00:00:00Z")[number // 5 % 3],
            }.items()
            if value is not None
        }
        for number in range(60)
    },
    managers={(number, number * 7 % 60 + 1) for number in range(1, 61, 2)},
)


@given(st.lists(CONDITIONS, min_size=1, max_size=25))
@settings(max_examples=examples(40), deadline=None)
def test_a_condition_is_true_false_or_null_for_each_resource(conditions):
    forms = ("{}", "not {}", "{} is null")
    rules = [
        rule(f"Rule{n}", f"SQL:p: {form.format(condition)}", decides=True)
        for n, condition in enumerate(conditions)
        for form in forms
    ]

    found = MANY_PEOPLE.values(rules)

    for number, condition in enumerate(conditions):
        holds = [{person for person, value in found[3 * number + n].items() if value} for n in range(3)]
        assert sum(len(people) for people in holds) == 60, condition
        assert set.union(*holds) == set(MANY_PEOPLE.people), condition


# The same for many conditions at once: each gives a digit, the number of its three forms that hold.

CONDITIONS_AT_ONCE = 4
"""Conditions in one expression, within its limit of parts."""


def condition_of(random: Random, nesting: int = 1) -> str:
    """A condition like those of `CONDITIONS`, but drawn much faster."""
    number, text = (partial(random.choice, one) for one in (NUMBERS, TEXTS))
    match random.randrange(11 if nesting else 8):
        case 0 | 1:
            found = f"{number()} {random.choice(SIGNS)} {number()}"
        case 2:
            found = f"{text()} {random.choice(SIGNS)} {text()}"
        case 3:
            found = f"{text()} like '%{random.choice('nA')}%'"
        case 4:
            found = f"{number()} in ({number()}, {number()})"
        case 5:
            found = f"{number()} not between {number()} and {number()}"
        case 6:
            found = f"{text()} not in ({text()}, 'Bob')"
        case 7:
            found = random.choice(["p.Active", "p.Manager.Active", f"{number()} is null", f"{text()} is not null"])
        case 8:
            found = f"not {condition_of(random, nesting - 1)}"
        case other:
            sign = "and" if other == 9 else "or"
            found = f"{condition_of(random, nesting - 1)} {sign} {condition_of(random, nesting - 1)}"
    return f"({found})"


def how_many_hold(condition: str) -> str:
    forms = (condition, f"not {condition}", f"{condition} is null")
    return f"cast({' + '.join(f'case when {form} then 1 else 0 end' for form in forms)} as varchar)"


@pytest.mark.law
@pytest.mark.slow  # thousands of conditions; each is parsed and checked
def test_each_of_thousands_of_conditions_is_true_false_or_null_for_each_resource():
    random = Random(9)
    for _ in range(3_000 * (TIMES if SOAK else 1) // CONDITIONS_AT_ONCE // 50):
        conditions = [[condition_of(random) for _ in range(CONDITIONS_AT_ONCE)] for _ in range(50)]
        rules = [
            rule(f"Rule{n}", f"SQL:p: {' || '.join(map(how_many_hold, some))}") for n, some in enumerate(conditions)
        ]

        for some, found in zip(conditions, MANY_PEOPLE.values(rules), strict=True):
            assert set(found.values()) == {"1" * CONDITIONS_AT_ONCE}, some
            assert len(found) == 60
