"""A shop whose items a program holds: the same rows as a CSV file, a Parquet file, and as each Python input."""

from __future__ import annotations

import csv
import dataclasses
import io
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import attrs
import duckdb
import pyarrow as pa
import pyarrow.parquet as pq

from deltamark import (
    Configuration,
    Connector,
    Engine,
    EntityAssociation,
    EntityAssociationMapping,
    EntityType,
    EntityTypeMapping,
    Job,
    PrepareSynchronizationTask,
    Property,
    PropertyMapping,
    PropertyRef,
    PropertyType,
    SynchronizationMode,
    SynchronizeTask,
    Thresholds,
)

Row = Mapping[str, Any]

SCHEMA = pa.schema(
    [
        ("number", pa.int64()),
        ("name", pa.string()),
        ("price", pa.decimal128(12, 2)),
        ("weight", pa.float64()),
        ("listed", pa.bool_()),
        ("since", pa.timestamp("us")),
        ("until", pa.date32()),
        ("picture", pa.binary()),
        ("part_of", pa.int64()),
    ]
)
COLUMNS = tuple(SCHEMA.names)


NO_LIMITS = Thresholds()


def configuration(thresholds: Thresholds = NO_LIMITS) -> Configuration:
    """Items of a shop, which may be parts of others."""
    number = PropertyRef("Item", "Number")

    def synchronize(connector: str, job: str) -> SynchronizeTask:
        return SynchronizeTask(identifier=f"{job}{connector}", connector=connector, do_not_delete_changes=True)

    changes = PrepareSynchronizationTask(
        identifier="PrepareChanges",
        connector="Shop",
        synchronization_mode=SynchronizationMode.INCREMENTAL,
        column_name="command",
    )
    return Configuration(
        connectors=[Connector("Shop", thresholds=thresholds), Connector("Other", thresholds=thresholds)],
        entity_types=[
            EntityType(
                "Item",
                [
                    Property("Number", PropertyType.INT64, is_key=True),
                    Property("Name"),
                    Property("Price", PropertyType.DECIMAL),
                    Property("Weight", PropertyType.DOUBLE),
                    Property("Listed", PropertyType.BOOL),
                    Property("Since", PropertyType.DATE_TIME),
                    Property("Until", PropertyType.DATE_TIME),
                    Property("Picture", PropertyType.BYTES),
                ],
            ),
            EntityType("Note", [Property("Code", is_key=True)]),
        ],
        associations=[
            EntityAssociation(
                "Parts", PropertyRef("Item", "Whole"), PropertyRef("Item", "Parts"), is_property2_collection=True
            )
        ],
        entity_type_mappings=[
            EntityTypeMapping(
                "Item",
                "Shop",
                "items",
                [
                    PropertyMapping("Number", "number", is_primary_key=True),
                    PropertyMapping("Name", "name"),
                    PropertyMapping("Price", "price", decimal_separator=","),
                    PropertyMapping("Weight", "weight"),
                    PropertyMapping("Listed", "listed"),
                    PropertyMapping("Since", "since"),
                    PropertyMapping("Until", "until"),
                    PropertyMapping("Picture", "picture"),
                ],
            ),
            EntityTypeMapping("Note", "Other", "notes", [PropertyMapping("Code", "code", is_primary_key=True)]),
        ],
        association_mappings=[EntityAssociationMapping("Parts", "Shop", "items", "number", "part_of", number, number)],
        jobs=[
            Job("All", [synchronize("Shop", "All")]),
            Job("Changes", [changes, synchronize("Shop", "Changes")]),
            Job("Prepared", [PrepareSynchronizationTask(connector="Shop"), synchronize("Shop", "Prepared")]),
            Job("Both", [synchronize("Shop", "Both"), synchronize("Other", "Both")]),
        ],
    )


def item(number: int | None, name: str | None = None, **said: Any) -> dict[str, Any]:
    """A row of the table, with None where nothing is said."""
    return {**dict.fromkeys(COLUMNS), "number": number, "name": name, **said}


ITEMS = [
    item(1, "Lamp", price=Decimal("19.90"), weight=1.5, listed=True, since=datetime(2024, 2, 29, 10, 30)),
    item(2, "Bulb, 'E14'\nwarm", price=Decimal("2.50"), weight=2.0, part_of=1, picture=b"\x00\xff\x10"),
    item(3, "Żarówka", weight=1e-7, listed=False, until=date(1999, 12, 31), part_of=1),
    item(3, "twice"),
    item(None, "no number"),
    item(4, None, price=Decimal("-0.05"), weight=1e22, since=datetime(1969, 12, 31, 23, 59, 59, 250_000)),
    item(5, "part of nothing", part_of=99),
]
CHANGED = [
    item(1, "Lamp", price=Decimal("17.00"), weight=1.5, listed=True, since=datetime(2024, 2, 29, 10, 30)),
    item(2, "Bulb", price=Decimal("2.50"), weight=2.25, part_of=5, picture=b"\x00\xff\x10"),
    item(5, "part of nothing", part_of=1),
    item(6, "new"),
]


