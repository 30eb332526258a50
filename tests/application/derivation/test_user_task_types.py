"""Values of every type reach functions of users as Arrow's own types, and come back as they were."""

from __future__ import annotations

import base64
from datetime import UTC, date, datetime, timedelta, timezone
from decimal import Decimal

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from deltamark import (
    Configuration,
    Engine,
    EntityType,
    EntityTypeMapping,
    Job,
    Property,
    PropertyMapping,
    PropertyType,
    PythonTask,
    SynchronizeTask,
    TaskState,
    UserTaskFailed,
    task,
)
from deltamark.application.derivation.user_functions.result_check import checked_values
from deltamark.domain.configuration.entity_model import Connector
from tests.scenarios.staff import NO_LIMITS, by_row, calls, people_model
from tests.tiers import law

P = PropertyType
GUID = "6f9619ff-8b86-d011-b42d-00cf4fc964ff"
BERLIN = pa.timestamp("us", "Europe/Berlin")
NOON = datetime(2026, 11, 24, 12, 0, 0, 123456, UTC)
TYPES: dict[PropertyType, tuple[pa.DataType, list[tuple[str, object]]]] = {
    P.STRING: (pa.string(), [("Grüße 🙂", "Grüße 🙂"), ('"\\', '"\\')]),
    P.BYTE: (pa.uint8(), [("0", 0), ("255", 255)]),
    P.INT16: (pa.int16(), [("-32768", -32768), ("32767", 32767)]),
    P.INT32: (pa.int32(), [("-2147483648", -(2**31)), ("2147483647", 2**31 - 1)]),
    P.INT64: (pa.int64(), [("-9223372036854775808", -(2**63)), ("9007199254740993", 2**53 + 1)]),
    P.DOUBLE: (pa.float64(), [("0.1", 0.1), ("-1e300", -1e300)]),
    P.BOOL: (pa.bool_(), [("true", True), ("0", False)]),
    P.DATE_TIME: (
        pa.timestamp("us", tz="UTC"),
        [("2026-11-24T12:00:00.123456Z", NOON), ("0001-01-01T00:00:00Z", datetime(1, 1, 1, tzinfo=UTC))],
    ),
    P.DECIMAL: (
        pa.decimal128(38, 10),
        [("1234.50", Decimal("1234.5")), ("-0.1", Decimal("-0.1")), (f"1{'0' * 27}", Decimal(10) ** 27)],
    ),
    P.DATE: (pa.date32(), [("2024-02-29", date(2024, 2, 29)), ("0001-01-01", date(1, 1, 1))]),
    P.GUID: (pa.string(), [(GUID.upper(), GUID)]),
    P.BINARY: (pa.binary(), [(base64.b64encode(b"\0\xff").decode(), b"\0\xff")]),
    P.BYTES: (pa.binary(), [(base64.b64encode(b"abc").decode(), b"abc")]),
}


def test_every_type_except_references_is_tested():
    assert TYPES.keys() == set(PropertyType) - {P.FOREIGN_KEY}


@pytest.mark.many
@pytest.mark.parametrize("kind", TYPES, ids=lambda kind: kind.label)
def test_a_value_survives_the_way_through_a_function(store_url, tmp_path, clock, kind):
    arrow, values = TYPES[kind]
    seen: list[pa.ChunkedArray] = []

    @task(entity_types=["Thing"], reads=["In"], writes=["Out"])
    def copies(batch: pa.Table) -> pa.Table:
        seen.append(batch["In"])
        return pa.table({"key": batch["key"], "Out": batch["In"]})

    configuration = Configuration(
        connectors=[Connector("C", thresholds=NO_LIMITS)],
        entity_types=[
            EntityType("Thing", [Property("Code", is_key=True), Property("In", kind), Property("Out", kind)])
        ],
        entity_type_mappings=[
            EntityTypeMapping(
                "Thing",
                "C",
                "things",
                [PropertyMapping("Code", "id", is_primary_key=True), PropertyMapping("In", "in")],
            )
        ],
        jobs=[Job("All", [SynchronizeTask(connector="C", do_not_delete_changes=True), PythonTask(function=copies)])],
    )
    rows = "".join(f'{n};"{said.replace(chr(34), chr(34) * 2)}"\n' for n, (said, _) in enumerate(values))
    (tmp_path / "things.csv").write_text(f"id;in\n{rows}nothing;\n")
    with Engine.open(store_url, configuration=configuration, export_output=tmp_path, clock=clock) as engine:
        run = engine.run_job("All")
        assert run.state is TaskState.COMPLETED, [t.messages for t in run.tasks]
        table = engine.export("Thing")
        found = engine.verify_derived()

    assert seen[0].type == arrow
    assert seen[0].to_pylist() == [*(value for _, value in values), None]
    assert table["In"].to_pylist() == table["Out"].to_pylist() == [*(value for _, value in values), None]
    assert run.tasks[-1].counts.necessary == len(values)
    assert found.differences == ()


