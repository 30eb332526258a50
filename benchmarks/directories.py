"""The reading of directories: slapd as a whole, a domain by DirSync.

It needs the servers of the tests (`make servers`), and root for the domain controller.
"""

from __future__ import annotations

import resource
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from benchmarks.figures import Bench, Goal
from benchmarks.measure import ROUNDS, Measure, WorkFailed, measure, report
from deltamark.application.ports.sources import Question, Reached, Tables, WantedTable
from deltamark.domain.secrets import Secret
from tests.servers import samba, slapd

PART = "directories"
USERS = 2_000
ATTRIBUTES = ("entryUUID", "uid", "cn", "sn", "givenName", "mail", "telephoneNumber", "departmentNumber", "title")
PEOPLE = f"ou=people,{slapd.SUFFIX}"
TIMES, OVER_THE_SERVER_S, ABOVE_IDLE_MIB = 2.0, 1.0, 40
CHANGES = 100


def delivered(folder: Path, ask: Question, reading: Callable[[Tables], Reached]) -> tuple[Reached, int]:
    """Reads into a delivery, which is thrown away; gives the number of its rows too."""
    from deltamark.infrastructure.deliveries.folder import DeliveryFolder
    from deltamark.infrastructure.extracts.folder import FolderExtracts

    deliveries = DeliveryFolder(folder, lambda path, options: FolderExtracts(path, options=options))
    with deliveries.draft("benchmark", ask.connection, ask.tables, run=1, task=1) as draft:
        reached = reading(draft)
        return reached, sum(draft._rows.values())


def directory_question(address: str, object_class: str = "inetOrgPerson") -> Question:
    """All people of slapd, with nine columns."""
    return Question(
        connection="Directory",
        package="Ldap",
        settings={"server": address, "tls": "none", "user": slapd.ADMINISTRATOR},
        secrets={"password": lambda: Secret(slapd.PASSWORD)},
        tables=(WantedTable(name="Person", columns=ATTRIBUTES, options={"ObjectClass": object_class}),),
    )


def domain_question(authority: Path) -> Question:
    """Users, groups and members of the domain."""
    return Question(
        connection="AD",
        package="ActiveDirectory",
        settings={"server": samba.ADDRESS, "authority": str(authority), "user": samba.ADMINISTRATOR},
        secrets={"password": lambda: Secret(samba.PASSWORD)},
        tables=(
            WantedTable(
                name="User",
                columns=("objectGUID", "sAMAccountName", "mail", "department", "dn"),
                options={"ObjectClass": "user", "Filter": "(objectCategory=person)"},
            ),
            WantedTable(name="Group", columns=("objectGUID", "cn"), options={"ObjectClass": "group"}),
            WantedTable(name="Member", columns=("owner", "value"), options={"Links": "Group", "Attribute": "member"}),
        ),
    )


class ServerTime:
    """The seconds that pass within the LDAP library: the server's, and those of decoding its answers."""

    def __init__(self) -> None:
        self.seconds = 0.0

    @contextmanager
    def measured(self) -> Iterator[None]:
        """Measures within a block."""
        from ldap.ldapobject import SimpleLDAPObject

        call = SimpleLDAPObject._ldap_call

        def timed(library: Any, *arguments: Any, **options: Any) -> Any:
            began = time.perf_counter()
            try:
                return call(library, *arguments, **options)
            finally:
                self.seconds += time.perf_counter() - began

        SimpleLDAPObject._ldap_call = timed
        try:
            yield
        finally:
            SimpleLDAPObject._ldap_call = call


def read(address: str, entries: str) -> None:
    """Reads slapd as a whole.

    Its container is read before, as a process does that has loaded its libraries and opened its store.
    """
    from deltamark.infrastructure.ldap.directory import LdapDirectory

    ask = directory_question(address)
    unit = directory_question(address, "organizationalUnit")
    with tempfile.TemporaryDirectory() as name:
        delivered(Path(name), unit, lambda into: LdapDirectory().snapshot(unit, into))

    def work() -> None:
        with tempfile.TemporaryDirectory() as name:
            _, rows = delivered(Path(name), ask, lambda into: LdapDirectory().snapshot(ask, into))
            assert rows == int(entries)

    report(work)


