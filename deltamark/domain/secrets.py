"""Passwords: values that no text shows, and texts in which they are recognized, also in a mistyped address."""

from __future__ import annotations

import base64
import html
import json
import re
from collections.abc import Iterable
from urllib.parse import quote, quote_plus

_MASK = "…"
_NAMED = re.compile(
    r"""((?:password|passwd|passphrase|pwd|secret|token)\w*\s*(?:=|%3d|:(?!//))\s*)"""
    r"""(?:'(?:[^'\\]|\\.)*'?|"[^"]*"?|[^\s&;,'"]+)""",
    re.IGNORECASE,
)
"""A name and its value."""
_USER_ALONE = r"(?:(?!%3a)[^\s/@:?#])*@[^\s@]*(?:[\s'\"]|$)"
_BEFORE_THE_LAST_AT = re.compile(
    rf"((?<![\w/])//|(?<=:)/(?!/))(?!{_USER_ALONE})[^\n]{{0,2000}}@",
    re.IGNORECASE,
)
"""From `//` on, unless a plain user follows: a password may hold slashes, blanks and signs that must not be there."""
_NO_PORT = re.compile(r"(?<=://)[^\s/@:\[]*:(?!\d+(?:[/?,\s'\"]|$))[^\s'\"]*")
"""A user and a password without a host."""
_WITHOUT_SCHEME = re.compile(r"(?<![\w/.%+-])(?!\w+://)[\w.%+-]{1,500}[:/\\][^\s'\"]{0,500}@")
"""`user:password@host`, `user/password@host`."""


def masked(text: str) -> str:
    """A text without what may be a password in the address of a database.

    It masks too much rather than too little: user and password of whatever looks like a URL with a password, and the
    value of whatever looks like `password=…`.
    """
    text = _NAMED.sub(rf"\g<1>{_MASK}", text)
    text = _BEFORE_THE_LAST_AT.sub(rf"\g<1>{_MASK}@", text)
    return _WITHOUT_SCHEME.sub(f"{_MASK}@", _NO_PORT.sub(_MASK, text))


def has_password(address: str) -> bool:
    """Whether the address of a store may hold a password."""
    return not address.startswith("sqlite:") and masked(address) != address


class Secret:
    """A value that no text shows: `repr`, `str` and formats of it are `***`, and so is a copy by pickle.

    :ivar value: the value itself, to be handed to a server and to nothing else.
    """

    __slots__ = ("value",)

    def __init__(self, value: str) -> None:
        self.value = value

    def __repr__(self) -> str:
        return _HIDDEN

    __str__ = __repr__

    def __format__(self, specification: str) -> str:
        return _HIDDEN

    def __reduce__(self) -> tuple[type[Secret], tuple[str]]:
        return Secret, (_HIDDEN,)


_HIDDEN = "***"
_SHORTEST = 3
"""Shorter secrets are not looked for: they would be found in any text."""
_SHORTEST_INSIDE = 6


def redacted(text: str, secrets: Iterable[Secret]) -> str:
    """A text without these secrets, also where it quotes them for a URL, in Python's way, or in base64."""
    forms = {form for secret in secrets for form in _forms(secret.value) if len(form) >= _SHORTEST}
    for form in sorted(forms, key=len, reverse=True):
        text = text.replace(form, _HIDDEN)
    return text


def _forms(value: str) -> Iterable[str]:
    encoded = base64.b64encode(value.encode(errors="surrogateescape")).decode()
    escaped = value.replace("\\", "\\\\")
    yield from (value, quote(value, errors="replace"), quote(value, safe="", errors="replace"))
    yield from (quote_plus(value, errors="replace"), encoded, encoded.rstrip("="))
    yield from (repr(value)[1:-1], escaped, escaped.replace("'", "\\'"), value.replace("'", "''"))
    yield from (json.dumps(value)[1:-1], json.dumps(value, ensure_ascii=False)[1:-1], html.escape(value))
    yield from (_in_lower_case(value), repr(value.encode(errors="surrogateescape"))[2:-1])
    yield from _inside_base64(value.encode(errors="surrogateescape"))


def _in_lower_case(value: str) -> str:
    """A value as some programs quote it for a URL: with hexadecimal digits in lower case."""
    return re.sub("%[0-9A-F]{2}", lambda match: match[0].lower(), quote(value, safe="", errors="replace"))


def _inside_base64(value: bytes) -> Iterable[str]:
    """What is the same of a value wherever it stands in a longer text that is written in base64, as `user:password`."""
    for before in range(3):
        digits = base64.b64encode(bytes(before) + value).decode().rstrip("=")
        first, last = -(-before * 8 // 6), (before + len(value)) * 8 // 6
        if last - first >= _SHORTEST_INSIDE:
            yield digits[first:last]


REFERENCES = ("env:", "file:", "credential:", "keyring:")
"""How a setting says where a secret is."""


def reference_problem(text: str) -> str | None:
    """Why a text does not say where a secret is, a clause without its subject; None where it does.

    The clause never holds the text, which may be the secret itself.
    """
    kind, separator, name = text.partition(":")
    if f"{kind}{separator}" not in REFERENCES:
        return (
            "must say where the secret is, and not be the secret: write env:NAME (a variable of the environment), "
            "file:/path, credential:NAME (of the service manager), or keyring:SERVICE/NAME"
        )
    if not name.strip():
        return f"names nothing after {kind}:"
    if kind == "credential" and ("/" in name or name.startswith(".")):
        return "names a credential with a slash or a leading dot; write the name alone"
    if kind == "keyring" and not all(map(str.strip, name.partition("/"))):
        return "names no entry of a keyring; write keyring:SERVICE/NAME"
    return None
