"""Loads a configuration from its files, as far as they can be read, and reports all its faults."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from functools import partial
from pathlib import Path

from attrs import evolve, frozen

from deltamark.application import arguments
from deltamark.config.files import configuration_files, content
from deltamark.config.xml.attribute_types import UNREADABLE
from deltamark.config.xml.reader import UnbuiltPart, read
from deltamark.domain.configuration.configuration import Configuration, merged
from deltamark.domain.configuration.jobs import Call, Step, Task
from deltamark.domain.configuration.packages import package_named
from deltamark.domain.errors import ConfigurationError, Fault
from deltamark.domain.validation.validate import Missing, in_file_order
from deltamark.domain.validation.validate import faults as validation_faults
from deltamark.domain.values import shown


@frozen(kw_only=True)
class Loaded:
    """A configuration as far as its files can be read.

    :param faults: of the files, each by itself.
    :param notices: one for each thing that is not built and was left out.
    :param missing: the names that are not unknown, although nothing in the configuration has them.
    :param has_unbuilt: whether some of the faults are that something is known but not built.
    :param is_whole: whether nothing was lost, so that what the configuration lacks is missing indeed.
    :param readings: in how many ways the values that cannot be read may be meant.
    """

    configuration: Configuration
    faults: tuple[Fault, ...] = ()
    notices: tuple[Fault, ...] = ()
    missing: Missing = Missing()
    has_unbuilt: bool = False
    is_whole: bool = True
    readings: int = 1
    _files: tuple[tuple[bytes, str], ...] = ()
    _leave_out_unbuilt: bool = False

    def configurations(self) -> Iterator[Configuration]:
        """The configuration for each way in which the values that cannot be read may be meant.

        What is a fault in all of them is no consequence of these values.
        """
        yield self.configuration
        for reading in range(1, self.readings):
            yield _loaded(self._files, self._leave_out_unbuilt, reading).configuration

    def all_faults(self) -> tuple[Fault, ...]:
        """The faults of the files, and those that only the whole configuration shows, in file order."""
        judge = partial(validation_faults, missing=self.missing, names_are_checked=True)
        return in_file_order((*self.faults, *common(judge(configuration) for configuration in self.configurations())))


def common(judgements: Iterator[tuple[Fault, ...]]) -> tuple[Fault, ...]:
    """The faults that are in each of several judgements, except those of what cannot be read."""
    first = next(judgements)
    faults = [fault for fault in dict.fromkeys(first) if UNREADABLE not in fault.message]
    while faults:  # without any, no further judgement is needed
        judgement = next(judgements, None)
        if judgement is None:
            break
        elsewhere = set(judgement)
        faults = [fault for fault in faults if fault in elsewhere]
    return tuple(faults)


def load_configuration(path: str | os.PathLike[str], *, leave_out_unbuilt: bool = False) -> Configuration:
    """Loads the configuration in one XML file, or in all `*.xml` files below a folder.

    The files are read in the order of their paths, and no others. Locations name files as `path` does. A loaded
    configuration has no faults but those of its expressions and functions, which `Engine.open` finds. Extend it with
    `Configuration.merged_with`, or replace what it has with ``attrs.evolve``.

    :param leave_out_unbuilt: whether what is known but not built is left out instead of being a fault.
    :raises ConfigurationError: with every fault of every file and of the whole, in file order.
    :raises UsageError: for an argument of a wrong type.
    """
    files = arguments.file("the path of a configuration", path)
    arguments.boolean("leave_out_unbuilt", leave_out_unbuilt)
    loaded = load_as_far_as_possible(files, leave_out_unbuilt=leave_out_unbuilt)
    faults = loaded.all_faults()
    if faults:
        raise ConfigurationError(faults)
    return loaded.configuration


def load_as_far_as_possible(path: Path | str, *, leave_out_unbuilt: bool = False) -> Loaded:
    """Loads what can be read of a configuration.

    :param leave_out_unbuilt: whether what is known but not built is left out instead of being a fault.
    """
    found, file_faults = configuration_files(Path(path))
    contents = [(content(file), file.name) for file in found]
    unreadable = [data for data, _ in contents if isinstance(data, Fault)]
    files = tuple((data, name) for data, name in contents if not isinstance(data, Fault))
    loaded = _loaded(files, leave_out_unbuilt, 0)
    if not (file_faults or unreadable):
        return loaded
    return evolve(
        loaded,
        faults=(*file_faults, *unreadable, *loaded.faults),
        missing=evolve(loaded.missing, may_be_anything=loaded.missing.may_be_anything or bool(unreadable)),
        is_whole=False,
    )


def _loaded(files: tuple[tuple[bytes, str], ...], leave_out_unbuilt: bool, reading: int) -> Loaded:
    parts = [read(data, name, leave_out_unbuilt=leave_out_unbuilt, reading=reading) for data, name in files]
    configuration = merged(part.configuration for part in parts)
    not_built = [item for part in parts for item in part.not_built]
    missing = Missing(
        names=frozenset().union(*(part.lost for part in parts)),
        may_be_anything=any(part.may_define_anything for part in parts),
    )
    notices: list[Fault] = []
    if leave_out_unbuilt:
        configuration, unread = _without_unread_connections(configuration)
        not_built += unread
        notices += [
            Fault(item.location, f"{item.name} is left out: it is known but not built yet") for item in not_built
        ]
        causes = {name: item for item in reversed(not_built) for name in item.identifiers}
        configuration, dropped = _without_references(configuration, causes)
        notices += dropped
        missing = evolve(missing, causes={name: _cause(item) for name, item in causes.items()})
    else:
        missing = evolve(missing, names=missing.names.union(*(item.identifiers for item in not_built)))
    return Loaded(
        configuration=configuration,
        faults=tuple(fault for part in parts for fault in part.faults),
        notices=in_file_order(notices),
        missing=missing,
        has_unbuilt=bool(not_built) and not leave_out_unbuilt,
        is_whole=all(part.is_whole for part in parts) and (leave_out_unbuilt or not not_built),
        readings=max((part.readings for part in parts), default=1),
        files=files,
        leave_out_unbuilt=leave_out_unbuilt,
    )


def _without_unread_connections(configuration: Configuration) -> tuple[Configuration, list[UnbuiltPart]]:
    """The configuration without tables of packages that are not built, and without tasks that read no table."""
    connections = [
        item if package_named(item.package) is not None else evolve(item, tables=())
        for item in configuration.connections
    ]
    unread = [item for item in configuration.connections if item.tables and package_named(item.package) is None]
    left_out = [
        UnbuiltPart(name="`ConnectionTable`", location=t.location) for c in unread for t in c.tables if t.location
    ]
    configuration = evolve(configuration, connections=connections)

    def is_read(call: object) -> bool:
        if not isinstance(call, Task) or call.exports == (None, None) or configuration.connections_read_by(call):
            return True
        if call.location is not None:
            left_out.append(UnbuiltPart(name=f"`{call.kind}`", location=call.location, identifiers=(call.identifier,)))
        return False

    tasks = [task for task in configuration.tasks if is_read(task)]
    jobs = [evolve(job, tasks=[call for call in job.tasks if is_read(call)]) for job in configuration.jobs]
    return evolve(configuration, tasks=tasks, jobs=jobs), left_out


def _without_references(
    configuration: Configuration, left_out: Mapping[str, UnbuiltPart]
) -> tuple[Configuration, list[Fault]]:
    """The configuration without calls of tasks that were left out and without dependencies on them."""
    defined = {task.identifier for task in configuration.all_tasks()}
    gone = {name: item for name, item in left_out.items() if name not in defined}
    notices: list[Fault] = []

    def without_parents(task: Task) -> Task:
        notices.extend(
            Fault(
                task.location,
                f"the dependency of task {shown(task.identifier)} on {shown(parent)} is left out: "
                f"{_cause(gone[parent])}",
            )
            for parent in task.parents
            if parent in gone
        )
        return evolve(task, parents=tuple(parent for parent in task.parents if parent not in gone))

    def kept(call: Call) -> bool:
        if not isinstance(call, Step) or call.task not in gone:
            return True
        notices.append(
            Fault(call.location, f"the call of task {shown(call.task)} is left out: {_cause(gone[call.task])}")
        )
        return False

    return evolve(
        configuration,
        tasks=[without_parents(task) for task in configuration.tasks],
        jobs=[
            evolve(
                job,
                tasks=[without_parents(call) if isinstance(call, Task) else call for call in job.tasks if kept(call)],
            )
            for job in configuration.jobs
        ],
    ), notices


def _cause(item: UnbuiltPart) -> str:
    return f"{item.name} at {item.location} is not built yet"
