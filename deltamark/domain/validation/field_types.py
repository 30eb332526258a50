"""Faults of fields whose values do not have the declared type.

A loaded configuration has none; one that was built in Python may have some. All other checks rely on the types.
"""

from __future__ import annotations

import types
from collections.abc import Iterator, Mapping
from enum import Enum
from functools import cache
from typing import Any, Union, get_args, get_origin, get_type_hints

from attrs import fields, has

from deltamark.domain.configuration.configuration import Configuration
from deltamark.domain.configuration.entity_model import PropertyRef
from deltamark.domain.configuration.user_function import UserTask
from deltamark.domain.errors import Fault
from deltamark.domain.location import Location
from deltamark.domain.suggestions import nearest
from deltamark.domain.values import shown

_PHRASES = {str: "a text", int: "a whole number", bool: "True or False", type(None): "None"}


def type_faults(configuration: Configuration) -> tuple[Fault, ...]:
    """The faults of all fields, of a configuration and of its parts, with values of wrong types."""
    return tuple(_faults_of(configuration, None))


@cache
def _hints(kind: Any) -> dict[str, Any]:
    return get_type_hints(kind)


def _faults_of(item: Any, location: Location | None) -> Iterator[Fault]:
    location = getattr(item, "location", None) or location
    if not isinstance(location, Location | None):
        yield Fault(None, f"{type(item).__name__}: location is not a Location")
        location = None
    for attribute in fields(type(item)):
        value = getattr(item, attribute.name)
        declared = _hints(item.__class__)[attribute.name]
        if not _fits(value, declared):
            name = getattr(item, "identifier", None)
            of = f" {shown(name)}" if isinstance(name, str) and attribute.name != "identifier" else ""
            yield Fault(location, f"{type(item).__name__}{of}: {attribute.name} {_mismatch(value, declared)}")
        elif isinstance(value, tuple):
            for part in value:
                if has(type(part)):
                    yield from _faults_of(part, location)
        elif has(type(value)) and not isinstance(value, Location | UserTask):
            yield from _faults_of(value, location)


def _fits(value: Any, declared: Any) -> bool:
    origin = get_origin(declared)
    if origin in (Union, types.UnionType):
        return any(_fits(value, kind) for kind in get_args(declared))
    if origin is tuple:
        return isinstance(value, tuple) and all(_fits(part, get_args(declared)[0]) for part in value)
    if origin is not None and issubclass(origin, Mapping):
        keys, values = get_args(declared)
        return isinstance(value, Mapping) and all(_fits(k, keys) and _fits(v, values) for k, v in value.items())
    if declared is int:
        return isinstance(value, int) and not isinstance(value, bool)
    return isinstance(value, declared)


def _mismatch(value: Any, declared: Any) -> str:
    if get_origin(declared) is tuple and isinstance(value, tuple):
        (kind, *_) = get_args(declared)
        wrong = next(part for part in value if not _fits(part, kind))
        return f"must be a sequence of {_phrase(kind)}; it contains {_shown(wrong)}"
    return f"is {_shown(value)}, not {_phrase(declared)}{_written(value, declared)}"


def _written(value: Any, declared: Any) -> str:
    """How a text that names a member of an enumeration, as in XML, or a property is written in Python."""
    kinds = get_args(declared) or (declared,)
    if PropertyRef in kinds and isinstance(value, str) and value.count(":") == 1:
        entity_type, _, name = value.partition(":")
        return f"; write PropertyRef({entity_type!r}, {name!r})"
    for kind in kinds:
        if isinstance(value, str) and isinstance(kind, type) and issubclass(kind, Enum):
            plain = {member.name.replace("_", "").lower(): member.name for member in kind}
            member = plain.get(nearest(value.replace("_", "").lower(), plain) or "")
            return f"; write {kind.__name__}.{member or next(iter(kind)).name}{'' if member else ', for example'}"
    return ""


def _shown(value: Any) -> str:
    if value is None or isinstance(value, Enum):
        return str(value)
    return (
        f"{shown(value, 40)} ({type(value).__name__})" if isinstance(value, str | int | float) else type(value).__name__
    )


def _phrase(declared: Any) -> str:
    origin = get_origin(declared)
    if origin in (Union, types.UnionType):
        return " or ".join(_phrase(kind) for kind in get_args(declared))
    if origin is tuple:
        return f"a sequence of {_phrase(get_args(declared)[0])}"
    if origin is not None:
        keys, values = get_args(declared)
        return f"a mapping from {_phrase(keys)} to {_phrase(values)}"
    return _PHRASES.get(declared, getattr(declared, "__name__", str(declared)))
