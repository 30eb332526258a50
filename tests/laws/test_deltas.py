"""A delta leaves what its rows leave one after another, also when it is cut into several deltas at any places."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
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
