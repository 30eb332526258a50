"""A configuration that names what is not built is loaded without it."""

from __future__ import annotations

from pathlib import Path

import pytest

from deltamark import ConfigurationError, Engine
from deltamark.bootstrap import checked_configuration, judged_configuration
from deltamark.config.settings import load_settings
from deltamark.interfaces.cli.main import status_of

WHOLE = """<?xml version="1.0" encoding="utf-8"?>
<ConfigurationFile xmlns="urn:schemas-usercube-com:configuration">
  <Agent Identifier="Local" DisplayName_L1="Local" URI="http://localhost:5001" />
  <Policy Identifier="Default" DisplayName_L1="Default" IsProvisioningEnabled="true" />
  <AppDisplaySetting ApplicationName="Example" />
  <Language Code="en" IndicatorNumber="1" />
  <OpenIdClient Identifier="Job" HashedSecret="x" DisplayName_L1="Job" Profile="Administrator" />
  <Profile Identifier="Administrator" DisplayName_L1="Administrator" />
  <ViewAccessControlRules EntityType="HR_Person" Profile="Administrator" />
  <Connector Identifier="HR" DisplayName_L1="HR" Agent="Local" />
  <Connection Identifier="HRCsv" DisplayName_L1="HR" Connector="HR" Package="Usercube.CSV@1"
        DeactivationExportFulfill="0">
    <Transformation Type="ConcatColumns" Table="HR_Person" Column="c" InputColumn="a" />
  </Connection>
  <EntityType Identifier="HR_Person" DisplayName_L1="Person" LicenseTag="T">
    <Property Identifier="Number" DisplayName_L1="Number" Type="String" IsKey="True" TargetColumnIndex="4" />
    <Property Identifier="Mail" DisplayName_L1="Mail" TargetColumnIndex="5" HistoryPrecision="10" />
    <Property Identifier="Login" DisplayName_L1="Login" TargetColumnIndex="6" />
    <Property Identifier="Label" DisplayName_L1="Label" TargetColumnIndex="7" />
  </EntityType>
  <EntityTypeMapping Identifier="HR_Person" Connector="HR" ConnectionTable="HR_Person" C0="x">
    <Property Identifier="Number" ConnectionColumn="number" IsPrimaryKey="TRUE" />
    <Property Identifier="Mail" ConnectionColumn="mail" />
  </EntityTypeMapping>
  <EntityPropertyExpression Identifier="Login" EntityType="HR_Person" Property="Login" Binding="Mail"
        Expression="ToLower" />
  <EntityPropertyExpression Identifier="Label" EntityType="HR_Person" Property="Label"
        Expression="C#:p:return p.Mail;" />
  <SingleRole Identifier="Reader" DisplayName_L1="Reader" EntityType="HR_Person" Policy="Default" />
  <SingleRoleRule Role="Reader" Policy="Default" Colour="not judged" />
  <ResourceType Identifier="R" DisplayName_L1="R" SourceEntityType="HR_Person" TargetEntityType="HR_Person"
      Policy="Default" BlockProvisioning="false" P0="true" ApprovalWorkflowType="None">
    <ScalarRule Property="Mail" Expression="C#:x:return 1;" Binding="Nowhere" />
    <NavigationRule Property="Group" Resource="G" />
    <TypeRule />
  </ResourceType>
  <CreateConnectorSynchroComplete Connector="HR" DisplayName_L1="Complete"><AddTask Task="X"
        /></CreateConnectorSynchroComplete>
  <Form Identifier="F" DisplayName_L1="F" EntityType="HR_Person"><Control DisplayName_L1="c" /></Form>
  <WorkflowEditEntityForm Identifier="W" /><AddChangeAspect Identifier="A" />
  <FulfillTask Identifier="Fulfil" DisplayName_L1="Fulfil" Agent="Local" Connector="HR" />
  <Job Identifier="Load" DisplayName_L1="Load" Agent="Local" IsConnectorJob="true">
    <ExportTask Identifier="Export" DisplayName_L1="Export" Agent="Local" OpenIdClient="Job" Connection="HRCsv"
        Level="0" />
    <PrepareSynchronizationTask Identifier="Prepare" DisplayName_L1="P" Agent="Local" Connector="HR"
        SynchronizationMode="Complete" Level="1">
      <TaskDependsOnTask ParentTask="Export" />
    </PrepareSynchronizationTask>
    <SynchronizeTask Identifier="Synchronize" DisplayName_L1="S" Connector="HR" DoNotDeleteChanges="True" Level="2">
      <TaskDependsOnTask ParentTask="Prepare" />
    </SynchronizeTask>
    <SetRecentlyModifiedFlagTask Identifier="Flag" DisplayName_L1="F" Level="3" />
    <UpdateEntityPropertyExpressionsTask Identifier="Compute" DisplayName_L1="C" Dirty=" true "
        AllEntityType="true" Level="4" />
    <ComputeRoleModelTask Identifier="Roles" DisplayName_L1="R" Dirty="true" Level="5"><TaskEntityType
        EntityType="HR_Person" /></ComputeRoleModelTask>
    <Step Task="Fulfil" Level="6" />
    <FulfillTaskOverride Identifier="Fulfil" Level="7" />
  </Job>
</ConfigurationFile>
"""
UNBUILT = (
    "`URI` of `Agent`", "`IsProvisioningEnabled` of `Policy`", "`AppDisplaySetting`", "`Language`", "`OpenIdClient`",
    "`Profile`", "`ViewAccessControlRules`", "`DeactivationExportFulfill` of `Connection`", "`Transformation`",
    "`LicenseTag` of `EntityType`", "`HistoryPrecision` of `Property`", "`C0` of `EntityTypeMapping`", "`SingleRole`",
    "`SingleRoleRule`", "`BlockProvisioning` of `ResourceType`", "`P0` of `ResourceType`", "`ScalarRule`",
    "`NavigationRule`", "`TypeRule`", "`CreateConnectorSynchroComplete`", "`Form`", "`WorkflowEditEntityForm`",
    "`AddChangeAspect`", "`FulfillTask`", "`IsConnectorJob` of `Job`", "`ComputeRoleModelTask`",
    "`FulfillTaskOverride`", "`ApprovalWorkflowType` of `ResourceType`",
)  # fmt: skip


