"""Next steps for users, independent of any interface."""

from __future__ import annotations

from enum import Enum

from attrs import frozen


class NextAction(Enum):
    """An action that each interface shows in its own way: as a command, a link or a call."""

    LIST_RUNS = "list the runs"
    SHOW_RUN = "show the run"
    LIST_HELD_BACK = "list what was held back"
    RESUME_RUN = "resume the run"
    CANCEL_RUN = "cancel the run"
    END_RUN = "end run"
    FORCE_RUN = "run the job and ignore thresholds"
    DRY_RUN = "try the job without keeping anything"
    START_SCHEDULER = "start the scheduler"
    READ_AFTER = "ask for the changes after a position"
    PLAN_ADOPTION = "see what adopting the configuration does"
    ADOPT = "adopt the configuration"
    DECOMMISSION = "decide about what nothing feeds"
    FORCE_DECOMMISSION = "delete what nothing feeds, however much it is"
    LEAVE_OUT_UNBUILT = "load the configuration without what is not built"


@frozen
class NextStep:
    """An action that a user can take next.

    :param subject: the number of a run, a position or the name of a job; None if the action needs none.
    """

    action: NextAction
    subject: int | str | None = None


def decisions(run: int) -> tuple[NextStep, ...]:
    """Returns what can be done about changes that a run held back."""
    return (
        NextStep(NextAction.LIST_HELD_BACK, run),
        NextStep(NextAction.RESUME_RUN, run),
        NextStep(NextAction.CANCEL_RUN, run),
    )


def waiting_adoption_steps() -> tuple[NextStep, ...]:
    """Returns what can be done about a configuration whose adoption waits for a person."""
    return NextStep(NextAction.PLAN_ADOPTION), NextStep(NextAction.ADOPT)
