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

from tests.laws.machine import DerivedMachine, counted
from tests.stores import stores
from tests.tiers import ALL, SOAK, TIMES, lives

SEED = int(os.environ.get("DELTAMARK_SOAK_SEED") or randrange(1_000_000))

PATIENCE_S = 30
"""So long a part may live outside of a soak; it says how many steps it lived until then. A soak takes its time."""

PARTS = 4 if SOAK else 2
"""Each lives lives of its own, on whichever core is free."""
STEPS = 20_000 if SOAK else 5_000
SOME = [("sqlite", 0, 30)]
MANY = [*(("sqlite", part, STEPS // PARTS) for part in range(PARTS)), ("postgresql", 0, 300)]
LIVES, STEPS_OF_A_LIFE = (5 if SOAK else 3, 40) if ALL else (2, 25)


@pytest.mark.law
@pytest.mark.filterwarnings("default:lived")
@pytest.mark.parametrize(("kind", "part", "steps"), MANY if ALL else SOME)
def test_incremental_runs_leave_what_complete_runs_leave(kind, part, steps, request, memory, clock, capsys):
    started = perf_counter()
    counted.clear()
    with stores(kind, memory, lambda: request.getfixturevalue("postgresql_database")) as new:
        machine = DerivedMachine.within(new, memory, clock, is_thorough=SOAK)
        for number in count(SEED + part * 1_000_000):
            # The first life of each seed is the simplest there is, and shows little.
            lives(seed(number)(machine), number=LIVES if kind == "sqlite" else 2, steps=STEPS_OF_A_LIFE)
            if counted["steps"] >= steps * (TIMES if SOAK else 1):
                break
            if not SOAK and perf_counter() - started > PATIENCE_S:
                warn(f"lived {counted['steps']:,} of {steps:,} steps in {PATIENCE_S} s", stacklevel=1)
                break

    with capsys.disabled() if SOAK else nullcontext():
        print(f"\n{kind}, seed {SEED}, part {part}, {perf_counter() - started:.0f} s: {dict(counted)}")
