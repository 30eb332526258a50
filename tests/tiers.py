"""Laws: properties that hold for everything that can happen, shown with examples that nobody thought of."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis.stateful import run_state_machine_as_test

SOAK = os.environ.get("DELTAMARK_SOAK") == "1"
"""Whether to take the time for many more examples (`make soak`)."""
TIMES = 15


def law(examples: int) -> Callable[[Any], Any]:
    """Marks a test as a law, shown with so many examples, and with 15 times as many in a soak.

    Its fixtures are shared by all of its examples.
    """

    def marked(test: Any) -> Any:
        chosen = settings(
            max_examples=examples * (TIMES if SOAK else 1),
            deadline=None,
            print_blob=True,
            suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
        )
        return pytest.mark.law(chosen(test))

    return marked


def lives(machine: Any, *, examples: int, steps: int) -> None:
    """Lets a state machine live so many lives of so many steps each, and 15 times as many in a soak."""
    run_state_machine_as_test(
        machine,
        settings=settings(
            max_examples=examples * (TIMES if SOAK else 1),
            stateful_step_count=steps,
            deadline=None,
            print_blob=True,
            suppress_health_check=list(HealthCheck),
        ),
    )
