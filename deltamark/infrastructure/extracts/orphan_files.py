"""Links to missing resources, written as CSV files."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pyarrow.csv

from deltamark.infrastructure.system.atomic_file import whole_file_below

ORPHANS = "orphans"
"""The folder of these files, in that of the extracts."""


def orphan_writer(folder: Path) -> Callable[[int, str, pa.Table], str]:
    """A function that writes the orphans of an association in a run.

    It returns the path of the file.

    The file is ``<folder>/orphans/<association>-run<N>.csv``: line, both values, and the end that is missing. It
    appears whole or not at all, and is never written through a link.

    :param folder: that of the extracts.
    """

    def write(run: int, association: str, orphans: pa.Table) -> str:
        name = f"{association}-run{run}.csv"
        with whole_file_below(folder, ORPHANS, name) as stream:
            pyarrow.csv.write_csv(orphans, stream)
        return str(folder / ORPHANS / name)

    return write
