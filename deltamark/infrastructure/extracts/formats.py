"""The extract formats: which endings are read, and by which reader."""

from __future__ import annotations

from deltamark.infrastructure.extracts.cells import Format
from deltamark.infrastructure.extracts.csv.cells import csv_cells
from deltamark.infrastructure.extracts.excel import excel_cells
from deltamark.infrastructure.extracts.files import GZIP, PARQUET, WORKBOOK, ZSTANDARD
from deltamark.infrastructure.extracts.json_lines import json_lines_cells
from deltamark.infrastructure.extracts.parquet import parquet_cells

FORMATS = (
    Format(ending=".csv", described="CSV text", read=csv_cells),
    Format(ending=".csv.gz", described="a gzip file", signature=GZIP, read=csv_cells),
    Format(ending=".csv.zst", described="a Zstandard file", signature=ZSTANDARD, read=csv_cells),
    Format(ending=".parquet", described="a Parquet file", signature=PARQUET, read=parquet_cells),
    Format(ending=".jsonl", described="JSON lines", read=json_lines_cells),
    Format(ending=".jsonl.gz", described="a gzip file", signature=GZIP, read=json_lines_cells),
    Format(ending=".jsonl.zst", described="a Zstandard file", signature=ZSTANDARD, read=json_lines_cells),
    Format(ending=".xlsx", described="an Excel workbook", signature=WORKBOOK, read=excel_cells),
)
"""In the order in which messages name them."""

ENDINGS = tuple(known.ending for known in FORMATS)
"""Exactly one file of a connection table may have one of these."""


def format_of(ending: str) -> Format:
    """The format with this ending, which is one of `ENDINGS`."""
    return FORMATS[ENDINGS.index(ending)]
