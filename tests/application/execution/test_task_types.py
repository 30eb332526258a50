"""A type of task is known in few places: its class, its element, its use case and its line in the table."""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import deltamark
from deltamark.application.execution import task_types
from deltamark.config.xml import task_elements
from deltamark.config.xml.unbuilt import NOT_BUILT, is_not_built
from deltamark.domain.configuration import jobs
from deltamark.domain.configuration.jobs import TASK_TYPES, ComputingTask, SynchronizeTask, Task

ROOT = Path(deltamark.__file__).parent
CONCRETE = frozenset(kind.__name__ for kind in TASK_TYPES)
TABLES = {Path(str(module.__file__)) for module in (jobs, task_types, task_elements)} | {ROOT / "__init__.py"}


def subclasses(kind: type[Task]) -> Iterator[type[Task]]:
    for sub in kind.__subclasses__():
        # attrs replaces a class by one with slots; the one replaced may still be there.
        if sub.__module__.startswith("deltamark.") and getattr(sys.modules[sub.__module__], sub.__name__) is sub:
            yield sub
            yield from subclasses(sub)


def test_every_class_of_a_task_without_subclasses_is_a_task_type() -> None:
    leaves = {kind for kind in subclasses(Task) if not list(subclasses(kind))}

    assert leaves == set(TASK_TYPES)


def test_every_task_type_has_its_use_case_its_element_and_its_public_name() -> None:
    names = [kind.kind for kind in TASK_TYPES]

    assert names == [kind.__name__ for kind in TASK_TYPES]
    assert list(task_types.TASK_TYPES) == list(TASK_TYPES)
    assert [element.name for element in task_elements.TASKS] == names
    assert set(names) <= set(deltamark.__all__)


def test_a_task_of_a_class_derived_from_a_task_type_is_carried_out_as_one_of_that_type() -> None:
    class MySynchronizeTask(SynchronizeTask):
        pass

    task = MySynchronizeTask(connector="HR")

    assert task_types._type_of(task) is task_types.TASK_TYPES[SynchronizeTask]


@pytest.mark.parametrize("kind", [kind for kind in TASK_TYPES if issubclass(kind, ComputingTask)])
def test_every_computing_task_says_what_it_derives(kind: type[ComputingTask]) -> None:
    assert kind.derives
    assert kind.computes != ComputingTask.computes


def test_an_element_that_is_built_is_not_refused_as_not_built() -> None:
    assert NOT_BUILT
    assert all(is_not_built(name) and is_not_built(f"{name}Override") for name in NOT_BUILT)
    assert not any(is_not_built(element.name) for element in task_elements.TASKS)


def told_apart(tree: ast.AST) -> Iterator[tuple[int, str]]:
    """Where code tells task types apart by their classes: by isinstance, match, comparing or as keys of a table."""
    for node in ast.walk(tree):
        parts: list[ast.expr] = []
        match node:
            case ast.Call(func=ast.Name(id="isinstance" | "issubclass"), args=[_, classes]):
                parts = [classes]
            case ast.MatchClass(cls=name):
                parts = [name]
            case ast.Compare(comparators=comparators):
                parts = comparators
            case ast.Dict(keys=keys):
                parts = [key for key in keys if key is not None]
        for part in parts:
            for name in ast.walk(part):
                if isinstance(name, ast.Name | ast.Attribute | ast.Constant):
                    yield name.lineno, getattr(name, "id", getattr(name, "attr", getattr(name, "value", "")))


def dispatches(text: str) -> list[int]:
    return [line for line, name in told_apart(ast.parse(text)) if name in CONCRETE]


def test_no_other_module_tells_task_types_apart() -> None:
    found = {
        str(path.relative_to(ROOT)): lines
        for path in sorted(ROOT.rglob("*.py"))
        if path not in TABLES and (lines := dispatches(path.read_text()))
    }

    assert found == {}, "ask the task instead: a class variable or a property of deltamark.domain.configuration.jobs"


@pytest.mark.parametrize(
    "code",
    [
        "isinstance(task, SynchronizeTask)",
        "isinstance(task, (ComputingTask, PythonTask))",
        "isinstance(task, ComputingTask | PythonTask)",
        "issubclass(kind, jobs.PythonTask)",
        "match task:\n    case SynchronizeTask() | None:\n        pass",
        "kind is PythonTask",
        "task.kind == 'PythonTask'",
        "UNITS = {ComputeCorrelationKeysTask: 'key'}",
    ],
)
def test_telling_task_types_apart_is_noticed(code: str) -> None:
    assert dispatches(code)


@pytest.mark.parametrize(
    "code", ["isinstance(task, ComputingTask)", "def apply(task: SynchronizeTask) -> None: ...", "task.kind == kind"]
)
def test_what_does_not_tell_task_types_apart_is_allowed(code: str) -> None:
    assert not dispatches(code)
