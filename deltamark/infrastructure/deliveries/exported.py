"""What a source gives as files in a folder of the user, for people who want to see it."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pyarrow as pa
import pyarrow.csv as pc
import pyarrow.parquet as pq

from deltamark.application.ports.deliveries import Delivery
from deltamark.domain.errors import UsageError
from deltamark.domain.values import shown
from deltamark.infrastructure.deliveries.folder import DeliveryFolder, ReadFolder

_ASIDE = ".delivery"
_RECORD = "delivery.json"


@contextmanager
def exported_to(folder: Path, read_folder: ReadFolder) -> Iterator[DeliveryFolder]:
    """Deliveries that are written aside in a new or empty folder; what is left of them is removed.

    :raises UsageError: if the folder holds something, or cannot be made.
    """
    try:
        folder.mkdir(exist_ok=True)
        if any(folder.iterdir()):
            raise UsageError(f"the folder {shown(str(folder))} is not empty. Name a new one.")
    except OSError as e:
        raise UsageError(f"the folder {shown(str(folder))} cannot be written ({e.strerror or e}). Name another.") from e
    try:
        yield DeliveryFolder(folder / _ASIDE, read_folder)
    finally:
        shutil.rmtree(folder / _ASIDE, ignore_errors=True)


def place_files(folder: Path, delivery: Delivery, *, as_csv: bool) -> None:
    """Moves the files of a delivery into the folder, `delivery.json` last; tables as Parquet or CSV."""
    source = folder / _ASIDE / delivery.connection / delivery.made
    record = json.loads((source / _RECORD).read_bytes())
    for member in ("epoch", "made", "place", "run", "since", "task"):
        record.pop(member, None)
    for table in delivery.tables:
        parquet = source / f"{table}.parquet"
        if as_csv:
            written = folder / f"{table}.csv"
            _write_csv(parquet, written)
            record["tables"][table]["digest"] = hashlib.sha256(written.read_bytes()).hexdigest()
        else:
            parquet.rename(folder / parquet.name)
    with (folder / _RECORD).open("x", encoding="utf-8") as stream:
        stream.write(json.dumps(record, indent=1, sort_keys=True))


def _write_csv(parquet: Path, written: Path) -> None:
    with pq.ParquetFile(parquet) as file, pc.CSVWriter(written, file.schema_arrow) as writer:
        for batch in file.iter_batches():
            writer.write_table(pa.Table.from_batches([batch]))