def test_a_value_of_a_former_type_of_the_property_is_null(new_staff):
    seen = []

    def looks(row):
        seen.append((row["Room"], row["Name"]))
        return {"Label": "x"}

    staff = new_staff(people_model([])).person("1", "7", Room="700").person("2", "Bob", Room="8")
    staff.run()
    function, _ = by_row(looks, reads=["Room", "Name"], writes=["Label"])
    (person,) = people_model([]).entity_types
    now = {"Room": P.BYTE, "Name": P.INT64}
    properties = [Property(p.identifier, now.get(p.identifier, p.type), is_key=p.is_key) for p in person.properties]
    jobs = [Job("Look", [calls(function)])]

    staff.configured(people_model([], entity_types=[EntityType("Person", properties)], jobs=jobs)).run("Look")

    assert seen == [(None, 7), (8, None)]


ANSWERS: dict[str, tuple[PropertyType, pa.Array, list[object]]] = {
    "wider numbers": (P.INT16, pa.array([1, None], pa.int64()), [1, None]),
    "unsigned numbers": (P.INT32, pa.array([1, 2], pa.uint64()), [1, 2]),
    "whole numbers for a Double": (P.DOUBLE, pa.array([1, 2], pa.int8()), [1.0, 2.0]),
    "decimals for a Double": (P.DOUBLE, pa.array([Decimal("1.50"), None]), [1.5, None]),
    "floats of another width": (P.DOUBLE, pa.array([1.5, None], pa.float32()), [1.5, None]),
    "decimals of another scale": (
        P.DECIMAL,
        pa.array([Decimal("-1.500"), Decimal("0.00")], pa.decimal128(6, 3)),
        ["-1.5", "0"],
    ),
    "wide decimals": (P.DECIMAL, pa.array([Decimal("9" * 38), None], pa.decimal256(76, 38)), ["9" * 38, None]),
    "whole numbers for a Decimal": (P.DECIMAL, pa.array([100, -7], pa.int16()), ["100", "-7"]),
    "days in milliseconds": (P.DATE, pa.array([date(2024, 2, 29), None], pa.date64()), [date(2024, 2, 29), None]),
    "midnights": (
        P.DATE,
        pa.array([datetime(1, 1, 1), datetime(2024, 2, 29)], pa.timestamp("us", "UTC")),
        [date(1, 1, 1), date(2024, 2, 29)],
    ),
    "days": (P.DATE_TIME, pa.array([date(2026, 11, 24), None]), [datetime(2026, 11, 24), None]),
    "seconds": (
        P.DATE_TIME,
        pa.array([datetime(2026, 11, 24), None], pa.timestamp("s")),
        [datetime(2026, 11, 24), None],
    ),
    "nanoseconds that are round": (
        P.DATE_TIME,
        pa.array([1_000, -1_000], pa.timestamp("ns")),
        [datetime(1970, 1, 1, 0, 0, 0, 1), datetime(1969, 12, 31, 23, 59, 59, 999_999)],
    ),
    "another zone": (
        P.DATE_TIME,
        pa.array([datetime(2026, 7, 1, 14, tzinfo=timezone(timedelta(hours=2))), None], BERLIN),
        [datetime(2026, 7, 1, 12), None],
    ),
    "large texts": (P.STRING, pa.array(["a", ""], pa.large_string()), ["a", ""]),
    "views of texts": (P.STRING, pa.array(["a", None], pa.string_view()), ["a", None]),
    "coded texts": (P.STRING, pa.array(["a", "a"]).dictionary_encode(), ["a", "a"]),
    "a Guid in any spelling": (P.GUID, pa.array([f"{{{GUID.upper()}}}", GUID.replace("-", "")]), [GUID, GUID]),
    "no Guid": (P.GUID, pa.array(["", None]), [None, None]),
    "bytes of one length": (P.BINARY, pa.array([b"ab", None], pa.binary(2)), ["YWI=", None]),
    "nulls": (P.BOOL, pa.nulls(2), [None, None]),
}


