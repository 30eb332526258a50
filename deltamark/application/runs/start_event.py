"""How a run begins on record: what is run, with which configuration, by whom."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from deltamark.application.services import BuildRunEvent, Services
from deltamark.domain.runs.run import BY_USER, PlannedTask, RunStarted, Trigger


def run_started(
    services: Services, job: str, tasks: Sequence[PlannedTask], *, forced: bool = False, trigger: Trigger = BY_USER
) -> BuildRunEvent:
    """The first event of a run; the store gives it stream, number and time."""
    operator, digest = services.operator, services.configuration_digest

    def event(stream: str, number: int, at: datetime) -> RunStarted:
        return RunStarted(
            originator_id=stream,
            originator_version=1,
            at=at,
            run=number,
            job=job,
            configuration_digest=digest,
            user=operator.user,
            host=operator.host,
            process=operator.process,
            forced=forced,
            tasks=tasks,
            trigger=trigger.kind,
            due_at=trigger.due_at,
            late=trigger.late,
        )

    return event
