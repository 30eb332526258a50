"""The rule of four eyes: who made a run happen does not decide about what it holds back."""

from __future__ import annotations

from deltamark.domain.runs.run import JobRun


def may_decide(run: JobRun, person: str) -> bool:
    """Whether a person neither started nor resumed a run."""
    operators = (run.starter, *(resumption.operator for resumption in run.resumed))
    return all(person not in (operator.by, operator.user) for operator in operators)
