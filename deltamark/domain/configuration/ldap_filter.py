"""Filters of LDAP searches (RFC 4515)."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence

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


Entry = Mapping[str, Sequence[bytes]]
"""Values by the name of their attribute, in lower case."""

Predicate = Callable[[Entry], bool]

_BITS_AND, _BITS_OR = "1.2.840.113556.1.4.803", "1.2.840.113556.1.4.804"
_ESCAPE = re.compile(r"\\([0-9A-Fa-f]{2})")
_WHOLE = re.compile(rb"-?[0-9]{1,30}")


def filter_predicate(text: str) -> Predicate:
    """Whether an entry fits a filter, without the schema of a server.

    Texts are compared without regard to letter case and repeated blanks, whole numbers by their value.

    :raises ValueError: as `filter_attributes`, and for a rule of comparison that needs a server.
    """
    filter_attributes(text)
    return _predicate(text, 0)[0]


def _predicate(text: str, at: int) -> tuple[Predicate, int]:
    at += 1
    sign = text[at]
    if sign in "&|!":
        parts = []
        at += 1
        while text[at] == "(":
            part, at = _predicate(text, at)
            parts.append(part)
        if sign == "!":
            return (lambda entry: not parts[0](entry)), at + 1
        combined = all if sign == "&" else any
        return (lambda entry: combined(part(entry) for part in parts)), at + 1
    item = _ITEM.match(text, at)
    assert item is not None, "the filter was checked"
    return _comparison(item[0]), item.end() + 1


def _comparison(item: str) -> Predicate:
    match = re.match(r"([^=<>~:]*)(:[^=]*)?([<>~:]?=)(.*)\Z", item, re.DOTALL)
    assert match is not None, "the filter was checked"
    name, rule, sign, written = match[1].lower(), match[2] or "", match[3], match[4]
    if rule or sign == ":=":
        return _of_bits(name, (rule or "").strip(":"), written, item)
    if sign in (">=", "<="):
        return _ordered(name, written, is_least=sign == ">=")
    if written == "*" and sign == "=":
        return lambda entry: bool(_values(entry, name))
    parts = written.split("*") if sign == "=" else [written]
    if len(parts) > 1:
        folded = [_folded(_unescaped(part)) for part in parts]
        pattern = re.compile(".*".join(map(re.escape, folded)), re.DOTALL)
        return lambda entry: any(pattern.fullmatch(_folded(value)) for value in _values(entry, name))
    exact = _unescaped(written)
    text = _folded(exact)
    return lambda entry: any(value == exact or _folded(value) == text for value in _values(entry, name))


def _ordered(name: str, written: str, *, is_least: bool) -> Predicate:
    limit = _unescaped(written)

    def compare(value: bytes) -> bool:
        if _WHOLE.fullmatch(value) and _WHOLE.fullmatch(limit):
            return int(value) >= int(limit) if is_least else int(value) <= int(limit)
        return _folded(value) >= _folded(limit) if is_least else _folded(value) <= _folded(limit)

    return lambda entry: any(map(compare, _values(entry, name)))


def _of_bits(name: str, rule: str, written: str, item: str) -> Predicate:
    mask = _unescaped(written)
    if rule not in (_BITS_AND, _BITS_OR) or not name or not _WHOLE.fullmatch(mask):
        raise ValueError(f'"{item}" compares by a rule that needs a server')
    bits = int(mask)

    def compare(value: bytes) -> bool:
        if not _WHOLE.fullmatch(value):
            return False
        return int(value) & bits == bits if rule == _BITS_AND else bool(int(value) & bits)

    return lambda entry: any(map(compare, _values(entry, name)))


def _values(entry: Entry, name: str) -> Sequence[bytes]:
    """The values of an attribute; without options in its name, those with options too."""
    values = entry.get(name)
    if values is not None:
        return values
    return [value for other, values in entry.items() if other.startswith(f"{name};") for value in values]


def _unescaped(written: str) -> bytes:
    parts = _ESCAPE.split(written)
    return b"".join(bytes.fromhex(part) if number % 2 else part.encode() for number, part in enumerate(parts))


def _folded(value: bytes) -> str:
    return " ".join(value.decode("utf-8", "replace").casefold().split())
