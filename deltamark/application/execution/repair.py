"""Repairs the faults of a verification: runs the tasks that compute them."""

from __future__ import annotations

from deltamark.application.execution.run_job import run_if_free
from deltamark.application.runs.observer import Observer
from deltamark.application.services import Services
from deltamark.application.verification.verify import flag_for_repair, repair_job
from deltamark.domain.derivation.differences import Verification
from deltamark.domain.errors import UsageError
from deltamark.domain.runs.run import JobRun


def repair(services: Services, verification: Verification, *, observer: Observer) -> JobRun | None:
    """Flags the resources with faults and runs the tasks that compute them.

    Returns None where there are no faults.

    :raises AlreadyRunning: if one of these tasks runs now; the flags are set, and the next run repairs.
    :raises UsageError: if no task of the configuration computes what is wrong.
    """
    faults = verification.faults
    if not faults:
        return None
    job = repair_job(services, faults)
    if not job.tasks:
        raise UsageError("no task of the configuration computes the values that are wrong. Add one, and run it.")
    flag_for_repair(services, faults)
    return run_if_free(services, job, forced=False, observer=observer)
