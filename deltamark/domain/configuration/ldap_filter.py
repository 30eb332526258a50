"""Filters of LDAP searches (RFC 4515)."""

from __future__ import annotations

import re

_ATTRIBUTE = r"(?:[A-Za-z][A-Za-z0-9-]*|\d+(?:\.\d+)+)(?:;[A-Za-z0-9-]+)*"
_VALUE = r"(?:[^()\\*\x00]|\\[0-9A-Fa-f]{2})"
_ITEM = re.compile(
    rf"(?P<attribute>{_ATTRIBUTE})(?:=(?:{_VALUE}|\*)*|(?:>=|<=|~=){_VALUE}*)"
    rf"|(?P<extended>{_ATTRIBUTE})?(?::dn)?(?::{_ATTRIBUTE})?:={_VALUE}*"
)
_MOST_DEEP = 50


def filter_attributes(text: str) -> frozenset[str]:
    """The attributes that a filter names, in lower case and without options.

    :raises ValueError: if it is not a filter; the message is a clause that says where.
    """
    names: set[str] = set()
    end = _filter(text, 0, names, 0)
    if end != len(text):
        raise ValueError(f"it should end after {end} characters, before {_rest(text, end)}")
    return frozenset(names)


def _filter(text: str, at: int, names: set[str], depth: int) -> int:
    if depth > _MOST_DEEP:
        raise ValueError(f"it is nested more than {_MOST_DEEP} levels deep")
    if text[at : at + 1] != "(":
        raise ValueError(f'"(" is missing at character {at + 1}, before {_rest(text, at)}')
    at += 1
    if text[at : at + 1] in ("&", "|"):
        at += 1
        while text[at : at + 1] == "(":
            at = _filter(text, at, names, depth + 1)
    elif text[at : at + 1] == "!":
        at = _filter(text, at + 1, names, depth + 1)
    else:
        item = _ITEM.match(text, at)
        if item is None:
            raise ValueError(f"there is no comparison such as mail=* at character {at + 1}, before {_rest(text, at)}")
        name = item["attribute"] or item["extended"]
        if name is not None:
            names.add(name.partition(";")[0].lower())
        at = item.end()
    if text[at : at + 1] != ")":
        raise ValueError(f'")" is missing at character {at + 1}, before {_rest(text, at)}')
    return at + 1


def _rest(text: str, at: int) -> str:
    return f'"{text[at : at + 20]}"' if at < len(text) else "the end"
