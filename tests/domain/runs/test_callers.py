"""The user to whom a change of a run belongs."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from deltamark import JobRun, Operator, Resumption, TaskState, Trigger, TriggerKind

START = datetime(2026, 1, 1, tzinfo=UTC)


def after(minutes: int) -> datetime:
    return START + timedelta(minutes=minutes)


def resumed_by(user: str, minutes: int) -> Resumption:
    return Resumption(at=after(minutes), operator=Operator(user=user, host="h", process=1), again=(1,))


@pytest.mark.parametrize(
    ("minutes", "caller"),
    [
        (0, ("service", TriggerKind.SCHEDULE)),
        (9, ("service", TriggerKind.SCHEDULE)),
        (10, ("ann", TriggerKind.USER)),
        (19, ("ann", TriggerKind.USER)),
        (25, ("bob", TriggerKind.USER)),
    ],
)
def test_a_change_belongs_to_the_user_who_last_resumed_the_run(minutes, caller):
    run = JobRun(
        originator_id="1", version=1, number=1, job="J", state=TaskState.COMPLETED, started_at=START,
        configuration_digest="", user="service", host="h", process=1, forced=False, tasks=(),
        trigger=Trigger(kind=TriggerKind.SCHEDULE, due_at=START),
        resumed=(resumed_by("ann", 10), resumed_by("bob", 20)),
    )  # fmt: skip

    operator, trigger = run.caller_at(after(minutes))
    assert (operator.user, trigger) == caller
