"""Next steps in the words of the command line: the command, and what it does."""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Iterator

from deltamark.domain.next_steps import NextAction, NextStep

_COMMANDS = {
    NextAction.LIST_RUNS: ("deltamark runs", "lists the runs"),
    NextAction.SHOW_RUN: ("deltamark runs {}", "shows the run"),
    NextAction.LIST_HELD_BACK: ("deltamark changes --pending {}", "lists what was held back"),
    NextAction.RESUME_RUN: ("deltamark resume {}", "applies it"),
    NextAction.CANCEL_RUN: ("deltamark cancel {}", "drops it"),
    NextAction.END_RUN: ("deltamark cancel {}", "ends its process"),
    NextAction.FORCE_RUN: ("deltamark run {} --force", "ignores thresholds"),
    NextAction.DRY_RUN: ("deltamark run {} --dry-run", "shows what the job would do"),
    NextAction.START_SCHEDULER: ("deltamark schedule", "starts jobs at their times"),
    NextAction.PLAN_ADOPTION: ("deltamark plan", "shows what adopting the configuration does"),
    NextAction.ADOPT: ("deltamark adopt", "does it; --reason says why"),
    NextAction.DECOMMISSION: ("deltamark decommission {}", "shows what is left; --delete or --freeze decides about it"),
    NextAction.FORCE_DECOMMISSION: ("deltamark decommission {} --delete --force --reason TEXT", "deletes it"),
    NextAction.LEAVE_OUT_UNBUILT: (
        "deltamark --leave-out-unbuilt validate",
        "loads the configuration without what is not built; the option may stand before any command",
    ),
    NextAction.READ_AFTER: ("--after {}", "shows the changes that are kept"),
}


def command_lines(steps: Iterable[NextStep]) -> Iterator[str]:
    """The commands, each with what it does, in two columns."""
    rows = []
    for step in steps:
        command, effect = _COMMANDS[step.action]
        rows.append((command.format(shlex.quote(str(step.subject))), effect))
    width = max((len(command) for command, _ in rows), default=0)
    for command, effect in rows:
        yield f"  {command:{width}}  {effect}"
