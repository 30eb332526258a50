"""Entries of LDIF files: tables by class and filter, links by names, and nothing of a file that cannot be read."""

from __future__ import annotations

import random
import uuid
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from deltamark import TaskState
from deltamark.application.ports.sources import Question, SourceUnreachable, WantedTable
from deltamark.infrastructure.ldap.ldif.source import LdifFiles
from tests.ldap.test_ldif_reader import mutated
from tests.scenarios.database_source import messages
from tests.scenarios.file_source import GROUP, MEMBER, PERSON, FileSource, configuration
from tests.stores import NewStore
from tests.tiers import examples

TABLES = {
    PERSON: {"File": "company.ldif", "ObjectClass": "inetOrgPerson", "Filter": "(!(employeeType=guest*))"},
    GROUP: {"File": "company.ldif", "ObjectClass": "groupOfNames"},
    MEMBER: {"Links": GROUP, "Attribute": "member"},
}
COLUMNS = {PERSON: ("entryUUID", "cn"), GROUP: ("entryUUID", "cn")}
LDIF = """\
version: 1

dn: ou=People,dc=x
objectClass: organizationalUnit
ou: People

dn: cn=All,dc=x
objectClass: groupOfNames
cn: All
entryUUID: G1
member: UID=a, OU=People,dc=X
member: uid=b\\2C c,ou=People,dc=x
member: uid=gone,ou=People,dc=x

dn: uid=a,ou=People,dc=x
objectClass: top
objectClass: INETORGPERSON
cn:: WsO2ZQ==
entryUUID: A1

dn: uid=b\\, c,ou=People,dc=x
objectClass: inetOrgPerson
cn: Bob
entryUUID: B1

dn: uid=g,ou=People,dc=x
objectClass: inetOrgPerson
employeeType: Guest of a day
cn: Gil
entryUUID: C1
"""


@pytest.fixture
def ldif(new_store: NewStore, tmp_path: Path):
    with FileSource(new_store(), tmp_path, configuration("Ldif", TABLES, COLUMNS)) as source:
        source.write("company.ldif", LDIF)
        yield source


def test_entries_become_resources_and_names_of_entries_become_links(ldif: FileSource) -> None:
    run = ldif.run()

    assert ldif.stored() == {"A1": "Zöe", "B1": "Bob"}
    assert ldif.stored(GROUP) == {"G1": "All"}
    assert ldif.members() == {("G1", "A1"), ("G1", "B1")}
    assert "HR_Member: 1 link to entries that no table of the files has" in messages(run)
    assert ldif.engine.verify().is_sound


def test_a_renamed_entry_stays_the_same_resource_and_keeps_its_links(ldif: FileSource) -> None:
    ldif.run()
    ldif.write("company.ldif", LDIF.replace("uid=a,ou", "uid=anna,ou").replace("UID=a,", "uid=anna,"))
    position = ldif.engine.position()

    run = ldif.run()

    assert run.counts.changed == 0
    assert list(ldif.engine.changes(after=position)) == []
    assert "no file changed" in messages(ldif.run())


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (LDIF[:-1], "company.ldif, line 30: the last line does not end: the file was cut off"),
        (LDIF.replace("cn: Bob", "cn:< file:///etc/passwd"), "company.ldif, line 23: a value is named by a URL"),
        (
            LDIF.replace("entryUUID: G1\n", ""),
            "line 7: entryUUID: the identifier of the owner of links is missing (of cn=All",
        ),
        (LDIF + "\ndn: uid=A,ou=people,dc=x\nobjectClass: inetOrgPerson\nentryUUID: D1\n", "two records have the name"),
        (LDIF + "\ndn: uid=a,ou=people,dc=x\nchangetype: delete\n", "line 32: this record is a change (changetype)"),
    ],
)
def test_a_file_that_cannot_be_read_changes_nothing(ldif: FileSource, content: str, problem: str) -> None:
    ldif.run()
    place = ldif.engine.places()
    ldif.write("company.ldif", content)

    run = ldif.run()

    assert run.state is TaskState.FAILED
    assert problem in messages(run)
    assert ldif.stored() == {"A1": "Zöe", "B1": "Bob"}
    assert ldif.engine.places() == place


def test_a_probe_names_the_files_and_what_is_wrong_in_them(ldif: FileSource) -> None:
    assert ldif.engine.probe("HR_Source").findings == (
        f"HR_Person, HR_Group, HR_Member: company.ldif ({len(LDIF)} bytes)",
    )
    ldif.write("company.ldif", "no: LDIF\n")

    assert "line 1: the record" in ldif.engine.probe("HR_Source").problems[0]


