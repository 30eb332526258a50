"""`python -m benchmarks.directories` measures the reading of directories: slapd as a whole, a domain by DirSync.

It needs the servers of the tests (`make servers`), and root for the domain controller; it is no part of `make bench`.
"""

from __future__ import annotations

import json
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import median
from typing import Any

import click

from benchmarks.measure import ROUNDS
from deltamark.application.ports.sources import Question, Reached, Tables, WantedTable
from deltamark.domain.secrets import Secret
from tests.servers import samba, slapd

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


def read(address: str) -> None:
    """Reads slapd as a whole, and prints the seconds, the memory and the rows as JSON.

    Its container is read before, as a process does that has loaded its libraries and opened its store.
    """
    from deltamark.infrastructure.ldap.directory import LdapDirectory

    ask = directory_question(address)
    unit = directory_question(address, "organizationalUnit")
    with tempfile.TemporaryDirectory() as name:
        began = time.perf_counter()
        delivered(Path(name), unit, lambda into: LdapDirectory().snapshot(unit, into))
        first = time.perf_counter() - began
        idle = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        began, worked = time.perf_counter(), time.process_time()
        _, rows = delivered(Path(name), ask, lambda into: LdapDirectory().snapshot(ask, into))
        took, worked = time.perf_counter() - began, time.process_time() - worked
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(json.dumps({"first": first, "seconds": took, "processor": worked, "rows": rows, "idle": idle, "peak": peak}))


def measure_slapd(folder: Path, entries: int) -> None:
    """Reads slapd as a whole, in turn with `ldapsearch`."""
    server = slapd.Slapd(folder / "slapd", database="maxsize 4294967296")
    try:
        server.load(_people(entries))
        searched, ours = [], []
        for _ in range(ROUNDS):
            searched.append(_ldapsearch(server, folder / "found.ldif"))
            ours.append(_in_a_process(server.address))
    finally:
        server.stop()
    theirs, own = median(took for took, _ in searched), median(result["seconds"] for result in ours)
    assert all(result["rows"] == entries for result in ours)
    print(f"slapd, {entries:,} entries of {len(ATTRIBUTES)} attributes, medians of {ROUNDS} rounds")
    print(
        f"  ldapsearch with pages of 1,000, into a file: {theirs:.2f} s, {entries / theirs:,.0f} entries/s, "
        f"{median(worked for _, worked in searched):.2f} s of processor time"
    )
    print(
        f"  everything into a delivery: {own:.2f} s, {entries / own:,.0f} entries/s, "
        f"{median(result['processor'] for result in ours):.2f} s of processor time: {own / theirs:.2f} times "
        f"(goal: at most {TIMES:g})"
    )
    peak, idle = (max(result[name] for result in ours) for name in ("peak", "idle"))
    first = median(result["first"] for result in ours)
    print(f"  {first:.2f} s before that for a first reading, of one entry, with loading the libraries")
    print(
        f"  peak memory {peak:.0f} MiB, {peak - idle:.0f} above the process after its first reading "
        f"(goal: at most {ABOVE_IDLE_MIB})"
    )


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


def _in_a_process(address: str) -> dict[str, float]:
    command = [sys.executable, "-m", "benchmarks.directories", "--read", address]
    output = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    result: dict[str, float] = json.loads(output.splitlines()[-1])
    return result


def measure_domain(folder: Path, users: int) -> None:
    """Rounds of changes of a domain, read by DirSync."""
    from deltamark.infrastructure.ldap.active_directory import ActiveDirectory

    with samba.domain_controller(folder / "dc", folder / "template") as controller:
        import ldap

        names = controller.load(users)
        client, source, ask = controller.client(), ActiveDirectory(), domain_question(controller.authority)
        reached, took, served, rows = _read(folder, ask, lambda into: source.snapshot(ask, into))
        print(f"Samba, {users:,} users, a group of all")
        print(f"  everything: {took:.2f} s for {rows:,} rows, {took - served:.2f} s over the server's own time")
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
        print(
            f"  {CHANGES} changes: {median(totals):.2f} s, {median(over):.3f} s over the server's own time "
            f"(goal: at most {OVER_THE_SERVER_S:g} s)"
        )


def _read(folder: Path, ask: Question, reading: Callable[[Tables], Reached]) -> tuple[Reached, float, float, int]:
    server = ServerTime()
    began = time.perf_counter()
    with server.measured():
        reached, rows = delivered(folder / "deliveries", ask, reading)
    return reached, time.perf_counter() - began, server.seconds, rows


@click.command()
@click.option("--entries", default=100_000, show_default=True, help="The number of entries of slapd; 0 leaves it out.")
@click.option("--users", default=2_000, show_default=True, help="The number of users of Samba; 0 leaves it out.")
@click.option("--read", "address", hidden=True, help="Reads this slapd only.")
def main(entries: int, users: int, address: str | None) -> None:
    """Reads real directories, and says how long it takes."""
    if address is not None:
        read(address)
        return
    missing = [name for name in ("slapd", "samba", "ldapsearch") if shutil.which(name, path=f"{_PATHS}") is None]
    if missing:
        raise SystemExit(f"{', '.join(missing)} not found: make servers")
    with tempfile.TemporaryDirectory(prefix="deltamark-bench-") as name:
        if entries:
            measure_slapd(Path(name), entries)
        if users:
            measure_domain(Path(name), users)


_PATHS = "/usr/bin:/bin:/usr/local/bin:/usr/sbin:/sbin"


if __name__ == "__main__":
    main()
