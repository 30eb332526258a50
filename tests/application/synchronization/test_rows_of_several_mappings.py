"""Rows of a table that several mappings read are counted and reported once, and each mapping takes what is its own."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from deltamark import Engine, JobRun, TaskState

CONFIGURATION = """
<ConfigurationFile>
  <Connector Identifier="HR" MaxPercentageInsertedLines="0" MaxPercentageUpdatedLines="0"
    MaxPercentageDeletedLines="0" MaxLinkPercentageInsertedLines="0" MaxLinkPercentageDeletedLines="0" />
  <EntityType Identifier="Person">
    <Property Identifier="Number" IsKey="true" /> <Property Identifier="Mail" />
    <Property Identifier="Hired" Type="DateTime" />
    <Property Identifier="Manager" Type="ForeignKey" /> <Property Identifier="Reports" Type="ForeignKey" />
    <Property Identifier="Mentor" Type="ForeignKey" /> <Property Identifier="Mentees" Type="ForeignKey" />
    <Property Identifier="Team" Type="ForeignKey" />
  </EntityType>
  <EntityType Identifier="Team">
    <Property Identifier="Name" IsKey="true" /> <Property Identifier="Members" Type="ForeignKey" />
  </EntityType>
  <EntityTypeMapping Identifier="Person" Connector="HR" ConnectionTable="people">
    <Property Identifier="Number" ConnectionColumn="number" IsPrimaryKey="true" />
    <Property Identifier="Mail" ConnectionColumn="mail" IsUniqueKey="true" />
    <Property Identifier="Hired" ConnectionColumn="hired" />
  </EntityTypeMapping>
  <EntityTypeMapping Identifier="Team" Connector="HR" ConnectionTable="people">
    <Property Identifier="Name" ConnectionColumn="team" IsPrimaryKey="true" />
  </EntityTypeMapping>
  <EntityAssociation Identifier="Manager" Property1="Person:Manager" Property2="Person:Reports"
    IsProperty1Collection="false" IsProperty2Collection="true" />
  <EntityAssociation Identifier="Mentor" Property1="Person:Mentor" Property2="Person:Mentees"
    IsProperty1Collection="false" IsProperty2Collection="true" />
  <EntityAssociation Identifier="Team" Property1="Person:Team" Property2="Team:Members"
    IsProperty1Collection="false" IsProperty2Collection="true" />
  <EntityAssociationMapping Identifier="Manager" Connector="HR" ConnectionTable="people"
    Column1="mail" EntityPropertyMapping1="Person:Mail" Column2="boss" EntityPropertyMapping2="Person:Mail" />
  <EntityAssociationMapping Identifier="Mentor" Connector="HR" ConnectionTable="people"
    Column1="number" EntityPropertyMapping1="Person:Number" Column2="boss" EntityPropertyMapping2="Person:Mail" />
  <EntityAssociationMapping Identifier="Team" Connector="HR" ConnectionTable="people"
    Column1="number" EntityPropertyMapping1="Person:Number" Column2="team" EntityPropertyMapping2="Team:Name" />
  <Job Identifier="Load" DisplayName_L1="Load">
    <SynchronizeTask Identifier="Sync" DisplayName_L1="Sync" Connector="HR" DoNotDeleteChanges="true" />
  </Job>
  <Job Identifier="Delta" DisplayName_L1="Delta">
    <PrepareSynchronizationTask DisplayName_L1="Prepare" Connector="HR" SynchronizationMode="Incremental"
      ColumnName="op" />
    <Step Task="Sync" />
  </Job>