def measure_slapd(bench: Bench, folder: Path, entries: int) -> None:
    """Reads slapd as a whole, in turn with `ldapsearch`."""
    server = slapd.Slapd(folder / "slapd", database="maxsize 4294967296")
    try:
        server.load(_people(entries))
        searched, ours = [], []
        for _ in range(ROUNDS):
            searched.append(_ldapsearch(server, folder / "found.ldif"))
            ours.append(measure("read-directory", server.address, str(entries), rounds=1))
    finally:
        server.stop()
    own = Measure([one.seconds for one in ours], max(one.megabytes for one in ours))
    bench.add(
        PART, f"slapd with {len(ATTRIBUTES)} attributes, into a delivery", own, count=entries, things="entries",
        limit=("ldapsearch with pages of 1,000, into a file", Measure([took for took, _ in searched], 0)),
        goal=Goal("ratio", at_most=TIMES),
    )  # fmt: skip
    bench.add(PART, "ldapsearch, processor time", [worked for _, worked in searched], count=entries, things="entries")


def _people(count: int) -> str:
    units = (
        f"dn: {slapd.SUFFIX}\nobjectClass: dcObject\nobjectClass: organization\no: Meridian\ndc: meridian\n\n"
        f"dn: {PEOPLE}\nobjectClass: organizationalUnit\nou: people\n\n"
    )
    return units + "\n".join(
        f"dn: uid=p{number},{PEOPLE}\nobjectClass: inetOrgPerson\nuid: p{number}\ncn: Person {number}\n"
        f"sn: Name {number}\ngivenName: First {number}\nmail: p{number}@meridian.example\n"
        f"telephoneNumber: +33 1 {number:08}\n"
        f"departmentNumber: D{number % 97}\ntitle: Title {number % 31}\n"
        for number in range(count)
    )


def _ldapsearch(server: slapd.Slapd, into: Path) -> tuple[float, float]:
    command = ["ldapsearch", "-LLL", "-x", "-H", server.address, "-D", slapd.ADMINISTRATOR, "-w", slapd.PASSWORD]
    command += ["-b", slapd.SUFFIX, "-E", "pr=1000/noprompt", "(objectClass=inetOrgPerson)", *ATTRIBUTES]
    began, before = time.perf_counter(), _of_children()
    with into.open("wb") as output:
        subprocess.run(command, stdout=output, check=True)
    return time.perf_counter() - began, _of_children() - before


def _of_children() -> float:
    """The seconds of the processor that processes took which have ended."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def measure_domain(bench: Bench, folder: Path, users: int) -> None:
    """Rounds of changes of a domain, read by DirSync."""
    from deltamark.infrastructure.ldap.active_directory import ActiveDirectory

    with samba.domain_controller(folder / "dc", folder / "template") as controller:
        import ldap

        names = controller.load(users)
        client, source, ask = controller.client(), ActiveDirectory(), domain_question(controller.authority)
        reached, took, served, rows = _read(folder, ask, lambda into: source.snapshot(ask, into))
        name = f"Samba, {users:,} users, a group of all"
        bench.add(PART, name, [took], count=rows)
        bench.add(PART, f"{name}: over the server's own time", [took - served])
        over, totals = [], []
        for number in range(ROUNDS):
            for dn in names[:CHANGES]:
                client.modify_s(dn, [(ldap.MOD_REPLACE, "department", [f"D{number}".encode()])])
            place = reached.place
            assert place is not None
            reached, took, served, rows = _read(folder, ask, lambda into: source.changes(ask, place, into))  # noqa: B023
            assert rows == CHANGES
            over.append(took - served)
            totals.append(took)
        goal = Goal("value", at_most=OVER_THE_SERVER_S)
        bench.add(PART, f"Samba, {CHANGES} changes", totals, count=CHANGES, things="changes")
        bench.add(PART, f"Samba, {CHANGES} changes: over the server's own time", over, goal=goal)


def _read(folder: Path, ask: Question, reading: Callable[[Tables], Reached]) -> tuple[Reached, float, float, int]:
    server = ServerTime()
    began = time.perf_counter()
    with server.measured():
        reached, rows = delivered(folder / "deliveries", ask, reading)
    return reached, time.perf_counter() - began, server.seconds, rows


def measure_part(bench: Bench) -> None:
    """Reads real directories."""
    missing = [name for name in ("slapd", "samba", "ldapsearch") if shutil.which(name, path=f"{_PATHS}") is None]
    if missing:
        raise WorkFailed(f"{', '.join(missing)} not found: make servers")
    with tempfile.TemporaryDirectory(dir=bench.folder) as name:
        measure_slapd(bench, Path(name), bench.people)
        measure_domain(bench, Path(name), min(USERS, bench.people))


_PATHS = "/usr/bin:/bin:/usr/local/bin:/usr/sbin:/sbin"
