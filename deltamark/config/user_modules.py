"""Finding functions of users: in the modules that `deltamark.toml` names, and at the entry points of packages.

Nothing else is ever imported: what a configuration or a store names is only looked up among what was found.
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

from deltamark.application.derivation.user_functions.call import printing_aside
from deltamark.domain.configuration.user_function import UserTask
from deltamark.domain.errors import Fault
from deltamark.domain.location import Location
from deltamark.domain.values import shown

GROUP = "deltamark.tasks"
"""The group of entry points; each names a module, or one function in it."""
_LONGEST = 200


@frozen
class TaskModule:
    """A module with functions of users.

    :param folder: where it is looked for after everything that is installed; None: installed only.
    :param location: who says so.
    """

    name: str
    folder: Path | None = None
    location: Location | None = field(default=None, eq=False)


@frozen
class FoundTasks:
    """The functions that were found, by the names that a configuration may use, and the modules that failed."""

    tasks: dict[str, UserTask] = field(factory=dict)
    faults: tuple[Fault, ...] = ()


def found_tasks(modules: Iterable[TaskModule]) -> FoundTasks:
    """The functions of some modules and of all entry points, each by where it is defined and by where it was found."""
    tasks: dict[str, UserTask] = {}
    faults = []
    for module in modules:
        found = _imported(module)
        if isinstance(found, Fault):
            faults.append(found)
            continue
        mine = dict(_tasks_of(found))
        tasks |= mine
        if not mine:
            faults.append(
                Fault(
                    module.location,
                    f"the module {shown(module.name)} holds no task; decorate its functions with @deltamark.task",
                )
            )
    for point in entry_points(group=GROUP):
        offered = _offered(point)
        if isinstance(offered, Fault):
            faults.append(offered)
        else:
            tasks |= offered
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
    found = _loaded(lambda: importlib.import_module(module.name))
    if isinstance(found, _Failed):
        return Fault(module.location, f"{where} cannot be imported: {found.reason}")
    assert isinstance(found, ModuleType), "what is imported is a module"
    hidden = _hidden(module, found)
    if hidden:
        return Fault(
            module.location,
            f"{where} is the installed one ({found.__file__ or 'built in'}), not {hidden}; rename that file",
        )
    return found


def _hidden(module: TaskModule, imported: ModuleType) -> str | None:
    """The file in the module's folder of which another one took the name."""
    if module.folder is None or "." in module.name:
        return None
    spec = PathFinder.find_spec(module.name, [str(module.folder.resolve())])
    if spec is None or spec.origin is None or spec.origin == imported.__file__:
        return None
    return spec.origin


def _offered(point: EntryPoint) -> dict[str, UserTask] | Fault:
    owner = f" of {point.dist.name}" if point.dist else ""
    where = f"the entry point {shown(point.name)}{owner} (group {GROUP}, {shown(point.value)})"
    found = _loaded(point.load)
    if isinstance(found, _Failed):
        return Fault(None, f"{where} cannot be loaded: {found.reason}")
    if isinstance(found, UserTask):
        return {found.name: found, point.value: found}
    if isinstance(found, ModuleType):
        return dict(_tasks_of(found))
    return Fault(None, f"{where} names neither a module nor a function that @deltamark.task decorates")


@frozen
class _Failed:
    """Why something could not be loaded, a clause."""

    reason: str


def _loaded(load: Callable[[], object]) -> object:
    """What loading gives, or that it failed."""
    try:
        with printing_aside():
            return load()
    except KeyboardInterrupt:
        raise
    except BaseException as e:  # a module may do anything while it is imported
        return _Failed(f"{type(e).__name__}: {shown(e, _LONGEST)}{_line(e)}")


def _line(error: BaseException) -> str:
    """The line of the user's code at which it failed."""
    if isinstance(error, SyntaxError):
        return f" (at {error.filename}:{error.lineno})"
    frames = traceback.extract_tb(error.__traceback__)
    theirs = [frame for frame in frames if "importlib" not in frame.filename and frame.filename != __file__]
    return f" (at {theirs[-1].filename}:{theirs[-1].lineno})" if theirs else ""
