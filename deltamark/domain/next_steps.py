"""What a user may do next about something that happened, in no interface's words."""

from __future__ import annotations

from enum import Enum

from attrs import frozen


class NextAction(Enum):
    """What can be done; each interface has its own words for it: a command, a link, a call."""

    LIST_RUNS = "list the runs"
    SHOW_RUN = "show the run"
    LIST_HELD_BACK = "list what was held back"
    RESUME_RUN = "resume the run"
    CANCEL_RUN = "cancel the run"
    DRY_RUN = "try the job without keeping anything"
    START_SCHEDULER = "start the scheduler"
    READ_AFTER = "ask for the changes after a position"


@frozen
class NextStep:
    """One thing that may be done next.

    :param subject: the number of the run, the position or the name of the job that it is about; None for none.
    """

    action: NextAction
    subject: int | str | None = None


def decisions(run: int) -> tuple[NextStep, ...]:
    """What can be done about changes that a run held back."""
    return (
        NextStep(NextAction.LIST_HELD_BACK, run),
        NextStep(NextAction.RESUME_RUN, run),
        NextStep(NextAction.CANCEL_RUN, run),
    )
