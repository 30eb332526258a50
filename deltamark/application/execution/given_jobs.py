"""Jobs and tasks that a program gives to one run: checked like those of the configuration, and recorded with the run.

They compute nothing that the configuration does not compute, and so change no model. Whatever they share with the
configuration they call by its name: a resumed run takes it as it is configured then.
"""

from __future__ import annotations

from collections.abc import Iterable

from attrs import evolve, fields, frozen

from deltamark.application import arguments
from deltamark.application.lookup import job_named, task_named
from deltamark.application.runs.recorded_job import definition_of, recorded_job
from deltamark.application.services import Services
from deltamark.domain.configuration.configuration import Configuration
from deltamark.domain.configuration.jobs import Call, ComputingTask, Job, Step, Task, TaskOverride
from deltamark.domain.configuration.user_function import UserTask
from deltamark.domain.errors import CannotResume, ConfigurationError, Fault, UsageError
from deltamark.domain.runs.run import JobRun
from deltamark.domain.values import shown


@frozen
class JobToRun:
    """A job as a run runs it.

    :param definition: what the run records of it; None for a job of the configuration.
    """

    job: Job
    definition: str | None = None


def job_to_run(services: Services, job: object) -> JobToRun:
    """The job that a program names or gives.

    :raises ConfigurationError: with every fault of a job that was given.
    :raises UsageError: if there is no job of that name, or if the configuration has another one of it.
    """
    if not isinstance(job, Job):
        return JobToRun(job_named(arguments.text("a job, if it is no Job,", job), services.configuration))
    configured = services.configuration.job(job.identifier)
    if configured == job:
        return JobToRun(configured)
    if configured is not None:
        raise UsageError(
            f"the configuration has another job {job.identifier}. Give yours another identifier, or run that one by "
            "its name."
        )
    if job.identifier.startswith("*"):
        raise UsageError(
            f"job {shown(job.identifier)}: identifiers that begin with * are Deltamark's own. Choose another."
        )
    return _given(services, job)


def task_to_run(services: Services, task: object) -> JobToRun:
    """A job of one task alone that a program names or gives; its parents and its level do not matter.

    :raises ConfigurationError: with every fault of a task that was given.
    :raises UsageError: if there is no task of that name, or if the configuration has another one of it.
    """
    if not isinstance(task, Task):
        task = task_named(arguments.text("a task, if it is no task,", task), services.configuration)
    alone = _alone(services.configuration, task)
    return _given(services, Job(f"*task:{alone.identifier}*", [alone]))


def _alone(configuration: Configuration, task: Task) -> Task | TaskOverride:
    if configuration.task(task.identifier) is None:
        return evolve(task, parents=(), level=-1)
    _refuse_another(configuration, task)
    return TaskOverride(task.kind, task.identifier, {"parents": (), "level": -1})


def _given(services: Services, job: Job) -> JobToRun:
    calls = [_call(services.configuration, call) for call in job.tasks]
    by_name = evolve(job, tasks=calls)
    checked = _checked(services, by_name)
    return JobToRun(checked, definition_of(services, by_name))


def _call(configuration: Configuration, call: Call) -> Call:
    """A call as it is recorded: by the name of the task where the configuration has it."""
    if not isinstance(call, Task):
        return call
    if configuration.task(call.identifier) is not None:
        _refuse_another(configuration, call)
        return Step(call.identifier)
    if isinstance(call, ComputingTask) and call.has_function:
        raise UsageError(
            f"task {call.identifier} calls a function that the configuration does not call, and would compute "
            "properties that it does not know. Add the task to the configuration."
        )
    return call


def _refuse_another(configuration: Configuration, task: Task) -> None:
    """Refuses a task that is configured otherwise: the log would name two tasks alike.

    :raises UsageError: names what differs.
    """
    configured = configuration.task(task.identifier)
    assert configured is not None, "it was looked up"
    if isinstance(task, ComputingTask) and isinstance(configured, ComputingTask):
        function = configured.maker
        if isinstance(function, UserTask) and task.maker in (function, function.name):
            task = task.with_function({function.name: function})
    if task == configured:
        return
    if type(task) is not type(configured):
        what = f"it is a {configured.kind} there, not a {task.kind}"
    else:
        names = [a.name for a in fields(type(task)) if a.eq and getattr(task, a.name) != getattr(configured, a.name)]
        what = f"there it has {_listed(configured, names)}; here {_listed(task, names)}"
    raise UsageError(
        f"the configuration has another task {task.identifier}: {what}. Give this one an identifier of its own, or "
        "name that one."
    )


def _listed(task: Task, names: Iterable[str]) -> str:
    return ", ".join(f"{name}={getattr(task, name)!r}" for name in names)


def _checked(services: Services, job: Job) -> Job:
    """A job whose calls all name what is there.

    :raises ConfigurationError: with every fault.
    """
    assert services.other_configuration is not None, "the services of an engine can take another configuration"
    configuration = services.configuration
    try:
        checked = services.other_configuration(services, evolve(configuration, jobs=(*configuration.jobs, job)))
    except ConfigurationError as e:
        raise ConfigurationError(
            [Fault(f.location, f"of the job that was given: {f.message}") for f in e.faults]
        ) from e
    return checked.configuration.jobs[-1]


def job_to_resume(services: Services, run: JobRun) -> Job | None:
    """The job of a run that goes on, or None where the configuration no longer has it.

    :raises CannotResume: if the job was given to the run, and no longer fits the configuration.
    """
    job = recorded_job(services, run.job, run.definition)
    if job is None or run.definition is None:
        return job
    try:
        return _checked(services, job)
    except ConfigurationError as e:
        raise CannotResume(run.number, f"its job does not fit the configuration any more: {e.faults[0].message}") from e
