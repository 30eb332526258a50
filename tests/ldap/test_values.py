"""Values of directories as texts."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deltamark.infrastructure.ldap.values import DERIVED, conversion, dn_text, guid_of_dn

DIRECTORY = "1.3.6.1.4.1.1466.115.121.1."
TEXT, TIME, BOOLEAN, OCTETS, DN = (f"{DIRECTORY}{number}" for number in (15, 24, 7, 40, 12))
GUID = bytes.fromhex("6f0e6a8a2b1c4d4e9f8a000102030405")


@pytest.mark.parametrize(
    ("attribute", "syntax", "value", "text"),
    [
        ("objectGUID", OCTETS, GUID, "8a6a0e6f-1c2b-4e4d-9f8a-000102030405"),
        ("msExchMailboxGuid", OCTETS, GUID, "8a6a0e6f-1c2b-4e4d-9f8a-000102030405"),
        ("objectSid", OCTETS, bytes.fromhex("010100000000000512000000"), "S-1-5-18"),
        (
            "objectSid",
            OCTETS,
            bytes.fromhex("010500000000000515000000dcf4dc3b833d2b46828ba62800020000"),
            "S-1-5-21-1004336348-1177238915-682003330-512",
        ),
        (
            "entryUUID",
            "1.3.6.1.1.16.1",
            b"b156c0ee-8112-1041-9197-092fe0f7130c",
            "b156c0ee-8112-1041-9197-092fe0f7130c",
        ),
        ("accountExpires", "1.2.840.113556.1.4.906", b"0", None),
        ("accountExpires", "1.2.840.113556.1.4.906", b"9223372036854775807", None),
        ("pwdLastSet", "1.2.840.113556.1.4.906", b"133801234567890123", "2024-12-31T12:57:36.789012Z"),
        ("pwdLastSet", "1.2.840.113556.1.4.906", b"1", "1601-01-01T00:00:00Z"),
        ("uSNChanged", "1.2.840.113556.1.4.906", b"133801234567890123", "133801234567890123"),
        ("whenCreated", TIME, b"20261130135637.0Z", "2026-11-30T13:56:37Z"),
        ("createTimestamp", TIME, b"20261130135637Z", "2026-11-30T13:56:37Z"),
        ("t", TIME, b"20261130135637.123456789Z", "2026-11-30T13:56:37.123456Z"),
        ("t", TIME, b"202611301356+0130", "2026-11-30T12:26:00Z"),
        ("t", TIME, b"2026113013-05", "2026-11-30T18:00:00Z"),
        ("t", TIME, b"2026113013,5Z", "2026-11-30T13:30:00Z"),
        ("t", TIME, b"20240229235960Z", "2024-03-01T00:00:00Z"),
        ("t", TIME, b"00010101000000Z", "0001-01-01T00:00:00Z"),
        ("t", f"{DIRECTORY}53", b"261130135637Z", "2026-11-30T13:56:37Z"),
        ("msNPAllowDialin", BOOLEAN, b"TRUE", "true"),
        ("thumbnailPhoto", OCTETS, b"\xff\xd8\x00", "/9gA"),
        ("userCertificate;binary", f"{DIRECTORY}8", b"0\x82", "MII="),
        ("manager", DN, "<GUID=0a>;<SID=1>;CN=Ö,DC=x".encode(), "CN=Ö,DC=x"),
        ("displayName", TEXT, "Łukasz\u202e".encode(), "Łukasz\u202e"),
    ],
)
def test_a_value_becomes_the_text_of_its_attribute(attribute: str, syntax: str, value: bytes, text: str | None) -> None:
    assert conversion(attribute, syntax)(value) == text


@pytest.mark.parametrize(
    ("attribute", "syntax", "value"),
    [
        ("objectGUID", OCTETS, b"short"),
        ("objectSid", OCTETS, b"\x01\x05\x00"),
        ("objectSid", OCTETS, b"\x02\x01\0\0\0\0\0\x05\x12\0\0\0"),
        ("pwdLastSet", "", b"-5"),
        ("pwdLastSet", "", b"soon"),
        ("t", TIME, b"20261330135637Z"),
        ("t", TIME, b"20261130135637"),
        ("t", TIME, b"00010101000000+14"),
        ("flag", BOOLEAN, b"maybe"),
        ("cn", TEXT, b"\xff"),
        ("cn", TEXT, b"a\0b"),
    ],
)
def test_a_value_that_is_not_of_its_form_is_refused(attribute: str, syntax: str, value: bytes) -> None:
    with pytest.raises(ValueError, match=r"^(is|has) "):
        conversion(attribute, syntax)(value)


@given(
    st.binary(max_size=40),
    st.sampled_from(["objectGUID", "objectSid", "pwdLastSet", "cn", "x"]),
    st.sampled_from([TEXT, TIME, BOOLEAN, OCTETS, DN]),
)
def test_any_bytes_become_a_text_or_are_refused(value: bytes, attribute: str, syntax: str) -> None:
    try:
        text = conversion(attribute, syntax)(value)
    except ValueError:
        return
    assert text is None or "\0" not in text


@pytest.mark.parametrize(
    ("column", "value", "text"),
    [
        ("uac.disabled", b"514", "true"),
        ("uac.disabled", b"512", "false"),
        ("uac.passwordneverexpires", b"66048", "true"),
        ("uac.locked", b"133801234567890123", "true"),
        ("uac.locked", b"0", "false"),
        ("grouptype.scope", b"-2147483646", "global"),
        ("grouptype.scope", b"8", "universal"),
        ("grouptype.security", b"-2147483646", "true"),
        ("grouptype.security", b"2", "false"),
    ],
)
def test_parts_of_flags_are_columns(column: str, value: bytes, text: str) -> None:
    assert DERIVED[column].convert(value) == text


def test_the_guid_of_a_name_is_read_and_a_name_without_one_is_refused() -> None:
    name = b"<GUID=8A6A0E6F-1c2b-4e4d-9f8a-000102030405>;<SID=S-1-5-21-1>;CN=<GUID=x>;y,DC=x"

    assert guid_of_dn(name) == "8a6a0e6f-1c2b-4e4d-9f8a-000102030405"
    assert dn_text(name) == "CN=<GUID=x>;y,DC=x"
    with pytest.raises(ValueError, match="without a GUID"):
        guid_of_dn(b"CN=x")
