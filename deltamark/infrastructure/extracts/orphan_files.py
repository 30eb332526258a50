"""Links to missing resources as CSV files."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pyarrow.csv


def orphan_writer(folder: Path):  # type: ignore[no-untyped-def]
    """Writes to `<folder>/<association>-run<N>.csv`: line, both values, and the end that is missing."""

    def write(run: int, association: str, orphans: pa.Table) -> str:
        folder.mkdir(parents=True, exist_ok=True)
        path = folder / f"{association}-run{run}.csv"
        pyarrow.csv.write_csv(orphans, path)
        return str(path)

    return write
