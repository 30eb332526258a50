"""The entries of a file of content, as files of changes leave them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

from attrs import define, field

from deltamark.domain.synchronization.distinguished_names import (
    canonical_name,
    naming_values,
    relative_name,
    relative_names,
)
from deltamark.infrastructure.ldap.ldif.changes import (
    ADD,
    DELETE,
    INCREMENT,
    MODIFY,
    RENAME,
    REPLACE,
    Change,
    NewName,
    Step,
)
from deltamark.infrastructure.ldap.ldif.names import name_key
from deltamark.infrastructure.ldap.ldif.reader import Attributes

_TRIED = {DELETE: "deleted", MODIFY: "modified", RENAME: "renamed"}


class ChangeError(Exception):
    """A change that cannot be read, or does not fit; its text is a clause."""


@define
class Entry:
    """An entry that changes name.

    :ivar origin: the last change of it: the file and the line.
    """

    name: bytes
    attributes: Attributes
    origin: str = ""


@define
class ChangedEntries:
    """Applies changes to entries in the order in which they happened; keeps in memory only those that changes name."""

    _wanted: frozenset[str]
    _named: set[str] = field(factory=set)
    _parents: set[str] = field(factory=set)
    _entries: dict[str, Entry] = field(factory=dict)

    def name(self, change: Change) -> None:
        """Takes note of the entries that a change names. All changes are named before entries are read."""
        key = _key(change.name)
        self._named.add(key)
        if change.new_name is not None:
            new_key = _key(_renamed(change.name, change.new_name))
            self._named.add(new_key)
            self._parents.add(new_key)
        if change.new_name is not None or change.with_all_below:
            self._parents.add(key)

    def concern(self, key: str) -> bool:
        """Whether a change may concern what has a name."""
        return key in self._named or (bool(self._parents) and self._is_below(key))

    def others(self, entries: Iterable[tuple[bytes, Attributes]]) -> Iterator[tuple[bytes, Attributes]]:
        """Keeps the entries that changes name, and yields all others.

        :raises ChangeError: if two of them have one name.
        """
        for name, attributes in entries:
            key = name_key(name)
            if key is None or not self.concern(key):
                yield name, attributes
                continue
            if key in self._entries:
                raise ChangeError(f"two records have the name {key}")
            self._entries[key] = Entry(name, attributes)

    def apply(self, change: Change, origin: str) -> None:
        """Applies a change.

        :param origin: its file and line.
        :raises ChangeError: if it does not fit to the entries as they are.
        """
        key = _key(change.name)
        entry = self._entries.get(key)
        if change.kind == ADD:
            self._add(key, change, origin)
        elif entry is None:
            raise ChangeError(f"{key} is {_TRIED[change.kind]}, and is not there")
        elif change.kind == DELETE:
            del self._entries[key]
            if change.with_all_below:
                for below in [other for other in self._entries if other.endswith(f",{key}")]:
                    del self._entries[below]
        else:
            entry.origin = origin
            try:
                if change.new_name is None:
                    entry.attributes = _modified(entry.attributes, change.steps)
                else:
                    self._rename(key, entry, change.new_name)
            except ValueError as error:
                raise ChangeError(f"{error} (of {key})") from error

    @property
    def result(self) -> Iterable[Entry]:
        """The entries that changes name, as they are after what was applied."""
        return self._entries.values()

    def _is_below(self, key: str) -> bool:
        at = key.find(",")
        while at >= 0:
            if key[at + 1 :] in self._parents:
                return True
            at = key.find(",", at + 1)
        return False

    def _add(self, key: str, change: Change, origin: str) -> None:
        if key in self._entries:
            raise ChangeError(f"{key} is added, and is there already")
        assert change.attributes is not None, "what is added has attributes"
        attributes = {name: list(values) for name, values in change.attributes.items()}
        self._entries[key] = Entry(change.name, attributes, origin)

    def _rename(self, key: str, entry: Entry, new_name: NewName) -> None:
        name = _renamed(entry.name, new_name)
        new_key = _key(name)
        if new_key != key and new_key in self._entries:
            raise ChangeError(f"{key} is renamed to {new_key}, which is there already")
        entry.attributes = self._with_new_name(entry, new_name)
        length, below = len(key), f",{key}"
        for other in [other for other in self._entries if other.endswith(below)]:
            lower = self._entries.pop(other)
            lower.name = _moved(lower.name, len(relative_names(key)), name)
            lower.origin = entry.origin
            self._entries[other[:-length] + new_key] = lower
        entry.name = name
        self._entries[new_key] = self._entries.pop(key)

    def _with_new_name(self, entry: Entry, new_name: NewName) -> Attributes:
        """The attributes of a renamed entry: those of its relative name change with it."""
        attributes = dict(entry.attributes)
        old, _ = relative_name(entry.name.decode())
        if not new_name.keeps_values:
            for attribute, value in self._naming(old):
                attributes[attribute] = [item for item in attributes.get(attribute, ()) if not _are_equal(item, value)]
        for attribute, value in self._naming(new_name.relative.decode()):
            values = attributes.get(attribute, [])
            if not any(_are_equal(item, value) for item in values):
                attributes[attribute] = [*values, value]
        return {attribute: values for attribute, values in attributes.items() if values}

    def _naming(self, relative: str) -> list[tuple[str, bytes]]:
        canonical = canonical_name(relative) or ""
        pairs = ((kind.lower(), value.encode()) for kind, value in naming_values(canonical))
        return [pair for pair in pairs if pair[0] in self._wanted]


def _key(name: bytes) -> str:
    try:
        key = name_key(name)
    except UnicodeDecodeError as error:
        raise ChangeError("a name is not text in UTF-8") from error
    if key is None:
        raise ChangeError(f"{name.decode()!r} is no distinguished name")
    return key


def _renamed(name: bytes, new_name: NewName) -> bytes:
    parent = new_name.parent
    if parent is None:
        try:
            parent = relative_name(name.decode())[1].encode()
        except UnicodeDecodeError as error:
            raise ChangeError("a name is not text in UTF-8") from error
    return b",".join(filter(None, (new_name.relative, parent)))


def _moved(name: bytes, levels: int, parent: bytes) -> bytes:
    """The name of what is below a renamed entry.

    :param levels: how many relative names the entry had.
    """
    kept, rest = [], name.decode()
    for _ in range(len(relative_names(_key(name))) - levels):
        relative, rest = relative_name(rest)
        kept.append(relative)
    return b",".join([*(part.encode() for part in kept), parent])


def _modified(attributes: Attributes, steps: Iterable[Step]) -> Attributes:
    """The attributes after a modification.

    :raises ValueError: if it does not fit, as a clause.
    """
    changed = dict(attributes)
    for step in steps:
        if not step.attribute:
            continue
        values = _OPERATIONS[step.operation](changed.get(step.attribute, []), step)
        if values:
            changed[step.attribute] = values
        else:
            changed.pop(step.attribute, None)
    return changed


def _added(values: list[bytes], step: Step) -> list[bytes]:
    present = set(values)
    for value in step.values:
        if value in present:
            raise ValueError(f"a value of {step.attribute} is added, and is there already")
        present.add(value)
    return [*values, *step.values]


def _without(values: list[bytes], step: Step) -> list[bytes]:
    if not values:
        raise ValueError(f"{step.attribute} is deleted, and has no value")
    if not step.values:
        return []
    kept = list(values)
    for value in step.values:
        found = value if value in kept else next((item for item in kept if _are_equal(item, value)), None)
        if found is None:
            raise ValueError(f"a value of {step.attribute} is deleted, and is not there")
        kept.remove(found)
    return kept


def _replaced(values: list[bytes], step: Step) -> list[bytes]:
    return list(step.values)


def _incremented(values: list[bytes], step: Step) -> list[bytes]:
    try:
        by = int(step.values[0])
        return [str(int(value) + by).encode() for value in values]
    except ValueError as error:
        raise ValueError(f"{step.attribute} is incremented, and is no number") from error


_OPERATIONS: dict[str, Callable[[list[bytes], Step], list[bytes]]] = {
    ADD: _added,
    DELETE: _without,
    REPLACE: _replaced,
    INCREMENT: _incremented,
}


def _are_equal(value: bytes, other: bytes) -> bool:
    """Whether two values are equal without regard to letter case, or as names of entries: a file has no schema."""
    if value == other:
        return True
    try:
        return value.decode().casefold() == other.decode().casefold() or _as_name(value) == _as_name(other) is not None
    except UnicodeDecodeError:
        return False


def _as_name(value: bytes) -> str | None:
    return name_key(value) if b"=" in value else None
