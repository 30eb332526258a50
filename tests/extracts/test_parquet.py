import datetime as dt
import uuid
from decimal import Decimal

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from deltamark.domain.errors import SourceError
from deltamark.domain.values import PropertyType as T
from tests.extracts.folder import STRING, aside, lines, states

MOMENT = dt.datetime(2024, 1, 2, 3, 4, 5, 600000)
PARIS = dt.timezone(dt.timedelta(hours=1))
ZONED = pa.array([MOMENT.replace(tzinfo=PARIS)], pa.timestamp("us", "Europe/Paris"))


@pytest.mark.parametrize(
    ("column", "kind", "value"),
    [
        (pa.array(["a\n\"b"]), T.STRING, "a\n\"b"),
        (pa.array([7], pa.int8()), T.INT32, 7),
        (pa.array([2**63 - 1], pa.uint64()), T.INT64, 2**63 - 1),
        (pa.array([0.1], pa.float64()), T.DOUBLE, 0.1),
        (pa.array([0.5], pa.float32()), T.DOUBLE, 0.5),
        (pa.array([Decimal("12.50")]), T.DOUBLE, 12.5),
        (pa.array([3.0]), T.INT32, 3),
        (pa.array([Decimal("12.50")]), T.DECIMAL, "12.5"),
        (pa.array([Decimal("0.00")], pa.decimal128(2, 2)), T.DECIMAL, "0"),
        (pa.array([Decimal("-0.50")], pa.decimal128(2, 2)), T.DECIMAL, "-0.5"),
        (pa.array([Decimal("0.00")], pa.decimal128(2, 2)), T.DOUBLE, 0.0),
        (pa.array([Decimal("0.50")], pa.decimal128(2, 2)), T.STRING, "0.5"),
        (pa.array([Decimal("9" * 38)]), T.DECIMAL, "9" * 38),
        (pa.array([Decimal("-1E-38")], pa.decimal256(76, 38)), T.DECIMAL, f"-0.{'0' * 37}1"),
        (pa.array([Decimal(f"1{'0' * 37}")], pa.decimal256(76, 38)), T.DECIMAL, f"1{'0' * 37}"),
        (pa.array([Decimal("12.50")], pa.decimal256(60, 2)), T.STRING, "12.5"),
        (pa.array([0.1]), T.DECIMAL, "0.1"),
        (pa.array([0.1], pa.float32()), T.DECIMAL, "0.1"),
        (pa.array([1e22]), T.DECIMAL, f"1{'0' * 22}"),
        (pa.array([-7], pa.int16()), T.DECIMAL, "-7"),
        (pa.array(["1.50"]), T.DECIMAL, "1.5"),
        (pa.array([dt.date(2024, 2, 29)]), T.DATE, "2024-02-29"),
        (pa.array([dt.date(1, 1, 1)], pa.date64()), T.DATE, "0001-01-01"),
        (pa.array([dt.datetime(9999, 12, 31)], pa.timestamp("us")), T.DATE, "9999-12-31"),
        (pa.array([dt.datetime(2024, 2, 29)], pa.timestamp("ns", "UTC")), T.DATE, "2024-02-29"),
        (pa.array([True]), T.BOOL, True),
        (pa.array([MOMENT], pa.timestamp("us")), T.DATE_TIME, "2024-01-02T03:04:05.600000Z"),
        (pa.array([MOMENT], pa.timestamp("ns")), T.DATE_TIME, "2024-01-02T03:04:05.600000Z"),
        (pa.array([MOMENT], pa.timestamp("ms")), T.DATE_TIME, "2024-01-02T03:04:05.600000Z"),
        (ZONED, T.DATE_TIME, "2024-01-02T02:04:05.600000Z"),
        (pa.array([dt.date(2024, 2, 29)]), T.DATE_TIME, "2024-02-29T00:00:00Z"),
        (pa.array([b"ABCD"]), T.BYTES, "QUJDRA=="),
        (pa.array([b"ABCD"], pa.binary(4)), T.BINARY, "QUJDRA=="),
        (pa.array(["x"]).dictionary_encode(), T.STRING, "x"),
        (pa.array([uuid.UUID(int=5).bytes], pa.uuid()), T.GUID, "00000000-0000-0000-0000-000000000005"),
        (pa.array([7]), T.STRING, "7"),
    ],
)  # fmt: skip
def test_typed_columns_are_read(folder, column, kind, value):
    table = pa.table({"name": pa.concat_arrays([column, pa.nulls(1, column.type)]), "id": ["k", "l"]})
    pq.write_table(table, folder.path / "people.parquet")

    found = folder.read(id=STRING, name=kind)

    assert states(found) == {"k": {"P0": "k", "P1": value}, "l": {"P0": "l"}}
    assert lines(found) == [1, 2]


@pytest.mark.parametrize("kind", [pa.float32(), pa.float64()])
def test_a_key_that_is_no_number_is_empty_although_statistics_leave_it_out(folder, kind):
    keys = pa.array([1.0, float("nan"), 3.0], kind)
    pq.write_table(pa.table({"id": keys, "name": ["a", "b", "c"]}), folder.path / "people.parquet")

    found = folder.read(id=STRING, name=STRING)

    assert found.rows["key"].to_pylist() == ["1", "3"]
    assert aside(found) == [(2, "id", "the key is empty", None)]
    assert found.cleansed.incomplete is not None


