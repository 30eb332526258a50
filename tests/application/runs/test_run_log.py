"""The record of runs is written in one place."""

from __future__ import annotations

import ast
from pathlib import Path

import deltamark.application
from deltamark.domain.runs import run
from deltamark.domain.runs.run import RunEvent

APPLICATION = Path(deltamark.application.__file__).parent


def built_in(path: Path) -> set[str]:
    """The names of classes that a module calls, or hands to a function other than `isinstance`, such as `partial`."""
    calls = [node for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Call)]
    named = [name for call in calls for name in (call.func, *_handed(call)) if isinstance(name, ast.Name)]
    return {name.id for name in named}


def _handed(call: ast.Call) -> list[ast.expr]:
    return [] if isinstance(call.func, ast.Name) and call.func.id == "isinstance" else call.args


def test_the_run_log_alone_builds_events_of_runs() -> None:
    events = {name for name, kind in vars(run).items() if isinstance(kind, type) and issubclass(kind, RunEvent)}
    builders = {path.name for path in APPLICATION.rglob("*.py") if built_in(path) & events}

    assert builders == {"run_log.py"}
