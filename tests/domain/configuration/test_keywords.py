"""An unknown keyword argument of a class of the configuration is answered with the one that was meant."""

from __future__ import annotations

import inspect
import pickle
from collections.abc import Callable

import pytest
from attrs import evolve

from deltamark import (
    Configuration,
    Connector,
    EntityTypeMapping,
    Job,
    Property,
    SetRecentlyModifiedFlagTask,
    SynchronizeTask,
)


@pytest.mark.parametrize(
    ("build", "problem"),
    [
        (
            lambda: EntityTypeMapping("a", "b", ConnectionTable="x"),  # type: ignore[call-arg]
            'EntityTypeMapping has no argument "ConnectionTable"; that is the name in XML: in Python it is '
            "connection_table",
        ),
        (lambda: Property("x", IsKey=True), "in Python it is is_key"),  # type: ignore[call-arg]
        (lambda: Configuration(EntityTypes=[]), "in Python it is entity_types"),  # type: ignore[call-arg]
        (lambda: Job("x", DisplayName_L1="y"), "in Python it is display_names"),  # type: ignore[call-arg]
        (
            lambda: SetRecentlyModifiedFlagTask(TaskDependsOnTask=["x"]),  # type: ignore[call-arg]
            "in Python it is parents",
        ),
        (
            lambda: SynchronizeTask(conector="HR"),  # type: ignore[call-arg]
            'SynchronizeTask has no argument "conector"; did you mean "connector"?',
        ),
        (lambda: Property("x", isKey=True), 'did you mean "is_key"?'),  # type: ignore[call-arg]
        (lambda: evolve(Configuration(), jbs=[]), 'Configuration has no argument "jbs"; did you mean "jobs"?'),
        (
            lambda: Connector("x", MaximumInsertedLines=3),  # type: ignore[call-arg]
            "write thresholds=Thresholds(maximum_inserted_lines=…)",
        ),
        (lambda: Job("x", qqqqqqqqqqq=1), 'Job has no argument "qqqqqqqqqqq"'),  # type: ignore[call-arg]
        (lambda: Job(), "missing 1 required positional argument: 'identifier'"),  # type: ignore[call-arg]
    ],
)
def test_the_argument_that_was_meant_is_named(build: Callable[[], object], problem: str) -> None:
    with pytest.raises(TypeError) as raised:
        build()

    assert problem in str(raised.value)


def test_the_classes_are_otherwise_what_they_were() -> None:
    task = SynchronizeTask(connector="HR", parents=iter(["a"]))

    assert list(inspect.signature(Job).parameters)[:2] == ["identifier", "tasks"]
    assert pickle.loads(pickle.dumps(task)) == task == evolve(task)  # noqa: S301
    assert task.parents == ("a",)


def test_configurations_are_merged_in_order() -> None:
    one, two = Configuration(jobs=[Job("A")]), Configuration(jobs=[Job("B")], connectors=[Connector("C")])

    assert one.merged_with(two) == Configuration(jobs=[Job("A"), Job("B")], connectors=[Connector("C")])
