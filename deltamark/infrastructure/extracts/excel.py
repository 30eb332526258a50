"""The cells of a sheet of an Excel workbook, as a CSV file would hold them."""

from __future__ import annotations

import re
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from importlib.util import find_spec
from pathlib import Path
from posixpath import join, normpath
from typing import IO, Any

from attrs import frozen
from lxml import etree

from deltamark.domain.configuration.packages import EXCEL, FILE, SHEET
from deltamark.domain.errors import SourceError
from deltamark.domain.values import shown
from deltamark.infrastructure.extracts.cells import MOST_COLUMNS, ExtractSource, existing_columns, unreadable_rows
from deltamark.infrastructure.extracts.files import ExtractFile
from deltamark.infrastructure.extracts.text_cells import TextCells, TextRows, TextRowsBuilder

_RELATION = "{http://schemas.openxmlformats.org/officeDocument/2006/relationships}id"
_REFERENCE = re.compile(r"([A-Z]{1,3})([1-9][0-9]{0,6})\Z")
_SUSPECT = re.compile(rb"""\bt\s*=\s*["']e["']|<(?:\w+:)?f[\s/>]|<(?:\w+:)?mergeCell\s""")
"""Without any of these bytes, a sheet has no error, formula, or merged cell."""
_VALUE = re.compile(rb"<(?:\w+:)?(?:v|f|is)[\s>]")
"""Without any of these bytes, a sheet has no value, only formats of cells."""

_LEAST_LIMIT = 256 << 20
_BLOCK = 1 << 20


def excel_cells(source: ExtractSource) -> TextCells:
    """Opens a workbook: the sheet that is asked for, the one that is named like the table, or the only one with values.

    A row with an error value, such as #N/A, cannot be read. Empty rows are passed over.

    :raises SourceError: if it is damaged or encrypted, lacks the sheet or a column, has merged rows or formulas
        without values, or if the library that reads it is not installed.
    """
    file = source.file
    library = EXCEL.library
    assert library is not None, "workbooks are read by a library of their own"
    if find_spec(library.module) is None:
        raise SourceError(file.where, "a library that reads workbooks is not installed", advice=library.installation)
    try:
        with zipfile.ZipFile(file.path) as archive:
            _check_size(source, archive)
            sheets = _sheets(archive)
            name = _chosen(source, archive, sheets)
            inspected = _inspected(archive, sheets[name])
        rows = _rows(file, name)
    except (zipfile.BadZipFile, KeyError, etree.XMLSyntaxError, NotImplementedError, RuntimeError, ValueError) as error:
        raise SourceError(
            file.where, f"the workbook cannot be read ({error})", advice="Save it again as an Excel workbook (.xlsx)."
        ) from error
    header = source.mapping.skip_lines
    _check_sheet(file, name, inspected, header + 1)
    names = [_header(value) for value in rows[header]] if len(rows) > header else []
    while names and not names[-1]:
        names.pop()
    if len(names) > MOST_COLUMNS:
        raise SourceError(file.at(header + 1), f"the header has {len(names):,} columns, more than {MOST_COLUMNS:,}")

    def read(numbers: Sequence[int]) -> TextRows:
        return _read(rows, header + 1, numbers, inspected)

    return TextCells(source, names, header + 1, read)


def filled_sheets(path: Path) -> list[str]:
    """The names of the sheets with values, in their order; none of what is no workbook."""
    try:
        with zipfile.ZipFile(path) as archive:
            return [name for name, member in _sheets(archive).items() if _has_values(archive, member)]
    except (OSError, zipfile.BadZipFile, KeyError, etree.XMLSyntaxError, NotImplementedError, RuntimeError, ValueError):
        return []


@frozen
class _Inspected:
    """What a sheet holds that its values do not show.

    :param errors: row -> its first cell with an error value, and that.
    :param formulas: cells with a formula of which no value is stored.
    :param merged: ranges of merged cells with their first and last row.
    """

    errors: dict[int, tuple[str, str]]
    formulas: list[tuple[str, int]]
    merged: list[tuple[str, int, int]]


def _rows(file: ExtractFile, sheet: str) -> list[list[Any]]:
    from python_calamine import CalamineError, load_workbook

    try:
        return load_workbook(str(file.path)).get_sheet_by_name(sheet).to_python(skip_empty_area=False)
    except (CalamineError, OSError) as error:
        raise unreadable_rows(file, error) from error


def _read(rows: list[list[Any]], first: int, numbers: Sequence[int], inspected: _Inspected) -> TextRows:
    builder = TextRowsBuilder(numbers)
    for line, row in enumerate(rows[first:], first + 1):
        if line in inspected.errors:
            cell, value = inspected.errors[line]
            builder.set_aside(line, f"the cell {cell} holds the error {value}", value)
            continue
        texts = tuple([_text(row[number]) if number < len(row) else None for number in numbers])
        if any(text is not None and "\0" in text for text in texts):
            builder.set_aside(line, "a cell has a character NUL", "")
        else:
            builder.add(line, texts)
    return builder.finish()


def _header(value: Any) -> str:
    return (_text(value) or "").strip()


