"""Nothing is deleted on the word of an extract that is not whole, or that writes keys otherwise."""

from __future__ import annotations

import io
from decimal import Decimal

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.cases.case import Case
from tests.cases.conftest import NewCase

ANN, BOB, CID = ("1", "Ann"), ("2", "Bob"), ("3", "Cid")


def people(case: Case) -> dict[str, str]:
    return {row["key"]: row["properties"].get("N") for row in case.exported("P")}


def state(answer) -> str:
    return next(line for line in answer.err.splitlines() if " Run " in line[:7]).split(": ")[1].rstrip(".")


def parquet(**columns) -> bytes:
    sink = io.BytesIO()
    pq.write_table(pa.table(columns), sink)
    return sink.getvalue()


@pytest.fixture
def loaded(case: NewCase) -> Case:
    """Ann, Bob and Cid, with the keys 1, 2 and 3."""
    new = case("01-empty-key-cell")
    assert new.run(1).status == 0
    return new


def test_rows_without_a_key_delete_nothing_until_an_extract_is_whole(loaded: Case) -> None:
    second = loaded.run(2)
    assert people(loaded) == {"1": "Ann", "2": "Bobby", "3": "Cid"}
    third = loaded.run(3)
    assert people(loaded) == {"1": "Ann", "2": "Bobby", "3": "Cid"}
    loaded.run(4)
    assert people(loaded) == {"1": "Ann", "2": "Bobby"}

    for answer, count in ((second, "is 1 row"), (third, "are 3 rows")):
        assert (answer.status, state(answer)) == (0, "warning")
        assert (
            f"p.csv: there {count} without a key, which may be about any missing P: this extract deletes" in answer.err
        )
    assert "p.csv:4:id: the key is empty" in second.err


@pytest.mark.parametrize("key", ['"  "', "\u00a0", "\u200b", '""', "\t", "\ufeff"])
def test_whatever_makes_a_key_empty_deletes_nothing(loaded: Case, key: str) -> None:
    loaded.extract(2, p=f"id,name\n1,Ann\n{key},Bob\n")

    answer = loaded.run(2)

    assert state(answer) == "warning"
    assert people(loaded) == dict([ANN, BOB, CID])


@pytest.mark.parametrize(
    "keys", [["1", None], ["1", " "], [1.0, None], [1.0, float("nan")], [Decimal("1.00"), None], [b"1", None]]
)
def test_a_key_without_a_value_in_parquet_deletes_nothing(loaded: Case, keys: list[object]) -> None:
    (loaded.exports(2) / "p.csv").unlink()
    (loaded.exports(2) / "p.parquet").write_bytes(parquet(id=pa.array(keys, from_pandas=False), name=["Ann", "Bob"]))

    answer = loaded.run(2)

    assert state(answer) == "warning"
    assert people(loaded) == dict([ANN, BOB, CID])


def test_a_dry_run_and_a_prepared_run_delete_nothing_either(loaded: Case) -> None:
    configuration = loaded.configuration(1)
    prepared = '<PrepareSynchronizationTask DisplayName_L1="Read" Connector="S" /><SynchronizeTask'
    configuration.write_text(configuration.read_text().replace("<SynchronizeTask", prepared))

    dry, answer = loaded.run(2, "Load", "--dry-run"), loaded.run(2)

    assert "this extract deletes nothing" in dry.err
    assert "this extract deletes nothing" in answer.err
    assert people(loaded) == {"1": "Ann", "2": "Bobby", "3": "Cid"}


def test_byte_order_marks_between_rows_are_no_part_of_a_key(case: NewCase) -> None:
    marked = case("02-mark-inside")
    for step in (1, 2, 3):
        answer = marked.run(step)

        assert (answer.status, state(answer)) == (0, "completed")
        assert people(marked) == dict([ANN, BOB, CID])


@pytest.mark.parametrize(
    "rows",
    [
        "1 ,Ann\n2\u00a0,Bob\n\u200b3,Cid\n",
        ' 1,Ann\n"2 ",Bob\n3\t,Cid\n',
        "1\u00ad,Ann\n\x1a2,Bob\n\u202a3\u202c,Cid\n",
    ],
)
def test_blanks_and_invisible_characters_around_a_key_are_no_part_of_it(loaded: Case, rows: str) -> None:
    loaded.extract(2, p="id,name\n" + rows)

    answer = loaded.run(2)

    assert (answer.status, state(answer)) == (0, "completed")
    assert people(loaded) == dict([ANN, BOB, CID])


def test_the_header_once_more_is_no_person(case: NewCase) -> None:
    joined = case("03-header-again")
    joined.run(1)

    answer = joined.run(2)

    assert people(joined) == dict([ANN, BOB, CID])
    assert "p.csv:4:id: the row is the header once more" in answer.err


