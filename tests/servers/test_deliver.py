"""The LDIF files of the page about sinks, applied to a real directory by its own tool."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from deltamark import Engine, TaskState
from tests.application.sinks.conftest import NewSinkHouse, new_sink_house  # noqa: F401  # a fixture
from tests.docs.pages import ROOT, blocks_of
from tests.scenarios.sinks import sink
from tests.servers.processes import program
from tests.servers.slapd import ADMINISTRATOR, PASSWORD, SUFFIX, Slapd

# Starts an OpenLDAP server.
pytestmark = pytest.mark.slow

BASE = f"""dn: {SUFFIX}
objectClass: dcObject
objectClass: organization
dc: meridian
o: Meridian

dn: ou=people,{SUFFIX}
objectClass: organizationalUnit
ou: people

dn: ou=left,{SUFFIX}
objectClass: organizationalUnit
ou: left
"""
HEAD = "id,login,name,mail,dn\n"


def row(number: int, login: str, name: str, mail: str, unit: str = "people") -> str:
    return f'{number},{login},"{name}",{mail},"uid={login},ou={unit},{SUFFIX}"\n'


def apply_new_files(slapd: Slapd, out: Path, done: set[Path]) -> set[Path]:
    for file in sorted(set(out.iterdir()) - done):
        tool = program("ldapmodify", "ldap-utils")
        login = ["-x", "-H", slapd.address, "-D", ADMINISTRATOR, "-w", PASSWORD]
        subprocess.run([tool, *login, "-f", str(file)], check=True, capture_output=True)
    return set(out.iterdir())


def test_files_are_applied_by_the_tool_of_the_directory(new_slapd: Callable[..., Slapd], tmp_path: Path) -> None:
    page = (ROOT / "docs" / "how-to" / "deliver-changes-to-another-system.md").read_text("utf-8")
    block = next(block for block in blocks_of(page) if block.file == "configuration/people.xml")
    (tmp_path / "people.xml").write_text(block.text)
    extracts, out = tmp_path / "exports", tmp_path / "out"
    extracts.mkdir()
    slapd = new_slapd()
    slapd.load(BASE)
    days = [
        [row(1, "ann", "Ann Ädler", "a@x"), row(2, "bob", " two  blanks ", "b@x"), row(3, "cid", "C" * 200, "")],
        [row(1, "anna", "Ann <b>:c", "a@x"), row(2, "bob", "Bob", "", unit="left")],
        [row(1, "anna", "Ann", "n@x", unit="left"), row(2, "bo", "Bob", "b@x", unit="left"), row(3, "cid", "#c", "")],
    ]

    with Engine.open(
        "sqlite://",
        configuration=tmp_path / "people.xml",
        export_output=extracts,
        connections={"Phonebook_Files": {"folder": str(out)}},
    ) as engine:
        done: set[Path] = set()
        for day in days:
            (extracts / "people.csv").write_text(HEAD + "".join(day), "utf-8")
            assert engine.run_job("Daily").state is TaskState.COMPLETED
            done = apply_new_files(slapd, out, done)
            found = {
                name: (entry["uid"][0].decode(), entry["cn"][0].decode(), entry.get("mail", [b""])[0].decode())
                for name, entry in slapd.client().search_s(SUFFIX, 2, "(objectClass=inetOrgPerson)")
            }
            expected = {
                r.values["DN"]: (r.values["Login"], r.values["Name"], r.values.get("Mail", ""))
                for r in engine.export_resources("Person")
            }
            assert found == expected
        assert engine.dead_letters() == []


def test_links_of_files_are_applied_by_the_tool_of_the_directory(
    new_slapd: Callable[..., Slapd],
    new_sink_house: NewSinkHouse,  # noqa: F811
    tmp_path: Path,
) -> None:
    slapd = new_slapd()
    slapd.load(BASE)
    people = {"Subject": "Person", "Properties": "uid=Number, cn=Name, sn=Name", "DistinguishedName": "Mail"}
    teams = {"Subject": "Team", "Properties": "description=Code", "Associations": "roleOccupant=Members"}
    house = new_sink_house(
        sink(
            "LdifSink",
            {**people, "ObjectClass": "inetOrgPerson"},
            {**teams, "DistinguishedName": "Title", "ObjectClass": "organizationalRole"},
        ),
        settings={"Feed": {"folder": str(tmp_path / "out")}},
    )
    names = {number: f"uid={number},ou=people,{SUFFIX}" for number in "123"}
    title = f"cn=Tülips,{SUFFIX}"
    done: set[Path] = set()
    for there, members in (("123", "12"), ("123", "23"), ("12", "2"), ("12", "1")):
        house.people({number: {"name": "N", "mail": names[number]} for number in there}).run()
        house.teams({"T": title}, *(("T", number) for number in members)).engine.run_job("Teams")

        assert house.engine.deliver("Feed").refused == ()
        done = apply_new_files(slapd, tmp_path / "out", done)

        ((_, entry),) = slapd.client().search_s(SUFFIX, 2, "(objectClass=organizationalRole)")
        held = sorted(value.decode() for value in entry.get("roleOccupant", []))
        assert held == [names[number] for number in members]
