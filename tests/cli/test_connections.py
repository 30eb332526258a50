"""The commands `connections` and `places`: what sources say, and how far each was applied."""

from __future__ import annotations

import sqlite3
from contextlib import closing

import pytest

from tests.cli.workspace import Workspace

CONFIGURATION = """<?xml version="1.0" encoding="utf-8"?>
<ConfigurationFile>
  <Connector Identifier="HR" MaximumDeletedLines="0" MaxPercentageDeletedLines="0"
             MaximumInsertedLines="0" MaxPercentageInsertedLines="0" />
  <Connection Identifier="HR_Source" Connector="HR" Package="Sql" DisplayName_L1="HR">
    <ConnectionTable Identifier="people" Query="select * from person" Watermark="version" />
  </Connection>
  <Connection Identifier="Other_Source" Connector="HR" Package="Sql" DisplayName_L1="Other">
    <ConnectionTable Identifier="units" Query="select * from unit" />
  </Connection>
  <EntityType Identifier="Person"><Property Identifier="Id2" IsKey="true" /><Property Identifier="Name" /></EntityType>
  <EntityType Identifier="Unit"><Property Identifier="Code" IsKey="true" /></EntityType>
  <EntityTypeMapping Identifier="Person" Connector="HR" ConnectionTable="people">
    <Property Identifier="Id2" ConnectionColumn="id" IsPrimaryKey="true" />
    <Property Identifier="Name" ConnectionColumn="name" />
  </EntityTypeMapping>
  <EntityTypeMapping Identifier="Unit" Connector="HR" ConnectionTable="units">
    <Property Identifier="Code" ConnectionColumn="code" IsPrimaryKey="true" />
  </EntityTypeMapping>
  <Job Identifier="Changes" DisplayName_L1="What changed" IsIncremental="true">
    <ExportTask Identifier="Read" Connector="HR" DisplayName_L1="Read" Level="1" />
    <SynchronizeTask Identifier="Apply" Connector="HR" DisplayName_L1="Apply" Level="2" DoNotDeleteChanges="true" />
  </Job>
</ConfigurationFile>
"""
SETTINGS = """
[deltamark.connections.HR_Source]
server = "sqlite:///hr.db"
[deltamark.connections.Other_Source]
server = "sqlite:///other.db"
"""


@pytest.fixture
def fed(company: Workspace) -> Workspace:
    """A workspace that reads two databases, of which only one is there."""
    company.configure(CONFIGURATION)
    settings = company.folder / "deltamark.toml"
    settings.write_text(settings.read_text() + SETTINGS)
    execute(company, "hr", "CREATE TABLE person (id TEXT, name TEXT, version INTEGER)")
    execute(company, "hr", "INSERT INTO person VALUES ('a', 'Ann', 1), ('b', 'Bob', 2)")
    return company


def execute(workspace: Workspace, database: str, statement: str) -> None:
    """Executes a statement in a database."""
    with closing(sqlite3.connect(workspace.folder / f"{database}.db")) as connection, connection:
        connection.execute(statement)


def with_units(workspace: Workspace) -> Workspace:
    """The workspace with both databases."""
    execute(workspace, "other", "CREATE TABLE unit (code TEXT)")
    execute(workspace, "other", "INSERT INTO unit VALUES ('u')")
    return workspace


def test_connections_that_can_be_read_say_how(fed: Workspace) -> None:
    answer = with_units(fed).deltamark("connections")

    assert answer.status == 0
    hr, other = [line for line in answer.lines if "_Source" in line]
    assert "SQLite" in hr
    assert "people: changes by version" in hr
    assert "units: read as a whole" in other
    assert not (fed.folder / "deliveries").exists()


def test_a_connection_that_cannot_be_read_says_why_and_the_status_is_1(fed: Workspace) -> None:
    answer = fed.deltamark("connections", "--format", "jsonl")

    assert answer.status == 1
    hr, other = answer.documents
    assert (hr["connection"], hr["problems"]) == ("HR_Source", [])
    (problem,) = other["problems"]
    assert "other.db" in problem
    assert fed.deltamark("connections", "HR_Source").status == 0
    assert fed.deltamark("connections", "Other_Source").status == 1


def test_a_connection_that_is_not_there_is_refused_with_the_nearest(fed: Workspace) -> None:
    answer = fed.deltamark("connections", "HR_Sorce")

    assert answer.status == 2
    assert 'there is no connection "HR_Sorce" with tables to read; did you mean "HR_Source"?' in answer.err


def test_a_secret_that_is_not_there_is_named_and_not_shown(fed: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = fed.folder / "deltamark.toml"
    settings.write_text(
        settings.read_text().replace(
            '"sqlite:///other.db"', '"postgresql://127.0.0.1:9/x"\nuser = "u"\npassword = "env:PASSWORD_OF_HR"'
        )
    )
    monkeypatch.delenv("PASSWORD_OF_HR", raising=False)
    missing = fed.deltamark("connections", "Other_Source")
    monkeypatch.setenv("PASSWORD_OF_HR", "hunter2-of-hr")
    refused = fed.deltamark("connections", "Other_Source")

    assert missing.status == refused.status == 1
    assert "PASSWORD_OF_HR" in missing.text
    assert "hunter2" not in missing.text + refused.text + refused.err


def test_a_configuration_without_connections_says_so(company: Workspace) -> None:
    assert "No connection of the configuration has tables to read." in company.deltamark("connections").err


def test_places_are_shown_once_something_was_applied_and_can_be_given_up(fed: Workspace) -> None:
    with_units(fed)
    assert fed.deltamark("places").status != 0 or "No place is kept" in fed.deltamark("places").err

    assert fed.deltamark("run", "Changes").status == 0
    (place,) = [item for item in fed.jsonl("places") if item["connection"] == "HR_Source"]
    assert (place["run"], place["delivery"], place["rows"]) == (1, "snapshot", 2)
    execute(fed, "hr", "INSERT INTO person VALUES ('c', 'Cid', 3)")
    assert fed.deltamark("run", "Changes").status == 0
    (later,) = [item for item in fed.jsonl("places") if item["connection"] == "HR_Source"]
    assert (later["run"], later["delivery"]) == (2, "delta")
    assert later["position"] > place["position"]

    forgotten = fed.deltamark("places", "--forget", "HR_Source", "--reason", "restored")

    assert forgotten.status == 0
    assert "is forgotten: the next export of it reads everything" in forgotten.err
    assert [item for item in fed.jsonl("places") if item["connection"] == "HR_Source"] == []
    again = fed.deltamark("run", "Changes")
    assert "HR_Source: everything was read" in again.text + again.err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--forget", "HR_Source"], "--forget needs --reason TEXT"),
        (["--reason", "x"], "--reason belongs to --forget NAME"),
        (["--forget", "HR_Sorce", "--reason", "x"], 'no place of a connection "HR_Sorce" is kept'),
    ],
)
def test_a_wrong_call_of_places_changes_nothing(fed: Workspace, arguments: list[str], message: str) -> None:
    with_units(fed)
    assert fed.deltamark("run", "Changes").status == 0
    before = fed.jsonl("places")

    answer = fed.deltamark("places", *arguments)

    assert answer.status == 2
    assert message in answer.err
    assert fed.jsonl("places") == before
    assert len(fed.jsonl("runs")) == 1
