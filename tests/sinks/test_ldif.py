"""LDIF change records: a reader that follows RFC 2849 gets the entries that the resources say."""

from __future__ import annotations

import base64
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deltamark.application.ports.sinks import SinkUnavailable
from deltamark.infrastructure.ldap.ldif.source import LdifFiles
from deltamark.infrastructure.sinks.files import FileSink, RefusedChange
from deltamark.infrastructure.sinks.ldif import Ldif
from tests.application.sources.test_ldif import _Tables as Tables
from tests.application.sources.test_ldif import question
from tests.sinks.changes import change, connection, gap, sent
from tests.tiers import law

OPTIONS = {"ObjectClass": "top, inetOrgPerson", "DistinguishedName": "DN", "Properties": "uid=Login, cn=Name"}
PEOPLE = "ou=people,dc=x"
Entries = dict[str, dict[str, list[str]]]


def ldif() -> Ldif:
    types = {"seen": "DateTime", "photo": "Binary", "active": "Bool"}
    return Ldif(connection("LdifSink", OPTIONS, types))


def lines_of(text: bytes) -> list[str]:
    """The lines of a file, unfolded, without comments; every line must be short and of ASCII."""
    unfolded: list[str] = []
    for line in text.decode("ascii").split("\n"):
        assert line.startswith("#") or len(line) <= 76, line
        if line.startswith(" "):
            unfolded[-1] += line[1:]
        else:
            unfolded.append(line)
    return [line for line in unfolded if not line.startswith("#")]


def value_of(line: str) -> tuple[str, str]:
    name, _, value = line.partition(":")
    if value.startswith(":"):
        return name, base64.b64decode(value[1:].strip(" "), validate=True).decode("utf-8", "surrogateescape")
    assert not value.startswith("<"), "no URL is written"
    return name, value.removeprefix(" ")


def applied(text: bytes, entries: Entries) -> Entries:
    """What a directory has after a file: a reader of RFC 2849 that knows nothing of the writer."""
    records = [record.split("\n") for record in "\n".join(lines_of(text)).split("\n\n")]
    for record in records:
        lines = [line for line in record if line and line != "version: 1"]
        if not lines:
            continue
        (_, name), (_, kind), *rest = (value_of(lines[0]), value_of(lines[1]), *lines[2:])
        if kind == "delete":
            del entries[name]
        elif kind == "add":
            assert name not in entries
            entries[name] = {}
            for attribute, value in map(value_of, rest):
                entries[name].setdefault(attribute, []).append(value)
        elif kind == "modrdn":
            said = dict(map(value_of, rest))
            parent = said.get("newsuperior", name.partition(",")[2])
            entry = entries.pop(name)
            attribute, _, value = said["newrdn"].partition("=")
            entries[f"{attribute.lower()}={value},{parent}"] = {**entry, attribute.lower(): [value]}
        else:
            assert kind == "modify"
            entry, current = entries[name], ""
            for line in rest:
                if line == "-":
                    current = ""
                elif not current:
                    key, current = value_of(line)
                    assert key == "replace"
                    entry.pop(current, None)
                else:
                    attribute, value = value_of(line)
                    assert attribute == current
                    entry.setdefault(attribute, []).append(value)
    return entries


def written(*changes) -> bytes:
    form = ldif()
    return b"version: 1\n" + b"".join(form.change(item) for item in changes)


TEXTS = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=90)


READABLE = TEXTS.filter(lambda text: "\0" not in text)  # a row with one is set aside


@law(200)
@given(first=TEXTS, second=TEXTS, third=st.none() | TEXTS)
def test_every_value_is_read_back(first: str, second: str, third: str | None) -> None:
    name = f"uid=1,{PEOPLE}"
    one = change(1, names=(None, name), uid="1", cn=first)
    before = {"uid": "1", "cn": first}
    two = change(2, "updated", names=(name, name), before=before, uid="1", cn=second, mail=third)

    entries = applied(written(one, two), {})

    expected = {"objectClass": ["top", "inetOrgPerson"], "uid": ["1"], "cn": [second]}
    assert entries == {name: {**expected, **({"mail": [third]} if third is not None else {})}}


@law(100)
@given(first=READABLE, second=READABLE, third=st.none() | READABLE)
def test_what_is_written_is_read_as_changes(tmp_path: Path, first: str, second: str, third: str | None) -> None:
    """The product's own reader of LDIF gets what its writer was given."""
    name, moved = f"uid=1,{PEOPLE}", "uid=2,ou=left,dc=x"
    values = {"uid": "1", "cn": first}
    (tmp_path / "content.ldif").write_text("version: 1\n")
    (tmp_path / "changes.ldif").write_bytes(
        written(
            change(1, names=(None, name), uid="1", cn=first),
            change(2, "updated", names=(name, moved), before=values, uid="2", cn=second, mail=third),
            change(3, names=(None, f"uid=3,{PEOPLE}"), uid="3", cn=second),
            change(4, "deleted", names=(f"uid=3,{PEOPLE}", None), before={"uid": "3", "cn": second}),
        )
    )
    table = {"File": "content.ldif", "ChangeFiles": "changes.ldif", "ObjectClass": "inetOrgPerson"}
    into = Tables()

    LdifFiles().snapshot(question(tmp_path, {"T": table}, {"T": ("dn", "uid", "cn", "mail")}), into)

    assert into.rows == {"T": [(moved, "2", second, third)]}