@pytest.fixture
def whole(tmp_path: Path) -> Path:
    """A configuration as other products have them."""
    path = tmp_path / "whole.xml"
    path.write_text(WHOLE)
    return path


def test_everything_that_is_not_built_is_named_and_nothing_is_called_unknown(whole):
    with pytest.raises(ConfigurationError) as refused:
        checked_configuration(whole)

    messages = [fault.message for fault in refused.value.faults]
    for name in UNBUILT:
        assert any(message.startswith(f"{name} is known but not built yet") for message in messages), name
    others = [message for message in messages if "not built" not in message]
    assert len(others) == 2
    assert any("is C#" in message for message in others)
    assert any('reads connection "HRCsv", which has no tables to read' in message for message in others)


def test_it_is_loaded_without_what_is_not_built_with_a_notice_for_each(whole):
    checked = checked_configuration(whole, leave_out_unbuilt=True)

    (job,) = checked.configuration.jobs
    assert [task.identifier for task in job.tasks] == ["Prepare", "Synchronize", "Flag", "Compute"]
    assert job.tasks[0].parents == ()
    assert [rule.identifier for rule in checked.configuration.property_expressions] == ["Login"]
    notices = [notice.message for notice in checked.notices]
    for name in (*UNBUILT, "`EntityPropertyExpression` with an expression in C#"):
        assert any(message.startswith(f"{name} is left out") for message in notices), name
    assert any('the dependency of task "Prepare" on "Export" is left out: `ExportTask` at ' in m for m in notices)
    assert any('the call of task "Fulfil" is left out: `FulfillTask` at ' in message for message in notices)
    assert all(notice.location.line for notice in checked.notices)


def test_the_job_of_such_a_configuration_runs(whole, tmp_path, store_url):
    (tmp_path / "exports").mkdir()
    (tmp_path / "exports" / "HR_Person.csv").write_text("number,mail\n1,Ada@X\n")

    with Engine.open(
        store_url, configuration=whole, export_output=tmp_path / "exports", leave_out_unbuilt=True
    ) as engine:
        engine.run_job("Load")

        assert engine.resource("HR_Person", "1").values["Login"] == "ada@x"
        assert len(engine.not_built) > len(UNBUILT)


def test_another_reference_to_what_is_left_out_is_a_fault_with_its_cause(whole):
    whole.write_text(WHOLE.replace('SourceEntityType="HR_Person"', 'SourceEntityType="Reader"'))

    (fault,) = judged_configuration(whole, leave_out_unbuilt=True).faults

    assert fault.message.startswith('entity type "Reader" in resource type "R" is left out: `SingleRole` at ')


def test_other_mistakes_are_told_although_the_rest_is_left_out(whole):
    whole.write_text(WHOLE.replace('Connector="HR" DoNotDeleteChanges', 'Connector="Ghost" DoNotDeleteChanges'))

    (fault,) = judged_configuration(whole, leave_out_unbuilt=True).faults

    assert 'unknown connector "Ghost"' in fault.message


def test_it_is_a_setting_of_the_workspace_too(tmp_path):
    (tmp_path / "deltamark.toml").write_text("[deltamark]\nleave_out_unbuilt = true\n")

    assert load_settings(tmp_path, {}).leave_out_unbuilt
    assert not load_settings(tmp_path, {"DELTAMARK_LEAVE_OUT_UNBUILT": "False"}).leave_out_unbuilt
    assert load_settings(tmp_path, {"DELTAMARK_LEAVE_OUT_UNBUILT": "0"}, leave_out_unbuilt=True).leave_out_unbuilt
    with pytest.raises(ConfigurationError, match='DELTAMARK_LEAVE_OUT_UNBUILT is "perhaps"'):
        load_settings(tmp_path, {"DELTAMARK_LEAVE_OUT_UNBUILT": "perhaps"})
    (tmp_path / "deltamark.toml").write_text('[deltamark]\nleave_out_unbuilt = "yes"\n')
    with pytest.raises(ConfigurationError, match="write true or false without quotes"):
        load_settings(tmp_path, {})


def test_commands_say_in_one_line_what_a_setting_leaves_out_and_each_thing_with_the_option(
    tmp_path, monkeypatch, capsys
):
    (tmp_path / "deltamark.toml").write_text("[deltamark]\nleave_out_unbuilt = true\n")
    (tmp_path / "configuration").mkdir()
    (tmp_path / "configuration" / "whole.xml").write_text(WHOLE)
    monkeypatch.chdir(tmp_path)

    assert status_of(["jobs"]) == 0
    by_setting = capsys.readouterr().err.splitlines()
    assert status_of(["jobs", "--leave-out-unbuilt"]) == 0
    by_option = capsys.readouterr().err.splitlines()

    assert len(by_setting) == 1
    assert by_setting[0] == (
        f"{len(by_option)} parts of the configuration left out: known but not built yet; "
        "`deltamark validate` lists each."
    )
    assert len(by_option) > len(UNBUILT)
    assert all(": notice: " in line for line in by_option)
