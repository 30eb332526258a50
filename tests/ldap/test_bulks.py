"""Entries that are read many at once are rows as if each was read alone."""

from __future__ import annotations

from typing import Any

import pytest
from attrs import evolve
from hypothesis import given
from hypothesis import strategies as st

from deltamark.application.ports.sources import NOT_READ
from deltamark.infrastructure.ldap import ber, controls
from tests.fakes.directory import SUFFIX, FakeDirectory
from tests.ldap.test_hostile_answers import question
from tests.servers.folding import Collected
from tests.tiers import law

pytestmark = pytest.mark.usefixtures("ldap_library")

COLUMNS = ("entryUUID", "dn", "cn", "mail", "createTimestamp", "jpegPhoto", "seen", "userCertificate")
DIRECTORY = "1.3.6.1.4.1.1466.115.121.1."
SYNTAXES = {"createTimestamp": f"{DIRECTORY}24", "jpegPhoto": f"{DIRECTORY}28", "seen": f"{DIRECTORY}12"}

values = st.sampled_from(
    [
        b"",
        b"a",
        "Zoé".encode(),
        b"\xff",
        b"\xed\xa0\x80",
        b"a\0b",
        b"20261130135637Z",
        b"<GUID=1>;cn=x",
        b"cn=x",
        b"b" * 300,
    ]
)
entries = st.lists(
    st.tuples(
        st.sampled_from(["cn=x", "<GUID=ab-1>;<SID=2>;cn=y", "cn=Zoé", "cn=a\0"]),
        st.dictionaries(
            st.sampled_from([*COLUMNS[2:7], "CN", "userCertificate;binary", "userCertificate", "cn;lang-fr"]),
            st.lists(values, max_size=2),
        ),
        st.just(()),
    ),
    max_size=12,
)


def rows_of(bulks: list[list[Any]], *, at_once: bool, join: str | None = None) -> tuple[Any, list[str]]:
    """The rows of entries, which are read at once or one by one, and what is said of them."""
    from deltamark.infrastructure.ldap.schema import AttributeType, Schema
    from deltamark.infrastructure.ldap.session import Entry
    from deltamark.infrastructure.ldap.tables import Bulk, EntryTable, LinkTable, RowMaker, Rows

    link = LinkTable(name="Link", columns=("value", "owner"), attribute="mail")
    table = EntryTable(
        name="T", columns=COLUMNS, object_class="*", filter=None, base=None, join=join, links=(link,)
    )  # fmt: skip
    schema = Schema({name.lower(): AttributeType(name, SYNTAXES.get(name, "")) for name in COLUMNS})
    collected = Collected()
    rows = Rows(collected, delta=False)
    maker = RowMaker(table, schema, rows)
    for bulk in bulks:
        found = Bulk.of(bulk) if at_once else None
        if found is not None:
            maker.add_all(found)
            rows.add_links(link, ["owner"] * len(bulk), found.values("mail"))
            continue
        maker.finish()
        for dn, attributes, _ in bulk:
            entry = Entry(dn, {name.lower(): listed for name, listed in attributes.items()})
            maker.add(entry)
            for value in entry.attributes.get("mail", []):
                rows.add_link(link, "owner", value)
    maker.finish()
    rows.finish()
    return {name: [_without_reason(row) for row in found] for name, found in collected.rows.items()}, list(
        rows.messages
    )


def _without_reason(row: dict[str, str | None]) -> dict[str, str | None]:
    """A row; a batch in which each was read has no column of reasons."""
    return {name: value for name, value in row.items() if value is not None}


@law(300)
@given(bulks=st.lists(entries, max_size=3), join=st.sampled_from([None, "; "]))
def test_many_at_once_are_the_rows_of_one_by_one(bulks: list[Any], join: str | None) -> None:
    assert rows_of(bulks, at_once=True, join=join) == rows_of(bulks, at_once=False, join=join)


def test_a_value_that_is_no_text_sets_aside_its_row_alone() -> None:
    bulk = [(f"cn={number}", {"cn": [b"\xff" if number == 3 else b"x"]}, ()) for number in range(6)]

    rows, _ = rows_of([bulk], at_once=True)

    assert [row.get("cn") for row in rows["T"]] == ["x", "x", "x", None, "x", "x"]
    assert [number for number, row in enumerate(rows["T"]) if NOT_READ in row] == [3]


def test_the_next_page_is_asked_for_before_the_end_of_one_is_handed_on(monkeypatch: pytest.MonkeyPatch) -> None:
    from deltamark.infrastructure.ldap.session import opened

    with FakeDirectory("plain") as directory:
        for number in range(5):
            directory.put(f"u{number}", "user")
        with opened(question(directory)) as session:  # with pages of three
            send, sent = session._sent, []
            monkeypatch.setattr(session, "_sent", lambda *search: sent.append(search) or send(*search))
            pages = session.bulks_of_pages(SUFFIX, "(objectClass=user)", ["cn"])
            asked = [len(sent) for bulk in pages for _ in bulk]

    assert asked == [1, 2, 2, 2, 2]


def test_entries_that_are_large_are_few_at_once() -> None:
    from deltamark.infrastructure.ldap.session import opened

    with FakeDirectory("plain") as directory:
        for number in range(9):
            directory.put(f"u{number}", "user", jpegPhoto=bytes(100_000))
        ask = evolve(question(directory), settings={**question(directory).settings, "page_size": 1000})
        with opened(ask) as session:
            bulks = list(session.bulks_of_pages(SUFFIX, "(objectClass=user)", ["jpegPhoto"]))

    assert [len(bulk) for bulk in bulks] == [1, 2, 2, 2, 2]


def state(kind: int, *, identity: bytes = bytes(16)) -> tuple[str, bool, bytes]:
    """What the server says of an entry."""
    value = ber.sequence(ber.integer(kind, ber.ENUMERATED), ber.octets(identity))
    return controls.SYNC_STATE, False, value


@pytest.mark.parametrize(
    ("answers", "expected"),
    [
        ([[state(1)], [state(2)]], True),
        ([], True),
        ([[state(1)], [state(0)]], False),
        ([[state(1)], [state(3)]], False),
        ([[state(1)], []], False),
        ([[state(1)], [state(1), state(1)]], False),
        ([[state(1)], [(controls.SYNC_STATE, False, None)]], False),
        ([[state(1)], [("1.2.3", True, state(1)[2])]], False),
        ([[state(1)], [state(1, identity=bytes(15))]], False),
        ([[state(1)], [(controls.SYNC_STATE, False, bytes(23))]], False),
    ],
)
def test_only_bulks_whose_entries_were_all_added_are_not_looked_at_one_by_one(answers: Any, expected: bool) -> None:
    assert controls.all_added(answers) is expected