@pytest.mark.parametrize(
    ("options", "fault"),
    [
        ({"File": "x.ldif"}, "has no ObjectClass"),
        ({"File": "x.txt", "ObjectClass": "top"}, "whose ending is none of .ldif, .ldf"),
        ({"File": "x.ldif", "ObjectClass": "top", "Filter": "(cn=x"}, "that is no LDAP filter"),
        ({"File": "x.ldif", "ObjectClass": "top", "Filter": "(cn:dn:=x)"}, "has a Filter that needs a server"),
        ({"File": "x.ldif", "ObjectClass": "top", "Base": "dc=x"}, "has Base, which package Ldif does not read"),
        ({"Links": "x", "Attribute": "member", "Key": "uid"}, "has Links and Key"),
        ({"Links": "x", "Attribute": "userPassword"}, "which holds secrets and is never read"),
    ],
)
def test_faults_of_tables_are_named(tmp_path: Path, options: dict[str, str], fault: str) -> None:
    with pytest.raises(Exception, match=fault.replace(".", r"\.")):
        FileSource("sqlite://", tmp_path, configuration("Ldif", {PERSON: options}, COLUMNS))


def test_a_value_that_is_no_text_sets_its_row_aside(ldif: FileSource) -> None:
    ldif.run()
    ldif.write(
        "company.ldif", LDIF.replace("cn:: WsO2ZQ==", "cn:: /w==").replace("member: uid=b", "member:: /w==\nx: ")
    )

    run = ldif.run()

    assert run.state is TaskState.WARNING
    assert ldif.stored() == {"A1": "Zöe", "B1": "Bob"}
    assert ldif.members() == {("G1", "A1"), ("G1", "B1")}
    reasons = {row.reason for task in run.tasks for row in task.set_aside}
    assert any("the value is not text in UTF-8" in reason for reason in reasons)


class _Tables:
    """Keeps rows."""

    def __init__(self) -> None:
        self.rows: dict[str, list[tuple[Any, ...]]] = {}

    def write(self, table: str, batch: Any) -> None:
        self.rows.setdefault(table, []).extend(zip(*(column.to_pylist() for column in batch.columns), strict=True))


def question(
    folder: Path, options: Mapping[str, Mapping[str, str]], columns: Mapping[str, tuple[str, ...]]
) -> Question:
    tables = [WantedTable(name=name, columns=columns[name], options=options[name]) for name in options]
    return Question(connection="C", package="Ldif", settings={"folder": str(folder)}, tables=tables)


def test_values_of_active_directory_are_texts(tmp_path: Path) -> None:
    guid = uuid.UUID("8f3a7a0e-1111-4222-8333-444455556666")
    import base64

    (tmp_path / "x.ldif").write_text(
        f"dn: cn=a\nobjectClass: user\nobjectGUID:: {base64.b64encode(guid.bytes_le).decode()}\n"
        "userAccountControl: 514\nwhenCreated: 20241231235959.0Z\npwdLastSet: 0\nmail: b@x\nmail: a@x\n"
    )
    columns = ("objectGUID", "uac.disabled", "whenCreated", "pwdLastSet", "mail", "dn")
    tables = _Tables()

    reached = LdifFiles().snapshot(
        question(tmp_path, {"T": {"File": "x.ldif", "ObjectClass": "user"}}, {"T": columns}), tables
    )

    assert tables.rows == {"T": [(str(guid), "true", "2024-12-31T23:59:59Z", None, "a@x", "cn=a")]}
    assert reached.messages == ("T: mail has several values; the first one in sorted order was taken",)


def test_mutated_files_raise_the_error_of_sources_alone(tmp_path: Path) -> None:
    ask = question(tmp_path, {name: TABLES[name] for name in COLUMNS}, COLUMNS)
    draw, refused = random.Random(19), 0
    rounds = examples(2_000)
    for _ in range(rounds):
        (tmp_path / "company.ldif").write_bytes(mutated(draw, LDIF.encode()))
        try:
            LdifFiles().snapshot(ask, _Tables())
        except SourceUnreachable:
            refused += 1

    assert refused > rounds / 10


@pytest.mark.slow  # writes and reads 100,000 members
def test_a_group_of_100_000_members_is_one_record(tmp_path: Path) -> None:
    ask = question(tmp_path, TABLES, {**COLUMNS, MEMBER: ("owner", "value")})
    with (tmp_path / "company.ldif").open("w") as file:
        file.write("dn: cn=All,dc=x\nobjectClass: groupOfNames\ncn: All\nentryUUID: G\n")
        file.writelines(f"member: uid=u{number},dc=x\n" for number in range(100_000))
        for number in range(100_000):
            file.write(f"\ndn: uid=u{number},dc=x\nobjectClass: inetOrgPerson\nentryUUID: U{number}\n")
    tables = _Tables()

    LdifFiles().snapshot(ask, tables)

    assert tables.rows[MEMBER] == [("G", f"U{number}") for number in range(100_000)]
