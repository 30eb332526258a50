"""Changes as LDIF change records (RFC 2849), by the distinguished name that a property holds."""

from __future__ import annotations

import base64
import re
from collections.abc import Iterator

from attrs import frozen

from deltamark.application.ports.sinks import SinkConnection
from deltamark.domain.configuration.packages import OBJECT_CLASS, associations_at_sink, listed
from deltamark.domain.sinks.batch import Batch, Link, OutgoingChange
from deltamark.domain.synchronization.distinguished_names import (
    canonical_name,
    naming_values,
    relative_name,
    relative_names,
)
from deltamark.domain.values import Value
from deltamark.infrastructure.sinks.files import End, RefusedChange

_WIDTH = 76
_SAFE = re.compile(rb"[\x01-\x09\x0b\x0c\x0e-\x1f\x21-\x39\x3b\x3d-\x7f][\x01-\x09\x0b\x0c\x0e-\x7f]*\Z")
"""SAFE-STRING of RFC 2849: no blank, colon or less-than first, no NUL, LF or CR, only ASCII."""

_END = re.compile(rb"# end count=(\d+) until=(\d+) store=(\S+) sha256=([0-9a-f]{64})\Z")
_BYTES = frozenset({"Bytes", "Binary"})
_TIME = re.compile(r"(\d{4})-(\d\d)-(\d\d)(?:T(\d\d):(\d\d):(\d\d)(\.\d+)?Z)?\Z")
_DATES = frozenset({"DateTime", "Date"})


@frozen
class Ldif:
    """Change records, one after the other; a comment before each says which change it is."""

    connection: SinkConnection
    ending: str = ".ldif"

    def head(self, batch: Batch) -> bytes:
        """The version of the format."""
        return b"version: 1\n"

    def change(self, change: OutgoingChange) -> bytes:
        """The records of one change; a comment for a gap, which is no record.

        :raises RefusedChange: for a resource without a distinguished name, or with one that is none.
        """
        lines = [f"\n# {change.id} {change.at.isoformat()}".encode()]
        if change.gap is not None:
            gap = change.document()
            lines.append(_comment(f"gap: {gap['subject'] or 'changes'} up to position {gap['until']} {gap['because']}"))
        elif change.link is not None:
            lines += self._linked(change, change.link)
        else:
            lines += self._records(change)
        return b"\n".join(lines) + b"\n"

    def end(self, end: End) -> bytes:
        """A comment with the end."""
        return f"# end count={end.count} until={end.until} store={end.store} sha256={end.digest}\n".encode()

    def read_end(self, line: bytes) -> End | None:
        """The end that a comment says."""
        match = _END.match(line)
        if match is None:
            return None
        count, until, store, digest = (part.decode() for part in match.groups())
        return End(store=store, until=int(until), count=int(count), digest=digest)

    def _linked(self, change: OutgoingChange, link: Link) -> Iterator[bytes]:
        owner, other = _canonical(change.name_after), _canonical(link.other_name)
        if owner is None or other is None:
            raise RefusedChange("one end of the link has no distinguished name")
        (attribute,) = (
            attribute
            for table in self.connection.tables
            if table.identifier == change.table
            for attribute, association in associations_at_sink(table).items()
            if association == link.association
        )
        yield from (_line("dn", change.name_after), b"changetype: modify")
        yield _line("add" if change.kind == "linked" else "delete", attribute)
        yield from (_line(attribute, link.other_name), b"-")

    def _records(self, change: OutgoingChange) -> Iterator[bytes]:
        before, after = _canonical(change.name_before), _canonical(change.name_after)
        if before is None and after is None:
            raise RefusedChange("the resource has no distinguished name")
        if after is None:
            yield from (_line("dn", change.name_before), b"changetype: delete")
            return
        if before is None:
            yield from self._add(change, after)
            return
        if before != after:
            yield from _renamed(change, before, after)
        modified = list(self._modified(change, after))
        if modified:
            yield from ([b""] if before != after else [])
            yield from (_line("dn", change.name_after), b"changetype: modify", *modified)
        elif before == after:
            yield _comment("nothing that the entry has was changed")

    def _add(self, change: OutgoingChange, name: str) -> Iterator[bytes]:
        yield from (_line("dn", change.name_after), b"changetype: add")
        for table in self.connection.tables:
            if table.identifier == change.table:
                yield from (_line("objectClass", kind) for kind in listed(table, OBJECT_CLASS))
        values = {name: value for name, value in change.after.items() if value not in (None, "")}
        for attribute, value in values.items():
            yield self._value(change, attribute, value)
        given = {(attribute.lower(), str(value)) for attribute, value in values.items()}
        for attribute, text in naming_values(relative_names(name)[0]):
            if (attribute.lower(), text) not in given:  # an entry has the values that name it
                yield _line(attribute, text)

    def _modified(self, change: OutgoingChange, name: str) -> Iterator[bytes]:
        """The values that differ, but for those that name the entry: they follow from its name.

        :raises RefusedChange: if one of them does not.
        """
        naming = {attribute.lower(): text for attribute, text in naming_values(relative_names(name)[0])}
        for attribute, values in change.changes.items():
            if attribute.lower() in naming:
                if str(values.after) != naming[attribute.lower()]:
                    raise RefusedChange(f"{attribute} names the entry, and is not what its distinguished name says")
                continue
            yield _line("replace", attribute)
            if values.after not in (None, ""):
                yield self._value(change, attribute, values.after)
            yield b"-"

    def _value(self, change: OutgoingChange, name: str, value: Value) -> bytes:
        kind = self.connection.types.get(change.table, {}).get(name, "")
        if kind in _BYTES and isinstance(value, str):
            return _folded(f"{name}:: {value}".encode())
        if isinstance(value, bool):
            return _line(name, str(value).upper())
        if kind in _DATES and isinstance(value, str):
            return _line(name, _generalized(value))
        return _line(name, str(value))


def _renamed(change: OutgoingChange, before: str, after: str) -> Iterator[bytes]:
    lowest, parent = relative_name(change.name_after or "")  # as it is spelled
    yield from (_line("dn", change.name_before), b"changetype: modrdn", _line("newrdn", lowest), b"deleteoldrdn: 1")
    if relative_names(before)[1:] != relative_names(after)[1:]:
        yield _line("newsuperior", parent)


def _line(name: str, value: str | None) -> bytes:
    """A line with a value, in base64 where it is not safe, folded."""
    data = (value or "").encode()
    safe = not data or (_SAFE.match(data) is not None and not data.endswith(b" "))
    text = data if safe else base64.b64encode(data)
    return _folded(name.encode() + (b": " if safe else b":: ") + text)


def _folded(line: bytes) -> bytes:
    pieces = [line[:_WIDTH]]
    pieces += [b" " + line[start : start + _WIDTH - 1] for start in range(_WIDTH, len(line), _WIDTH - 1)]
    return b"\n".join(pieces)


def _comment(text: str) -> bytes:
    return f"# {text}".encode()


def _generalized(text: str) -> str:
    """A date as GeneralizedTime."""
    match = _TIME.match(text)
    if match is None:
        return text
    year, month, day, hour, minute, second, fraction = match.groups()
    return f"{year}{month}{day}{hour or '00'}{minute or '00'}{second or '00'}{fraction or ''}Z"


def _canonical(text: str | None) -> str | None:
    """A distinguished name in the form by which two are compared; None where there is none.

    :raises RefusedChange: if it is no such name.
    """
    if text is None or not text.strip():
        return None
    name = canonical_name(text)
    if name is None:
        raise RefusedChange("the distinguished name of the resource cannot be read")
    return name
