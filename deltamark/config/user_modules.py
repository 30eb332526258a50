"""Finds user functions: in modules that `deltamark.toml` names, and in entry points.

Nothing else is imported: names in a configuration or a store are only looked up among these functions.
"""

from __future__ import annotations

import importlib
import sys
import traceback
from collections.abc import Callable, Iterable, Iterator
from importlib.machinery import PathFinder
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from types import ModuleType

from attrs import field, frozen

from deltamark.application.derivation.user_functions.call import stdout_to_stderr
from deltamark.domain.configuration.user_function import UserTask
from deltamark.domain.errors import Fault
from deltamark.domain.location import Location
from deltamark.domain.values import shown

GROUP = "deltamark.tasks"
"""The group of entry points, each of which names a module or a function in it."""
_LONGEST = 200


@frozen
class TaskModule:
    """A module with user functions.

    :param folder: where it is searched after everything that is installed; None for installed modules only.
    :param location: where it is named.
    :param may_run: whether it may be imported, which runs its code.
    """

    name: str
    folder: Path | None = None
    location: Location | None = field(default=None, eq=False)
    may_run: bool = True


@frozen
class FoundTasks:
    """User functions by the names that configurations may use, and faults of modules."""

    tasks: dict[str, UserTask] = field(factory=dict)
    faults: tuple[Fault, ...] = ()


def found_tasks(modules: Iterable[TaskModule]) -> FoundTasks:
    """Returns the functions of modules that may run, and of all entry points.

    Each is listed under the module that defines it and under the one that offers it.
    """
    tasks: dict[str, UserTask] = {}
    faults = []
    for module in modules:
        if not module.may_run:
            continue
        imported = _imported(module)
        if isinstance(imported, Fault):
            faults.append(imported)
            continue
        module_tasks = dict(_tasks_of(imported))
        tasks |= module_tasks
        if not module_tasks:
            faults.append(
                Fault(
                    module.location,
                    f"the module {shown(module.name)} contains no task; decorate its functions with @deltamark.task",
                )
            )
    for point in entry_points(group=GROUP):
        point_tasks = _tasks_of_entry_point(point)
        if isinstance(point_tasks, Fault):
            faults.append(point_tasks)
        else:
            tasks |= point_tasks
    return FoundTasks(tasks, tuple(faults))


def _tasks_of(module: ModuleType) -> Iterator[tuple[str, UserTask]]:
    for name, value in vars(module).items():
        if isinstance(value, UserTask):
            yield f"{module.__name__}:{name}", value
            yield value.name, value


def _imported(module: TaskModule) -> ModuleType | Fault:
    where = f"the module {shown(module.name)}"
    if module.folder is not None and str(module.folder.resolve()) not in sys.path:
        sys.path.append(str(module.folder.resolve()))
        importlib.invalidate_caches()
    imported = _loaded(lambda: importlib.import_module(module.name))
    if isinstance(imported, _LoadFailure):
        return Fault(module.location, f"{where} cannot be imported: {imported.reason}")
    assert isinstance(imported, ModuleType), "import_module returns a module"
    hidden = _hidden_file(module, imported)
    if hidden:
        return Fault(
            module.location,
            f"{where} is the installed one ({imported.__file__ or 'built in'}), not {hidden}; rename that file",
        )
    return imported


def _hidden_file(module: TaskModule, imported: ModuleType) -> str | None:
    """The file in the folder of the module that an installed module of the same name hides."""
    if module.folder is None or "." in module.name:
        return None
    spec = PathFinder.find_spec(module.name, [str(module.folder.resolve())])
    if spec is None or spec.origin is None or spec.origin == imported.__file__:
        return None
    return spec.origin


def _tasks_of_entry_point(point: EntryPoint) -> dict[str, UserTask] | Fault:
    owner = f" of {point.dist.name}" if point.dist else ""
    where = f"the entry point {shown(point.name)}{owner} (group {GROUP}, {shown(point.value)})"
    loaded = _loaded(point.load)
    if isinstance(loaded, _LoadFailure):
        return Fault(None, f"{where} cannot be loaded: {loaded.reason}")
    if isinstance(loaded, UserTask):
        return {loaded.name: loaded, point.value: loaded}
    if isinstance(loaded, ModuleType):
        return dict(_tasks_of(loaded))
    return Fault(None, f"{where} names neither a module nor a function that @deltamark.task decorates")


@frozen
class _LoadFailure:
    """Why something could not be loaded.

    The reason is a clause.
    """

    reason: str


def _loaded(load: Callable[[], object]) -> object:
    """Returns what `load` returns, or why it failed."""
    try:
        with stdout_to_stderr():
            return load()
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # a module may do anything while it is imported
        return _LoadFailure(f"{type(error).__name__}: {shown(error, _LONGEST)}{_failing_line(error)}")


def _failing_line(error: BaseException) -> str:
    """Returns the line of the user's code that failed, in parentheses."""
    if isinstance(error, SyntaxError):
        return f" (at {error.filename}:{error.lineno})"
    frames = traceback.extract_tb(error.__traceback__)
    user_frames = [frame for frame in frames if "importlib" not in frame.filename and frame.filename != __file__]
    return f" (at {user_frames[-1].filename}:{user_frames[-1].lineno})" if user_frames else ""
