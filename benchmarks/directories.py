"""The reading of directories: slapd as a whole, a domain by DirSync, each beside a bare client.

It needs the servers of the tests (`make servers`), and root for the domain controller.
"""

from __future__ import annotations

import resource
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from benchmarks.figures import Bench, Goal
from benchmarks.measure import ROUNDS, Measure, WorkFailed, measure, report, report_samples
from deltamark import Engine, TaskState
from deltamark.application.ports.sources import Question, Reached, SourcePlace, Tables, WantedTable
from deltamark.domain.secrets import Secret
from deltamark.domain.sources.places import DeliveryKind
from tests.scenarios.directory_source import configuration
from tests.servers import samba, slapd

PART = "directories"
SOME_ENTRIES = 20_000
USERS, ALL_USERS = 2_000, 20_000
ATTRIBUTES = ("entryUUID", "uid", "cn", "sn", "givenName", "mail", "telephoneNumber", "departmentNumber", "title")
PEOPLE = f"ou=people,{slapd.SUFFIX}"
CHANGES = 100
TIMES, OVER_THE_SERVER_S, ABOVE_IDLE_MIB, UNCHANGED_S, SOME_ENTRIES_S, USERS_S = 2.0, 1.0, 40, 0.3, 1.5, 1.5


def delivered(folder: Path, ask: Question, reading: Callable[[Tables], Reached]) -> tuple[Reached, dict[str, Path]]:
    """Reads into a delivery, whole on disk; gives its tables too."""
    from deltamark.infrastructure.deliveries.folder import DeliveryFolder
    from deltamark.infrastructure.extracts.folder import FolderExtracts

    deliveries = DeliveryFolder(folder, lambda path, options: FolderExtracts(path, options=options))
    with deliveries.draft("benchmark", ask.connection, ask.tables, run=1, task=1) as draft:
        reached = reading(draft)
        delivery = draft.finish(DeliveryKind.SNAPSHOT, None, ask.scope, reached)
    return reached, {name: folder / ask.connection / "1-1" / f"{name}.parquet" for name in delivery.tables}


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


def read(address: str, entries: str) -> None:
    """Reads slapd as a whole.

    Its container is read before, as a process does that has loaded its libraries and opened its store.
    """
    from deltamark.infrastructure.ldap.directory import LdapDirectory

    ask = directory_question(address)
    unit = directory_question(address, "organizationalUnit")
    with tempfile.TemporaryDirectory() as name:
        delivered(Path(name) / "unit", unit, lambda into: LdapDirectory().snapshot(unit, into))
        tables: dict[str, Path] = {}

        def work() -> None:
            _, found = delivered(Path(name) / "all", ask, lambda into: LdapDirectory().snapshot(ask, into))
            tables.update(found)

        report(work)
        _check(tables["Person"], int(entries))


