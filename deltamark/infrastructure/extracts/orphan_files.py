"""Links to missing resources, written as CSV files."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pyarrow.csv


def orphan_writer(folder: Path) -> Callable[[int, str, pa.Table], str]:
    """A function that writes the orphans of an association in a run.

    It returns the path of the file.

    The file is ``<folder>/<association>-run<N>.csv``: line, both values, and the end that is missing.
    """

    def write(run: int, association: str, orphans: pa.Table) -> str:
        folder.mkdir(parents=True, exist_ok=True)
        path = folder / f"{association}-run{run}.csv"
        pyarrow.csv.write_csv(orphans, path)
        return str(path)

    return write