def test_after_the_header_once_more_nothing_is_deleted(loaded: Case) -> None:
    loaded.extract(2, p='id,name\n1,Ann\n\ufeff"id","name"\n2,Bob\n')

    answer = loaded.run(2)

    assert state(answer) == "warning"
    assert people(loaded) == dict([ANN, BOB, CID])


def test_rows_in_which_nothing_is_are_passed_over_and_protect_nothing(case: NewCase) -> None:
    spreadsheet = case("04-rows-of-delimiters")
    spreadsheet.run(1)
    for step, message in ((2, "2 empty rows passed over"), (3, "1 empty row passed over")):
        answer = spreadsheet.run(step)

        assert (answer.status, state(answer)) == (0, "completed")
        assert f"p.csv: {message}" in answer.err
        assert people(spreadsheet) == dict([ANN, BOB])


def test_a_file_of_empty_rows_alone_is_held_back_as_one_without_rows(loaded: Case) -> None:
    loaded.extract(2, p="id,name\n,\n,\n")

    answer = loaded.run(2)

    assert (answer.status, "holds a header and no row" in answer.err) == (3, True)
    assert people(loaded) == dict([ANN, BOB, CID])


def test_where_the_key_alone_is_mapped_a_row_with_another_value_is_not_empty(loaded: Case) -> None:
    configuration = loaded.configuration(1)
    text = configuration.read_text().replace('<Property Identifier="N" ConnectionColumn="name" />', "")
    configuration.write_text(text)
    loaded.extract(2, p="id,name\n1,Ann\n,Bob\n,\n")

    answer = loaded.run(2)

    assert "p.csv:3:id: the key is empty" in answer.err
    assert loaded.keys("P") == ["1", "2", "3"]


def test_texts_of_parquet_without_the_annotation_string_are_texts(case: NewCase) -> None:
    impala = case("12-parquet-binary-text")
    impala.run(1)

    answer = impala.run(2)

    assert (answer.status, state(answer)) == (0, "completed")
    assert people(impala) == dict([ANN, BOB, CID])
    assert "inserted" not in answer.err


@pytest.mark.parametrize(
    "keys",
    [
        pa.array([1.0, 2.0, 3.0]),
        pa.array([1.0, 2.0, 3.0], pa.float32()),
        pa.array([Decimal("1.00"), Decimal("2.00"), Decimal("3.00")]),
        pa.array([b"1", b"2", b"3"], pa.binary(1)),
        pa.array([b"1", b"2", b"3"]).dictionary_encode(),
        pa.array(["1 ", "\ufeff2", "3\u200b"]),
        pa.array([1, 2, 3], pa.int8()),
    ],
    ids=str,
)
def test_keys_of_every_type_of_parquet_are_those_of_csv(loaded: Case, keys: pa.Array) -> None:
    (loaded.exports(2) / "p.csv").unlink()
    (loaded.exports(2) / "p.parquet").write_bytes(parquet(id=keys, name=["Ann", "Bob", "Cid"]))

    answer = loaded.run(2)

    assert (answer.status, state(answer)) == (0, "completed")
    assert people(loaded) == dict([ANN, BOB, CID])


def test_a_column_of_bytes_that_are_no_text_is_refused_by_name(loaded: Case) -> None:
    (loaded.exports(2) / "p.csv").unlink()
    (loaded.exports(2) / "p.parquet").write_bytes(parquet(id=[b"\xff\xfe", b"2"], name=["Ann", "Bob"]))

    answer = loaded.run(2)

    assert answer.status == 1
    assert "p.parquet:id: the column holds bytes (binary) that are not text in UTF-8" in answer.err
    assert people(loaded) == dict([ANN, BOB, CID])


CHANGED = {
    "floating point": ("1.0,Ann\n2.0,Bob\n3.0,Cid\n", '"1" → "1.0", "2" → "2.0", "3" → "3.0"'),
    "decimal comma": ('"1,00",Ann\n"2,00",Bob\n"3,00",Cid\n', '"1" → "1,00"'),
    "leading zeros": ("001,A\n002,B\n003,C\n", '"1" → "001"'),
    "one of them with zeros": ("1,Ann\n2,Bob\n03,Cid\n", 'keys of P changed: "3" → "03"'),
    "another key of the same people": ("E1,Ann\nE2,Bob\nE3,Cid\n", '"1" → "E1"'),
}


@pytest.mark.parametrize("name", CHANGED)
def test_keys_that_are_only_written_otherwise_are_held_back(loaded: Case, name: str) -> None:
    rows, message = CHANGED[name]
    loaded.extract(2, p="id,name\n" + rows)

    answer = loaded.run(2)

    assert (answer.status, state(answer)) == (3, "blocked")
    assert message in answer.err
    assert "If the keys were not changed on purpose, correct the extract." in answer.err
    assert people(loaded) == dict([ANN, BOB, CID])