def _check(path: Path, entries: int) -> None:
    """Sees that what was read is what was loaded."""
    import pyarrow.compute as pc
    import pyarrow.parquet as pq

    read = pq.read_table(path)
    assert read.num_rows == entries, f"{read.num_rows} of {entries} entries were read"
    for number in {0, 1, entries // 2, entries - 1}:
        (row,) = read.filter(pc.equal(read["uid"], f"p{number}")).to_pylist()
        expected = {"cn": f"Person {number}", "telephoneNumber": f"+33 1 {number:08}", "title": f"Title {number % 31}"}
        assert expected.items() <= row.items(), row


def read_unchanged(address: str) -> None:
    """Reads slapd, and then what changed since, which is nothing, some times."""
    from deltamark.infrastructure.ldap.directory import LdapDirectory

    ask, source = directory_question(address), LdapDirectory()
    with tempfile.TemporaryDirectory() as name:
        place = delivered(Path(name), ask, lambda into: source.snapshot(ask, into))[0].place
        samples = []
        for _ in range(ROUNDS):
            assert place is not None
            since: SourcePlace = place
            began = time.perf_counter()
            reached, _ = delivered(Path(name), ask, lambda into: source.changes(ask, since, into))  # noqa: B023
            samples.append(time.perf_counter() - began)
            place = reached.place
    report_samples(samples)


def measure_slapd(bench: Bench, folder: Path, entries: int) -> None:
    """Reads slapd as a whole, in turn with `ldapsearch`."""
    server = slapd.Slapd(folder / f"slapd-{entries}", database="maxsize 4294967296")
    try:
        server.load(_people(entries))
        searched: list[tuple[float, float]] = []
        ours: list[Measure] = []
        for _ in range(ROUNDS):
            searched.append(_ldapsearch(server, folder / "found.ldif"))
            ours.append(measure("read-directory", server.address, str(entries), rounds=1))
        unchanged = measure("read-unchanged-directory", server.address, rounds=1)
    finally:
        server.stop()
    own = Measure([one.seconds for one in ours], max(one.megabytes for one in ours))
    bare, worked = (Measure([pair[place] for pair in searched], 0) for place in (0, 1))
    name = f"slapd, {entries:,} entries with {len(ATTRIBUTES)} attributes, into a delivery"
    goal = Goal("ratio", at_most=TIMES) if entries > SOME_ENTRIES else Goal("value", at_most=SOME_ENTRIES_S)
    shared: dict[str, Any] = {"count": entries, "things": "entries"}
    limit = ("ldapsearch with pages of 1,000, into a file", bare)
    bench.add(PART, name, own, limit=limit, goal=goal, **shared)
    bench.add(
        PART,
        f"{name}: processor time",
        [one.cpu_samples[0] for one in ours],
        limit=("that of ldapsearch", worked),
        **shared,
    )
    bench.add(
        PART, f"{name}: memory above that of the idle process", [one.megabytes - one.idle_megabytes for one in ours],
        unit="MB", goal=Goal("value", at_most=ABOVE_IDLE_MIB * 1.048576),
    )  # fmt: skip
    bench.add(PART, f"slapd, nothing changed among {entries:,}", unchanged, goal=Goal("value", at_most=UNCHANGED_S))


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
    with into.open("wb") as output:
        return _timed(command, output)


def _timed(command: Sequence[str], output: Any) -> tuple[float, float]:
    """Runs a program; gives its seconds, and those of the processor."""
    began, before = time.perf_counter(), _of_children()
    subprocess.run(command, stdout=output, check=True)
    return time.perf_counter() - began, _of_children() - before


def _of_children() -> float:
    """The seconds of the processor that processes took which have ended."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def measure_domain(bench: Bench, folder: Path, users: int) -> None:
    """Reads a domain as a whole, and follows its changes into a store, beside a bare client that asks for the same."""
    from deltamark.infrastructure.ldap.active_directory import ActiveDirectory

    with samba.domain_controller(folder / "dc", folder / "template") as controller:
        import ldap

        few = min(USERS, users)
        names = controller.load(few)
        source, ask = ActiveDirectory(), domain_question(controller.authority)
        samples = []
        for _ in range(ROUNDS):
            began = time.perf_counter()
            delivered(folder / "deliveries", ask, lambda into: source.snapshot(ask, into))
            samples.append(time.perf_counter() - began)
        bench.add(
            PART, f"Samba, {few:,} users and a group of all, into a delivery", samples, count=few, things="users",
            goal=Goal("value", at_most=USERS_S),
        )  # fmt: skip
        if users > few:
            names += controller.load(users, first=few)
        settings = {**ask.settings, "password": Secret(samba.PASSWORD)}
        config = configuration(
            "ActiveDirectory", "objectGUID", user="user", group="group", name="sAMAccountName", named_by="Guid"
        )
        rounds = []
        with Engine.open(
            f"sqlite:///{folder / 'store.db'}",
            configuration=config,
            export_output=folder / "files",
            connections={"Source": settings},
        ) as engine:
            began = time.perf_counter()
            first = engine.run_job("Everything")
            assert first.state in (TaskState.COMPLETED, TaskState.WARNING), first  # members that are no users wait
            name = f"Samba, {users:,} users"
            bench.add(PART, f"{name}, read as a whole and applied", [time.perf_counter() - began])
            client = controller.client()
            for number in range(ROUNDS):
                cookie = _asked(client, None)[1]
                for dn in names[:CHANGES]:
                    client.modify_s(dn, [(ldap.MOD_REPLACE, "mail", [f"m{number}@meridian.example".encode()])])
                began = time.perf_counter()
                found, _ = _asked(client, cookie)
                served = time.perf_counter() - began
                assert found == CHANGES, found
                began = time.perf_counter()
                run = engine.run_job("Changes")
                rounds.append((time.perf_counter() - began, served))
                assert run.counts.updated == CHANGES, run
        bench.add(PART, f"{name}: {CHANGES} changes, read and applied", [took for took, _ in rounds])
        bench.add(PART, f"{name}: {CHANGES} changes, a bare request by DirSync", [served for _, served in rounds])
        bench.add(
            PART, f"{name}: {CHANGES} changes, over the bare request", [took - served for took, served in rounds],
            goal=Goal("value", at_most=OVER_THE_SERVER_S),
        )  # fmt: skip


def _asked(client: Any, cookie: bytes | None) -> tuple[int, bytes]:
    """Asks for changes by DirSync and nothing else; gives their number, and the next cookie."""
    import ldap

    from deltamark.infrastructure.ldap import controls

    count = 0
    while True:
        asked = "(|(objectClass=user)(objectClass=group))" if cookie is not None else "(objectClass=domainDNS)"
        request = controls.dirsync(controls.INCREMENTAL_VALUES, 1 << 20, cookie or b"")
        message = client.search_ext(
            samba.DOMAIN, ldap.SCOPE_SUBTREE, asked, ["objectGUID", "sAMAccountName", "mail", "member", "name"],
            serverctrls=[request, controls.extended_dn()],
        )  # fmt: skip
        _, entries, _, answers = client.result3(message, resp_ctrl_classes=controls.RESPONSES)
        count += len(entries)
        (answer,) = [one for one in answers if isinstance(one, controls.DirSyncAnswer)]
        cookie = answer.cookie
        if not answer.more:
            return count, cookie


def measure_part(bench: Bench) -> None:
    """Reads real directories."""
    missing = [name for name in ("slapd", "samba", "ldapsearch") if shutil.which(name, path=f"{_PATHS}") is None]
    if missing:
        raise WorkFailed(f"{', '.join(missing)} not found: make servers")
    with tempfile.TemporaryDirectory(dir=bench.folder) as name:
        for entries in sorted({min(SOME_ENTRIES, bench.people), bench.people}):
            measure_slapd(bench, Path(name), entries)
        measure_domain(bench, Path(name), min(ALL_USERS, bench.people))


_PATHS = "/usr/bin:/bin:/usr/local/bin:/usr/sbin:/sbin"
