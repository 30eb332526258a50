"""A house whose changes are delivered to sinks, and what receivers got."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from attrs import evolve

from deltamark import Configuration, Connection, ConnectionTable, Connector, Engine
from tests.scenarios.house import House, configuration

Document = Mapping[str, Any]
PEOPLE = {"Subject": "Person", "Properties": "name=Name, mail=Mail"}


def with_sinks(configured: Configuration, *sinks: Connection) -> Configuration:
    """A configuration with connections that changes are delivered to."""
    connectors = [*configured.connectors, Connector("Elsewhere")]
    return evolve(configured, connectors=connectors, connections=[*configured.connections, *sinks])


def sink(package: str, *tables: Mapping[str, str], name: str = "Feed", table: str = "people") -> Connection:
    """A connection that changes are delivered to; of people where nothing else is said."""
    named = [ConnectionTable(f"{table}{number or ''}", options) for number, options in enumerate(tables or (PEOPLE,))]
    return Connection(name, "Elsewhere", package, tables=named)


class SinkHouse(House):
    """A house with sinks.

    :param settings: connection -> its settings.
    """

    def __init__(
        self, url: str, folder: Path, clock: Any, *sinks: Connection, settings: Mapping[str, Any], **configured: Any
    ) -> None:
        self.settings, self.sinks = settings, sinks
        super().__init__(url, folder, clock, with_sinks(configuration(**configured), *sinks))

    def _opened(self, configured: Configuration) -> Engine:
        if not configured.sinks:
            configured = with_sinks(configured, *self.sinks)
        return Engine.open(
            self.url,
            configuration=configured,
            export_output=self.folder,
            clock=self._clock,
            connections=self.settings,
        )

    def lived(self) -> SinkHouse:
        """Six changes: three people come, one is changed twice, one goes."""
        self.people({"1": "Ann", "2": "Bo", "3": "Cem"}).run()
        self.people({"1": "Anna", "2": "Bo", "3": "Cem"}).run()
        self.people({"1": {"name": "Anna", "mail": "a@x"}, "2": "Bo"}).run()
        return self


def json_lines(folder: Path) -> list[Document]:
    """The changes in all files of a folder, in the order of their names, without the ends, which must be right."""
    found: list[Document] = []
    for file in sorted(folder.glob("*.jsonl")):
        *documents, end = [json.loads(line) for line in file.read_text().splitlines()]
        assert end["end"]["count"] == len(documents)
        found += documents
    return found


def csv_rows(folder: Path) -> list[Document]:
    """As `json_lines`."""
    found: list[Document] = []
    for file in sorted(folder.glob("*.csv")):
        with file.open(newline="") as stream:
            *rows, end = list(csv.DictReader(stream))
        assert end["change"] == "end"
        found += rows
    return found


def faults(got: Iterable[Document], wanted: Sequence[Document]) -> list[str]:
    """What is wrong with what a receiver got: each wanted change at least once, the first times in order, one id each.

    The changes that are wanted are those that one delivery without any failure brings.
    """
    found = []
    first: dict[int, Document] = {}
    for document in got:
        known = first.setdefault(document["position"], document)
        if known["id"] != document["id"]:
            found.append(f"position {document['position']} came by two ids")
    if list(first) != sorted(first):
        found.append(f"out of order: {list(first)}")
    for document in wanted:
        if document["position"] not in first:
            found.append(f"position {document['position']} is missing")
        elif dict(first[document["position"]]) != dict(document):
            found.append(f"position {document['position']} differs")
    return found + [f"position {p} is none" for p in set(first) - {document["position"] for document in wanted}]
