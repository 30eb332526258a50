import json

import pytest

from deltamark.domain.configuration.value_formats import ByteOrder
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
    (T.DATE_TIME, "2026-11-24T08:15:30.1234567Z", '"2026-11-24T08:15:30.123456Z"'),
    (T.DATE_TIME, "2026-11-24T08:15:30.123456789+01:00", '"2026-11-24T07:15:30.123456Z"'),
    (T.DATE_TIME, "2026-11-24T08:15:30,5-0130", '"2026-11-24T09:45:30.500000Z"'),
    (T.DATE_TIME, "2026-11-24t08:15:30+02", '"2026-11-24T06:15:30Z"'),
    (T.DATE_TIME, "2026-11-24 08:15:30 +0100", '"2026-11-24T07:15:30Z"'),
    (T.DATE_TIME, "2024-12-31T24:00", '"2025-01-01T00:00:00Z"'),
    (T.DATE_TIME, "20240229T120000Z", '"2024-02-29T12:00:00Z"'),
    (T.DATE_TIME, "20240229", '"2024-02-29T00:00:00Z"'),
    (T.DATE_TIME, "20240229120000.0Z", '"2024-02-29T12:00:00Z"'),
    (T.DATE_TIME, "202402291200+0100", '"2024-02-29T11:00:00Z"'),
    (T.DATE_TIME, "\u202f2024-02-29\u2009", '"2024-02-29T00:00:00Z"'),
    (T.DECIMAL, "1.50", '"1.5"'),
    (T.DECIMAL, " +007.00 ", '"7"'),
    (T.DECIMAL, "-0", '"0"'),
    (T.DECIMAL, "-0.000", '"0"'),
    (T.DECIMAL, "-.5", '"-0.5"'),
    (T.DECIMAL, "100", '"100"'),
    (T.DECIMAL, "1e3", '"1000"'),
    (T.DECIMAL, "-1.25E-3", '"-0.00125"'),
    (T.DECIMAL, "0E-999999999999", '"0"'),
    (T.DECIMAL, "9007199254740993.10", '"9007199254740993.1"'),
    (T.DECIMAL, "9" * 38, f'"{"9" * 38}"'),
    (T.DECIMAL, f"0.{'0' * 37}1", f'"0.{"0" * 37}1"'),
    (T.DECIMAL, f"{'0' * 50}1.5{'0' * 50}", '"1.5"'),
    (T.DATE, "2024-02-29", '"2024-02-29"'),
    (T.DATE, "20240229", '"2024-02-29"'),
    (T.DATE, " 0001-01-01 ", '"0001-01-01"'),
    (T.DATE, "9999-12-31", '"9999-12-31"'),
    (T.DATE, "2024-02-29T00:00:00Z", '"2024-02-29"'),
    (T.DATE, "2024-02-29 00:00", '"2024-02-29"'),
    (T.DATE, "2024-02-29T00:00:00.0000000", '"2024-02-29"'),
    (T.DATE, "2024-02-29T00:00:00+01:00", '"2024-02-29"'),
    (T.DATE, "0001-01-01T00:00:00+14:00", '"0001-01-01"'),
    (T.DATE, "9999-12-31 00:00:00-1100", '"9999-12-31"'),
    (T.DATE, "20240229000000Z", '"2024-02-29"'),
    (T.DATE, "2024-02-28T24:00", '"2024-02-29"'),
    (T.GUID, "xPYr6y1Rf0SKoM8kmfaYDw==", '"eb2bf6c4-512d-447f-8aa0-cf2499f6980f"'),
    (T.GUID, "X'C4f62beb2d517f448aa0cf2499f6980f'", '"eb2bf6c4-512d-447f-8aa0-cf2499f6980f"'),
    (T.GUID, "0xC4F62BEB2D517F448AA0CF2499F6980F", '"eb2bf6c4-512d-447f-8aa0-cf2499f6980f"'),
    (T.GUID, r"\c4\f6\2b\eb\2d\51\7f\44\8a\a0\cf\24\99\f6\98\0f", '"eb2bf6c4-512d-447f-8aa0-cf2499f6980f"'),
    (T.GUID, "C4 F6 2B EB 2D 51 7F 44 8A A0 CF 24 99 F6 98 0F", '"eb2bf6c4-512d-447f-8aa0-cf2499f6980f"'),
    (T.BYTES, "X'00ff'", '"AP8="'),
    (T.BYTES, r"\00\ff", '"AP8="'),
    (T.BYTES, "0xAB", '"0xAB"'),
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