def test_rows_with_values_of_another_type_are_set_aside(folder):
    pq.write_table(pa.table({"id": ["k", "l", None], "name": [float("nan"), 1.0, 2.0]}), folder.path / "people.parquet")

    found = folder.read(id=STRING, name=T.DOUBLE)

    assert aside(found) == [
        (1, "name", "the value is not a number; expected is a number with a decimal point, such as 12.5", "nan"),
        (3, "id", "the key is empty", None),
    ]
    assert found.kept.to_pylist() == ["k"]


def test_a_decimal_of_39_digits_and_a_date_with_a_time_are_set_aside(folder):
    numbers = pa.array([Decimal("1" * 39), Decimal("1" * 38)], pa.decimal256(40, 0))
    table = pa.table({"id": ["k", "l"], "a": numbers, "b": [dt.datetime(2024, 2, 29), MOMENT]})
    pq.write_table(table, folder.path / "people.parquet")

    found = folder.read(id=STRING, a=T.DECIMAL, b=T.DATE)

    point = "expected is a number with a decimal point, such as 12.5"
    time = "a Date has none: declare the property as DateTime, or export the day alone"
    assert aside(found) == [
        (1, "a", f"the number has more than 38 digits; {point}", "1" * 39),
        (2, "b", f"the date has a time of day; {time}", "2024-01-02 03:04:05.6"),
    ]


def test_mapped_columns_of_nested_values_are_refused_by_name(folder):
    pq.write_table(pa.table({"id": ["k"], "name": [["x"]]}), folder.path / "people.parquet")

    with pytest.raises(SourceError, match=r"people\.parquet:name: the column holds nested values"):
        folder.read()

    assert states(folder.read(id=STRING)) == {"k": {"P0": "k"}}


def test_column_names_are_case_sensitive(folder):
    table = pa.table([["wrong"], ["k"], ["right"]], names=["NAME", "id", "name"])
    pq.write_table(table, folder.path / "people.parquet")

    assert states(folder.read())["k"]["P1"] == "right"


def test_a_file_that_is_no_parquet_is_refused(folder):
    folder.write("people.parquet", "id,name\nk,a\n")
    with pytest.raises(SourceError, match="this is not a Parquet file"):
        folder.read()

    folder.write("people.parquet", b"PAR1" + b"\0" * 100 + b"PAR1")
    with pytest.raises(SourceError, match="cannot be read"):
        folder.read()


def test_a_damaged_parquet_is_refused(folder):
    path = folder.path / "people.parquet"
    pq.write_table(pa.table({"id": [f"k{i}" for i in range(5000)], "name": ["n"] * 5000}), path)
    content = bytearray(path.read_bytes())
    content[100:2000] = b"\xff" * 1900
    path.write_bytes(content)

    with pytest.raises(SourceError, match="cannot be read"):
        folder.read()


def test_more_rows_than_a_row_group_keep_their_order(folder):
    rows = 50_000
    pq.write_table(
        pa.table({"id": [f"k{i}" for i in range(rows)], "name": [None] * (rows - 1) + ["x"]}),
        folder.path / "people.parquet",
        row_group_size=3_000,
    )

    found = folder.read()

    assert found.rows["key"].to_pylist() == [f"k{i}" for i in range(rows)]
    assert lines(found) == list(range(1, rows + 1))


@pytest.mark.parametrize(
    ("kind", "values", "options", "then"),
    [
        (T.DOUBLE, pa.array([1.234, 12.5]), {"decimal_separator": ",", "thousands_separator": "."}, [1.234, 12.5]),
        (T.DOUBLE, pa.array([Decimal("1.234")]), {"decimal_separator": ",", "thousands_separator": "."}, [1.234]),
        (T.INT32, pa.array([1234]), {"thousands_separator": "."}, [1234]),
        (T.DATE_TIME, pa.array([dt.date(2024, 2, 3)]), {"format": "yyyy-dd-MM"}, ["2024-02-03T00:00:00Z"]),
        (T.DATE_TIME, pa.array([20240203]), {"format": "yyyyMMdd"}, ["2024-02-03T00:00:00Z"]),
        (T.DATE_TIME, pa.array([132221376000000000]), {"format": "1601date"}, ["2019-12-30T00:00:00Z"]),
        (T.DATE_TIME, pa.array(["03/02/2024"]), {"format": "dd/MM/yyyy"}, ["2024-02-03T00:00:00Z"]),
        (T.BOOL, pa.array([True, False]), {"true_values": ["J"], "false_values": ["N"]}, [True, False]),
    ],
)
def test_what_the_file_says_to_be_a_number_or_a_date_is_read_as_one_however_texts_are_written(
    folder, kind, values, options, then
):
    keys = [f"k{number}" for number in range(len(values))]
    pq.write_table(pa.table({"id": keys, "name": values}), folder.path / "people.parquet")

    found = folder.read(id=STRING, name=kind, options=options)

    assert not aside(found)
    assert [row["P1"] for row in states(found).values()] == then
