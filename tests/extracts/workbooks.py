"""Workbooks for tests, written by another library than the one that reads them."""

from __future__ import annotations

import io
import re
import zipfile
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import openpyxl


def workbook(
    rows: Iterable[Sequence[Any]], change: Callable[[Any], None] | None = None, sheet: str = "Sheet1"
) -> bytes:
    """A workbook with one sheet.

    :param change: changes the workbook before it is written.
    """
    book = openpyxl.Workbook()
    book.active.title = sheet
    for row in rows:
        book.active.append(row)
    if change is not None:
        change(book)
    sink = io.BytesIO()
    book.save(sink)
    return sink.getvalue()


def replaced(content: bytes, pattern: bytes, text: bytes, member: str = "xl/worksheets/sheet1.xml") -> bytes:
    """A workbook of which one file is altered."""
    sink = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(content)) as before, zipfile.ZipFile(sink, "w", zipfile.ZIP_DEFLATED) as after:
        for name in before.namelist():
            data = before.read(name)
            after.writestr(name, re.sub(pattern, text, data) if name == member else data)
    return sink.getvalue()
