"""The past is read by the model of its time, whatever was dropped or changed since."""

from __future__ import annotations

import csv
import io
from pathlib import Path

import pyarrow.parquet
import pytest

from deltamark import Engine, Misfit, UsageError

PHONES = {"1": "0123", "2": "0456"}


def phones(case, *options: str, step: int = 2) -> dict[str, str]:
    """The phones of an export as CSV."""
    answer = case.command("export", "Person", *options, "--format", "csv", step=step)
    assert answer.status == 0, answer.err
    return {row["key"]: row.get("Phone") for row in csv.DictReader(io.StringIO(answer.out.decode()))}


def parquet(case, *options: str, step: int = 2):
    """An export to Parquet."""
    file = Path("past.parquet")
    answer = case.command("export", "Person", *options, "-o", str(file), step=step)
    assert answer.status == 0, answer.err
    return pyarrow.parquet.read_table(file)


@pytest.mark.parametrize("name", ["22-dropped-property-in-the-past", "23-retyped-property-in-the-past"])
@pytest.mark.parametrize("is_adopted", [True, False])
def test_a_past_export_has_what_was_there_in_every_format(case, name, is_adopted):
    reported = case(name)
    assert reported.run(1).status == 0
    if is_adopted:
        assert reported.run(2).status == 0

    assert phones(reported, "--at", "run:1") == PHONES
    assert parquet(reported, "--at", "run:1").column("Phone").to_pylist() == ["0123", "0456"]
    table = reported.command("export", "Person", "--at", "run:1", "--format", "table", step=2)
    assert "0123" in table.text


def test_the_present_model_leaves_out_what_it_has_no_place_for_and_says_so(case):
    dropped = case("22-dropped-property-in-the-past")
    assert dropped.run(1).status == dropped.run(2).status == 0

    answer = dropped.command("export", "Person", "--at", "run:1", "--model", "now", "--format", "jsonl", step=2)

    assert answer.status == 0
    assert all("Phone" not in row["properties"] for row in answer.documents)
    assert "Not shown: Phone of 2 resources, because it is no property of Person now." in answer.err


def test_values_of_another_type_do_not_fit_the_present_model(case):
    retyped = case("23-retyped-property-in-the-past")
    assert retyped.run(1).status == retyped.run(2).status == 0

    assert parquet(retyped, "--at", "run:1", "--model", "now").column("Phone").to_pylist() == [None, None]
    with Engine.open(retyped.store, configuration=retyped.configuration(2)) as engine:
        found = engine.misfits("Person", at=engine.run(1).ended_at)
    reason = "is a whole number from -9223372036854775808 to 9223372036854775807 now"
    assert found == [Misfit(name="Phone", reason=reason, resources=2)]


def test_an_audit_answers_for_a_property_that_was_dropped(case):
    dropped = case("24-audit-of-a-dropped-property")
    assert dropped.run(1).status == dropped.run(2).status == 0

    question = ("audit", "--type", "Person", "--property", "Phone", "--between", "run:1", "run:2", "--format", "jsonl")
    answer = dropped.command(*question, step=2)

    assert answer.status == 0, answer.err
    assert {row["key"]: row["value"] for row in answer.documents} == PHONES
    unknown = dropped.command(*(word.replace("Phone", "Fone") for word in question), step=2)
    assert (unknown.status, "Fone" in unknown.err) == (2, True)


def test_a_type_that_left_the_configuration_can_be_read_and_erased(case):
    left = case("25-type-left-the-configuration")
    assert left.run(1).status == left.run(2).status == 0

    for question in (
        ("history", "Person", "1"),
        ("show", "Person", "1", "--at", "run:1"),
        ("export", "Person", "--at", "run:1"),
        ("changes", "--type", "Person"),
        ("diff", "Person", "--from", "0", "--to", "run:1"),
        ("audit", "--type", "Person", "--property", "Name", "--between", "run:1", "run:2"),
    ):
        answer = left.command(*question, "--format", "jsonl", step=2)
        assert answer.status == 0, (question, answer.err)
        assert b"Quillon" in answer.out, question
    erased = left.command("erase", "Person", "1", "--reason", "x", step=2)
    assert erased.status == 0, erased.err
    if left.store.startswith("sqlite"):
        database = Path(left.store.removeprefix("sqlite:///"))
        for file in database.parent.glob(f"{database.name}*"):
            assert b"Quillon" not in file.read_bytes(), file


def test_a_type_that_never_was_is_refused_with_the_nearest_that_was(case):
    left = case("25-type-left-the-configuration")
    assert left.run(1).status == left.run(2).status == 0

    answer = left.command("export", "Persn", step=2)

    assert answer.status == 2
    assert "Person" in answer.err


def test_the_model_of_an_export_is_then_or_now(case):
    dropped = case("22-dropped-property-in-the-past")
    assert dropped.run(1).status == 0
    with (
        Engine.open(dropped.store, configuration=dropped.configuration(1)) as engine,
        pytest.raises(UsageError, match="then"),
    ):
        engine.export("Person", model="later")


def test_what_no_mapping_fills_any_more_is_named_by_plan_run_and_validate(case):
    removed = case("26-mapping-removed")
    assert removed.run(1).status == 0

    for answer in (removed.command("plan", step=2), removed.run(2)):
        assert answer.status == 0
        assert "no mapping fills Membership and Team any more" in answer.err
    validated = removed.command("validate", step=2)

    assert validated.status == 0
    assert 'no EntityTypeMapping fills the entity type "Team"' in validated.text
    assert 'no EntityAssociationMapping fills the association "Membership"' in validated.text
    assert "no mapping" not in removed.run(2).err
    assert "fills" not in removed.command("validate", step=1).text
