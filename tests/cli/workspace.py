"""A small company in a folder, with its extracts, for tests of the command."""

from __future__ import annotations

import json
from pathlib import Path

from attrs import frozen

from deltamark.interfaces.cli.main import status_of

CONFIGURATION = """<?xml version="1.0" encoding="utf-8"?>
<ConfigurationFile>
  <Connector Identifier="HR"
    MaximumInsertedLines="0" MaximumUpdatedLines="0" MaximumDeletedLines="0"
    MaximumLinkInsertedLines="0" MaximumLinkDeletedLines="0"
    MaxPercentageInsertedLines="0" MaxPercentageUpdatedLines="0" MaxPercentageDeletedLines="0"
    MaxLinkPercentageInsertedLines="0" MaxLinkPercentageDeletedLines="0" />
  <Connector Identifier="AD"
    MaximumInsertedLines="0" MaximumUpdatedLines="0" MaximumDeletedLines="0"
    MaximumLinkInsertedLines="0" MaximumLinkDeletedLines="0"
    MaxPercentageInsertedLines="0" MaxPercentageUpdatedLines="0" MaxPercentageDeletedLines="0"
    MaxLinkPercentageInsertedLines="0" MaxLinkPercentageDeletedLines="0" />

  <EntityType Identifier="HR_Person">
    <Property Identifier="Number" IsKey="true" />
    <Property Identifier="Name" />
    <Property Identifier="Mail" />
    <Property Identifier="Salary" Type="Double" />
    <Property Identifier="Hired" Type="DateTime" />
    <Property Identifier="Active" Type="Bool" />
    <Property Identifier="Department" Type="ForeignKey" />
  </EntityType>
  <EntityType Identifier="HR_Department">
    <Property Identifier="Code" IsKey="true" />
    <Property Identifier="Title" />
  </EntityType>
  <EntityType Identifier="AD_User">
    <Property Identifier="Login" IsKey="true" />
    <Property Identifier="Mail" />
  </EntityType>
  <EntityType Identifier="AD_Group"><Property Identifier="Name" IsKey="true" /></EntityType>

  <EntityAssociation Identifier="Staff" Property1="HR_Person:Department" Property2="HR_Department:People"
                     IsProperty2Collection="true" />
  <EntityAssociation Identifier="Members" Property1="AD_Group:Members" Property2="AD_User:Groups"
                     IsProperty1Collection="true" IsProperty2Collection="true" />

  <EntityTypeMapping Identifier="HR_Person" Connector="HR" ConnectionTable="people">
    <Property Identifier="Number" ConnectionColumn="number" IsPrimaryKey="true" />
    <Property Identifier="Name" ConnectionColumn="name" />
    <Property Identifier="Mail" ConnectionColumn="mail" />
    <Property Identifier="Salary" ConnectionColumn="salary" />
    <Property Identifier="Hired" ConnectionColumn="hired" Format="yyyy-MM-dd" />
    <Property Identifier="Active" ConnectionColumn="active" />
  </EntityTypeMapping>
  <EntityTypeMapping Identifier="HR_Department" Connector="HR" ConnectionTable="departments">
    <Property Identifier="Code" ConnectionColumn="code" IsPrimaryKey="true" />
    <Property Identifier="Title" ConnectionColumn="title" />
  </EntityTypeMapping>
  <EntityAssociationMapping Identifier="Staff" Connector="HR" ConnectionTable="people" Column1="number"
      Column2="department" EntityPropertyMapping1="HR_Person:Number" EntityPropertyMapping2="HR_Department:Code" />
  <EntityTypeMapping Identifier="AD_User" Connector="AD" ConnectionTable="users">
    <Property Identifier="Login" ConnectionColumn="login" IsPrimaryKey="true" />
    <Property Identifier="Mail" ConnectionColumn="mail" />
  </EntityTypeMapping>
  <EntityTypeMapping Identifier="AD_Group" Connector="AD" ConnectionTable="groups">
    <Property Identifier="Name" ConnectionColumn="name" IsPrimaryKey="true" />
  </EntityTypeMapping>
  <EntityAssociationMapping Identifier="Members" Connector="AD" ConnectionTable="members" Column1="group"
      Column2="login" EntityPropertyMapping1="AD_Group:Name" EntityPropertyMapping2="AD_User:Login" />

  <ResourceType Identifier="Account" SourceEntityType="HR_Person" TargetEntityType="AD_User" />
  <ResourceCorrelationRule ResourceType="Account" SourceBinding="Mail" SourceExpression="ToLower" TargetBinding="Mail" TargetExpression="ToLower" SourceMatchedConfidenceLevel="90" />

  <Job Identifier="Incremental" DisplayName_L1="What changed since last night" IsIncremental="true"
       CronTabExpression="0 6 * * *">
    <SynchronizeTask Identifier="SynchronizeHR" DisplayName_L1="Read HR" Connector="HR" Level="1" DoNotDeleteChanges="true" />
    <SynchronizeTask Identifier="SynchronizeAD" DisplayName_L1="Read AD" Connector="AD" Level="2" DoNotDeleteChanges="true" />
    <SetRecentlyModifiedFlagTask Identifier="Flag" DisplayName_L1="Flag" Level="3">
      <TaskDependsOnTask ParentTask="SynchronizeHR" />
      <TaskDependsOnTask ParentTask="SynchronizeAD" />
    </SetRecentlyModifiedFlagTask>
    <ComputeCorrelationKeysTask Identifier="Keys" DisplayName_L1="Keys" Level="5" Dirty="true">
      <TaskDependsOnTask ParentTask="Flag" />
      <TaskEntityType EntityType="HR_Person" />
      <TaskEntityType EntityType="AD_User" />
    </ComputeCorrelationKeysTask>
  </Job>
  <Job Identifier="OnlyFlag" DisplayName_L1="Loads and flags">
    <Step Task="SynchronizeHR" Level="1" />
    <Step Task="Flag" Level="2" />
  </Job>
  <Job Identifier="Forgetful" DisplayName_L1="Keeps no changes">
    <SynchronizeTask Identifier="SynchronizeAndForget" DisplayName_L1="AD" Connector="AD" />
  </Job>
</ConfigurationFile>
"""  # noqa: E501 - a rule in one line, so that a fault in it has one line

