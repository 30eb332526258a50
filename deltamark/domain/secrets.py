"""Passwords in texts: recognized in any form of the address of a database, also a mistyped one."""

from __future__ import annotations

import re

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