INT32 = "expected is a whole number from -2147483648 to 2147483647"
ISO = "expected is yyyy-MM-dd, alone or with a time as in 2026-11-24T08:15:30Z"
NOT_ISO = f"the date is not written as expected: {ISO[12:]}, or a Format of the mapping that says how it is written"
DAY = "expected is yyyy-MM-dd, alone or with the time 00:00"
NOT_DAY = f"the date is not written as expected: {DAY[12:]}, or a Format of the mapping that says how it is written"
HAS_TIME = "the date has a time of day; a Date has none: declare the property as DateTime, or export the day alone"
DOUBLE = "expected is a number with a decimal point, such as 12.5"
COMMA = 'the number has a decimal comma, which DecimalSeparator="," on the mapping would read'
BOOL = (
    "the value is not a Boolean; expected is one of true, 1, false, 0, or what TrueValues and FalseValues of the "
    "mapping say"
)
GUID = "expected is a Guid such as 6f9619ff-8b86-d011-b42d-00cf4fc964ff, or its 16 bytes in base64 or hexadecimal"

REFUSED = [
    (T.INT32, f"the value is not a number; {INT32}", ["12x", "0x10", "٣", "--1", "true"]),
    (T.INT32, f"the number has an exponent; {INT32}", ["1e3", "-1E-3"]),
    (T.INT32, f"the number has a fraction; {INT32}", ["1.5"]),
    (T.INT32, f"the number does not fit into Int32; {INT32}", ["2147483648", "9" * 400]),
    (T.INT32, f"{COMMA}; {INT32}", ["1,5"]),
    (
        T.INT32,
        f'the number has thousands separators, which ThousandsSeparator=" " on the mapping would read; {INT32}',
        ["1 000", "1\u202f000"],
    ),
    (T.INT16, "the number does not fit into Int16; expected is a whole number from -32768 to 32767", ["32768"]),
    (T.BYTE, "the number does not fit into Byte; expected is a whole number from 0 to 255", ["-1", "256"]),
    (
        T.INT64,
        f"the number does not fit into Int64; expected is {T.INT64.described}",
        ["9223372036854775808"],
    ),
    (
        T.DOUBLE,
        f"the value is not a number; {DOUBLE}",
        ["NaN", "Infinity", "-inf", "0x1p3", "1_0", "."],
    ),
    (T.DOUBLE, f"the number is too large for Double; {DOUBLE}", ["1e999", "9" * 400]),
    (
        T.DOUBLE,
        f"{COMMA}; {DOUBLE}",
        ["12,50", "-0,5"],
    ),
    (
        T.DOUBLE,
        f'the number has thousands separators, which ThousandsSeparator="\'" on the mapping would read; {DOUBLE}',
        ["1\'234.5"],
    ),
    (T.BOOL, BOOL, ["yes", "2", "t", "0.0"]),
    (T.DATE_TIME, NOT_ISO, ["31.02.2026", "01/02/26", "infinity", "now", "29/02/2024", "45351", "1709208000",
                            "2024-01-01+02:00", "2024-01-01T10:00:00 Europe/Paris"]),
    (T.DATE_TIME, f"there is no such day: February 2026 has 28 days; {ISO}", ["2026-02-31", "20260231T120000Z"]),
    (T.DATE_TIME, f"there is no month 13; day and month may be exchanged; {ISO}", ["2024-13-01"]),
    (T.DATE_TIME, f"there is no year 0; {ISO}", ["0000-01-01"]),
    (T.DATE_TIME, f"the date is beyond the year 9999; {ISO}", ["10000-01-01"]),
    (T.DATE_TIME, f"the month has 1 digit, not 2; {ISO}", ["2024-1-2"]),
    (T.DATE_TIME, f"there is no such time of day: the hour is 24; {ISO}", ["2024-01-01T24:00:01"]),
    (T.DATE_TIME, f"there is no such time of day: the second is 60; {ISO}", ["2024-01-01T23:59:60"]),
    (T.DATE_TIME, f"the second has more than 9 digits after its point; {ISO}", ["2024-01-01T10:00:00.1234567890"]),
    (T.DATE_TIME, f"+25:00 is not an offset from UTC such as +01:00; {ISO}", ["2024-01-01T10:00:00+25:00"]),
    (T.DATE_TIME, f"in UTC the date is before the year 1; {ISO}", ["0001-01-01T00:00:00+01:00"]),
    (T.DATE_TIME, f"in UTC the date is beyond the year 9999; {ISO}", ["9999-12-31T23:00:00-02:00"]),
    (
        T.DECIMAL,
        f"the number has more than 38 digits; {DOUBLE}",
        ["9" * 39, f"0.{'0' * 38}1", f"1.{'1' * 38}", "1e38", "-1e-39", "1e99999999999", "9" * 900],
    ),
    (T.DECIMAL, f"the value is not a number; {DOUBLE}", ["NaN", "Infinity", "12x", "0x1p3", "1_0", ".", "1e", "--1"]),
    (T.DECIMAL, f"{COMMA}; {DOUBLE}", ["12,50", "-0,5"]),
    (T.DATE, HAS_TIME, ["2024-02-29T08:15:30Z", "2024-02-29 00:00:01", "20240229000000.5Z", "2024-02-28T23:00:00Z"]),
    (T.DATE, NOT_DAY, ["29/02/2024", "45351", "now", "infinity", "2024-02-29+01:00", "12:00"]),
    (T.DATE, f"there is no such day: February 2023 has 28 days; {DAY}", ["2023-02-29", "20230229"]),
    (T.DATE, f"there is no year 0; {DAY}", ["0000-01-01"]),
    (T.DATE, f"the date is beyond the year 9999; {DAY}", ["10000-01-01"]),
    (T.DATE, f"the month has 1 digit, not 2; {DAY}", ["2024-1-2"]),
    (T.DATE, f"there is no such time of day: the hour is 24; {DAY}", ["2024-01-01T24:00:01"]),
    (T.GUID, f"the value is not a Guid; {GUID}", ["{6F9619FF-8B86-D011-B42D-00CF4FC964FF", "QUJDRA=", "g" * 31]),
    (T.GUID, f"the value has 12 bytes, and a Guid has 16; {GUID}", ["xPYr6y1Rf0SKoM8k"]),
    (T.GUID, f"the value has 2 bytes, and a Guid has 16; {GUID}", [r"\c4\f6", "X'c4f6'"]),
    (T.BYTES, "the value is not base64 data", ["QUJ", "QUJD=", "====", "Q-_D", "QQ==QQ=="]),
]  # fmt: skip


