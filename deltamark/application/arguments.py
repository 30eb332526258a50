"""Checks the types of the arguments that callers pass, before anything is done with them."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from datetime import datetime
from enum import Enum
from pathlib import Path
from threading import Event
from typing import TypeVar

from deltamark.domain.errors import UsageError
from deltamark.domain.history.changes import Position, RunMoment, When
from deltamark.domain.values import Value, shown

_Instance = TypeVar("_Instance")
_Member = TypeVar("_Member", bound=Enum)

LARGEST = 2**63 - 1
"""The largest number that a store can hold."""


def text(what: str, value: object) -> str:
    """The value, which must be a text.

    :raises UsageError: if it is something else, or no Unicode text.
    """
    if not isinstance(value, str):
        raise UsageError(f"{what} is given as a text, not as {_described(value)}.")
    try:
        value.encode()
    except UnicodeEncodeError:
        raise UsageError(f"{what} {shown(value)} is no Unicode text: it holds half of a character.") from None
    return value


def optional_text(what: str, value: object) -> str | None:
    """The value, which must be a text or None.

    Raises as `text` does.
    """
    return None if value is None else text(what, value)


def path(what: str, value: object) -> Path:
    """The value as a path.

    :raises UsageError: if it is none.
    """
    if not isinstance(value, str | os.PathLike) or isinstance(os.fspath(value), bytes):
        raise UsageError(f"{what} is given as a path, not as {_described(value)}.")
    result = Path(value)
    if "\0" in str(result):
        raise UsageError(f"{what} is no path: it holds a NUL character.")
    return result


def file(what: str, value: object, *, kinds: str = "a path") -> Path:
    """The value as the path of a file or folder.

    :param kinds: what the value may be.
    :raises UsageError: if it is something else.
    """
    if not isinstance(value, str | os.PathLike) or isinstance(os.fspath(value), bytes):
        raise UsageError(f"{what} is {kinds}, not {type(value).__name__}.")
    return Path(value)


def clock(value: object) -> Callable[[], datetime]:
    """The value, which must be a function that returns the time.

    Each time that it returns is checked.

    :raises UsageError: if it is something else; also later, for a time without a zone.
    """
    if not callable(value):
        raise UsageError("clock is a function that gives the present time as a datetime with a time zone.")

    def now() -> datetime:
        at = value()
        if not isinstance(at, datetime) or at.tzinfo is None:
            raise UsageError(f"the clock gave {at!r}. It must give a datetime with a time zone, such as UTC.")
        return at

    return now


def whole_number(what: str, value: object, *, least: int = 0) -> int:
    """The value, which must be a whole number.

    :raises UsageError: if it is something else, below `least`, or larger than any store can hold.
    """
    if isinstance(value, bool) or not isinstance(value, int):
        raise UsageError(f"{what} is given as a whole number, not as {_described(value)}.")
    if not least <= value <= LARGEST:
        raise UsageError(f"{what} is a whole number from {least} to {LARGEST}, not {shown(_digits(value))}.")
    return value


def boolean(what: str, value: object) -> bool:
    """The value, which must be True or False.

    :raises UsageError: if it is something else: a text such as "false" would count as true.
    """
    if not isinstance(value, bool):
        raise UsageError(f"{what} is True or False, not {_described(value)}.")
    return value


def member(what: str, members: type[_Member], value: object) -> _Member:
    """The member of an enumeration of texts that has the value.

    :raises UsageError: if there is none.
    """
    found = next((item for item in members if item.value == value), None)
    if found is None:
        known = " or ".join(f'"{item.value}"' for item in members)
        raise UsageError(f"{what} is {known}, not {_safe_repr(value)}.")
    return found


def optional_seconds(what: str, value: object) -> float | None:
    """The value, which must be a number of seconds, or None.

    :raises UsageError: if it is something else, or below 0.
    """
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float) or not value >= 0:
        raise UsageError(f"{what} is a number of seconds, 0 or more, or None, not {_described(value)}.")
    return float(value)


def position(what: str, value: object) -> Position:
    """The value, which must be a position.

    Whether it is in the log is checked later.

    :raises UsageError: if it is no whole number.
    """
    if isinstance(value, bool) or not isinstance(value, int):
        raise UsageError(f"{what} is a position in the log, a whole number, not {_described(value)}.")
    return value


def optional(what: str, kind: type[_Instance], value: object) -> _Instance | None:
    """The value, which must be an instance of a class or None.

    :raises UsageError: if it is something else.
    """
    if value is not None and not isinstance(value, kind):
        raise UsageError(f"{what} is a {kind.__name__} or None, not {_described(value)}.")
    return value


def values_by_name(what: str, value: object) -> dict[str, Value]:
    """The value, which must be a mapping of names to values of properties.

    :raises UsageError: if it is something else.
    """
    if not isinstance(value, Mapping):
        raise UsageError(f"{what} is a mapping of properties to values, not {_described(value)}.")
    for name, of_name in value.items():
        text("a property", name)
        if isinstance(of_name, str):
            text(f"the value of {name}", of_name)
        elif not isinstance(of_name, bool | int | float | None):
            raise UsageError(f"the value of {name} is a text, number, Boolean or None, not {_described(of_name)}.")
    return dict(value)


def event(what: str, value: object) -> Event:
    """The value, which must be a threading.Event.

    None gives a new one.

    :raises UsageError: if it is something else.
    """
    if not isinstance(value, Event | None):
        raise UsageError(f"{what} is a threading.Event, not {type(value).__name__}.")
    return value or Event()


def moment(what: str, value: object) -> When | None:
    """The value, which must name a moment, or None.

    :raises UsageError: if it is neither a position, a time nor the end of a run.
    """
    if value is None or isinstance(value, datetime):
        return value
    if isinstance(value, RunMoment):
        if value.run is None:
            return value
        whole_number("the number of a run", value.run)
        return value
    if isinstance(value, bool) or not isinstance(value, int):
        raise UsageError(
            f"{what} is a moment: a position (42), a datetime with a time zone, or RunMoment(7), "
            f"not {_described(value)}."
        )
    return value


def some_moment(what: str, value: object) -> When:
    """The value, which must name a moment.

    Raises as `moment` does.
    """
    result = moment(what, value)
    if result is None:
        raise UsageError(
            f"{what} is a moment: a position (42), a datetime with a time zone, or RunMoment(7), not None."
        )
    return result


def _described(value: object) -> str:
    return "None" if value is None else f"{shown(_safe_repr(value), 40)} ({type(value).__name__})"


def _safe_repr(value: object) -> str:
    try:
        return repr(value)
    except Exception:  # the class of a caller may raise anything; the message must still be written
        return "<cannot be shown>"


def _digits(value: int) -> str:
    return str(value) if abs(value) < 10**40 else f"a number of {value.bit_length()} bits"