def _text(value: Any) -> str | None:
    if type(value) is str:
        return value
    if type(value) is float:
        return str(int(value)) if value.is_integer() else format(Decimal(repr(value)), "f")
    if type(value) is bool:
        return "true" if value else "false"
    if isinstance(value, (datetime, date, time)):
        return value.isoformat()
    if isinstance(value, timedelta):
        minutes, seconds = divmod(value // timedelta(seconds=1), 60)
        return f"{minutes // 60:02}:{minutes % 60:02}:{seconds:02}"
    return None if value is None else str(value)


def _chosen(source: ExtractSource, archive: zipfile.ZipFile, sheets: Mapping[str, str]) -> str:
    wanted = source.options.get(SHEET)
    table = source.mapping.connection_table
    if wanted is not None and wanted not in sheets:
        raise SourceError(
            source.file.where,
            f"there is no sheet {shown(wanted)}; {existing_columns(list(sheets))}",
            advice=f"Correct {SHEET} on the ConnectionTable {table}.",
        )
    if wanted is not None or table in sheets:
        return wanted or table
    filled = [name for name, member in sheets.items() if len(sheets) == 1 or _has_values(archive, member)]
    if len(filled) == 1:
        return filled[0]
    among = filled or list(sheets)
    file = f'{FILE}="{source.options.get(FILE, source.file.name)}" {SHEET}="{among[0]}"'
    raise SourceError(
        source.file.where,
        f"it is not clear which sheet is meant; {existing_columns(among)}",
        advice=(
            f'Write <ConnectionTable Identifier="{table}" {file} /> in a <Connection> with Package="{EXCEL.name}", '
            f"or name the sheet {shown(table)}."
        ),
    )


def _check_size(source: ExtractSource, archive: zipfile.ZipFile) -> None:
    """Refuses a workbook that grows too far when it is unpacked."""
    unpacked = sum(member.file_size for member in archive.infolist())
    if unpacked > min(source.limits.total, max(_LEAST_LIMIT, source.limits.ratio * source.file.size)):
        raise ValueError(f"it has {unpacked:,} bytes when it is unpacked")


def _sheets(archive: zipfile.ZipFile) -> dict[str, str]:
    """The sheets with cells, each with the name of its file."""
    targets = {}
    for relation in _parsed(archive, "xl/_rels/workbook.xml.rels"):
        if str(relation.get("Type")).endswith("/worksheet"):
            target = relation.get("Target", "")
            targets[relation.get("Id")] = target[1:] if target.startswith("/") else normpath(join("xl", target))
    found = {}
    for element in _parsed(archive, "xl/workbook.xml").iter("{*}sheet"):
        if element.get(_relation(element)) in targets:
            found[element.get("name", "")] = targets[element.get(_relation(element))]
    if not found:
        raise ValueError("it has no sheet with cells")
    return found


def _relation(element: Any) -> str:
    return next((name for name in element.attrib if name.endswith("relationships}id")), _RELATION)


def _parsed(archive: zipfile.ZipFile, name: str) -> Any:
    with archive.open(name) as stream:
        return etree.parse(stream, etree.XMLParser(resolve_entities=False, no_network=True)).getroot()


def _inspected(archive: zipfile.ZipFile, name: str) -> _Inspected:
    inspected = _Inspected({}, [], [])
    with archive.open(name) as stream:
        if not _is_suspect(stream):
            return inspected
    with archive.open(name) as stream:
        for element in _elements(stream):
            _inspect(element, inspected)
    return inspected


def _is_suspect(stream: IO[bytes]) -> bool:
    return _holds(stream, _SUSPECT)


def _has_values(archive: zipfile.ZipFile, name: str) -> bool:
    with archive.open(name) as stream:
        return _holds(stream, _VALUE)


def _holds(stream: IO[bytes], pattern: re.Pattern[bytes]) -> bool:
    """Whether a sheet has what a pattern says, which says nothing of one with two bytes for a character."""
    before = b""
    while block := stream.read(_BLOCK):
        if b"\0" in block or pattern.search(before + block):
            return True
        before = block[-100:]
    return False


def _elements(stream: IO[bytes]) -> Iterator[Any]:
    """The cells and merged ranges of a sheet; of what was seen nothing is kept."""
    tags = ("{*}c", "{*}mergeCell")
    for _, element in etree.iterparse(stream, tag=tags, resolve_entities=False, no_network=True):
        yield element
        element.clear()
        while element.getprevious() is not None:
            del element.getparent()[0]


def _inspect(element: Any, inspected: _Inspected) -> None:
    reference = element.get("r") or element.get("ref") or ""
    if element.tag.endswith("}mergeCell"):
        ends = [_REFERENCE.match(cell) for cell in reference.split(":")]
        rows = sorted(int(end[2]) for end in ends if end is not None)
        if rows and rows[0] < rows[-1]:
            inspected.merged.append((reference, rows[0], rows[-1]))
        return
    match = _REFERENCE.match(reference)
    row = int(match[2]) if match else int(element.getparent().get("r") or 0)
    if not row:
        raise ValueError("its cells do not say where they are")
    value = element.find("{*}v")
    text = "" if value is None else value.text or ""
    if element.get("t") == "e":
        inspected.errors.setdefault(row, (reference or f"row {row}", text or "#ERROR"))
    elif element.find("{*}f") is not None and not text and element.get("t") != "str":
        inspected.formulas.append((reference, row))


def _check_sheet(file: ExtractFile, sheet: str, inspected: _Inspected, header: int) -> None:
    formulas = [cell for cell, row in inspected.formulas if row >= header]
    if formulas:
        raise SourceError(
            file.where,
            f"the cell {formulas[0]} of sheet {shown(sheet)} has a formula, and its value is not stored",
            advice="Open the workbook in a spreadsheet program and save it, or write values in the place of formulas.",
        )
    merged = [cells for cells, _, last in inspected.merged if last > header]
    if merged:
        raise SourceError(
            file.where,
            f"the cells {merged[0]} of sheet {shown(sheet)} are merged: of all rows but the first the value is lost",
            advice="Unmerge them, and write the value in each row.",
        )
    if header in inspected.errors:
        raise SourceError(file.at(header), f"the header holds the error {inspected.errors[header][1]}")
