"""`import deltamark` is quick and lazy; people, programs and type checkers see every public name all the same."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from enum import Enum
from pathlib import Path
from typing import get_args, get_type_hints

import pytest
from attrs import fields, has

import deltamark
from deltamark.domain.derivation.explanation import FlagCause
from tests.docs.pages import ROOT

HEAVY = ("duckdb", "pyarrow", "numpy", "sqlglot", "psycopg")


def loaded_by(code: str) -> set[str]:
    """The packages that a fresh process has loaded after some code."""
    done = subprocess.run(
        [sys.executable, "-c", f"{code}\nimport sys\nprint(*sys.modules)"], capture_output=True, text=True, check=True
    )
    return {name.split(".")[0] for name in done.stdout.splitlines()[-1].split()}


@pytest.mark.parametrize(
    "code",
    [
        "import deltamark",
        "from deltamark import Engine, Configuration, ConfigurationError, LoggedChange, Observer",
        "import deltamark; print(dir(deltamark), deltamark.__all__)",
    ],
)
def test_importing_loads_no_heavy_package(code: str) -> None:
    assert loaded_by(code).isdisjoint(HEAVY)


def test_the_package_is_the_command_line() -> None:
    done = subprocess.run([sys.executable, "-m", "deltamark", "--version"], capture_output=True, text=True, check=True)

    assert deltamark.__version__ in done.stdout


def test_every_public_name_can_be_had() -> None:
    names: dict[str, object] = {}
    exec("from deltamark import *", names)  # noqa: S102

    assert set(deltamark.__all__) <= set(names)
    assert set(deltamark.__all__) <= set(dir(deltamark))
    assert deltamark.__all__ == sorted(deltamark.__all__, key=lambda name: (not name[0].isupper(), name))


def test_type_checkers_see_the_names_that_programs_do() -> None:
    tree = ast.parse((ROOT / "deltamark" / "__init__.py").read_text("utf-8"))
    (typed,) = [node for node in tree.body if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"]
    seen = {alias.name: node.module for node in typed.body if isinstance(node, ast.ImportFrom) for alias in node.names}

    assert seen == deltamark._MODULE_OF
    assert {*seen, "__version__"} == set(deltamark.__all__)


def test_every_choice_of_a_public_class_is_public() -> None:
    missing = set()
    for name in deltamark.__all__:
        item = getattr(deltamark, name)
        if isinstance(item, type) and has(item):
            hints = get_type_hints(item)
            kinds = {kind for field in fields(item) for kind in _kinds(hints[field.name])}
            missing |= {kind.__name__ for kind in kinds if issubclass(kind, Enum)} - set(deltamark.__all__)

    assert not missing


def _kinds(hint: object) -> Iterator[type]:
    if isinstance(hint, type) and not get_args(hint):
        yield hint
    for part in get_args(hint):
        yield from _kinds(part)


def test_a_name_that_does_not_exist_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="module 'deltamark' has no attribute 'Engin'"):
        deltamark.Engin  # noqa: B018


def test_the_old_name_of_a_cause_of_a_flag_is_deprecated() -> None:
    with pytest.warns(DeprecationWarning, match=r"deltamark\.Cause is called deltamark\.FlagCause now") as warned:
        assert deltamark.Cause is FlagCause

    assert warned[0].filename == __file__


@pytest.mark.slow  # mypy reads the whole package
def test_a_program_of_a_user_is_type_checked(tmp_path: Path) -> None:
    (tmp_path / "program.py").write_text(
        """
from collections.abc import Iterable
from attrs import evolve
import deltamark
from deltamark import Configuration, Engine, FlagCause, Job, JobRun, Origin, Step, SynchronizeTask, TaskState
from deltamark import load_configuration

def jobs() -> Iterable[Job]:
    yield Job("Nightly", [SynchronizeTask(connector="HR"), Step("Flag")])

configuration = evolve(load_configuration("configuration"), jobs=jobs())
kept: tuple[Job, ...] = configuration.merged_with(Configuration(jobs=(job for job in jobs()))).jobs
Configuration(jobs=["Nightly"])
Job("Nightly", [Job("Other")])
SynchronizeTask(conector="HR")
evolve(configuration, jobs=["Nightly"])

def work(store: str) -> JobRun:
    with Engine.open(store) as engine:
        causes: tuple[FlagCause, ...] = engine.why("Person", "1").causes
        origin: Origin = next(engine.changes()).event.cause
        reveal_type(engine.run_job("Nightly").state)
        reveal_type(deltamark.Engine.export)
        print(deltamark.Engin)
        print(causes, origin, TaskState.COMPLETED)
        return engine.run_job(7)
"""
    )

    done = subprocess.run(
        [sys.executable, "-m", "mypy", "--strict", "--cache-dir", str(tmp_path / "cache"), "program.py"],
        cwd=tmp_path, capture_output=True, text=True,
    )  # fmt: skip

    lines = [line.partition("program.py:")[2] for line in done.stdout.splitlines() if "program.py:" in line]
    assert [line for line in lines if "error" in line] == [
        '13: error: List item 0 has incompatible type "str"; expected "Job"  [list-item]',
        '14: error: List item 0 has incompatible type "Job"; expected "Task | Step | TaskOverride"  [list-item]',
        '15: error: Unexpected keyword argument "conector" for "SynchronizeTask"; did you mean "connector"?'
        "  [call-arg]",
        '16: error: List item 0 has incompatible type "str"; expected "Job"  [list-item]',
        '24: error: Module has no attribute "Engin"; maybe "Engine"?  [attr-defined]',
        '26: error: Argument 1 to "run_job" of "Engine" has incompatible type "int"; expected "str | Job"  [arg-type]',
    ]
    assert 'Revealed type is "deltamark.domain.configuration.jobs.TaskState"' in done.stdout


def test_every_error_of_the_package_is_in_the_module_of_errors() -> None:
    from deltamark import errors
    from deltamark.domain import errors as defined

    raised = {
        name
        for name, value in vars(defined).items()
        if isinstance(value, type) and issubclass(value, defined.DeltamarkError)
    }
    assert set(errors.__all__) == raised | {"Fault"}
    assert set(errors.__all__) <= set(deltamark.__all__)
    assert all(getattr(errors, name) is getattr(deltamark, name) for name in errors.__all__)
    assert loaded_by("import deltamark.errors").isdisjoint(HEAVY)
