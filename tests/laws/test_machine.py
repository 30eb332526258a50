"""An incremental run leaves exactly what a complete run would have left, whatever happened before."""

from __future__ import annotations

import os
from contextlib import nullcontext
from itertools import count
from random import randrange
from time import perf_counter
from warnings import warn

import pytest
from hypothesis import seed

from tests.conftest import stores
from tests.laws.machine import DerivedMachine, counted
from tests.tiers import SOAK, TIMES, lives

SEED = int(os.environ.get("DELTAMARK_SOAK_SEED") or randrange(1_000_000))

PATIENCE_S = 120
"""So long a part may live in `make test`; it says how many steps it lived until then. A soak takes its time."""

PARTS = 4
"""Each lives lives of its own, on whichever core is free."""


@pytest.mark.law
@pytest.mark.filterwarnings("default:lived")
@pytest.mark.slow  # every step may run a job or two; a soak takes fifteen times as many
@pytest.mark.parametrize(
    ("kind", "part", "steps"), [*(("sqlite", part, 20_000 // PARTS) for part in range(PARTS)), ("postgresql", 0, 500)]
)
def test_incremental_runs_leave_what_complete_runs_leave(kind, part, steps, request, memory, clock, capsys):
    started = perf_counter()
    counted.clear()
    with stores(kind, memory, lambda: request.getfixturevalue("postgresql_database")) as new:
        machine = DerivedMachine.within(new, memory, clock, is_thorough=SOAK)
        for number in count(SEED + part * 1_000_000):
            # The first life of each seed is the simplest there is, and shows little.
            lives(seed(number)(machine), examples=5 if kind == "sqlite" else 2, steps=40)
            if counted["steps"] >= steps * (TIMES if SOAK else 1):
                break
            if not SOAK and perf_counter() - started > PATIENCE_S:
                warn(f"lived {counted['steps']:,} of {steps:,} steps in {PATIENCE_S} s", stacklevel=1)
                break

    with capsys.disabled() if SOAK else nullcontext():
        print(f"\n{kind}, seed {SEED}, part {part}, {perf_counter() - started:.0f} s: {dict(counted)}")