@attrs.frozen
class AttrsItem:
    """A row with one attribute more than the mapping names."""

    number: int | None
    name: str | None
    price: Decimal | None
    weight: float | None
    listed: bool | None
    since: datetime | None
    until: date | None
    picture: bytes | None
    part_of: int | None
    colour: str = "red"


@dataclasses.dataclass
class DataItem:
    """Likewise, as a data class."""

    number: int | None
    name: str | None
    price: Decimal | None
    weight: float | None
    listed: bool | None
    since: datetime | None
    until: date | None
    picture: bytes | None
    part_of: int | None
    colour: str = "red"


class ArrayOnly:
    """Gives one batch by the array interface alone."""

    def __init__(self, batch: pa.RecordBatch) -> None:
        self._batch = batch

    def __arrow_c_array__(self, requested_schema: object = None) -> Any:
        return self._batch.__arrow_c_array__(requested_schema)


def table(rows: Sequence[Row]) -> pa.Table:
    """The rows as an Arrow table."""
    return pa.Table.from_pylist([dict(row) for row in rows], schema=SCHEMA)


def _pandas(rows: Sequence[Row]) -> Any:
    import pandas as pd

    return table(rows).to_pandas(types_mapper=pd.ArrowDtype)


def _polars(rows: Sequence[Row]) -> Any:
    import polars as pl

    return pl.DataFrame(table(rows))


def _relation(rows: Sequence[Row]) -> Any:
    connection = duckdb.connect()
    connection.register("rows", table(rows))
    return connection.sql("select * from rows")


def _batches(rows: Sequence[Row]) -> Iterable[pa.RecordBatch]:
    for row in rows:
        yield from table([row]).to_batches()


INPUTS: Mapping[str, Callable[[Sequence[Row]], Any]] = {
    "pyarrow table": table,
    "pyarrow reader": lambda rows: table(rows).to_reader(),
    "pyarrow array": lambda rows: ArrayOnly(table(rows).combine_chunks().to_batches()[0]),
    "pandas": _pandas,
    "polars": _polars,
    "duckdb": _relation,
    "mappings": lambda rows: [{name: cell for name, cell in row.items() if cell is not None} for row in rows],
    "attrs": lambda rows: [AttrsItem(**row) for row in rows],
    "data classes": lambda rows: [DataItem(**row) for row in rows],
    "generator of batches": _batches,
    "generator of rows": lambda rows: (dict(row) for row in rows),
}
"""The ways in which a program may hold the rows."""


def csv_text(rows: Sequence[Row]) -> bytes:
    """The rows as a CSV file, whose prices have a comma, as the mapping says."""
    import base64

    def cell(name: str, value: Any) -> str:
        match value:
            case None:
                return ""
            case bytes():
                return base64.b64encode(value).decode()
            case datetime() | date():
                return value.isoformat()
            case bool():
                return str(value).lower()
        return str(value).replace(".", ",") if name == "price" else str(value)

    text = io.StringIO(newline="")
    writer = csv.writer(text)
    writer.writerows([COLUMNS, *([cell(name, row[name]) for name in COLUMNS] for row in rows)])
    return text.getvalue().encode()


def parquet(rows: Sequence[Row]) -> bytes:
    """The rows as a Parquet file."""
    sink = io.BytesIO()
    pq.write_table(table(rows), sink)
    return sink.getvalue()


class Shop:
    """An engine for the shop, and the folder from which it reads what no program gives."""

    def __init__(self, url: str, folder: Path, clock: Callable[[], datetime], **opened: Any) -> None:
        self.folder = folder
        folder.mkdir(exist_ok=True)
        self._url, self._clock = url, clock
        self._opened = {"configuration": configuration(), **opened}
        self.engine = self.another()

    def another(self) -> Engine:
        """Another engine for the same store."""
        return Engine.open(self._url, export_output=self.folder, clock=self._clock, **self._opened)

    def names(self) -> dict[str, Any]:
        """Number -> name."""
        return {row.key: row.values.get("Name") for row in self.engine.export_resources("Item")}
