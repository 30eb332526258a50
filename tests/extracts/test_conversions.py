import json

import pytest

from deltamark.domain.errors import SourceError
from deltamark.domain.values import PropertyType as T
from tests.extracts.folder import aside, states

READ = [
    (T.INT32, "7", "7"),
    (T.INT32, " +007 ", "7"),
    (T.INT32, "\u00a0-7\t", "-7"),
    (T.INT32, "-0", "0"),
    (T.INT32, "3435.0", "3435"),
    (T.INT32, "3435.", "3435"),
    (T.INT32, "2147483647", "2147483647"),
    (T.INT64, "-9223372036854775808", "-9223372036854775808"),
    (T.INT64, "9223372036854775807.000", "9223372036854775807"),
    (T.INT16, "-32768", "-32768"),
    (T.BYTE, "255", "255"),
    (T.DOUBLE, "3435", "3435.0"),
    (T.DOUBLE, "-0.0", "0.0"),
    (T.DOUBLE, "-2.5e-400", "0.0"),
    (T.DOUBLE, "1e5", "100000.0"),
    (T.DOUBLE, ".5", "0.5"),
    (T.DOUBLE, "+5.", "5.0"),
    (T.DOUBLE, "38.7040222222222", "38.7040222222222"),
    (T.BOOL, "TRUE", "true"),
    (T.BOOL, " 0 ", "false"),
    (T.BOOL, "1", "true"),
    (T.DATE_TIME, "2024-02-29", '"2024-02-29T00:00:00Z"'),
    (T.DATE_TIME, "2024-01-02T03:04", '"2024-01-02T03:04:00Z"'),
    (T.DATE_TIME, "2024-01-02 03:04:05.5", '"2024-01-02T03:04:05.500000Z"'),
    (T.DATE_TIME, "2024-01-02T03:04:05.000000Z", '"2024-01-02T03:04:05Z"'),
    (T.DATE_TIME, "2024-01-01T01:00:00+02:00", '"2023-12-31T23:00:00Z"'),
    (T.DATE_TIME, "2024-01-01T01:00:00-03:30", '"2024-01-01T04:30:00Z"'),
    (T.DATE_TIME, "2024-03-31T02:30:00", '"2024-03-31T02:30:00Z"'),
    (T.DATE_TIME, "0001-01-01", '"0001-01-01T00:00:00Z"'),
    (T.DATE_TIME, "9999-12-31T23:59:59.999999Z", '"9999-12-31T23:59:59.999999Z"'),
    (T.DATE_TIME, "2038-01-19T03:14:08Z", '"2038-01-19T03:14:08Z"'),
    (T.GUID, "{6F9619FF-8B86-D011-B42D-00CF4FC964FF}", '"6f9619ff-8b86-d011-b42d-00cf4fc964ff"'),
    (T.GUID, "6f9619ff8b86d011b42d00cf4fc964ff", '"6f9619ff-8b86-d011-b42d-00cf4fc964ff"'),
    (T.BYTES, "QUJD RA==", '"QUJDRA=="'),
    (T.BINARY, "QR==", '"QQ=="'),
    (T.FOREIGN_KEY, " 007", '" 007"'),
    *(
        (T.STRING, text, json.dumps(text))
        for text in ("00123", "1e5", "TRUE", "NULL", "N/A", "-", "=cmd|'/c calc'!A1", "'; --")
    ),
]

REFUSED = [
    (T.INT32, ["12x", "1.5", "1e3", "0x10", "2147483648", "1,5", "1 000", "٣", "--1", "9" * 400, "true"]),
    (T.INT16, ["32768"]),
    (T.BYTE, ["-1", "256"]),
    (T.INT64, ["9223372036854775808"]),
    (T.DOUBLE, ["NaN", "Infinity", "-inf", "1e999", "9" * 400, "1,5", "1 000", "0x1p3", "1_0", "."]),
    (T.BOOL, ["yes", "2", "t", "0.0"]),
    (T.DATE_TIME, ["31.02.2026", "2026-02-31", "01/02/26", "0000-01-01", "10000-01-01", "2024-1-2", "infinity", "now",
                   "2024-01-01T24:00:00", "2024-01-01T23:59:60", "2024-01-01T10:00:00.1234567", "2024-01-01+02:00",
                   "0001-01-01T00:00:00+01:00", "9999-12-31T23:00:00-02:00", "2024-01-01T10:00:00 Europe/Paris"]),
    (T.GUID, ["6f9619ff", "{6F9619FF-8B86-D011-B42D-00CF4FC964FF", "6F96-19FF8B86D011B42D00CF4FC964FF", "g" * 32]),
    (T.BYTES, ["QUJ", "QUJD=", "====", "Q-_D", "QQ==QQ=="]),
]  # fmt: skip


@pytest.mark.parametrize(("kind", "cell", "expected"), READ)
def test_a_value_is_stored_in_canonical_form(folder, kind, cell, expected):
    found = folder.read(f'id;name\nk;"{cell}"\n', id=T.STRING, name=kind)

    assert found.rows["state"].to_pylist() == [f'{{"P0":"k","P1":{expected}}}']
    assert not aside(found)


