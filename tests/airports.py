"""The airports of the tests: a configuration for them, and an independent reading of their releases."""

from __future__ import annotations

import csv
import gzip
from pathlib import Path

from deltamark import (
    Configuration,
    Connector,
    EntityType,
    EntityTypeMapping,
    Job,
    Property,
    PropertyMapping,
    PropertyType,
    SynchronizeTask,
    Thresholds,
)

FOLDER = Path(__file__).parent / "data" / "airports"
RELEASES = sorted(FOLDER.glob("airports-*.csv.gz"))
COLUMNS = ("icao", "iata", "name", "city", "subd", "country", "elevation", "lat", "lon", "tz", "lid")
NUMBERS = {"elevation", "lat", "lon"}

Record = dict[str, str | float]


def configuration() -> Configuration:
    """One connector, one entity type with every column, a job that keeps the changes."""
    return Configuration(
        connectors=[Connector("World", thresholds=Thresholds())],
        entity_types=[EntityType("Airport", [_property(name) for name in COLUMNS])],
        entity_type_mappings=[
            EntityTypeMapping(
                "Airport",
                "World",
                "airports",
                [PropertyMapping(name, name, is_primary_key=name == "icao") for name in COLUMNS],
            )
        ],
        jobs=[Job("Load", [SynchronizeTask(connector="World", do_not_delete_changes=True)])],
    )


def _property(name: str) -> Property:
    kind = PropertyType.DOUBLE if name in NUMBERS else PropertyType.STRING
    return Property(name, kind, is_key=name == "icao")


def records(release: Path) -> dict[str, Record]:
    """A release by Python's own CSV reader: key -> the values that are not empty."""
    with gzip.open(release, "rt", encoding="utf-8", newline="") as file:
        return {row["icao"]: {n: _value(n, v) for n, v in row.items() if v} for row in csv.DictReader(file)}


def _value(name: str, text: str) -> str | float:
    return float(text) if name in NUMBERS else text
