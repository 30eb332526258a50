"""How much the tests try: a little in `make test`, all in `make test-all`, much more in `make soak`.

- `quick`: each test on SQLite, laws with few examples. Left out are tests marked `slow` or `soak`, and three in four
  cases of a test marked `many`. Tests marked `on_every_store` run on PostgreSQL too, and so do all tests that are named
  on the command line with `::`.
- `all`: every test on both stores, laws with more examples.
- `rest`: of `all`, what `quick` has not shown: `make test-all` runs `quick`, then this. On PostgreSQL, all tests of
  what a store does and some of the others; of a test with many cases one in three, of one marked `soak` none.
- `soak`: the laws and the tests of crashes, with 15 times as many examples as they name, after `all`.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis.stateful import run_state_machine_as_test

TIER = os.environ.get("DELTAMARK_TESTS") or "quick"
if TIER not in ("quick", "rest", "all", "soak"):
    raise pytest.UsageError(f'DELTAMARK_TESTS must be "quick", "rest", "all" or "soak", not "{TIER}".')

ALL = TIER != "quick"
"""Whether tests run on both stores and laws with more examples."""
REST = TIER == "rest"
"""Whether tests are left out that `quick` runs, and that try no more here."""
SOAK = TIER == "soak"
"""Whether to take the time for many more examples (`make soak`)."""
TIMES = 15
"""So many times as many examples as a law names are tried in a soak."""
_SHARE = {"quick": 8, "rest": 4}.get(TIER, 2)
_FEWEST = 3


def examples(number: int) -> int:
    """The number of examples of this tier for a law of so many: half in `all`, a quarter in `rest`, else an eighth."""
    if SOAK:
        return number * TIMES
    return min(number, max(number // _SHARE, _FEWEST))


def law(number: int) -> Callable[[Any], Any]:
    """Marks a test as a law of so many examples: fewer in `all` and `quick`, see `examples`, more in a soak.

    Its fixtures are shared by all of its examples.
    """

    def marked(test: Any) -> Any:
        chosen = settings(
            max_examples=examples(number),
            deadline=None,
            print_blob=True,
            suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
        )
        return pytest.mark.law(chosen(test))

    return marked


def lives(machine: Any, *, number: int, steps: int) -> None:
    """Lets a state machine live so many lives of so many steps each, and 15 times as many in a soak."""
    run_state_machine_as_test(
        machine,
        settings=settings(
            max_examples=number * (TIMES if SOAK else 1),
            stateful_step_count=steps,
            deadline=None,
            print_blob=True,
            suppress_health_check=list(HealthCheck),
        ),
    )