def answered(kind: PropertyType, values: pa.Array) -> pa.Table:
    """What is stored of an answer for two resources, `a` and `b`."""

    @task(entity_types=["Person"], writes=["X"])
    def f(batch):
        return batch

    keys = pa.array(["a", "b"])
    given_table = pa.table({"X": values, "key": keys})
    return checked_values(f, [Property("X", kind)], "Person", keys, given_table)


@pytest.mark.parametrize(("kind", "values", "stored"), ANSWERS.values(), ids=ANSWERS)
def test_equal_values_of_another_arrow_type_are_accepted(kind, values, stored):
    assert answered(kind, values)["X"].to_pylist() == stored


REFUSED: dict[str, tuple[PropertyType, pa.Array, str]] = {
    "a number for a text": (P.STRING, pa.array([1, 2]), "int64, not string"),
    "a number for a Boolean": (P.BOOL, pa.array([1, 0]), "int64, not bool"),
    "a text for a time": (P.DATE_TIME, pa.array(["2026-11-24", None]), "string, not timestamp[us, tz=UTC]"),
    "a text for bytes": (P.BINARY, pa.array(["YWI=", None]), "string, not binary"),
    "256 for a byte": (P.BYTE, pa.array([None, 256]), 'with "256" for Person "b". Nothing was changed. Give a whole '),
    "-1 for a byte": (P.BYTE, pa.array([None, -1]), 'with "-1" for Person "b"'),
    "no number": (P.DOUBLE, pa.array([1.0, float("nan")]), 'with "nan" for Person "b"'),
    "infinity": (P.DOUBLE, pa.array([float("-inf"), 1.0]), 'with "-inf" for Person "a"'),
    "a float for a Decimal": (P.DECIMAL, pa.array([1.5, 2.0]), "double, not decimal128(38, 10)"),
    "a text for a Decimal": (P.DECIMAL, pa.array(["1.5", None]), "string, not decimal128(38, 10)"),
    "39 digits": (
        P.DECIMAL,
        pa.array([None, Decimal("1" * 39)], pa.decimal256(39, 0)),
        f'with "{"1" * 39}", which has more than 38 digits for Person "b"',
    ),
    "a time for a date": (
        P.DATE,
        pa.array([datetime(1969, 12, 31), datetime(1969, 12, 31, 0, 0, 1)], pa.timestamp("s")),
        'with "1969-12-31 00:00:01", which has a time of day in UTC for Person "b"',
    ),
    "a midnight elsewhere": (
        P.DATE,
        pa.array([datetime(2026, 7, 1, 22, tzinfo=UTC), None], BERLIN),
        "has a time of day",
    ),
    "nanoseconds": (P.DATE_TIME, pa.array([-1, 0], pa.timestamp("ns")), "with nanoseconds, of which microseconds"),
    "a time before years": (P.DATE_TIME, pa.array([-(2**62), 0], pa.timestamp("us")), "out of the years 1 to 9999"),
    "a day after years": (P.DATE_TIME, pa.array([2**31 - 1, 0], pa.date32()), "out of the years 1 to 9999"),
    "seconds beyond everything": (P.DATE_TIME, pa.array([2**62, 0], pa.timestamp("s")), "out of the years 1 to 9999"),
    "a Guid of 31 digits": (P.GUID, pa.array([GUID, GUID[:-1]]), f'with "{GUID[:-1]}" for Person "b"'),
    "a list": (P.STRING, pa.array([["a"], None]), "list<item: string>, not string"),
}


@pytest.mark.parametrize(("kind", "values", "told"), REFUSED.values(), ids=REFUSED)
def test_values_that_the_property_cannot_hold_are_refused_with_the_first_key(kind, values, told):
    with pytest.raises(UserTaskFailed) as failed:
        answered(kind, values)

    assert told in str(failed.value)


@law(60)
@given(
    order=st.permutations(list("abcd")),
    kept=st.sets(st.sampled_from("abcd")),
    chunk=st.integers(1, 4),
)
def test_the_order_and_the_chunks_of_a_result_do_not_matter(order, kept, chunk):
    @task(entity_types=["Person"], writes=["X"])
    def f(batch):
        return batch

    keys, rows = pa.array(list("dbca")), [key for key in order if key in kept]
    whole = pa.table({"key": pa.array(rows, pa.string()), "X": pa.array([key * 2 for key in rows], pa.string())})
    parts = [whole.slice(start, chunk) for start in range(0, max(len(rows), 1), chunk)]

    found = checked_values(f, [Property("X")], "Person", keys, pa.concat_tables(parts))

    assert found["X"].to_pylist() == [key * 2 if key in kept else None for key in "dbca"]
