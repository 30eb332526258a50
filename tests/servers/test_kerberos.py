"""Signing in by Kerberos: a keytab, a ticket, and what is said without one."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from random import Random

import pytest
from attrs import evolve

from deltamark.application.ports.sources import Question, SourceUnreachable
from tests.servers import slapd as openldap
from tests.servers import test_active_directory as ad
from tests.servers.kerberos import gets_ticket, makes_keytab, uses_kerberos
from tests.servers.processes import needs
from tests.servers.samba import DOMAIN, PASSWORD, DomainController
from tests.servers.slapd import Slapd
from tests.servers.test_ldap_directory import question

pytestmark = pytest.mark.slow  # starts servers


@pytest.fixture(autouse=True)
def kerberos(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    if not any(Path("/usr/lib").glob("*/sasl2/libgssapiv2.so")):
        needs("libsasl2-modules-gssapi-mit")
    folder = tmp_path / "kerberos"
    uses_kerberos(monkeypatch, folder)
    return folder


def by_ticket(ask: Question) -> Question:
    settings = {name: value for name, value in ask.settings.items() if name != "user"}
    return evolve(ask, settings={**settings, "authentication": "gssapi"}, secrets={})


def test_a_keytab_or_a_ticket_signs_in(controller: DomainController, kerberos: Path) -> None:
    import ldap

    from deltamark.infrastructure.ldap.active_directory import ActiveDirectory

    client = controller.client()
    names = [(ldap.MOD_ADD, "servicePrincipalName", [b"ldap/127.0.0.1"])]
    client.modify_s(f"CN=DC1,OU=Domain Controllers,{DOMAIN}", names)
    ad.Edits(client, Random(1))  # people and groups
    ask = by_ticket(ad.question(controller))
    with pytest.raises(SourceUnreachable, match="was not signed in to by Kerberos") as without:
        ActiveDirectory().snapshot(ask, ad.Collected())
    assert (
        "Get a ticket by kinit, or name a keytab by the environment variable KRB5_CLIENT_KTNAME" in without.value.advice
    )

    makes_keytab(controller, kerberos, "Administrator")
    for server in ("ldap://127.0.0.1", "ldaps://127.0.0.1"):
        rows = ad.Collected()
        ActiveDirectory().snapshot(evolve(ask, settings={**ask.settings, "server": server}), rows)
        assert rows.rows

    (kerberos / "keytab").unlink()
    (kerberos / "tickets").unlink()
    gets_ticket("Administrator", PASSWORD)
    reached = ActiveDirectory().snapshot(ask, ad.Collected())
    assert reached.place is not None


def test_a_user_beside_a_ticket_is_refused(new_slapd: Callable[..., Slapd]) -> None:
    from deltamark.infrastructure.ldap.directory import LdapDirectory

    ask = question(new_slapd())
    ask = evolve(ask, settings={**ask.settings, "authentication": "gssapi", "user": openldap.ADMINISTRATOR})

    with pytest.raises(SourceUnreachable, match="the ticket says who reads"):
        LdapDirectory().snapshot(ask, ad.Collected())


def test_a_machine_without_the_module_is_told_what_to_install(new_slapd: Callable[..., Slapd], tmp_path: Path) -> None:
    server = new_slapd()
    program = (
        "from deltamark.application.ports.sources import *\n"
        "from deltamark.infrastructure.ldap.directory import LdapDirectory\n"
        f"settings = {{'server': {server.address!r}, 'tls': 'none', 'authentication': 'gssapi'}}\n"
        "try:\n"
        "    LdapDirectory().probe(Question(connection='C', package='Ldap', settings=settings))\n"
        "except SourceUnreachable as error:\n"
        "    print(error.problem, error.advice)\n"
    )
    environment = {**os.environ, "SASL_PATH": str(tmp_path)}  # where no module is

    said = subprocess.run([sys.executable, "-c", program], env=environment, capture_output=True, text=True, check=True)

    assert "Install the Kerberos module of SASL: the package libsasl2-modules-gssapi-mit" in said.stdout
