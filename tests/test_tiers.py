"""Tiers: which tests `make test` runs, and which only `make test-all`."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
BOTH = {"[sqlite]", "[postgresql]"}
SLOW = "test_control_a_level_that_does_not_heed_the_signal_is_caught"


def collected(tier: str, *arguments: str) -> list[str]:
    """The names of the tests that a tier runs."""
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "--collect-only", "-o", "addopts=", "-q", *arguments],
        cwd=ROOT,
        env={**os.environ, "DELTAMARK_TESTS": tier},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return [line.partition("::")[2] for line in done.stdout.splitlines() if "::" in line]


@pytest.mark.slow  # collects tests in processes
@pytest.mark.parametrize(
    ("tier", "kinds", "has_slow"), [("quick", {"[sqlite]"}, False), ("all", BOTH, True), ("soak", BOTH, True)]
)
def test_a_tier_runs_tests_on_its_stores_and_slow_ones_or_not(tier: str, kinds: set[str], has_slow: bool) -> None:
    found = collected(tier, "tests/store/test_closing.py", "tests/crash/test_signals.py")

    assert {"[" + name.partition("[")[2] for name in found if name.startswith("test_control")} == (
        BOTH if has_slow else set()
    )
    assert {name[name.rindex("[") :] for name in found if name.endswith(("[sqlite]", "[postgresql]"))} == kinds


@pytest.mark.slow  # collects tests in processes
def test_the_rest_is_what_the_quick_tests_leave_but_for_cases_on_postgresql_and_every_law() -> None:
    files = (
        "tests/store/test_closing.py",
        "tests/crash/test_signals.py",
        "tests/laws/test_erasure.py",
        "tests/store/integrity/test_altered_columns.py",
    )
    quick, rest, everything = ({*collected(tier, *files)} for tier in ("quick", "rest", "all"))

    left_out = everything - quick - rest
    assert any(name.startswith("test_a_life_of_signals") for name in left_out)
    assert all("postgresql" in name for name in left_out)
    assert {name.replace("postgresql", "sqlite") for name in left_out} <= quick | rest
    assert any("postgresql" in name for name in rest)
    many = [{name for name in names if name.startswith("test_a_flipped_bit")} for names in (quick, rest)]
    assert all(many)
    assert not many[0] & many[1]
    assert any("after_an_erasure" in name for name in quick & rest)
    assert not any(name.startswith("test_a_closed") for name in quick & rest)


@pytest.mark.slow  # collects tests in processes
def test_what_every_store_promises_runs_on_both_in_each_tier() -> None:
    found = collected("quick", "tests/store/test_contract.py")

    assert {kind for kind in BOTH if any(name.endswith(kind) for name in found)} == BOTH


@pytest.mark.slow  # collects tests in processes
def test_a_test_that_is_named_runs_in_each_tier_on_both_stores() -> None:
    found = collected("quick", f"tests/crash/test_signals.py::{SLOW}")

    assert {*found} == {SLOW + kind for kind in BOTH}
