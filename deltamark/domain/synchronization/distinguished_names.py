"""Distinguished names of directories in one canonical form, as in RFC 4514
(https://www.rfc-editor.org/rfc/rfc4514).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator

_TYPE = re.compile(r"[A-Za-z][A-Za-z0-9-]*|[0-9]+(?:\.[0-9]+)*")
_ESCAPED = re.compile(r"((?:\\[0-9A-Fa-f]{2})+)|\\(.)", re.DOTALL)
_QUOTED = re.compile(r'"((?:[^"\\]|\\.)*)"', re.DOTALL)
_MUST_BE_ESCAPED = re.compile(r'[\\",+;<>]')


def canonical_name(text: str, form: Callable[[str], str] = str) -> str | None:
    """A distinguished name in canonical form, or None if the text is no distinguished name.

    Types are in capitals, there are no blanks around separators, and only what must be escaped is. Values keep their
    letter case. Two notations of one name become equal.

    :param form: is applied to each value.
    """
    names = []
    for name in _split(text, ",;"):
        pairs = [_pair(pair, form) for pair in _split(name, "+")]
        if None in pairs:
            return None
        names.append("+".join(sorted(pair for pair in pairs if pair is not None)))
    return ",".join(names)


def relative_names(text: str) -> list[str]:
    """The relative names that a canonical name consists of, the lowest first."""
    return list(_split(text, ","))


def relative_name(text: str) -> tuple[str, str]:
    """The lowest relative name of a distinguished name and the name of its parent, both as they are written."""
    lowest = next(_split(text, ",;"))
    return lowest, text[len(lowest) + 1 :].lstrip(" ")


def naming_values(name: str) -> list[tuple[str, str]]:
    """The types of a canonical relative name, each with its value as it is without escapes."""
    pairs = (pair.partition("=") for pair in _split(name, "+"))
    return [(kind, _unescaped(written) or "") for kind, _, written in pairs]


def _split(text: str, separators: str) -> Iterator[str]:
    """The parts of a text between separators that are neither in quotes nor after a backslash."""
    start, position, in_quotes = 0, 0, False
    while position < len(text):
        char = text[position]
        if char == "\\":
            position += 1
        elif char == '"':
            in_quotes = not in_quotes
        elif char in separators and not in_quotes:
            yield text[start:position]
            start = position + 1
        position += 1
    yield text[start:]


def _pair(text: str, form: Callable[[str], str]) -> str | None:
    kind, sign, written = text.partition("=")
    kind = kind.strip()
    if not sign or not _TYPE.fullmatch(kind):
        return None
    value = _unescaped(written)
    return None if value is None else f"{kind.upper()}={_escaped(form(value))}"


def _unescaped(written: str) -> str | None:
    """The text of a written value, or None if it is not well formed."""
    text = written.lstrip(" ")
    quoted = _QUOTED.fullmatch(text.rstrip(" "))
    if quoted:
        text = quoted.group(1)
    else:
        bare = text.rstrip(" ")
        kept = (len(bare) - len(bare.rstrip("\\"))) % 2  # a blank after a backslash is part of the value
        text = text[: len(bare) + kept]
        if '"' in re.sub(r"\\.", "", text, flags=re.DOTALL):
            return None
    try:
        return _ESCAPED.sub(_unescaped_part, text)
    except UnicodeDecodeError:
        return None


def _unescaped_part(escaped: re.Match[str]) -> str:
    octets, char = escaped.groups()
    return str(char) if octets is None else bytes.fromhex(octets.replace("\\", "")).decode("utf-8")


def _escaped(value: str) -> str:
    text = _MUST_BE_ESCAPED.sub(lambda match: f"\\{match.group()}", value).replace("\0", "\\00")
    if text.startswith((" ", "#")):
        text = f"\\{text}"
    return f"{text[:-1]}\\ " if len(value) > 1 and text.endswith(" ") else text
