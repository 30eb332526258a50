"""A test that cannot fail proves nothing: bugs are planted, and the tests of what is derived must fail."""

from __future__ import annotations

import os
import subprocess
import sys
from contextlib import suppress
from itertools import count
from pathlib import Path

import pytest
from attrs import evolve
from hypothesis import HealthCheck, Phase, seed, settings
from hypothesis.stateful import run_state_machine_as_test

from tests.laws.machine import DerivedMachine, counted
from tests.laws.planted_bugs import BUGS
from tests.scenarios.organisation.running import Known
from tests.stores import stores
from tests.tiers import SOAK

ROOT = Path(__file__).parents[2]
STEPS = 4_000
"""So many steps the machine may take to find a bug; with the seeds of today it needs a tenth of that."""

FOUND_BY_THE_MACHINE = (
    "values of a mapping are not removed when an expression takes over",
    "values of an expression are not removed when a mapping takes over",
    "no flags over more than one link",
    "what comes and goes is not flagged",
    "the other end of a link is not flagged",
    "a removed link flags nothing",
    "new computed values flag nothing",
    "a flag tells only the first change of a value",
    "flags are dropped when the first consumer has read them",
    "all properties are computed in one stage",
    "changes that were discarded unread flag nothing",
    "correlation keys of deleted resources stay",
)
FOUND_BY_A_TEST = {
    "what reads a property that was handed over is not flagged": "derivation/test_edited_expressions.py::"
    "test_readers_follow_a_property_that_becomes_computed_without_a_synchronization[sqlite-Compute]",
    "no check whether a dependency was watched all the time": "flagging/test_consumers.py::"
    "test_a_rule_removed_while_its_task_failed_is_computed_for_all_when_restored[sqlite]",
    "a dependency claims to have been watched from the beginning": "flagging/test_consumers.py::"
    "test_a_rule_removed_while_its_task_failed_is_computed_for_all_when_restored[sqlite]",
    "a rule that another task computed in another form counts as computed": "derivation/test_edited_expressions.py::"
    "test_an_expression_that_another_task_computed_in_another_form_is_computed_for_all[sqlite]",
    "an edited rule counts as computed": "derivation/test_edited_expressions.py::"
    "test_only_an_edited_expression_is_computed_for_all[sqlite]",
    "a new rule counts as computed": "derivation/test_edited_expressions.py::"
    "test_only_a_new_expression_is_computed_for_all[sqlite]",
    "a flag that came over links tells only the first change": "flagging/test_consumers.py::"
    "test_a_change_after_a_complete_run_counts_although_one_before_it_was_flagged[sqlite]",
    "the links that a definition reads over are not part of it": "derivation/test_edited_expressions.py::"
    "test_a_renamed_association_is_another_one[sqlite]",
    "what reads a computed value that is due is not dirty": "flagging/test_dirty.py::"
    "test_a_chain_of_computed_properties_keys_and_classes_is_dirty_before_its_beginning_is_computed[sqlite]",
    "an answer counts although what the function read has changed": "derivation/test_functions_beside_writers.py::"
    "test_a_function_is_called_again_for_what_changed_meanwhile[sqlite]",
    "a task moves its place to the end of its transaction although it left something out": "derivation/"
    "test_functions_beside_writers.py::test_what_changes_with_every_call_stays_dirty[sqlite]",
    "what was computed while a function was called is overwritten": "derivation/test_functions_beside_writers.py::"
    "test_what_another_task_computed_meanwhile_stays[sqlite]",
    "a link waits no more when one of its ends has come": "synchronization/test_waiting_links.py::"
    "test_a_link_of_which_both_ends_are_missing_waits_for_both[sqlite]",
    "a link waits no more after the next complete extract": "synchronization/test_waiting_links.py::"
    "test_waiting_links_are_written_once[sqlite]",
    "a link whose end is deleted does not wait for it": "synchronization/test_waiting_links.py::"
    "test_a_link_to_a_deleted_resource_is_added_again_when_it_returns[sqlite]",
    "rows before the last one that sets the whole state count": "synchronization/test_row_order.py::"
    "test_rows_of_resources_are_applied_in_their_order[sqlite]",
    "a row that empties a group takes back what later rows add": "synchronization/test_row_order.py::"
    "test_rows_of_links_are_applied_in_their_order[sqlite-Many]",
}


