"""The LDAP controls of the readers, requests and answers, in the form in which `python-ldap` takes them.

`python-ldap` drops the answers of controls that it does not know. `RESPONSES` is handed to each of its calls.
"""

from __future__ import annotations

import uuid
from abc import ABC, abstractmethod
from collections.abc import Sequence

from deltamark.infrastructure.ldap import ber

PAGED = "1.2.840.113556.1.4.319"
DIRSYNC = "1.2.840.113556.1.4.841"
EXTENDED_DN = "1.2.840.113556.1.4.529"
SHOW_DELETED = "1.2.840.113556.1.4.417"
DOMAIN_SCOPE = "1.2.840.113556.1.4.1339"
MATCHED_VALUES = "1.2.826.0.1.3344810.2.3"
SYNC_REQUEST = "1.3.6.1.4.1.4203.1.9.1.1"
SYNC_STATE = "1.3.6.1.4.1.4203.1.9.1.2"
SYNC_DONE = "1.3.6.1.4.1.4203.1.9.1.3"
SYNC_INFO = "1.3.6.1.4.1.4203.1.9.1.4"

ANCESTORS_FIRST = 0x800
OBJECT_SECURITY = 0x1
INCREMENTAL_VALUES = 0x80000000

_REFRESH_ONLY = 1
_STATE_DELETE, _ADDED_OR_MODIFIED = 3, b"\x01\x02"
_UUID_SIZE, _UUID_BEGIN = 16, b"\x04\x10"
_STATE_SIZE, _STATE_BEGIN = 23, b"\x30\x15\x0a\x01"
"""How the state of an entry is encoded that has no cookie."""
_NEW_COOKIE, _REFRESH_DELETE, _REFRESH_PRESENT, _ID_SET = 0x80, 0xA1, 0xA2, 0xA3


class Request:
    """A control of a request, with its encoded value."""

    def __init__(self, oid: str, value: bytes | None = None, *, criticality: bool = True) -> None:
        self.controlType = oid
        self.criticality = criticality
        self._value = value

    def encodeControlValue(self) -> bytes | None:  # noqa: N802 (the name that python-ldap calls)
        """Returns the encoded value."""
        return self._value


def paged(size: int, cookie: bytes) -> Request:
    """Asks for the next page (RFC 2696)."""
    return Request(PAGED, ber.sequence(ber.integer(size), ber.octets(cookie)))


def dirsync(flags: int, size: int, cookie: bytes) -> Request:
    """Asks Active Directory for what changed since a cookie.

    :param size: the greatest size of an answer, in bytes.
    """
    signed = flags - (1 << 32) if flags >= 1 << 31 else flags
    return Request(DIRSYNC, ber.sequence(ber.integer(signed), ber.integer(size), ber.octets(cookie)))


def extended_dn() -> Request:
    """Asks for distinguished names with the GUID of what they name, as text."""
    return Request(EXTENDED_DN, ber.sequence(ber.integer(1)))


def domain_scope() -> Request:
    """Asks Active Directory for no references to other domains."""
    return Request(DOMAIN_SCOPE, None, criticality=False)


def show_deleted() -> Request:
    """Asks Active Directory for deleted objects too."""
    return Request(SHOW_DELETED)


def sync_request(cookie: bytes | None) -> Request:
    """Asks for what changed since a cookie, or for everything (RFC 4533, refreshOnly)."""
    known = () if cookie is None else (ber.octets(cookie),)
    return Request(SYNC_REQUEST, ber.sequence(ber.integer(_REFRESH_ONLY, ber.ENUMERATED), *known))


class Answer(ABC):
    """A control of an answer."""

    controlType = ""  # noqa: N815 (the name that python-ldap sets)
    criticality = False

    @abstractmethod
    def decodeControlValue(self, encoded: bytes | None) -> None:  # noqa: N802 (the name that python-ldap calls)
        """Reads the value.

        :raises ValueError: if it cannot be read.
        """


class PagedAnswer(Answer):
    """Where the next page begins; an empty cookie after the last one."""

    cookie = b""

    def decodeControlValue(self, encoded: bytes | None) -> None:  # noqa: N802
        _size, (_tag, self.cookie) = _exactly(ber.members(encoded or b""), 2)


