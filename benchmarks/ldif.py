"""How fast records of an LDIF file are read."""

from __future__ import annotations

import base64
import io
import resource
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from benchmarks.figures import Bench, Goal
from benchmarks.measure import ROUNDS, Measure
from deltamark.application.ports.sources import Question, WantedTable
from deltamark.domain.sources.places import DeliveryKind
from deltamark.infrastructure.deliveries.folder import DeliveryFolder
from deltamark.infrastructure.extracts.folder import FolderExtracts
from deltamark.infrastructure.ldap.ldif.reader import LdifReader
from deltamark.infrastructure.ldap.ldif.source import LdifFiles

PART = "ldif"
GOAL = 100_000
"""Records a second."""
_BLOCK = 1 << 20
_COLUMNS = ("entryUUID", "uid", "cn", "mail", "departmentNumber")


def measure_part(bench: Bench) -> None:
    """Reads a file of people with ten attributes: the reader alone, into a delivery, and python-ldap's where it is."""
    folder, people = bench.folder / "ldif", bench.people
    folder.mkdir()
    path = folder / "people.ldif"
    with path.open("wb") as stream:
        stream.write(b"version: 1\n\n")
        stream.writelines(map(_record, range(people)))
    (folder / "first.ldif").write_bytes(_record(0))
    size = path.stat().st_size
    _deliver(folder, "first.ldif")  # loads what a first reading loads
    library = _measured(people, lambda: _read_by_library(path))
    limit = None if library is None else ("python-ldap's parser", library)
    before = _peak()
    for name, read in (("reader alone", lambda: _read(path)), ("into a delivery", lambda: _deliver(folder))):
        ours = _measured(people, read)
        assert ours is not None
        goal = Goal("rate", at_least=GOAL) if name == "reader alone" else None
        bench.add(
            PART, f"{name}, processor time", ours, count=people, things="records", limit=limit, goal=goal,
            disk_bytes=size,
        )  # fmt: skip
    bench.add(PART, "memory that both take", [_peak() - before], unit="MB")


def _measured(people: int, read: Callable[[], int | None]) -> Measure | None:
    worked: list[float] = []
    for _ in range(ROUNDS):
        busy = time.process_time()
        count = read()
        worked.append(time.process_time() - busy)
        if count is None:
            return None
        assert count == people
    return Measure(worked, 0)


def _read(path: Path) -> int:
    with path.open("rb") as stream:
        reader = LdifReader(_blocks(stream), [name.lower() for name in _COLUMNS])
        return sum(1 for _ in reader.entries())


def _deliver(folder: Path, file: str = "people.ldif") -> int:
    options = {"File": file, "ObjectClass": "inetOrgPerson"}
    table = WantedTable(name="people", columns=_COLUMNS, options=options)
    ask = Question(connection="C", package="Ldif", settings={"folder": str(folder)}, tables=[table])
    deliveries = DeliveryFolder(folder / "deliveries", lambda folder, options: FolderExtracts(folder, options=options))
    with deliveries.draft("bench", "C", ask.tables, run=1, task=1) as draft:
        return draft.finish(DeliveryKind.SNAPSHOT, None, ask.scope, LdifFiles().snapshot(ask, draft)).rows


def _read_by_library(path: Path) -> int | None:
    try:
        import ldif
    except ImportError:
        return None
    with path.open("rb") as stream:
        parser = ldif.LDIFRecordList(stream)
        parser.parse_entry_records()
        return len(parser.all_records)


def _blocks(stream: io.BufferedReader) -> Iterator[bytes]:
    return iter(lambda: stream.read(_BLOCK), b"")


def _record(number: int) -> bytes:
    name = base64.b64encode(f"Zoé {number}".encode()).decode()
    return (
        f"dn: uid=u{number},ou=People,dc=meridian,dc=example\n"
        "objectClass: inetOrgPerson\nobjectClass: person\nobjectClass: top\n"
        f"uid: u{number}\ncn:: {name}\nsn: Berg{number}\nmail: u{number}@meridian.example\n"
        f"departmentNumber: D{number % 50}\nentryUUID: 8f3a7a0e-1111-4222-8333-{number:012x}\n"
        "description: a rather long text that goes on and on until it has to\n  be folded, as it is here\n\n"
    ).encode()


def _peak() -> int:
    """The most memory that this process had, in MiB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 // _BLOCK
