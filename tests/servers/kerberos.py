"""Tickets of a domain controller, for this process alone."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from tests.servers.processes import program
from tests.servers.samba import DomainController

REALM = "MERIDIAN.EXAMPLE"
_CONFIGURATION = f"""
[libdefaults]
default_realm = {REALM}
dns_lookup_kdc = false
dns_lookup_realm = false
dns_canonicalize_hostname = false
rdns = false

[realms]
{REALM} = {{
    kdc = 127.0.0.1
}}
"""


def uses_kerberos(patch: pytest.MonkeyPatch, folder: Path) -> None:
    """Lets this process find the domain, and no ticket."""
    folder.mkdir(parents=True)
    (folder / "krb5.conf").write_text(_CONFIGURATION)
    patch.setenv("KRB5_CONFIG", str(folder / "krb5.conf"))
    patch.setenv("KRB5CCNAME", f"FILE:{folder / 'tickets'}")
    patch.setenv("KRB5_CLIENT_KTNAME", f"FILE:{folder / 'keytab'}")


def makes_keytab(controller: DomainController, folder: Path, user: str) -> None:
    """Writes the keys of a user where this process looks for them."""
    tool = program("samba-tool", "a Samba domain controller")
    configuration = controller.folder / "etc" / "smb.conf"
    command = [tool, "domain", "exportkeytab", str(folder / "keytab"), f"--principal={user}"]
    subprocess.run([*command, f"--configfile={configuration}"], check=True, capture_output=True)


def gets_ticket(user: str, password: str) -> None:
    """Gets a ticket by a password, as a person does."""
    kinit = program("kinit", "krb5-user")
    subprocess.run([kinit, f"{user}@{REALM}"], input=f"{password}\n".encode(), check=True, capture_output=True)