class DirSyncAnswer(Answer):
    """Where the next answer begins, and whether there is more now."""

    cookie = b""
    more = False

    def decodeControlValue(self, encoded: bytes | None) -> None:  # noqa: N802
        (_, flag), _size, (_, self.cookie) = _exactly(ber.members(encoded or b""), 3)
        self.more = ber.number(flag) != 0


class SyncState(Answer):
    """What an entry of a refresh is: added or modified, still there, or deleted."""

    deleted = False
    _identity = bytes(16)

    def decodeControlValue(self, encoded: bytes | None) -> None:  # noqa: N802
        if encoded is not None and len(encoded) == _STATE_SIZE and encoded.startswith(_STATE_BEGIN):
            self.deleted = encoded[len(_STATE_BEGIN)] == _STATE_DELETE  # one comes with each entry
            identity = encoded[-_UUID_SIZE:] if encoded[-_UUID_SIZE - 2 : -_UUID_SIZE] == _UUID_BEGIN else b""
        else:
            (_, state), (_, identity), *_cookie = ber.members(encoded or b"")
            self.deleted = ber.number(state) == _STATE_DELETE
        if len(identity) != _UUID_SIZE:
            raise ValueError("the answer of the server has an entryUUID of another size")
        self._identity = identity

    @property
    def entry_uuid(self) -> str:
        """The entry."""
        return str(uuid.UUID(bytes=self._identity))


def all_added(answers: Sequence[Sequence[tuple[str, bool, bytes | None]]]) -> bool:
    """Whether each entry has one control, in the usual form, which says that it was added or modified.

    Where it has not, the controls are read one by one.
    """
    try:
        states = b"".join([value for ((oid, _, value),) in answers if oid == SYNC_STATE and len(value) == _STATE_SIZE])  # type: ignore[arg-type, misc]  # None is no bytes: TypeError
    except (TypeError, ValueError):
        return False
    usual = {**dict(enumerate(_STATE_BEGIN)), **dict(enumerate(_UUID_BEGIN, start=len(_STATE_BEGIN) + 1))}
    return (
        len(states) == len(answers) * _STATE_SIZE
        and all(states[place::_STATE_SIZE] == bytes([byte]) * len(answers) for place, byte in usual.items())
        and not states[len(_STATE_BEGIN) :: _STATE_SIZE].translate(None, _ADDED_OR_MODIFIED)
    )


class SyncDone(Answer):
    """The end of a refresh: the next cookie, and whether deletions were named one by one."""

    cookie: bytes | None = None
    deletions_named = False

    def decodeControlValue(self, encoded: bytes | None) -> None:  # noqa: N802
        for tag, content in ber.members(encoded or b""):
            if tag == ber.OCTETS:
                self.cookie = content
            elif tag == ber.BOOLEAN:
                self.deletions_named = content != b"\x00"


class SyncInfo:
    """A message within a refresh.

    :ivar cookie: the newest cookie, if the message has one.
    :ivar present: whether it says what is still there, instead of what was deleted.
    :ivar deleted: the entryUUIDs of deleted entries.
    """

    def __init__(self, encoded: bytes) -> None:
        self.cookie: bytes | None = None
        self.present = False
        self.deleted: list[str] = []
        ((tag, content),) = _exactly(list(ber.elements(encoded)), 1)
        if tag == _NEW_COOKIE:
            self.cookie = content
            return
        identities: list[bytes] = []
        names_deletions = tag == _REFRESH_DELETE
        for inner, value in ber.elements(content):
            if inner == ber.OCTETS:
                self.cookie = value
            elif inner == ber.BOOLEAN and tag == _ID_SET:
                names_deletions = value != b"\x00"
            elif inner == 0x31:
                identities = [identity for _, identity in ber.elements(value)]
        self.present = tag == _REFRESH_PRESENT or (tag == _ID_SET and not names_deletions)
        if tag == _ID_SET and names_deletions:
            self.deleted = [str(uuid.UUID(bytes=identity)) for identity in identities]


def _exactly(found: list[tuple[int, bytes]], count: int) -> list[tuple[int, bytes]]:
    if len(found) != count:
        raise ValueError("the answer of the server is not of the expected form")
    return found


RESPONSES: dict[str, type[Answer]] = {
    PAGED: PagedAnswer,
    DIRSYNC: DirSyncAnswer,
    SYNC_STATE: SyncState,
    SYNC_DONE: SyncDone,
}
