"""The decorator that makes a task of a function."""

from __future__ import annotations

import ast
import functools
import hashlib
import inspect
import textwrap
from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any

from deltamark.domain.configuration.user_function import KEY, MOST_ROWS, UserTask
from deltamark.domain.errors import UsageError
from deltamark.domain.values import shown

if TYPE_CHECKING:
    import pyarrow as pa

LARGEST_BATCH = 10_000_000


def task(
    *,
    entity_types: Iterable[str],
    writes: Iterable[str] | None = None,
    reads: Iterable[str] | None = None,
    dirty: bool = True,
    batch_size: int = MOST_ROWS,
    version: str | int = "",
    deterministic: bool = True,
) -> Callable[[Callable[[pa.Table], pa.Table]], UserTask]:
    """Makes a task of a function that computes properties.

    The function receives a batch of resources of one entity type: a table with the column ``key`` and a column for
    each value that it reads, named by its path and typed by the property's type; a sorted list where a path leads to
    several resources. The name of the entity type is in the table's metadata (``entity_type``). It returns a table of
    ``key`` and the properties that it writes, in any order. Where a key is missing, or a value is null or an empty
    text, the property has no value.

    Each row must be computed by itself: which other rows are in the batch is not defined.

    :param entity_types: the entity types whose resources it computes.
    :param writes: the properties that it computes: declared, not filled from an extract, and computed by nothing else.
        None: all such properties.
    :param reads: properties and dependency paths, such as ``Manager.Mail``; a change of anything else does not have it
        computed again. None: every property of the resource itself that it does not write.
    :param dirty: whether a task that does not say otherwise computes only what is dirty.
    :param batch_size: the most resources in a batch.
    :param version: change it when something that the function uses changed, such as a model or a table of its own:
        everything is then computed again. A change of the function's own source code is noticed without it.
    :param deterministic: False if it may return other values for the same resources; `verify_derived` does not call
        it then.
    :raises UsageError: if an argument has a wrong type or value, or the decorated object is no plain function.
    """
    declared: dict[str, Any] = {
        "entity_types": _names("entity_types", entity_types),
        "writes": None if writes is None else _names("writes", writes),
        "reads": None if reads is None else _names("reads", reads, may_be_empty=True),
        "dirty": _boolean("dirty", dirty),
        "batch_size": _batch_size(batch_size),
        "version": _version(version),
        "deterministic": _boolean("deterministic", deterministic),
    }
    for name in ("reads", "writes"):
        if KEY in (declared[name] or ()):
            raise UsageError(f"{name} of a task names {shown(KEY)}, which every batch has: the key of the resource.")
    both = [name for name in declared["writes"] or () if name in (declared["reads"] or ())]
    if both:
        raise UsageError(f"a task reads {shown(both[0])} and writes it; a value cannot depend on itself.")

    def decorated(function: Callable[[pa.Table], pa.Table]) -> UserTask:
        return _made(function, declared)

    return decorated


def _made(function: Callable[[pa.Table], pa.Table], declared: Mapping[str, Any]) -> UserTask:
    is_plain = inspect.isfunction(function) and function.__name__ != "<lambda>"
    if not is_plain or inspect.iscoroutinefunction(function) or inspect.isgeneratorfunction(function):
        raise UsageError(
            f"@task decorates a function with a name (def …) that takes a table and returns one; {function!r} is none."
        )
    try:
        inspect.signature(function).bind(None)
    except TypeError as e:
        raise UsageError(f"function {function.__qualname__} must take one argument, the table of a batch.") from e
    made = UserTask(
        function=function,
        name=f"{function.__module__}:{function.__qualname__}",
        source=_source(function),
        **declared,
    )
    # The instance is frozen, but tools expect the attributes of a function.
    made.__dict__.update({name: getattr(function, name) for name in functools.WRAPPER_ASSIGNMENTS[:4]})
    made.__dict__["__wrapped__"] = function
    return made


def _source(function: Callable[..., Any]) -> str:
    """The digest of the function's text without its decorators.

    What they declare is part of the definition.
    """
    try:
        text = textwrap.dedent(inspect.getsource(function))
    except (OSError, TypeError):
        return ""
    try:
        body = ast.parse(text).body
    except (SyntaxError, ValueError):
        body = []
    if body and isinstance(body[0], ast.FunctionDef):
        text = "\n".join(text.splitlines()[body[0].lineno - 1 :])
    return hashlib.sha256(text.strip().encode(errors="backslashreplace")).hexdigest()


def _names(what: str, names: object, *, may_be_empty: bool = False) -> tuple[str, ...]:
    if isinstance(names, str) or not isinstance(names, Iterable):
        raise UsageError(f"{what} of a task is a list of names, not {type(names).__name__}.")
    listed = tuple(names)
    for name in listed:
        if not isinstance(name, str) or not name.strip():
            raise UsageError(f"{what} of a task holds {shown(name)}, which is no name.")
    repeated = [name for number, name in enumerate(listed) if name in listed[:number]]
    if repeated:
        raise UsageError(f"{what} of a task names {shown(repeated[0])} twice.")
    if not listed and not may_be_empty:
        raise UsageError(f"{what} of a task is empty; name at least one.")
    return listed


def _boolean(what: str, value: object) -> bool:
    if not isinstance(value, bool):
        raise UsageError(f"{what} of a task is True or False, not {shown(value)}.")
    return value


def _batch_size(value: object) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or not 1 <= value <= LARGEST_BATCH:
        raise UsageError(
            f"batch_size of a task is a whole number from 1 to {LARGEST_BATCH:,}, not {shown(value)}: the most "
            "resources in a batch."
        )
    return value


def _version(value: object) -> str:
    if not isinstance(value, str | int) or isinstance(value, bool):
        raise UsageError(f"version of a task is a text or a number, not {shown(value)}.")
    return str(value)


def registered(tasks: Iterable[object]) -> dict[str, UserTask]:
    """The functions by the names that a configuration may use.

    :raises UsageError: if one is no task, or two have the same name.
    """
    by_name: dict[str, UserTask] = {}
    if isinstance(tasks, UserTask) or not isinstance(tasks, Iterable):
        raise UsageError("tasks is a list of functions that @deltamark.task decorates.")
    for function in tasks:
        if not isinstance(function, UserTask):
            name = getattr(function, "__qualname__", None) or type(function).__name__
            raise UsageError(
                f"tasks holds {shown(name)}, which is no task; decorate the function with @deltamark.task."
            )
        if by_name.setdefault(function.name, function) is not function:
            raise UsageError(f"two tasks are called {shown(function.name)}; give one of the functions another name.")
    return by_name
