"""Whether the fields of a configuration hold what they are declared to hold.

A configuration that was loaded does; one that Python code built may not, and everything else that is checked
relies on it.
"""

from __future__ import annotations

import types
from collections.abc import Iterator, Mapping
from enum import Enum
from functools import cache
from typing import Any, Union, get_args, get_origin, get_type_hints

from attrs import fields, has

from deltamark.domain.configuration.configuration import Configuration
from deltamark.domain.configuration.user_function import UserTask
from deltamark.domain.errors import Fault
from deltamark.domain.location import Location
from deltamark.domain.values import shown

_WORDS = {str: "a text", int: "a whole number", bool: "True or False", type(None): "None"}


def shape_faults(configuration: Configuration) -> tuple[Fault, ...]:
    """Every field of a configuration, and of what it holds, whose value is of another type than declared."""
    return tuple(_of(configuration, None))


@cache
def _hints(kind: Any) -> dict[str, Any]:
    return get_type_hints(kind)


def _of(item: Any, location: Location | None) -> Iterator[Fault]:
    location = getattr(item, "location", None) or location
    if not isinstance(location, Location | None):
        yield Fault(None, f"{type(item).__name__}: location is no Location")
        location = None
    for attribute in fields(type(item)):
        value = getattr(item, attribute.name)
        wanted = _hints(item.__class__)[attribute.name]
        if not _fits(value, wanted):
            name = getattr(item, "identifier", None)
            of = f" {shown(name)}" if isinstance(name, str) and attribute.name != "identifier" else ""
            yield Fault(location, f"{type(item).__name__}{of}: {attribute.name} is {_told(value, wanted)}")
        elif isinstance(value, tuple):
            for part in value:
                if has(type(part)):
                    yield from _of(part, location)
        elif has(type(value)) and not isinstance(value, Location | UserTask):
            yield from _of(value, location)


def _fits(value: Any, wanted: Any) -> bool:
    origin = get_origin(wanted)
    if origin in (Union, types.UnionType):
        return any(_fits(value, kind) for kind in get_args(wanted))
    if origin is tuple:
        return isinstance(value, tuple) and all(_fits(part, get_args(wanted)[0]) for part in value)
    if origin is not None and issubclass(origin, Mapping):
        keys, values = get_args(wanted)
        return isinstance(value, Mapping) and all(_fits(k, keys) and _fits(v, values) for k, v in value.items())
    if wanted is int:
        return isinstance(value, int) and not isinstance(value, bool)
    return isinstance(value, wanted)


def _told(value: Any, wanted: Any) -> str:
    if get_origin(wanted) is tuple and isinstance(value, tuple):
        (kind, *_) = get_args(wanted)
        wrong = next(part for part in value if not _fits(part, kind))
        return f"a sequence of {_words(kind)} and holds {_shown(wrong)}"
    return f"{_shown(value)}, not {_words(wanted)}"


def _shown(value: Any) -> str:
    if value is None or isinstance(value, Enum):
        return str(value)
    return (
        f"{shown(value, 40)} ({type(value).__name__})" if isinstance(value, str | int | float) else type(value).__name__
    )


def _words(wanted: Any) -> str:
    origin = get_origin(wanted)
    if origin in (Union, types.UnionType):
        return " or ".join(_words(kind) for kind in get_args(wanted))
    if origin is tuple:
        return f"a sequence of {_words(get_args(wanted)[0])}"
    if origin is not None:
        keys, values = get_args(wanted)
        return f"a mapping from {_words(keys)} to {_words(values)}"
    return _WORDS.get(wanted, getattr(wanted, "__name__", str(wanted)))