EXTRACTS = {
    "people": """\
number,name,mail,salary,hired,active,department
E1,Ada,Ada@x.example,1000,2024-01-02,true,D1
E2,Böb,bob@x.example,2000.5,2024-02-03,false,D1
E3,"Cy, ""the"" third",,,,,D2
""",
    "departments": "code,title\nD1,Research\nD2,Sales\n",
    "users": "login,mail\nada,ada@X.example\nbob,BOB@x.example\nzoe,zoe@x.example\n",
    "groups": "name\nadmins\nstaff\n",
    "members": "group,login\nadmins,ada\nstaff,ada\nstaff,bob\n",
}

LATER = {
    "people": """\
number,name,mail,salary,hired,active,department
E1,Ada,ada.l@x.example,1000.0,2024-01-02,true,D2
E2,Böb,bob@x.example,2000.5,2024-02-03,false,D1
E4,Dee,dee@x.example,,,,D1
""",
    "users": "login,mail\nada,ada.l@x.example\nbob,BOB@x.example\nzoe,zoe@x.example\n",
    "members": "group,login\nadmins,ada\nstaff,bob\nstaff,zoe\n",
}
"""A day later: E1 has a new mail and a new department, E3 has left, E4 is new, zoe replaces ada in staff."""


@frozen
class Answer:
    """The output and exit status of a command."""

    status: int
    out: bytes
    err: str

    @property
    def text(self) -> str:
        return self.out.decode()

    @property
    def lines(self) -> list[str]:
        return self.text.splitlines()

    @property
    def documents(self) -> list[dict]:
        """Standard output, parsed as JSON lines."""
        return [json.loads(line) for line in self.out.splitlines()]


class Workspace:
    """A folder with deltamark.toml, a configuration and extracts; the command runs in the working directory."""

    def __init__(self, folder: Path, store: str, capture=None) -> None:
        self.folder = folder
        self.store = store
        self.exports = folder / "exports"
        self._capture = capture

    def written(self) -> Workspace:
        """Writes the workspace as it is before the first run."""
        self.exports.mkdir(parents=True)
        self.configure(CONFIGURATION)
        (self.folder / "deltamark.toml").write_text(f"[deltamark]\nstore = {json.dumps(self.store)}\n")
        self.extract(**EXTRACTS)
        return self

    def configure(self, text: str) -> None:
        """Writes the configuration."""
        (self.folder / "configuration").mkdir(exist_ok=True)
        (self.folder / "configuration" / "company.xml").write_text(text, encoding="utf-8")

    def extract(self, **tables: str) -> None:
        """Writes the extracts of some tables."""
        for table, text in tables.items():
            (self.exports / f"{table}.csv").write_text(text, encoding="utf-8")

    def deltamark(self, *arguments: str) -> Answer:
        """Runs the command."""
        self._capture.readouterr()
        status = status_of(list(arguments))
        out, err = self._capture.readouterr()
        return Answer(status, out, err.decode())

    def done(self, *arguments: str) -> Answer:
        """Runs a command that must succeed without any message."""
        answer = self.deltamark(*arguments)
        assert answer.status == 0, answer.err
        return answer

    def jsonl(self, *arguments: str) -> list[dict]:
        """Runs a command that must succeed, and returns its JSON lines."""
        return self.done(*arguments, "--format", "jsonl").documents

    def two_days(self) -> Workspace:
        """Runs the job for the first day and for a day later."""
        for extracts in ({}, LATER):
            self.extract(**extracts)
            assert status_of(["run", "Incremental"]) == 0
        return self
