"""The people of the benchmarks, and their configuration."""

from __future__ import annotations

import sys
from pathlib import Path

import duckdb

from benchmarks.measure import Counts
from deltamark import (
    ComputeCorrelationKeysTask,
    Configuration,
    Connector,
    EntityType,
    EntityTypeMapping,
    Job,
    PrepareSynchronizationTask,
    Property,
    PropertyMapping,
    ResourceCorrelationRule,
    ResourceType,
    SetRecentlyModifiedFlagTask,
    Step,
    SynchronizationMode,
    SynchronizeTask,
    Thresholds,
)
from deltamark.infrastructure.sample_company import generate

COLUMNS = (
    "EmployeeId",
    "FirstName",
    "LastName",
    "Mail",
    "Phone",
    "Title",
    "Location",
    "HireDate",
    "Department",
    "Manager",
)

KEY = COLUMNS[0]


def configuration(thresholds: Thresholds | None = None) -> Configuration:
    """Ten text properties, with jobs for complete extracts and for extracts with a command column.

    :param thresholds: None for none.
    """
    flag = SetRecentlyModifiedFlagTask(parents=["SynchronizeHR"])
    keys = ComputeCorrelationKeysTask(dirty=True, entity_types=["HR_Person"], parents=["SetRecentlyModifiedFlag"])
    synchronize = SynchronizeTask(connector="HR", do_not_delete_changes=True)
    prepare = PrepareSynchronizationTask(
        connector="HR", synchronization_mode=SynchronizationMode.INCREMENTAL, column_name="Command"
    )
    return Configuration(
        connectors=[Connector("HR", thresholds=thresholds or Thresholds())],
        entity_types=[EntityType("HR_Person", [Property(name, is_key=name == COLUMNS[0]) for name in COLUMNS])],
        entity_type_mappings=[
            EntityTypeMapping(
                "HR_Person",
                "HR",
                "HR_Person",
                [PropertyMapping(name, name, is_primary_key=name == COLUMNS[0]) for name in COLUMNS],
            )
        ],
        resource_types=[ResourceType("Person", "HR_Person", "HR_Person")],
        correlation_rules=[
            ResourceCorrelationRule(
                "Person",
                source_binding="Mail",
                source_expression="ToLower",
                target_binding="LastName",
                target_expression="Simplify",
            )
        ],
        tasks=[synchronize, flag, keys, prepare],
        jobs=[
            Job("Complete", [Step("SynchronizeHR")]),
            Job("Flagged", [Step("SetRecentlyModifiedFlag"), Step("ComputeCorrelationKeys")]),
            Job(
                "Incremental",
                [
                    Step("PrepareSynchronizationHR"),
                    Step("SynchronizeHR"),
                    Step("SetRecentlyModifiedFlag"),
                    Step("ComputeCorrelationKeys"),
                ],
            ),
        ],
    )


def extracts_in(folder: Path) -> tuple[Path, Path, Path]:
    """The files of a first day, of a second with 1 % of the people changed, and of at most 1,000 commands."""
    return folder / "HR_Person.csv", folder / "second.csv", folder / "commands.csv"


def expected_counts(before: Path | None, after: Path | None) -> Counts:
    """What a synchronization of one file after another must count, as DuckDB finds by comparing them.

    :param before: None for a file without people. Both None: two files that are the same.
    """
    if after is None:
        return Counts()
    columns = ", ".join(COLUMNS)
    reading = f"SELECT {columns} FROM read_csv('{{}}', all_varchar=true, header=true)"
    old = reading.format(before or after) + ("" if before else " WHERE false")
    with duckdb.connect() as db:
        row = db.execute(
            f"""SELECT count(*) FILTER (o.{KEY} IS NULL), count(*) FILTER (o.{KEY} = n.{KEY} AND o IS DISTINCT FROM n),
                count(*) FILTER (n.{KEY} IS NULL)
            FROM ({old}) o FULL JOIN ({reading.format(after)}) n ON o.{KEY} = n.{KEY}"""
        ).fetchone()
    assert row is not None
    return Counts(*row)


def write_people(folder: Path, people: int) -> None:
    """Writes the extracts of `extracts_in`."""
    generate(folder, people=people, seed=1, accounts=False, groups=False)
    first, second, commands = extracts_in(folder)
    with duckdb.connect() as db:
        db.execute(f"CREATE TABLE people AS FROM read_csv('{first}', all_varchar=true, header=true)")
        changed = "row_number() OVER () % 100 = 0"
        db.execute(
            f"COPY (SELECT * REPLACE (CASE WHEN {changed} THEN Title || ' II' ELSE Title END AS Title) "
            f"FROM people) TO '{second}' (HEADER)"
        )
        db.execute(
            f"COPY (SELECT * REPLACE (Title || ' III' AS Title), 'update' AS Command FROM people "
            f"ORDER BY EmployeeId LIMIT 1000) TO '{commands}' (HEADER)"
        )


if __name__ == "__main__":
    write_people(Path(sys.argv[1]), int(sys.argv[2]))
