"""The controls as bytes: what is asked, and answers that may be anything."""

from __future__ import annotations

from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deltamark.infrastructure.ldap import ber, controls
from deltamark.infrastructure.ldap.controls import Answer, DirSyncAnswer, PagedAnswer, SyncDone, SyncInfo, SyncState

UUID = bytes(range(16))
TEXT = "00010203-0405-0607-0809-0a0b0c0d0e0f"


def decoded(answer: Answer, *parts: bytes) -> Answer:
    """The answer with the value of a sequence of these elements."""
    answer.decodeControlValue(ber.sequence(*parts))
    return answer


@given(st.integers(min_value=-(2**40), max_value=2**40), st.binary(max_size=70_000))
def test_what_is_encoded_is_decoded(number: int, content: bytes) -> None:
    encoded = ber.sequence(ber.integer(number), ber.octets(content))

    (_, first), (_, second) = ber.members(encoded)

    assert (ber.number(first), second) == (number, content)


def test_requests_are_those_of_their_specifications() -> None:
    assert controls.paged(1000, b"").encodeControlValue() == bytes.fromhex("3006020203e80400")
    assert controls.extended_dn().encodeControlValue() == bytes.fromhex("3003020101")
    assert controls.sync_request(None).encodeControlValue() == bytes.fromhex("30030a0101")
    assert controls.sync_request(b"c").encodeControlValue() == bytes.fromhex("30060a0101040163")
    flags = controls.dirsync(controls.INCREMENTAL_VALUES | 1, 16, b"").encodeControlValue()
    assert flags == bytes.fromhex("300b0204800000010201100400")


def test_answers_are_read() -> None:
    paged = decoded(PagedAnswer(), ber.integer(0), ber.octets(b"next"))
    dirsync = decoded(DirSyncAnswer(), ber.integer(1), ber.integer(0), ber.octets(b"more"))
    state = decoded(SyncState(), ber.integer(3, ber.ENUMERATED), ber.octets(UUID))
    done = decoded(SyncDone(), ber.octets(b"csn"), ber.boolean(True))

    assert isinstance(paged, PagedAnswer)
    assert paged.cookie == b"next"
    assert isinstance(dirsync, DirSyncAnswer)
    assert (dirsync.cookie, dirsync.more) == (b"more", True)
    assert isinstance(state, SyncState)
    assert (state.entry_uuid, state.deleted) == (TEXT, True)
    assert isinstance(done, SyncDone)
    assert (done.cookie, done.deletions_named) == (b"csn", True)


@pytest.mark.parametrize("names_deletions", [True, False])
def test_identifiers_are_deleted_or_present(names_deletions: bool) -> None:
    identities = ber.element(0x31, ber.octets(UUID))
    flag = ber.boolean(True) if names_deletions else b""

    info = SyncInfo(ber.element(0xA3, ber.octets(b"csn") + flag + identities))

    assert info.cookie == b"csn"
    assert info.present is not names_deletions
    assert info.deleted == ([TEXT] if names_deletions else [])


def test_the_present_phase_is_told_from_that_of_deletions() -> None:
    assert SyncInfo(ber.element(0xA2, ber.octets(b"csn"))).present
    assert not SyncInfo(ber.element(0xA1, ber.octets(b"csn"))).present
    assert SyncInfo(ber.element(0x80, b"csn")).cookie == b"csn"


def test_bytes_that_were_altered_are_read_or_refused_and_nothing_else() -> None:
    random = Random(3)
    values = [
        ber.sequence(ber.integer(0), ber.octets(b"next")),
        ber.sequence(ber.integer(1), ber.integer(0), ber.octets(b"more")),
        ber.sequence(ber.integer(3, ber.ENUMERATED), ber.octets(UUID)),
        ber.element(0xA3, ber.octets(b"csn") + ber.boolean(True) + ber.element(0x31, ber.octets(UUID))),
    ]
    refused = 0
    for _ in range(20_000):
        value = bytearray(random.choice(values))
        for _ in range(random.randrange(1, 4)):
            value[random.randrange(len(value))] = random.randrange(256)
        for read in (PagedAnswer, DirSyncAnswer, SyncState, SyncDone):
            try:
                read().decodeControlValue(bytes(value))
            except ValueError:
                refused += 1
        try:
            SyncInfo(bytes(value))
        except ValueError:
            refused += 1
    assert refused > 20_000
