"""Decimals and dates from the extract to every output: one value has one text, wherever it comes from."""

from __future__ import annotations

from datetime import date
from decimal import Decimal
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from deltamark import (
    ComputeCorrelationKeysTask,
    Configuration,
    Connector,
    Engine,
    EntityAssociation,
    EntityAssociationMapping,
    EntityPropertyExpression,
    EntityType,
    EntityTypeMapping,
    Job,
    Property,
    PropertyMapping,
    PropertyRef,
    PropertyType,
    ResourceCorrelationRule,
    ResourceType,
    RunMoment,
    SynchronizeTask,
    TaskState,
    Thresholds,
    UpdateEntityPropertyExpressionsTask,
)
from deltamark.application.ports.arrow_schemas import decimals
from deltamark.domain.history.diff import ResourceDelta
from tests.stores import NewStore

AMOUNTS = {
    "a": "1234.5",
    "b": "-0.1",
    "c": "0",
    "d": "9" * 38,
    "e": f"-0.{'0' * 37}1",
    "f": "12345678901234567890.123456789012345678",
}
DAYS = {
    "a": "2024-02-29",
    "b": "0001-01-01",
    "c": "9999-12-31",
    "d": "1969-12-31",
    "e": "2000-01-01",
    "f": "2026-11-30",
}
GERMAN = {
    "a": ("1.234,50", "29.02.2024"),
    "b": ("-0,1000", "01.01.0001"),
    "c": ("-0,00", "31.12.9999"),
    "d": ("9" * 38, "31.12.1969"),
    "e": ("-1E-38", "01.01.2000"),
    "f": ("12345678901234567890,123456789012345678", "30.11.2026"),
}


def configuration(*, is_german: bool = False) -> Configuration:
    """Accounts with an amount and a day, and the same computed from them; links find a rate by its value."""
    return Configuration(
        connectors=[Connector("S", thresholds=Thresholds())],
        entity_types=[
            EntityType(
                "Account",
                [
                    Property("Id0", is_key=True),
                    Property("Amount", PropertyType.DECIMAL),
                    Property("Day", PropertyType.DATE),
                    Property("Same", PropertyType.DECIMAL),
                    Property("SameDay", PropertyType.DATE),
                    Property("Sum", PropertyType.DECIMAL),
                ],
            ),
            EntityType("Rate", [Property("Value", PropertyType.DECIMAL, is_key=True), Property("Listed")]),
        ],
        associations=[
            EntityAssociation(
                "Account_Rate",
                PropertyRef("Account", "Rate"),
                PropertyRef("Rate", "Accounts"),
                is_property2_collection=True,
            )
        ],
        entity_type_mappings=[
            EntityTypeMapping(
                "Account",
                "S",
                "accounts",
                [
                    PropertyMapping("Id0", "id", is_primary_key=True),
                    PropertyMapping(
                        "Amount",
                        "amount",
                        decimal_separator="," if is_german else ".",
                        thousands_separator="." if is_german else None,
                    ),
                    PropertyMapping("Day", "day", format="dd.MM.yyyy" if is_german else None),
                ],
            ),
            EntityTypeMapping("Rate", "S", "rates", [PropertyMapping("Value", "value", is_primary_key=True)]),
        ],
        association_mappings=[
            EntityAssociationMapping(
                "Account_Rate",
                "S",
                "links",
                "id",
                "rate",
                PropertyRef("Account", "Id0"),
                PropertyRef("Rate", "Value"),
            )
        ],
        property_expressions=[
            EntityPropertyExpression("Same", "Account", "Same", binding="Amount"),
            EntityPropertyExpression("SameDay", "Account", "SameDay", expression="SQL:a: a.Day::text"),
            EntityPropertyExpression(
                "Sum",
                "Account",
                "Sum",
                expression="SQL:a: if(abs(a.Amount) between 0.01 and 9999, a.Amount * 1.10 + a.Rate.Value, null)",
            ),
            EntityPropertyExpression(
                "Listed", "Rate", "Listed", expression="SQL:r: array_to_string(r.Accounts.Amount, '; ')"
            ),
        ],
        resource_types=[ResourceType("Own", "Account", "Account")],
        correlation_rules=[
            ResourceCorrelationRule("Own", source_binding="Amount", target_expression="SQL:a: a.Same || ''")
        ],
        jobs=[
            Job(
                "All",
                [
                    SynchronizeTask(connector="S", do_not_delete_changes=True),
                    UpdateEntityPropertyExpressionsTask(identifier="Compute", all_entity_type=True),
                    ComputeCorrelationKeysTask(identifier="Keys", all_entity_type=True),
                ],
            )
        ],
    )


