"""Values of directories as texts: identifiers, times, flags, bytes. None stands for no value."""

from __future__ import annotations

import base64
import re
import struct
import uuid
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

from attrs import frozen

Conversion = Callable[[bytes], str | None]
"""From a value to its text.

It raises `ValueError`, as a clause, if the value is not of the form of its attribute.
"""

_DIRECTORY = "1.3.6.1.4.1.1466.115.121.1."
DN_SYNTAX = f"{_DIRECTORY}12"
_DN_AND_NAME_SYNTAXES = frozenset({DN_SYNTAX, f"{_DIRECTORY}34"})
_TIME_SYNTAX, _UTC_TIME_SYNTAX = f"{_DIRECTORY}24", f"{_DIRECTORY}53"
_BOOLEAN_SYNTAX = f"{_DIRECTORY}7"
_BYTE_SYNTAXES = frozenset(
    {*(f"{_DIRECTORY}{number}" for number in (4, 5, 8, 9, 10, 23, 28, 40, 49)), "1.2.840.113556.1.4.907"}
)
_FILETIMES = frozenset(
    {
        "accountexpires",
        "badpasswordtime",
        "creationtime",
        "lastlogoff",
        "lastlogon",
        "lastlogontimestamp",
        "lastsettime",
        "lockouttime",
        "ms-mcs-admpwdexpirationtime",
        "msds-lastfailedinteractivelogontime",
        "msds-lastsuccessfulinteractivelogontime",
        "msds-userpasswordexpirytimecomputed",
        "mslaps-passwordexpirationtime",
        "priorsettime",
        "pwdlastset",
    }
)
_GUIDS = frozenset(
    {
        "attributesecurityguid",
        "invocationid",
        "msexcharchiveguid",
        "msexchmailboxguid",
        "objectguid",
        "parentguid",
        "schemaidguid",
    }
)
_SIDS = frozenset({"msds-creatorsid", "objectsid", "securityidentifier", "sidhistory", "tokengroups"})

_GENERALIZED = re.compile(
    r"(?P<date>\d{8})(?P<hour>\d{2})(?P<minute>[0-5]\d)?(?P<second>[0-5]\d|60)?"
    r"(?:[.,](?P<fraction>\d+))?(?P<zone>Z|[+-]\d{2}(?:[0-5]\d)?)"
)
_UTC_TIME = re.compile(r"(?P<year>\d{2})(?P<rest>\d{8}(?:\d{2})?(?:Z|[+-]\d{4}))")
_BEGIN_OF_FILETIME = datetime(1601, 1, 1, tzinfo=UTC)
_NEVER = frozenset({0, 2**63 - 1})
_LARGEST_FILETIME = int((datetime.max.replace(tzinfo=UTC) - _BEGIN_OF_FILETIME).total_seconds()) * 10**7
_HALF_OF_THE_CENTURY = 50
_GUID_OF_DN = re.compile(r"<GUID=([0-9A-Fa-f-]{32,36})>")
_PREFIX_OF_DN = re.compile(r"(?:<[A-Z]+=[^>]*>;)+")

DISABLED, NEVER_EXPIRES, NOT_REQUIRED, SMARTCARD = 0x2, 0x10000, 0x20, 0x40000
_ACCOUNT_FLAGS = {
    "uac.disabled": DISABLED,
    "uac.passwordneverexpires": NEVER_EXPIRES,
    "uac.passwordnotrequired": NOT_REQUIRED,
    "uac.smartcardrequired": SMARTCARD,
}
_SECURITY_GROUP = 0x80000000
_GROUP_SCOPES = {0x1: "builtin", 0x2: "global", 0x4: "domainLocal", 0x8: "universal"}


def conversion(name: str, syntax: str) -> Conversion:
    """Returns how values of an attribute become texts.

    :param name: the attribute, which may have options such as `;binary`.
    :param syntax: the OID of its syntax; empty if it is unknown.
    """
    name, _, options = name.lower().partition(";")
    if name in _GUIDS:
        return guid
    if name in _SIDS:
        return sid
    if name in _FILETIMES:
        return filetime
    if syntax == _TIME_SYNTAX:
        return generalized_time
    if syntax == _UTC_TIME_SYNTAX:
        return utc_time
    if syntax == _BOOLEAN_SYNTAX:
        return boolean
    if syntax in _BYTE_SYNTAXES or "binary" in options.split(";"):
        return base64_text
    if syntax in _DN_AND_NAME_SYNTAXES:
        return dn_text
    return text


def text(value: bytes) -> str | None:
    """A text in UTF-8."""
    try:
        decoded = value.decode()
    except UnicodeDecodeError:
        raise ValueError("is not text in UTF-8") from None
    if "\0" in decoded:
        raise ValueError("has a character NUL")
    return decoded


def boolean(value: bytes) -> str | None:
    """`true` or `false`."""
    word = value.decode("ascii", "replace").lower()
    if word not in {"true", "false"}:
        raise ValueError("is neither TRUE nor FALSE")
    return word


