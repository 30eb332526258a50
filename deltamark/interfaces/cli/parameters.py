"""Parameter types of the command line: moments, numbers and names."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable
from typing import Any

import click
from click.shell_completion import CompletionItem

from deltamark.application.arguments import LARGEST
from deltamark.domain.errors import UsageError
from deltamark.domain.history.changes import When
from deltamark.domain.values import Value, shown
from deltamark.interfaces.cli.times import zone_of_times
from deltamark.interfaces.moments import moment_named

_RUN = re.compile(r"run:([0-9]{1,18})\Z")
_DAY = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}\Z")
_POSITION = re.compile(r"[0-9]{1,18}\Z")
_NUMBER = re.compile(r"[0-9]{1,19}\Z")
_UNDECODED = re.compile(r"[\ud800-\udfff]")


class Moment(click.ParamType[When]):
    """A position, an ISO 8601 time with its zone, a day, `yesterday`, `run:N`, or `run:last`.

    A time without a fraction means the end of its second, a day its end in the zone in which times are shown.
    """

    name = "WHEN"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> When:
        """The moment that a text names."""
        if not isinstance(value, str):
            return value  # type: ignore[no-any-return]
        try:
            return moment_named(value, zone=zone_of_times())
        except UsageError as e:
            self.fail(str(e), param, ctx)


class WholeNumber(click.ParamType[int]):
    """A whole number in plain digits, not below `least` and no larger than a store can hold."""

    def __init__(self, name: str, least: int) -> None:
        self.name = name
        self._least = least

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        """The number in a text."""
        text = str(value)
        if not _NUMBER.match(text) or not self._least <= int(text) <= LARGEST:
            self.fail(f"{shown(text)} is no whole number from {self._least} on.", param, ctx)
        return int(text)


class Name(click.ParamType[str]):
    """A text that can be looked up: not empty, and valid UTF-8."""

    def __init__(self, name: str) -> None:
        self.name = name

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """The text itself."""
        text = str(value)
        if not text:
            self.fail("an empty text names nothing.", param, ctx)
        try:
            # Python did not decode it by the locale: it is UTF-8 all the same, or invalid.
            return os.fsencode(text).decode() if _UNDECODED.search(text) else text
        except UnicodeError:
            self.fail(f"{shown(text)} is not valid UTF-8.", param, ctx)

    def shell_complete(self, ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
        """The names of the configuration or the keys of the store that begin with a text."""
        from deltamark.interfaces.cli.completion import completions

        return [CompletionItem(name) for name in completions(ctx, self.name, incomplete)]


class Condition(click.ParamType[tuple[str, Value]]):
    """A property and the value that it must have, `PROPERTY=VALUE`; `PROPERTY=` for no value."""

    name = "PROPERTY=VALUE"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[str, Value]:
        """The property and the value in a text."""
        if isinstance(value, tuple):
            return value
        name, sign, wanted = Name(self.name).convert(value, param, ctx).partition("=")
        if not sign or not name:
            self.fail(f"{shown(str(value))} names no value. Write PROPERTY=VALUE.", param, ctx)
        return name, wanted or None


def conditions(pairs: Iterable[tuple[str, Value]]) -> dict[str, Value]:
    """The conditions by property.

    :raises UsageError: if two are about one property.
    """
    found: dict[str, Value] = {}
    for name, value in pairs:
        if name in found:
            raise UsageError(f"two conditions are about {name}, which has one value. Leave out one.")
        found[name] = value
    return found


CONDITION = Condition()
WHEN = Moment()
