"""Which tasks run together, in which order, and on which earlier calls each of them depends."""

from __future__ import annotations

import pytest

from deltamark.domain.configuration.jobs import (
    PrepareSynchronizationTask,
    SetRecentlyModifiedFlagTask,
    SynchronizeTask,
)
from deltamark.domain.runs.task_calls import all_calls, call_groups


def at(name, level=-1, *parents):
    return SetRecentlyModifiedFlagTask(identifier=name, level=level, parents=parents)


def shown(tasks):
    """The groups of tasks that run together."""
    return " ".join("".join(call.task.identifier for call in group) for group in call_groups(tasks))


def parents(tasks):
    return [call.parents for call in all_calls(call_groups(tasks))]


@pytest.mark.parametrize(
    ("levels", "groups"),
    [
        ([], ""),
        ([-1, -1, -1], "a b c"),
        ([0, 0, 0], "abc"),
        ([3, 2, 5], "b a c"),
        ([2, 1, 2], "b ac"),
        ([10, 9, 0], "c b a"),
        ([7, 7, 9], "ab c"),
    ],
)
def test_tasks_of_a_level_run_together_and_others_in_sequence(levels, groups):
    assert shown([at(name, level) for name, level in zip("abc", levels, strict=False)]) == groups


def test_places_are_numbered_in_order_of_execution():
    groups = call_groups([at("a", 2), at("b", 1), at("c", 2)])

    assert [(call.ordinal, call.task.identifier) for call in all_calls(groups)] == [(1, "b"), (2, "a"), (3, "c")]


def test_a_parent_is_the_nearest_earlier_call_of_its_task():
    tasks = [at("p"), at("c", -1, "p"), at("p"), at("c", -1, "p")]

    assert parents(tasks) == [(), (1,), (), (3,)]


def test_a_parent_that_is_called_later_or_never_is_ignored():
    assert parents([at("c", -1, "p", "q"), at("p")]) == [(), ()]
    assert parents([at("c", 1, "p"), at("p", 2)]) == [(), ()]


def test_a_parent_of_the_same_level_is_not_earlier():
    assert parents([at("p", 1), at("c", 1, "p")]) == [(), ()]
    assert parents([at("p", 0), at("p", 1), at("c", 1, "p")]) == [(), (), (1,)]


def test_a_parent_named_twice_counts_once():
    assert parents([at("p"), at("c", -1, "p", "p")]) == [(), (1,)]


def prepare(connector):
    return PrepareSynchronizationTask(connector=connector)


def test_a_synchronization_has_the_last_preparation_of_its_connector():
    hr, ad = SynchronizeTask(connector="HR"), SynchronizeTask(connector="AD")

    calls = all_calls(call_groups([hr, prepare("HR"), prepare("AD"), hr, ad, prepare("HR"), hr, hr]))

    prepared_at = {call.ordinal: call.prepared_at for call in calls if isinstance(call.task, SynchronizeTask)}
    assert prepared_at == {1: None, 4: 2, 5: 3, 7: 6, 8: 6}