@pytest.mark.parametrize(("kind", "cell", "expected"), READ)
def test_a_value_is_stored_in_canonical_form(folder, kind, cell, expected):
    found = folder.read(f'id;name\nk;"{cell}"\n', id=T.STRING, name=kind)

    assert found.rows["state"].to_pylist() == [f'{{"P0":"k","P1":{expected}}}']
    assert not aside(found)


@pytest.mark.parametrize(("kind", "reason", "cells"), REFUSED)
def test_a_row_with_a_value_of_another_type_is_set_aside_and_its_key_kept(folder, kind, reason, cells):
    text = "id;name\ngood;\n" + "".join(f'k{i};"{cell}"\n' for i, cell in enumerate(cells))

    found = folder.read(text, id=T.STRING, name=kind)

    assert aside(found) == [(i + 3, "name", reason, cell) for i, cell in enumerate(cells)]
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
    ("1601date", "2650467743999999999", "9999-12-31T23:59:59.999999Z"),
    ("M/d/yyyy h:mm:ss tt", "1/2/2026 3:04:05\u202fPM", "2026-01-02T15:04:05Z"),
    ("M/d/yyyy h:mm:ss tt", "1/2/2026\u00a0 3:04:05\u3000p.m.", "2026-01-02T15:04:05Z"),
    ("M/d/yyyy h:mm:ss\u202ftt", "1/2/2026 3:04:05 AM", "2026-01-02T03:04:05Z"),
    ("yyyy-MM-dd HH:mm", "2024-01-01 24:00", "2024-01-02T00:00:00Z"),
    ("yyyy-MM-ddTHH:mm:ss.fffffffZ", "2024-01-02T03:04:05.1234567Z", "2024-01-02T03:04:05.123456Z"),
    ("dd-MMM-yyyy", "29-FEB-2024", "2024-02-29T00:00:00Z"),
    ("d MMMM yyyy", "1 september 2024", "2024-09-01T00:00:00Z"),
    ("yyyy-MM-dd HH:mm zzz", "2024-02-29 12:00 +01:00", "2024-02-29T11:00:00Z"),
    ("yyyy-MM-ddTHH:mmK", "2024-02-29T12:00", "2024-02-29T12:00:00Z"),
    ("GeneralizedTime", "20240229120000Z", "2024-02-29T12:00:00Z"),
    ("GeneralizedTime", "20240229120000.0Z", "2024-02-29T12:00:00Z"),
    ("GeneralizedTime", "20240229120000,25-0130", "2024-02-29T13:30:00.250000Z"),
    ("GeneralizedTime", "202402291200+01", "2024-02-29T11:00:00Z"),
    ("GeneralizedTime", "2024022912.5Z", "2024-02-29T12:30:00Z"),
]