</ConfigurationFile>
"""
ANN, BOB, CID = "1,a@,2020-01-01,,red", "2,b@,2020-01-01,a@,blue", "3,c@,2020-01-01,a@,blue"


class People:
    """One file of people, read by five mappings."""

    def __init__(self, engine: Engine, folder: Path) -> None:
        self.engine = engine
        self._file = folder / "people.csv"

    def load(self, *rows: str) -> JobRun:
        self._file.write_text("\n".join(["number,mail,hired,boss,team", *rows, ""]))
        return self.engine.run(self.engine.run_job("Load").number)

    def delta(self, *rows: str) -> JobRun:
        self._file.write_text("\n".join(["number,mail,hired,boss,team,op", *rows, ""]))
        return self.engine.run(self.engine.run_job("Delta").number)

    def links(self, name: str) -> dict[str, str]:
        """Number -> the other end of the link of that name."""
        rows = self.engine.export_resources("Person")
        return {row.key: other for row in rows for other in row.links.get(name, [])}


@pytest.fixture
def people(new_store, tmp_path: Path) -> Iterator[People]:
    configuration = tmp_path / "configuration.xml"
    configuration.write_text(CONFIGURATION)
    with Engine.open(new_store(), configuration=configuration, export_output=tmp_path) as engine:
        yield People(engine, tmp_path)


def places(run: JobRun) -> list[tuple[int | None, str | None]]:
    return [(row.line, row.column) for row in run.set_aside]


def test_a_row_is_read_once_whatever_the_number_of_mappings(people: People) -> None:
    loaded, delta = people.load(ANN, BOB, CID), people.delta(f"{ANN},update", "2,,,,,delete")

    assert (loaded.counts.read, loaded.counts.inserted) == (3, 5)
    assert [task.counts.read for task in delta.tasks] == [2, 2]


def test_a_bad_row_is_reported_once_whatever_the_number_of_mappings(people: People) -> None:
    people.load(ANN, BOB, CID)

    run = people.load(
        ANN, ",b@,2020-01-01,a@,blue", "3,c@,never,a@,blue", "number,mail,hired,boss,team", "4,d@", ",,,,", ""
    )

    assert places(run) == [(3, "number"), (4, "hired"), (5, "number"), (6, None)]
    assert (run.counts.read, run.counts.set_aside) == (5, 4)
    assert "people.csv: 1 empty row passed over" in run.tasks[0].messages
    assert people.links("Manager") == {"2": "1", "3": "1"}


def test_a_row_with_several_faults_is_reported_once_with_all_of_them(people: People) -> None:
    long = "t" * 5_000

    run = people.load(f"1,a@,never,,{long}")

    (row,) = run.set_aside
    assert (row.line, row.column, row.value, run.counts.set_aside) == (2, "hired", "never", 1)
    assert "the date is not written as expected" in row.reason
    assert row.reason.endswith("; team: the key is longer than 4,096 characters")


def test_a_cell_that_names_no_resource_is_reported_once_whatever_the_number_of_associations(people: People) -> None:
    loaded = people.load("1,a@,,z@,red")
    delta = people.delta("1,a@,,y@,red,update")

    for run, value in ((loaded, "z@"), (delta, "y@")):
        assert [(row.line, row.column, row.value) for row in run.set_aside] == [(2, "boss", value)]
        assert run.counts.set_aside == 1


def test_a_row_that_is_set_aside_for_its_resource_removes_no_link_although_its_cell_is_empty(people: People) -> None:
    # The first column of Manager is another property than the key: the mapping of the resource does not name it.
    people.load(ANN, BOB, CID)

    people.load(ANN, "2,b@,never,,", CID)

    for name in ("Manager", "Mentor"):
        assert people.links(name) == {"2": "1", "3": "1"}
    assert people.links("Team") == {"1": "red", "2": "blue", "3": "blue"}


def test_a_row_of_a_delta_without_values_of_another_mapping_is_no_row_of_it(people: People) -> None:
    people.load(ANN, BOB, CID)

    run = people.delta("1,a@,2020-01-01,c@,,update", "3,,,,,delete", "4,d@,,a@,,insert")

    assert run.state is TaskState.WARNING
    assert places(run) == [(2, "boss")]
    assert people.links("Manager") == {"2": "1", "4": "1"}
    assert people.links("Team") == {"2": "blue"}


APART = """
<ConfigurationFile>
  <Connector Identifier="HR" />
  <EntityType Identifier="Person"> <Property Identifier="Number" IsKey="true" /> </EntityType>
  <EntityType Identifier="Team"> <Property Identifier="Name" IsKey="true" /> </EntityType>
  <EntityTypeMapping Identifier="Person" Connector="HR" ConnectionTable="all">
    <Property Identifier="Number" ConnectionColumn="number" IsPrimaryKey="true" />
  </EntityTypeMapping>
  <EntityTypeMapping Identifier="Team" Connector="HR" ConnectionTable="all">
    <Property Identifier="Name" ConnectionColumn="team" IsPrimaryKey="true" />
  </EntityTypeMapping>
  <Job Identifier="Load" DisplayName_L1="Load">
    <SynchronizeTask Identifier="Sync" DisplayName_L1="Sync" Connector="HR" DoNotDeleteChanges="true" />
  </Job>
</ConfigurationFile>
"""


@pytest.mark.parametrize("new_store", ["sqlite"], indirect=True)
def test_rows_that_different_mappings_read_count_each_and_are_not_passed_over(new_store, tmp_path: Path) -> None:
    configuration = tmp_path / "configuration.xml"
    configuration.write_text(APART)
    (tmp_path / "all.csv").write_text("number,team,note\n1,,\n2,,\n,red,\n3,blue,\n,,\n,green,\n4,,\n")

    with Engine.open(new_store(), configuration=configuration, export_output=tmp_path) as engine:
        run = engine.run_job("Load", force=True)

    assert (run.counts.read, run.counts.inserted, run.counts.set_aside) == (6, 7, 0)
    assert run.tasks[0].messages == ("all.csv: 1 empty row passed over",)
