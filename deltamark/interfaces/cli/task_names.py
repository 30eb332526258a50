"""The names by which people know tasks: their display names, where they have one."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping

from attrs import field, frozen

from deltamark.domain.configuration.configuration import Configuration
from deltamark.domain.configuration.jobs import Task


@frozen
class TaskNames:
    """The names of the tasks of a configuration.

    A task that is not in the configuration any more is shown by its identifier.
    """

    _anywhere: Mapping[str, str]
    _in_jobs: Mapping[str, Mapping[str, str]] = field(factory=dict)

    @classmethod
    def of(cls, configuration: Configuration) -> TaskNames:
        """The names of the tasks as they are defined and as each job calls them."""
        in_jobs = {job.identifier: _names(configuration.called_by(job)) for job in configuration.jobs}
        return cls(_names(configuration.all_tasks()), in_jobs)

    def shown(self, identifier: str, job: str | None = None) -> str:
        """The name of a task, which no other one of the job, or of the configuration, has."""
        return self._in_jobs.get(job or "", {}).get(identifier) or self._anywhere.get(identifier, identifier)

    def identifier(self, name: str) -> str:
        """The identifier of a task that is named in either way; the name itself where no task has it."""
        if name in self._anywhere:
            return name
        return next((identifier for identifier, shown in self._anywhere.items() if shown == name), name)


def _names(tasks: Iterable[Task]) -> dict[str, str]:
    """Identifier -> name, followed by the identifier where other tasks have that name too."""
    by_identifier = {task.identifier: task.display_name for task in tasks}
    users = Counter(by_identifier.values())
    users.update(identifier for identifier, name in by_identifier.items() if name != identifier)
    return {
        identifier: name if users[name] == 1 or name == identifier else f"{name} ({identifier})"
        for identifier, name in by_identifier.items()
    }
