"""The job of a run: one of the configuration, or one that was given to the run and is in its record alone."""

from __future__ import annotations

from deltamark.application.services import Services
from deltamark.domain.configuration.configuration import Configuration
from deltamark.domain.configuration.jobs import Job
from deltamark.domain.errors import store_damaged


def definition_of(services: Services, job: Job) -> str:
    """Returns the text that a run records of a job which is not one of the configuration.

    :raises ConfigurationError: with everything that the text cannot express.
    """
    return services.configuration_format.write(Configuration(jobs=[job]))


def recorded_job(services: Services, name: str, definition: str | None) -> Job | None:
    """The job of a run, or None where the configuration no longer has it.

    :param definition: what the run recorded of it; None for a job of the configuration.
    :raises StoreError: if that cannot be read any more.
    """
    if definition is None:
        return services.configuration.job(name)
    try:
        (job,) = services.configuration_format.read(definition).jobs
    except ValueError as e:
        raise store_damaged(f"the job {name} that a run recorded cannot be read ({e})") from e
    return job
