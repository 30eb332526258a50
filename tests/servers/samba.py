"""A domain controller of Active Directory by Samba, on the ports 389 and 636 of this machine."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from time import sleep
from typing import Any

from filelock import FileLock, Timeout

from tests.servers.certificates import issued
from tests.servers.processes import ServerProcess, is_free, needs, program

DOMAIN = "DC=meridian,DC=example"
ADMINISTRATOR, PASSWORD = "Administrator@meridian.example", "Passw0rd!Ad1"
ADDRESS = "ldap://127.0.0.1"
WHAT = "a Samba domain controller"

_PORTS = (389, 636)
_LONGEST_WAIT_S = 600
_LOADING = """
import sys
from samba.auth import system_session
from samba.param import LoadParm
from samba.samdb import SamDB

configuration, url, domain, first, users, portion = sys.argv[1:]
settings = LoadParm()
settings.load(configuration)
database = SamDB(url=url, session_info=system_session(), lp=settings, options=["nosync:1"])
numbers = range(int(first), int(users))
for start in range(0, len(numbers), int(portion)):
    database.transaction_start()
    for number in numbers[start : start + int(portion)]:
        database.add({"dn": f"CN=u{number},{domain}", "objectClass": "user", "sAMAccountName": f"u{number}"})
    database.transaction_commit()
group = "all" if first == "0" else f"from {first}"
members = [f"CN=u{number},{domain}" for number in numbers]
database.add({"dn": f"CN={group},{domain}", "objectClass": "group", "member": members})
"""
"""For the Python of the system, which has the modules of Samba."""
_PORTION = 100
"""So many users are added in one transaction: each one takes longer, the more its transaction holds."""
_DATA = ("private", "state")


class DomainController:
    """One domain controller with its database."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.authority = folder / "tls" / "authority.pem"
        self._process: ServerProcess | None = None
        self.start()

    def start(self) -> None:
        """Starts the server."""
        tls = self.folder / "tls"
        options = {
            "server services": "ldap kdc",
            "interfaces": "lo",
            "bind interfaces only": "yes",
            "ldap server require strong auth": "allow_sasl_over_tls",
            "log file": str(self.folder / "log.%m"),
            "pid directory": str(self.folder),
            "ncalrpc dir": str(self.folder / "ncalrpc"),
            "tls certfile": str(tls / "certificate.pem"),
            "tls keyfile": str(tls / "key.pem"),
            "tls cafile": str(tls / "authority.pem"),
        }
        self._process = ServerProcess(
            [
                program("samba", WHAT),
                "--interactive",
                "--model=single",
                f"--configfile={self.folder / 'etc' / 'smb.conf'}",
                *(f"--option={name}={value}" for name, value in options.items()),
            ],
            self.folder / "samba.log",
            ready=_answers,
        )

    def stop(self) -> None:
        """Ends the server, and waits until its ports are free."""
        if self._process is not None:
            self._process.stop()
            self._process = None
        while not all(map(is_free, _PORTS)):
            sleep(0.05)

    def kill(self) -> None:
        """Kills the server."""
        if self._process is not None:
            self._process.kill()
            self._process = None

    def backup(self) -> Path:
        """A copy of the database, made while the server is stopped."""
        self.stop()
        copy = self.folder / "backup"
        for name in _DATA:
            shutil.copytree(self.folder / name, copy / name, ignore=_sockets)
        self.start()
        return copy

    def restore(self, copy: Path) -> None:
        """Puts the database of a copy in place of the present one."""
        self.stop()
        for name in _DATA:
            shutil.rmtree(self.folder / name)
            shutil.copytree(copy / name, self.folder / name)
        self.start()

    def load(self, users: int, *, first: int = 0) -> list[str]:
        """Adds many users and a group of all of them, while the server is stopped; gives their names.

        :param first: the number of the first one, where there are some already.
        """
        self.stop()
        configuration = str(self.folder / "etc" / "smb.conf")
        command = ["/usr/bin/python3", "-c", _LOADING, configuration, str(self.folder / "private" / "sam.ldb"), DOMAIN]
        subprocess.run([*command, str(first), str(users), str(_PORTION)], check=True, capture_output=True)
        self.start()
        return [f"CN=u{number},{DOMAIN}" for number in range(first, users)]

    def client(self) -> Any:
        """A connection that may do everything, as tests ask for what is there."""
        import ldap

        client = ldap.initialize(ADDRESS.replace("ldap:", "ldaps:"))
        client.set_option(ldap.OPT_REFERRALS, 0)
        client.set_option(ldap.OPT_X_TLS_CACERTFILE, str(self.authority))
        client.set_option(ldap.OPT_X_TLS_NEWCTX, 0)
        client.simple_bind_s(ADMINISTRATOR, PASSWORD)
        return client


def _sockets(folder: str, names: list[str]) -> list[str]:
    return [name for name in names if (Path(folder) / name).is_socket()]


def _answers() -> bool:
    import ldap

    if any(map(is_free, _PORTS)):
        return False
    client = ldap.initialize(ADDRESS)
    client.set_option(ldap.OPT_NETWORK_TIMEOUT, 5)
    try:
        return bool(client.search_ext_s("", ldap.SCOPE_BASE, "(objectClass=*)", ["dnsHostName"], timeout=5))
    except ldap.LDAPError:
        return False


@contextmanager
def domain_controller(folder: Path, template: Path) -> Iterator[DomainController]:
    """Yields a domain controller with a new domain. Only one runs at a time on a machine, for its ports are fixed.

    :param template: where the domain is made once for all tests.
    """
    program("samba", WHAT)
    program("samba-tool", WHAT)
    if os.geteuid() != 0:
        needs(f"{WHAT}, which only root can start")
    lock = FileLock(Path(tempfile.gettempdir()) / "deltamark-tests-port-389.lock", timeout=_LONGEST_WAIT_S)
    try:
        lock.acquire()
    except Timeout:
        needs(f"{WHAT}, but tests of another process hold port 389")
    try:
        if not all(map(is_free, _PORTS)):
            needs(f"{WHAT}, but port 389 or 636 is taken")
        if not (template / "made").exists():
            _provision(template)
        # The paths of its configuration are those of the template.
        shutil.copytree(template, folder, dirs_exist_ok=True)
        configuration = folder / "etc" / "smb.conf"
        configuration.write_text(configuration.read_text().replace(str(template), str(folder)))
        server = DomainController(folder)
        try:
            yield server
        finally:
            server.stop()
    finally:
        lock.release()


def _provision(template: Path) -> None:
    shutil.rmtree(template, ignore_errors=True)
    template.mkdir(parents=True)
    subprocess.run(
        [
            program("samba-tool", WHAT),
            *("domain", "provision", "--realm=MERIDIAN.EXAMPLE", "--domain=MERIDIAN", "--server-role=dc"),
            *("--dns-backend=NONE", f"--adminpass={PASSWORD}", f"--targetdir={template}", "--host-ip=127.0.0.1"),
            *("--host-name=dc1", f"--option=posix:eadb={template / 'eadb.tdb'}"),
            f"--option=log file={template / 'log.%m'}",
        ],
        check=True,
        capture_output=True,
    )
    issued(template / "tls", "dc1.meridian.example")
    (template / "made").touch()
