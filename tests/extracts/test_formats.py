"""Every registered format gives the same rows for the same table. A new format adds its writer to `WRITERS`."""

import csv
import gzip
import io
import json

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from deltamark.domain.errors import SourceError
from deltamark.domain.values import PropertyType as T
from deltamark.infrastructure.extracts.formats import ENDINGS, FORMATS, format_of
from tests.extracts.folder import STRING, states
from tests.extracts.workbooks import workbook

COLUMNS = ("id", "name", "age", "hired", "unmapped")
ROWS = [
    ("k1", "Zoé", "7", "2024-01-02T03:04:05Z", "x"),
    ("k2", "two\nlines, \"quoted\"; and 'so' on", "-1", None, None),
    ("k3", None, None, "2024-02-29", "x"),
    ("k4", "not a number", "seven", None, "x"),
    (None, "no key", "1", None, "x"),
    ("k5", "first", "1", None, "x"),
    ("k5", "second", "1", None, "x"),
    ("k6", "twice", "1", None, "x"),
    ("k6", "twice", "1", None, "x"),
]
TYPES = {"id": STRING, "name": STRING, "age": T.INT32, "hired": T.DATE_TIME}


def csv_text(columns, rows):
    text = io.StringIO()
    writer = csv.writer(text)
    writer.writerows([columns, *(["" if cell is None else cell for cell in row] for row in rows)])
    return text.getvalue().encode()


def zstandard(content):
    sink = pa.BufferOutputStream()
    with pa.CompressedOutputStream(sink, "zstd") as stream:
        stream.write(content)
    return sink.getvalue().to_pybytes()


def parquet(columns, rows):
    sink = io.BytesIO()
    pq.write_table(pa.table({name: [row[i] for row in rows] for i, name in enumerate(columns)}), sink)
    return sink.getvalue()


def json_lines(columns, rows):
    return b"".join(json.dumps(dict(zip(columns, row, strict=True))).encode() + b"\n" for row in rows)


WRITERS = {
    ".csv": csv_text,
    ".csv.gz": lambda columns, rows: gzip.compress(csv_text(columns, rows)),
    ".csv.zst": lambda columns, rows: zstandard(csv_text(columns, rows)),
    ".parquet": parquet,
    ".jsonl": json_lines,
    ".jsonl.gz": lambda columns, rows: gzip.compress(json_lines(columns, rows)),
    ".jsonl.zst": lambda columns, rows: zstandard(json_lines(columns, rows)),
    ".xlsx": lambda columns, rows: workbook([columns, *rows]),
}


def read(folder, ending, columns=COLUMNS, rows=ROWS):
    folder.write(f"people{ending}", WRITERS[ending](columns, rows))
    return folder.read_mapped(TYPES)


def test_every_format_has_a_writer_here_and_its_own_ending():
    assert set(WRITERS) == set(ENDINGS)
    assert [format_of(ending) for ending in ENDINGS] == list(FORMATS)


@pytest.mark.parametrize("ending", ENDINGS)
def test_the_same_table_gives_the_same_resources_in_every_format(folder, ending):
    extract = read(folder, ending)

    assert states(extract) == {
        "k1": {"P0": "k1", "P1": "Zoé", "P2": 7, "P3": "2024-01-02T03:04:05Z"},
        "k2": {"P0": "k2", "P1": "two\nlines, \"quoted\"; and 'so' on", "P2": -1},
        "k3": {"P0": "k3", "P3": "2024-02-29T00:00:00Z"},
        "k6": {"P0": "k6", "P1": "twice", "P2": 1},
    }
    assert extract.rows["key"].to_pylist() == ["k1", "k2", "k3", "k6"]


@pytest.mark.parametrize("ending", ENDINGS)
def test_the_same_rows_are_set_aside_in_every_format(folder, ending):
    extract = read(folder, ending)

    assert [(row.column, row.key, row.value) for row in extract.cleansed.set_aside] == [
        ("age", "k4", "seven"),
        ("id", None, None),
        ("id", "k5", "k5"),
        ("id", "k5", "k5"),
        ("id", "k6", "k6"),
    ]
    assert sorted(extract.kept.to_pylist()) == ["k4", "k5"]
    assert extract.cleansed.read.rows == len(ROWS)
    assert extract.cleansed.read.file == f"people{ending}"


@pytest.mark.parametrize("ending", ENDINGS)
def test_a_missing_column_is_refused_by_name_in_every_format(folder, ending):
    with pytest.raises(SourceError, match=r'there is no column "hired" \(the nearest is "fired"\); there are "id"'):
        read(folder, ending, columns=("id", "name", "age", "fired", "unmapped"))


@pytest.mark.parametrize("ending", ENDINGS)
def test_a_file_of_another_kind_is_refused_in_every_format(folder, ending):
    folder.write(f"people{ending}", b"%PDF-1.7\n")

    with pytest.raises(SourceError, match=f"this is a PDF document, not {format_of(ending).described}"):
        folder.read_mapped(TYPES)


@pytest.mark.parametrize("ending", [".csv", ".csv.gz", ".csv.zst", ".parquet", ".xlsx"])
def test_a_table_of_a_header_alone_has_no_rows(folder, ending):
    empty = [(None,) * len(COLUMNS)][:0]
    folder.write(f"people{ending}", WRITERS[ending](COLUMNS, empty))

    assert folder.read(**dict.fromkeys(("id", "name"), STRING)).rows.num_rows == 0
