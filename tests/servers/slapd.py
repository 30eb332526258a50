"""An OpenLDAP server that offers syncrepl, on a free port of this machine."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path
from time import sleep
from typing import Any

from tests.servers.certificates import Certificate
from tests.servers.processes import ServerProcess, free_port, is_free, program

SUFFIX = "dc=meridian,dc=example"
ADMINISTRATOR, PASSWORD = f"cn=admin,{SUFFIX}", "s3cret/wörd"
READER, READER_PASSWORD = f"cn=reader,{SUFFIX}", "read€r"

_CONFIGURATION = """
include /etc/ldap/schema/core.schema
include /etc/ldap/schema/cosine.schema
include /etc/ldap/schema/inetorgperson.schema
modulepath /usr/lib/ldap
moduleload back_mdb
moduleload syncprov
moduleload refint
{tls}
{limits}
database mdb
maxsize 268435456
suffix "{suffix}"
rootdn "{administrator}"
rootpw "{password}"
directory {data}
dbnosync
index objectClass,entryUUID,entryCSN,member eq
{database}
"""
_CORRECTED_LINKS = """
overlay refint
refint_attributes member manager
"""
_SYNC = """
overlay syncprov
syncprov-checkpoint 1 1
syncprov-sessionlog {log}
"""


class Slapd:
    """One server with its data."""

    def __init__(
        self,
        folder: Path,
        *,
        certificate: Certificate | None = None,
        session_log: int | None = 10_000,
        limits: str = "",
        database: str = "",
        corrects_links: bool = True,
    ) -> None:
        self._slapd = program("slapd", "slapd")
        self._data = folder / "data"
        self._folder = folder
        self._data.mkdir(parents=True)
        self.port = free_port()
        self.address = f"ldap://127.0.0.1:{self.port}"
        tls = ""
        if certificate is not None:
            tls = (
                f"TLSCACertificateFile {certificate.authority}\nTLSCertificateFile {certificate.certificate}\n"
                f"TLSCertificateKeyFile {certificate.key}"
            )
        text = _CONFIGURATION.format(
            tls=tls,
            limits=limits,
            suffix=SUFFIX,
            administrator=ADMINISTRATOR,
            password=PASSWORD,
            data=self._data,
            database=database,
        )
        if corrects_links:
            text += _CORRECTED_LINKS
        if session_log is not None:
            text += _SYNC.format(log=session_log)
        (folder / "slapd.conf").write_text(text)
        self._process: ServerProcess | None = None
        self.start()

    def start(self) -> None:
        """Starts the server."""
        self._process = ServerProcess(
            [self._slapd, "-d", "0", "-f", str(self._folder / "slapd.conf"), "-h", f"{self.address}/"],
            self._folder / "slapd.log",
            ready=lambda: not is_free(self.port),
        )

    def stop(self) -> None:
        """Ends the server."""
        if self._process is not None:
            self._process.stop()
            self._process = None

    def kill(self) -> None:
        """Kills the server, and waits until its port is free."""
        if self._process is not None:
            self._process.kill()
            self._process = None
        while not is_free(self.port):
            sleep(0.02)

    def backup(self) -> Path:
        """A copy of the data, made while the server is stopped."""
        self.stop()
        copy = self._folder / "backup"
        shutil.copytree(self._data, copy)
        self.start()
        return copy

    def restore(self, copy: Path) -> None:
        """Puts the data of a copy in place of the present data."""
        self.stop()
        shutil.rmtree(self._data)
        shutil.copytree(copy, self._data)
        self.start()

    def load(self, ldif: str) -> None:
        """Adds many entries at once, while the server is stopped."""
        self.stop()
        subprocess.run(
            [program("slapadd", "slapd"), "-q", "-w", "-f", str(self._folder / "slapd.conf")],
            input=ldif.encode(),
            check=True,
            capture_output=True,
        )
        self.start()

    def content(self) -> bytes:
        """Its entries as LDIF."""
        command = [program("slapcat", "slapd"), "-f", str(self._folder / "slapd.conf")]
        return subprocess.run(command, check=True, capture_output=True).stdout

    def client(self) -> Any:
        """A connection that may do everything, as tests ask for what is there."""
        import ldap

        client = ldap.initialize(self.address)
        client.simple_bind_s(ADMINISTRATOR, PASSWORD)
        return client