@pytest.mark.parametrize(("pattern", "cell", "expected"), FORMATS)
def test_a_date_is_read_in_its_format(folder, pattern, cell, expected):
    found = folder.read(f"id;name\nk;{cell}\n", id=T.STRING, name=T.DATE_TIME, pattern=pattern)

    assert states(found) == {"k": {"P0": "k", "P1": expected}}


@pytest.mark.parametrize(
    ("pattern", "cell", "expected"),
    [
        ("dd/MM/yyyy", "29/02/2024", "2024-02-29"),
        ("d.M.yy", "1.2.49", "2049-02-01"),
        ("d.M.yy", "1.2.50", "1950-02-01"),
        ("M/d/yyyy h:mm:ss tt", "2/29/2024 12:00:00 AM", "2024-02-29"),
        ("dd/MM/yyyy HH:mm:ss", "29/02/2024 00:00:00", "2024-02-29"),
        ("yyyy-MM-dd HH:mm zzz", "2024-02-29 00:00 +01:00", "2024-02-29"),
        ("dd-MMM-yyyy", "29-FEB-2024", "2024-02-29"),
        ("yyyyMMdd", "00010101", "0001-01-01"),
        ("GeneralizedTime", "20240229000000.0Z", "2024-02-29"),
        ("GeneralizedTime", "2024022900+01", "2024-02-29"),
        ("1601date", "133536384000000000", "2024-02-29"),
        ("1601date", "0", None),
        ("1601date", "9223372036854775807", None),
    ],
)
def test_a_date_without_time_is_read_in_its_format(folder, pattern, cell, expected):
    found = folder.read(f"id;name\nk;{cell}\n", id=T.STRING, name=T.DATE, pattern=pattern)

    assert states(found) == {"k": {"P0": "k"} | ({"P1": expected} if expected else {})}


@pytest.mark.parametrize(
    ("pattern", "cell", "reason"),
    [
        ("dd/MM/yyyy", "29/02/2023", "there is no such day: February 2023 has 28 days; expected is dd/MM/yyyy"),
        ("dd/MM/yyyy", "2024-02-29", "the date is not written as expected: dd/MM/yyyy"),
        ("dd/MM/yyyy HH:mm", "29/02/2024 08:15", HAS_TIME),
        ("GeneralizedTime", "20240229120000Z", HAS_TIME),
        ("1601date", "133536384000000010", HAS_TIME),
        (
            "1601date",
            "-5",
            "a file time is not negative; expected are the digits of a count of 100 nanoseconds since 1601",
        ),
    ],
)
def test_a_date_with_a_time_is_set_aside_with_the_reason(folder, pattern, cell, reason):
    found = folder.read(f'id,name\nk,"{cell}"\n', id=T.STRING, name=T.DATE, pattern=pattern)

    assert aside(found) == [(2, "name", reason, cell)]


FILE_TIME = "expected are the digits of a count of 100 nanoseconds since 1601"
SHORTENED = "the value is a shortened number, as spreadsheets write it: its last digits are lost"
GENERALIZED = "expected is yyyyMMddHHmmss with Z or an offset, as in 20261124081530Z"