def base64_text(value: bytes) -> str | None:
    """Bytes as base64."""
    return base64.b64encode(value).decode()


def guid(value: bytes) -> str | None:
    """A GUID of Active Directory as text: its first three parts are stored with the last byte first."""
    if len(value) != 16:
        raise ValueError("is no GUID of 16 bytes")
    return str(uuid.UUID(bytes_le=value))


def sid(value: bytes) -> str | None:
    """A security identifier such as `S-1-5-21-…`."""
    if len(value) < 8 or len(value) != 8 + 4 * value[1] or value[0] != 1:
        raise ValueError("is no security identifier")
    parts = struct.unpack(f"<{value[1]}I", value[8:])
    return "-".join(("S", str(value[0]), str(int.from_bytes(value[2:8], "big")), *map(str, parts)))


def filetime(value: bytes) -> str | None:
    """A time that counts units of 100 ns since 1601, in ISO 8601; 0 and the greatest number are no time."""
    number = int(_whole(value))
    if number in _NEVER or number > _LARGEST_FILETIME:
        return None
    if number < 0:
        raise ValueError("is a negative time")
    seconds, rest = divmod(number, 10**7)
    return _iso(_BEGIN_OF_FILETIME + timedelta(seconds=seconds), f"{rest:07}")


def generalized_time(value: bytes) -> str | None:
    """A GeneralizedTime in ISO 8601, in UTC."""
    match = _GENERALIZED.fullmatch(value.decode("ascii", "replace"))
    if match is None:
        raise ValueError("is no time")
    try:
        moment = datetime.strptime(match["date"] + match["hour"], "%Y%m%d%H").replace(tzinfo=UTC)
        moment += timedelta(minutes=int(match["minute"] or 0), seconds=int(match["second"] or 0))
        digits = match["fraction"] or ""
        if digits and match["second"] is None:
            unit = 60 if match["minute"] else 3600
            part = int(digits) * unit * 10**6 // 10 ** len(digits)
            moment, digits = moment + timedelta(microseconds=part), ""
        zone = match["zone"]
        if zone != "Z":
            offset = timedelta(hours=int(zone[1:3]), minutes=int(zone[3:5] or 0))
            moment = moment - offset if zone[0] == "+" else moment + offset
    except (ValueError, OverflowError):
        raise ValueError("is no time") from None
    return _iso(moment, digits or f"{moment.microsecond:06}")


def utc_time(value: bytes) -> str | None:
    """A UTCTime, whose year has two digits, in ISO 8601, in UTC."""
    written = value.decode("ascii", "replace")
    match = _UTC_TIME.fullmatch(written)
    if match is None:
        raise ValueError("is no time")
    century = "20" if int(match["year"]) < _HALF_OF_THE_CENTURY else "19"
    return generalized_time(f"{century}{written}".encode())


def _iso(moment: datetime, fraction: str) -> str:
    fraction = fraction[:6].rstrip("0")
    return f"{moment:%Y-%m-%dT%H:%M:%S}".rjust(19, "0") + (f".{fraction}" if fraction else "") + "Z"


def _whole(value: bytes) -> str:
    written = value.decode("ascii", "replace")
    if not re.fullmatch(r"-?[0-9]{1,20}", written):
        raise ValueError("is no whole number")
    return written


def dn_text(value: bytes) -> str | None:
    """A distinguished name, without the identifiers that Active Directory puts before it."""
    written = text(value)
    return None if written is None else _PREFIX_OF_DN.sub("", written, count=1)


def guid_of_dn(value: bytes) -> str | None:
    """The GUID in a distinguished name of Active Directory with identifiers.

    :raises ValueError: if it has none.
    """
    match = _GUID_OF_DN.match(value.decode("utf-8", "replace"))
    if match is None:
        raise ValueError("is a name without a GUID")
    return str(uuid.UUID(match[1]))


@frozen
class Derived:
    """A column that is part of an attribute.

    :param absent: the text where the attribute has no value.
    """

    attribute: str
    convert: Conversion
    absent: str | None = None


def _flag(mask: int) -> Conversion:
    return lambda value: "true" if int(_whole(value)) & mask else "false"


def _scope(value: bytes) -> str | None:
    number = int(_whole(value))
    return next((scope for mask, scope in _GROUP_SCOPES.items() if number & mask), None)


DERIVED: dict[str, Derived] = {
    **{column: Derived("userAccountControl", _flag(mask)) for column, mask in _ACCOUNT_FLAGS.items()},
    "uac.locked": Derived("lockoutTime", lambda value: "true" if int(_whole(value)) else "false", absent="false"),
    "grouptype.scope": Derived("groupType", _scope),
    "grouptype.security": Derived("groupType", _flag(_SECURITY_GROUP)),
}
"""Columns of Active Directory that are parts of an attribute, in lower case."""
