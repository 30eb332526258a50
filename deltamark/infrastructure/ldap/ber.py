"""The part of BER (X.690) that the values of LDAP controls need."""

from __future__ import annotations

from collections.abc import Iterator

INTEGER, OCTETS, ENUMERATED, SEQUENCE, BOOLEAN = 0x02, 0x04, 0x0A, 0x30, 0x01

_LONG_LENGTH = 0x80
_LENGTH_BYTES = 4


def element(tag: int, content: bytes) -> bytes:
    """An element with a tag of one byte."""
    length = len(content)
    if length < _LONG_LENGTH:
        return bytes((tag, length)) + content
    octets = length.to_bytes((length.bit_length() + 7) // 8, "big")
    return bytes((tag, _LONG_LENGTH | len(octets))) + octets + content


def integer(number: int, tag: int = INTEGER) -> bytes:
    """An integer or an enumerated value."""
    return element(tag, number.to_bytes(number.bit_length() // 8 + 1, "big", signed=True))


def octets(content: bytes) -> bytes:
    """An octet string."""
    return element(OCTETS, content)


def boolean(value: bool) -> bytes:
    """A boolean."""
    return element(BOOLEAN, b"\xff" if value else b"\x00")


def sequence(*elements: bytes) -> bytes:
    """A sequence."""
    return element(SEQUENCE, b"".join(elements))


def elements(data: bytes) -> Iterator[tuple[int, bytes]]:
    """The tags and contents of the elements that follow each other in the data.

    :raises ValueError: if the data is cut off, or its lengths make no sense.
    """
    at = 0
    while at < len(data):
        header = data[at : at + 2]
        if len(header) < 2:
            raise ValueError("the answer of the server is cut off")
        tag, length = header
        at += 2
        if length >= _LONG_LENGTH:
            count = length - _LONG_LENGTH
            if not 0 < count <= _LENGTH_BYTES or at + count > len(data):
                raise ValueError("the answer of the server has a length that makes no sense")
            length = int.from_bytes(data[at : at + count], "big")
            at += count
        if at + length > len(data):
            raise ValueError("the answer of the server is cut off")
        yield tag, data[at : at + length]
        at += length


def members(data: bytes, tag: int = SEQUENCE) -> list[tuple[int, bytes]]:
    """The elements of the only sequence in the data.

    :raises ValueError: if the data is something else.
    """
    found = list(elements(data))
    if len(found) != 1 or found[0][0] != tag:
        raise ValueError("the answer of the server is not of the expected form")
    return list(elements(found[0][1]))


def number(content: bytes) -> int:
    """The value of an integer or an enumerated value."""
    return int.from_bytes(content, "big", signed=True)
