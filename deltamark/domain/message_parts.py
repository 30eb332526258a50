"""Messages in parts: what happened, where, and what to do about it.

A message is one text for people: a sentence about what is wrong, what was done because of it, then advice. Programs get
the parts. This is the one place that knows how a text is put together; errors that have their parts give them (see
`DeltamarkError.parts`).
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from attrs import evolve, frozen

from deltamark.domain.location import Location


@frozen(kw_only=True)
class Place:
    """Where something happened, as far as it is known.

    :param line: of the file, from 1.
    :param column: the name of a column of an extract, or the position in a line of a configuration file.
    :param position: of the log.
    """

    file: str | None = None
    line: int | None = None
    column: str | None = None
    position: int | None = None
    connector: str | None = None
    entity_type: str | None = None
    property: str | None = None
    key: str | None = None

    def at(self, location: Location | None) -> Place:
        """The same place, at a location in a file."""
        if location is None:
            return self
        return evolve(self, file=location.file, line=location.line, column=location.column)


NOWHERE = Place()


@frozen
class MessageParts:
    """A message in its parts.

    :param what: what happened, and what was done or left because of it.
    :param advice: what to do about it; none where there is nothing to do, or nothing that is known.
    """

    what: str
    place: Place = NOWHERE
    advice: str | None = None


_IN_A_FILE = re.compile(
    r"(?P<file>[^\n\"]*?\.(?:csv|jsonl|json|parquet|xlsx|ldif|xml|toml|arrow))"
    r"(?::(?P<line>[0-9]+))?(?::(?P<column>[^:\n]+))?: "
)
_EFFECT = re.compile(r"(Nothing|What) .*?(\.|$)")
"""A sentence about what was kept, undone or not done: it belongs to what happened."""

_GUESS = "; did you mean "


def parts_of(text: str, place: Place = NOWHERE, advice: str | None = None) -> MessageParts:
    """The parts of a message.

    :param place: what is known of where it happened; a file that the text begins with is added.
    :param advice: the end of the text that is advice, where that is known; otherwise it is what follows the sentences
        about what happened.
    """
    first, _, _ = text.partition("\n")
    if place.file is None:
        found = _IN_A_FILE.match(first)
        if found is not None:
            line = found["line"]
            place = evolve(place, file=found["file"], line=int(line) if line else None, column=found["column"])
            first = first[found.end() :]
    else:
        first = first.removeprefix(f"{Location(place.file, place.line, place.column)}: ")
    if advice is not None and first.endswith(advice):
        return MessageParts(first.removesuffix(advice).strip(), place, advice or None)
    what, *rest = _sentences(first)
    if _GUESS in what:
        what, _, guess = what.partition(_GUESS)
        rest.insert(0, f"Did you mean {guess}")
    while rest and _EFFECT.fullmatch(rest[0]):
        what = f"{what} {rest.pop(0)}"
    return MessageParts(what, place, " ".join(rest) or None)


def _sentences(text: str) -> Iterator[str]:
    """The sentences of a text. What is in quotes or brackets ends none."""
    start, depth, is_quoted = 0, 0, False
    for number, sign in enumerate(text):
        if sign == '"':
            is_quoted = not is_quoted
        elif is_quoted:
            continue
        elif sign in "([":
            depth += 1
        elif sign in ")]":
            depth = max(0, depth - 1)
        elif sign in ".!?" and depth == 0 and re.match(r"\s+[A-Z`]", text[number + 1 :]):
            yield text[start : number + 1]
            start = number + 1 + len(text[number + 1 :]) - len(text[number + 1 :].lstrip())
    yield text[start:]
