"""Answers of servers that were altered on the way: whatever comes, a reading ends, whole or with a plain message."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from random import Random
from typing import Any

import pytest

from deltamark.application.ports.sources import PlaceLost, Question, SourcePlace, SourceUnreachable, WantedTable
from deltamark.domain.secrets import Secret
from deltamark.infrastructure.ldap import ber, controls
from tests.fakes.directory import SUFFIX, End, FakeDirectory, Request
from tests.tiers import SOAK, examples

MESSAGES = int(os.environ.get("DELTAMARK_FUZZ_INPUTS") or (30_000 if SOAK else 1_500))
"""Altered values of each control; `DELTAMARK_FUZZ_INPUTS=150000` makes more than a million of them."""
SEED = 18


class Discarded:
    """Takes the rows of a reading."""

    def write(self, table: str, batch: Any) -> None:
        """Sees that they are texts."""
        assert batch.num_rows


def mutated(data: bytes, random: Random) -> bytes:
    """The data with some bytes altered, left out, doubled or put in."""
    altered = bytearray(data)
    for _ in range(random.choice([1, 1, 1, 2, 5])):
        at = random.randrange(len(altered) or 1)
        match random.randrange(5):
            case 0 if altered:
                altered[at] ^= 1 << random.randrange(8)
            case 1 if altered:
                altered[at] = random.choice([0, 1, 0x7F, 0x80, 0x82, 0x84, 0xFF])
            case 2:
                del altered[at : at + random.randint(1, 8)]
            case 3:
                altered[at:at] = random.randbytes(random.randint(1, 8))
            case _:
                altered[at:at] = altered[at : at + random.randint(1, 30)]
    return bytes(altered)


INTERMEDIATE = 0x79


def question(directory: FakeDirectory) -> Question:
    """All that may be read of it."""
    is_ad = directory.kind == "ad"
    key = "objectGUID" if is_ad else "entryUUID"
    tables = (
        WantedTable(name="User", columns=(key, "cn", "mail", "jpegPhoto", "dn"), options={"ObjectClass": "user"}),
        WantedTable(name="Group", columns=(key, "cn"), options={"ObjectClass": "group", "Join": "; "}),
        WantedTable(name="Member", columns=("owner", "value"), options={"Links": "Group", "Attribute": "member"}),
    )
    return Question(
        connection="Source",
        package="ActiveDirectory" if is_ad else "Ldap",
        settings={
            "server": directory.address, "tls": "none", "user": "reader", "page_size": 3, "timeout": 2,
            "max_entries": 2_000,
        },
        secrets={"password": lambda: Secret("p")},
        tables=tables,
    )  # fmt: skip


@pytest.mark.law
@pytest.mark.parametrize("kind", ["ad", "sync", "plain"])
def test_altered_answers_end_a_reading_whole_or_with_a_message(ldap_library: None, kind: str) -> None:
    from deltamark.infrastructure.ldap.active_directory import ActiveDirectory
    from deltamark.infrastructure.ldap.directory import LdapDirectory

    random = Random(SEED)
    whole = failed = 0
    with FakeDirectory(kind, range_size=2) as directory:
        for number in range(7):
            directory.put(f"u{number}", "user", mail=[f"{number}@x", "b@x"], jpegPhoto=bytes(range(9)))
        directory.put("g", "group", member=[f"CN=u{number},{SUFFIX}" for number in range(5)])
        source: Any = ActiveDirectory() if kind == "ad" else LdapDirectory()
        ask = question(directory)
        place = source.snapshot(ask, Discarded()).place
        directory.put("u1", "user", mail="new@x")
        directory.put("g", "group", member=[f"CN=u{number},{SUFFIX}" for number in range(4)])
        directory.delete("u2")
        at = [0]

        def alters(request: Request, answered: list[bytes]) -> Iterator[bytes]:
            at[0] -= 1
            if at[0] != 0:
                yield from answered
                return
            yield mutated(b"".join(answered), random)
            raise End

        directory.fault = alters
        for _ in range(examples(400)):
            at[0] = random.randint(1, 14)
            try:
                read(source, ask, place if random.random() < (0.1 if kind == "sync" else 0.6) else None)
                whole += 1
            except (SourceUnreachable, PlaceLost):
                failed += 1
    assert whole
    assert failed


def adds_a_message(request: Request, answered: list[bytes]) -> Iterator[bytes]:
    """Puts a message without a name before an answer."""
    number = answered[0][2:5]  # of the request, as an element
    if number[:2] == b"\x02\x01":
        yield ber.sequence(number, ber.element(INTERMEDIATE, ber.element(0x81, b"value")))
    yield from answered


@pytest.mark.parametrize("kind", ["ad", "plain", "sync"])
def test_a_message_without_a_name_does_not_end_the_process(ldap_library: None, kind: str) -> None:
    from deltamark.infrastructure.ldap.active_directory import ActiveDirectory
    from deltamark.infrastructure.ldap.directory import LdapDirectory

    with FakeDirectory(kind) as directory:
        directory.put("u", "user", mail="u@x")
        source: Any = ActiveDirectory() if kind == "ad" else LdapDirectory()
        directory.fault = adds_a_message
        read(source, question(directory), None)


def test_changes_with_a_message_without_a_name_are_read_as_a_whole(ldap_library: None) -> None:
    from deltamark.infrastructure.ldap.directory import LdapDirectory

    with FakeDirectory("sync") as directory:
        directory.put("u", "user", mail="u@x")
        place = LdapDirectory().snapshot(question(directory), Discarded()).place
        directory.fault = adds_a_message

        with pytest.raises(PlaceLost, match="the process that read them ended"):
            read(LdapDirectory(), question(directory), place)


def test_control_the_library_ends_a_process_that_reads_such_messages(ldap_library: None) -> None:
    from deltamark.infrastructure.ldap import session
    from deltamark.infrastructure.ldap.isolated import IsolatedConnection, ReaderDied

    with FakeDirectory("sync") as directory:
        directory.put("u", "user", mail="u@x")
        connection = IsolatedConnection(question(directory), directory.address)
        try:
            asked = (SUFFIX, session.SUBTREE, session.EVERY_ENTRY, ["cn"], [controls.sync_request(None)])
            connection.search_ext(*asked)
            kinds = [connection.next_message(0, 1, True)[0] for _ in range(2)]
            directory.fault = adds_a_message
            connection.search_ext(*asked)
            with pytest.raises(ReaderDied, match="status -11"):
                connection.next_message(0, 1, True)
        finally:
            connection.close()
    assert kinds == [session._ENTRY, session._LAST]


def read(source: Any, ask: Question, place: SourcePlace | None) -> None:
    """One reading."""
    if place is None:
        source.snapshot(ask, Discarded())
    else:
        source.changes(ask, place, Discarded())


def of_control(answer: type[controls.Answer]) -> Callable[[bytes], object]:
    """Reads the value of a control."""
    return lambda value: answer().decodeControlValue(value)


@pytest.mark.parametrize(
    ("reads", "value"),
    [
        (of_control(controls.PagedAnswer), ber.sequence(ber.integer(7), ber.octets(b"cookie"))),
        (of_control(controls.DirSyncAnswer), ber.sequence(ber.integer(1), ber.integer(0), ber.octets(b"c" * 200))),
        (of_control(controls.SyncState), ber.sequence(ber.integer(3, ber.ENUMERATED), ber.octets(bytes(16)))),
        (of_control(controls.SyncDone), ber.sequence(ber.octets(b"cookie"), ber.boolean(True))),
        (
            controls.SyncInfo,
            ber.element(0xA3, ber.octets(b"c") + ber.boolean(True) + ber.element(0x31, ber.octets(bytes(16)) * 9)),
        ),
        (controls.SyncInfo, ber.element(0xA1, ber.octets(b"cookie") + ber.boolean(False))),
        (controls.SyncInfo, ber.element(0x80, b"cookie")),
    ],
)
def test_an_altered_value_of_a_control_is_read_or_refused(reads: Callable[[bytes], object], value: bytes) -> None:
    random = Random(SEED)
    reads(value)
    refused = 0
    for _ in range(MESSAGES):
        try:
            reads(mutated(value, random))
        except ValueError:
            refused += 1

    assert refused


def test_control_a_reader_that_indexes_is_caught() -> None:
    def careless(value: bytes) -> int:
        return value[40]

    random = Random(SEED)
    with pytest.raises(IndexError):
        list(map(careless, [mutated(bytes(41), random) for _ in range(MESSAGES)]))