@pytest.mark.parametrize(
    ("pattern", "cell", "reason"),
    [
        ("dd.MM.yyyy", "31.02.2026", "there is no such day: February 2026 has 28 days; expected is dd.MM.yyyy"),
        ("dd.MM.yyyy", "1.2.2026", "the day has 1 digit, not 2; expected is dd.MM.yyyy"),
        ("dd.MM.yyyy", "01.02.26", "the year has 2 digits, not 4; expected is dd.MM.yyyy"),
        ("dd.MM.yyyy", "01x02x2026", "the date is not written as expected: dd.MM.yyyy"),
        (
            "dd/MM/yyyy",
            "02/29/2024",
            "there is no month 29; day and month may be exchanged; expected is dd/MM/yyyy",
        ),
        ("dd-MMM-yyyy", "29-Févr.-2024", "no month is called Févr. in English; expected is dd-MMM-yyyy"),
        (
            "M/d/yyyy h:mm tt",
            "1/2/2024 13:30 PM",
            "there is no such time of day: with AM or PM the hour is 1 to 12; expected is M/d/yyyy h:mm tt",
        ),
        (
            "yyyy-MM-dd HH:mm",
            "2024-01-01 12:60",
            "there is no such time of day: the minute is 60; expected is yyyy-MM-dd HH:mm",
        ),
        ("yyyyMMdd", "20261301", "there is no month 13; day and month may be exchanged; expected is yyyyMMdd"),
        ("yyyyMMdd", "2026111", "the date is not written as expected: yyyyMMdd"),
        ("yyMMdd", "260231", "there is no such day: February 2026 has 28 days; expected is yyMMdd"),
        (
            "yyyyMMddHHmmss.0Z",
            "20261124086100.0Z",
            "there is no such time of day: the minute is 61; expected is yyyyMMddHHmmss.0Z",
        ),
        ("1601date", "-5", f"a file time is not negative; {FILE_TIME}"),
        ("1601date", "2024-01-01", f"the value is not a file time; {FILE_TIME}"),
        ("1601date", "9.22337E+18", f"{SHORTENED}; {FILE_TIME}; format the column as text there"),
        ("1601date", "1,33E+17", f"{SHORTENED}; {FILE_TIME}; format the column as text there"),
        ("GeneralizedTime", "20240230120000Z", f"there is no such day: February 2024 has 29 days; {GENERALIZED}"),
        ("GeneralizedTime", "2024-02-29", f"the date is not written as expected: {GENERALIZED[12:]}"),
    ],
)
def test_a_date_in_another_format_is_set_aside_with_what_is_expected(folder, pattern, cell, reason):
    found = folder.read(f'id,name\nk,"{cell}"\n', id=T.STRING, name=T.DATE_TIME, pattern=pattern)

    assert aside(found) == [(2, "name", reason, cell)]


def test_a_date_without_separators_that_has_a_time_is_set_aside_as_that(folder):
    text = "id,name\nk,20261124081530.0Z\n"

    found = folder.read(text, id=T.STRING, name=T.DATE, pattern="yyyyMMddHHmmss.0Z")

    reason = "the date has a time of day; a Date has none: declare the property as DateTime, or export the day alone"
    assert aside(found) == [(2, "name", reason, "20261124081530.0Z")]


def test_file_times_that_mean_never_are_no_value(folder):
    text = "id,name\nk,0\nl,9223372036854775807\nm,\nn,2650467744000000000\no,18446744073709551615\n"

    found = folder.read(text, id=T.STRING, name=T.DATE_TIME, pattern="1601date")

    assert states(found) == {key: {"P0": key} for key in "klmno"}


@pytest.mark.parametrize(
    "pattern",
    ["yyyy-MM-dd G", "MM-dd", "yyyyy-MM-dd", "yyyy-MM-dd hh:mm", "yyyy-MM-dd ffffffffff", "dd/dd/yyyy MM", "x'; drop"],
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
        (T.DATE, "20240102", "2024-01-02"),
        (T.DECIMAL, "007.50", "7.5"),
        (T.STRING, " A1 ", "A1"),
    ],
)
def test_a_key_is_canonical_text(folder, kind, cell, key):
    assert folder.read(f"id,name\n{cell},n\n", id=kind, name=T.STRING).rows["key"].to_pylist() == [key]


def test_properties_are_ordered_by_their_identifiers(folder):
    found = folder.read("id,b\nk,x\n", **{"id": T.STRING, "b": T.STRING} | {f"c{i}": T.STRING for i in range(0)})

    assert found.rows["state"].to_pylist() == ['{"P0":"k","P1":"x"}']