@pytest.mark.parametrize("name", BUGS)
def test_the_function_that_a_bug_is_planted_in_exists_and_has_the_words(name):
    with BUGS[name].planted():
        pass


def test_a_bug_whose_function_was_renamed_says_so():
    with pytest.raises(AssertionError, match=r"planted_bugs\.py.*deltamark has no application\.gone:_Standing\.gone"):
        evolve(BUGS["an edited rule counts as computed"], where="application.gone:_Standing.gone").planted().__enter__()
    with pytest.raises(AssertionError, match=r"planted_bugs\.py.*deltamark has no domain\.derivation\.plan:gone"):
        evolve(BUGS["an edited rule counts as computed"], where="domain.derivation.plan:gone").planted().__enter__()


def test_every_test_that_finds_a_bug_exists():
    assert {name for name in (*FOUND_BY_THE_MACHINE, *FOUND_BY_A_TEST) if name not in BUGS} == set()
    for found in FOUND_BY_A_TEST.values():
        path, _, test = found.partition("::")
        assert f"def {test.partition('[')[0]}(" in (ROOT / "tests" / "application" / path).read_text("utf-8")


def test_the_page_lists_what_finds_each_bug():
    page = (ROOT / "docs" / "explanation" / "incremental-equals-complete.md").read_text("utf-8")
    rows = [line.strip("| ").split(" | ") for line in page.splitlines() if line.startswith("| ")]
    tests = {planted: test.partition("::")[0].rpartition("/")[2] for planted, test in FOUND_BY_A_TEST.items()}

    expected = {**dict.fromkeys(FOUND_BY_THE_MACHINE, "the machine"), **tests}
    assert {row[0]: row[1].partition("]")[0].strip("[") for row in rows if row[0] in BUGS} == expected


@pytest.mark.soak
@pytest.mark.slow  # the machine lives some hundred steps for each bug
@pytest.mark.parametrize("name", FOUND_BY_THE_MACHINE if SOAK else FOUND_BY_THE_MACHINE[::3])
def test_the_machine_finds_a_planted_bug(name, memory, clock):
    with stores("sqlite", memory, lambda: "") as new:
        machine = DerivedMachine.within(new, memory, clock, is_thorough=False)
        machine.known = Known()  # no plan that was made without the bug, and none with it for others
        machine.failed = []

        with BUGS[name].planted():
            lived_until_it_fails(machine)

    assert machine.failed, f"not found within {STEPS} steps"
    assert isinstance(machine.failed[0], AssertionError)


def lived_until_it_fails(machine: type[DerivedMachine]) -> None:
    """Life after life, with the same seeds each time; nothing is made of a failure but that it is remembered."""
    counted.clear()
    for number in count(1_000):
        with suppress(BaseException):  # told again as it is, or as flaky
            run_state_machine_as_test(
                seed(number)(machine),
                settings=settings(
                    max_examples=4,
                    stateful_step_count=40,
                    deadline=None,
                    database=None,
                    phases=[Phase.generate],
                    suppress_health_check=list(HealthCheck),
                ),
            )
        if machine.failed or counted["steps"] >= STEPS:
            return


@pytest.mark.soak
@pytest.mark.slow  # a process of its own for each bug
@pytest.mark.parametrize("name", list(FOUND_BY_A_TEST)[:: 1 if SOAK else 3])
def test_a_test_finds_a_planted_bug_that_takes_the_machine_long(name):
    test = f"tests/application/{FOUND_BY_A_TEST[name]}"
    command = [sys.executable, "-m", "pytest", "-p", "tests.laws.planted_bugs", "-x", test]

    run = subprocess.run(
        command, cwd=ROOT, env={**os.environ, "DELTAMARK_PLANTED": name}, capture_output=True, text=True, check=False
    )

    assert run.returncode == pytest.ExitCode.TESTS_FAILED, run.stdout + run.stderr
    assert "1 failed" in run.stdout
