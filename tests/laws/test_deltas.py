"""A delta leaves what its rows leave one after another, also when it is cut into several deltas at any places."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from attrs import define, field
from hypothesis import example, given
from hypothesis import strategies as st

from tests.application.synchronization.row_order import (
    LinkRow,
    Pairs,
    ResourceRow,
    Resources,
    Source,
    Staff,
    StaffRow,
    configuration,
    staff_configuration,
    with_complete_tables,
)
from tests.tiers import law

NewStore = Callable[[], str]


def parts(rows: Sequence[Any], cuts: Sequence[int]) -> list[Sequence[Any]]:
    """The rows in several parts, cut at these places."""
    places = sorted({0, len(rows), *(cut for cut in cuts if cut < len(rows))})
    return [rows[first:last] for first, last in itertools.pairwise(places)]


CUTS = st.lists(st.integers(1, 30), max_size=4)

RESOURCE_ROWS = st.builds(
    ResourceRow,
    st.integers(0, 2),
    st.sampled_from(["insert", "update", "merge", "merge", "delete"]),
    st.sampled_from(["A", "B", ""]),
)
LINK_ROWS = st.builds(
    LinkRow,
    st.sampled_from(["insert", "update", "merge", "delete"]),
    st.sampled_from(["G", "H", "K"]),
    st.sampled_from(["a", "b", "c", "d", None]),
)


def cells(row: ResourceRow, number: int) -> list[str]:
    return [str(row.key), *(str(number) if name == row.sets else "" for name in ("A", "B")), "", row.command]


@pytest.mark.slow  # runs jobs for each example
@law(4)
@given(rows=st.lists(RESOURCE_ROWS, max_size=30), cuts=CUTS)
@example(rows=[ResourceRow(0, "delete"), ResourceRow(0, "merge", "A"), ResourceRow(0, "merge", "B")], cuts=[1, 2])
def test_rows_of_resources_mean_the_same_in_one_delta_and_in_several(
    new_store: NewStore, tmp_path: Path, rows: list[ResourceRow], cuts: list[int]
) -> None:
    resources = Resources({0: {"A": "old", "B": "old"}})
    resources.apply(rows)
    expected = {str(key): {"Key": str(key), **state} for key, state in resources.states.items()}
    numbered = list(enumerate(rows))

    for pieces in ([numbered], parts(numbered, cuts)):
        source = Source(new_store(), tmp_path / "source", configuration())
        with source.engine:
            source.run("Load", items=[["0", "old", "old", ""]])
            aside = 0
            for piece in filter(None, pieces):
                run = source.run("Delta", items=[cells(row, number) for number, row in piece])
                aside += run.counts.set_aside
                net = {change.event.ref.key for change in source.engine.changes(run=run.number)}
                assert len(list(source.engine.changes(run=run.number))) == len(net)
            assert source.states("Item") == expected
            assert aside == len(resources.set_aside)


@pytest.mark.slow  # many runs for each sequence
@law(5)
@given(
    association=st.sampled_from(["Many", "One", "OfOne", "OneOfOne"]),
    rows=st.lists(LINK_ROWS, max_size=30),
    cuts=CUTS,
    late=st.sets(st.sampled_from(["H", "K", "c", "d"])),
)
@example(
    association="OfOne", rows=[LinkRow("insert", "G", "a"), LinkRow("insert", "K", "a")], cuts=[1], late={"K", "c"}
)
def test_rows_of_links_mean_the_same_in_one_delta_and_in_several(
    new_store: NewStore, tmp_path: Path, association: str, rows: list[LinkRow], cuts: list[int], late: set[str]
) -> None:
    # Those who are late come after all rows: until then their links wait.
    single = {"Many": (False, False), "One": (True, False), "OfOne": (False, True), "OneOfOne": (True, True)}
    pairs = Pairs(single[association], [("G", "a")])
    pairs.apply(rows)
    links: dict[str, list[str]] = {}
    for first, second in sorted(pairs.pairs):
        links.setdefault(first, []).append(second)
    table = association.lower()
    ends = {"groups": {"G", "H", "K"}, "users": {"a", "b", "c", "d"}}

    for pieces in ([rows], parts(rows, cuts)):
        source = Source(new_store(), tmp_path / "source", configuration([association]))
        with source.engine:
            there = {kind: [[name] for name in sorted(names - late)] for kind, names in ends.items()}
            source.run("Load", **there, **{table: [["G", "a"]]})
            for piece in filter(None, pieces):
                source.run("Delta", **{table: [[row.first, row.second or "", row.command] for row in piece]})
            present = {
                first: [second for second in seconds if second not in late]
                for first, seconds in links.items()
                if first not in late
            }
            assert source.links("Group", association) == {first: names for first, names in present.items() if names}
            then = {kind: [[name, "insert"] for name in sorted(names & late)] for kind, names in ends.items()}
            source.run("Delta", **then)
            assert source.links("Group", association) == links
            assert source.waiting(association) == set()


STAFF_ROWS = st.builds(
    StaffRow,
    st.sampled_from(["p", "q", "r"]),
    st.sampled_from(["insert", "update", "merge", "delete"]),
    st.sampled_from(["p", "q", "r", "z", ""]),
)


@pytest.mark.slow  # many runs for each sequence
@law(4)
@given(rows=st.lists(STAFF_ROWS, max_size=30), cuts=CUTS)
@example(rows=[StaffRow("p", "delete", ""), StaffRow("p", "merge", ""), StaffRow("q", "insert", "p")], cuts=[1, 2])
def test_rows_that_name_a_link_mean_the_same_in_one_delta_and_in_several(
    new_store: NewStore, tmp_path: Path, rows: list[StaffRow], cuts: list[int]
) -> None:
    staff = Staff({"p": "q"})
    staff.apply(rows)

    for pieces in ([rows], parts(rows, cuts)):
        source = Source(new_store(), tmp_path / "source", staff_configuration())
        with source.engine:
            source.run("Load", people=[["p", "q", "q", "q"]])
            for piece in filter(None, pieces):
                source.run("Delta", people=[[row.key, *[row.manager] * 3, row.command] for row in piece])
            assert set(source.states("Person")) == set(staff.managers)
            for association in ("Manager", "Team"):
                assert source.links("Person", association) == {key: [to] for key, to in staff.links().items()}
                assert source.waiting(association) == set(staff.waiting().items())
            bosses: dict[str, list[str]] = {}
            for key, manager in sorted(staff.links().items()):
                bosses.setdefault(manager, []).append(key)
            assert source.links("Person", "Boss") == bosses


# Tables that are whole among tables of changes. A source deletes the pairs of a resource with it.

Edit = tuple[str, str, str]
"""Whether something is added or removed, and what: a group, a user, or a pair of both; "" for what is none."""

GROUPS, USERS = ("G", "H", "K"), ("a", "b", "c")
EDITS = st.one_of(
    st.tuples(st.sampled_from("+-"), st.sampled_from(GROUPS), st.sampled_from(USERS)),
    st.tuples(st.sampled_from("+-"), st.sampled_from(GROUPS), st.just("")),
    st.tuples(st.sampled_from("+-"), st.just(""), st.sampled_from(USERS)),
)
ROUNDS = st.lists(st.tuples(st.sampled_from(["Delta", "Delta", "Load"]), st.lists(EDITS, max_size=8)), max_size=4)


@define
class Directory:
    """A source of groups, users and pairs, which tells a store what it holds.

    :param whole: the tables that are always complete.
    :param listed: the groups all of whose pairs are told where one changes.
    """

    association: str
    whole: frozenset[str]
    listed: frozenset[str]
    pairs: Pairs
    there: dict[str, set[str]] = field(factory=lambda: {"groups": {"G"}, "users": {"a"}})

    def rows(self, job: str, edits: Sequence[Edit]) -> dict[str, list[list[str]]]:
        """The rows of all tables after these edits."""
        table = self.association.lower()
        before = list(self.pairs.pairs)
        told: dict[str, list[list[str]]] = {"groups": [], "users": [], table: []}
        for sign, group, user in edits:
            command = "insert" if sign == "+" else "delete"
            if group and user:
                self.pairs.apply([LinkRow(command, group, user)])
                told[table].append([group, user, command])
            else:
                kind, name = ("groups", group) if group else ("users", user)
                told[kind].append([name, command])
                told[table] += [
                    [*pair, "delete"]
                    for pair in self.pairs.pairs
                    # That a resource is gone says that its pairs are, where a row says so and they were there before.
                    if command == "delete" and name in pair and (kind in self.whole or pair not in before)
                ]
                self._edit(kind, name, command)
        held = {
            "groups": [[n] for n in sorted(self.there["groups"])],
            "users": [[n] for n in sorted(self.there["users"])],
        }
        held[table] = [list(pair) for pair in self.pairs.pairs]
        told[table] = self._with_lists(told[table])
        return {name: held[name] if job == "Load" or name in self.whole else told[name] for name in told}

    def _edit(self, kind: str, name: str, command: str) -> None:
        if command == "insert":
            self.there[kind].add(name)
        else:
            self.there[kind].discard(name)
            self.pairs.delete(name)

    def _with_lists(self, rows: list[list[str]]) -> list[list[str]]:
        changed = sorted({group for group, *_ in rows} & self.listed)
        lists = [
            [group, user, "replace"]
            for group in changed
            for user in [second for first, second in self.pairs.pairs if first == group] or [""]
        ]
        return [row for row in rows if row[0] not in self.listed] + lists


@pytest.mark.slow  # many runs for each sequence
@law(4)
@given(
    association=st.sampled_from(["Many", "One"]),
    whole=st.frozensets(st.sampled_from(["groups", "users", "pairs"])),
    listed=st.frozensets(st.sampled_from(GROUPS)),
    rounds=ROUNDS,
)
@example(
    association="Many",
    whole=frozenset(["users"]),
    listed=frozenset(["G"]),
    rounds=[
        ("Delta", [("+", "G", "b"), ("+", "H", ""), ("+", "H", "a")]),
        ("Delta", [("-", "", "a"), ("+", "", "b"), ("-", "G", "b"), ("+", "G", "c")]),
        ("Delta", [("+", "", "a"), ("+", "", "c")]),
    ],
)
def test_whole_tables_among_deltas_leave_what_the_source_holds(
    new_store: NewStore,
    tmp_path: Path,
    association: str,
    whole: frozenset[str],
    listed: frozenset[str],
    rounds: list[tuple[str, list[Edit]]],
) -> None:
    table = association.lower()
    tables = frozenset(table if name == "pairs" else name for name in whole)
    source = Source(new_store(), tmp_path / "source", with_complete_tables(configuration([association]), tables))
    held = Directory(association, tables, listed, Pairs((association == "One", False), [("G", "a")]))
    with source.engine:
        source.run("Load", groups=[["G"]], users=[["a"]], **{table: [["G", "a"]]})
        for job, edits in rounds:
            source.run(job, **held.rows(job, edits))

            assert set(source.states("Group")) == held.there["groups"]
            assert set(source.states("User")) == held.there["users"]
            ends = held.there["groups"] | held.there["users"]
            linked = [pair for pair in held.pairs.pairs if ends.issuperset(pair)]
            expected = {group: sorted(user for first, user in linked if first == group) for group, _ in linked}
            assert source.links("Group", association) == expected
            assert source.waiting(association) == set(held.pairs.pairs) - set(linked)
        assert source.engine.verify().is_sound