@pytest.mark.parametrize(("kind", "cells"), REFUSED)
def test_a_row_with_a_value_of_another_type_is_set_aside_and_its_key_kept(folder, kind, cells):
    text = "id;name\ngood;\n" + "".join(f'k{i};"{cell}"\n' for i, cell in enumerate(cells))

    found = folder.read(text, id=T.STRING, name=kind)

    assert aside(found) == [(i + 3, "name", f"the value is not {kind.described}", cell) for i, cell in enumerate(cells)]
    assert found.kept.to_pylist() == [f"k{i}" for i in range(len(cells))]
    assert [s.key for s in found.cleansed.set_aside] == found.kept.to_pylist()
    assert states(found) == {"good": {"P0": "good"}}
    assert found.cleansed.incomplete is None


def test_empty_cells_and_blanks_in_other_types_than_text_are_no_value(folder):
    found = folder.read('id,a,b,c\nk,"", ,\nl, , ,\n', id=T.STRING, a=T.STRING, b=T.INT32, c=T.DATE_TIME)

    assert states(found) == {"k": {"P0": "k"}, "l": {"P0": "l", "P1": " "}}


FORMATS = [
    ("yyyy-MM-dd", "2024-02-29", "2024-02-29T00:00:00Z"),
    ("dd.MM.yyyy HH:mm:ss", "31.12.2024 23:59:58", "2024-12-31T23:59:58Z"),
    ("d/M/yyyy H:m:s", "1/2/2024 3:4:5", "2024-02-01T03:04:05Z"),
    ("MM/dd/yy", "01/02/26", "2026-01-02T00:00:00Z"),
    ("MM/dd/yy", "01/02/50", "1950-01-02T00:00:00Z"),
    ("yyyyMMddHHmmss'.0Z'", "20240102030405.0Z", "2024-01-02T03:04:05Z"),
    ("yyyy-MM-ddTHH:mm:ss.fffZ", "2024-01-02T03:04:05.250Z", "2024-01-02T03:04:05.250000Z"),
    ("M/d/yyyy h:mm tt", "1/2/2024 12:30 am", "2024-01-02T00:30:00Z"),
    ("M/d/yyyy hh:mm tt", "1/2/2024 12:30 PM", "2024-01-02T12:30:00Z"),
    (r"dd\d MM'm''' yyyy", "02d 01m 2024", "2024-01-02T00:00:00Z"),
    ("1601date", "133485408000000000", "2024-01-01T00:00:00Z"),
    ("1601date", "133485408000000019", "2024-01-01T00:00:00.000001Z"),
    ("1601date", "1", "1601-01-01T00:00:00Z"),
]


@pytest.mark.parametrize(("pattern", "cell", "expected"), FORMATS)
def test_a_date_is_read_in_its_format(folder, pattern, cell, expected):
    found = folder.read(f"id,name\nk,{cell}\n", id=T.STRING, name=T.DATE_TIME, pattern=pattern)

    assert states(found) == {"k": {"P0": "k", "P1": expected}}


@pytest.mark.parametrize(
    ("pattern", "cell"),
    [
        ("dd.MM.yyyy", "31.02.2026"),
        ("dd.MM.yyyy", "1.2.2026"),
        ("dd.MM.yyyy", "01x02x2026"),
        ("yyyy-MM-dd HH:mm", "2024-01-01 24:00"),
        ("M/d/yyyy h:mm tt", "1/2/2024 13:30 PM"),
        ("M/d/yyyy h:mm tt", "1/2/2024 0:30 AM"),
        ("1601date", "-5"),
        ("1601date", "2024-01-01"),
        ("1601date", "9223372036854775806"),
    ],
)
def test_a_date_in_another_format_is_set_aside(folder, pattern, cell):
    found = folder.read(f"id,name\nk,{cell}\n", id=T.STRING, name=T.DATE_TIME, pattern=pattern)

    assert aside(found) == [(2, "name", "the value is not a date", cell)]


def test_file_times_that_mean_never_are_no_value(folder):
    text = "id,name\nk,0\nl,9223372036854775807\nm,\n"

    found = folder.read(text, id=T.STRING, name=T.DATE_TIME, pattern="1601date")

    assert states(found) == {"k": {"P0": "k"}, "l": {"P0": "l"}, "m": {"P0": "m"}}


@pytest.mark.parametrize(
    "pattern",
    ["yyyy-MM-dd G", "MM-dd", "yyyyy-MM-dd", "yyyy-MM-dd hh:mm", "yyyy-MM-dd fffffff", "dd/dd/yyyy MM", "x'; drop"],
)
def test_an_invalid_format_is_refused_with_the_place_of_the_mapping(folder, pattern):
    with pytest.raises(SourceError, match="Format cannot be understood"):
        folder.read("id,name\nk,1\n", id=T.STRING, name=T.DATE_TIME, pattern=pattern)


@pytest.mark.parametrize(
    ("kind", "cell", "key"),
    [
        (T.INT32, "007", "7"),
        (T.GUID, "{6F9619FF-8B86-D011-B42D-00CF4FC964FF}", "6f9619ff-8b86-d011-b42d-00cf4fc964ff"),
        (T.BOOL, "1", "true"),
        (T.DATE_TIME, "2024-01-02", "2024-01-02T00:00:00Z"),
        (T.STRING, " A1 ", " A1 "),
    ],
)
def test_a_key_is_canonical_text(folder, kind, cell, key):
    assert folder.read(f"id,name\n{cell},n\n", id=kind, name=T.STRING).rows["key"].to_pylist() == [key]


def test_properties_are_ordered_by_their_identifiers(folder):
    found = folder.read("id,b\nk,x\n", **{"id": T.STRING, "b": T.STRING} | {f"c{i}": T.STRING for i in range(0)})

    assert found.rows["state"].to_pylist() == ['{"P0":"k","P1":"x"}']
