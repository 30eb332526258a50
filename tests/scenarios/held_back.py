"""What tests do about changes that a run held back: apply or drop them, in a transaction as a run would."""

from __future__ import annotations

from typing import Any

from deltamark import LinkRef, SynchronizeTask
from deltamark.application.pending_changes.apply import apply_pending, drop_pending
from deltamark.application.services import Scope, TaskResult
from tests.scenarios.house import House

Told = list[tuple[Any, ...]]


def applied(house: House, run: int, ordinal: int = 1) -> TaskResult:
    """Applies what a task of a run held back."""
    services = house.engine._services
    job = house.engine.configuration.job(house.engine.run(run).job)
    assert job is not None
    task = services.configuration.called_by(job)[ordinal - 1]
    assert isinstance(task, SynchronizeTask)
    apply = apply_pending(services, task, run, ordinal)
    with services.store.transaction() as tx:
        return apply(tx, Scope(run=run, ordinal=ordinal, job=job, forced=False))


def dropped(house: House, run: int, ordinal: int = 1) -> list[str]:
    """Drops it."""
    with house.engine._services.store.transaction() as tx:
        return drop_pending(tx, run, ordinal)


def told(changes: Any) -> Told:
    """Changes without the place and time of each, sorted."""
    return sorted((_what(c), c.job, c.task, c.file, c.event.cause.line) for c in changes)


def _what(change: Any) -> str:
    ref = change.event.ref
    if isinstance(ref, LinkRef):
        return f"{change.kind} {ref.association} {ref.source} {ref.target}"
    values = {name: (value.before, value.after) for name, value in sorted(change.event.changes.items())}
    return f"{change.kind} {ref} {values}"