@pytest.mark.parametrize(
    ("kind", "options", "read"),
    [
        (
            T.DOUBLE,
            {"decimal_separator": ",", "thousands_separator": " "},
            {
                "12,5": 12.5,
                "1 234,5": 1234.5,
                "1\u202f234\u00a0567,5": 1234567.5,
                "-1 000": -1000.0,
                "1234567": 1234567.0,
            },
        ),
        (
            T.DECIMAL,
            {"decimal_separator": ",", "thousands_separator": "."},
            {
                "1.234,56": "1234.56",
                "-1.234.567,50": "-1234567.5",
                "-0,00": "0",
                "0012": "12",
                "12,5e2": "1250",
                ".".join(["12", *["345"] * 12]): "12" + "345" * 12,
            },
        ),
        (T.DECIMAL, {"thousands_separator": "'", "null_values": ["-"]}, {"1\u2019234.50": "1234.5", "-": None}),
        (T.DOUBLE, {"thousands_separator": "'"}, {"1'234.5": 1234.5, "1\u2019234": 1234.0}),
        (T.INT32, {"decimal_separator": ",", "thousands_separator": "."}, {"1.234": 1234, "1.234,00": 1234, "7": 7}),
        (
            T.BOOL,
            {"true_values": ["yes", "Oui"], "false_values": ["no", "N"]},
            {"YES": True, "oui": True, "n": False, "true": True, "0": False},
        ),
        (T.BOOL, {"true_values": ["ДА"], "false_values": ["НЕТ"]}, {"да": True, "Нет": False}),
        (T.INT32, {"null_values": ["NULL", "n/a", "-"]}, {"NULL": None, " - ": None, "n/a": None, "7": 7}),
        (T.STRING, {"null_values": ["NULL", "-"]}, {"NULL": None, "null": "null", " x ": " x ", "\u202f-": None}),
        (T.STRING, {"trim": True}, {" x y\u00a0": "x y", "\u202f": None}),
        (
            T.GUID,
            {"byte_order": ByteOrder.BIG_ENDIAN},
            {
                "xPYr6y1Rf0SKoM8kmfaYDw==": "c4f62beb-2d51-7f44-8aa0-cf2499f6980f",
                "eb2bf6c4-512d-447f-8aa0-cf2499f6980f": "eb2bf6c4-512d-447f-8aa0-cf2499f6980f",
            },
        ),
        (
            T.STRING,
            {"format": "SID"},
            {
                "s-1-5-18": "S-1-5-18",
                "AQUAAAAAAAUVAAAAoGXPfnhLm1/nfIdwUAQAAA==": "S-1-5-21-2127521184-1604012920-1887927527-1104",
                r"\01\01\00\00\00\00\00\05\12\00\00\00": "S-1-5-18",
                "010100000000000512000000": "S-1-5-18",
            },
        ),
    ],
)
def test_values_are_read_as_the_mapping_says(folder, kind, options, read):
    text = "id;name\n" + "".join(f'k{i};"{cell}"\n' for i, cell in enumerate(read))

    found = folder.read(text, id=T.STRING, name=kind, options=options)

    assert not aside(found)
    assert [values.get("P1") for values in states(found).values()] == list(read.values())


@pytest.mark.parametrize(
    ("kind", "options", "cells"),
    [
        (T.DOUBLE, {"decimal_separator": ","}, ["12.5", "1 234,5", "1,2,3"]),
        (T.DECIMAL, {"decimal_separator": ","}, ["12.5", "1 234,5", "1,2,3", "9" * 38 + ",1"]),
        (T.DECIMAL, {"decimal_separator": ",", "thousands_separator": "."}, ["1.23", "12.34,5", "1,234.5"]),
        (T.DOUBLE, {"decimal_separator": ",", "thousands_separator": "."}, ["1.23", "12.34,5", "1,234.5"]),
        (T.INT32, {"thousands_separator": ","}, ["1,23", "1,2345", "12,"]),
        (T.BOOL, {"true_values": ["x"]}, ["xx", "no"]),
        (T.STRING, {"format": "SID"}, ["S-1-", "abc", "AQUAAAAA"]),
    ],
)
def test_values_that_are_written_otherwise_are_set_aside(folder, kind, options, cells):
    text = "id;name\n" + "".join(f'k{i};"{cell}"\n' for i, cell in enumerate(cells))

    found = folder.read(text, id=T.STRING, name=kind, options=options)

    assert [row[3] for row in aside(found)] == cells


def test_a_text_for_nothing_in_the_key_leaves_the_row_without_a_key(folder):
    found = folder.read("id,name\nNULL,a\nk,b\n", key_options={"null_values": ["NULL"]}, id=T.STRING, name=T.STRING)

    assert [row[:3] for row in aside(found)] == [(2, "id", "the key is empty")]