def test_an_entry_is_renamed_moved_and_deleted() -> None:
    first, renamed, moved = f"uid=a,{PEOPLE}", f"uid=b,{PEOPLE}", "uid=b,ou=left,dc=x"
    entries = applied(
        written(
            change(1, names=(None, first), uid="a", cn="A"),
            change(2, "updated", names=(first, renamed), before={"uid": "a", "cn": "A"}, uid="b", cn="B"),
            change(3, "updated", names=(renamed, moved), before={"uid": "b", "cn": "B"}, uid="b", cn="B"),
        ),
        {},
    )

    assert entries == {moved: {"objectClass": ["top", "inetOrgPerson"], "uid": ["b"], "cn": ["B"]}}
    assert b"newsuperior" not in written(change(2, "updated", names=(first, renamed), before={"cn": "A"}, cn="A"))
    assert applied(written(change(4, "deleted", names=(moved, None))), {moved: {}}) == {}


def test_a_name_that_comes_later_adds_the_entry_and_one_that_goes_deletes_it() -> None:
    name = f"uid=a,{PEOPLE}"
    late = change(2, "updated", names=(None, name), before={"cn": "A"}, cn="A", mail="a@x")

    entries = applied(written(late), {})
    assert entries[name]["cn"] == ["A"]
    assert entries[name]["UID"] == ["a"]  # an entry has the value that names it
    assert applied(written(change(3, "updated", names=(name, None), before={"cn": "A"}, cn="A")), entries) == {}


@pytest.mark.parametrize(
    ("names", "problem"),
    [
        ((None, None), "has no distinguished name"),
        ((None, "not a name"), "cannot be read"),
        ((f"uid=a,{PEOPLE}", f"uid=a,{PEOPLE}"), "uid names the entry"),
    ],
)
def test_what_has_no_form_is_refused(names: tuple[str | None, str | None], problem: str) -> None:
    with pytest.raises(RefusedChange, match=problem):
        ldif().change(change(1, "updated", names=names, before={"uid": "x"}, uid="y"))


def test_values_have_the_syntax_of_directories() -> None:
    entry = applied(
        written(
            change(
                1,
                names=(None, f"uid=a,{PEOPLE}"),
                active=True,
                seen="2026-11-30T08:15:00Z",
                photo="AAEC",
                uid="a",
                age=4,
            )
        ),
        {},
    )[f"uid=a,{PEOPLE}"]

    assert (entry["active"], entry["seen"], entry["age"]) == (["TRUE"], ["20261130081500Z"], ["4"])
    assert entry["photo"] == ["\0\1\2"]


def test_a_refused_change_and_a_gap_leave_a_right_file(tmp_path: Path) -> None:
    sink = FileSink(connection("LdifSink", OPTIONS, folder=str(tmp_path)), ldif())

    (confirmed,) = sent(sink, change(1, cn="A"), gap(2), change(3, names=(None, f"uid=a,{PEOPLE}"), uid="a"))

    assert [refusal.change.position for refusal in confirmed.refused] == [1]
    (file,) = tmp_path.iterdir()
    assert list(applied(file.read_bytes(), {})) == [f"uid=a,{PEOPLE}"]
    assert b"# gap: Person up to position 2 discarded" in file.read_bytes()
    known = file.read_bytes()
    (again,) = sent(sink, change(1, cn="A"), gap(2), change(4, "deleted"))  # the process was ended: the file is found
    assert (again.position, again.refused[0].change.position, file.read_bytes()) == (3, 1, known)
    file.write_bytes(file.read_bytes().replace(b"uid: a", b"uid: b"))
    with pytest.raises(SinkUnavailable, match="was altered"):
        sent(sink, change(1, cn="A"), until=3)


def test_nothing_is_replaced_and_no_link_is_written_through(tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "elsewhere")
    linked = FileSink(connection("LdifSink", OPTIONS, folder=str(tmp_path / "link")), ldif())
    with pytest.raises(SinkUnavailable, match="is a link"):
        sent(linked, gap(1))
    folder = tmp_path / "out"
    folder.mkdir()
    (folder / "Feed-000000000001-000000000001.ldif").symlink_to(tmp_path / "elsewhere" / "file")
    with pytest.raises(SinkUnavailable, match="cannot be read"):
        sent(FileSink(connection("LdifSink", OPTIONS, folder=str(folder)), ldif()), gap(1))

    assert list((tmp_path / "elsewhere").iterdir()) == []
