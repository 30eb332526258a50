"""The records of files of changes (RFC 2849): what happened to which entry."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NoReturn

from attrs import frozen

from deltamark.domain.values import shown
from deltamark.infrastructure.ldap.ldif.reader import TWO_NAMES, Attributes, LdifReader

ADD, DELETE, MODIFY, RENAME = "add", "delete", "modify", "modrdn"
REPLACE, INCREMENT = "replace", "increment"

_OPERATIONS = (ADD, DELETE, REPLACE, INCREMENT)
_KINDS = {b"add": ADD, b"delete": DELETE, b"modify": MODIFY, b"modrdn": RENAME, b"moddn": RENAME}
_WITH_ALL_BELOW = b"1.2.840.113556.1.4.805"
_LONGEST_EXCERPT = 60


@frozen
class Step:
    """One step of a modification.

    :param operation: `ADD`, `DELETE`, `REPLACE` or `INCREMENT`.
    :param attribute: in lower case; empty where it is not wanted.
    """

    operation: str
    attribute: str
    values: Sequence[bytes]


@frozen
class NewName:
    """What an entry is called from now on.

    :param relative: its relative name.
    :param keeps_values: whether the values of the relative name before stay.
    :param parent: the name of its new parent; None where it stays where it is.
    """

    relative: bytes
    keeps_values: bool
    parent: bytes | None


@frozen(kw_only=True)
class Change:
    """What happened to one entry.

    :param line: where it begins in its file.
    :param attributes: of an entry that was added.
    :param steps: of a modification, in their order.
    :param new_name: of an entry that was renamed or moved.
    :param with_all_below: whether what is below a deleted entry was deleted with it.
    """

    name: bytes
    line: int
    kind: str
    attributes: Attributes | None = None
    steps: Sequence[Step] = ()
    new_name: NewName | None = None
    with_all_below: bool = False


def changes_in(reader: LdifReader) -> Iterator[Change]:
    """Yields the changes of a file in their order.

    :raises LdifError: with the line, for a file that is anything else.
    """
    for lines in reader.pieces():
        yield _Record(reader, lines).change()


class _Record:
    """The lines of one record, read from the first one on."""

    def __init__(self, reader: LdifReader, lines: Sequence[bytes]) -> None:
        self._reader = reader
        self._lines = list(lines)
        self._next = 0

    def change(self) -> Change:
        """The change that the record is."""
        name = self._value(b"dn")
        with_all_below = False
        while self._is(b"control"):
            with_all_below |= self._is_deletion_of_all_below()
        line = self._line()
        kind = _KINDS.get(self._value(b"changetype").lower())
        if kind is None:
            self._refuse(line, f"the changetype is none of {', '.join(item.decode() for item in _KINDS)}")
        if with_all_below and kind != DELETE:
            self._refuse(line, "it has the control of deletions, and deletes nothing")
        change = Change(
            name=name,
            line=self._reader.line,
            kind=kind,
            attributes=self._attributes() if kind == ADD else None,
            steps=self._steps() if kind == MODIFY else (),
            new_name=self._new_name() if kind == RENAME else None,
            with_all_below=with_all_below,
        )
        if self._next < len(self._lines):
            self._refuse(self._line(), f"a record of the changetype {kind} ends before this line")
        return change

    def _is(self, name: bytes) -> bool:
        if self._next >= len(self._lines):
            return False
        return self._lines[self._next].partition(b":")[0].lower() == name

    def _line(self) -> bytes:
        return self._lines[min(self._next, len(self._lines) - 1)]

    def _value(self, name: bytes) -> bytes:
        """The value of the next line."""
        line = self._line()
        if not self._is(name) or b":" not in line:
            self._refuse(line, f"{name.decode()}: is expected in the place of {_excerpt(line)}")
        self._next += 1
        return self._reader.value(line.partition(b":")[2], line)

    def _is_deletion_of_all_below(self) -> bool:
        line = self._line()
        identifier, _, rest = self._value(b"control").partition(b" ")
        if identifier == _WITH_ALL_BELOW:
            return True
        if rest.lower().startswith(b"true"):
            self._refuse(line, f"the control {_excerpt(identifier)} is not known")
        return False

    def _attributes(self) -> Attributes:
        attributes: Attributes = {}
        first = self._next
        for line in self._lines[first:]:
            key, value = self._reader.attribute(line)
            if key:
                attributes.setdefault(key, []).append(value)
        if first == len(self._lines):
            self._refuse(self._line(), "an entry without attributes is added")
        if "dn" in attributes:
            self._refuse(self._lines[0], TWO_NAMES)
        self._next = len(self._lines)
        return attributes

    def _steps(self) -> list[Step]:
        steps = []
        while self._next < len(self._lines):
            line = self._line()
            operation = line.partition(b":")[0].lower().decode("ascii", "replace")
            if operation not in _OPERATIONS:
                self._refuse(
                    line, f"add:, delete:, replace: or increment: is expected in the place of {_excerpt(line)}"
                )
            written = self._value(operation.encode()).rstrip(b" ")
            attribute = self._reader.name(written, line)
            values = self._values_of_step(written)
            if not values and operation in (ADD, INCREMENT):
                self._refuse(line, f"{operation} has no value")
            steps.append(Step(operation, attribute, values))
        return steps

    def _values_of_step(self, attribute: bytes) -> list[bytes]:
        values = []
        while self._next < len(self._lines):
            line = self._line()
            if line == b"-":
                self._next += 1
                break
            if not self._is(attribute.lower()):
                self._refuse(
                    line, f"a value of {_excerpt(attribute)}, or -, is expected in the place of {_excerpt(line)}"
                )
            self._next += 1
            values.append(self._reader.value(line.partition(b":")[2], line))
        return values

    def _new_name(self) -> NewName:
        relative = self._value(b"newrdn")
        line = self._line()
        old = self._value(b"deleteoldrdn").strip(b" ")
        if old not in (b"0", b"1"):
            self._refuse(line, "deleteoldrdn is neither 0 nor 1")
        parent = self._value(b"newsuperior") if self._is(b"newsuperior") else None
        return NewName(relative, old == b"0", parent)

    def _refuse(self, line: bytes, reason: str) -> NoReturn:
        self._reader.fail_in(line, reason)


def _excerpt(text: bytes) -> str:
    return shown(text[:_LONGEST_EXCERPT].decode("utf-8", "replace"))