def test_keys_written_otherwise_are_held_back_beside_a_row_without_a_key_too(loaded: Case) -> None:
    loaded.extract(2, p="id,name\n,Ann\n2.0,Bob\n3.0,Cid\n")

    answer = loaded.run(2)

    assert answer.status == 3
    assert '"2" → "2.0", "3" → "3.0"; 3 of 3 resources are missing in the extract and 2 would be created' in answer.err
    assert people(loaded) == dict([ANN, BOB, CID])


def test_a_change_of_keys_on_purpose_is_resumed_or_forced(loaded: Case) -> None:
    loaded.extract(2, p="id,name\n1.0,Ann\n2.0,Bob\n3.0,Cid\n")
    loaded.run(2)

    assert loaded.command("resume", "2", step=2).status == 0
    assert loaded.keys("P") == ["1.0", "2.0", "3.0"]

    assert loaded.run(1, "Load", "--force").status == 0
    assert loaded.keys("P") == ["1", "2", "3"]


def test_other_people_under_other_keys_are_a_normal_day_of_a_small_table(loaded: Case) -> None:
    loaded.extract(2, p="id,name\n4,Dee\n5,Eve\n6,Fay\n")

    assert loaded.run(2).status == 0

    assert loaded.keys("P") == ["4", "5", "6"]


def test_most_people_are_never_replaced_where_there_are_many(loaded: Case) -> None:
    loaded.extract(1, p="id,name\n" + "".join(f"{n},Person {n}\n" for n in range(40)))
    loaded.run(1)
    loaded.extract(2, p="id,name\n" + "".join(f"{n},Someone {n}\n" for n in range(15, 65)))

    assert loaded.run(2).status == 0

    loaded.extract(3, p="id,name\n" + "".join(f"{n},Other {n}\n" for n in range(45, 95)))
    answer = loaded.run(3)
    assert answer.status == 3
    assert "most keys of P changed; 30 of 50 resources would be deleted and 30 created" in answer.err


def test_the_end_of_file_sign_is_passed_over_at_the_end_and_kept_elsewhere(case: NewCase) -> None:
    old = case("16-end-of-file-sign")
    old.run(1)
    assert old.run(2).status == 0
    assert people(old) == dict([ANN, BOB])

    old.run(3)
    assert set(people(old)) == {"1", "2"}
    assert "B" in people(old)["2"]
    assert not people(old)["2"].endswith("B")


@pytest.mark.parametrize("end", [b"\x1a", b"\r\n\x1a", b"\x1a\x1a\x1a", b"\n\x1a\n\x1a\n"])
@pytest.mark.parametrize("quote", [b"", b'"'])
def test_the_end_of_file_sign_shows_that_the_last_row_is_whole(loaded: Case, end: bytes, quote: bytes) -> None:
    loaded.extract(2, p=b"id,name\n1,Ann\n2,Bob\n" + b"3," + quote + b"Cid" + quote + end)

    answer = loaded.run(2)

    assert (answer.status, state(answer)) == (0, "completed")
    assert people(loaded) == dict([ANN, BOB, CID])


def test_a_line_before_the_header_is_named(case: NewCase) -> None:
    exported = case("17-lines-before-the-header")
    assert exported.run(1).status == 0
    assert people(exported) == dict([ANN])
    for step in (2, 3):
        answer = exported.run(step)

        assert answer.status == 1
        assert 'p.csv:1: this line is not the header: line 2 has the mapped columns ("id", "name")' in answer.err
        assert "elimiter" not in answer.err
        assert "orrect the mapping" not in answer.err


@pytest.mark.parametrize(
    ("before", "line"), [("Staff\n\nAs of today;\n", 4), ("#TYPE x\nStaff\n", 3), (";;\nStaff\n", 3)]
)
def test_several_lines_before_the_header_are_named(loaded: Case, before: str, line: int) -> None:
    loaded.extract(2, p=f"{before}id;name\n1;Ann\n")

    assert f"line {line} has the mapped columns" in loaded.run(2).err


@pytest.mark.parametrize("before", ["#TYPE x\n", '"#TYPE x, y"\n', ";;;\n", "sep=;\n#TYPE x\n\n"])
def test_lines_without_meaning_before_the_header_are_passed_over(loaded: Case, before: str) -> None:
    loaded.extract(2, p=f"{before}id;name\n1;Ann\n2;Bob\n3;Cid\n")

    assert loaded.run(2).status == 0
    assert people(loaded) == dict([ANN, BOB, CID])