def ran(url: str, settings: Configuration, folder: Path) -> list[tuple[str, str, dict[str, tuple[object, object]]]]:
    """Runs the job, checks that the store is sound, and returns what the run changed of accounts."""
    with Engine.open(url, configuration=settings, export_output=folder) as engine:
        run = engine.run_job("All")
        assert run.state is TaskState.COMPLETED, [task.messages for task in run.tasks]
        assert engine.verify().is_sound
        assert engine.replay().verified.differences == 0
        assert not engine.verify_derived().differences
        return [
            (change.kind, change.event.ref.key, {n: (c.before, c.after) for n, c in change.event.changes.items()})
            for change in engine.changes(run=run.number, entity_type="Account")
            if change.kind in ("created", "updated")
        ]


def written(folder: Path, cells: dict[str, tuple[str, str]], rates: str = "1.50\n", links: str = "e;15e-1\n") -> Path:
    folder.mkdir()
    rows = "".join(f'{key};"{amount}";{day}\n' for key, (amount, day) in cells.items())
    (folder / "accounts.csv").write_text(f"id;amount;day\n{rows}")
    (folder / "rates.csv").write_text(f"value\n{rates}")
    (folder / "links.csv").write_text(f"id;rate\na;1.5\nb;+001.500\n{links}")
    return folder


PLAIN = {key: (AMOUNTS[key], DAYS[key]) for key in AMOUNTS}


def test_the_same_values_from_csv_and_parquet_and_computed_are_the_same_events(
    new_store: NewStore, tmp_path: Path
) -> None:
    csv = ran(new_store(), configuration(), written(tmp_path / "csv", PLAIN))
    german = ran(new_store(), configuration(is_german=True), written(tmp_path / "german", GERMAN))
    typed = written(tmp_path / "parquet", {})
    (typed / "accounts.csv").unlink()
    pq.write_table(
        pa.table(
            {
                "id": list(AMOUNTS),
                "amount": pa.array([Decimal(text) for text in AMOUNTS.values()], pa.decimal256(76, 38)),
                "day": [date.fromisoformat(text) for text in DAYS.values()],
            }
        ),
        typed / "accounts.parquet",
    )
    parquet = ran(new_store(), configuration(), typed)

    assert csv == german == parquet
    created = {key: changes for kind, key, changes in csv if kind == "created"}
    computed = {key: changes for kind, key, changes in csv if kind == "updated"}
    assert {key: changes["Amount"] for key, changes in created.items()} == {k: (None, v) for k, v in AMOUNTS.items()}
    assert {key: changes["Day"] for key, changes in created.items()} == {key: (None, day) for key, day in DAYS.items()}
    assert {key: changes["Same"] for key, changes in computed.items()} == {k: (None, v) for k, v in AMOUNTS.items()}
    assert {key: changes["SameDay"] for key, changes in computed.items()} == {k: (None, v) for k, v in DAYS.items()}
    assert {key: changes["Sum"][1] for key, changes in computed.items() if "Sum" in changes} == {
        "a": "1359.45",
        "b": "1.39",
    }


