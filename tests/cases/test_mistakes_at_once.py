"""Reported faults of one kind: a mistake hid others, or what is not built was called misspelt."""

from __future__ import annotations

import pytest

from tests.cases.conftest import NewCase


def test_seven_kinds_of_mistakes_are_told_in_one_pass(case: NewCase) -> None:
    answer = case("49-faults-in-stages").command("validate")

    assert answer.status == 2
    faults = [line for line in answer.lines if ": warning: " not in line]
    assert [line.split(":")[1] for line in faults] == ["2", "5", "8", "10", "12", "13", "14"]
    for name in ("Colour", "Twin", "Nickname", "Bellow", "Ghost", "Nowhere", "ExportTask"):
        assert name in answer.text


def test_a_command_that_runs_jobs_names_the_same_faults(case: NewCase) -> None:
    stages = case("49-faults-in-stages")
    faults = [line for line in stages.command("validate").lines if ": warning: " not in line]

    for command in (("run", "Load"), ("export", "P"), ("jobs",)):
        answer = stages.command(*command)
        assert answer.status == 2
        assert [line for line in answer.err.splitlines() if ".xml:" in line] == faults


def test_what_is_known_but_not_built_is_told_as_that(case: NewCase) -> None:
    answer = case("53-known-but-not-built").command("validate")

    assert answer.status == 2
    assert len(answer.lines) == 8
    assert all("is known but not built yet" in line for line in answer.lines)
    assert "unknown" not in answer.text
    assert "did you mean" not in answer.text
    assert "deltamark --leave-out-unbuilt validate" in answer.err


@pytest.mark.parametrize("options", [("--leave-out-unbuilt", "validate"), ("validate", "--leave-out-unbuilt")])
def test_what_is_not_built_can_be_left_out_with_a_notice_for_each(options: tuple[str, ...], case: NewCase) -> None:
    answer = case("53-known-but-not-built").command(*options)

    assert answer.status == 0, answer.text
    assert [line.split(":")[1] for line in answer.lines] == ["2", "3", "4", "5", "6", "7", "8", "9"]
    assert all(": notice: " in line and "is left out" in line for line in answer.lines)
    assert answer.err.startswith("The configuration can be run")
