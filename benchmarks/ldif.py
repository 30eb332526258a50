"""`python -m benchmarks.ldif` measures how fast records of an LDIF file are read."""

from __future__ import annotations

import base64
import io
import resource
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from statistics import median

import click

from benchmarks.measure import ROUNDS
from deltamark.application.ports.sources import Question, WantedTable
from deltamark.domain.sources.places import DeliveryKind
from deltamark.infrastructure.deliveries.folder import DeliveryFolder
from deltamark.infrastructure.extracts.folder import FolderExtracts
from deltamark.infrastructure.ldap.ldif.reader import LdifReader
from deltamark.infrastructure.ldap.ldif.source import LdifFiles

GOAL = 100_000
"""Records a second."""
_BLOCK = 1 << 20
_COLUMNS = ("entryUUID", "uid", "cn", "mail", "departmentNumber")


@click.command()
@click.option("--people", default=200_000, show_default=True, help="The number of people.")
def main(people: int) -> None:
    """Reads a file of people with ten attributes: the reader alone, into a delivery, and python-ldap's where it is."""
    with tempfile.TemporaryDirectory(prefix="deltamark-bench-") as name:
        folder = Path(name)
        path = folder / "people.ldif"
        with path.open("wb") as stream:
            stream.write(b"version: 1\n\n")
            stream.writelines(map(_record, range(people)))
        (folder / "first.ldif").write_bytes(_record(0))
        size = path.stat().st_size / _BLOCK
        print(f"{people:,} records in {size:,.0f} MiB, medians of {ROUNDS} rounds, a second of processor time")
        _deliver(folder, "first.ldif")
        before = _peak()
        _measure("reader alone", people, lambda: _read(path), f" (goal: at least {GOAL:,})")
        _measure("into a delivery", people, lambda: _deliver(folder))
        print(
            f"  memory +{_peak() - before} MiB (goal: does not grow with the file; after a first reading of one record)"
        )
        _measure("python-ldap's parser", people, lambda: _read_by_library(path))


def _measure(name: str, people: int, read: Callable[[], int | None], goal: str = "") -> None:
    worked: list[float] = []
    for _ in range(ROUNDS):
        busy = time.process_time()
        count = read()
        worked.append(time.process_time() - busy)
        if count is None:
            print(f"  {name}: not installed")
            return
        assert count == people
    print(f"  {name}: {people / median(worked):,.0f} records/s{goal}")


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


if __name__ == "__main__":
    main()