@pytest.mark.slow  # runs a job for each spelling
@pytest.mark.on_every_store
def test_other_zeros_and_midnights_are_no_change_and_another_value_is_one(new_store: NewStore, tmp_path: Path) -> None:
    url = new_store()
    ran(url, configuration(), written(tmp_path / "1", PLAIN))
    respelled = {
        key: (f"{amount}{'' if '.' in amount else '.'}00", f"{DAYS[key]}T00:00:00+02:00")
        for key, amount in AMOUNTS.items()
    }

    unchanged = ran(url, configuration(), written(tmp_path / "2", respelled, rates="01.5\n"))
    changed = ran(url, configuration(), written(tmp_path / "3", respelled | {"a": ("1234.51", "2024-03-01")}))

    assert unchanged == []
    assert changed == [
        ("updated", "a", {"Amount": ("1234.5", "1234.51"), "Day": ("2024-02-29", "2024-03-01")}),
        (
            "updated",
            "a",
            {
                "Same": ("1234.5", "1234.51"),
                "SameDay": ("2024-02-29", "2024-03-01"),
                "Sum": ("1359.45", "1359.461"),
            },
        ),
    ]
    with Engine.open(url, configuration=configuration()) as engine:
        keys = {(k.side, k.key): k.value for k in engine.keys(None)}
        (difference,) = engine.diff("Account", RunMoment(1), RunMoment(3))
        links = {(link.source.key, link.target.key) for link in engine.links("Account", "a")}
        rate = engine.resource("Rate", "1.5")
    assert rate is not None
    assert rate.values["Listed"] == f"-0.1; {AMOUNTS['e']}; 1234.51", "in the order of the numbers"
    assert keys[("source", "a")] == keys[("target", "a")] == "1234.51"
    assert isinstance(difference, ResourceDelta)
    assert difference.changes["Amount"].after == "1234.51"
    assert links == {("a", "1.5")}


def test_an_export_has_numbers_and_dates(new_store: NewStore, tmp_path: Path) -> None:
    url = new_store()
    ran(url, configuration(), written(tmp_path / "1", {key: PLAIN[key] for key in "ab"}, links=""))
    with Engine.open(url, configuration=configuration()) as engine:
        usual = engine.export("Account")
    ran(url, configuration(), written(tmp_path / "2", PLAIN))
    with Engine.open(url, configuration=configuration()) as engine:
        wide = engine.export("Account")

    assert usual.schema.field("Amount").type == pa.decimal128(38, 10)
    assert usual.schema.field("Day").type == pa.date32()
    assert wide["Amount"].to_pylist() == [Decimal(text) for text in AMOUNTS.values()]
    assert wide["Day"].to_pylist() == [date.fromisoformat(text) for text in DAYS.values()]
    assert wide.schema.field("Amount").type == pa.decimal256(76, 38)


@pytest.mark.parametrize(
    ("texts", "kind"),
    [
        (["1.5", None], pa.decimal128(38, 10)),
        ([], pa.decimal128(38, 10)),
        ([None, "no number", "1.50", "1e3", "-0"], pa.decimal128(38, 10)),
        ([f"0.{'0' * 11}1"], pa.decimal128(38, 12)),
        (["9" * 28], pa.decimal128(38, 10)),
        (["9" * 29], pa.decimal128(38, 9)),
        (["9" * 38], pa.decimal128(38, 0)),
        (["9" * 38, "0.5"], pa.decimal256(76, 38)),
        ([f"-0.{'9' * 38}"], pa.decimal256(76, 38)),
    ],
)
def test_decimals_are_exact_in_arrow(texts: list[str | None], kind: pa.DataType) -> None:
    numbers = decimals(pa.chunked_array([pa.array(texts, pa.string())]))

    valid = {"1.5", "9" * 28, "9" * 29, "9" * 38, "0.5", f"0.{'0' * 11}1", f"-0.{'9' * 38}"}
    assert numbers.type == kind
    assert numbers.to_pylist() == [Decimal(text) if text in valid else None for text in texts]
