"""Next steps as commands."""

from __future__ import annotations

import pytest

from deltamark.domain.next_steps import NextAction, NextStep
from deltamark.interfaces.cli.next_steps import command_lines


@pytest.mark.parametrize("action", NextAction)
def test_every_action_has_a_command(action: NextAction) -> None:
    (line,) = command_lines([NextStep(action, 7)])

    assert line.strip().startswith(("deltamark ", "--after "))


def test_a_name_in_a_command_is_quoted_for_the_shell() -> None:
    (line,) = command_lines([NextStep(NextAction.DRY_RUN, "Nightly; rm -rf ~")])

    assert line == "  deltamark run 'Nightly; rm -rf ~' --dry-run  shows what the job would do"
