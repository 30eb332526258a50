"""What is proposed for a directory of which only the address is known, and that a job of it runs."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from random import Random
from typing import Any

import pytest

from deltamark import Engine, TaskState
from deltamark.bootstrap import proposal_for_server
from deltamark.domain.errors import SourceError
from deltamark.domain.proposal.proposal import Proposal
from tests.servers import samba, slapd
from tests.servers import test_active_directory as ad
from tests.servers.samba import DomainController
from tests.servers.slapd import SUFFIX, Slapd

# Starts servers.
pytestmark = pytest.mark.slow

ENTRIES = f"""dn: {SUFFIX}
objectClass: dcObject
objectClass: organization
dc: meridian
o: Meridian

dn: ou=people,{SUFFIX}
objectClass: organizationalUnit
ou: people

dn: uid=ann,ou=people,{SUFFIX}
objectClass: inetOrgPerson
uid: ann
cn: Ann Adler
sn: Adler
mail: ann@meridian.example
mail: a@meridian.example
userPassword: geheim
employeeNumber: 007

dn: uid=bob,ou=people,{SUFFIX}
objectClass: inetOrgPerson
uid: bob
cn: Bob Berg
sn: Berg
manager: UID=Ann, ou=people,{SUFFIX}

dn: cn=all,{SUFFIX}
objectClass: groupOfNames
cn: all
member: uid=ann,ou=people,{SUFFIX}
member: uid=bob,ou=people,{SUFFIX}

dn: cn=outer,{SUFFIX}
objectClass: groupOfNames
cn: outer
member: cn=all,{SUFFIX}
member: uid=bob,ou=people,{SUFFIX}
member: uid=ann,ou=people,{SUFFIX}
"""


@pytest.fixture
def password(tmp_path: Path) -> Callable[[str], str]:
    """Gives a reference to a file with a password."""

    def written(value: str) -> str:
        file = tmp_path / "password"
        file.touch(0o600)
        file.write_text(value)
        return f"file:{file}"

    return written


def run(proposal: Proposal, settings: Mapping[str, Any], folder: Path) -> Mapping[str, int]:
    """Runs the proposed job twice; gives how many resources and links of each type there are."""
    assert proposal.description is not None
    named = {**settings, **proposal.description.settings}
    with Engine.open(
        "sqlite://", configuration=proposal.configuration, export_output=folder, connections={"Here_Source": named}
    ) as engine:
        for _ in range(2):
            done = engine.run_job(proposal.job.identifier)
            assert done.state in (TaskState.COMPLETED, TaskState.WARNING), done
        names = [item.identifier for item in engine.configuration.entity_types]
        found = {name: len(list(engine.export_resources(name))) for name in names}
        links = done.tasks[0].messages
    assert "what changed was read" in links[0]
    return found


def test_an_ldap_directory_is_proposed_and_runs(
    new_slapd: Callable[..., Slapd], tmp_path: Path, password: Callable[[str], str]
) -> None:
    server = new_slapd()
    server.load(ENTRIES)
    settings = {"user": slapd.ADMINISTRATOR, "password": password(slapd.PASSWORD), "tls": "none"}

    proposal = proposal_for_server(server.address, settings, connector="Here")

    (connection,) = proposal.configuration.connections
    assert (connection.package, [table.identifier for table in connection.tables]) == (
        "Ldap",
        ["inetOrgPerson", "inetOrgPerson_manager", "groupOfNames", "groupOfNames_member", "organizationalUnit"],
    )
    said = [f"{note.file} {note.column}: {note.text}" for note in proposal.notes]
    assert "inetOrgPerson userPassword: left out: it holds secrets, which are never read" in said
    assert any(text.startswith("inetOrgPerson mail: left out: entries have several values") for text in said)
    assert any("member names entries of inetOrgPerson (1 of groupOfNames are left out)" in text for text in said)
    members = {a.identifier: (str(a.property1), str(a.property2)) for a in proposal.configuration.associations}
    assert members["groupOfNames_member"] == ("groupOfNames:member", "inetOrgPerson:member_of")
    found = run(proposal, {"server": server.address, **settings}, tmp_path / "exports")
    assert found == {"inetOrgPerson": 2, "groupOfNames": 2, "organizationalUnit": 1}


def test_named_classes_alone_are_proposed(new_slapd: Callable[..., Slapd], password: Callable[[str], str]) -> None:
    server = new_slapd()
    server.load(ENTRIES)
    settings = {"user": slapd.ADMINISTRATOR, "password": password(slapd.PASSWORD)}

    proposal = proposal_for_server(server.address, settings, ["organization"], connector="Here")

    # The server offers no StartTLS, and is on this machine.
    assert proposal.description is not None
    assert proposal.description.settings["tls"] == "none"
    assert any(note.is_unsure and "it offers no StartTLS" in note.text for note in proposal.notes)

    assert [t.identifier for t in proposal.configuration.entity_types] == ["organization"]
    with pytest.raises(SourceError, match="there are no entries of the classes robot"):
        proposal_for_server(server.address, settings, ["robot"], connector="Here")


def test_an_active_directory_is_proposed_and_runs(
    controller: DomainController, tmp_path: Path, password: Callable[[str], str]
) -> None:
    client = controller.client()
    edits = ad.Edits(client, Random(3))
    for _ in range(12):
        edits.any()
    settings = {
        "user": samba.ADMINISTRATOR,
        "password": password(samba.PASSWORD),
        "authority": str(controller.authority),
    }

    proposal = proposal_for_server(samba.ADDRESS, settings, connector="Here")

    (connection,) = proposal.configuration.connections
    tables = [table.identifier for table in connection.tables]
    assert (connection.package, {"user", "group", "organizationalUnit"} <= set(tables)) == ("ActiveDirectory", True)
    assert "group_member" in tables
    found = run(proposal, {"server": samba.ADDRESS, **settings}, tmp_path / "exports")
    assert found["user"] > 1
    assert found["group"] > 10
