"""Keyword arguments of the classes of a configuration: an unknown one is answered with the one that was meant."""

from __future__ import annotations

from collections.abc import Callable, Collection
from functools import wraps
from typing import Any, TypeVar

from attrs import fields

from deltamark.domain.suggestions import hint
from deltamark.domain.values import shown

_Class = TypeVar("_Class", bound=type)

_OTHERWISE = {
    "displayname": "display_names",
    "taskdependsontask": "parents",
    "parenttask": "parents",
    "taskentitytype": "entity_types",
}
"""Names of the XML vocabulary that are called otherwise in Python, in the form of `_plain`."""


def checked_keywords(cls: _Class) -> _Class:
    """Makes a class of attrs answer an unknown keyword argument with the name that was meant.

    That is the name in Python of what has another one in XML, the field of a part that has it (`thresholds`), or the
    nearest name. The error is the `TypeError` that it would be anyway.
    """
    initialize: Callable[..., None] = vars(cls)["__init__"]
    known = {a.alias or a.name: a for a in fields(cls) if a.init}

    @wraps(initialize)
    def __init__(self: Any, *args: Any, **named: Any) -> None:  # noqa: N807 (it is the method)
        unknown = named.keys() - known.keys()
        if unknown:
            raise TypeError("; ".join(_problem(cls, name, known) for name in sorted(unknown)))
        initialize(self, *args, **named)

    cls.__init__ = __init__  # type: ignore[misc]
    return cls


def _problem(cls: type, name: str, known: Collection[str]) -> str:
    problem = f"{cls.__name__} has no argument {shown(name)}"
    plain = _plain(name)
    python_name = next((other for other in known if _plain(other) == plain), _OTHERWISE.get(plain))
    if python_name is None and plain.startswith("displaynamel"):
        python_name = _OTHERWISE["displayname"]
    if python_name in known and name[:1].isupper():
        return f"{problem}; that is the name in XML: in Python it is {python_name}"
    for attribute in fields(cls):
        part = attribute.default
        for inner in getattr(type(part), "__attrs_attrs__", ()):
            if _plain(inner.name) == plain:
                return f"{problem}; write {attribute.name}={type(part).__name__}({inner.name}=…)"
    return problem + hint(name, known)


def _plain(name: str) -> str:
    return name.replace("_", "").lower()
