"""Paths of attributes and filters of SCIM (RFC 7644, section 3.4.2.2)."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from typing import Any

from attrs import frozen

_NAME = r"[A-Za-z$][A-Za-z0-9_$-]*"
_PATH = re.compile(
    rf"""(?:(?P<schema>urn:[^\s\[\]()"]+):)?(?P<attribute>{_NAME})(?P<filter>\[.*\])?(?:\.(?P<part>{_NAME}))?""",
    re.DOTALL | re.IGNORECASE,
)
_ATTRIBUTE = re.compile(rf"""(?:urn:[^\s\[\]()"]+:)?{_NAME}(?:\.{_NAME})?""", re.IGNORECASE)
_VALUE = re.compile(r'"(?:[^"\\]|\\.)*"|true\b|false\b|null\b|-?\d+(?:\.\d+)?', re.DOTALL)
_WORD = re.compile(r"[A-Za-z]+")
_COMPARISONS = frozenset({"eq", "ne", "co", "sw", "ew", "gt", "ge", "lt", "le"})
_CHOOSING = frozenset({"eq", "ne", "co", "sw", "ew"})
_MOST_DEEP = 50

Condition = Callable[[Mapping[str, Any]], bool]


@frozen
class ScimPath:
    """The path of an attribute: `userName`, `name.familyName`, `emails[type eq "work"].value`.

    :param schema: the URN of the schema of an extension, or of the core schema; None where the path has none.
    :param chooses: whether a value of a multi-valued attribute is meant; None where all are.
    :param part: the sub-attribute; None where the path has none.
    """

    schema: str | None
    attribute: str
    chooses: Condition | None
    part: str | None

    @property
    def requested(self) -> str:
        """What a service is asked for to have its values."""
        return self.attribute if self.schema is None else f"{self.schema}:{self.attribute}"


def scim_path(text: str) -> ScimPath:
    """The parts of a path.

    :raises ValueError: if it is none; the message is a clause without its subject.
    """
    match = _PATH.fullmatch(text)
    if match is None:
        raise ValueError(
            'is no path of an attribute; write userName, name.familyName, emails[type eq "work"].value or '
            "urn:SCHEMA:attribute"
        )
    chooses = None
    if match["filter"] is not None:
        try:
            chooses = _Filter(match["filter"][1:-1]).condition()
        except ValueError as error:
            raise ValueError(f"has a filter that cannot be read: {error}") from error
    return ScimPath(match["schema"], match["attribute"], chooses, match["part"])


_CORE_SCHEMA = "urn:ietf:params:scim:schemas:core:2.0:"
_ONE_VALUE = re.compile(rf"""\[\s*({_NAME})\s+eq\s+("(?:[^"\\]|\\.)*"|true|false)\s*\]""", re.IGNORECASE)


@frozen
class WrittenPath:
    """The path of an attribute that is written.

    :param text: as it is sent.
    :param extension: the URN of the extension that has it; None for the core schema.
    :param chosen: the part and its value that tell one value of several apart, such as `type` and `work`.
    :param part: the sub-attribute; None where the path has none.
    """

    text: str
    extension: str | None
    attribute: str
    chosen: tuple[str, Any] | None
    part: str | None

    @property
    def attribute_text(self) -> str:
        """The path of the attribute as a whole."""
        return self.attribute if self.extension is None else f"{self.extension}:{self.attribute}"

    @property
    def chosen_text(self) -> str:
        """The path of the value that is meant, with all of its parts."""
        return self.text.rpartition(".")[0]


def written_path(text: str) -> WrittenPath:
    """The parts of a path that is written.

    :raises ValueError: if it is none, or does not say which value it means; the message is a clause without its
        subject.
    """
    scim_path(text)
    match = _PATH.fullmatch(text)
    assert match is not None, "it was read before"
    schema, part = match["schema"], match["part"]
    chosen: tuple[str, Any] | None = None
    if match["filter"] is not None:
        one = _ONE_VALUE.fullmatch(match["filter"])
        if one is None or part is None:
            raise ValueError('does not say which one value is written; write emails[type eq "work"].value')
        chosen = (one[1], json.loads(one[2].lower() if one[2][0] != '"' else one[2]))
    is_core = schema is None or schema.lower().startswith(_CORE_SCHEMA)
    own = text if schema is None or not is_core else text[len(schema) + 1 :]
    return WrittenPath(own, None if is_core else schema, match["attribute"], chosen, part)


def filter_paths(text: str) -> frozenset[str]:
    """The paths of the attributes that a filter compares.

    :raises ValueError: if it is no filter; the message is a clause that says where.
    """
    filtered = _Filter(text)
    filtered.read()
    return frozenset(filtered.names)


def value_of(container: object, name: str) -> Any:
    """The value of an attribute of a resource, or of one of its parts, whatever the letter case; None without it."""
    if not isinstance(container, Mapping):
        return None
    if name in container:
        return container[name]
    lower = name.lower()
    return next((value for key, value in container.items() if key.lower() == lower), None)


class _Filter:
    """Reads a filter, and makes the condition that it states."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._at = 0
        self.names: set[str] = set()
        self._operators: set[str] = set()

    def condition(self) -> Condition:
        """What it states of the parts of one value.

        :raises ValueError: if it states what is not looked at here.
        """
        condition = self.read()
        for operator in sorted(self._operators - _CHOOSING):
            raise ValueError(f"{operator} is not known here; compare by {', '.join(sorted(_CHOOSING))} or pr")
        return condition

    def read(self) -> Condition:
        """Reads all of it.

        :raises ValueError: if it is no filter.
        """
        condition = self._any(0)
        self._blanks()
        if self._at != len(self._text):
            raise ValueError(f"it should end after {self._at} characters, before {self._rest()}")
        return condition

    def _any(self, depth: int) -> Condition:
        if depth > _MOST_DEEP:
            raise ValueError(f"it is nested more than {_MOST_DEEP} levels deep")
        conditions = [self._all(depth)]
        while self._takes("or"):
            conditions.append(self._all(depth))
        return lambda item: any(condition(item) for condition in conditions)

    def _all(self, depth: int) -> Condition:
        conditions = [self._one(depth)]
        while self._takes("and"):
            conditions.append(self._one(depth))
        return lambda item: all(condition(item) for condition in conditions)

    def _one(self, depth: int) -> Condition:
        if self._takes("not"):
            denied = self._grouped("(", ")", depth)
            return lambda item: not denied(item)
        self._blanks()
        if self._text[self._at : self._at + 1] == "(":
            return self._grouped("(", ")", depth)
        name = self._match(_ATTRIBUTE, "the name of an attribute")
        self.names.add(name)
        if self._text[self._at : self._at + 1] == "[":
            outer, self.names = self.names, set()
            inner = self._grouped("[", "]", depth)
            self.names = outer | {f"{name}.{part}" for part in self.names}
            self._operators.add("[")
            return inner
        operator = self._match(_WORD, "a comparison such as eq").lower()
        if operator == "pr":
            return lambda item: value_of(item, name) not in (None, "", [])
        if operator not in _COMPARISONS:
            raise ValueError(f"{operator} is no comparison; write one of {', '.join(sorted(_COMPARISONS))} or pr")
        self._operators.add(operator)
        wanted = json.loads(
            self._match(_VALUE, "a value in double quotes, a number, true, false or null"), strict=False
        )
        return lambda item: _holds(operator, value_of(item, name), wanted)

    def _grouped(self, opened: str, closed: str, depth: int) -> Condition:
        self._sign(opened)
        condition = self._any(depth + 1)
        self._sign(closed)
        return condition

    def _sign(self, sign: str) -> None:
        self._blanks()
        if self._text[self._at : self._at + 1] != sign:
            raise ValueError(f'"{sign}" is missing at character {self._at + 1}, before {self._rest()}')
        self._at += 1

    def _takes(self, word: str) -> bool:
        self._blanks()
        match = _WORD.match(self._text, self._at)
        if match is None or match[0].lower() != word or self._text[match.end() : match.end() + 1] not in (" ", "(", ""):
            return False
        self._at = match.end()
        return True

    def _match(self, pattern: re.Pattern[str], what: str) -> str:
        self._blanks()
        match = pattern.match(self._text, self._at)
        if match is None:
            raise ValueError(f"{what} is missing at character {self._at + 1}, before {self._rest()}")
        self._at = match.end()
        return match[0]

    def _blanks(self) -> None:
        while self._text[self._at : self._at + 1].isspace():
            self._at += 1

    def _rest(self) -> str:
        rest = self._text[self._at : self._at + 20]
        return f'"{rest}"' if rest else "the end"


def _holds(operator: str, value: object, wanted: object) -> bool:
    if isinstance(value, str) and isinstance(wanted, str):
        text, other = value.casefold(), wanted.casefold()
        if operator in ("co", "sw", "ew"):
            return {"co": other in text, "sw": text.startswith(other), "ew": text.endswith(other)}[operator]
        return (text == other) is (operator == "eq")
    return (type(value) is type(wanted) and value == wanted) is (operator == "eq")
