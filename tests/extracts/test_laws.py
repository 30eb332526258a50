"""No row of a generated extract is lost, compared with Python's csv module."""

import csv
import io
import json
import tempfile
from pathlib import Path

import duckdb
import orjson
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from deltamark.domain.errors import SourceError
from deltamark.domain.synchronization.keys import stripped
from deltamark.domain.values import PropertyType
from tests.extracts.folder import Folder, aside, states
from tests.tiers import examples

TEXT = st.text(st.sampled_from('ab"",;\n\r é\u2028\x1f\x1a😀\\|\t0'), max_size=6)
ROWS = st.lists(st.tuples(TEXT, TEXT, TEXT), max_size=8)


def state_of(row):
    """What a row says: a key is without what surrounds it."""
    return {f"P{i}": value for i, value in enumerate([stripped(row[0]), *row[1:]]) if value}


def written(rows, end, always, delimiter):
    out = io.StringIO(newline="")
    breaks = any(char in "\r\n" for row in rows for cell in row for char in cell)
    style = csv.QUOTE_ALL if always or breaks else csv.QUOTE_MINIMAL  # csv leaves some breaks unquoted
    csv.writer(out, lineterminator=end, quoting=style, delimiter=delimiter).writerows([("id", "a", "b"), *rows])
    return out.getvalue()


@settings(max_examples=examples(150), deadline=None)
@given(ROWS, st.sampled_from(["\n", "\r\n"]), st.booleans(), st.sampled_from(",;\t|"))
@example([("k", 'x\r\ny"', "\r"), ("k2", "\n\n", '""')], "\n", False, ",")
def test_rows_written_by_the_csv_module_are_read_with_their_lines(rows, end, always, delimiter):
    text = written(rows, end, always, delimiter)
    expected, line = [], 2
    for row in rows:
        if any(map(stripped, row)):
            expected.append((line, state_of(row)))
        row_text = written([row], end, True, delimiter)
        line += row_text.count("\n") - 1
    with tempfile.TemporaryDirectory() as path:
        found = Folder(Path(path)).read_three_columns(text)
    good = [(r["line"], json.loads(r["state"])) for r in found.rows.to_pylist()]
    reported = {line for line, _ in good} | {s.line for s in found.cleansed.set_aside}

    assert found.cleansed.read.rows == len(expected) == len(good) + len(found.cleansed.set_aside)
    assert reported == {line for line, _ in expected}
    assert all(pair in expected for pair in good)
    assert (found.cleansed.incomplete is None) == all("P0" in state for _, state in expected)
    for row in found.cleansed.set_aside:
        assert row.reason.startswith(("the key is empty", "the same row as line", "the key also occurs in line"))


@settings(max_examples=examples(300), deadline=None)
@given(st.text(st.sampled_from('ab",\n\n \r'), max_size=40))
@example('"1"x,2,3\n4,5,6')
@example('1,"2\n3",4\n\n5,6,7')
@example('a"b,"",c"')
@example(' "x",y,z')
@example("1,2,3\r\n4,5,6\n7,8,9")
@example("a,,,")
@example('""a')
def test_a_text_is_refused_or_each_of_its_rows_is_applied_or_set_aside(body):
    """The csv module is the oracle. Rows that it accepts may be set aside or refused, but not lost."""
    text = "id,a,b\n" + body + "\n"
    with tempfile.TemporaryDirectory() as path:
        try:
            found = Folder(Path(path)).read_three_columns(text)
        except SourceError as refused:
            problem, found = refused.problem, None
    if found is None:
        assert '"' in body or "cut off" in problem
        return
    if "\r" in body:
        return
    rows = [row for row in csv.reader(io.StringIO(text, newline=""), strict=False) if any(map(stripped, row))][1:]
    good = [json.loads(r["state"]) for r in found.rows.to_pylist()]
    # An extra delimiter at the end of a row gives an extra empty cell, which loses nothing.
    whole = [row[:3] for row in rows if len(row) == 3 or (len(row) == 4 and not row[3])]
    expected = [state_of(row) for row in whole]

    assert found.cleansed.read.rows == len(rows)
    assert len(good) + len(found.cleansed.set_aside) == len(rows)
    assert all(state in expected for state in good)


def test_texts_have_the_json_that_orjson_writes(folder):
    nasty = [
        'q"uote',
        "back\\slash",
        "/",
        *map(chr, range(1, 160)),
        "\u2028\u2029",
        "é",
        "😀",
        "\ufffe\ud7ff\u202e",
        "👩\u200d🚀",
    ]
    quoted = "".join(f'k{i},"{value.replace(chr(34), chr(34) * 2)}"\n' for i, value in enumerate(nasty))

    found = folder.read("id,name\n" + quoted)

    expected = [orjson.dumps({"P0": f"k{i}", "P1": value}).decode() for i, value in enumerate(nasty)]
    assert found.rows["state"].to_pylist() == expected


@settings(max_examples=examples(30), deadline=None)
@given(st.lists(st.floats(allow_nan=False, allow_infinity=False), min_size=1, max_size=200, unique=True))
@example([1e20, 1e16, 1e15, 1e-7, 1e-6, 1.5e-5, 1e-4, 0.1, 1.0, 123456789.125, 5e-324, 1.7976931348623157e308, 3435.0])
def test_numbers_have_the_json_that_orjson_writes(numbers):
    text = "id,name\n" + "".join(f"{i},{number!r}\n" for i, number in enumerate(numbers))

    with tempfile.TemporaryDirectory() as path:
        found = Folder(Path(path)).read(text, id=PropertyType.STRING, name=PropertyType.DOUBLE)

    expected = [orjson.dumps({"P0": str(i), "P1": n + 0.0}).decode() for i, n in enumerate(numbers)]
    assert found.rows["state"].to_pylist() == expected
    assert not aside(found)


def test_a_large_extract_is_complete_read_directly_or_normalized(folder):
    rows = 60_000
    duckdb.sql(f"select 'k' || i as id, 'n' || (i % 7) as name from range({rows}) t(i)").write_csv(
        str(folder.path / "people.csv"), header=True
    )
    plain = (folder.path / "people.csv").read_bytes()
    as_it_is = folder.read()

    quoted = folder.read(plain.replace(b"\nk5,n5\n", b'\nk5,"n5"\n'))
    mixed = folder.read(plain.replace(b"\nk5,n5\n", b"\nk5,n5\r\n"))
    blank = folder.read(plain.replace(b"\nk5,n5\n", b"\nk5,n5\n\n"))

    assert as_it_is.rows.num_rows == rows
    assert quoted.rows.equals(as_it_is.rows)
    assert mixed.rows.equals(as_it_is.rows)
    assert blank.rows["line"].to_pylist() == [*range(2, 8), *range(9, rows + 3)]
    assert states(blank) == states(as_it_is)


@pytest.mark.parametrize("size", [1_000_000, 5_000_000, 60_000_000])
def test_a_long_field_is_read(folder, size):
    found = folder.read(b"id,name\nk," + b"x" * size + b'\nl,"' + b"y" * 10 + b'\n"\n')

    assert [len(row["state"]) for row in found.rows.to_pylist()] == [size + len('{"P0":"k","P1":""}'), 30]
    assert found.rows["line"].to_pylist() == [2, 3]
