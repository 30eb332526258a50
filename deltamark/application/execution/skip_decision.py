"""Who decides: whether a task of a run runs, and why it is left out."""

from __future__ import annotations

from deltamark.application.execution.task_dispatch import Work
from deltamark.domain.runs.outcomes import reason_to_skip
from deltamark.domain.runs.task_calls import Occurrence


def reason_to_leave_out(occurrence: Occurrence, work: Work) -> str | None:
    """Why a task must not run after what became of those before it; None where it runs.

    Whether an earlier run left it work is asked only where that makes a difference, for it may take a while.
    """
    parents = {work.occurrences[ordinal].task.identifier: work.outcomes[ordinal] for ordinal in occurrence.parents}
    reason = reason_to_skip(occurrence.task, parents)
    if reason is not None and work.is_left_for(occurrence.task):
        return reason_to_skip(occurrence.task, parents, has_work=True)
    return reason
